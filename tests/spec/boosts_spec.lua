-- Boosting beside scikit-learn's and LightGBM's (tests/fixtures/make_boosts.py).
local t = require "flowrun.test"
local frame = require "flowrun.frame"
local ml = require "flowrun.ml"
local random = require "flowrun.random"
local describe, it, expect = t.describe, t.it, t.expect

local peer = dofile "tests/fixtures/boosts.lua"
local plain, gaps = {features = {"a", "b", "c"}}, {features = {"ga", "gb", "c"}}
local effect = {[0] = 3, -2, 0, 5, -4, 1, 2, -3, 4, -1, 6, -6, 2, -5, 3}

local function data(seed, n)
  local r = random.numpy(seed)
  local a, b, c = r:normal(0, 1, n), r:normal(0, 1, n), r:normal(0, 1, n)
  local e, w, z = r:normal(0, 1, n), r:randint(1, 5, n), r:randint(0, 15, n)
  local y, k, ga, gb, yz, counts = {}, {}, {}, {}, {}, {}
  for i = 1, n do
    y[i] = 100 + 3 * a[i] + b[i] * b[i] * b[i] - 2 * a[i] * b[i] + 0.5 * e[i]
    k[i] = y[i] > 102 and 2 or y[i] > 99 and 1 or 0
    ga[i] = (i - 1) % 5 == 1 and frame.null or a[i]
    gb[i] = (i - 1) % 7 == 3 and y[i] > 100 and frame.null or b[i]
    yz[i] = y[i] + effect[z[i]]
    counts[i] = math.max(0, (y[i] - 80) * (y[i] - 80) / 40 // 1)
  end
  return frame.from{{"a", a}, {"b", b}, {"c", c}, {"ga", ga}, {"gb", gb}, {"w", w}, {"z", z},
    {"y", y}, {"k", k}, {"yz", yz}, {"counts", counts}}
end

local train, test = data(42, 600), data(43, 2000)
local head = test:head(60)

local function equal_share(got, want, tolerance)
  expect(#got).to_equal(#want)
  local equal = 0
  for i = 1, #got do
    if math.abs(got[i] - want[i]) <= tolerance then equal = equal + 1 end
  end
  return equal / #got
end

local function by_row(p)
  local list, names = {}, p.columns
  for i = 1, #p do
    for _, name in ipairs(names) do list[#list + 1] = p[name][i] end
  end
  return list
end

describe("compat = \"sklearn\" predicts what scikit-learn's boosting does", function()
  local function regressor(loss)
    return ml.gradient_boosting_regressor{compat = "sklearn", rounds = 20, min_samples_leaf = 5,
      loss = loss, quantile = 0.8}:fit(train, "y", plain):predict(head)
  end
  it("for numbers", function()
    expect(equal_share(regressor("squared_error"), peer.squared, 1e-5)).to_equal(1)
    -- Gradients of equal size tie, and ties may be decided otherwise.
    expect(equal_share(regressor("absolute_error"), peer.absolute, 0.5) > 0.9).to_be_true()
    expect(equal_share(regressor("quantile"), peer.quantile, 0.5) > 0.9).to_be_true()
  end)
  it("for three classes", function()
    local p = ml.gradient_boosting{compat = "sklearn", rounds = 20, min_samples_leaf = 5}
      :fit(train, "k", plain):predict_proba(head)
    expect(equal_share(by_row(p), peer.classes, 1e-5) > 0.9).to_be_true()
  end)
  it("takes nothing that scikit-learn's does not", function()
    local spec = ml.gradient_boosting{compat = "sklearn"}
    expect(function() spec:fit(train, "k", gaps) end).to_fail("leave compat out")
    expect(function() spec:fit(train, "k", {features = {"a"}, weights = "w"}) end)
      .to_fail("takes no weights")
  end)
end)

local function pinball(y, p, q)
  local sum = 0
  for i = 1, #y do
    local d = y[i] - p[i]
    sum = sum + (d > 0 and q * d or (q - 1) * d)
  end
  return sum / #y
end

describe("histogram boosting scores as LightGBM does over five data sets", function()
  local function regress(target, options, how)
    return function(a, b, seed)
      local o = {seed = seed}
      for name, value in pairs(options or {}) do o[name] = value end
      return ml.gradient_boosting_regressor(o):fit(a, target, how or plain):score(b).r2
    end
  end
  local cases = {
    squared = regress("y"),
    absolute = regress("y", {loss = "absolute_error"}),
    poisson = regress("counts", {loss = "poisson"}),
    tweedie = regress("counts", {loss = "tweedie", tweedie_power = 1.3}),
    missing = regress("y", nil, gaps),
    weights = regress("y", nil, {features = plain.features, weights = "w"}),
    monotone = regress("y", nil, {features = plain.features, monotone = {a = 1}}),
    categories = regress("yz", nil, {features = {"a", "b", "c", "z"}, categorical = {"z"}}),
    subsample = regress("y", {subsample = 0.5, colsample = 0.7}),
    quantile = function(a, b)
      local m = ml.gradient_boosting_regressor{loss = "quantile", alpha = 0.8}:fit(a, "y", plain)
      return pinball(b.y, m:predict(b), 0.8)
    end,
    classes = function(a, b)
      return ml.gradient_boosting():fit(a, "k", plain):score(b).accuracy
    end,
    two = function(a, b)
      return ml.gradient_boosting():fit(a:with{{"two", "k == 2"}}, "two", gaps)
        :score(b:with{{"two", "k == 2"}}).accuracy
    end,
  }
  for name, want in pairs(peer.scores) do
    it(name, function()
      local sum, squares, n = 0, 0, 5
      for s = 0, n - 1 do
        local v = cases[name](data(50 + s, 2000), data(90 + s, 2000), s)
        sum, squares = sum + v, squares + v * v
      end
      local mean = sum / n
      local se = (math.max(0, squares - n * mean ^ 2) / (n - 1) / n) ^ 0.5
      local allowed = math.max(2 * (se ^ 2 + want[2] ^ 2) ^ 0.5, 0.01)
      expect(mean < want[1] + allowed).to_be_true()
      expect(mean > want[1] - allowed).to_be_true()
    end)
  end
end)

describe("options of boosting", function()
  it("keep a monotone feature's predictions in order", function()
    for sign = -1, 1, 2 do
      local m = ml.gradient_boosting_regressor{rounds = 40}:fit(train, "y",
        {features = plain.features, monotone = {a = sign}})
      local a = {}
      for i = 1, 50 do a[i] = -3 + i * 0.12 end
      for row = 1, 10 do
        local line = frame.from{{"a", a}}:with{{"b", frame.lit(head.b[row])},
          {"c", frame.lit(head.c[row])}}
        local p = m:predict(line)
        for i = 2, 50 do expect((p[i] - p[i - 1]) * sign >= 0).to_be_true() end
      end
    end
  end)

  it("stop early, at the best round, and never see the held-out rows", function()
    local long = ml.gradient_boosting_regressor{rounds = 300}:fit(train, "y", plain)
    local short = ml.gradient_boosting_regressor{rounds = 300, early_stopping = 5}
      :fit(train, "y", plain)
    expect(short:size() * 1.5 < long:size()).to_be_true()
    expect(short:score(test).r2 > long:score(test).r2 - 0.03).to_be_true()
  end)

  it("weigh rows: all 1 is the same as none", function()
    local ones = train:with{{"one", "1"}}
    local spec = ml.gradient_boosting_regressor{rounds = 10}
    local a = spec:fit(ones, "y", plain):predict(head)
    local b = spec:fit(ones, "y", {features = plain.features, weights = "one"}):predict(head)
    for i = 1, 60 do expect(math.abs(a[i] - b[i]) < 1e-6).to_be_true() end
  end)

  it("find the group of categories that matters, and send unknown codes right", function()
    local z, y = {}, {}
    for i = 1, 400 do
      z[i] = i % 20
      y[i] = (z[i] == 3 or z[i] == 7 or z[i] == 11) and -5 or 1
    end
    local m = ml.gradient_boosting_regressor{rounds = 1, learning_rate = 1, leaves = 2}
      :fit(frame.from{{"z", z}, {"y", y}}, "y", {categorical = {"z"}})
    local p = m:predict(frame.from{{"z", {3, 7, 11, 4, 99, 1000}}})
    for i = 1, 6 do expect(math.abs(p[i] - (i < 4 and -5 or 1)) < 1e-4).to_be_true() end
  end)

  it("say what does not go together", function()
    local function fit(options, how)
      return function() ml.gradient_boosting_regressor(options):fit(train, "y", how) end
    end
    expect(fit({}, {features = {"a"}, categorical = {"a"}})).to_fail("codes are whole numbers")
    expect(fit({}, {features = {"a"}, categorical = {"z"}})).to_fail("`z` is not among")
    expect(fit({}, {features = {"a"}, monotone = {a = 2}})).to_fail("should be 1 (never falls)")
    expect(fit({}, {features = {"z"}, monotone = {z = 1}, categorical = {"z"}}))
      .to_fail("both categorical and monotone")
    expect(fit({loss = "quantile"}, {features = {"a"}, monotone = {a = 1}}))
      .to_fail("monotone features need")
    expect(function() ml.gradient_boosting_regressor{loss = "poisson"}
      :fit(train:with{{"n", "y - 100"}}, "n", plain) end).to_fail("needs counts")
    expect(function() ml.gradient_boosting_regressor{loss = "tweedie"}
      :fit(train:with{{"n", "y - 100"}}, "n", plain) end).to_fail("needs numbers of 0 or more")
    for _, loss in ipairs{"squared_error", "poisson", "tweedie"} do
      expect(function() ml.gradient_boosting_regressor{loss = loss}
        :fit(train:with{{"n", "1e308"}}, "n", plain) end).to_fail("expected at most 1e+150: scale it")
    end
    local tiny = train:with{{"n", "1e-300"}}
    local said = ml.gradient_boosting_regressor{loss = "poisson", rounds = 2}:fit(tiny, "n", plain):predict(tiny)
    expect(said:max() < 1e-299).to_be_true()
    expect(function() ml.gradient_boosting_regressor{loss = "tweedie"}
      :fit(train:with{{"n", "0 * y"}}, "n", plain) end).to_fail("0 everywhere")
    expect(function() ml.gradient_boosting_regressor{tweedie_power = 2} end).to_fail("1.9999")
    expect(fit({loss = "huber"})).to_fail("squared_error absolute_error quantile poisson tweedie")
    expect(function() ml.random_forest():fit(train, "k", {features = {"z"},
      categorical = {"z"}}) end).to_fail("gradient_boosting does")
  end)

  it("take Newton's step of the Tweedie deviance", function()
    -- One leaf each side of x = 0.5: its step from the common mean, by hand.
    local x, y, p, left, right = {}, {}, 1.6, {0, 0, 1, 3}, {2, 5, 0, 9}
    for i = 1, 8 do
      x[i], y[i] = i <= 4 and 0 or 1, i <= 4 and left[i] or right[i - 4]
    end
    local m = ml.gradient_boosting_regressor{loss = "tweedie", tweedie_power = p, rounds = 1,
      leaves = 2, min_samples_leaf = 1, learning_rate = 1}
      :fit(frame.from{{"x", x}, {"y", y}}, "y", {features = {"x"}})
    local got = m:predict(frame.from{{"x", {0, 1}}})
    local start = math.log(20 / 8)
    for side, values in ipairs{left, right} do
      local g, h = 0, 0
      for _, v in ipairs(values) do
        local a, b = v * math.exp((1 - p) * start), math.exp((2 - p) * start)
        g, h = g + a - b, h + (p - 1) * a + (2 - p) * b
      end
      expect(got[side]).to_be_near(math.exp(start + g / h), 1e-5)
    end
  end)

  it("give the same bytes at any thread count", function()
    local cases = {
      {"gradient_boosting", "k", {rounds = 5}, gaps},
      {"gradient_boosting", "k", {rounds = 5, class_weight = "balanced"}, plain},
      {"gradient_boosting_regressor", "y", {rounds = 8, subsample = 0.5, colsample = 0.7}, gaps},
      {"gradient_boosting_regressor", "y", {rounds = 8, loss = "quantile"}, plain},
      {"gradient_boosting_regressor", "counts", {rounds = 8, loss = "poisson",
        early_stopping = 2}, {features = {"a", "z"}, categorical = {"z"}}},
      {"gradient_boosting_regressor", "counts", {rounds = 8, loss = "tweedie"}, plain},
      {"gradient_boosting_regressor", "y", {rounds = 8}, {features = {"a", "b"},
        monotone = {a = 1}}},
      {"gradient_boosting_regressor", "y", {rounds = 5, compat = "sklearn"}, plain},
    }
    local many = data(7, 40000)
    for _, case in ipairs(cases) do
      local first
      for _, threads in ipairs{1, 2, 3, 8} do
        case[3].threads = threads
        local m = ml[case[1]](case[3]):fit(many, case[2], case[4])
        first = first or m
        expect(m == first).to_be_true()
      end
      local path = os.tmpname()
      first:save(path)
      expect(ml.load(path):predict(head)[7]).to_equal(first:predict(head)[7])
      os.remove(path)
    end
  end)
end)
