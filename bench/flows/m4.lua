--- The 414 hourly series of the M4 competition: a model each, 48 hours ahead, sMAPE.
local fr = require "flowrun"
local frame = require "flowrun.frame"
local ts = require "flowrun.ts"

local specs = {
  naive = function() return ts.seasonal_naive{period = 1} end,
  naive24 = function() return ts.seasonal_naive{period = 24} end,
  naive168 = function() return ts.seasonal_naive{period = 168} end,
  ets = function() return ts.ets{period = 24} end,
  theta = function() return ts.theta{period = 24} end,
  mstl = function() return ts.mstl{period = {24, 168}} end,
  auto_arima = function() return ts.auto_arima{period = 24} end,
  auto = function() return ts.auto{period = {24, 168}, horizon = 48} end,
}

-- Rows of a file of the competition, without their name and trailing blanks.
local load = fr.task("load", function(path)
  local df = frame.read_csv(path)
  local columns, rows = {}, {}
  for k, name in ipairs(df.columns) do columns[k] = df:col(name) end
  for i = 1, #df do
    local row = {}
    for k = 2, #columns do
      local v = columns[k][i]
      if v == nil then break end
      row[#row + 1] = v + 0.0
    end
    rows[i] = row
  end
  return rows
end)

local pairs_of = fr.task("pairs_of", function(train, test)
  local list = {}
  for i = 1, #train do list[i] = {train = train[i], test = test[i]} end
  return list
end)

local forecast = fr.task("forecast", function(series, model)
  local fit = specs[model]():fit(frame.array(series.train))
  local fc = fit:forecast{steps = #series.test, levels = {}}
  return {smape = ts.smape(series.test, fc.mean), title = fit.title,
    mase = ts.mase(series.test, fc.mean, series.train, 24)}
end)

local mean = fr.task("mean", function(results)
  local smape, mase = 0, 0
  for _, r in ipairs(results) do
    smape, mase = smape + r.smape, mase + r.mase
  end
  return {series = #results, smape = 100 * smape / #results, mase = mase / #results}
end)

return fr.flow("m4", {params = {dir = "../shared/data/m4_hourly", model = {type = "string",
  default = "naive24", choices = {"naive", "naive24", "naive168", "ets", "theta", "mstl",
  "auto_arima", "auto"}}}}, function(p)
  local train, test = load(p.dir .. "/Hourly-train.csv.gz"), load(p.dir .. "/Hourly-test.csv")
  return mean(forecast:map(pairs_of(train, test), p.model)):get()
end)
