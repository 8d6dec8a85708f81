--- One ARIMA fit on the hourly load of the utility pipeline; bench/peers/arima.py fits the same.
local fr = require "flowrun"
local frame = require "flowrun.frame"
local random = require "flowrun.random"
local ts = require "flowrun.ts"

local fit = fr.task("fit_arima", function(n, order)
  local noise, y = random.numpy(42):normal(0, 30, n), {}
  for i = 1, n do y[i] = 900 + 100 * math.sin(2 * math.pi * ((i - 1) % 24) / 24) + noise[i] end
  local series, spec, began = frame.array(y), ts.arima{order = order}, os.clock()
  local fitted = spec:fit(series)
  return {cpu_s = os.clock() - began, llf = fitted.llf}
end)

return fr.flow("arima", {params = {n = 8760, p = 1, d = 1, q = 1}}, function(p)
  return fit(p.n, {p.p, p.d, p.q}):get()
end)
