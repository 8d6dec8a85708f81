local t = require "flowrun.test"
local frame = require "flowrun.frame"
local ml = require "flowrun.ml"
local random = require "flowrun.random"
local describe, it, expect = t.describe, t.it, t.expect

local want = dofile("tests/fixtures/models.txt")
local features = {"x1", "x2", "x3", "x4"}
local columns = {}
for j, name in ipairs(features) do columns[j] = {name, want.x[j], "float64"} end
local x = frame.from(columns)
local df = x:with{{"y", frame.from{{"y", want.y}}.y}, {"kind", frame.from{{"k", want.kind}}:col("k")}}

local function reloads(model)
  local path = t.temp_dir() .. "/m"
  model:save(path)
  expect(ml.load(path) == model).to_be_true()
end

describe("ml.pca", function()
  it("gives scikit-learn's components, signs and scores", function()
    local model = ml.pca{components = 3}:fit(x)
    local c = model:components()
    for k = 1, 3 do
      expect(c.variance[k]).to_be_near(want.pca.variance[k], 1e-9)
      expect(c.share[k]).to_be_near(want.pca.ratio[k], 1e-12)
      for j, name in ipairs(features) do
        expect(c:col(name)[k]).to_be_near(want.pca.components[k][j], 1e-8)
      end
    end
    local scores = model:transform(df)
    expect(scores.columns).to_equal{"y", "kind", "pc1", "pc2", "pc3"}
    local white = ml.pca{n_components = 2, whiten = true}:fit_transform(x)
    for i = 1, 4 do
      for k = 1, 3 do expect(scores:col("pc" .. k)[i]).to_be_near(want.pca.scores[i][k], 1e-8) end
      for k = 1, 2 do expect(white:col("pc" .. k)[i]).to_be_near(want.pca.whitened[i][k], 1e-8) end
    end
    reloads(model)
  end)

  it("takes as many as explain a share, and has the same bytes with any threads", function()
    local need, sum = 0, 0
    while sum <= 0.97 do
      need = need + 1
      sum = sum + want.pca.ratio[need]
    end
    expect(#ml.pca{components = 0.97}:fit(x):components()).to_be(need)
    local one = ml.pca{threads = 1}:fit(x)
    expect(ml.pca{threads = 3}:fit(x) == one).to_be_true()
    expect(#one:components()).to_be(4)
    expect(function() ml.pca{components = 9}:fit(x) end).to_fail("no 9 components")
    expect(function() one:predict(x) end).to_fail("transforms frames")
    expect(function() ml.kmeans{clusters = 2}:fit(x):components() end).to_fail("no components")
  end)
end)

describe("ml.kmeans", function()
  it("finds the inertia that scikit-learn finds with many starts", function()
    local model = ml.kmeans{clusters = 3, runs = 50, tolerance = 0, seed = 1}:fit(x)
    local centres, fit = model:clusters()
    expect(fit.inertia).to_be_near(want.kmeans.best, 1e-6)
    expect(#centres).to_be(3)
    local label, sum = model:predict(x), 0
    expect(label:type()).to_be("int64")
    for i = 1, #x do
      expect(label[i]).to_be_between(1, 3)
      for _, name in ipairs(features) do
        sum = sum + (x:col(name)[i] - centres:col(name)[label[i]]) ^ 2
      end
    end
    expect(sum).to_be_near(fit.inertia, 1e-6)
    reloads(model)
  end)

  it("puts centres in the middle of their rows", function()
    local model = ml.kmeans{clusters = 4, tolerance = 0, seed = 3}:fit(x)
    local label, centres = model:predict(x), model:clusters()
    for c = 1, 4 do
      local sum, n = 0, 0
      for i = 1, #x do
        if label[i] == c then sum, n = sum + x.x2[i], n + 1 end
      end
      expect(centres.x2[c]).to_be_near(sum / n, 1e-9)
    end
  end)

  it("ends where every row is with its closest centre, and that in the middle of its rows", function()
    local rng = random.numpy(8)
    local cloud = frame.from{{"a", rng:normal(0, 1, 3000)}, {"b", rng:normal(50, 2, 3000)},
      {"c", rng:normal(0, 1, 3000)}}
    for _, k in ipairs{1, 2, 7, 30} do
      local centres, fit = ml.kmeans{clusters = k, tolerance = 0, seed = k}:fit(cloud):clusters()
      local at, sums, inertia = {}, {}, 0
      for c = 1, k do
        at[c], sums[c] = {centres.a[c], centres.b[c], centres.c[c]}, {n = 0, 0, 0, 0}
      end
      for i = 1, #cloud do
        local row, best, least = {cloud.a[i], cloud.b[i], cloud.c[i]}, nil, math.huge
        for c = 1, k do
          local p = at[c]
          local d = (row[1] - p[1]) ^ 2 + (row[2] - p[2]) ^ 2 + (row[3] - p[3]) ^ 2
          if d < least then best, least = c, d end
        end
        local sum = sums[best]
        sum.n, inertia = sum.n + 1, inertia + least
        for j = 1, 3 do sum[j] = sum[j] + row[j] end
      end
      for c = 1, k do
        for j = 1, 3 do expect(at[c][j]).to_be_near(sums[c][j] / sums[c].n, 1e-9) end
      end
      expect(fit.inertia).to_be_near(inertia, 1e-6)
      expect(fit.iterations < 300).to_be_true()
    end
  end)

  it("has the same bytes with any threads, and handles equal rows", function()
    local one = ml.kmeans{clusters = 5, runs = 3, threads = 1}:fit(x)
    for _, threads in ipairs{2, 3, 8} do
      expect(ml.kmeans{clusters = 5, runs = 3, threads = threads}:fit(x) == one).to_be_true()
    end
    local same = frame.from{{"a", {1.0, 1.0, 1.0, 2.0}}}
    local _, fit = ml.kmeans{clusters = 3}:fit(same):clusters()
    expect(fit.inertia).to_be(0.0)
    expect(function() ml.kmeans{clusters = 5}:fit(same) end).to_fail("5 clusters of 4 rows")
  end)
end)

describe("ml.nearest", function()
  it("predicts what scikit-learn predicts", function()
    local train, test = df:slice(1, 45), df:slice(46, 60)
    for _, case in ipairs(want.near) do
      local model = ml.nearest{weights = case.weights}:fit(train, "kind", {features = features})
      local p = model:predict_proba(test)
      for k, class in ipairs{"a", "b", "c"} do
        for i = 1, #test do expect(p:col(class)[i]).to_be_near(case.proba[k][i], 1e-12) end
      end
      expect(model:predict(test):to_table()).to_equal(case.predict)
      local number = ml.nearest_regressor{weights = case.weights}
        :fit(train, "y", {features = features}):predict(test)
      for i = 1, #test do expect(number[i]).to_be_near(case.number[i], 1e-12) end
      reloads(model)
    end
  end)

  it("gives a row's own target at distance 0", function()
    local model = ml.nearest_regressor{k = 3, weights = "distance", metric = "manhattan"}
      :fit(df, "y", {features = features})
    local p = model:predict(df)
    for i = 1, #df do expect(p[i]).to_be(df.y[i]) end
    expect(function() ml.nearest{k = 61}:fit(df, "kind", {features = features}) end)
      .to_fail("61 of 60 rows")
  end)
end)
