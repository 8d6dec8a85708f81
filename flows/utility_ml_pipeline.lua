--- The utility ML pipeline: predictive maintenance, load forecast, outage prediction and
--- network monitoring, four tasks that run concurrently on generated data.
---
---     flowrun flows/utility_ml_pipeline.lua
---     flowrun flows/utility_ml_pipeline.lua --samples 10000 --hours 8760
---
--- The data are drawn from numpy's legacy stream in one fixed order, so that seed 42 gives the
--- same rows as the Python script that this flow replaces. That script prints its reports on
--- the rows it was fitted on; here they are printed too, marked IN-SAMPLE, beside the scores on
--- rows the models have not seen.
local fr = require "flowrun"
local frame = require "flowrun.frame"
local ml = require "flowrun.ml"
local random = require "flowrun.random"
local ts = require "flowrun.ts"

local config = {
  seed = 42, trees = 100, maintenance_samples = 1000, outage_samples = 1000,
  load_hours = 720, order = {2, 1, 2}, forecast_steps = 24,
}
local network_sample = fr.config "data/network_sample.csv"

-- Adds the column `name`, drawn with probability sigmoid(log_odds) per row.
local function draw_event(df, rng, name, log_odds)
  local risk = df:with{{"risk", "1 / (1 + exp(-(" .. log_odds .. ")))"}}.risk
  return df:with{{name, rng:binomial(1, risk)}}
end

local function draw_assets(rng, n)
  local temp, vibration = rng:normal(60, 5, n), rng:normal(0.2, 0.05, n)
  local oil, age = rng:normal(70, 10, n), rng:randint(1, 30, n)
  local df = frame.from{{"Temperature", temp}, {"Vibration", vibration}, {"OilQuality", oil},
    {"Age", age}}
  return draw_event(df, rng, "Failure", "0.05 * (Temperature - 65) + 8 * (Vibration - 0.25)")
end

local function draw_load(rng, hours)
  local when = frame.date_range{start = "2023-01-01", periods = hours, freq = "1h"}
  return frame.from{{"when", when}, {"noise", rng:normal(0, 30, hours)}}
    :with({{"load", "900 + 100 * sin(2 * $pi * hour(`when`) / 24) + noise"}}, {pi = math.pi})
    :drop("noise")
end

local function draw_storms(rng, n)
  local wind, trees = rng:normal(20, 7, n), rng:uniform(0, 1, n)
  local df = frame.from{{"WindSpeed", wind}, {"TreeDensity", trees},
    {"Rainfall", rng:normal(50, 15, n)}}
  return draw_event(df, rng, "Outage", "0.15 * (WindSpeed - 25) + 2 * (TreeDensity - 0.5)")
end

-- One task draws everything: the order of the draws is what makes the data the same.
local generate = fr.task("generate", {outputs = {"assets", "load", "storms"}},
  function(seed, n, hours)
  local rng = random.numpy(seed)
  return draw_assets(rng, n), draw_load(rng, hours), draw_storms(rng, n)
end)

-- What the models have not seen: the same drawing, other random numbers.
local generate_new = fr.task("generate_new", {outputs = {"assets", "storms"}}, function(seed, n)
  local rng = random.numpy(seed)
  return draw_assets(rng, n), draw_storms(rng, n)
end)

local function scores(model, held_out)
  local s = model:score(held_out)
  return {rows = s.rows, accuracy = s.accuracy, f1 = s.f1, roc_auc = s.roc_auc}
end

local function score_line(s)
  return ("on %d new rows: accuracy %.3f  f1 %.3f  ROC AUC %.3f"):format(s.rows, s.accuracy, s.f1,
    s.roc_auc)
end

local maintenance = fr.task("predictive_maintenance", function(assets, new_assets, seed)
  local model = ml.random_forest{trees = config.trees, seed = seed}:fit(assets, "Failure")
  local s = scores(model, new_assets)
  print("Predictive Maintenance Report:\n" .. model:report(assets) .. score_line(s))
  return {scores = s, importances = model:importances()}
end)

