--- Models that choose themselves: auto_arima by AICc, auto by backtest. All are functions of
--- `flowrun.ts`.
local args = require "flowrun.ts_args"
local explore = require "flowrun.ts_explore"
local frame = require "flowrun.frame"
local models = require "flowrun.ts_models"
local score = require "flowrun.ts_score"

local invalid, options_of, whole = args.invalid, args.options_of, args.whole

local ts_auto = {}

-- A failed fit of one candidate is no failure of the choice, but a cancel is.
local function try_fit(spec, data, target, options)
  local ok, fit = pcall(spec.fit, spec, data, target, options)
  if ok then return fit end
  if type(fit) == "table" and (fit.code == "cancelled" or fit.code == "timeout") then
    error(fit, 0)
  end
  return nil, fit
end

-- --- ARIMA ---

---@class flowrun.AutoArimaOptions
---@field period? integer rows of a season; none unless given
---@field d? integer differences, by KPSS unless given
---@field D? integer seasonal differences, by seasonal strength unless given
---@field max_p? integer 5
---@field max_q? integer 5
---@field max_P? integer 2
---@field max_Q? integer 2
---@field max_order? integer p + q + P + Q at most, 5 for the full search
---@field max_d? integer 2
---@field criterion? string "aicc", "aic" or "bic"
---@field max_models? integer 94

local arima_options = {"period", "d", "D", "max_p", "max_q", "max_P", "max_Q", "max_order",
  "max_d", "criterion", "max_models"}

-- One search: what was tried, the best so far.
local Search = {}
Search.__index = Search

local function key_of(m) return ("%d %d %d %d %s"):format(m.p, m.q, m.P, m.Q, m.constant) end

function Search:spec(m)
  local o = self.options
  local trend = "none"
  if m.constant then trend = o.d + o.D == 0 and "constant" or "drift" end
  local seasonal
  if o.period > 1 and m.P + o.D + m.Q > 0 then seasonal = {m.P, o.D, m.Q, period = o.period} end
  return models.arima{order = {m.p, o.d, m.q}, seasonal = seasonal, trend = trend}
end

-- Fits one candidate unless it was tried; true when it is the best so far.
function Search:try(m)
  local o = self.options
  local out = m.p < 0 or m.q < 0 or m.P < 0 or m.Q < 0 or m.p > o.max_p or m.q > o.max_q
    or m.P > o.max_P or m.Q > o.max_Q
  if out or self.tried[key_of(m)] or self.count >= o.max_models then return false end
  self.tried[key_of(m)] = true
  self.count = self.count + 1
  local spec = self:spec(m)
  spec.quick = true
  local fit, failure = try_fit(spec, table.unpack(self.arguments, 1, 3))
  self.failure = self.failure or failure
  if not fit then return false end
  local value = fit[o.criterion]
  if value ~= value or value >= self.value then return false end
  self.value, self.best, self.fit, self.chosen = value, m, fit, spec
  return true
end

local function moved(m, change)
  local to = {p = m.p, q = m.q, P = m.P, Q = m.Q, constant = m.constant}
  for k, v in pairs(change) do
    if k == "constant" then to.constant = v else to[k] = to[k] + v end
  end
  return to
end

-- The neighbours of Hyndman and Khandakar (2008), in R's order.
local neighbours = {{P = -1}, {Q = -1}, {P = 1}, {Q = 1}, {P = -1, Q = -1}, {P = -1, Q = 1},
  {P = 1, Q = -1}, {P = 1, Q = 1}, {p = -1}, {q = -1}, {p = 1}, {q = 1}, {p = -1, q = -1},
  {p = -1, q = 1}, {p = 1, q = -1}, {p = 1, q = 1}}

function Search:run()
  local o = self.options
  local constant = o.d + o.D <= 1
  local P, Q = math.min(1, o.max_P), math.min(1, o.max_Q)
  if o.period < 2 then P, Q = 0, 0 end
  local starts = {{p = math.min(2, o.max_p), q = math.min(2, o.max_q), P = P, Q = Q},
    {p = 0, q = 0, P = 0, Q = 0}, {p = math.min(1, o.max_p), q = 0, P = P, Q = 0},
    {p = 0, q = math.min(1, o.max_q), P = 0, Q = Q}}
  for _, m in ipairs(starts) do
    m.constant = constant
    self:try(m)
  end
  if constant then self:try{p = 0, q = 0, P = 0, Q = 0, constant = false} end
  if not self.best then error(self.failure, 0) end
  local better = true
  while better do
    better = false
    for _, change in ipairs(neighbours) do
      local seasonal = change.P or change.Q
      if not (seasonal and o.period < 2) and self:try(moved(self.best, change)) then
        better = true
        break
      end
    end
    if not better and constant then
      better = self:try(moved(self.best, {constant = not self.best.constant}))
    end
  end
