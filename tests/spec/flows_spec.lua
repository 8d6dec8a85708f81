-- The flows that come with flowrun: storm_prep's ranking against its planted truth, its drills
-- and results; utility_ml_pipeline's data and reports.
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect
local json = require "flowrun.json"

local program = os.getenv("FLOWRUN") or "build/flowrun"
package.path = "flows/?.lua;" .. package.path

local function run(dir, words)
  local pipe = assert(io.popen(("'%s' --home '%s/home' --json %s 2>'%s/err'"):format(program, dir, words, dir)))
  local out = pipe:read("a")
  local _, _, code = pipe:close()
  local f = assert(io.open(dir .. "/err"))
  local err = f:read("a")
  f:close()
  return out, code, err
end

local function read(path)
  local f = assert(io.open(path))
  local text = f:read("a")
  f:close()
  return text
end

describe("storm_prep", function()
  it("ranks circuits nearly as well as the truth, and not without the weather", function()
    local dir = t.temp_dir()
    local out, code = run(dir, ("flows/storm_prep.lua --out '%s/out'"):format(dir))
    expect(code).to_equal(0)
    local result = json.decode(out)
    expect(result.model.storms).to_equal(20)
    expect(result.model.capture >= 0.8).to_be_true()
    expect(result.model.shuffled <= 0.5).to_be_true()
    expect(#result.degraded).to_equal(0)
    local frame = require "flowrun.frame"
    local ranked = frame.read_csv(dir .. "/out/ranked_circuits.csv")
    expect(#ranked).to_equal(400)
    expect(ranked:has("truth")).to_be_false()
    expect(ranked.circuit[1]).to_equal(result.first_circuits[1])
    local staging = json.decode(read(dir .. "/out/crew_staging.json"))
    expect(#staging.op_centers).to_equal(6)
    expect(staging.idempotency_key).to_match("^%x+%-%d+$")
    local page = read(dir .. "/out/report.html")
    expect(page).to_contain("<svg")
    expect(page:find('src="http') == nil and page:find('href="http') == nil).to_be_true()
  end)

  it("lets the truth reach the scorer only", function()
    local source = read("flows/storm_prep.lua")
    local users = {}
    for name, body in source:gmatch("local ([%w_]+) = task(.-\nend%))") do
      if body:find("world%.storm") or body:find("truth") then users[#users + 1] = name end
    end
    -- load_weather makes the forecast out of the true weather, as nature does.
    expect(users).to_equal{"load_weather", "judge"}
    local world = require "storm.world"
    local assets, vegetation = world.assets(1), world.vegetation(1)
    local truth = world.storm(2, 3, assets, vegetation)
    expect(truth:has("truth")).to_be_true()
    expect(world.forecast(2, 3, truth):has("truth")).to_be_false()
    expect(world.history(1, 2, assets, vegetation):has("truth")).to_be_false()
    for _, name in ipairs(require("storm.model").features) do expect(name).never.to_equal("truth") end
  end)

  it("falls back when the weather service fails, and says so everywhere", function()
    local dir = t.temp_dir()
    local out, code, err = run(dir, ("flows/storm_prep.lua --inject weather --out '%s/out'"):format(dir))
    expect(code).to_equal(0)
    expect(json.decode(out).degraded[1]).to_contain("weather service did not answer")
    expect(err).to_contain("degraded")
    expect(read(dir .. "/out/report.html")).to_contain("Degraded:")
    expect(json.decode(read(dir .. "/out/crew_staging.json")).degraded[1]).to_contain("weather")
    local pipe = assert(io.popen(("'%s' runs --home '%s/home' --json"):format(program, dir)))
    local listed = json.decode(pipe:read("a"))
    pipe:close()
    expect(listed[1].reason).to_equal("degraded")
  end)

  it("refuses bad data with exit code 6", function()
    local dir = t.temp_dir()
    local _, code, err = run(dir, ("flows/storm_prep.lua --inject quality --out '%s/out'"):format(dir))
    expect(code).to_equal(6)
    expect(err).to_contain("gusts outside")
  end)

  it("learns durations from real outages", function()
    local data = os.getenv("FLOWRUN_SHARED") or "../shared/data"
    local f = io.open(data .. "/pge_outages_2019/pge_201910_events.csv")
    if not f then t.skip("no " .. data .. "/pge_outages_2019") end
    f:close()
    local dir = t.temp_dir()
    local out, code = run(dir, ("flows/storm_prep.lua --data '%s' --out '%s/out'"):format(data, dir))
    expect(code).to_equal(0)
    local result = json.decode(out)
    expect(result.real_durations.auc >= 0.77).to_be_true()
    expect(result.real_durations.train + result.real_durations.test).to_equal(33171)
    expect(read(dir .. "/out/report.html")).to_contain("0.785")
  end)
end)

describe("utility_ml_pipeline", function()
  it("fits on the chapter's own data and judges on new rows", function()
    local dir = t.temp_dir()
    local out, code, err = run(dir, "flows/utility_ml_pipeline.lua")
    expect(code).to_equal(0)
    local r = json.decode(out)
    -- Means and spread over ten draws: ../shared/data/expected/scores.tsv; one draw of 1,000.
    expect(r.maintenance.roc_auc).to_be_near(0.569, 0.06)
    expect(r.outages.roc_auc).to_be_near(0.745, 0.06)
    expect(r.load.mape["ARIMA(2,1,2)"] > r.load.mape["seasonal naive 24"]).to_be_true()
    expect(r.load.use).to_equal("SARIMA(1,0,1)(0,1,1)24")
    expect(r.network.port_scan.recall > 0.9).to_be_true()
    expect(err).to_contain("IN-SAMPLE")
    expect(err).to_contain("Predictive Maintenance Report:")
  end)
end)
