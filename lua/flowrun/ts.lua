--- Time series: ARIMA models by exact maximum likelihood, forecasts with intervals, backtests.
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
local error_class = require "flowrun.core.error"
local frame = require "flowrun.frame"

local ts = {}

---@class flowrun.SeriesSpec a model to be fitted; made by ts.arima, ts.seasonal_naive
---@class flowrun.Forecaster a fitted model; immutable, may be passed between tasks
---@field llf number log-likelihood
---@field aic number
---@field aicc number
---@field bic number
---@field sigma2 number variance of the innovations
---@field params table<string, number> ar1, ma1, sar1, sma1, const or drift, regressors, sigma2
---@field se table<string, number> standard errors of the same
---@field order integer[] {p, d, q}
---@field seasonal table {P, D, Q, period =}
---@field title string
---@field target string
---@field rows integer on the grid of times, gaps included
---@field observed integer values that are not missing
---@field used integer values that enter the likelihood
---@field converged boolean
---@field iterations integer
---@field training string hash of the data fitted on
---@field version string of the library that fitted it

---@class flowrun.ArimaOptions
---@field order integer[] {p, d, q}
---@field seasonal? table {P, D, Q, period = 24}
---@field seasonal_order? integer[] {P, D, Q, 24}: the same
---@field trend? string default "auto"
---@field starts? integer default 1
---@field max_iterations? integer default 200

---@class flowrun.BacktestOptions
---@field time? string
---@field exog? string[]|flowrun.Frame
---@field horizon? integer rows per forecast, default 24
---@field step? integer rows between origins, default the horizon
---@field windows? integer forecasts, default 10
---@field window? integer rows to fit on, default all before the origin
---@field levels? number[] default {80, 95}

local function invalid(format, ...) error_class.raise("invalid", format:format(...)) end

local function whole(what, v)
  local n = type(v) == "number" and math.tointeger(v)
  if not n then invalid("%s must be a whole number, got %s", what, tostring(v)) end
  return n
end

local function options_of(what, options, known)
  if options == nil then return {} end
  if type(options) ~= "table" then
    invalid("%s: options are a table, got a %s", what, type(options))
  end
  core.check(options, what, known)
  return options
end

-- --- specifications ---

local spec_methods = {}
local spec_class = {__name = "flowrun.SeriesSpec", __index = spec_methods, __metatable = "locked"}

function spec_class.__tostring(self) return self.title end

local trends = {auto = 0, none = 1, n = 1, constant = 2, c = 2, drift = 3, t = 3}

local function title_of(o)
  local title = ("ARIMA(%d,%d,%d)"):format(o.p, o.d, o.q)
  if o.P + o.D + o.Q > 0 then
    title = title .. ("(%d,%d,%d)[%d]"):format(o.P, o.D, o.Q, o.period)
  end
  return title
end

-- {p, d, q} or {P, D, Q} and, at place 4 or as `period`, the period.
local function triple(what, v, seasonal)
  local expected = seasonal and "{P, D, Q, period = 24}" or "{p, d, q}"
  if type(v) ~= "table" then invalid("%s must be %s, got a %s", what, expected, type(v)) end
  for key in pairs(v) do
    local place = math.type(key) == "integer" and key >= 1 and key <= (seasonal and 4 or 3)
    if not place and not (seasonal and key == "period") then
      invalid("%s must be %s, found the key %s", what, expected, tostring(key))
    end
  end
  for i = 1, 3 do
    if v[i] == nil then invalid("%s must be %s, item %d is missing", what, expected, i) end
  end
  local period = v.period or v[4]
  return whole(what .. "[1]", v[1]), whole(what .. "[2]", v[2]), whole(what .. "[3]", v[3]),
    period and whole(what .. ": the period", period) or 0
end

