--- One fit of trees on a non-linear target of 20 features and its scores on 20,000 new rows, or an
--- isolation forest and its scores of the same rows. bench/peers/trees.py does the same: numpy's
--- legacy stream gives both the same rows.
local fr = require "flowrun"
local frame = require "flowrun.frame"
local ml = require "flowrun.ml"
local random = require "flowrun.random"

local specs = {
  forest = function(p) return ml.random_forest{trees = p.trees, seed = p.round} end,
  bins = function(p) return ml.random_forest{trees = p.trees, seed = p.round, bins = 256} end,
  boosting = function() return ml.gradient_boosting() end,
  compat = function() return ml.gradient_boosting{compat = "sklearn"} end,
  isolation = function(p) return ml.isolation_forest{seed = p.round} end,
}

-- Standard normal columns x0 to x19; the class follows ten of them, one row in twenty is wrong.
local draw = fr.task("draw", function(seed, n)
  local rng, columns = random.numpy(seed), {}
  for j = 0, 19 do columns[j + 1] = {"x" .. j, rng:normal(0, 1, n)} end
  columns[21] = {"u", rng:uniform(0, 1, n)}
  local z = "1.2 * x0 * x1 + if_else(x2 > 0, 1.5, -1.5) * x2 * x3 + if_else(x4 > 0.3, 2 * x5, 0)"
    .. " + 0.7 * x6 * x6 - 0.9 * abs(x7) + 0.3 * x8 - 0.4 * x9"
  return frame.from(columns):with{{"z", z}}
    :with{{"y", "if_else(u < 0.05, if_else(z > 0, 0, 1), if_else(z > 0, 1, 0))"}}
    :drop{"u", "z"}
end)

local fit = fr.task("fit_model", {outputs = {"model", "cpu_s"}}, function(df, p)
  collectgarbage()
  local spec, alone = specs[p.model](p), p.model == "isolation"
  local x = alone and df:drop("y") or df
  local began = os.clock()
  local model = alone and spec:fit(x) or spec:fit(x, "y")
  return model, os.clock() - began
end)

local score = fr.task("score", function(model, df, p)
  local began = os.clock()
  local s = p.model == "isolation" and model:anomaly(df) or model:predict_proba(df)["1"]
  local predict_s = os.clock() - began
  return {auc = ml.roc_auc(df.y, s), mean = s:mean(), predict_s = predict_s}
end)

return fr.flow("trees", {params = {
  model = {default = "forest", choices = {"forest", "bins", "boosting", "compat", "isolation"}},
  round = {default = 0, description = "seed of the data and of the model"},
  rows = {default = 10000}, trees = {default = 100},
  threads = {default = 1, description = "cores that the fit may use"},
}}, function(p)
  local train = draw(100 + p.round, p.rows)
  local test = train
  if p.model ~= "isolation" then test = draw(900 + p.round, 20000) end
  local model, cpu_s = fit:with{resources = {cpu = p.threads}}(train, p)
  local s = score(model, test, p):get()
  s.cpu_s = cpu_s:get()
  return s
end)
