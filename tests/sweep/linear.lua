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
end
