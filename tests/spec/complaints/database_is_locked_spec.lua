-- labels: slow
-- "database is locked" (Prefect 10188, 15170, 19771; Airflow 812): eight runs at once on one store,
-- 100,000 tasks, readers beside them.
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect
local real = dofile "tests/spec/real_program.lua"

describe("eight processes on one store", function()
  it("record 100,000 tasks; nobody ever sees a lock; the database is sound", function()
    local dir = real.folder[[
      local t = fr.task("t", function(i) return i end)
      return fr.flow("f", function()
        local n = 0
        for _ = 1, 125 do
          local h = {}
          for k = 1, 100 do h[k] = t(k) end
          for k = 1, 100 do n = n + h[k]:get() end
        end
        return n
      end)]]
    local code = real.shell(dir, [[
      for i in 1 2 3 4 5 6 7 8; do
        ( $flowrun --home home --quiet f.lua >out$i 2>err$i; echo $? >code$i ) &
      done
      while ! { [ -s code1 ] && [ -s code2 ] && [ -s code3 ] && [ -s code4 ] && [ -s code5 ] &&
          [ -s code6 ] && [ -s code7 ] && [ -s code8 ]; }; do
        [ -e home/flowrun.db ] && { $flowrun runs --home home >runs.out 2>>readers.err; }
      done
      wait]])
    expect(code).to_equal(0)
    for i = 1, 8 do
      expect(real.read(dir .. "/code" .. i)).to_equal("0\n")
      expect(real.read(dir .. "/out" .. i)).to_equal("631250\n")
      expect(real.read(dir .. "/err" .. i)).to_equal("")
    end
    expect(real.read(dir .. "/readers.err"):lower():find("locked")).to_be_nil()
    local store = require("flowrun.store").open(dir .. "/home")
    local stats = store:stats()
    expect(stats.tasks).to_equal(100000)
    for run = 1, 8 do store:audit(run) end       -- reads every row, checks sums and seals
    store:close()
  end)
end)
