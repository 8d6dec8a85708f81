-- labels: slow
-- Signals, limits of the system, and many processes on one store.
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect
local real = dofile "tests/spec/real_program.lua"

local sum = [[
  local t = fr.task("t", function(i) return i end)
  return fr.flow("f", function()
    local n = 0
    for i = 1, 30 do n = n + t(i):get() end
    return n
  end)]]

describe("SIGSTOP", function()
  it("of one run holds no other run up; continued it ends as if nothing was", function()
    local dir = real.folder[[
      local wait = fr.task("wait", {timeout = "1h"}, function()
        say("waits")
        while not there("go") do fr.sleep(0.01) end
        return 1
      end)
      return fr.flow("f", function() return wait():get() end)]]
    real.write(dir .. "/g.lua", 'local fr = require "flowrun"\n' .. sum)
    local code = real.shell(dir, [[
      $flowrun --home home --quiet f.lua &
      run=$!
      read -r _ <&3
      until $flowrun show 1 --home home | grep -q 'wait  *RUNNING'; do :; done   # all is on disk
      kill -STOP $run
      $flowrun --home home --quiet g.lua || exit 90
      $flowrun runs --home home >runs.out
      touch go; kill -CONT $run
      wait $run]])
    expect(code).to_equal(0)
    expect(real.out(dir)).to_equal("465\n1\n")
    expect(real.read(dir .. "/runs.out")):to_contain("RUNNING")
  end)
end)

describe("limits of the system", function()
  it("too few descriptors: a clear error or the right result, and the store stays sound", function()
    local dir = real.folder(sum)
    local failed, right = 0, 0
    for files = 8, 64, 4 do
      local code = real.shell(dir, ("ulimit -n %d; $flowrun --home home --quiet f.lua"):format(files))
      if code == 0 then
        right = right + 1
        expect(real.out(dir)).to_equal("465\n")
      else
        failed = failed + 1
        expect(code < 128).to_be_true()
        expect(real.err(dir)):to_match("[Tt]oo many open files")
      end
    end
    expect(failed >= 1 and right >= 1).to_be_true()
    expect(real.shell(dir, "$flowrun --home home --quiet f.lua")).to_equal(0)
  end)

  it("too little address space: an error or the right result, and the store stays sound", function()
    local dir = real.folder(sum)
    local right = 0
    for _, kib in ipairs{20000, 30000, 40000, 50000, 60000, 80000, 120000, 300000} do
      local code = real.shell(dir, ("ulimit -v %d; $flowrun --home home --quiet f.lua"):format(kib))
      if code == 0 then
        right = right + 1
        expect(real.out(dir)).to_equal("465\n")
      else
        expect(#real.err(dir) > 0).to_be_true()
      end
    end
    expect(right >= 1).to_be_true()
    expect(real.shell(dir, "$flowrun --home home --quiet f.lua")).to_equal(0)
    expect(real.out(dir)).to_equal("465\n")
  end)
end)
