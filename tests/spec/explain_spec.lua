-- Isolation forests, drawings and explanations of trees.
local t = require "flowrun.test"
local frame = require "flowrun.frame"
local ml = require "flowrun.ml"
local random = require "flowrun.random"
local describe, it, expect = t.describe, t.it, t.expect

local peer = dofile "tests/fixtures/trees.lua"
local plain = {features = {"a", "b", "c"}}

-- The data of make_trees.py.
local function data(seed, n)
  local r = random.numpy(seed)
  local a, b, c = r:normal(0, 1, n), r:normal(0, 1, n), r:normal(0, 1, n)
  local e, y, k, g = r:normal(0, 1, n), {}, {}, {}
  for i = 1, n do
    y[i] = 100 + 3 * a[i] + b[i] * b[i] * b[i] - 2 * a[i] * b[i] + 0.5 * e[i]
    k[i] = y[i] > 102 and 2 or y[i] > 99 and 1 or 0
    g[i] = i % 6
  end
  return frame.from{{"a", a}, {"b", b}, {"c", c}, {"g", g}, {"y", y}, {"k", k}}
end

local function odd(seed)
  local r, columns = random.numpy(seed), {}
  for j, name in ipairs{"p", "q", "r", "s"} do
    local v, inside, outside = {}, r:normal(0, 1, 1000), r:uniform(-6, 6, 50)
    for i = 1, 1000 do v[i] = inside[i] end
    for i = 1, 50 do v[1000 + i] = outside[i] end
    columns[j] = {name, v}
  end
  return frame.from(columns)
end

local train, test = data(42, 600), data(43, 30)

describe("an isolation forest", function()
  local u, truth = odd(7), {}
  for i = 1, 1050 do truth[i] = i > 1000 and 1 or 0 end

  local cases = {
    isolation_mean = function(m) return m:anomaly(u):mean() end,
    isolation_auc = function(m) return ml.roc_auc(truth, m:anomaly(u)) end,
    isolation_out = function(m)
      local out = 0
      local side = m:predict(u)
      for i = 1, #side do out = out + (side[i] == -1 and 1 or 0) end
      return out / #side
    end,
  }
  for name, measure in pairs(cases) do
    it("scores as scikit-learn's does: " .. name, function()
      local sum, squares, n, want = 0, 0, 10, peer.odd_scores[name]
      for seed = 1, n do
        local v = measure(ml.isolation_forest{seed = seed}:fit(u))
        sum, squares = sum + v, squares + v * v
      end
      local mean = sum / n
      local se = (math.max(0, squares - n * mean ^ 2) / (n - 1) / n) ^ 0.5
      local allowed = math.max(2 * (se ^ 2 + want[2] ^ 2) ^ 0.5, 0.003)
      expect(mean < want[1] + allowed).to_be_true()
      expect(mean > want[1] - allowed).to_be_true()
    end)
  end

  it("has the score of the paper", function()
    local three = frame.from{{"v", {0, 0, 1}}}
    local s = ml.isolation_forest{trees = 5}:fit(three):anomaly(three)
    local c3 = 2 * (math.log(2) + 0.5772156649015329) - 4 / 3
    expect(s[1]).to_be_near(2 ^ (-2 / c3), 1e-6)
    expect(s[3]).to_be_near(2 ^ (-1 / c3), 1e-6)
    local same = frame.from{{"v", {4, 4, 4, 4}}}
    expect(ml.isolation_forest():fit(same):anomaly(same)[2]).to_be_near(0.5, 1e-7)
  end)

  it("takes a share of anomalies, missing values, and any number of threads", function()
    local side = ml.isolation_forest{contamination = 0.1}:fit(u):predict(u)
    local out = 0
    for i = 1, #side do out = out + (side[i] == -1 and 1 or 0) end
    expect(out).to_equal(105)
    local gap = u:with{{"p", "if_else(p > 1, null, p)"}}
    local first
    for _, threads in ipairs{1, 2, 3, 8} do
      local m = ml.isolation_forest{trees = 20, threads = threads}:fit(gap)
      first = first or m
      expect(m == first).to_be_true()
    end
    local path = os.tmpname()
    first:save(path)
    expect(ml.load(path):anomaly(gap)[7]).to_equal(first:anomaly(gap)[7])
    os.remove(path)
    expect(tostring(first)).to_equal("isolation forest of 4 features, fitted on 1050 rows")
    expect(function() ml.decision_tree():fit(train, "k", plain):anomaly(train) end)
      .to_fail("does not look for anomalies")
    expect(function() first:score(gap) end).to_fail("has no target")
  end)
end)