--- An ARIMA(p,d,q)(P,D,Q)s model with regressors. `trend`: "auto" (a constant when nothing is
--- differenced), "none", "constant", "drift" (a constant step per time, d + D = 1).
---
--- Likelihoods of these models have several maxima: the one uphill from the estimate of Hannan
--- and Rissanen is taken, as in other programs; `starts = 8` tries more and takes the best.
---@param options flowrun.ArimaOptions
---@return flowrun.SeriesSpec
function ts.arima(options)
  local o = options_of("ts.arima", options,
    {"order", "seasonal", "seasonal_order", "trend", "starts", "max_iterations"})
  if not o.order then invalid("ts.arima: the order is missing: ts.arima{order = {p, d, q}}") end
  if o.seasonal and o.seasonal_order then
    invalid("ts.arima: seasonal and seasonal_order mean the same; give one")
  end
  local self = {name = "arima", starts = whole("ts.arima: starts", o.starts or 1),
    max_iterations = whole("ts.arima: max_iterations", o.max_iterations or 0)}
  self.p, self.d, self.q = triple("ts.arima: order", o.order)
  self.P, self.D, self.Q, self.period = 0, 0, 0, 0
  local seasonal = o.seasonal or o.seasonal_order
  if seasonal then
    self.P, self.D, self.Q, self.period = triple("ts.arima: seasonal", seasonal, true)
  end
  self.trend = trends[o.trend or "auto"]
  if not self.trend then
    invalid("ts.arima: trend must be \"auto\", \"none\", \"constant\" or \"drift\", got %s",
      tostring(o.trend))
  end
  self.title = title_of(self)
  return setmetatable(self, spec_class)
end

--- The forecast that repeats the value one period ago, with the intervals of the random walk
--- by seasons. The yardstick that a model has to beat.
---@param options {period: integer} 24 for hours of a day; 1 repeats the last value
---@return flowrun.SeriesSpec
function ts.seasonal_naive(options)
  local o = options_of("ts.seasonal_naive", options, {"period"})
  local period = whole("ts.seasonal_naive: period", o.period)
  if period < 1 then invalid("ts.seasonal_naive: the period must be 1 or more, got %d", period) end
  local long = period > 1
  return setmetatable({name = "seasonal_naive", title = ("seasonal naive [%d]"):format(period),
    p = 0, d = long and 0 or 1, q = 0, P = 0, D = long and 1 or 0, Q = 0,
    period = long and period or 0, trend = trends.none, starts = 1, max_iterations = 0}, spec_class)
end

-- The arrays to fit on, from (frame, target, options) or (array, options).
local function take_data(what, data, target, options)
  if frame.is_frame(data) then
    if type(target) ~= "string" then
      invalid("%s: which column? fit(frame, \"kw\", {time = \"when\"})", what)
    end
    local o = options_of(what, options, {"time", "exog"})
    local exog = o.exog
    if type(exog) == "string" then exog = {exog} end
    if exog and not frame.is_frame(exog) then exog = data:select(exog) end
    return data:col(target), target, o.time and data:col(o.time), o.time, exog
  end
  local o = options_of(what, target, {"exog"})
  if type(data) ~= "table" and not frame.is_array(data) then
    invalid("%s: expected a frame or an array, got a %s", what, type(data))
  end
  if o.exog and not frame.is_frame(o.exog) then
    invalid("%s: exog beside an array is a frame of as many rows", what)
  end
  return frame.is_array(data) and data or frame.array(data), "", nil, nil, o.exog
end

