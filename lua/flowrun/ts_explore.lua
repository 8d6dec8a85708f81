--- What a series says of itself: autocorrelations, tests, decompositions. All are functions of
--- `flowrun.ts`.
local core = require "flowrun.core.ts_explore"
local array = require "flowrun.core.array"
local args = require "flowrun.ts_args"
local frame = require "flowrun.frame"
local models = require "flowrun.ts_models"

local invalid, options_of, whole = args.invalid, args.options_of, args.whole

local ts_explore = {}

---@class flowrun.SeriesTest
---@field statistic number
---@field p number
---@field lags integer
---@field used integer rows that entered

---@class flowrun.StlOptions
---@field period integer
---@field season_window? integer|string odd, 7; "periodic"
---@field trend_window? integer odd, from period and season_window
---@field low_window? integer odd, the next one over the period
---@field season_degree? integer 0 or 1, the default; so are trend_degree, low_degree
---@field season_jump? integer rows between fits, a tenth of the window; trend_jump, low_jump
---@field robust? boolean weigh outliers down
---@field inner? integer rounds, 2 (1 with robust)
---@field outer? integer rounds of weights, 15 with robust
---@field time? string

-- A float array without missing values.
local function series(what, y)
  if type(y) ~= "table" and not array.is(y) then
    invalid("%s: expected an array or a list of numbers, got a %s", what, type(y))
  end
  local a = frame.array(y)
  if #a == 0 then invalid("%s: the series is empty", what) end
  if a:null_count() > 0 then
    invalid("%s: %d of %d values are missing; fill them first (ts.fill)", what, a:null_count(), #a)
  end
  return a:cast("float64")
end

local function lags_of(what, lags, rows)
  local n = lags == nil and math.min(rows - 1, math.floor(10 * math.log(rows, 10))) or
    whole(what .. ": lags", lags)
  if n < 1 or n >= rows then invalid("%s: lags must be 1 to %d, got %d", what, rows - 1, n) end
  return n
end

--- Autocorrelations r₀ … r_lags: sums over all rows divided by n, as R's acf.
---@param y fr.column
---@param lags? integer default 10 log10(n)
---@return flowrun.Array lags + 1 values, the first is 1
function ts_explore.acf(y, lags)
  local a = series("ts.acf", y)
  return core.acf(a, lags_of("ts.acf", lags, #a))
end

--- Partial autocorrelations by the recursion of Durbin and Levinson, as R's pacf.
---@param y fr.column
---@param lags? integer default 10 log10(n)
---@return flowrun.Array lags + 1 values, the first is 1
function ts_explore.pacf(y, lags)
  local a = series("ts.pacf", y)
  return core.pacf(a, lags_of("ts.pacf", lags, #a))
end

local trends = {n = "n", none = "n", c = "c", constant = "c", ct = "t", line = "t"}

local function trend_of(what, v, default)
  local t = trends[v or default]
  if not t then
    invalid("%s: trend must be \"none\", \"constant\" or \"line\", got %s", what, tostring(v))
  end
  return t
end

--- The augmented Dickey-Fuller test: a small p speaks against a unit root. Lags by AIC unless
--- given; p by MacKinnon (1994).
---@param y fr.column
---@param options? {trend?: string, lags?: integer} trend "constant" by default
---@return flowrun.SeriesTest
function ts_explore.adf(y, options)
  local o = options_of("ts.adf", options, {"trend", "lags"})
  local lags = o.lags and whole("ts.adf: lags", o.lags) or -1
  return core.adf(series("ts.adf", y), trend_of("ts.adf", o.trend, "constant"), lags)
end

--- The test of Kwiatkowski, Phillips, Schmidt and Shin (1992): a small p speaks against a
--- series that is stationary around a constant (or a "line"). p is interpolated in their table
--- and stays within .01 to .1.
---@param y fr.column
---@param options? {trend?: string, lags?: integer}
---@return flowrun.SeriesTest
function ts_explore.kpss(y, options)
  local o = options_of("ts.kpss", options, {"trend", "lags"})
  local trend = trend_of("ts.kpss", o.trend, "constant")
  if trend == "n" then invalid("ts.kpss: trend must be \"constant\" or \"line\"") end
  local lags = o.lags and whole("ts.kpss: lags", o.lags) or -1
  return core.kpss(series("ts.kpss", y), trend, lags)
end

--- The test of Ljung and Box (1978): a small p speaks for autocorrelation up to `lags`.
--- `fitted` is the number of parameters of the model whose residuals these are.
---@param y fr.column
---@param options? {lags?: integer, fitted?: integer} lags 10
---@return flowrun.SeriesTest
function ts_explore.ljung_box(y, options)
  local o = options_of("ts.ljung_box", options, {"lags", "fitted"})
  return core.ljung_box(series("ts.ljung_box", y), whole("ts.ljung_box: lags", o.lags or 10),
    whole("ts.ljung_box: fitted", o.fitted or 0))
end

--- The series with missing values filled in: on a line between neighbours, ends with the nearest.
---@param y fr.column
---@return flowrun.Array
function ts_explore.fill(y) return core.fill(frame.array(y):cast("float64")) end

-- The series as given, filled, and the frame's other columns to stand beside the results.
local function take(what, data, target, options)
  local y, name, time, time_name = args.take_data(what, data, target, options)
  local columns = {}
  if time then columns[1] = {time_name, time} end
  columns[#columns + 1] = {name == "" and "value" or name, y}
  return core.fill(y:cast("float64")), columns
end

local function split_options(data, target, options)
  local is_frame = frame.is_frame(data)
  local o = options
  if not is_frame then o = target end
  local own, rest = {}, {}
  for k, v in pairs(o or {}) do
    if k == "time" then rest.time = v else own[k] = v end
  end
  return own, is_frame and rest or nil
end

--- Splits a series into season, trend and rest by local regressions (STL). Windows are odd
--- numbers of rows; `season_window = "periodic"` keeps one season all over.
---
---     ts.stl(df, "kw", {period = 24, time = "when"})        -- when, kw, trend, season, rest
---
--- Source: Cleveland, Cleveland, McRae, Terpenning (1990); results agree with R's stl and
--- statsmodels' STL at equal parameters.
---@param data flowrun.Frame|flowrun.Array
---@param target? string|table the column; beside an array the options
---@param options? flowrun.StlOptions
---@return flowrun.Frame
function ts_explore.stl(data, target, options)
  local o, rest = split_options(data, target, options)
  o = options_of("ts.stl", o, {"period", "season_window", "trend_window", "low_window",
    "season_degree", "trend_degree", "low_degree", "season_jump", "trend_jump", "low_jump",
    "robust", "inner", "outer"})
  local spec = {robust = o.robust == true, period = whole("ts.stl: period", o.period),
    season_degree = 1, trend_degree = 1, low_degree = 1, season_window = 7}
  for key, v in pairs(o) do
    if key == "season_window" and v == "periodic" then v = 0 end
    if key ~= "robust" then spec[key] = whole("ts.stl: " .. key, v) end
  end
  for _, part in ipairs{"season", "trend", "low"} do
    local degree = spec[part .. "_degree"]
    if degree ~= 0 and degree ~= 1 then
      invalid("ts.stl: %s_degree must be 0 or 1, got %d", part, degree)
    end
  end
  local y, columns = take("ts.stl", data, frame.is_frame(data) and target or nil, rest)
  local season, trend, weights = core.stl(y, spec)
  columns[#columns + 1] = {"trend", trend}
  columns[#columns + 1] = {"season", season}
  columns[#columns + 1] = {"rest", y - trend - season}
  if spec.robust then columns[#columns + 1] = {"weight", weights} end
  return frame.from(columns)
end

--- Splits a series with several seasons (MSTL): columns trend, season24, season168 …, rest.
---@param data flowrun.Frame|flowrun.Array
---@param target? string|table the column; beside an array the options
---@param options? table {period = {24, 168}, windows = {11, 15}, robust = false, time =}
---@return flowrun.Frame
function ts_explore.mstl_split(data, target, options)
  local o, rest = split_options(data, target, options)
  o = options_of("ts.mstl_split", o, {"period", "windows", "robust"})
  local periods = models.periods_of("ts.mstl_split: period", o.period)
  local y, columns = take("ts.mstl_split", data, frame.is_frame(data) and target or nil, rest)
  local parts = table.pack(core.mstl(y, periods, o.windows, o.robust == true))
  columns[#columns + 1] = {"trend", parts[1]}
  local left = y - parts[1]
  for k, p in ipairs(periods) do
    columns[#columns + 1] = {"season" .. p, parts[k + 1]}
    left = left - parts[k + 1]
  end
  columns[#columns + 1] = {"rest", left}
  return frame.from(columns)
end

-- --- how often to difference ---

local function differenced(y, lag)
  if lag >= #y then return frame.array{} end
  return y:slice(lag + 1, #y) - y:slice(1, #y - lag)
end
ts_explore.differenced = differenced

--- How strong the season of a period is, 0 to 1: 1 − var(rest) / var(season + rest) of the STL
--- decomposition (Wang, Smith, Hyndman 2006). Above .64 a seasonal difference is due.
---@param y fr.column
---@param period integer
---@return number
function ts_explore.seasonal_strength(y, period)
  local a = core.fill(frame.array(y):cast("float64"))
  if #a < 2 * period then return 0.0 end
  local trend, season = core.mstl(a, {period}, nil, false)
  local rest = a - trend - season
  local all = (a - trend):var()
  if not all or all <= 0 then return 0.0 end
  return math.max(0.0, math.min(1.0, 1 - rest:var() / all))
end

--- Differences after which the KPSS test finds no unit root (5 %), as R's ndiffs.
---@param y fr.column
---@param most? integer default 2
---@return integer
function ts_explore.ndiffs(y, most)
  local a = core.fill(frame.array(y):cast("float64"))
  local d = 0
  while d < (most or 2) and #a > 3 and a:min() < a:max() do
    local test = core.kpss(a, "c", math.floor(3 * math.sqrt(#a) / 13))
    if test.p > 0.05 then break end
    d = d + 1
    a = differenced(a, 1)
  end
  return d
end

--- 1 when the season of that period is strong enough to be differenced away, else 0 (R's
--- nsdiffs with test "seas").
---@param y fr.column
---@param period integer
---@return integer
function ts_explore.nsdiffs(y, period)
  if period < 2 then return 0 end
  return ts_explore.seasonal_strength(y, period) > 0.64 and 1 or 0
end

return ts_explore
