--- One fit of a model on the transformers of the utility pipeline and its scores on 40,000 new
--- rows. bench/peers/ml.py does the same: numpy's legacy stream gives both the same rows.
local fr = require "flowrun"
local frame = require "flowrun.frame"
local ml = require "flowrun.ml"
local random = require "flowrun.random"

local specs = {
  forest = function(seed, trees) return ml.random_forest{trees = trees, seed = seed} end,
  boost_hist = function() return ml.gradient_boosting{depth = 3, min_samples_leaf = 1} end,
  boost_compat = function() return ml.gradient_boosting{compat = "sklearn"} end,
}

local draw = fr.task("draw", function(seed, n)
  local rng = random.numpy(seed)
  local df = frame.from{{"temp", rng:normal(60, 5, n)}, {"vib", rng:normal(0.2, 0.05, n)},
    {"oil", rng:normal(70, 10, n)}, {"age", rng:randint(1, 30, n)}}
  local p = df:with{{"p", "1 / (1 + exp(-(0.05 * (temp - 65) + 8 * (vib - 0.25))))"}}.p
  return df:with{{"y", rng:binomial(1, p)}}
end)

local fit = fr.task("fit_model", {outputs = {"model", "cpu_s"}}, function(df, model, seed, trees)
  collectgarbage()
  local spec, began = specs[model](seed, trees), os.clock()
  local fitted = spec:fit(df, "y")
  return fitted, os.clock() - began
end)

local score = fr.task("score", function(model, df, out)
  local began = os.clock()
  local p = model:predict_proba(df)["1"]
  local predict_s = os.clock() - began
  if out ~= "" then model:save(out) end
  local said = frame.from{{"p", p}}:with{{"said", "if_else(p > 0.5, 1, 0)"}}.said
  return {auc = ml.roc_auc(df.y, p), f1 = ml.f1(df.y, said), predict_s = predict_s}
end)

return fr.flow("fit", {params = {
  model = {default = "forest", choices = {"forest", "boost_hist", "boost_compat"}},
  round = {default = 0, description = "seed of the data and of the model"},
  rows = {default = 10000}, test = {default = 40000}, trees = {default = 100},
  threads = {default = 1, description = "cores that the fit may use"},
  out = {default = "", description = "file for the model"},
}}, function(p)
  local train, test = draw(100 + p.round, p.rows), draw(900 + p.round, p.test)
  local model, cpu_s = fit:with{resources = {cpu = p.threads}}(train, p.model, p.round, p.trees)
  local s = score(model, test, p.out):get()
  s.cpu_s = cpu_s:get()
  return s
end)