--- Fits the model: `fit(frame, "kw", {time = "when", exog = {"temp_c"}})`, or
--- `fit(array, {exog = frame})`.
---@param data flowrun.Frame|flowrun.Array|number[]
---@param target? string|table the column; beside an array the options
---@param options? {time?: string, exog?: string[]|flowrun.Frame}
---@return flowrun.Forecaster
function spec_methods:fit(data, target, options)
  local what = "fit"
  local y, name, time, time_name, exog = take_data(what, data, target, options)
  if exog and #exog ~= #y then
    invalid("%s: exog has %d rows, the series %d", what, #exog, #y)
  end
  return core.fit(self, self.title, y, name, time, time_name, exog)
end

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

--- What was fitted, as text: coefficients with standard errors, criteria, warnings.
---@return string
function methods:summary()
  local i = core.info(self)
  local of = i.target ~= "" and " of " .. i.target or ""
  local lines = {("%s%s%s"):format(i.title, of, i.step and (", step " .. i.step) or "")}
  local missing = i.rows - i.observed
  lines[2] = ("%d rows%s, %d in the likelihood"):format(i.rows,
    missing > 0 and (", %d missing"):format(missing) or "", i.used)
  lines[3] = ("log-likelihood %.3f  AIC %.2f  AICc %.2f  BIC %.2f"):format(i.llf, i.aic, i.aicc,
    i.bic)
  lines[4] = ""
  lines[5] = ("%-16s %14s %12s %9s %8s"):format("", "value", "std. error", "z", "P>|z|")
  for _, c in ipairs(i.coefs) do
    local z = c.value / c.se
    lines[#lines + 1] = ("%-16s %14.6g %12.4g %9.2f %8s"):format(c.name, c.value, c.se, z,
      significance(z))
  end
  lines[#lines + 1] = ("%-16s %14.6g %12.4g"):format("sigma2", i.sigma2, i.sigma2_se)
  if not i.converged then
    lines[#lines + 1] = ("the search did not converge in %d iterations: try starts = 8 or a "
      .. "simpler order"):format(i.iterations)
  end
  return table.concat(lines, "\n")
end

local function by_name(i, key, last)
  local out = {}
  for _, c in ipairs(i.coefs) do out[c.name] = c[key] end
  out.sigma2 = last
  return out
end

for _, name in ipairs{"llf", "aic", "aicc", "bic", "sigma2", "title", "target", "time", "step",
  "rows", "observed", "used", "converged", "iterations", "training", "version", "exog"} do
  fields[name] = function(i) return i[name] end
end
function fields.params(i) return by_name(i, "value", i.sigma2) end
function fields.se(i) return by_name(i, "se", i.sigma2_se) end
function fields.order(i) return {i.p, i.d, i.q} end
function fields.seasonal(i) return {i.P, i.D, i.Q, period = i.period} end

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

-- --- scores ---

--- Mean absolute error. Here and below rows whose actual value is missing do not count.
---@param actual fr.column
---@param forecast fr.column
---@return number
function ts.mae(actual, forecast) return core.score("mae", actual, forecast) end

--- Root of the mean squared error.
---@param actual fr.column
---@param forecast fr.column
---@return number
function ts.rmse(actual, forecast) return core.score("rmse", actual, forecast) end

--- Mean error, forecast minus actual.
---@param actual fr.column
---@param forecast fr.column
---@return number
function ts.bias(actual, forecast) return core.score("bias", actual, forecast) end

--- Mean absolute percentage error, as a fraction: 0.05 is 5 %. An actual value of 0 is an error.
---@param actual fr.column
---@param forecast fr.column
---@return number
function ts.mape(actual, forecast) return core.score("mape", actual, forecast) end

--- Symmetric percentage error, as a fraction: the mean of 2 |y - f| / (|y| + |f|), as in the M4
--- competition.
---@param actual fr.column
---@param forecast fr.column
---@return number
function ts.smape(actual, forecast) return core.score("smape", actual, forecast) end

--- Mean absolute scaled error (Hyndman 2006): relative to the mean absolute change over one
--- period in the training series.
---@param actual fr.column
---@param forecast fr.column
---@param train fr.column
---@param period? integer default 1
---@return number
function ts.mase(actual, forecast, train, period)
  if train == nil then invalid("mase: the training series is missing: mase(y, f, train, 24)") end
  return core.score("mae", actual, forecast) / core.scale(train, period or 1)
end

--- Pinball loss of a forecast of the q-quantile.
---@param actual fr.column
---@param forecast fr.column
---@param q number between 0 and 1
---@return number
function ts.pinball(actual, forecast, q)
  if type(q) ~= "number" then invalid("pinball: which quantile? pinball(y, f, 0.9)") end
  return core.score("pinball", actual, forecast, q)
end

--- The share of actual values between the bounds: near .8 for a good 80 % interval.
---@param actual fr.column
---@param lo fr.column
---@param hi fr.column
---@return number
function ts.coverage(actual, lo, hi) return core.coverage(actual, lo, hi) end

-- --- backtest ---

local function backtest_plan(rows, o)
  local horizon = whole("ts.backtest: horizon", o.horizon or 24)
  local step = whole("ts.backtest: step", o.step or horizon)
  local windows = whole("ts.backtest: windows", o.windows or 10)
  if horizon < 1 or step < 1 or windows < 1 then
    invalid("ts.backtest: horizon, step and windows must be 1 or more")
  end
  local first = rows - horizon - (windows - 1) * step
  if first < 2 then
    invalid("ts.backtest: %d windows of %d rows, %d apart, leave nothing of %d rows to fit on",
      windows, horizon, step, rows)
  end
  return horizon, step, windows, first
end

local function future_exog(data, names, from, to)
  if not names then return nil end
  if frame.is_frame(names) then return names:slice(from, to) end
  return data:select(names):slice(from, to)
end

-- Scores of all rows together; the parts of a list per window are joined.
local function backtest_scores(rows, levels, train, period)
  local y, f = rows.actual, rows.mean
  local scores = {mae = ts.mae(y, f), rmse = ts.rmse(y, f), bias = ts.bias(y, f),
    smape = ts.smape(y, f)}
  local ok, mape = pcall(ts.mape, y, f)
  if ok then scores.mape = mape end
  ok, scores.mase = pcall(ts.mase, y, f, train, period)
  if not ok then scores.mase = nil end
  for _, level in ipairs(levels) do
    local name = ("%.10g"):format(level)
    local lo, hi = rows:col("lo" .. name), rows:col("hi" .. name)
    scores["coverage" .. name] = ts.coverage(y, lo, hi)
    scores["pinball" .. name] = (ts.pinball(y, lo, 0.5 - level / 200)
      + ts.pinball(y, hi, 0.5 + level / 200)) / 2
  end
  return scores
end

--- Fits at rolling origins and compares with what came: `windows` forecasts of `horizon` rows,
--- `step` rows apart, the last one ending with the data; each is fitted on all rows before it
--- (or on the last `window`). Rows must be regular; missing values are nulls.
---
--- Gives {rows = frame of window, step, actual, mean, lo, hi …; scores = {mae, rmse, bias,
--- mape, smape, mase, coverage80, pinball80, …}; windows = list of {first, last, mape …}}.
--- MASE is scaled by the rows before the first window over one period of the model.
---@param spec flowrun.SeriesSpec
---@param data flowrun.Frame|flowrun.Array
---@param target? string|table the column; beside an array the options
---@param options? flowrun.BacktestOptions
---@return table
function ts.backtest(spec, data, target, options)
  if getmetatable(spec) ~= "locked" or type(spec) ~= "table" or not spec.title then
    invalid("ts.backtest: the first argument is a model such as ts.arima{…}")
  end
  local is_frame = frame.is_frame(data)
  if not is_frame then target, options = nil, target end
  local o = options_of("ts.backtest", options,
    {"time", "exog", "horizon", "step", "windows", "window", "levels"})
  local levels = o.levels or {80, 95}
  if not is_frame then
    data = frame.from{{"value", data}}
    target = "value"
  end
  local horizon, step, windows, first = backtest_plan(#data, o)
  local parts, list = {}, {}
  for w = 1, windows do
    local last = first + (w - 1) * step
    local from = o.window and math.max(1, last - o.window + 1) or 1
    local exog = future_exog(data, o.exog, from, last)
    local fit = spec:fit(data:slice(from, last), target, {time = o.time, exog = exog})
    local fc = fit:forecast{steps = horizon, levels = levels,
      exog = future_exog(data, o.exog, last + 1, last + horizon)}
    local actual = data:slice(last + 1, last + horizon):col(target)
    local number = {}
    for k = 1, horizon do number[k] = w end
    local columns = {{"window", number}}
    for _, name in ipairs(fc.columns) do columns[#columns + 1] = {name, fc:col(name)} end
    table.insert(columns, 3, {"actual", actual:cast("float64")})
    parts[w] = frame.from(columns)
    local ok, mape = pcall(ts.mape, actual, fc.mean)
    list[w] = {first = last + 1, last = last + horizon, mape = ok and mape or nil,
      rmse = ts.rmse(actual, fc.mean)}
  end
  local rows = frame.concat(parts)
  local train = data:slice(1, first):col(target)
  return {rows = rows, windows = list,
    scores = backtest_scores(rows, levels, train, math.max(1, spec.period))}
end

return ts
