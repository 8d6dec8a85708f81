-- Trees, forests and extra trees beside scikit-learn's (tests/fixtures/make_trees.py).
local t = require "flowrun.test"
local frame = require "flowrun.frame"
local ml = require "flowrun.ml"
local random = require "flowrun.random"
local describe, it, expect = t.describe, t.it, t.expect

local peer = dofile "tests/fixtures/trees.lua"
local plain = {features = {"a", "b", "c"}}
local gaps = {features = {"ga", "gb", "c"}}

local function data(seed, n)
  local r = random.numpy(seed)
  local a, b, c = r:normal(0, 1, n), r:normal(0, 1, n), r:normal(0, 1, n)
  local e, w = r:normal(0, 1, n), r:randint(1, 5, n)
  local y, k, ga, gb = {}, {}, {}, {}
  for i = 1, n do
    y[i] = 100 + 3 * a[i] + b[i] * b[i] * b[i] - 2 * a[i] * b[i] + 0.5 * e[i]
    k[i] = y[i] > 102 and 2 or y[i] > 99 and 1 or 0
    ga[i] = (i - 1) % 5 == 1 and frame.null or a[i]
    gb[i] = (i - 1) % 7 == 3 and y[i] > 100 and frame.null or b[i]
  end
  return frame.from{{"a", a}, {"b", b}, {"c", c}, {"ga", ga}, {"gb", gb}, {"w", w}, {"y", y},
    {"k", k}}
end

local train, test = data(42, 600), data(43, 2000)
local head = test:head(60)
local shape = {max_depth = 5, min_samples_leaf = 8}