end

-- The options with the differences that the series asks for.
local function with_differences(o, y)
  local out = {}
  for k, v in pairs(o) do out[k] = v end
  y = explore.fill(y)
  out.D = o.D or (o.period > 1 and explore.nsdiffs(y, o.period) or 0)
  for _ = 1, out.D do
    if #y > o.period then y = explore.differenced(y, o.period) end
  end
  out.d = o.d or explore.ndiffs(y, math.min(o.max_d, 2 - out.D))
  return out
end

local function search(self, data, target, options)
  local y = args.take_data("fit", data, target, options)
  local s = setmetatable({options = with_differences(self.options, y), tried = {}, count = 0,
    value = math.huge, arguments = {data, target, options}}, Search)
  s:run()
  s.chosen.quick = nil
  return s
end

--- The ARIMA model of least AICc by the stepwise search of Hyndman and Khandakar (2008), as R's
--- auto.arima, with exact likelihoods throughout. Differences by the KPSS test and by seasonal
--- strength.
---
---     local fit = ts.auto_arima{period = 24}:fit(df, "kw", {time = "when"})
---     print(fit.title)                             -- ARIMA(2,0,1)(0,1,1)[24]
---@param options? flowrun.AutoArimaOptions
---@return flowrun.SeriesSpec
function ts_auto.auto_arima(options)
  local o = options_of("ts.auto_arima", options, arima_options)
  local own = {}
  for key, default in pairs{period = 1, max_p = 5, max_q = 5, max_P = 2, max_Q = 2, max_d = 2,
    max_models = 94} do
    own[key] = whole("ts.auto_arima: " .. key, o[key] or default)
    if own[key] < 0 then invalid("ts.auto_arima: %s must not be negative", key) end
  end
  for _, key in ipairs{"d", "D"} do
    own[key] = o[key] and whole("ts.auto_arima: " .. key, o[key])
  end
  own.criterion = o.criterion or "aicc"
  if not ({aicc = true, aic = true, bic = true})[own.criterion] then
    invalid("ts.auto_arima: criterion must be \"aicc\", \"aic\" or \"bic\", got %s",
      tostring(o.criterion))
  end
  local title = own.period > 1 and ("auto ARIMA [%d]"):format(own.period) or "auto ARIMA"
  return models.choice({name = "auto_arima", title = title, options = own, period = own.period},
    function(self, data, target, fit_options)
      return search(self, data, target, fit_options).chosen:fit(data, target, fit_options)
    end)
end

-- --- the best of several ---

