local t = require "flowrun.test"
local frame = require "flowrun.frame"
local ml = require "flowrun.ml"
local random = require "flowrun.random"
local describe, it, expect = t.describe, t.it, t.expect

local want = dofile("tests/fixtures/models.txt")
local features = {"x1", "x2", "x3", "x4"}
local columns = {}
for j, name in ipairs(features) do columns[j] = {name, want.x[j], "float64"} end
for _, name in ipairs{"y", "kind", "group", "binary"} do
  columns[#columns + 1] = {name, want[name]}
end
local df = frame.from(columns)
local x = df:select(features)

local function gaps()
  local out = {}
  for j, name in ipairs(features) do
    local values = {}
    for i, v in ipairs(want.gaps[j]) do values[i] = v == -999 and frame.null or v end
    out[j] = {name, values, "float64"}
  end
  return frame.from(out)
end

local function reloads(model)
  local path = t.temp_dir() .. "/m"
  model:save(path)
  expect(ml.load(path) == model).to_be_true()
  return ml.load(path)
end

describe("transformers", function()
  it("fill what is missing as scikit-learn does", function()
    local with_gaps = gaps()
    for strategy, values in pairs(want.imputed) do
      local fitted = ml.imputer{strategy = strategy}:fit(with_gaps)
      local filled = reloads(fitted):transform(with_gaps)
      for j, name in ipairs(features) do
        expect(filled:col(name):null_count()).to_be(0)
        for i, v in ipairs(want.gaps[j]) do
          expect(filled:col(name)[i]).to_be_near(v == -999 and values[j] or v, 1e-12)
        end
      end
    end
    local zero = ml.imputer{strategy = "constant", fill_value = -1}:fit_transform(with_gaps)
    expect(zero.x1:min()).to_be(-1.0)
    expect(function() ml.imputer{strategy = "mode"} end).to_fail("most_frequent")
    expect(function() ml.imputer{}:fit(df, {"kind"}) end).to_fail("`kind` is utf8")
    expect(function() ml.imputer{}:transform(df) end).to_fail("fit it first")
  end)

  it("scale as scikit-learn does", function()
    for name, rows in pairs{minmax = want.minmax, robust = want.robust} do
      local fitted = ml[name]():fit(x)
      local out = reloads(fitted):transform(x)
      for i = 1, 4 do
        for j, feature in ipairs(features) do
          expect(out:col(feature)[i]).to_be_near(rows[i][j], 1e-12)
        end
      end
    end
    local wide = ml.minmax{range = {-1, 3}}:fit_transform(x)
    expect(wide.x2:min()).to_be_near(-1, 1e-12)
    expect(wide.x2:max()).to_be_near(3, 1e-12)
    expect(function() ml.minmax{range = {1, 1}} end).to_fail("least, greatest")
  end)
end)

describe("ml.folds", function()
  it("are scikit-learn's", function()
    local cases = {kfold = ml.kfold(4), stratified = ml.kfold{4, stratify = true},
      group = ml.group_kfold{3, group = "group"}, time = ml.time_kfold{4, gap = 3},
      time_sized = ml.time_kfold{3, gap = 2, test_size = 5, max_train_size = 20}}
    for name, cv in pairs(cases) do
      local folds = ml.folds(df, cv, "kind")
      expect(#folds).to_be(#want.folds[name])
      for k, fold in ipairs(folds) do
        expect(fold.train).to_equal(want.folds[name][k][1])
        expect(fold.test).to_equal(want.folds[name][k][2])
      end
    end
  end)

  it("shuffle by the seed, each row tested once", function()
    for _, cv in ipairs{ml.kfold{5, shuffle = true, seed = 2},
      ml.stratified_kfold{5, shuffle = true, seed = 2}} do
      local seen, folds = {}, ml.folds(df, cv, "kind")
      for _, fold in ipairs(folds) do
        expect(#fold.train + #fold.test).to_be(60)
        for _, i in ipairs(fold.test) do
          expect(seen[i]).to_be(nil)
          seen[i] = true
        end
      end
      expect(#seen).to_be(60)
      expect(ml.folds(df, cv, "kind")).to_equal(folds)
      cv.seed = 3
      expect(ml.folds(df, cv, "kind")[1].test[1] == folds[1].test[1]
        and ml.folds(df, cv, "kind")[1].test[2] == folds[1].test[2]
        and ml.folds(df, cv, "kind")[1].test[3] == folds[1].test[3]).to_be(false)
    end
  end)

  it("say what does not work", function()
    expect(function() ml.kfold(1) end).to_fail("from 2")
    expect(function() ml.kfold{5, folds = 3} end).to_fail("unknown option 'folds'")
    expect(function() ml.group_kfold{3} end).to_fail("group")
    expect(function() ml.folds(df, ml.group_kfold{20, group = "group"}) end).to_fail("has 7 groups")
    expect(function() ml.folds(df, ml.time_kfold{4, gap = 50}) end).to_fail("more rows")
    expect(function() ml.folds(df, ml.kfold{4, stratify = true}) end).to_fail("target")
  end)
end)

describe("ml.pipeline", function()
  it("learns from the training rows what its steps need", function()
    local pipe = ml.pipeline{ml.scaler(), ml.logistic{l2 = 1}}
    local model = pipe:fit(df, "kind", {features = features})
    local scaled = ml.scaler():fit(x):transform(df)
    local by_hand = ml.logistic{l2 = 1}:fit(scaled, "kind", {features = features})
    expect(model:predict(df):to_table()).to_equal(by_hand:predict(scaled):to_table())
    expect(model:score(df).log_loss).to_be(by_hand:score(scaled).log_loss)
    expect(model:report(df)).to_contain("IN-SAMPLE")
    expect(#model:coefficients()).to_be(5)
    expect(#model:steps()).to_be(2)
    local again = reloads(model)
    expect(again:predict_proba(df).a:to_table()).to_equal(model:predict_proba(df).a:to_table())
    expect(tostring(pipe)).to_contain("ml.logistic")
  end)

  it("takes gaps, coders that are ready, and steps without a target", function()
    local with_gaps = gaps():with{{"size", frame.from{{"s", want.kind}}.s}, {"y", df.y}}
    local pipe = ml.pipeline{ml.ordinal{size = {"a", "b", "c"}}, ml.imputer{}, ml.pca{components = 2},
      ml.linear{}}
    local model = pipe:fit(with_gaps, "y")
    expect(model:info().features).to_equal{"x1", "x2", "x3", "x4", "size"}
    expect(#model:predict(with_gaps)).to_be(60)
    expect(model:score(with_gaps).r2).to_be_between(0, 1)
    local shape = ml.pipeline{ml.scaler(), ml.kmeans{clusters = 2}}:fit(x)
    expect(shape:predict(x):max()).to_be(2)
    local scores = ml.pipeline{ml.scaler(), ml.pca{components = 1}}:fit(x):transform(x)
    expect(scores.columns).to_equal{"pc1"}
  end)

  it("refuses what cannot be a step", function()
    expect(function() ml.pipeline{} end).to_fail("list of steps")
    expect(function() ml.pipeline{ml.linear{}, ml.scaler()} end).to_fail("predicts: only the last")
    expect(function() ml.pipeline{ml.pipeline{ml.scaler()}} end).to_fail("got pipeline")
    expect(function() ml.pipeline{"scaler"} end).to_fail("step 1")
    local model = ml.pipeline{ml.scaler(), ml.linear{}}:fit(df, "y", {features = features})
    expect(function() model:predict(x:drop("x2")) end).to_fail("x2")
    expect(function() model:score(x) end).to_fail("lacks the target `y`")
    expect(function() ml.linear{}:fit(df, "y", {features = features}):steps() end)
      .to_fail("has no steps")
  end)
end)

describe("ml.cross_validate", function()
  it("gives scikit-learn's scores", function()
    local cv = ml.cross_validate(ml.linear{}, {on = df, target = "y", features = features, cv = 4})
    for k = 1, 4 do expect(cv.folds[k].r2).to_be_near(want.cv.r2[k], 1e-9) end
    local classes = ml.cross_validate(ml.logistic{}, {on = df, target = "kind",
      features = features, cv = ml.kfold{4, stratify = true}})
    local sum = 0
    for k = 1, 4 do
      expect(classes.folds[k].accuracy).to_be_near(want.cv.accuracy[k], 1e-12)
      sum = sum + want.cv.accuracy[k] / 4
    end
    expect(classes.mean.accuracy).to_be_near(sum, 1e-12)
    expect(classes.std.accuracy > 0).to_be_true()
  end)

  it("says what is missing", function()
    expect(function() ml.cross_validate(ml.linear{}, {on = df}) end).to_fail("target")
    expect(function() ml.cross_validate({}, {on = df, target = "y"}) end).to_fail("kind of model")
    expect(function()
      ml.cross_validate(ml.linear{}, {on = df, target = "y", cv = ml.group_kfold{3, group = "group"}})
    end).to_fail("which features")
  end)
end)

local function noisy(n)
  local rng = random.new(11)
  local a, b, y = rng:normal(0, 1, n), rng:normal(0, 1, n), {}
  local e = rng:normal(0, 1, n)
  for i = 1, n do y[i] = a[i] + e[i] end
  return frame.from{{"a", a}, {"b", b}, {"y", y}}
end

describe("ml.search", function()
  it("tries the whole grid and fits the best", function()
    local rows = noisy(80)
    local pipe = ml.pipeline{ml.scaler(), ml.lasso{}}
    local best = ml.search(pipe, {["lasso.alpha"] = {0.01, 0.1, 5}},
      {on = rows, target = "y", cv = 4, score = "rmse"})
    expect(#best.tried).to_be(3)
    local least
    for _, try in ipairs(best.tried) do
      local alone = ml.cross_validate(ml.pipeline{ml.scaler(),
        ml.lasso{alpha = try.params["lasso.alpha"]}}, {on = rows, target = "y", cv = 4})
      expect(try.mean).to_be(alone.mean.rmse)
      if not least or try.mean < least.mean then least = try end
    end
    expect(best.params).to_equal(least.params)
    expect(best.mean).to_be(least.mean)
    expect(best.model == ml.pipeline{ml.scaler(), ml.lasso{alpha = best.params["lasso.alpha"]}}
      :fit(rows, "y")).to_be_true()
  end)

  it("draws from ranges by the seed, with aliases of options", function()
    local rows = noisy(60)
    local function search(seed)
      return ml.search(ml.random_forest_regressor{trees = 3}, {max_depth = {from = 1, to = 4},
        n_estimators = {2, 3}, max_features = {from = 0.3, to = 0.9}},
        {on = rows, target = "y", cv = 3, score = "r2", tries = 6, seed = seed, refit = false})
    end
    local one = search(1)
    expect(#one.tried).to_be(6)
    expect(one.model).to_be(nil)
    expect(search(1).tried).to_equal(one.tried)
    expect(search(2).tried[1].params.max_features == one.tried[1].params.max_features)
      .to_be(false)
    for _, try in ipairs(one.tried) do
      expect(math.type(try.params.max_depth)).to_be("integer")
      expect(try.params.max_depth).to_be_between(1, 4)
    end
  end)

  it("halves", function()
    local rows = noisy(90)
    local best = ml.search(ml.lasso{}, {alpha = {0.001, 0.01, 0.05, 0.1, 0.2, 0.5, 1, 2, 5}},
      {on = rows, target = "y", cv = 3, score = "r2", halving = true, min_rows = 10, max_rows = 90})
    local by_rows = {}
    for _, try in ipairs(best.tried) do by_rows[try.rows] = (by_rows[try.rows] or 0) + 1 end
    expect(by_rows).to_equal{[10] = 9, [30] = 3, [90] = 1}
  end)

  it("says what is wrong", function()
    local rows = noisy(30)
    local o = {on = rows, target = "y", score = "r2"}
    expect(function() ml.search(ml.lasso{}, {l3 = {1}}, o) end).to_fail("unknown option 'l3'")
    expect(function() ml.search(ml.lasso{}, {alpha = {from = 1, to = 2}}, o) end)
      .to_fail("tries = how many")
    expect(function() ml.search(ml.lasso{}, {alpha = 1}, o) end).to_fail("expected option = {values}")
    expect(function()
      ml.search(ml.pipeline{ml.scaler(), ml.lasso{}}, {["ridge.alpha"] = {1}}, o)
    end).to_fail("steps are scaler, lasso")
    expect(function()
      ml.search(ml.lasso{}, {alpha = {1}}, {on = rows, target = "y", score = "auc"})
    end).to_fail("no score 'auc'")
    expect(function() ml.search(ml.lasso{}, {alpha = {1}}, {on = rows, target = "y"}) end)
      .to_fail("score")
  end)
end)
