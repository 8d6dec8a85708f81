--- A made-up service territory with planted truth: circuits, vegetation, storms and the outages
--- that they cause. Everything follows from seeds. The expected outages of a circuit (`truth`)
--- reach only the scorer; a model sees assets, vegetation, weather and past counts.
local frame = require "flowrun.frame"
local random = require "flowrun.random"

local world = {}

world.circuits = 400

-- Operating centres with their crews and where they are, in km.
world.districts = {
  {name = "North", x = 22, y = 66, crews = 16}, {name = "Hills", x = 18, y = 34, crews = 12},
  {name = "Lake", x = 48, y = 62, crews = 14}, {name = "Central", x = 52, y = 38, crews = 20},
  {name = "Harbor", x = 82, y = 58, crews = 15}, {name = "South", x = 76, y = 18, crews = 13},
}

local function district_of(i) return world.districts[(i - 1) % #world.districts + 1] end

local function round(v, digits)
  local k = 10 ^ digits
  return math.floor(v * k + 0.5) / k
end

-- A column per field of the rows that make(i) returns, in the given order.
local function columns_of(names, n, make)
  local lists = {}
  for k = 1, #names do lists[k] = {} end
  for i = 1, n do
    local row = make(i)
    for k = 1, #names do lists[k][i] = row[k] end
  end
  local out = {}
  for k, name in ipairs(names) do out[k] = {name, lists[k]} end
  return frame.from(out)
end

--- Circuits: where they are, how long, how old, whom they serve.
---@param seed integer
---@return flowrun.Frame
function world.assets(seed)
  local rng = random.new(seed, "assets")
  return columns_of({"circuit", "district", "x_km", "y_km", "overhead_km", "customers", "critical",
    "pole_age"}, world.circuits, function(i)
    local d = district_of(i)
    return {("C%04d"):format(i), d.name, round(d.x + rng:normal(0, 9), 2),
      round(d.y + rng:normal(0, 8), 2),
      round(math.exp(rng:normal(2.6, 0.55)), 2), rng:integers(180, 3200), rng:binomial(1, 0.12),
      round(math.max(2, rng:normal(34, 13)), 1)}
  end)
end

--- Vegetation along the circuits.
---@param seed integer
---@return flowrun.Frame
function world.vegetation(seed)
  local rng = random.new(seed, "vegetation")
  return columns_of({"circuit", "tree_density", "years_since_trim"}, world.circuits, function(i)
    local hilly = district_of(i).name == "Hills" and 0.2 or 0
    return {("C%04d"):format(i), round(math.min(1, math.max(0, rng:normal(0.42 + hilly, 0.2))), 3),
      round(rng:uniform(0.2, 6), 2)}
  end)
end

-- A storm crosses the territory along a line; gusts fall off with the distance from it.
local function storm(seed, number)
  local rng = random.new(seed, "storm " .. number)
  local angle = rng:uniform(0, math.pi)
  return {rng = rng, x = rng:uniform(10, 90), y = rng:uniform(10, 75), cos = math.cos(angle),
    sin = math.sin(angle), peak = rng:uniform(15, 27), width = rng:uniform(9, 20),
    base = rng:uniform(8, 12), rain = rng:uniform(5, 70)}
end

local function gust_at(s, x, y)
  local off = (x - s.x) * s.sin - (y - s.y) * s.cos
  return s.base + s.peak * math.exp(-(off / s.width) ^ 2)
end

--- What a storm does at each circuit: true gust and rain, and the expected number of outages.
---@param seed integer
---@param number integer storms of one seed are numbered from 1
---@param assets flowrun.Frame
---@param vegetation flowrun.Frame
---@return flowrun.Frame circuit, gust_ms, rain_mm, truth
function world.storm(seed, number, assets, vegetation)
  local s = storm(seed, number)
  local all = assets:join(vegetation, {on = "circuit"})
  local x, y = all.x_km, all.y_km
  local gust, rain = {}, {}
  for i = 1, #all do
    gust[i] = round(gust_at(s, x[i], y[i]) + s.rng:normal(0, 0.8), 2)
    rain[i] = round(math.max(0, s.rain * (0.6 + gust[i] / 50) + s.rng:normal(0, 4)), 1)
  end
  return all:with{{"gust_ms", gust}, {"rain_mm", rain}}:with{{"truth",
    "0.0009 * overhead_km * (0.35 + 1.9 * tree_density) * (0.7 + 0.11 * years_since_trim)"
      .. " * (0.75 + pole_age / 130) * exp((gust_ms - 12) / 4.2) * (1 + rain_mm / 240)"}}
    :select{"circuit", "gust_ms", "rain_mm", "truth"}
end

--- Outages that happened: Poisson draws around the expected numbers.
---@param seed integer
---@param number integer
---@param truth flowrun.Frame from world.storm
---@return flowrun.Frame circuit, outages
function world.outages(seed, number, truth)
  local rng = random.new(seed, "outages " .. number)
  return truth:select("circuit"):with{{"outages", rng:poisson(truth.truth)}}
end

--- The forecast before a storm: its gusts with an error, as a weather service would give them.
---@param seed integer
---@param number integer
---@param truth flowrun.Frame
---@return flowrun.Frame circuit, gust_ms, rain_mm
function world.forecast(seed, number, truth)
  local rng = random.new(seed, "forecast " .. number)
  local n = #truth
  return truth:with{{"gust_error", rng:normal(0, 1.2, n)}, {"rain_error", rng:normal(0, 5, n)}}
    :with{{"gust_ms", "max(0, gust_ms + gust_error)"}, {"rain_mm", "max(0, rain_mm + rain_error)"}}
    :select{"circuit", "gust_ms", "rain_mm"}
end

--- Past storms with what was known and what happened, one row per storm and circuit.
---@param seed integer
---@param storms integer
---@param assets flowrun.Frame
---@param vegetation flowrun.Frame
---@return flowrun.Frame storm, circuit, gust_ms, rain_mm, outages
function world.history(seed, storms, assets, vegetation)
  local parts = {}
  for number = 1, storms do
    local truth = world.storm(seed, number, assets, vegetation)
    parts[number] = truth:select{"circuit", "gust_ms", "rain_mm"}
      :with{{"storm", frame.lit(number)}, {"outages", world.outages(seed, number, truth).outages}}
  end
  return frame.concat(parts)
end

--- When the weather service does not answer: gusts of an average storm everywhere.
---@param assets flowrun.Frame
---@return flowrun.Frame circuit, gust_ms, rain_mm
function world.climatology(assets)
  return assets:select("circuit"):with{{"gust_ms", frame.lit(17.0)}, {"rain_mm", frame.lit(30.0)}}
end

return world
