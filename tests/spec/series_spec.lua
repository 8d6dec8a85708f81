-- Exponential smoothing, Theta, decompositions, tests of series: against statsmodels
-- (tests/fixtures/make_series.py), R's results, closed forms.
local t = require "flowrun.test"
local frame = require "flowrun.frame"
local random = require "flowrun.random"
local ts = require "flowrun.ts"
local describe, it, expect = t.describe, t.it, t.expect
local null = frame.null

local peer = dofile("tests/fixtures/series.txt")
local shared = (os.getenv("FLOWRUN_SHARED") or "../shared") .. "/data/"

local function near(a, b, tolerance)
  expect(a).to_be_near(b, (tolerance or 1e-8) * math.max(1, math.abs(b)))
end

local function all_near(array, list, tolerance)
  expect(#array).to_be(#list)
  for i = 1, #list do near(array[i], list[i], tolerance) end
end

local function sse(fit)
  local sum = 0
  for _, e in ipairs(fit:residuals().residual:to_table()) do sum = sum + e * e end
  return sum
end

-- The values of a reference series; nil when the folder is not there.
local function reference(name)
  local file = io.open(shared .. "ts_reference/" .. name)
  if not file then return nil end
  local out = {}
  for line in file:lines() do out[#out + 1] = tonumber(line:match("([^,]+)$")) end
  file:close()
  return out
end

-- A season of twelve with trend and noise.
local function wave(rows, seed)
  local e, y = random.new(seed):normal(0, 3, rows), {}
  for i = 1, rows do y[i] = 100 + 0.5 * i + 12 * math.sin(2 * math.pi * i / 12) + e[i] end
  return y
end

describe("exponential smoothing", function()
  for _, case in ipairs(peer.ets) do
    local letters = case.error .. case.trend .. (case.damped == 1 and "d" or "") .. case.season
    local model = {model = letters, period = 12, alpha = 0.3}
    if case.trend == "A" then model.beta = 0.05 end
    if case.season ~= "N" then model.gamma = 0.2 end
    if case.damped == 1 then model.phi = 0.9 end

    it("has statsmodels' likelihood and forecasts at equal parameters: " .. letters, function()
      model.initial = {level = case.level, trend = case.trend == "A" and case.slope or nil,
        season = case.season ~= "N" and case.states or nil}
      local fit = ts.ets(model):fit(peer.y)
      near(fit.llf, case.llf, 1e-10)
      near(sse(fit), case.sse, 1e-10)
      all_near(fit:forecast{steps = 14, levels = {}}.mean, case.forecast, 1e-10)
    end)

    it("finds an optimum that is not worse than statsmodels': " .. letters, function()
      local fit = ts.ets{model = letters, period = 12}:fit(peer.y)
      expect(fit.llf).to_be_between(case.best - 1e-4, math.huge)
    end)
  end

  it("has the exact variances of a linear model", function()
    local case = peer.ets[3]
    local fit = ts.ets{model = "AAdA", period = 12, alpha = 0.3, beta = 0.05, gamma = 0.2,
      phi = 0.9, initial = {level = case.level, trend = case.slope, season = case.states}}
      :fit(peer.y)
    local fc = fit:forecast{steps = 14, levels = {95}}
    for h = 1, 14 do
      near((fc.hi95[h] - fc.mean[h]) / 1.959963984540054, math.sqrt(peer.variance[h]), 1e-9)
    end
  end)

  it("simulates the bounds of multiplicative models: as many values above as below", function()
    local y = wave(120, 3)
    local fit = ts.ets{model = "MAM", period = 12}:fit(y)
    local fc = fit:forecast{steps = 12, levels = {80}}
    local same = fit:forecast{steps = 12, levels = {80}}
    expect(fc == same).to_be_true()
    for h = 1, 12 do
      expect(fc.lo80[h]).to_be_between(0, fc.mean[h])
      local width = (fc.hi80[h] - fc.lo80[h]) / (2 * 1.2815515655446004 * fc.mean[h])
      if h == 1 then near(width, math.sqrt(fit.sigma2), 0.05) end   -- one step: the error itself
    end
  end)

  it("agrees with R's HoltWinters at its parameters and is not worse than it", function()
    local y, truth = reference("AirPassengers.csv"), {}
    if not y then t.skip("no " .. shared) end
    for i = 1, #y do y[i] = math.log(y[i]) end
    for line in io.lines(shared .. "ts_reference/r_holtwinters_log_airpassengers.csv") do
      local name, v = line:match('"(%w+)",([-%d.e]+)')
      if name then truth[name] = tonumber(v) end
    end
    -- R starts at row 13 from the classical decomposition of the first two years.
    local two = frame.array(y):slice(1, 24)
    local figure = require("flowrun.core.ts_explore").figure(two, 12, false)
    local trend, st, sv, stt, stv = {}, 0, 0, 0, 0
    for i = 7, 18 do
      local sum = (y[i - 6] + y[i + 6]) / 2
      for k = i - 5, i + 5 do sum = sum + y[k] end
      trend[#trend + 1] = sum / 12
    end
    for i, v in ipairs(trend) do
      st, sv, stt, stv = st + i, sv + v, stt + i * i, stv + i * v
    end
    local slope = (stv - st * sv / 12) / (stt - st * st / 12)
    local states = {level = sv / 12 - slope * st / 12, trend = slope, season = figure:to_table()}
    local late = frame.array(y):slice(13, #y)
    local fit = ts.holt_winters{period = 12, alpha = truth.alpha,
      beta = truth.alpha * truth.beta, gamma = (1 - truth.alpha) * truth.gamma,
      initial = states}:fit(late)
    near(sse(fit), truth.SSE, 1e-7)
    expect(sse(ts.holt_winters{period = 12}:fit(late))).to_be_between(0, truth.SSE)
  end)

  it("passes over missing values", function()
    local y = wave(96, 5)
    local full = ts.ets{model = "AAA", period = 12}:fit(y)
    y[40], y[41] = null, null
    local fit = ts.ets{model = "AAA", period = 12}:fit(frame.array(y))
    expect(fit.observed).to_be(94)
    expect(fit:residuals().residual[40]).to_be_nil()
    for h = 1, 12 do
      near(fit:forecast{steps = 12}.mean[h], full:forecast{steps = 12}.mean[h], 0.02)
    end
  end)

  it("chooses by AICc among the stable models", function()
    local fit = ts.ets{period = 12}:fit(wave(120, 8))
    expect(fit.kind).to_be("ets")
    expect(fit.title).to_match("^ETS%(.,.d?,[AM]%)%[12%]$")
    local flat = ts.ets{}:fit(random.new(4):normal(5, 1, 60))
    expect(flat.title).to_match("^ETS%(.,N,N%)$")
    for _, letters in ipairs{"AAA", "ANA", "MAM", "AAN"} do
      local other = ts.ets{model = letters, period = 12}:fit(wave(120, 8))
      expect(fit.aicc).to_be_between(-math.huge, other.aicc + 1e-6)
    end
  end)

  it("says what does not go", function()
    local y = wave(30, 1)
    expect(function() ts.ets{model = "AXA"} end).to_fail("error A M Z, trend N A Ad Z")
    expect(function() ts.ets{season = "A"} end).to_fail("a season needs its period")
    expect(function() ts.ets{modle = "AAA"} end).to_fail("did you mean 'model'?")
    expect(function() ts.ets{alpha = 2} end).to_fail("alpha must be a number from 0 to 1, got 2")
    expect(function() ts.ets{model = "AAA", period = 24}:fit(y) end)
      .to_fail("30 values are too few: this model needs 48 (two periods)")
    y[7] = -1
    expect(function() ts.ets{model = "MNN"}:fit(y) end).to_fail("row 7 is -1")
    local df = frame.from{{"y", wave(30, 1)}, {"x", wave(30, 2)}}
    expect(function() ts.ets{model = "ANN"}:fit(df, "y", {exog = "x"}) end)
      .to_fail("ets takes no regressors, got `x`")
    expect(function() ts.holt_winters{period = 12, seasonal = "both"} end).to_fail("got both")
  end)
end)

describe("Theta", function()
  it("is simple smoothing with half the slope as drift", function()
    local y = {}
    for i = 1, 60 do y[i] = 10 + 2 * i + (i % 3) / 10 end
    local fit = ts.theta{}:fit(y)
    local ses = ts.ets{model = "ANN"}:fit(y)
    local st, sv, stt, stv, n = 0, 0, 0, 0, #y
    for i, v in ipairs(y) do
      st, sv, stt, stv = st + i, sv + v, stt + i * i, stv + i * v
    end
    local drift = (stv - st * sv / n) / (stt - st * st / n) / 2
    local a = ses.params.alpha
    local fc = fit:forecast{steps = 5}
    for h = 1, 5 do
      local want = ses:forecast{steps = 5}.mean[h] + drift * (h - 1 + (1 - (1 - a) ^ n) / a)
      near(fc.mean[h], want, 1e-9)
    end
    near(fit.params.drift, drift, 1e-10)
  end)

  it("takes a significant season out and puts it in again", function()
    local y = wave(120, 6)
    local with, without = ts.theta{period = 12}:fit(y), ts.theta{period = 12, season = false}:fit(y)
    local truth = {}
    for h = 1, 12 do truth[h] = 100 + 0.5 * (120 + h) + 12 * math.sin(2 * math.pi * h / 12) end
    expect(ts.mape(truth, with:forecast(12).mean)).to_be_between(0, 0.04)
    expect(ts.mape(truth, without:forecast(12).mean)).to_be_between(0.04, 1)
    local noise = random.new(1):normal(50, 1, 120)
    expect(ts.theta{period = 12}:fit(noise):forecast(24).mean[1])
      .to_be_near(ts.theta{}:fit(noise):forecast(24).mean[1], 1e-9)
  end)
end)

describe("decomposition", function()
  it("is statsmodels' STL", function()
    local parts = ts.stl(peer.y, {period = 12, inner = 5, season_jump = 1, trend_jump = 1,
      low_jump = 1})
    all_near(parts.season, peer.stl.season, 1e-9)
    all_near(parts.trend, peer.stl.trend, 1e-9)
    for i = 1, #parts do
      near(parts.trend[i] + parts.season[i] + parts.rest[i], peer.y[i], 1e-12)
    end
  end)

  it("is statsmodels' robust STL with all options", function()
    local df = frame.from{{"y", peer.y}}
    local parts = ts.stl(df, "y", {period = 12, season_window = 9, trend_window = 21,
      low_window = 15, season_degree = 0, low_degree = 0, robust = true, inner = 2,
      season_jump = 2, trend_jump = 3, low_jump = 2})
    expect(parts.columns).to_equal{"y", "trend", "season", "rest", "weight"}
    all_near(parts.season, peer.stl_robust.season, 1e-9)
    all_near(parts.trend, peer.stl_robust.trend, 1e-9)
    all_near(parts.weight, peer.stl_robust.weight, 1e-9)
  end)

  it("keeps one season with periodic", function()
    local parts = ts.stl(peer.y, {period = 12, season_window = "periodic"})
    for i = 13, #parts do near(parts.season[i], parts.season[i - 12], 1e-9) end
  end)

  it("has the classical figure of statsmodels' seasonal_decompose", function()
    local core = require "flowrun.core.ts_explore"
    all_near(core.figure(frame.array(peer.y), 12, true), peer.figure, 1e-10)
  end)

  it("splits several seasons, and MSTL forecasts by them", function()
    local y, e = {}, random.new(9):normal(0, 1, 24 * 7 * 5)
    local function truth(i)
      return 200 + 20 * math.sin(2 * math.pi * i / 24) + 15 * math.sin(2 * math.pi * i / 168)
    end
    for i = 1, #e do y[i] = truth(i) + e[i] end
    local parts = ts.mstl_split(y, {period = {168, 24}})
    expect(parts.columns).to_equal{"value", "trend", "season24", "season168", "rest"}
    expect(parts.rest:std()).to_be_between(0.5, 1.5)
    local fit = ts.mstl{period = {24, 168}}:fit(y)
    local fc = fit:forecast{steps = 48}
    for h = 1, 48 do expect(fc.mean[h]).to_be_near(truth(#y + h), 5) end
    expect(fit.title).to_be("MSTL [24, 168]")
    expect(ts.mstl{period = {24, 5000}}:fit(y):forecast(3).step[3]).to_be(3)
  end)

  it("says what does not go", function()
    expect(function() ts.stl(peer.y, {period = 60}) end).to_fail("at least 120 rows, got 96")
    expect(function() ts.stl(peer.y, {period = 12, season_window = 8}) end)
      .to_fail("the season window must be an odd number from 3 up, got 8")
    expect(function() ts.mstl{period = 1} end).to_fail("must be 2 or more, got 1")
  end)
end)

describe("tests of a series", function()
  it("agree with statsmodels: acf, pacf", function()
    all_near(ts.acf(peer.y, 14), peer.acf, 1e-12)
    all_near(ts.pacf(peer.y, 14), peer.pacf, 1e-10)
  end)

  it("agree with R: acf and pacf of lynx", function()
    local y = reference("lynx.csv")
    if not y then t.skip("no " .. shared) end
    local acf, pacf = ts.acf(y, 20), ts.pacf(y, 20)
    local seen = 0
    for line in io.lines(shared .. "ts_reference/r_acf_pacf_lynx.csv") do
      local lag, r, p = line:match('^"?(%d+)"?,([-%d.e]+),([-%d.eNA]+)')
      lag = tonumber(lag)
      if lag and lag <= 20 then
        near(acf[lag + 1], tonumber(r), 1e-10)
        if tonumber(p) and lag > 0 then near(pacf[lag + 1], tonumber(p), 1e-10) end
        seen = seen + 1
      end
    end
    expect(seen).to_be_between(15, 21)
  end)

  for _, name in ipairs{"y", "walk"} do
    for trend, word in pairs{n = "none", c = "constant", ct = "line"} do
      it(("agree with statsmodels: adf of %s, %s"):format(name, word), function()
        local want, got = peer["adf_" .. name .. "_" .. trend], ts.adf(peer[name], {trend = word})
        near(got.statistic, want.statistic, 1e-8)
        near(got.p, want.p, 1e-8)
        expect(got.lags).to_be(want.lags)
        expect(got.used).to_be(want.used)
      end)
    end
    for trend, word in pairs{c = "constant", ct = "line"} do
      it(("agree with statsmodels: kpss of %s, %s"):format(name, word), function()
        local want, got = peer["kpss_" .. name .. "_" .. trend], ts.kpss(peer[name], {trend = word})
        near(got.statistic, want.statistic, 1e-10)
        near(got.p, want.p, 1e-10)
        expect(got.lags).to_be(want.lags)
      end)
    end
  end

  it("agree with statsmodels: Ljung-Box", function()
    for i, lags in ipairs{3, 10} do
      local got = ts.ljung_box(peer.walk, {lags = lags})
      near(got.statistic, peer.ljung_box.statistic[i], 1e-10)
      near(got.p, peer.ljung_box.p[i], 1e-10)
    end
  end)

  it("find the differences that a series needs", function()
    expect(ts.ndiffs(random.new(1):normal(0, 1, 200))).to_be(0)
    expect(ts.ndiffs(peer.walk)).to_be(1)
    local twice, sum = {}, 0
    for i, v in ipairs(peer.walk) do
      sum = sum + v
      twice[i] = sum
    end
    expect(ts.ndiffs(twice)).to_be(2)
    expect(ts.nsdiffs(wave(120, 2), 12)).to_be(1)
    expect(ts.nsdiffs(random.new(2):normal(0, 1, 120), 12)).to_be(0)
    expect(function() ts.acf({1.0, null}) end).to_fail("1 of 2 values are missing")
  end)
end)

describe("models that choose themselves", function()
  it("auto_arima takes the airline model for the airline data, as R does", function()
    local y = reference("AirPassengers.csv")
    if not y then t.skip("no " .. shared) end
    for i = 1, #y do y[i] = math.log(y[i]) end
    local fit = ts.auto_arima{period = 12}:fit(y)
    expect(fit.title).to_be("ARIMA(0,1,1)(0,1,1)[12]")
    near(fit.aicc, -483.20399, 1e-6)             -- R: -483.2
    expect(fit.se.ma1).to_be_between(0.01, 1)    -- fitted to the end, with errors
  end)

  it("auto_arima finds the order of a simulated process, bounded as asked", function()
    local e, y = random.new(3):normal(0, 1, 500), {}
    for i = 1, 500 do y[i] = 0.7 * (y[i - 1] or 0) + e[i] end
    local fit = ts.auto_arima{}:fit(y)
    expect(fit.order[2]).to_be(0)
    expect(fit.aicc).to_be_between(-math.huge, ts.arima{order = {1, 0, 0}}:fit(y).aicc + 0.1)
    local small = ts.auto_arima{max_p = 0, max_q = 1}:fit(y)
    expect(small.order[1]).to_be(0)
    expect(fit.aicc).to_be_between(-math.huge, small.aicc)
    expect(function() ts.auto_arima{criterion = "r2"} end).to_fail("aicc")
  end)

  it("auto takes what wins the backtests", function()
    local df = frame.from{{"y", wave(144, 11)}}
    local spec = ts.auto{period = 12}
    local table_of = ts.compare(spec, df, "y")
    expect(table_of.columns).to_equal{"candidate", "model", "score"}
    local fit = spec:fit(df, "y")
    local best = table_of.candidate[1]
    if best == "arima" then expect(fit.kind).to_be("arima")
    elseif not best:find("naive") then expect(fit.kind).to_be(best) end
    for i = 2, #table_of do
      expect(table_of.score[i - 1]).to_be_between(0, table_of.score[i])
    end
    local only = ts.auto{period = 12, candidates = {{"theta", ts.theta{period = 12}}}}
    expect(only:fit(df, "y").kind).to_be("theta")
    expect(function() ts.auto{candidates = {{"x", 5}}} end).to_fail("candidate 1 must be {name, model}")
  end)
end)

describe("conformal bounds", function()
  it("are as wide as past errors of the same step were", function()
    local y = wave(120, 21)
    local df = frame.from{{"y", y}}
    local spec = ts.seasonal_naive{period = 12}
    local fc = ts.conformal(spec, df, "y", {steps = 2, windows = 9, levels = {80}})
    local errors = {}
    for w = 1, 9 do                              -- the first step of the window is row 110 + w
      local row = 110 + w
      errors[w] = math.abs(y[row] - y[row - 12])
    end
    table.sort(errors)
    near(fc.hi80[1] - fc.mean[1], errors[8], 1e-9)      -- ceil(10 * .8)
    near(fc.mean[1] - fc.lo80[1], errors[8], 1e-9)
    expect(fc.columns).to_equal{"step", "mean", "lo80", "hi80"}
  end)

  it("hold about what they promise although errors are skewed", function()
    local inside, rng = 0, random.new(5)
    local e = rng:exponential(1, 3000)
    for trial = 0, 59 do
      local y = {}
      for i = 1, 41 do y[i] = e[trial * 41 + i] end
      local df = frame.from{{"y", y}}:slice(1, 40)
      local fc = ts.conformal(ts.arima{order = {0, 0, 0}}, df, "y",
        {steps = 1, windows = 30, levels = {80}})
      if y[41] >= fc.lo80[1] and y[41] <= fc.hi80[1] then inside = inside + 1 end
    end
    expect(inside / 60).to_be_between(0.65, 0.95)
  end)

  it("say when windows are too few", function()
    local df = frame.from{{"y", wave(60, 1)}}
    expect(function() ts.conformal(ts.theta{}, df, "y", {steps = 2, windows = 9}) end)
      .to_fail("a level of 95 needs at least 19 windows, got 9")
  end)
end)

describe("a fitted model of any kind", function()
  local kinds = {ts.ets{model = "MAdM", period = 12}, ts.ets{model = "AAA", period = 12},
    ts.holt_winters{period = 12, seasonal = "multiplicative"}, ts.theta{period = 12},
    ts.mstl{period = {4, 12}}, ts.arima{order = {1, 0, 0}}}
  for _, spec in ipairs(kinds) do
    it("is saved and loaded whole: " .. tostring(spec), function()
      local fit = spec:fit(wave(96, 12))
      local path = os.tmpname()
      local _ <close> = setmetatable({}, {__close = function() os.remove(path) end})
      fit:save(path)
      local again = ts.load(path)
      expect(again == fit).to_be_true()
      expect(tostring(again)).to_be(tostring(fit))
      expect(again:forecast(7) == fit:forecast(7)).to_be_true()
      expect(again:residuals() == fit:residuals()).to_be_true()
      local file = assert(io.open(path, "r+b"))
      file:seek("set", 100)
      file:write("\255\254")
      file:close()
      expect(function() ts.load(path) end).to_fail("damaged")
    end)

    it("has the same bits on one thread and on many: " .. tostring(spec), function()
      local y = wave(96, 13)
      local before = frame.threads(1)
      local one = spec:fit(y)
      frame.threads(3)
      local three = spec:fit(y)
      frame.threads(before)
      expect(one == three).to_be_true()
    end)
  end
end)
