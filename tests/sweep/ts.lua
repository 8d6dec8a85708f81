local frame = require "flowrun.frame"
local ts = require "flowrun.ts"
local testing = require "flowrun.core.testing"

local dir = setmetatable({}, {__gc = function(self) testing.remove_tree(self.path) end})
dir.path = testing.temp_dir()

return function()
  local y = {1.0, 3.0, 2.0, 5.0, 4.0, 6.5, 5.0, 8.0, 7.5, 9.0}
  local day, x = {}, {}
  for i = 1, #y do day[i], x[i] = ("2024-01-%02d"):format(i), i * i % 7 + 0.5 end
  local df = frame.from{{"day", day, "date"}, {"kw", y}, {"x", x}}
  local fit = ts.arima{order = {1, 0, 0}}:fit(df, "kw", {time = "day", exog = {"x"}})
  assert(tostring(fit) and fit.llf and fit.params.ar1 and fit.order[1] == 1)
  local fc = fit:forecast{steps = 2, levels = {80}, exog = frame.from{{"x", {1.0, 2.0}}}}
  assert(#fc == 2 and #fit:residuals() == 10)
  local path = dir.path .. "/fit"              -- keeps dir alive
  fit:save(path)
  assert(ts.load(path) == fit and ts.is_forecaster(fit))
  assert(ts.mape(y, y) == 0 and ts.coverage(y, y, y) == 1 and ts.mase(y, y, y, 1) == 0)
  assert(ts.pinball(y, y, 0.5) == 0)
  assert(not pcall(function() return fit.lff end))
  assert(not pcall(ts.arima, {ordr = {1, 0, 0}}))
  for _, spec in ipairs{ts.ets{model = "MAdM", period = 2}, ts.theta{period = 2},
    ts.mstl{period = 2}} do
    local other = spec:fit(df, "kw", {time = "day"})
    assert(#other:forecast{steps = 2, levels = {80}} == 2 and tostring(other))
    other:save(path)
    assert(ts.load(path) == other)
  end
  assert(ts.acf(y, 2)[1] == 1 and ts.pacf(y, 2)[1] == 1)
  assert(ts.adf(y, {lags = 0}).p and ts.kpss(y).p and ts.ljung_box(y, {lags = 2}).p)
  assert(#ts.stl(df, "kw", {period = 2, time = "day"}) == 10)
  assert(#ts.mstl_split(y, {period = {2, 3}, windows = {3, 5}}) == 10)
  assert(not pcall(ts.stl, y, {period = 9}))
  assert(ts.fill(y)[2] == 3)
  assert(#require("flowrun.core.ts_explore").figure(frame.array(y), 2, true) == 2)
  assert(ts.backtest(ts.seasonal_naive{period = 2}, y, {horizon = 2, windows = 1}).scores.mae)
end
