--- Storm preparation: which circuits a coming storm will hit hardest, how many crews each
--- operating centre needs, and a report that says how sure we are.
---
---     flowrun flows/storm_prep.lua                       generated data, planted truth
---     flowrun flows/storm_prep.lua --data ../shared/data durations from real outages
---     flowrun flows/storm_prep.lua --inject weather      the weather service fails
---     flowrun flows/storm_prep.lua --inject quality      bad data: the gate refuses (exit 6)
local fr = require "flowrun"
local frame = require "flowrun.frame"
local json = require "flowrun.json"
local random = require "flowrun.random"
local model = require "storm.model"
local pge = require "storm.pge"
local report = require "storm.report"
local world = require "storm.world"

local task, flow = fr.task, fr.flow

local PAST_STORMS, JUDGED_STORMS = 60, 20
local TARGET_H, HOURS_PER_OUTAGE = 24, 3.2

-- --- loading, all in parallel ---

local load_assets = task("load_assets", {retries = 2, delay = "1s"}, function(seed)
  return world.assets(seed)
end)

local load_vegetation = task("load_vegetation", {retries = 2, delay = "1s"}, function(seed)
  return world.vegetation(seed)
end)

local load_history = task("load_history", function(seed, assets, vegetation)
  return world.history(seed, PAST_STORMS, assets, vegetation)
end)

-- A service that may not answer. After two retries the climatology stands in, and the run
-- says so everywhere.
local load_weather = task("load_weather", {
  retries = 2, delay = "200ms", backoff = "exponential", jitter = 0.3, timeout = "30s",
  fallback = function(_, _, _, assets)        -- the error, then the arguments
    return world.climatology(assets):with{{"source", frame.lit("climatology")}}
  end,
}, function(seed, number, assets, vegetation, inject)
  if inject == "weather" then fr.fail{code = "network", message = "weather service: HTTP 503"} end
  local truth = world.storm(seed + 1, number, assets, vegetation)
  return world.forecast(seed + 1, number, truth):with{{"source", frame.lit("forecast")}}
end)

-- --- the quality gate ---

