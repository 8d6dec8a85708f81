local core = require "flowrun.core.linear"
local frame = require "flowrun.frame"
local ml = require "flowrun.ml"

return function()
  local df = frame.from{{"x", {1.0, 2.0, 3.0, 4.0}}, {"y", {1.0, 2.5, 2.0, 4.0}},
    {"label", {0, 1, 0, 1}}}
  local line = ml.linear{}:fit(df, "y", {features = {"x"}})
  assert(core.is_linear(line))
  assert(#line:coefficients() == 2 and #line:predict(df) == 4 and line:score(df).r2)
  local model = ml.logistic{}:fit(df, "label", {features = {"x"}})
  assert(#model:coefficients() == 2 and #model:predict(df) == 4)
  local many = frame.from{{"x", {1.0, 2.0, 3.0, 4.0, 5.0, 6.0}}, {"k", {"a", "b", "c", "c", "b", "a"}}}
  local soft = ml.logistic{}:fit(many, "k")
  assert(#soft:coefficients() == 2 and #soft:predict(many) == 6)
  local both = ml.linear{}:fit(df, {"x", "y"}, {features = {"label"}})
  assert(#both:predict(df) == 4 and #both:coefficients() == 2 and #both:score() == 2)
  local net = ml.elastic_net{alpha = 0.1}:fit(df, "y", {features = {"x"}})
  local counts = ml.poisson{}:fit(df, "x", {features = {"y"}})
  assert(#net:coefficients() == 2 and #counts:predict(df) == 4)
end
