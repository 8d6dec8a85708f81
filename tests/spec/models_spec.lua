local t = require "flowrun.test"
local frame = require "flowrun.frame"
local ml = require "flowrun.ml"
local describe, it, expect = t.describe, t.it, t.expect

local want = dofile("tests/fixtures/models.txt")
local features = {"x1", "x2", "x3", "x4"}

local function table_of(columns)
  local all = {}
  for j, name in ipairs(features) do all[j] = {name, want.x[j], "float64"} end
  for _, column in ipairs(columns) do all[#all + 1] = column end
  return frame.from(all)
end

local df = table_of{{"y", want.y}, {"count", want.count}, {"kind", want.kind},
  {"binary", want.binary}, {"group", want.group}}

local function near(got, expected, tolerance)
  expect(#got).to_be(#expected)
  for i = 1, #expected do expect(got[i]).to_be_near(expected[i], tolerance) end
end

local function with_threads(make, target)
  local one = make(1):fit(df, target, {features = features})
  for _, threads in ipairs{2, 3, 8} do
    expect(make(threads):fit(df, target, {features = features}) == one).to_be_true()
  end
  return one
end

local function reloads(model)
  local path = t.temp_dir() .. "/m"
  model:save(path)
  expect(ml.load(path) == model).to_be_true()
end

-- The greatest violation of the conditions of the optimum, relative to the gradient at 0.
local function violation(model, alpha, ratio)
  local p, c = model:predict(df), model:coefficients()
  local most, scale = 0, 0
  for j, name in ipairs(features) do
    local x, g, g0 = df:col(name), 0, 0
    local mean, y_mean = x:mean(), df.y:mean()
    for i = 1, #df do
      g = g + (x[i] - mean) * (df.y[i] - p[i]) / #df
      g0 = g0 + (x[i] - mean) * (df.y[i] - y_mean) / #df
    end
    local b = c.value[j + 1]
    g = g - alpha * (1 - ratio) * b
    local v = b == 0 and math.max(0, math.abs(g) - alpha * ratio)
      or math.abs(g - alpha * ratio * (b > 0 and 1 or -1))
    most, scale = math.max(most, v), math.max(scale, math.abs(g0))
  end
  return most / scale
end

describe("ml.lasso and ml.elastic_net", function()
  it("give scikit-learn's coefficients, zeros where it has them", function()
    expect(#want.lasso + #want.net).to_be(6)
    for _, case in ipairs(want.lasso) do
      local model = with_threads(function(n) return ml.lasso{alpha = case.alpha, threads = n} end, "y")
      near(model:coefficients().value, case.value, 1e-8)
      for i, value in ipairs(case.value) do
        expect(model:coefficients().value[i] == 0).to_be(value == 0)
      end
    end
    for _, case in ipairs(want.net) do
      local model = ml.elastic_net{alpha = case.alpha, l1_ratio = case.l1_ratio}:fit(df, "y",
        {features = features})
      near(model:coefficients().value, case.value, 1e-7)
    end
  end)

  it("meet the conditions of the optimum", function()
    for _, alpha in ipairs{1e-3, 0.05, 0.5, 1.9} do
      for _, ratio in ipairs{0, 0.3, 1} do
        local model = ml.elastic_net{alpha = alpha, l1_ratio = ratio}:fit(df, "y",
          {features = features})
        expect(violation(model, alpha, ratio)).to_be_between(0, 1e-8)
      end
    end
  end)

  it("are least squares without a penalty, and handle columns that repeat", function()
    local ols = ml.linear{}:fit(df, "y", {features = features}):coefficients().value
    near(ml.lasso{alpha = 0}:fit(df, "y", {features = features}):coefficients().value, ols, 1e-9)
    local twice = frame.from{{"a", want.x[1]}, {"b", want.x[1]}, {"y", want.y}}
    local c = ml.lasso{alpha = 0.1}:fit(twice, "y"):coefficients()
    expect(c.value[2] ~= 0 and c.value[3] == 0).to_be_true()
    expect(c:null_count().std_error).to_be(3)
    local none = ml.lasso{alpha = 1e6}:fit(df, "y", {features = features})
    expect(none:predict(df)[1]).to_be_near(df.y:mean(), 1e-12)
    reloads(none)
    expect(function() ml.lasso{l1_ratio = 1} end).to_fail("l1_ratio")
    expect(function() ml.elastic_net{l1_ratio = 2} end).to_fail("from 0 to 1")
  end)
end)

describe("ml.poisson", function()
  it("gives scikit-learn's coefficients", function()
    for _, case in ipairs(want.poisson) do
      local model = with_threads(function(n) return ml.poisson{alpha = case.alpha, threads = n} end,
        "count")
      near(model:coefficients().value, case.value, 1e-6)
      reloads(model)
    end
  end)

  it("predicts the mean of each group, with its error", function()
    local x, y = {0, 0, 0, 1, 1}, {3, 5, 4, 10, 12}
    local model = ml.poisson{}:fit(frame.from{{"x", x}, {"y", y}}, "y")
    near(model:predict(frame.from{{"x", {0, 1}}}), {4, 11}, 1e-9)
    local c = model:coefficients()
    expect(c.value[1]).to_be_near(math.log(4), 1e-10)
    expect(c.std_error[1]).to_be_near((1 / 12) ^ 0.5, 1e-9)
    expect(c.std_error[2]).to_be_near((1 / 12 + 1 / 22) ^ 0.5, 1e-9)
  end)

  it("refuses what is no count", function()
    local bad = frame.from{{"x", {1, 2, 3}}, {"y", {1, -2, 3}}}
    expect(function() ml.poisson{}:fit(bad, "y") end).to_fail("row 2")
    local zero = frame.from{{"x", {1, 2, 3}}, {"y", {0, 0, 0}}}
    expect(function() ml.poisson{}:fit(zero, "y") end).to_fail("all counts are 0")
    local twice = frame.from{{"a", {1, 2, 4}}, {"b", {1, 2, 4}}, {"y", {1, 2, 3}}}
    expect(function() ml.poisson{}:fit(twice, "y") end).to_fail("combinations", "numeric")
  end)
end)

describe("ml.logistic of three classes", function()
  it("gives scikit-learn's coefficients and probabilities", function()
    for _, case in ipairs(want.softmax) do
      local model = with_threads(function(n) return ml.logistic{l2 = case.l2, threads = n} end, "kind")
      local c, mean = model:coefficients(), 0
      for k = 1, 3 do mean = mean + case.intercept[k] / 3 end
      for k, class in ipairs{"a", "b", "c"} do
        local got = c:col(class)
        expect(got[1]).to_be_near(case.intercept[k] - mean, 1e-5)
        for j = 1, 4 do expect(got[j + 1]).to_be_near(case.coef[k][j], 1e-6) end
      end
      local p = model:predict_proba(df:head(3))
      for i = 1, 3 do
        for k, class in ipairs{"a", "b", "c"} do
          expect(p:col(class)[i]).to_be_near(case.proba[i][k], 1e-6)
        end
      end
    end
  end)

  it("is a model: predicts, scores, saves", function()
    local model = ml.logistic{}:fit(df, "kind", {features = features})
    expect(model:score(df).accuracy).to_be_between(0.5, 1)
    expect(#model:predict(df)).to_be(#df)
    reloads(model)
    expect(function() ml.logistic{max_iter = 2}:fit(df, "kind", {features = features}) end)
      .to_fail("did not converge in 2 steps", "numeric")
  end)
end)