describe("half-space trees", function()
  local function events(seed, n)
    local r = random.new(seed)
    return frame.from{{"p", r:normal(0, 1, n)}, {"q", r:normal(5, 2, n)}}
  end
  local detector = ml.half_space_trees{seed = 2, window = 200}:fit(events(1, 400))

  it("give outliers a higher score than rows like the last window", function()
    local s = detector:predict(frame.from{{"p", {0, 0.5, 4, -5}}, {"q", {5, 6, -4, 14}}})
    expect(math.min(s[3], s[4]) > math.max(s[1], s[2])).to_be_true()
    expect(s[3] <= 1 and s[1] >= 0).to_be_true()
  end)

  it("learn the same from one batch as from many, and from a checkpoint", function()
    local batch = events(3, 500)
    local whole, once = detector:learn(batch)
    local many, at, path = detector, 0, os.tmpname()
    for _, n in ipairs{1, 199, 250, 50} do
      local score
      score, many = many:learn(batch:slice(at + 1, at + n))
      for i = 1, n do expect(score[i]).to_equal(whole[at + i]) end
      at = at + n
      many:save(path)
      many = ml.load(path)
    end
    os.remove(path)
    expect(many == once).to_be_true()
    expect(many:info().rows).to_equal(900)
    expect(many == detector).to_be_false()
  end)

  it("forget what is older than two windows", function()
    local moved = events(4, 400):with{{"p", "p + 2"}, {"q", "q - 4"}}
    local before = detector:predict(moved):mean()
    local _, after = detector:learn(moved)
    expect(after:predict(moved):mean() < before).to_be_true()
  end)

  it("say what they cannot", function()
    expect(function() ml.isolation_forest():fit(train, plain):learn(train) end)
      .to_fail("half_space_trees do")
    expect(function() detector:learn(train) end).to_fail("needs column `p`")
    expect(function() ml.half_space_trees{height = 30} end).to_fail("from 1 to 20")
  end)
end)

describe("a tree as text", function()
  local spec = {max_depth = 4, min_samples_leaf = 20}
  it("is that of export_text", function()
    expect(ml.decision_tree(spec):fit(train, "k", plain):text()).to_equal(peer.text_classes)
    expect(ml.decision_tree_regressor(spec):fit(train, "y", plain):text{max_depth = 1})
      .to_equal(peer.text_numbers)
  end)

  it("is drawn", function()
    local m = ml.decision_tree(spec):fit(train, "k", plain)
    local svg = m:svg{max_depth = 2}
    expect(svg).to_match("^<svg xmlns")
    expect(svg).to_match("a &lt;= %-?%d+%.%d%d</text>")
    expect(svg).to_match("600 rows")
    local _, boxes = svg:gsub("<rect", "")
    local _, lines = svg:gsub("<line", "")
    expect(boxes).to_equal(lines + 1)
    expect(boxes).to_equal(7)
    expect(function() m:svg{depth = 2} end).to_fail("unknown option 'depth'")
    expect(function() m:text{tree = 2} end).to_fail("tree 2 does not exist: there are 1")
    local b = ml.gradient_boosting_regressor{rounds = 3}:fit(train, "y",
      {features = {"a", "g"}, categorical = {"g"}})
    expect(b:text{tree = 3}).to_match("value: %[")
    expect(b:svg{tree = 2}).to_match("rows")
  end)
end)

