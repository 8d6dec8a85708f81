-- labels: slow
-- A C module that goes wrong in an isolated task harms its attempt only.
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect
local real = dofile "tests/spec/real_program.lua"

if not package.searchpath("crash_module", package.cpath) then
  it("needs crash_module in LUA_CPATH (run it by ctest)", function() end)
  return
end

describe("an isolated task whose C module", function()
  it("crashes, exits, aborts or hangs fails alone and says why", function()
    local dir = real.folder[[
      local crash = require "crash_module"
      local seg = fr.task("seg", {isolate = true}, function() return crash.segfault() end)
      local out = fr.task("out", {isolate = true}, function() return crash.exit(3) end)
      local abort = fr.task("abort", {isolate = true}, function() return crash.abort() end)
      local spin = fr.task("spin", {isolate = true, timeout = 0.3}, function() crash.spin() end)
      local fine = fr.task("fine", {isolate = true}, function(i) return i end)
      return fr.flow("f", function()
        local all = {seg(), out(), abort(), spin()}
        local list = {}
        for i = 1, #all do
          local _, err = all[i]:try()
          list[i] = ("%s %s %s"):format(err.code, err.signal_name or "-", err.exit_code or "-")
        end
        list[#list + 1] = fine("as before"):get()
        return list
      end)]]
    expect(real.shell(dir, "$flowrun --home home --quiet f.lua")).to_equal(0)
    expect(real.shown(dir).result).to_equal{"crashed SIGSEGV -", "crashed - 3", "crashed SIGABRT -",
      "timeout SIGKILL -", "as before"}
  end)

  it("leaks is replaced; the run's own memory does not grow", function()
    local dir = real.folder[[
      local crash = require "crash_module"
      local leak = fr.task("leak", {isolate = true}, function() crash.leak(150 << 20) return me() end)
      local own = fr.task("own", function()
        local f <close> = io.open("/proc/self/statm")
        f:read("n")
        return f:read("n") * 4096
      end)
      return fr.flow("f", function()
        local pids, n = {}, 0
        for _ = 1, 6 do
          local pid = leak():get()
          if not pids[pid] then n = n + 1 end
          pids[pid] = true
        end
        return {n >= 2, own():get() < 100 << 20}
      end)]]
    expect(real.shell(dir, "$flowrun --home home --quiet f.lua")).to_equal(0)
    expect(real.shown(dir).result).to_equal{true, true}
  end)
end)