-- Mean absolute percentage error over rolling daily origins: how each model would have done.
local function backtests(load)
  local candidates = {
    {"ARIMA(2,1,2)", ts.arima{order = config.order}},
    {"seasonal naive 24", ts.seasonal_naive{period = 24}},
    {"SARIMA(1,0,1)(0,1,1)24", ts.arima{order = {1, 0, 1}, seasonal = {0, 1, 1, period = 24}}},
  }
  local best
  for i, c in ipairs(candidates) do
    local bt = ts.backtest(c[2], load, "load", {time = "when", horizon = 24, windows = 5})
    candidates[i] = {model = c[1], mape = bt.scores.mape, spec = c[2]}
    if not best or candidates[i].mape < best.mape then best = candidates[i] end
  end
  return candidates, best
end

local load_forecast = fr.task("load_forecasting", function(load)
  local fit = ts.arima{order = config.order}:fit(load, "load", {time = "when"})
  local forecast = fit:forecast(config.forecast_steps)
  local candidates, best = backtests(load)
  local advised = best.spec:fit(load, "load", {time = "when"}):forecast(config.forecast_steps)
  local lines = {"Load Forecast (Next 24 hours):",
    tostring(forecast:tail(5):select{"when", "mean"}),
    "MAPE of day-ahead forecasts over 5 daily origins:"}
  for _, c in ipairs(candidates) do
    lines[#lines + 1] = ("  %-24s %4.1f %%%s"):format(c.model, 100 * c.mape,
      c == best and "   <- use this one" or "")
  end
  print(table.concat(lines, "\n"))
  local mape = {}
  for _, c in ipairs(candidates) do mape[c.model] = c.mape end
  return {llf = fit.llf, mape = mape, advised_model = best.model, forecast = forecast,
          advised = advised}
end)

local outages = fr.task("outage_prediction", function(storms, new_storms, seed)
  local model = ml.gradient_boosting{rounds = 100, learning_rate = 0.1, depth = 3,
    compat = "sklearn", seed = seed}:fit(storms, "Outage")
  local s = scores(model, new_storms)
  print("Outage Prediction Report:\n" .. model:report(storms) .. score_line(s))
  return {scores = s, importances = model:importances()}
end)

-- A detector fitted on the first half of the sample, judged on the second, per kind of attack.
local cybersecurity = fr.task("cybersecurity", function(seed)
  local sample = frame.parse_csv(network_sample)
  local half = #sample // 2
  local seen, unseen = sample:slice(1, half), sample:slice(half + 1, #sample)
  local model = ml.random_forest{trees = 60, seed = seed}:fit(seen, "label")
  local predicted = model:predict(unseen)
  print("Network Monitoring Report (second half of the sample, not fitted on):\n"
    .. ml.report(unseen.label, predicted))
  local per_kind, tables = {}, {unseen.label, predicted}
  for i = 1, #unseen do
    local truth, said = tables[1][i], tables[2][i]
    for _, kind in ipairs{truth, said} do
      per_kind[kind] = per_kind[kind] or {true_rows = 0, flagged = 0, right = 0}
    end
    per_kind[truth].true_rows = per_kind[truth].true_rows + 1
    per_kind[said].flagged = per_kind[said].flagged + 1
    if truth == said then per_kind[truth].right = per_kind[truth].right + 1 end
  end
  local out = {}
  for kind, c in pairs(per_kind) do
    out[kind] = {rows = c.true_rows, precision = c.flagged > 0 and c.right / c.flagged or 0,
                 recall = c.true_rows > 0 and c.right / c.true_rows or 0}
  end
  return out
end)

return fr.flow("utility_ml_pipeline", {
  description = "Maintenance, load, outages and network monitoring on the chapter's own data",
  params = {
    random_state = {type = "integer", default = config.seed, min = 0,
                    description = "seed of the data and of the models"},
    samples = {type = "integer", default = config.maintenance_samples, min = 50, max = 1000000,
               description = "rows of the maintenance and of the outage data"},
    hours = {type = "integer", default = config.load_hours, min = 240, max = 100000,
             description = "hours of load"},
  },
}, function(p)
  local assets, load, storms = generate(p.random_state, p.samples, p.hours)
  local new_assets, new_storms = generate_new(p.random_state + 1, 1000)
  local m = maintenance(assets, new_assets, p.random_state)
  local f = load_forecast(load)
  local o = outages(storms, new_storms, p.random_state)
  local c = cybersecurity(p.random_state)
  local forecast = f:get()
  return {
    maintenance = m:get().scores, outages = o:get().scores, network = c:get(),
    load = {mape = forecast.mape, use = forecast.advised_model, llf = forecast.llf},
  }
end)
