-- labels: slow
-- "Flow run stays Running for ever after kill or out of memory" (Prefect 7239, 16746, 18257, 21022,
-- 19594), "memory of tasks leaks" (12668), "zombies": who died is known at once, and why.
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect
local real = dofile "tests/spec/real_program.lua"

describe("a run that was killed", function()
  it("is shown as what it is, and resume ends it", function()
    local dir = real.folder[[
      local first = fr.task("first", function() return 1 end)
      local long = fr.task("long", function()
        if there("again") then return 2 end
        io.open("again", "w"):close()
        say("long")
        fr.sleep(1000)
      end)
      return fr.flow("f", function() return first():get() + long():get() end)]]
    local code = real.shell(dir, [[
      $flowrun --home home --quiet f.lua &
      run=$!
      read -r _ <&3; kill -9 $run; wait $run
      $flowrun runs --home home >runs.out; $flowrun show 1 --home home >show.out
      $flowrun resume 1 --home home --quiet]])
    expect(code).to_equal(0)
    expect(real.out(dir)).to_equal("3\n")
    expect(real.read(dir .. "/runs.out")):to_contain("RUNNING (crashed)")
    expect(real.read(dir .. "/show.out")):to_contain("its process died; go on: flowrun resume 1")
    expect(real.shown(dir, "1").state).to_equal("SUCCESS")
  end)
end)

describe("a task whose process dies", function()
  it("ends at once with signal, exit code or memory in the record; the run goes on", function()
    local dir = real.folder[[
      local dies = fr.task("dies", {isolate = true, infra_retries = 0}, function(signal)
        fr.sh("kill -" .. signal .. " " .. me())
        fr.sleep(1000)
      end)
      local eats = fr.task("eats", {isolate = true, resources = {memory = "32MiB"}}, function()
        local t = {}
        for i = 1, 1 << 30 do t[i] = ("x"):rep(1000) .. i end
      end)
      return fr.flow("f", function()
        local out = {}
        for i, signal in ipairs{"KILL", "SEGV", "ABRT"} do
          local _, err = dies(signal):try()
          out[i] = err.code .. " " .. err.signal_name
        end
        local _, err = eats():try()
        out[4] = err.code
        return out
      end)]]
    expect(real.shell(dir, "$flowrun --home home --quiet f.lua")).to_equal(0)
    local shown = real.shown(dir)
    expect(shown.result).to_equal{"lost SIGKILL", "crashed SIGSEGV", "crashed SIGABRT", "no_memory"}
  end)
end)

describe("zombie detection", function()
  it("does not kill what is only slow or stopped (Airflow 33155, 29455, 12396)", function()
    local dir = real.folder[[
      local slow = fr.task("slow", {isolate = true}, function()
        say(me())
        while not there("go") do end
        return "alive"
      end)
      return fr.flow("f", function() return slow():get() end)]]
    local code = real.shell(dir, [[
      $flowrun --home home --quiet f.lua &
      run=$!
      read -r worker <&3
      kill -STOP $worker $run
      $flowrun show 1 --home home >show.out
      touch go; kill -CONT $worker $run
      wait $run]])
    expect(code).to_equal(0)
    expect(real.out(dir)).to_equal("alive\n")
    expect(real.read(dir .. "/show.out")):to_contain("RUNNING")
    expect(real.shown(dir).tasks[1].attempt).to_equal(1)
  end)
end)
