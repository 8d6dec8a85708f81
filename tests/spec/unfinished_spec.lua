-- `flowrun show RUN` says of each unfinished task why it waits. The shell looks until it says so:
-- nothing here depends on how long that takes.
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect
local real = dofile "tests/spec/real_program.lua"

local script = [[
local busy = fr.task("busy", function(i)
  say("busy")
  while not there("over") do end
  return i
end)
local lim = fr.task("lim", {limit = "oms"}, function(i)
  say("lim")
  while not there("over") do fr.sleep(0.01) end
  return i
end)
local bad = fr.task("bad", {retries = 3, delay = "1h"}, function() say("bad") error "no luck" end)
local nothing = fr.task("nothing", function() say("poked") return false end)
local waiting = fr.flow("waiting", function()
  local all = {lim(1), lim(2), bad()}
  fr.spawn(function() fr.wait_for(nothing, {every = "1h", timeout = "2h"}) end)
  fr.spawn(function() fr.sleep("1h") end)
  fr.spawn(function() fr.at("2100-01-01T00:00Z") end)
  fr.spawn(function() fr.signal("go", {timeout = "1h"}) end)
  fr.spawn(function() fr.approve{message = "Go?", role = "boss"} end)
  return fr.collect(all)
end)
local loops = fr.flow("loops", function() return fr.collect{busy(1), busy(2), busy(3)} end)
]]

-- Starts the flow, shows its run until all patterns are there, then stops it and shows it again.
local function shown(flow, options, patterns)
  local all = "true"
  for _, p in ipairs(patterns) do all = all .. (" && grep -q '%s' shown"):format(p) end
  local dir = real.folder(script .. "return " .. flow)
  local code = real.shell(dir, ([[
    $flowrun run --quiet --home home %s f.lua >run.out 2>&1 &
    run=$!
    read line <&3
    until $flowrun show 1 --home home >shown 2>/dev/null && %s; do :; done
    $flowrun show 1 --json --home home >json
    kill -9 $run
    wait $run 2>/dev/null
    $flowrun show 1 --home home >dead
    echo >over]]):format(options, all))
  local ok, json = pcall(require("flowrun.json").decode, real.read(dir .. "/json"))
  expect(code).to_equal(0)
  expect(ok).to_be_true()
  local by_name = {}
  for _, task in ipairs(json.tasks) do
    if task.waits then by_name[task.name:match("[^:]*$")] = task end
  end
  return by_name, real.read(dir .. "/shown"), real.read(dir .. "/dead")
end

describe("flowrun show", function()
  it("says why each unfinished task waits", function()
    local tasks, text, dead = shown("waiting", "", {"approval.*boss", "attempt 2 at", "looks again",
      "lim .*limit", "2100"})
    local why = {}
    for name, task in pairs(tasks) do why[name] = task.waits end
    expect(why.lim.reason).to_equal("limit")
    expect(why.lim.limits[1].name).to_equal("oms")
    expect(why.lim.limits[1].used).to_equal(1)
    expect(why.lim.limits[1].slots).to_equal(1)
    expect(text).to_match('lim +QUEUED %(limit%) .*limit "oms" 1/1 held by run 1')
    expect(why.go.reason).to_equal("signal")
    expect(why.go.timeout > why.go.since + 3500).to_be_true()
    expect(text).to_match("go +DEFERRED %(signal%) .*waits for signal go, gives up at .*%(in ")
    expect(why.approval.reason).to_equal("approval")
    expect(text).to_contain("waits for approval approval (role boss): Go?")
    expect(why.sleep.reason).to_equal("sleep")
    expect(why.at.due).to_equal(4102444800)
    expect(text).to_match("sleep +DEFERRED %(timer%) .*until .*%(in ")
    expect(dead).to_contain("waits for signal go")
    expect(tasks.bad.state).to_equal("SCHEDULED")
    expect(tasks.bad.waits.reason).to_equal("retry")
    expect(tasks.bad.waits.due > tasks.bad.queued + 3500).to_be_true()
    expect(text).to_match("bad +SCHEDULED %(retry%) .*attempt 2 at .*%(in .*; the last: .*no luck")
    expect(text).to_match("nothing +DEFERRED %(sensor%) .*looks again at .*%(in .*gives up at .*")
  end)

  it("says that all workers are busy, and that max_running is reached", function()
    local _, text, dead = shown("loops", "--workers 1 --max-running 2",
      {"all workers are busy", "max_running allows"})
    expect(text).to_match("busy +RUNNING")
    expect(text).to_match("busy +QUEUED %(worker%) +0")
    expect(text).to_match("busy +QUEUED %(max_running%) +0")
    expect(dead:find("all workers are busy", 1, true)).to_be_nil()
  end)
end)
