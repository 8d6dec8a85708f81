local t = require "flowrun.test"
local frame = require "flowrun.frame"
local ml = require "flowrun.ml"
local random = require "flowrun.random"
local describe, it, expect = t.describe, t.it, t.expect

-- n rows of three features, and targets that share them; every fifth value of some is missing.
local function make(n, targets, gaps)
  local rng = random.new(3)
  local a, b, noise = rng:normal(10, 2, n), rng:normal(0, 5, n), {}
  local columns = {{"a", a}, {"b", b}, {"c", rng:normal(-3, 0.1, n)}}
  for k = 1, targets do
    local y, e = {}, rng:normal(0, 0.3, n)
    for i = 1, n do
      local missing = gaps and k % 2 == 0 and (i + k) % 5 == 0
      y[i] = missing and frame.null or k + k * a[i] - 0.1 * b[i] + e[i]
    end
    columns[#columns + 1] = {"y" .. k, y, "float64"}
    noise[k] = "y" .. k
  end
  return frame.from(columns), noise
end

local function near_alone(df, names, model, options)
  local all = model:coefficients()
  for _, name in ipairs(names) do
    local rows = df:dropna{name}
    local one = ml.linear(options):fit(rows, name, {features = {"a", "b", "c"}})
    local value = one:coefficients().value
    for j = 1, 4 do expect(all:col(name)[j]).to_be_near(value[j], 1e-9) end
    local p, q = one:predict(rows), model:predict(rows):col(name)
    for i = 1, 5 do expect(q[i]).to_be_near(p[i], 1e-9) end
  end
end

describe("ml.linear of several targets", function()
  it("gives what each target gives alone", function()
    local df, names = make(300, 70)
    local model = ml.linear{}:fit(df, names)
    expect(tostring(model)).to_contain("several targets")
    near_alone(df, names, model, {})
    near_alone(df, names, ml.linear{l2 = 30}:fit(df, names), {l2 = 30})
    local free = ml.linear{intercept = false}:fit(df, names)
    near_alone(df, names, free, {intercept = false})
  end)

  it("leaves out each target's own missing rows", function()
    local df, names = make(300, 40, true)
    local model = ml.linear{}:fit(df, names, {missing = "skip"})
    near_alone(df, names, model, {})
    local score = model:score()
    expect(score.n[1]).to_be(300)
    expect(score.n[2]).to_be(240)
    local own = model:score(df)
    for k = 1, 4 do
      expect(own.r2[k]).to_be_near(score.r2[k], 1e-9)
      expect(own.rmse[k]).to_be_near(score.rmse[k], 1e-9)
    end
    expect(function() ml.linear{}:fit(df, names) end).to_fail("`y2` is null in row 3")
  end)

  it("has the same bytes with any number of threads, and when loaded", function()
    local df, names = make(200, 300, true)
    local one = ml.linear{threads = 1}:fit(df, names, {missing = "skip"})
    for _, threads in ipairs{2, 3, 8} do
      expect(ml.linear{threads = threads}:fit(df, names, {missing = "skip"}) == one).to_be_true()
    end
    local path = t.temp_dir() .. "/m"
    one:save(path)
    expect(ml.load(path) == one).to_be_true()
  end)

  it("handles features that others explain, and rows that leave nothing", function()
    local df, names = make(60, 3)
    local twice = df:with{{"d", "2 * a"}, {"e", "b - b"}}
    local model = ml.linear{}:fit(twice, names, {features = {"a", "b", "c", "d", "e"}})
    local p, q = model:predict(twice), ml.linear{}:fit(df, names):predict(df)
    for i = 1, 60 do expect(p.y2[i]).to_be_near(q.y2[i], 1e-9) end
    -- `rare` is 1 only where y is missing: the downdated products are singular.
    local rare = frame.from{{"a", {1, 2, 3, 4, 5}}, {"rare", {0, 0, 1, 0, 0}},
      {"y", {2.0, 4.0, frame.null, 8.0, 10.0}}, {"z", {1.0, 2.0, 9.0, 4.0, 5.0}}}
    local c = ml.linear{}:fit(rare, {"y", "z"}, {missing = "skip"}):coefficients()
    expect(c.y[2]).to_be_near(2, 1e-12)
    expect(c.z[3]).to_be_near(6, 1e-12)
  end)

  it("refuses what it cannot do, by name", function()
    local df, names = make(20, 3, true)
    expect(function() ml.logistic{}:fit(df, names) end).to_fail("ml.linear fits several")
    expect(function() ml.linear{}:fit(df, names, {weights = "a"}) end).to_fail("weights")
    expect(function() ml.linear{}:fit(df, names, {features = {"a", "y1"}}) end)
      .to_fail("`y1` is among the features")
    expect(function() ml.linear{}:fit(df, names, {missing = "drop"}) end).to_fail("error, skip")
    local empty = df:with{{"y1", "if_else(a > 1e9, y1, null)"}}
    expect(function() ml.linear{}:fit(empty, names, {missing = "skip"}) end)
      .to_fail("only nulls")
  end)
end)
