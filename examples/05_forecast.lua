--- One idea: frames and models are values like any other; they pass between tasks without a
--- copy. A seasonal model is judged on days it has not seen.
local fr = require "flowrun"
local frame = require "flowrun.frame"
local random = require "flowrun.random"
local ts = require "flowrun.ts"

local load_history = fr.task("load_history", function(days)
  local hours = days * 24
  return frame.from{
    {"when", frame.date_range{start = "2026-01-01", periods = hours, freq = "1h"}},
    {"noise", random.new(1):normal(0, 15, hours)},
  }:with{{"kw", "900 + 100 * sin(0.2617993877991494 * hour(`when`)) + noise"}}:drop("noise")
end)

local judge = fr.task("judge", function(name, history)
  local models = {
    naive = ts.seasonal_naive{period = 24},
    seasonal = ts.arima{order = {1, 0, 0}, seasonal = {0, 1, 1, period = 24}},
  }
  local bt = ts.backtest(models[name], history, "kw", {time = "when", horizon = 24, windows = 4})
  return {model = name, mape = math.floor(bt.scores.mape * 1000 + 0.5) / 10}
end)

return fr.flow("forecast", function()
  local history = load_history(28)
  local scores = judge:map({"naive", "seasonal"}, history):get()
  table.sort(scores, function(a, b) return a.mape < b.mape end)
  return ("%s wins: %.1f %% against %.1f %%"):format(scores[1].model, scores[1].mape,
    scores[2].mape)
end)

-- Output:
-- seasonal wins: 1.3 % against 1.7 %
