--- Models of time series to be fitted: ARIMA, exponential smoothing, Theta, decomposition, the
--- naive forecasts. All are functions of `flowrun.ts`.
local core = require "flowrun.core.ts"
local args = require "flowrun.ts_args"

local invalid, options_of, take_data, whole = args.invalid, args.options_of, args.take_data,
  args.whole

local ts_models = {}

---@class flowrun.ArimaOptions
---@field order integer[] {p, d, q}
---@field seasonal? table {P, D, Q, period = 24}
---@field seasonal_order? integer[] {P, D, Q, 24}: the same
---@field trend? string default "auto"
---@field starts? integer default 1
---@field max_iterations? integer default 200

---@class flowrun.EtsOptions
---@field model? string the three letters at once: "AAA", "MAdM", "ANN"; "Z" stands for auto
---@field error? string "A" additive, "M" multiplicative, "auto"
---@field trend? string "N" none, "A" additive, "auto"
---@field season? string "N" none, "A" additive, "M" multiplicative, "auto"
---@field damped? boolean the trend fades; default: what AICc prefers
---@field period? integer rows of a season
---@field alpha? number smoothing of the level, estimated unless given; so are:
---@field beta? number of the trend
---@field gamma? number of the season
---@field phi? number damping
---@field initial? table {level =, trend =, season = {…}} before the first row
---@field max_iterations? integer default 300

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
function ts_models.arima(options)
  local o = options_of("ts.arima", options,
    {"order", "seasonal", "seasonal_order", "trend", "starts", "max_iterations"})
  if not o.order then invalid("ts.arima: the order is missing: ts.arima{order = {p, d, q}}") end
  if o.seasonal and o.seasonal_order then
    invalid("ts.arima: seasonal and seasonal_order mean the same; give one")
  end
  local self = {kind = "arima", name = "arima", starts = whole("ts.arima: starts", o.starts or 1),
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
function ts_models.seasonal_naive(options)
  local o = options_of("ts.seasonal_naive", options, {"period"})
  local period = whole("ts.seasonal_naive: period", o.period)
  if period < 1 then invalid("ts.seasonal_naive: the period must be 1 or more, got %d", period) end
  local long = period > 1
  return setmetatable({kind = "arima", name = "seasonal_naive",
    title = ("seasonal naive [%d]"):format(period), p = 0, d = long and 0 or 1, q = 0, P = 0,
    D = long and 1 or 0, Q = 0, period = long and period or 0, trend = trends.none, starts = 1,
    max_iterations = 0}, spec_class)
end

-- --- exponential smoothing ---

local letters = {error = "AM", trend = "NA", season = "NAM"}

-- "A", "M", "N", "auto" in any usual spelling.
local function letter(what, v, allowed)
  if v == nil or v == "auto" or v == "Z" then return "auto" end
  local words = {additive = "A", add = "A", multiplicative = "M", mul = "M", none = "N"}
  local l = words[v] or v
  if v == false then l = "N" end
  if type(l) ~= "string" or #l ~= 1 or not allowed:find(l, 1, true) then
    invalid("%s must be one of %s or \"auto\", got %s", what,
      (allowed:gsub(".", "\"%0\" "):gsub(" $", "")), tostring(v))
  end
  return l
end

local function split_model(model)
  if type(model) ~= "string" then
    invalid("ts.ets: model must be letters such as \"AAdM\", got a %s", type(model))
  end
  local e, t, d, s = model:match("^([AMZ])([NAZ])(d?)([NAMZ])$")
  if not e then
    invalid("ts.ets: model must be three letters: error A M Z, trend N A Ad Z, season N A M Z, "
      .. "got %q", model)
  end
  local damped
  if d == "d" then damped = true elseif t ~= "Z" then damped = false end
  return e, t, damped, s
end

local function share(what, v, least, most)
  if v == nil then return nil end
  if type(v) ~= "number" or not (v >= least and v <= most) then
    invalid("%s must be a number from %g to %g, got %s", what, least, most, tostring(v))
  end
  return v + 0.0
end

local function initial_states(what, v, self)
  if v == nil then return nil end
  if type(v) ~= "table" then invalid("%s must be {level =, trend =, season = {…}}", what) end
  core.check(v, what, {"level", "trend", "season"})
  local out = {v.level, v.trend or 0.0}
  if type(v.level) ~= "number" then invalid("%s: the level is missing", what) end
  for k = 1, self.period do
    local s = self.season == "N" and 0.0 or (v.season or {})[k]
    if type(s) ~= "number" then
      invalid("%s: season needs %d numbers, number %d is missing", what, self.period, k)
    end
    out[k + 2] = s
  end
  return out
end

local function ets_title(o)
  local season = o.season ~= "N" and ("[%d]"):format(o.period) or ""
  local function show(l) return l == "auto" and "Z" or l end
  return ("ETS(%s,%s%s,%s)%s"):format(show(o.error), show(o.trend), o.damped and "d" or "",
    show(o.season), season)
end

-- The models that AICc chooses among (those of R's forecast::ets).
local function candidates(self, positive)
  local list = {}
  for e in ("AM"):gmatch(".") do
    for _, t in ipairs{{"N", false}, {"A", false}, {"A", true}} do
      for s in ("NAM"):gmatch(".") do
        local wanted = (self.error == "auto" or self.error == e)
          and (self.trend == "auto" or self.trend == t[1])
          and (self.season == "auto" or self.season == s)
          and (self.damped == nil or self.damped == t[2]
            or t[1] == "N" and self.trend == "auto")
          and (s == "N" or self.period > 1)
        local sound = not (e == "A" and s == "M") or (self.error == "A" and self.season == "M")
        if wanted and sound and (positive or e == "A" and s ~= "M") then
          list[#list + 1] = {error = e, trend = t[1], damped = t[2], season = s}
        end
      end
    end
  end
  return list
end

local function is_positive(y)
  local least = y:min()
  return least ~= nil and least > 0
end

local function ets_of(self, form)
  local one = {}
  for k, v in pairs(self) do one[k] = v end
  for k, v in pairs(form) do one[k] = v end
  one.period = form.season == "N" and 1 or self.period
  one.choose = nil
  one.title = self.fixed_title or ets_title(one)
  return setmetatable(one, spec_class)
end

-- The candidate of least AICc.
local function choose_ets(self, data, target, options)
  local y = take_data("fit", data, target, options)
  local best, first_error
  local list = candidates(self, is_positive(y))
  for _, form in ipairs(list) do
    local ok, fit = pcall(spec_methods.fit, ets_of(self, form), data, target, options)
    if ok and (not best or fit.aicc < best.aicc) then best = fit end
    if not ok then
      if type(fit) == "table" and fit.code == "cancelled" or fit.code == "timeout" then
        error(fit, 0)
      end
      first_error = first_error or fit
    end
  end
  if best then return best end
  if first_error then error(first_error, 0) end
  invalid("%s: no model fits a series that is not positive; use additive error and season",
    self.title)
end

--- Exponential smoothing in state-space form, by maximum likelihood. What is left open (or
--- "auto") is chosen by AICc among the stable models: `ts.ets{period = 24}` looks at all.
---
---     ts.ets{model = "AAdA", period = 24}:fit(df, "kw", {time = "when"})
---
--- Source: Hyndman, Koehler, Ord, Snyder (2008); bounds and choice as in R's forecast::ets.
---@param options? flowrun.EtsOptions
---@return flowrun.SeriesSpec
function ts_models.ets(options)
  local o = options_of("ts.ets", options, {"model", "error", "trend", "season", "damped",
    "period", "alpha", "beta", "gamma", "phi", "initial", "max_iterations"})
  local self = {kind = "ets", name = "ets", period = whole("ts.ets: period", o.period or 1)}
  if o.model then
    self.error, self.trend, self.damped, self.season = split_model(o.model)
    if o.error or o.trend or o.season then
      invalid("ts.ets: give model or error, trend and season, not both")
    end
  else
    self.error, self.trend, self.season, self.damped = o.error, o.trend, o.season, o.damped
  end
  for key, allowed in pairs(letters) do
    self[key] = letter("ts.ets: " .. key, self[key], allowed)
  end
  if self.period < 1 or self.period > 1024 then
    invalid("ts.ets: period must be 1 to 1024, got %d", self.period)
  end
  if self.period == 1 and self.season ~= "auto" and self.season ~= "N" then
    invalid("ts.ets: a season needs its period: ts.ets{season = \"A\", period = 24}")
  end
  if self.damped and self.trend == "N" then invalid("ts.ets: without trend nothing is damped") end
  if self.trend == "N" then self.damped = false end
  for _, key in ipairs{"alpha", "beta", "gamma"} do
    self[key] = share("ts.ets: " .. key, o[key], 0, 1)
  end
  self.phi = share("ts.ets: phi", o.phi, 0, 1)
  self.max_iterations = whole("ts.ets: max_iterations", o.max_iterations or 0)
  self.title = ets_title(self)
  local open = self.error == "auto" or self.trend == "auto" or self.season == "auto"
    or self.damped == nil
  if open and o.initial then invalid("ts.ets: initial goes with a model without open choices") end
  self.initial = initial_states("ts.ets: initial", o.initial, self)
  self.choose = open and choose_ets or nil
  return setmetatable(self, spec_class)
end

--- Holt-Winters smoothing: exponential smoothing with trend and season that minimises the
--- squared one-step errors.
---@param options {period: integer, seasonal?: string, damped?: boolean, trend?: boolean}
---@return flowrun.SeriesSpec
function ts_models.holt_winters(options)
  local o = options_of("ts.holt_winters", options, {"period", "seasonal", "damped", "trend",
    "alpha", "beta", "gamma", "phi", "initial", "max_iterations"})
  local season = letter("ts.holt_winters: seasonal", o.seasonal or "A", "NAM")
  local self = ts_models.ets{error = "A", trend = o.trend == false and "N" or "A",
    season = season, damped = o.damped or false, period = season ~= "N" and o.period or 1,
    alpha = o.alpha, beta = o.beta, gamma = o.gamma, phi = o.phi, initial = o.initial,
    max_iterations = o.max_iterations}
  local names = {A = "additive", M = "multiplicative", N = "no season"}
  self.name = "holt_winters"
  self.title = ("Holt-Winters %s%s%s"):format(names[season], o.damped and ", damped" or "",
    season ~= "N" and (" [%d]"):format(self.period) or "")
  self.fixed_title = self.title
  return self
end

-- --- Theta and decomposition ---

--- The Theta method: simple smoothing with half the slope of the series as drift, on the
--- series without its multiplicative season. `season`: "auto" tests for one (10 %), true,
--- false.
---
--- Source: Assimakopoulos, Nikolopoulos (2000); Hyndman, Billah (2003); as R's
--- forecast::thetaf.
---@param options? {period?: integer, season?: string|boolean}
---@return flowrun.SeriesSpec
function ts_models.theta(options)
  local o = options_of("ts.theta", options, {"period", "season"})
  local uses = {auto = 0, [true] = 1, [false] = 2}
  local use = uses[o.season == nil and "auto" or o.season]
  if not use then
    invalid("ts.theta: season must be \"auto\", true or false, got %s", tostring(o.season))
  end
  local period = whole("ts.theta: period", o.period or 1)
  if period < 1 then invalid("ts.theta: the period must be 1 or more, got %d", period) end
  return setmetatable({kind = "theta", name = "theta", period = period, use_season = use,
    title = period > 1 and ("Theta [%d]"):format(period) or "Theta"}, spec_class)
end

-- {24, 168} from a number or a list.
local function periods_of(what, v)
  if type(v) == "number" then v = {v} end
  if type(v) ~= "table" or #v == 0 or #v > 8 then
    invalid("%s must be a whole number or a list of at most 8, got %s", what, tostring(v))
  end
  local out = {}
  for i, p in ipairs(v) do
    out[i] = whole(what, p)
    if out[i] < 2 then invalid("%s must be 2 or more, got %d", what, out[i]) end
  end
  table.sort(out)
  return out
end
ts_models.periods_of = periods_of

--- Forecast by decomposition: the seasons of one or more periods (`ts.mstl_split`) go on as in
--- their last cycle; what is left is forecast by exponential smoothing, its trend by AICc.
---
---     ts.mstl{period = {24, 168}}:fit(df, "kw", {time = "when"})
---
--- Source: Bandara, Hyndman, Bergmeir (2021); as R's forecast::stlf on mstl.
---@param options {period: integer|integer[], windows?: integer[], robust?: boolean}
---@return flowrun.SeriesSpec
function ts_models.mstl(options)
  local o = options_of("ts.mstl", options, {"period", "windows", "robust"})
  local self = {kind = "mstl", name = "mstl", robust = o.robust == true}
  self.periods = periods_of("ts.mstl: period", o.period)
  self.period = self.periods[1]
  if o.windows then
    if type(o.windows) ~= "table" or #o.windows ~= #self.periods then
      invalid("ts.mstl: windows is a list with an odd number per period")
    end
    self.windows = {}
    for i, w in ipairs(o.windows) do self.windows[i] = whole("ts.mstl: windows", w) end
  end
  self.title = ("MSTL [%s]"):format(table.concat(self.periods, ", "))
  return setmetatable(self, spec_class)
end

-- --- fitting ---

--- Fits the model: `fit(frame, "kw", {time = "when", exog = {"temp_c"}})`, or
--- `fit(array, {exog = frame})`.
---@param data flowrun.Frame|flowrun.Array|number[]
---@param target? string|table the column; beside an array the options
---@param options? {time?: string, exog?: string[]|flowrun.Frame}
---@return flowrun.Forecaster
function spec_methods:fit(data, target, options)
  if self.choose then return self:choose(data, target, options) end
  local what = "fit"
  local y, name, time, time_name, exog = take_data(what, data, target, options)
  if exog and #exog ~= #y then
    invalid("%s: exog has %d rows, the series %d", what, #exog, #y)
  end
  return core.fit(self, self.title, y, name, time, time_name, exog)
end

-- --- for the other modules of time series ---

-- Makes a specification whose model `choose(self, data, target, options)` fits.
function ts_models.choice(fields, choose)
  fields.choose = choose
  return setmetatable(fields, spec_class)
end

-- Whether v is a specification.
function ts_models.is_spec(v)
  return type(v) == "table" and getmetatable(v) == "locked" and v.title ~= nil
end

return ts_models