-- {name, spec} pairs; seasons of which the rows hold fewer than two cycles are left out.
local function default_candidates(periods, rows)
  local short = periods[1]
  local list = {{"naive", models.seasonal_naive{period = 1}}}
  local long = {}
  for _, p in ipairs(periods) do
    if rows >= 2 * p then
      long[#long + 1] = p
      list[#list + 1] = {"naive" .. p, models.seasonal_naive{period = p}}
    end
  end
  list[#list + 1] = {"ets", models.ets{period = short <= 48 and short or 1}}
  list[#list + 1] = {"theta", models.theta{period = short}}
  list[#list + 1] = {"arima", ts_auto.auto_arima{period = short}}
  if #long > 0 then list[#list + 1] = {"mstl", models.mstl{period = long}} end
  return list
end

-- A model that searches is searched once, on what lies before all windows; its order is then
-- fitted at each.
local function settle(spec, data, target, options)
  if spec.name ~= "auto_arima" then return spec end
  local ok, s = pcall(search, spec, data, target, options)
  if not ok then return nil, s end
  return s.chosen
end

local function candidate_scores(self, data, target, options)
  local o = self.options
  local rows = #data
  local list = o.candidates or default_candidates(o.periods, rows)
  local windows = o.windows
  while windows > 1 and rows - o.horizon - (windows - 1) * o.step < rows // 2 do
    windows = windows - 1
  end
  local first = rows - o.horizon - (windows - 1) * o.step
  if first < 4 then
    invalid("ts.auto: %d rows are too few to keep back %d for the choice", rows, o.horizon)
  end
  local results = {}
  for i, pair in ipairs(list) do
    local spec, failure = settle(pair[2], data:slice(1, first), target, options)
    local ok, backtest
    if spec then
      ok, backtest = pcall(score.backtest, spec, data, target, {time = options and options.time,
        exog = options and options.exog, horizon = o.horizon, step = o.step, windows = windows,
        levels = {}})
      if not ok then failure = backtest end
    end
    if type(failure) == "table" and (failure.code == "cancelled" or failure.code == "timeout") then
      error(failure, 0)
    end
    results[i] = {name = pair[1], spec = spec, score = ok and backtest.scores[o.score] or nil,
      failure = failure}
  end
  return results
end

local function choose_best(self, data, target, options)
  local fit_target, fit_options = target, options
  if not frame.is_frame(data) then
    data = frame.from{{"value", data}}
    fit_target, fit_options = "value", target
  end
  local best, failure
  for _, r in ipairs(candidate_scores(self, data, fit_target, fit_options)) do
    if r.score and (not best or r.score < best.score) then best = r end
    failure = failure or r.failure
  end
  if not best then error(failure or "ts.auto: no candidate fits", 0) end
  return best.spec:fit(data, fit_target, fit_options)
end

---@class flowrun.AutoOptions
---@field period? integer|integer[] rows of the seasons; 1 unless given
---@field horizon? integer rows to forecast; the first period unless given
---@field windows? integer backtests, 3
---@field step? integer rows between them, default the horizon
---@field score? string "smape", "mae", "rmse", "mape" or "mase"
---@field candidates? table {{name, spec}, …} instead of the usual ones

--- The model that forecasts this series best: naive, seasonal naive per period, ETS, Theta,
--- ARIMA and MSTL are compared by backtests at rolling origins; the best is fitted on all rows.
---
---     ts.auto{period = {24, 168}, horizon = 48}:fit(df, "kw", {time = "when"})
---@param options? flowrun.AutoOptions
---@return flowrun.SeriesSpec
function ts_auto.auto(options)
  local o = options_of("ts.auto", options, {"period", "horizon", "windows", "step", "score",
    "candidates"})
  local periods = o.period and o.period ~= 1 and models.periods_of("ts.auto: period", o.period)
    or {1}
  local own = {periods = periods, candidates = o.candidates, score = o.score or "smape"}
  own.horizon = whole("ts.auto: horizon", o.horizon or math.max(periods[1], 1))
  own.step = whole("ts.auto: step", o.step or own.horizon)
  own.windows = whole("ts.auto: windows", o.windows or 3)
  if own.horizon < 1 or own.step < 1 or own.windows < 1 then
    invalid("ts.auto: horizon, step and windows must be 1 or more")
  end
  if not ({smape = 1, mae = 1, rmse = 1, mape = 1, mase = 1})[own.score] then
    invalid("ts.auto: score must be smape, mae, rmse, mape or mase, got %s", tostring(o.score))
  end
  for i, pair in ipairs(own.candidates or {}) do
    if type(pair) ~= "table" or not models.is_spec(pair[2]) then
      invalid("ts.auto: candidate %d must be {name, model}", i)
    end
  end
  local title = ("auto [%s]"):format(table.concat(periods, ", "))
  return models.choice({name = "auto", title = title, options = own, period = periods[1]},
    choose_best)
end

--- How `ts.auto` compares its candidates: a frame of candidate, model, score, best first;
--- candidates that could not be fitted come last without a score.
---@param spec flowrun.SeriesSpec made by ts.auto
---@param data flowrun.Frame
---@param target string
---@param options? {time?: string, exog?: string[]}
---@return flowrun.Frame
function ts_auto.compare(spec, data, target, options)
  if not models.is_spec(spec) or spec.name ~= "auto" then
    invalid("ts.compare: the first argument is a model made by ts.auto")
  end
  local names, titles, scores = {}, {}, {}
  for i, r in ipairs(candidate_scores(spec, data, target, options)) do
    names[i], titles[i] = r.name, r.spec and r.spec.title or frame.null
    scores[i] = r.score or frame.null
  end
  return frame.from{{"candidate", names}, {"model", titles}, {"score", scores}}:sort{"score"}
end

return ts_auto
