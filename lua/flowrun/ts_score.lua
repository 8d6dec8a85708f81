--- How good forecasts are: measures and backtests. All are functions of `flowrun.ts`.
local core = require "flowrun.core.ts"
local args = require "flowrun.ts_args"
local frame = require "flowrun.frame"
local models = require "flowrun.ts_models"

local invalid, options_of, whole = args.invalid, args.options_of, args.whole

local ts_score = {}

---@class flowrun.BacktestOptions
---@field time? string
---@field exog? string[]|flowrun.Frame
---@field horizon? integer rows per forecast, default 24
---@field step? integer rows between origins, default the horizon
---@field windows? integer forecasts, default 10
---@field window? integer rows to fit on, default all before the origin
---@field levels? number[] default {80, 95}

-- --- scores ---

--- Mean absolute error. Here and below rows whose actual value is missing do not count.
---@param actual fr.column
---@param forecast fr.column
---@return number
function ts_score.mae(actual, forecast) return core.score("mae", actual, forecast) end

--- Root of the mean squared error.
---@param actual fr.column
---@param forecast fr.column
---@return number
function ts_score.rmse(actual, forecast) return core.score("rmse", actual, forecast) end

--- Mean error, forecast minus actual.
---@param actual fr.column
---@param forecast fr.column
---@return number
function ts_score.bias(actual, forecast) return core.score("bias", actual, forecast) end

--- Mean absolute percentage error, as a fraction: 0.05 is 5 %. An actual value of 0 is an error.
---@param actual fr.column
---@param forecast fr.column
---@return number
function ts_score.mape(actual, forecast) return core.score("mape", actual, forecast) end

--- Symmetric percentage error, as a fraction: the mean of 2 |y - f| / (|y| + |f|), as in the M4
--- competition.
---@param actual fr.column
---@param forecast fr.column
---@return number
function ts_score.smape(actual, forecast) return core.score("smape", actual, forecast) end

--- Mean absolute scaled error (Hyndman 2006): relative to the mean absolute change over one
--- period in the training series.
---@param actual fr.column
---@param forecast fr.column
---@param train fr.column
---@param period? integer default 1
---@return number
function ts_score.mase(actual, forecast, train, period)
  if train == nil then invalid("mase: the training series is missing: mase(y, f, train, 24)") end
  return core.score("mae", actual, forecast) / core.scale(train, period or 1)
end

--- Pinball loss of a forecast of the q-quantile.
---@param actual fr.column
---@param forecast fr.column
---@param q number between 0 and 1
---@return number
function ts_score.pinball(actual, forecast, q)
  if type(q) ~= "number" then invalid("pinball: which quantile? pinball(y, f, 0.9)") end
  return core.score("pinball", actual, forecast, q)
end

--- The share of actual values between the bounds: near .8 for a good 80 % interval.
---@param actual fr.column
---@param lo fr.column
---@param hi fr.column
---@return number
function ts_score.coverage(actual, lo, hi) return core.coverage(actual, lo, hi) end

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
  local scores = {mae = ts_score.mae(y, f), rmse = ts_score.rmse(y, f), bias = ts_score.bias(y, f),
    smape = ts_score.smape(y, f)}
  local ok, mape = pcall(ts_score.mape, y, f)
  if ok then scores.mape = mape end
  ok, scores.mase = pcall(ts_score.mase, y, f, train, period)
  if not ok then scores.mase = nil end
  for _, level in ipairs(levels) do
    local name = ("%.10g"):format(level)
    local lo, hi = rows:col("lo" .. name), rows:col("hi" .. name)
    scores["coverage" .. name] = ts_score.coverage(y, lo, hi)
    scores["pinball" .. name] = (ts_score.pinball(y, lo, 0.5 - level / 200)
      + ts_score.pinball(y, hi, 0.5 + level / 200)) / 2
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
function ts_score.backtest(spec, data, target, options)
  if not models.is_spec(spec) then
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
    local ok, mape = pcall(ts_score.mape, actual, fc.mean)
    list[w] = {first = last + 1, last = last + horizon, mape = ok and mape or nil,
      rmse = ts_score.rmse(actual, fc.mean)}
  end
  local rows = frame.concat(parts)
  local train = data:slice(1, first):col(target)
  return {rows = rows, windows = list,
    scores = backtest_scores(rows, levels, train, math.max(1, spec.period))}
end

---@class flowrun.ConformalOptions
---@field steps integer rows to forecast
---@field levels? number[] {80, 95}
---@field windows? integer backtests that the errors come from, 20
---@field step? integer rows between them, default 1
---@field time? string
---@field exog? string[]
---@field future? flowrun.Frame regressors of the steps to come

-- The half width that holds `level` percent of new errors, by the errors of the past (Vovk,
-- Gammerman, Shafer 2005); infinite when they are too few for that level.
local function conformal_width(errors, level)
  local k = math.ceil((#errors + 1) * level / 100)
  return errors[k] or math.huge
end

--- A forecast with split-conformal bounds: as wide as the errors of past forecasts of the same
--- step were, whatever their distribution. `windows` must be at least level / (100 - level):
--- 19 for 95 %.
---
---     ts.conformal(ts.arima{order = {1, 0, 1}}, df, "kw", {steps = 24, windows = 40})
---
--- Source: Lei, G'Sell, Rinaldo, Tibshirani, Wasserman (2018), per step as Stankeviciute et al.
--- (2021) do without their correction.
---@param spec flowrun.SeriesSpec
---@param data flowrun.Frame
---@param target string
---@param options flowrun.ConformalOptions
---@return flowrun.Frame as fit:forecast gives it
function ts_score.conformal(spec, data, target, options)
  local o = options_of("ts.conformal", options,
    {"steps", "levels", "windows", "step", "time", "exog", "future"})
  local steps = whole("ts.conformal: steps", o.steps)
  local levels, windows = o.levels or {80, 95}, whole("ts.conformal: windows", o.windows or 20)
  for _, level in ipairs(levels) do
    if not (level > 0 and level < 100) then
      invalid("ts.conformal: a level is a percentage between 0 and 100, got %s", tostring(level))
    end
    if math.ceil((windows + 1) * level / 100) > windows then
      invalid("ts.conformal: a level of %g needs at least %d windows, got %d", level,
        math.ceil(level / (100 - level)), windows)
    end
  end
  local past = ts_score.backtest(spec, data, target, {horizon = steps, windows = windows,
    step = o.step or 1, time = o.time, exog = o.exog, levels = {}}).rows
  local errors = {}
  local actual, mean = past.actual:to_table(), past.mean:to_table()
  for h = 1, steps do errors[h] = {} end
  for i = 1, #past do
    if actual[i] ~= frame.null then
      table.insert(errors[(i - 1) % steps + 1], math.abs(actual[i] - mean[i]))
    end
  end
  local fc = spec:fit(data, target, {time = o.time, exog = o.exog})
    :forecast{steps = steps, levels = {}, exog = o.future}
  local columns = {}
  for _, name in ipairs(fc.columns) do columns[#columns + 1] = {name, fc:col(name)} end
  for h = 1, steps do table.sort(errors[h]) end
  for _, level in ipairs(levels) do
    local lo, hi = {}, {}
    for h = 1, steps do
      local width = conformal_width(errors[h], level)
      lo[h], hi[h] = fc.mean[h] - width, fc.mean[h] + width
    end
    columns[#columns + 1] = {("lo%.10g"):format(level), lo}
    columns[#columns + 1] = {("hi%.10g"):format(level), hi}
  end
  return frame.from(columns)
end

return ts_score
