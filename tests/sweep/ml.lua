-- Models and metrics through the Lua they are used from.
local frame = require "flowrun.frame"
local ml = require "flowrun.ml"

local path = os.tmpname()

return function()
  local df = frame.from{{"a", {1, 2, 3, 4}}, {"b", {0.5, 0.25, 4, 8}}, {"kind", {"x", "y", "x", "y"}},
    {"y", {0, 1, 0, 1}}}
  local coded = ml.ordinal{kind = {"x", "y"}}:transform(df)
  local scaled = ml.scaler():fit(coded, {"a", "b"}):transform(coded)
  local hot = ml.one_hot{"kind"}:fit(df):transform(df)
  local model = ml.random_forest{trees = 2, max_features = "all"}:fit(scaled, "y", {features = {"a", "b"}})
  local boosted = ml.gradient_boosting{rounds = 2, compat = "sklearn"}:fit(hot, "y")
  model:save(path)
  local again = ml.load(path)
  assert(tostring(again) == tostring(model) and again == model and again:size() > 0)
  do
    local closed <close> = ml.load(path)
    assert(closed)
  end
  local p, proba = again:predict(scaled), boosted:predict_proba(hot)
  assert(model:score(scaled).rows == 4 and #model:report(scaled) > 100)
  assert(#model:importances() == 2)
  assert(ml.accuracy(df.y, p) + ml.f1(df.y, p, {positive = 1}) > 0)
  assert(#ml.report(df.y, p) > 100 and #ml.confusion(df.y, p) == 2)
  assert(ml.roc_auc(df.y, proba) + ml.brier(df.y, proba) + ml.log_loss(df.y, proba) > 0)
  assert(ml.mape(df.a, df.b) > 0 and #ml.kinds() > 2)
  local ok = pcall(ml.random_forest, {trees = 0})
  assert(not ok and not pcall(ml.random_forest, {tree = 1}))
  local gaps = frame.from{{"a", {1, frame.null, 3, 4}}, {"b", {0.5, 0.25, 4, 8}}, {"w", {1, 2, 1, 2}},
    {"y", {0.5, 1, 0, 2}}}
  local extra = ml.extra_trees_regressor{trees = 2}:fit(gaps, "y", {weights = "w"})
  local bagged = ml.random_forest{trees = 2, class_weight = {[0] = 2}}:fit(df, "y", {features = {"a", "b"}})
  assert(#extra:predict(gaps) == 4 and bagged:oob(df).rows >= 0)
  assert(#extra:importances{kind = "permutation", data = gaps, repeats = 1} == 2)
  local shaped = ml.gradient_boosting_regressor{rounds = 2, min_samples_leaf = 1, subsample = 0.9}:fit(gaps, "y",
    {features = {"a", "b", "w"}, monotone = {b = 1}, categorical = {"w"}})
  assert(#shaped:predict(gaps) == 4)
  local odd = ml.isolation_forest{trees = 3, contamination = 0.3}:fit(gaps, {features = {"a", "b"}})
  assert(#odd:anomaly(gaps) == 4 and #odd:predict(gaps) == 4)
  local phi, base = shaped:explain(gaps)
  assert(#phi == 4 and base and #bagged:text() > 5 and #shaped:svg() > 50 and #extra:tree(1) > 0)
  local scores, detector = ml.half_space_trees{depth = 2, window = 2}:fit(scaled, {features = {"a", "b"}}):learn(scaled)
  assert(#scores == 4 and #detector:predict(scaled) == 4)
  local bought = ml.read_xgboost("tests/fixtures/imports/xgb_binary.json")
  assert(#bought:info().features == 4)
  local said, chart = ml.ewma{}:fit{1, 2, 3}:update{9, frame.null}
  assert(#said == 2 and chart:update(3).ewma)
  local before, online = ml.online_logistic{}:fit(scaled, "y", {features = {"a", "b"}}):update(scaled)
  assert(#before == 4 and #online:predict(scaled) == 4)
  collectgarbage()
end