-- Shapley values by their definition, from the nodes of a tree.
local function expected(nodes, k, row, known)
  local node = nodes[k]
  if not node.left then return node.value[1] end
  local a, b = nodes[node.left], nodes[node.left + 1]
  if known[node.feature] then
    return expected(nodes, row[node.feature] <= node.cut and node.left or node.left + 1, row,
      known)
  end
  local share = a.rows / (a.rows + b.rows)
  return share * expected(nodes, node.left, row, known)
    + (1 - share) * expected(nodes, node.left + 1, row, known)
end

local function shapley(nodes, row, names)
  local out, n = {}, #names
  local factorial = {[0] = 1, 1, 2, 6}
  for i, name in ipairs(names) do
    out[i] = 0
    for set = 0, (1 << n) - 1 do
      if set >> (i - 1) & 1 == 0 then
        local known, size = {}, 0
        for j = 1, n do
          if set >> (j - 1) & 1 == 1 then known[names[j]], size = true, size + 1 end
        end
        local without = expected(nodes, 1, row, known)
        known[name] = true
        out[i] = out[i] + factorial[size] * factorial[n - size - 1] / factorial[n]
          * (expected(nodes, 1, row, known) - without)
      end
    end
  end
  return out
end

describe("an explanation", function()
  it("has the Shapley values of a tree", function()
    local m = ml.decision_tree_regressor{max_depth = 6}:fit(train, "y", plain)
    local nodes, phi = m:tree(1), m:explain(test)
    for i = 1, 5 do
      local row = {a = test.a[i], b = test.b[i], c = test.c[i]}
      local want = shapley(nodes, row, {"a", "b", "c"})
      for j, name in ipairs{"a", "b", "c"} do
        expect(phi:col(name)[i]).to_be_near(want[j], 1e-9)
      end
    end
  end)

  local function sums_to(m, options, of)
    local phi, base = m:explain(test, options)
    local names = m:info().features
    for i = 1, #test do
      local sum = base
      for _, name in ipairs(names) do sum = sum + phi:col(name)[i] end
      expect(sum).to_be_near(of(i), 1e-9)
    end
  end

  it("adds up to the prediction, for every kind", function()
    local two = train:with{{"k", "k == 2"}}
    local m = ml.random_forest{trees = 7}:fit(two, "k", plain)
    local p = m:predict_proba(test)
    sums_to(m, nil, function(i) return p["true"][i] end)
    m = ml.extra_trees{trees = 5, max_depth = 5}:fit(train, "k", plain)
    p = m:predict_proba(test)
    sums_to(m, {class = 0}, function(i) return p["0"][i] end)
    m = ml.random_forest_regressor{trees = 5}:fit(train, "y", plain)
    p = m:predict(test)
    sums_to(m, nil, function(i) return p[i] end)
    m = ml.gradient_boosting{rounds = 10}:fit(two, "k", plain)
    p = m:predict_proba(test)["true"]
    sums_to(m, nil, function(i) return math.log(p[i] / (1 - p[i])) end)
    m = ml.gradient_boosting_regressor{rounds = 10}:fit(train, "y",
      {features = {"a", "g"}, categorical = {"g"}})
    local q = m:predict(test)
    sums_to(m, nil, function(i) return q[i] end)
    m = ml.gradient_boosting{rounds = 4}:fit(train, "k", plain)
    local phi, bases, proba = {}, {}, m:predict_proba(test)
    for k = 0, 2 do phi[k], bases[k] = m:explain(test, {class = k}) end
    for i = 1, 5 do
      local raw, sum = {}, 0
      for k = 0, 2 do
        raw[k] = math.exp(bases[k] + phi[k].a[i] + phi[k].b[i] + phi[k].c[i])
        sum = sum + raw[k]
      end
      for k = 0, 2 do expect(raw[k] / sum).to_be_near(proba:col(tostring(k))[i], 1e-9) end
    end
  end)

  it("says what it cannot explain", function()
    local m = ml.random_forest{trees = 2}:fit(train, "k", plain)
    expect(function() m:explain(test, {class = 9}) end).to_fail("no class is 9")
    expect(function() ml.linear():fit(train, "y", plain):explain(test) end)
      .to_fail("cannot be explained")
  end)
end)
