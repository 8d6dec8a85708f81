--- One fit on 1,000,000 rows of 20 dense columns and a number that tells what was fitted.
--- bench/peers/dense.py does the same: numpy's legacy stream gives both the same rows.
local fr = require "flowrun"
local frame = require "flowrun.frame"
local ml = require "flowrun.ml"
local random = require "flowrun.random"

local fits = {
  pca = function(x)
    local v = ml.pca{components = 5}:fit(x):components().variance
    return function() return v:sum() end
  end,
  scaler = function(x)
    local z = ml.scaler():fit(x):transform(x)
    return function() return z.x3[1] end
  end,
  kmeans = function(x)
    local _, fit = ml.kmeans{clusters = 8, seed = 0}:fit(x):clusters()
    return function() return fit.inertia end
  end,
  linear = function(x, t)
    local c = ml.linear{}:fit(x:with{{"t", t}}, "t"):coefficients()
    return function() return c.value[2] end
  end,
  logistic = function(x, t)
    local df = x:with{{"t", t}}:with{{"y", "if_else(t > 0, 1, 0)"}}:drop{"t"}
    local began = os.clock()
    local c = ml.logistic{}:fit(df, "y"):coefficients()
    return function() return c.value[2] end, began
  end,
}

local fit = fr.task("fit_dense", function(case, rows)
  local rng, columns = random.numpy(100), {}
  for j = 0, 19 do columns[j + 1] = {"x" .. j, rng:normal(0, 1, rows)} end
  local x = frame.from(columns)
  local t = x:with{{"e", rng:normal(0, 1, rows)}}
    :with{{"t", "1.2 * x0 + 0.8 * x1 - 0.5 * x2 + 0.3 * x3 + 0.1 * x4 + e"}}.t
  collectgarbage()
  local began = os.clock()
  local value, later = fits[case](x, t)
  local cpu_s = os.clock() - (later or began)
  return {value = value(), cpu_s = cpu_s}
end)

return fr.flow("dense", {params = {
  case = {default = "pca", choices = {"pca", "linear", "scaler", "kmeans", "logistic"}},
  rows = {default = 1000000},
}}, function(p)
  return fit(p.case, p.rows):get()
end)
