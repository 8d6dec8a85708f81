-- The script of the design's first page, its left-out bodies and tasks written, nothing else
-- changed: its schedule is data until there is a server.
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect
local json = require "flowrun.json"
local scripted = dofile("tests/spec/scripted.lua")

local script = [[
local fr    = require "flowrun"
local frame = require "flowrun.frame"
local ml    = require "flowrun.ml"
local task, flow = fr.task, fr.flow

local fetch_weather = task("fetch_weather", {
  retries = 5, backoff = fr.backoff.exponential("2s"), jitter = 0.3,
  timeout = "30s", cache = {expires = "1h"}, fallback = "last_good",
}, function(region)
  local weather = frame.from{{"circuit", {1, 2, 3}}, {"gust_ms", {31.0, 12.0, 24.0}}}
  return weather end)          -- a frame

local load_assets = task("load_assets", function()
  local age, load, failure = {}, {}, {}
  for i = 1, 200 do
    age[i], load[i] = i % 50, (i * 7) % 100
    failure[i] = age[i] + load[i] / 4 > 40
  end
  return frame.from{{"age", age}, {"load", load}, {"failure", failure}}
end)

local split = task("split", {outputs = {"train", "test"}}, function(assets)
  return assets:split{test = 0.2, stratify = "failure", seed = 42}
end)

local train = task("train_risk", {timeout = "10m", resources = {cpu = 2}}, function(rows)
  return ml.random_forest{trees = 200, seed = 42}:fit(rows, "failure")
end)

local evaluate = task("evaluate", function(model, rows)
  return model:score(rows)
end)

local function districts(region) return {region .. "-1", region .. "-2"} end
local expose = task("expose", function(district) return {district = district, customers = 40} end)
local rank = task("rank", function(_, weather, exposure)
  return {first = exposure[1].district, rows = #weather}
end)
local rank_by_history = task("rank_by_history", function() return {first = "history"} end)
local dispatch = task("dispatch", function(ranked, top)
  return ("%s of %d"):format(ranked.first, top)
end)

return flow("storm_prep", {
  params   = {region = "north", top = {type = "integer", default = 50, min = 1}},
  schedule = {cron = "0 6,18 * * *", tz = "America/New_York", missed = "latest"},
}, function(p)
  local weather   = fetch_weather(p.region)          -- returns a handle at once; nothing waits
  local trn, tst  = split(load_assets())             -- handles as arguments are the edges of the graph
  local model     = train(trn)
  local report    = evaluate(model, tst)
  local exposure  = expose:map(districts(p.region))  -- fan-out; a handle for the list
  local ranked    = rank(model, weather, exposure)   -- fan-in
  if report:get().roc_auc < 0.6 then                     -- :get() waits, so branches are plain Lua
    ranked = rank_by_history(weather)
  end
  dispatch:with{retries = 8, after = {report}}(ranked, p.top)
  return ranked
end)
]]

describe("the script of the design", function()
  it("runs as it is written, and takes its weather from the cache the second time", function()
    local s = scripted("")
    s.write("f.lua", script)
    local out, code, err = s.run("--json FILE --region south")
    if code ~= 0 then error(err) end
    expect(json.decode(out)).to_equal{first = "south-1", rows = 3}
    expect(s.task("dispatch").state).to_equal("SUCCESS")
    out, code = s.run("--json FILE --region south")
    expect(code).to_equal(0)
    expect(json.decode(out).rows).to_equal(3)
    expect(s.task("fetch_weather").reason).to_equal("cached")
  end)
end)
