local t = require "flowrun.test"
local frame = require "flowrun.frame"
local ml = require "flowrun.ml"
local random = require "flowrun.random"
local describe, it, expect = t.describe, t.it, t.expect

-- The table and the fits of scikit-learn (tests/fixtures/make_logistic.py).
local function fixture()
  local columns, fits = {{}, {}, {}, {}}, {fit = {}, ridge = {}}
  for line in io.lines("tests/fixtures/logistic.txt") do
    local words = {}
    for word in line:gmatch("%S+") do words[#words + 1] = tonumber(word) or word end
    if words[1] == "row" then
      for j = 1, 4 do table.insert(columns[j], words[j + 1]) end
    else
      table.insert(fits[words[1]], {l2 = words[2], table.unpack(words, 3)})
    end
  end
  return frame.from{{"x1", columns[1]}, {"x2", columns[2]}, {"x3", columns[3]}, {"y", columns[4]}},
    fits
end

local function values(model)
  local c = model:coefficients()
  expect(c.name:to_table()).to_equal{"intercept", "x1", "x2", "x3"}
  return c.value:to_table()
end

describe("ml.logistic", function()
  it("gives scikit-learn's coefficients", function()
    local df, fits = fixture()
    expect(#fits.fit).to_be(3)
    for _, want in ipairs(fits.fit) do
      local got = values(ml.logistic{l2 = want.l2}:fit(df, "y"))
      for i = 1, 4 do expect(got[i] / want[i]).to_be_near(1, 1e-6) end
    end
  end)

  it("fits many rows, whose start is guessed from some, as it fits few", function()
    local n, copies = 6000, 6
    local rng = random.numpy(3)
    local x = frame.from{{"a", rng:normal(1e4, 1, n)}, {"b", rng:normal(0, 3, n)},
      {"u", rng:uniform(0, 1, n)}}
    x = x:with{{"y", "if_else(u < 1 / (1 + exp(-0.7 * (a - 10000) + 0.2 * b - 1)), 1, 0)"}}:drop"u"
    local parts = {}
    for i = 1, copies do parts[i] = x end
    local many = frame.concat(parts)
    for _, intercept in ipairs{true, false} do
      local few = ml.logistic{l2 = 2, intercept = intercept}:fit(x, "y"):coefficients()
      local all = ml.logistic{l2 = 2 * copies, intercept = intercept}:fit(many, "y"):coefficients()
      for i = 1, #few.value do
        expect(all.value[i]).to_be_near(few.value[i], 1e-6 * math.max(1, math.abs(few.value[i])))
        if few.std_error[i] then -- null of an intercept that is not there
          expect(all.std_error[i] / few.std_error[i]).to_be_near(copies ^ -0.5, 1e-6)
        end
      end
    end
    many = many:with{{"y", "if_else(b > 0, 1, 0)"}}:sort{"y"}
    expect(function() ml.logistic{l2 = 0}:fit(many, "y") end).to_fail("separate", "numeric")
  end)

  it("gives the log-odds ratio of a two by two table, and its error", function()
    local cells, x, y = {{0, 0, 30}, {0, 1, 10}, {1, 0, 8}, {1, 1, 22}}, {}, {}
    for _, cell in ipairs(cells) do
      for _ = 1, cell[3] do
        x[#x + 1], y[#y + 1] = cell[1], cell[2]
      end
    end
    local c = ml.logistic{l2 = 0}:fit(frame.from{{"x", x}, {"y", y}}, "y"):coefficients()
    expect(c.value[1]).to_be_near(math.log(10 / 30), 1e-9)
    expect(c.value[2]).to_be_near(math.log(22 / 8 * 30 / 10), 1e-9)
    expect(c.std_error[1]).to_be_near(math.sqrt(1 / 30 + 1 / 10), 1e-9)
    expect(c.std_error[2]).to_be_near(math.sqrt(1 / 30 + 1 / 10 + 1 / 8 + 1 / 22), 1e-9)
    expect(c.z[2]).to_be_near(c.value[2] / c.std_error[2], 1e-12)
  end)

  it("explains classes that are separated", function()
    local df = frame.from{{"x", {1.0, 2.0, 3.0, 4.0}}, {"y", {0, 0, 1, 1}}}
    expect(function() ml.logistic{l2 = 0}:fit(df, "y") end).to_fail("separate", "numeric")
    local model = ml.logistic{l2 = 1}:fit(df, "y")
    expect(model:predict(df):to_table()).to_equal{0, 0, 1, 1}
  end)

  it("is a model: scores, saves, refuses", function()
    local df = fixture()
    local model = ml.logistic{}:fit(df, "y")
    expect(model:score(df).roc_auc).to_be_between(0.6, 1)
    local path = t.temp_dir() .. "/m"
    model:save(path)
    expect(ml.load(path) == model).to_be_true()
    expect(function() ml.logistic{C = 1} end).to_fail("C")
  end)
end)

describe("ml.linear", function()
  it("gives scikit-learn's ridge", function()
    local df, fits = fixture()
    local z, y, x1 = {}, df.y, df.x1
    for i = 1, #df do z[i] = y[i] + x1[i] end
    df = frame.from{{"x1", df.x1}, {"x2", df.x2}, {"x3", df.x3}, {"z", z}}
    for _, want in ipairs(fits.ridge) do
      local got = values(ml.linear{alpha = want.l2}:fit(df, "z", {features = {"x1", "x2", "x3"}}))
      for i = 1, 4 do expect(got[i] / want[i]).to_be_near(1, 1e-9) end
    end
  end)

  it("recovers what made the data, with errors", function()
    local rng, n = random.new(5), 400
    local x, e, y = rng:normal(0, 1, n), rng:normal(0, 0.5, n), {}
    for i = 1, n do y[i] = 3 + 2 * x[i] + e[i] end
    local df = frame.from{{"x", x}, {"y", y}}
    local model = ml.linear{}:fit(df, "y")
    local c = model:coefficients()
    expect(c.value[1]).to_be_near(3, 0.1)
    expect(c.value[2]).to_be_near(2, 0.1)
    expect(c.std_error[2]).to_be_near(0.5 / math.sqrt(n), 0.003)
    local score = model:score(df)
    expect(score.rmse).to_be_near(0.5, 0.06)
    expect(score.r2).to_be_between(0.9, 1)
    expect(model:predict(frame.from{{"x", {0.0, 1.0}}}):type()).to_be("float64")
    expect(ml.linear{}:fit(df, "y") == model).to_be_true()
  end)

  it("leaves out what others explain", function()
    local df = frame.from{{"a", {1.0, 2.0, 3.0, 5.0}}, {"b", {2.0, 4.0, 6.0, 10.0}},
      {"y", {1.0, 2.0, 3.0, 4.0}}}
    local c = ml.linear{}:fit(df, "y"):coefficients()
    expect(c:null_count().std_error).to_be(1)
    expect(function() ml.random_forest{trees = 2}:fit(df, "y"):coefficients() end)
      .to_fail("no coefficients")
  end)
end)

describe("weights of rows", function()
  local r, n = random.numpy(21), 80
  local a, b, e = r:uniform(0, 1, n), r:uniform(5, 9, n), r:uniform(0, 1, n)
  local df = frame.from{{"a", a}, {"b", b}, {"e", e}, {"w", r:randint(0, 4, n)}}
    :with{{"y", "2 * a - b + e"}, {"k", "if_else(a + 0.3 * b + 0.4 * e > 2.9, 1, 0)"}}
  local options = {features = {"a", "b"}, weights = "w"}
  local peer = dofile "tests/fixtures/weights.lua"

  local function agree(list, expected, within)
    for i = 1, 3 do expect(list[i]).to_be_near(expected[i], within) end
  end

  it("give statsmodels' and scikit-learn's regressions", function()
    local c = ml.linear{}:fit(df, "y", options):coefficients()
    agree(c.value, peer.squares, 1e-11)
    agree(c.std_error, peer.errors, 1e-11)
    agree(ml.linear{l2 = 2}:fit(df, "y", options):coefficients().value, peer.ridge, 1e-11)
    agree(ml.linear{intercept = false}:fit(df, "y", options):coefficients().value, peer.origin,
      1e-11)
    agree(ml.logistic{l2 = 2}:fit(df, "k", options):coefficients().value, peer.logistic, 1e-7)
  end)

  it("count rows as often as they say", function()
    local columns = {a = {}, b = {}, y = {}, k = {}}
    for i = 1, n do
      for _ = 1, df.w[i] do
        for name, list in pairs(columns) do list[#list + 1] = df:col(name)[i] end
      end
    end
    local many = frame.from(columns)
    for kind, target in pairs{linear = "y", logistic = "k"} do
      local weighted = ml[kind]{}:fit(df, target, options):coefficients().value
      local repeated = ml[kind]{}:fit(many, target, {features = {"a", "b"}}):coefficients().value
      agree(weighted, repeated, 1e-8)
    end
  end)

  it("are refused where they are not known, or all of a class is 0", function()
    expect(function() ml.lasso{}:fit(df, "y", options) end).to_fail("takes no weights")
    local none = df:with{{"w", "1 - k"}}
    expect(function() ml.logistic{}:fit(none, "k", options) end).to_fail("one class has no weight")
  end)
end)
