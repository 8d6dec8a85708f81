-- labels: slow
-- Somebody sets the clock: a day on, a day back, while a run works, waits, or is dead. What has
-- to wait waits as long as it was told; nothing is early, late by a day, or lost.
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect
local real = dofile "tests/spec/real_program.lua"

local shim = os.getenv("FLOWRUN_CLOCK_SHIM")

local flow = [[
  local quick = fr.task("quick", {timeout = "1h"}, function(i) return i end)
  local held = fr.task("held", {timeout = "1h"}, function(i)
    say("held")
    while not there("go") do fr.sleep(0.01) end
    return i
  end)
  local shaky = fr.task("shaky", {retries = 1, delay = 0.3}, function(i)
    if not there("seen") then
      io.open("seen", "w"):close()
      say("shaky")
      error("the first time fails")
    end
    return i
  end)
  return fr.flow("f", function()
    local sum = quick(1):get() + held(2):get() + shaky(3):get()
    fr.sleep(0.3)
    return sum + quick(4):get()
  end)]]

local function prepared(script)
  local dir = real.folder(script)
  real.write(dir .. "/clock", "0")
  return dir
end

local begin = [[
  export LD_PRELOAD=]] .. tostring(shim) .. [[ CLOCK_SHIM=$PWD/clock
]]

describe("the clock", function()
  if not shim then
    it("is left alone: FLOWRUN_CLOCK_SHIM is not set (run it by ctest)", function() end)
    return
  end

  for _, jump in ipairs{86400, -86400} do
    local way = jump > 0 and "forward" or "back"
    it(("set %s a day while bodies run and retries wait changes no result"):format(way), function()
      local dir = prepared(flow)
      local code = real.shell(dir, begin .. ([[
        $flowrun --home home --quiet f.lua &
        run=$!
        read -r _ <&3; echo %d >clock; touch go
        read -r _ <&3; echo %d >clock
        wait $run]]):format(jump, 2 * jump))
      expect(code).to_equal(0)
      expect(real.out(dir)).to_equal("10\n")
      local shown = real.shown(dir)
      expect(shown.state).to_equal("SUCCESS")
      expect(shown.ended - shown.started).to_be_near(2 * jump, 3600)   -- the clock was set
      for _, task in ipairs(shown.tasks) do expect(task.state).to_equal("SUCCESS") end
    end)

    it(("set %s a day between death and resume: it goes on at once"):format(way), function()
      local dir = prepared(flow)
      local code = real.shell(dir, begin .. ([[
        touch go
        $flowrun --home home --quiet f.lua &
        run=$!
        read -r _ <&3; read -r _ <&3; kill -9 $run; wait $run
        echo %d >clock
        $flowrun resume 1 --home home --quiet
        code=$?
        $flowrun runs --home home >runs.out || exit 90
        exit $code]]):format(jump))
      expect(code).to_equal(0)
      expect(real.out(dir)).to_equal("10\n")
      local shown = real.shown(dir)
      expect(shown.state).to_equal("SUCCESS")
      expect(shown.ended - shown.started).to_be_near(jump, 3600)
    end)
  end
end)
