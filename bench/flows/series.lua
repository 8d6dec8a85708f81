--- One fit of a time-series model on hourly load; bench/peers/arima.py fits the same.
local fr = require "flowrun"
local frame = require "flowrun.frame"
local random = require "flowrun.random"
local ts = require "flowrun.ts"

-- The load of the utility pipeline: a daily wave and noise.
local function load(n)
  local noise, y = random.numpy(42):normal(0, 30, n), {}
  for i = 1, n do y[i] = 900 + 100 * math.sin(2 * math.pi * ((i - 1) % 24) / 24) + noise[i] end
  return y
end

-- A seasonal ARMA(1,1)(1,0)24 process around 900.
local function sload(n)
  local total = n + 200
  local e, x = random.numpy(42):normal(0, 10, total), {}
  for t = 1, total do
    x[t] = t <= 26 and 0.0
      or 0.6 * x[t - 1] + 0.5 * x[t - 24] - 0.3 * x[t - 25] + e[t] + 0.3 * e[t - 1]
  end
  return table.move(x, 201, total, 1, {})
end

local fit = fr.task("fit_series", function(name, model, n)
  local y = frame.array(name == "load" and load(n) or sload(n))
  local specs = {
    arima = ts.arima{order = {2, 1, 2}},
    sarima = ts.arima{order = {1, 0, 1}, seasonal = {1, 0, 0, period = 24}},
    holt_winters = ts.holt_winters{period = 24},
  }
  local best, fitted = math.huge, nil
  for _ = 1, 5 do                              -- as the peer: the fastest of some fits
    local began = os.clock()
    fitted = specs[model]:fit(y)
    best = math.min(best, os.clock() - began)
  end
  local squares = fitted:residuals():with{{"s", "residual * residual"}}
  return {cpu_s = best, llf = fitted.llf, sse = squares.s:sum()}
end)

return fr.flow("series", {params = {name = "load", model = "arima", n = 8760}}, function(p)
  return fit(p.name, p.model, p.n):get()
end)
