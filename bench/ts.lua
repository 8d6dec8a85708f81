-- Time series: fits against statsmodels, and what the models are worth on the chapter's load.
--
--   build/flowrun lua bench/ts.lua [PYTHON]      (default $FLOWRUN_PEERS_PYTHON, else only ours)
--
-- Process CPU time of one fit, the smallest of several; standard errors included on both sides.
-- Series come from numpy's legacy stream, so that both sides see the same bits.
local frame = require "flowrun.frame"
local json = require "flowrun.json"
local random = require "flowrun.random"
local ts = require "flowrun.ts"

local python = arg and arg[1] or os.getenv("FLOWRUN_PEERS_PYTHON")

-- The chapter's hourly load: a daily wave and noise.
local function load_series(n, seed)
  local noise, y = random.numpy(seed):normal(0, 30, n), {}
  for i = 1, n do y[i] = 900 + 100 * math.sin(2 * math.pi * ((i - 1) % 24) / 24) + noise[i] end
  return y
end

-- A seasonal ARMA(1,1)(1,0)24 process around 900.
local function seasonal_series(n, seed)
  local total = n + 200
  local e, x = random.numpy(seed):normal(0, 10, total), {}
  for t = 1, total do
    x[t] = t <= 26 and 0.0
      or 0.6 * x[t - 1] + 0.5 * x[t - 24] - 0.3 * x[t - 25] + e[t] + 0.3 * e[t - 1]
  end
  local y = {}
  for i = 1, n do y[i] = 900 + x[200 + i] end
  return y
end

local makers = {load = load_series, sload = seasonal_series}
local cases = {
  {"load", 8760, {1, 1, 1}}, {"load", 8760, {2, 1, 2}}, {"load", 8760, {5, 1, 0}},
  {"sload", 8760, {2, 0, 1}}, {"load", 720, {2, 1, 2}},
  {"sload", 720, {1, 0, 1}, {1, 1, 1, period = 24}},
  {"sload", 8760, {1, 0, 1}, {1, 0, 0, period = 24}},
}

local function best_of(repeats, body)
  local best, result = math.huge, nil
  for _ = 1, repeats do
    local began = os.clock()
    result = body()
    best = math.min(best, os.clock() - began)
  end
  return best, result
end

-- "load 8760 1 1 1 0 0 0 0": how the peer is told.
local function words(case)
  local s = case[4] or {0, 0, 0, period = 0}
  return ("%s %d %d %d %d %d %d %d %d"):format(case[1], case[2], case[3][1], case[3][2],
    case[3][3], s[1], s[2], s[3], s.period)
end

-- Seconds, log-likelihood, and the log-likelihood of its parameters by our definition.
local function peer(case)
  local command = ("OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 %s bench/peers/arima.py %s")
    :format(python, words(case))
  local pipe = assert(io.popen(command .. " 2>/dev/null"))
  local text = pipe:read("a")
  pipe:close()
  local said = json.try_decode(text)
  if said then return said.cpu_s, said.llf end
end

local head = "%-34s %10s %14s %10s %14s %8s"
print(head:format("fit", "ours, s", "llf", "theirs, s", "llf", "ratio"))
for _, case in ipairs(cases) do
  local y = frame.array(makers[case[1]](case[2], 42))
  local spec = ts.arima{order = case[3], seasonal = case[4]}
  local ours, fit = best_of(9, function() return spec:fit(y) end)
  local name = ("%s %s n=%d"):format(tostring(spec), case[1], case[2])
  local theirs, llf
  if python then theirs, llf = peer(case) end
  print(("%-34s %10.5f %14.6f %10s %14s %8s"):format(name, ours, fit.llf,
    theirs and ("%.3f"):format(theirs) or "", llf and ("%.6f"):format(llf) or "",
    theirs and ("%.0f"):format(theirs / ours) or ""))
end

print()
print("the chapter's load, 1,440 hours, 30 daily origins from hour 720: MAPE of the next 24 hours")
local y = frame.array(load_series(1440, 42))
for _, spec in ipairs{ts.arima{order = {2, 1, 2}}, ts.seasonal_naive{period = 24},
  ts.arima{order = {1, 0, 1}, seasonal = {0, 1, 1, period = 24}}} do
  local began = os.clock()
  local scores = ts.backtest(spec, y, {horizon = 24, windows = 30}).scores
  print(("%-28s %5.2f %%   80 %% intervals hold %.1f %%   %.2f s"):format(tostring(spec),
    100 * scores.mape, 100 * scores.coverage80, os.clock() - began))
end
