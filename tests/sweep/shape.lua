local frame = require "flowrun.frame"
local ml = require "flowrun.ml"

return function()
  local df = frame.from{{"a", {1, 2, frame.null, 4}}, {"b", {0.5, 0.25, 4, 8}}, {"y", {0, 1, 0, 1}}}
  local x = ml.imputer{}:fit_transform(df:select{"a", "b"})
  local groups, parts = ml.kmeans{clusters = 2}:fit(x), ml.pca{components = 1}:fit(x)
  assert(#groups:clusters() == 2 and #groups:predict(x) == 4)
  assert(#parts:components() == 1 and #parts:transform(x) == 4)
  local pipe = ml.pipeline{ml.imputer{strategy = "median"}, ml.minmax(), ml.robust(), ml.scaler(),
    ml.nearest{k = 2}}
  local model = pipe:fit(df, "y")
  assert(#model:steps() == 5 and #model:predict(df) == 4 and model:score(df).accuracy)
  local best = ml.search(ml.nearest_regressor{}, {k = {1, 2}}, {on = x, target = "b", cv = 2, score = "r2"})
  assert(best.params.k and #best.model:predict(x) == 4)
end
