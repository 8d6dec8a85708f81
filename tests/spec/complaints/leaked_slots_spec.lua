-- "Concurrency slots leak and wedge everything": a counter says 4 of 4 while nothing runs, after
-- a worker was killed; a freed slot is noticed up to a minute late; a queue hangs for ever.
-- Here eight runs share one store and one limit, and three of them are killed while they hold
-- slots.
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect
local json = require "flowrun.json"
local testing = require "flowrun.core.testing"
local real = dofile "tests/spec/real_program.lua"
local absolute, read, write = real.program, real.read, real.write

local flow = [[
local fr = require "flowrun"
fr.limit("oms", 3)
local function say(what)
  local f = io.open("ledger", "a")
  f:write(what, " ", fr.run.id, "\n")
  f:close()
end
local send = fr.task("send", {limit = "oms"}, function(i, victim)
  say("+")
  if i == 4 and victim and not io.open("killed" .. fr.run.id) then
    io.open("killed" .. fr.run.id, "w"):close()
    say("k")                                     -- from here on it counts as dead
    fr.sh("kill -9 " .. io.open("/proc/self/stat"):read("n"))
  end
  fr.sleep(0.002)
  say("-")
  return i
end)
return fr.flow("f", {params = {victim = false}}, function(p)
  local list, sum = {}, 0
  for i = 1, 12 do list[i] = i end
  for _, v in ipairs(send:map(list, p.victim):get()) do sum = sum + v end
  return sum
end)]]

local function sh(dir, script)
  local _, _, code = os.execute(("cd '%s' || exit; export FLOWRUN_HOME=home; %s"):format(dir,
    script:gsub("FLOWRUN ", "'" .. absolute .. "' ")))
  return code
end

-- The most bodies at a time, from what they wrote. A run that is killed holds nothing after it.
local function most(ledger)
  local by_run, dead, top = {}, {}, 0
  for what, run in ledger:gmatch("(%S) (%d+)\n") do
    if what == "k" then
      dead[run], by_run[run] = true, 0
    elseif what == "+" or not dead[run] then
      by_run[run] = dead[run] and 0 or (by_run[run] or 0) + (what == "+" and 1 or -1)
    end
    local sum = 0
    for _, n in pairs(by_run) do sum = sum + n end
    top = math.max(top, sum)
  end
  return top
end

describe("leaked slots", function()
  it("none is exceeded and none is lost when three of eight runs are killed", function()
    local dir = testing.temp_dir()
    write(dir .. "/f.lua", flow)
    sh(dir, [[FLOWRUN limits >/dev/null 2>&1; for i in 1 2 3 4 5 6 7 8; do
      if [ $i -gt 5 ]; then v="--victim"; else v=""; fi
      FLOWRUN --quiet f.lua $v >out$i 2>err$i &
    done; wait]])
    for i = 1, 5 do expect(read(dir .. "/out" .. i)):to_equal("78\n") end
    local ledger = read(dir .. "/ledger")
    local _, killed = ledger:gsub("k %d+\n", "")
    expect(killed):to_equal(3)
    expect(most(ledger)):to_equal(3)
    -- Its reaper, which kills what it had started, may outlive a killed run by a moment.
    sh(dir, [[for i in $(seq 500); do FLOWRUN limits --json >limits
      grep -q '"alive": true' limits || break; done]])
    local oms = json.decode(read(dir .. "/limits"))[1]
    expect(oms.name):to_equal("oms")
    for _, holder in ipairs(oms.holders) do expect(holder.alive):to_equal(false) end
    -- A killed run goes on, and what it held before counts for nobody.
    local victim = ledger:match("k (%d+)\n")
    expect(sh(dir, ("FLOWRUN resume %s --quiet >again 2>err"):format(victim)) == 0
      or read(dir .. "/err")):to_equal(true)
    expect(read(dir .. "/again")):to_equal("78\n")
    testing.remove_tree(dir)
  end)
end)