local function check(list, name, value, limit, ok)
  list[#list + 1] = {name, value, limit, ok}
end

local quality_gate = task("quality_gate", function(weather, assets, vegetation, inject)
  if inject == "quality" then
    weather = weather:with{{"gust_ms", "if_else(row() % 3 == 0, gust_ms * 10, gust_ms)"}}
  end
  local list = {}
  local covered = #assets:join(weather, {on = "circuit", how = "semi"}) / #assets
  check(list, "circuits with weather", covered, 0.98, covered >= 0.98)
  local wild = #weather:filter("gust_ms < 0 or gust_ms > 70") / #weather
  check(list, "gusts outside 0-70 m/s", wild, 0, wild == 0)
  local trees = #assets:join(vegetation, {on = "circuit", how = "semi"}) / #assets
  check(list, "circuits with vegetation", trees, 0.98, trees >= 0.98)
  local serving = #assets:filter("customers > 0") / #assets
  check(list, "circuits that serve customers", serving, 0.99, serving >= 0.99)
  local bad = {}
  for _, c in ipairs(list) do
    if not c[4] then bad[#bad + 1] = ("%s: %.4g, allowed %.4g"):format(c[1], c[2], c[3]) end
  end
  if #bad > 0 then
    fr.fail{code = "quality", retry = false, message = "the data are not fit to plan with: "
      .. table.concat(bad, "; ")}
  end
  local columns = {{}, {}, {}, {}}
  for i, c in ipairs(list) do
    for k = 1, 4 do columns[k][i] = c[k] end
  end
  return frame.from{{"check", columns[1]}, {"value", columns[2]}, {"limit", columns[3]},
    {"ok", columns[4]}}
end)

-- --- exposure, models, ranking ---

local expose = task("expose", function(district, weather, assets, vegetation)
  return model.exposure(weather, assets:filter("district == $d", {d = district}), vegetation)
end)

local train = task("train", {resources = {cpu = 1}},
  function(threshold, history, assets, vegetation)
  return model.fit(threshold, model.exposure(history, assets, vegetation))
end)

-- What set this circuit apart, in words: the two features furthest above the median.
local function drivers_of(features)
  local names = {{"gust_ms", "wind"}, {"tree_density", "trees"},
    {"years_since_trim", "trimming overdue"},
    {"overhead_km", "long line"}, {"pole_age", "old poles"}}
  local cols, middle, spread = {}, {}, {}
  for i, n in ipairs(names) do
    cols[i] = features:col(n[1])
    middle[i] = features:quantile(n[1], 0.5)
    spread[i] = math.max(features:quantile(n[1], 0.9) - middle[i], 1e-9)
  end
  local out = {}
  for r = 1, #features do
    local order = {}
    for i = 1, #names do order[i] = {(cols[i][r] - middle[i]) / spread[i], names[i][2]} end
    table.sort(order, function(a, b) return a[1] > b[1] end)
    out[r] = order[1][2] .. (order[2][1] > 0.3 and ", " .. order[2][2] or "")
  end
  return out
end

local rank = task("rank", function(models, exposures)
  local features = model.expect(models, frame.concat(exposures))
  features = features:with{{"score", "expected * (1 + 0.5 * critical)"}}
    :sort{{"score", desc = true}, "circuit"}
  return features:with{{"rank", "row()"}, {"expected", "round(expected, 3)"},
    {"p_any", "round(p_any, 4)"},
      {"gust_ms", "round(gust_ms, 1)"}, {"rain_mm", "round(rain_mm, 1)"},
      {"drivers", drivers_of(features)}}
    :select{"rank", "circuit", "district", "expected", "p_any", "customers", "critical", "gust_ms",
      "rain_mm", "tree_density", "years_since_trim", "overhead_km", "pole_age", "x_km", "y_km",
        "drivers"}
end)

local function round1(v) return math.floor(v * 10 + 0.5) / 10 end

-- Crews per operating centre so that all work is done within TARGET_H hours.
local plan_crews = task("plan_crews", function(ranked, hours_per_outage)
  local by_center = ranked:group{"district"}:agg{{"expected", "sum(expected)"},
    {"customers", "sum(customers * p_any)"}, {"gust", "max(gust_ms)"}}
  local centers, total = {}, {expected = 0, customers = 0, needed = 0, have = 0, request = 0,
    gust = 0,
    target_h = TARGET_H}
  for row in by_center:rows() do
    local have = 0
    for _, d in ipairs(world.districts) do
      if d.name == row.district then have = d.crews end
    end
    local hours = row.expected * hours_per_outage
    local needed = math.max(1, math.ceil(hours / TARGET_H))
    centers[#centers + 1] = {id = row.district, expected_outages = round1(row.expected),
      crew_hours = round1(hours),
      line_crews_needed = needed, have = have, request = math.max(0, needed - have),
      etr_all_h = round1(hours / math.min(needed, have))}
    total.expected, total.customers = total.expected + row.expected, total.customers + row.customers
    total.needed, total.have = total.needed + needed, total.have + have
    total.request, total.gust = total.request + math.max(0, needed - have),
      math.max(total.gust, row.gust)
  end
  return {centers = centers, total = total}
end)

-- --- proof: storms that no model was fitted on; the only place that sees the truth ---

local judge = task("judge", function(number, models, seed, assets, vegetation)
  local truth = world.storm(seed + 2, number, assets, vegetation)
  local forecast = world.forecast(seed + 2, number, truth)
  local function ranked(weather)
    return model.expect(models, model.exposure(weather, assets, vegetation))
      :join(truth:select{"circuit", "truth"}, {on = "circuit"})
      :join(world.outages(seed + 2, number, truth), {on = "circuit"})
  end
  local rows, shuffled = ranked(forecast), {}
  local places, gust = random.new(seed, "shuffle " .. number):permutation(#forecast),
    forecast.gust_ms
  for i = 1, #forecast do shuffled[i] = gust[places[i]] end
  return {capture = model.capture(rows, "expected"), auc = model.auc(rows),
    shuffled = model.capture(ranked(forecast:with{{"gust_ms", shuffled}}), "expected")}
end)

local score = task("score", function(judged)
  local sum = {capture = 0, shuffled = 0, auc = 0}
  for _, j in ipairs(judged) do
    for name in pairs(sum) do sum[name] = sum[name] + (j[name] or 0.5) end
  end
  for name, v in pairs(sum) do sum[name] = v / #judged end
  sum.storms = #judged
  return sum
end)

-- --- real outages (--data) ---

local load_outages = task("load_outages", {outputs = {"events", "regions"}}, function(dir)
  local events = pge.events(dir)
  return events, pge.regions(dir, events)
end)

local fit_durations = task("fit_durations", function(events, seed) return pge.fit(events, seed) end)

-- --- what the flow hands on ---

local write_outputs = task("write_outputs", {effect = true}, function(dir, d)
  local made, why = fr.make_directory(dir)
  if not made then fr.fail{code = "io", message = why} end
  d.run = fr.run.id or 0
  d.ranked:write_csv(dir .. "/ranked_circuits.csv")
  local staging = {run_id = d.run, idempotency_key = fr.task_key(), storm = d.storm,
    op_centers = d.plan.centers, total = d.plan.total, degraded = d.degraded,
    mutual_aid = {needed = d.plan.total.request > 0, crews = d.plan.total.request}}
  local f = assert(io.open(dir .. "/crew_staging.json.part", "w"))
  f:write(json.encode(staging, {pretty = true}), "\n")
  f:close()
  assert(os.rename(dir .. "/crew_staging.json.part", dir .. "/crew_staging.json"))
  local names = {"center", "expected", "crew_hours", "needed", "have", "request", "etr_h"}
  local fields = {"id", "expected_outages", "crew_hours", "line_crews_needed", "have", "request",
    "etr_all_h"}
  local columns = {}
  for k, name in ipairs(names) do
    local list = {}
    for i, c in ipairs(d.plan.centers) do list[i] = c[fields[k]] end
    columns[k] = {name, list}
  end
  d.crews = frame.from(columns)
  report.page(d):write(dir .. "/report.html")
  return {dir .. "/ranked_circuits.csv", dir .. "/crew_staging.json", dir .. "/report.html"}
end)

return flow("storm_prep", {
  description = "Ranks circuits and plans crews before a storm",
  params = {
    region = {default = "Six Rivers", description = "name of the territory, for the report"},
    seed = {type = "integer", default = 1, min = 0, max = 1000000,
      description = "of the generated data"},
    storm = {type = "integer", default = 3, min = 1, max = 1000,
      description = "number of the coming storm"},
    data = {default = "",
      description = "folder with pge_outages_2019/: train durations on real outages"},
    out = {default = "storm_prep_out", description = "folder for the results"},
    inject = {default = "none", choices = {"none", "weather", "quality"},
      description = "a fault, for drills"},
  },
}, function(p)
  local assets, vegetation = load_assets(p.seed), load_vegetation(p.seed)
  local weather = load_weather(p.seed, p.storm, assets, vegetation, p.inject)
  local history = load_history(p.seed, assets, vegetation)
  local events, regions, durations
  if p.data ~= "" then
    events, regions = load_outages(p.data)
    durations = fit_durations(events, p.seed)
  end
  local gate = quality_gate(weather, assets, vegetation, p.inject)
  local names = {}
  for i, d in ipairs(world.districts) do names[i] = d.name end
  local exposures = expose:with{after = {gate}}:map(names, weather, assets, vegetation)
  local models = train:with{after = {gate}}:map(model.thresholds, history, assets, vegetation)
  local ranked = rank(models, exposures)
  local numbers = {}
  for i = 1, JUDGED_STORMS do numbers[i] = i end
  local quality = score(judge:map(numbers, models, p.seed, assets, vegetation))

  local hours = HOURS_PER_OUTAGE
  local real
  if p.data ~= "" then
    real = durations:get()
    hours = math.max(1, real.median_h)
  end
  local plan = plan_crews(ranked, hours):get()
  local source = weather:get().source[1]
  local degraded = {}
  if source ~= "forecast" then
    degraded[1] = "the weather service did not answer; an average storm stands in for the forecast"
  end
  local files = write_outputs(p.out, {ranked = ranked, plan = plan, gate = gate, model = quality,
    degraded = degraded, real = real, regions = regions,
    storm = {region = p.region, number = p.storm, source = source}}):get()
  local first = ranked:get():head(5)
  local judged = quality:get()
  return {
    files = files, degraded = degraded,
    first_circuits = first.circuit:to_table(),
    crews = {needed = plan.total.needed, at_hand = plan.total.have, request = plan.total.request},
    expected_outages = round1(plan.total.expected),
    model = judged, real_durations = real,
  }
end)
