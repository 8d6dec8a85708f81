--- Time series: ARIMA and exponential smoothing by exact maximum likelihood, Theta,
--- decompositions, models that choose themselves, forecasts with intervals, backtests.
---
---     local ts = require "flowrun.ts"
---     local fit = ts.arima{order = {1, 0, 1}, seasonal = {0, 1, 1, period = 24}}
---       :fit(df, "kw", {time = "when"})
---     print(fit)                                   -- coefficients, standard errors, AIC
---     local fc = fit:forecast{steps = 24, levels = {80, 95}}   -- when, mean, lo80, hi80, …
---     local bt = ts.backtest(ts.seasonal_naive{period = 24}, df, "kw", {time = "when"})
---     print(bt.scores.mape)                        -- 0.037: 3.7 %
---
--- Missing values are allowed: with `time` the spacing is checked and absent rows become
--- missing values, which the Kalman filter handles.
local core = require "flowrun.core.ts"
local args = require "flowrun.ts_args"
local frame = require "flowrun.frame"

local invalid, options_of, whole = args.invalid, args.options_of, args.whole

-- Functions are documented in their own modules.
local ts = {}
for _, part in ipairs{"ts_models", "ts_score", "ts_explore", "ts_auto"} do
  for name, value in pairs(require("flowrun." .. part)) do ts[name] = value end
end
for _, name in ipairs{"choice", "is_spec", "periods_of", "differenced"} do ts[name] = nil end

---@class flowrun.SeriesSpec a model to be fitted; made by ts.arima, ts.ets, ts.theta …
---@class flowrun.Forecaster a fitted model; immutable, may be passed between tasks
---@field llf number log-likelihood
---@field aic number
---@field aicc number
---@field bic number
---@field sigma2 number variance of the innovations
---@field kind string "arima", "ets", "theta", "mstl"
---@field params table<string, number> ar1, ma1, sar1, const or drift, regressors; alpha …; sigma2
---@field se table<string, number> standard errors of the same
---@field order? integer[] {p, d, q}
---@field seasonal? table {P, D, Q, period =}
---@field title string
---@field target string
---@field rows integer on the grid of times, gaps included
---@field observed integer values that are not missing
---@field used integer values that enter the likelihood
---@field converged boolean
---@field iterations integer
---@field training string hash of the data fitted on
---@field version string of the library that fitted it

-- --- fitted models ---

local methods = {}
local fields = {}

--- The values after the last row: the time column (or `step`), `mean`, and per level `lo80`,
--- `hi80` …: bounds between which that percentage of values is expected. `forecast(24)` is
--- short for `forecast{steps = 24}`.
---@param options integer|{steps: integer, levels?: number[], exog?: flowrun.Frame} levels {80, 95}
---@return flowrun.Frame
function methods:forecast(options)
  if type(options) == "number" then options = {steps = options} end
  local o = options_of("forecast", options, {"steps", "levels", "exog"})
  if o.steps == nil then invalid("forecast: how many steps? forecast{steps = 24}") end
  local levels = o.levels or {80, 95}
  if type(levels) ~= "table" then levels = {levels} end
  if o.exog and not frame.is_frame(o.exog) then
    invalid("forecast: exog is a frame with a row per step, got a %s", type(o.exog))
  end
  return core.forecast(self, whole("forecast: steps", o.steps), o.exog, levels)
end

--- One-step errors on the rows fitted on: the time column (or `step`) and `residual`.
---@return flowrun.Frame
function methods:residuals() return core.residuals(self) end

--- Writes the model to a file that `ts.load` reads.
---@param path string
function methods:save(path) core.save(self, path) end

local function significance(z)
  local p = core.normal_tail(z)
  return p < 1e-4 and "<.0001" or ("%.4f"):format(p):gsub("^0", "")
end

-- One line of the table; models by smoothing have no standard errors.
local function coef_line(name, value, se)
  if se ~= se then return ("%-16s %14.6g"):format(name, value) end
  local z = value / se
  return ("%-16s %14.6g %12.4g %9.2f %8s"):format(name, value, se, z, significance(z))
end

--- What was fitted, as text: coefficients with standard errors, criteria, warnings.
---@return string
function methods:summary()
  local i = core.info(self)
  local of = i.target ~= "" and " of " .. i.target or ""
  local lines = {("%s%s%s"):format(i.title, of, i.step and (", step " .. i.step) or "")}
  local missing = i.rows - i.observed
  lines[2] = ("%d rows%s, %d in the likelihood"):format(i.rows,
    missing > 0 and (", %d missing"):format(missing) or "", i.used)
  if i.llf == i.llf then
    lines[3] = ("log-likelihood %.3f  AIC %.2f  AICc %.2f  BIC %.2f"):format(i.llf, i.aic, i.aicc,
      i.bic)
  end
  lines[#lines + 1] = ""
  local with_se = i.kind == "arima"
  lines[#lines + 1] = ("%-16s %14s"):format("", "value")
    .. (with_se and (" %12s %9s %8s"):format("std. error", "z", "P>|z|") or "")
  for _, c in ipairs(i.coefs) do
    lines[#lines + 1] = coef_line(c.name, c.value, c.se)
  end
  lines[#lines + 1] = ("%-16s %14.6g"):format("sigma2", i.sigma2)
    .. (with_se and (" %12.4g"):format(i.sigma2_se) or "")
  if not i.converged then
    lines[#lines + 1] = ("the search did not converge in %d iterations%s"):format(i.iterations,
      with_se and ": try starts = 8 or a simpler order" or "")
  end
  return table.concat(lines, "\n")
end

local function by_name(i, key, last)
  local out = {}
  for _, c in ipairs(i.coefs) do out[c.name] = c[key] end
  out.sigma2 = last
  return out
end

for _, name in ipairs{"kind", "llf", "aic", "aicc", "bic", "sigma2", "title", "target", "time",
  "step", "rows", "observed", "used", "converged", "iterations", "training", "version", "exog"} do
  fields[name] = function(i) return i[name] end
end
function fields.params(i) return by_name(i, "value", i.sigma2) end
function fields.se(i) return by_name(i, "se", i.sigma2_se) end
function fields.order(i) return i.p and {i.p, i.d, i.q} end
function fields.seasonal(i) return i.P and {i.P, i.D, i.Q, period = i.period} end

local meta = core.meta
core.meta = nil

function meta.__index(self, key)
  if methods[key] then return methods[key] end
  if fields[key] then return fields[key](core.info(self)) end
  local known = {}
  for name in pairs(methods) do known[#known + 1] = name end
  for name in pairs(fields) do known[#known + 1] = name end
  local near = core.nearest(tostring(key), known)
  invalid("a fitted model has no field '%s'%s", tostring(key),
    near and ("; did you mean '%s'?"):format(near) or "")
end

function meta.__tostring(self) return self:summary() end

--- Reads a model that `fit:save` wrote.
---@param path string
---@return flowrun.Forecaster
function ts.load(path) return core.load(path) end

--- True for a fitted time-series model.
---@param v any
---@return boolean
function ts.is_forecaster(v) return core.is(v) end

return ts