local function near(got, want, tolerance)
  expect(#got).to_equal(#want)
  for i = 1, #got do
    local off = math.abs(got[i] - want[i])
    if off ~= off or off > tolerance then
      error(("[%d]: %.9g, expected %.9g"):format(i, got[i], want[i]), 2)
    end
  end
end

-- Probabilities by row, as numpy lays them out.
local function by_row(p)
  local list, names = {}, p.columns
  for i = 1, #p do
    for _, name in ipairs(names) do list[#list + 1] = p[name][i] end
  end
  return list
end

local function with(more)
  local o = {}
  for name, value in pairs(shape) do o[name] = value end
  for name, value in pairs(more or {}) do o[name] = value end
  return o
end

-- A frame whose columns a and b have the gaps of ga and gb.
local function gapped(df) return df:select{"ga", "gb", "c"}:rename{ga = "a", gb = "b"} end

describe("a single tree predicts what scikit-learn's does", function()
  it("for numbers", function()
    local spec = ml.decision_tree_regressor(shape)
    near(spec:fit(train, "y", plain):predict(head), peer.regression, 1e-5)
    near(spec:fit(train, "y", {features = plain.features, weights = "w"}):predict(head),
      peer.regression_weighted, 1e-5)
    near(spec:fit(train, "y", gaps):predict(head), peer.regression_missing, 1e-5)
    near(spec:fit(train, "y", plain):predict(gapped(head)), peer.regression_missing_new, 1e-5)
    near(ml.decision_tree_regressor{min_impurity_decrease = 0.3}:fit(train, "y", plain)
      :predict(head), peer.decrease, 1e-5)
  end)

  it("for classes", function()
    near(by_row(ml.decision_tree(with{criterion = "entropy"}):fit(train, "k", plain)
      :predict_proba(head)), peer.entropy, 1e-6)
    near(by_row(ml.decision_tree(with{class_weight = "balanced", max_depth = 4}):fit(train, "k", plain)
      :predict_proba(head)), peer.balanced, 1e-6)
    near(by_row(ml.decision_tree(with{max_depth = 4, class_weight = {[0] = 5, [1] = 1, [2] = 2}})
      :fit(train, "k", plain):predict_proba(head)), peer.by_class, 1e-6)
    near(by_row(ml.decision_tree(shape):fit(train, "k", gaps):predict_proba(head)),
      peer.classes_missing, 1e-6)
    local two = train:with{{"two", "k == 2"}}
    near(ml.decision_tree(shape):fit(two, "two", gaps):predict_proba(head)["true"],
      peer.two_missing, 1e-6)
  end)
end)

local function mean_se(fit)
  local sum, squares, n = 0, 0, 10
  for seed = 1, n do
    local v = fit(seed)
    sum, squares = sum + v, squares + v * v
  end
  local mean = sum / n
  return mean, ((squares - n * mean ^ 2) / (n - 1) / n) ^ 0.5
end

describe("forests score as scikit-learn's do over ten seeds", function()
  local function first(model)
    for row = 1, 3 do
      local importances = model:importances()
      if importances.feature[row] == "a" then return importances.importance[row] end
    end
  end
  local weighted = {features = plain.features, sample_weight = "w"}
  local function forest(s) return ml.random_forest{trees = 40, seed = s} end
  local function regressor(s) return ml.random_forest_regressor{n_estimators = 40, seed = s} end
  local function extra(s) return ml.extra_trees{trees = 40, seed = s} end
  local cases = {
    forest_r2 = function(s) return regressor(s):fit(train, "y", plain):score(test).r2 end,
    forest_r2_missing = function(s) return regressor(s):fit(train, "y", gaps):score(test).r2 end,
    forest_oob_r2 = function(s) return regressor(s):fit(train, "y", plain):oob(train).r2 end,
    forest_accuracy = function(s) return forest(s):fit(train, "k", plain):score(test).accuracy end,
    forest_accuracy_weighted = function(s)
      return forest(s):fit(train, "k", weighted):score(test).accuracy
    end,
    forest_oob_accuracy = function(s)
      return forest(s):fit(train, "k", plain):oob(train).accuracy
    end,
    forest_max_samples = function(s)
      return ml.random_forest{trees = 40, seed = s, max_samples = 0.2}:fit(train, "k", plain)
        :score(test).accuracy
    end,
    extra_r2 = function(s)
      return ml.extra_trees_regressor{trees = 40, seed = s}:fit(train, "y", plain):score(test).r2
    end,
    extra_accuracy = function(s) return extra(s):fit(train, "k", plain):score(test).accuracy end,
    extra_accuracy_missing = function(s)
      return extra(s):fit(train, "k", gaps):score(test).accuracy
    end,
    forest_importance_a = function(s) return first(regressor(s):fit(train, "y", plain)) end,
    extra_importance_a = function(s) return first(extra(s):fit(train, "k", plain)) end,
  }
  for name, want in pairs(peer.scores) do
    it(name, function()
      local mean, se = mean_se(cases[name])
      local allowed = math.max(2 * (se ^ 2 + want[2] ^ 2) ^ 0.5, 0.005)
      expect(mean < want[1] + allowed).to_be_true()
      expect(mean > want[1] - allowed).to_be_true()
    end)
  end
end)

describe("weights", function()
  it("are the same as repeated rows", function()
    local list = {}
    for i = 1, #train do
      for _ = 1, train.w[i] do list[#list + 1] = train:slice(i, i) end
    end
    local repeated = frame.concat(list)
    local spec = ml.decision_tree{max_depth = 4}
    local once = spec:fit(train, "k", {features = plain.features, weights = train.w})
    near(by_row(once:predict_proba(head)),
      by_row(spec:fit(repeated, "k", plain):predict_proba(head)), 1e-6)
  end)

  it("are checked", function()
    local spec = ml.random_forest{trees = 2}
    local bad = train:with{{"w", "w - 1.5"}}
    expect(function() spec:fit(bad, "k", {features = plain.features, weights = "w"}) end)
      .to_fail("weights are positive or 0")
    expect(function() spec:fit(train, "k", {features = plain.features, weights = {1, 2}}) end)
      .to_fail("the features have 600 rows, the weights 2")
    for _, w in ipairs{"1e308", "1e-320"} do
      local far = train:with{{"w", w}}
      expect(function() spec:fit(far, "k", {features = plain.features, weights = "w"}) end)
        .to_fail("expected 1e-100 to 1e+100")
    end
    expect(function() ml.online_logistic(5) end).to_fail("options are a table, got a number")
    expect(function() ml.logistic():fit(train, "k", {features = plain.features, weights = "w"}) end)
      .to_fail("takes no weights")
    expect(function() ml.random_forest{class_weight = {[7] = 2}}:fit(train, "k", plain) end)
      .to_fail("class_weight names 7, which is no class of `k`")
    expect(function() ml.random_forest_regressor{class_weight = {[7] = 2}} end)
      .to_fail("unknown option 'class_weight'")
    expect(function() spec:fit(train, "k", {weigths = "w"}) end).to_fail("unknown option 'weigths'")
  end)
end)

describe("importances by permutation", function()
  it("find the features that matter, on new rows", function()
    local m = ml.random_forest_regressor{trees = 20}:fit(train, "y", plain)
    local p = m:importances{kind = "permutation", data = test, repeats = 2}
    expect(p.columns).to_equal({"feature", "importance", "std"})
    expect(p.feature[3]).to_equal("c")
    expect(p.importance[1] > 0.3 and math.abs(p.importance[3]) < 0.05).to_be_true()
    expect(m:importances{kind = "permutation", data = test, repeats = 2}.importance[1])
      .to_equal(p.importance[1])
    expect(function() m:importances{kind = "permutation"} end).to_fail("data = a frame")
    expect(function() m:importances{kind = "gain"} end).to_fail('"impurity" or "permutation"')
  end)
end)

describe("out of bag", function()
  it("needs the rows fitted on and a bootstrap", function()
    local m = ml.random_forest{trees = 3}:fit(train, "k", plain)
    expect(function() m:oob(test) end).to_fail("expected the frame that the model was fitted on")
    local o = m:oob(train)
    expect(o.rows < 600 and o.rows > 300).to_be_true()
    expect(o.predicted:null_count() ~= nil and #o.predicted).to_equal(600)
    expect(function() ml.extra_trees{trees = 3}:fit(train, "k", plain):oob(train) end)
      .to_fail("every tree saw every row")
  end)
end)

describe("every kind of tree", function()
  local kinds = {"decision_tree", "decision_tree_regressor", "random_forest",
    "random_forest_regressor", "extra_trees", "extra_trees_regressor"}
  it("has the same bytes at any thread count, and after save and load", function()
    for _, kind in ipairs(kinds) do
      local target = kind:find("regressor") and "y" or "k"
      local first
      for _, threads in ipairs{1, 2, 3, 8} do
        local model = ml[kind]{seed = 5, threads = threads}:fit(train, target, gaps)
        first = first or model
        expect(model == first).to_be_true()
      end
      local path = os.tmpname()
      first:save(path)
      local again = ml.load(path)
      os.remove(path)
      expect(again == first).to_be_true()
      expect(again:predict(head)[60]).to_equal(first:predict(head)[60])
    end
  end)

  it("groups values with bins, and predicts a constant target", function()
    local exact = ml.random_forest{trees = 20}:fit(train, "k", plain)
    local binned = ml.random_forest{trees = 20, bins = 16}:fit(train, "k", plain)
    expect(binned:score(test).accuracy > exact:score(test).accuracy - 0.05).to_be_true()
    local halved = ml.random_forest{trees = 20, max_bins = 2}:fit(train, "k", plain)
    expect(halved:size() * 5 < exact:size()).to_be_true()     -- at most 8 leaves
    local flat = train:with{{"y", frame.lit(7.5)}}
    expect(ml.extra_trees_regressor{trees = 3}:fit(flat, "y", plain):predict(head)[1])
      .to_equal(7.5)
  end)
end)

describe("importances by permutation", function()
  local function rows()
    local r, c = random.numpy(9), {}
    for j = 1, 5 do c[j] = r:uniform(0, 1, 200) end
    return frame.from{{"a", c[1]}, {"b", c[2]}, {"c", c[3]}, {"d", c[4]}, {"e", c[5]}}
      :with{{"y", "3 * a + b + 0.5 * e"}, {"k", "if_else(a + c > 1, 1, 0)"}}
  end

  it("are scikit-learn's, within the standard errors of shuffling", function()
    local expected, df = dofile "tests/fixtures/permutation.lua", rows()
    local four = {features = {"a", "b", "c", "d"}}
    local models = {linear = ml.linear{}:fit(df, "y", four),
      logistic = ml.logistic{l2 = 1}:fit(df, "k", four)}
    for name, model in pairs(models) do
      local repeats = 25
      local shares = model:importances{kind = "permutation", data = df, repeats = repeats, seed = 2}
      for i = 1, #shares do
        local mean, std = table.unpack(expected[name][shares.feature[i]])
        expect(shares.importance[i]).to_be_near(mean, 4 * std * (1 / repeats + 1 / 500) ^ 0.5 + 1e-12)
        expect(shares.std[i]).to_be_between(0.6 * std, 1.5 * std + 1e-12)
      end

    end
  end)
end)
