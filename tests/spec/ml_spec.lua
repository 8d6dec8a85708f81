local t = require "flowrun.test"
local frame = require "flowrun.frame"
local ml = require "flowrun.ml"
local random = require "flowrun.random"
local describe, it, expect = t.describe, t.it, t.expect

-- The chapter's transformers: temperature, vibration, oil quality, age, failure.
local function transformers(seed, n)
  local rng, p = random.numpy(seed), {}
  local temp, vib, oil = rng:normal(60, 5, n), rng:normal(0.2, 0.05, n), rng:normal(70, 10, n)
  local age = rng:randint(1, 30, n)
  for i = 1, n do p[i] = 1 / (1 + math.exp(-(0.05 * (temp[i] - 65) + 8 * (vib[i] - 0.25)))) end
  return frame.from{{"temp", temp}, {"vib", vib}, {"oil", oil}, {"age", age},
    {"failure", rng:binomial(1, p)}}
end

local df = transformers(1, 400)
local forest = ml.random_forest{trees = 20, seed = 1}
local model = forest:fit(df, "failure")

local function list(a)
  local v = {}
  for i = 1, #a do v[i] = a[i] end
  return v
end

local function also(f, name, value)
  local columns, values = {}, {}
  for i, column in ipairs(f.columns) do columns[i] = {column, f:col(column)} end
  for i = 1, #f do values[i] = value end
  columns[#columns + 1] = {name, values}
  return frame.from(columns)
end

describe("a specification", function()
  it("knows every option by its own name and by those of peers", function()
    local a = ml.random_forest{trees = 7, seed = 3}
    local b = ml.random_forest{n_estimators = 7, random_state = 3, n_jobs = 2}
    expect(a.options.trees).to_equal(7)
    expect(b.options.trees).to_equal(7)
    expect(b.options.threads).to_equal(2)
    expect(a:fit(df, "failure") == b:fit(df, "failure")).to_be_true()
    expect(ml.gradient_boosting{max_depth = 2}.options.depth).to_equal(2)
    expect(tostring(a)).to_match("^ml%.random_forest{.*seed = 3.*trees = 7}$")
  end)

  it("refuses what it does not know", function()
    expect(function() ml.random_forest{tree = 3} end)
      .to_fail("ml.random_forest: unknown option 'tree'; did you mean 'trees'?")
    expect(function() ml.random_forest{colour = 3} end).to_fail("it knows trees, max_depth")
    expect(function() ml.random_forest{trees = 0} end)
      .to_fail("ml.random_forest: trees must be a whole number from 1 to 1000000, got 0")
    expect(function() ml.random_forest{trees = "many"} end).to_fail("trees must be a number")
    expect(function() ml.random_forest{bootstrap = 1} end).to_fail("true or false")
    expect(function() ml.random_forest{max_features = "few"} end).to_fail("sqrt log2 all, got few")
    expect(function() ml.random_forest{100} end).to_fail("ml.random_forest{trees = 100}")
    expect(function() ml.random_forest{trees = 3, n_estimators = 3} end).to_fail("given twice")
    expect(function() ml.gradient_boosting{compat = "xgb"} end).to_fail("none sklearn, got xgb")
  end)

  it("documents every option, in its rows and for editors", function()
    local file = assert(io.open("lua/flowrun/ml.lua"))
    local source = file:read("a")
    file:close()
    local compared = 0
    for _, kind in ipairs(ml.kinds()) do
      local class = source:match("@class flowrun%." .. kind.name .. "%.Options\n(.-)\n\n")
      local names = {}
      for name in (class or ""):gmatch("@field (%w[%w_]*)?") do names[#names + 1] = name end
      local rows = {}
      for i, row in ipairs(kind.options) do
        rows[i] = row.name
        expect(#row.doc > 10).to_be_true()
      end
      if class then
        expect(names).to_equal(rows)
        compared = compared + 1
      end
    end
    expect(compared >= 5).to_be_true()
  end)
end)

describe("fitting", function()
  it("takes a column, an array, or a list as target", function()
    local x = df:drop("failure")
    local by_array = forest:fit(x, df.failure)
    local by_list = forest:fit(x, list(df.failure))
    expect(by_array == by_list).to_be_true()
    expect(list(by_array:predict(df))).to_equal(list(model:predict(df)))
    expect(by_array:info().target).to_equal("y")
  end)

  it("takes only the features it is told", function()
    local m = forest:fit(df, "failure", {features = {"vib", "age"}})
    expect(m:info().features).to_equal({"vib", "age"})
    expect(function() forest:fit(df, "failure", {features = {"vib", "failure"}}) end)
      .to_fail("the target `failure` is among the features")
    expect(function() forest:fit(df, "failure", {feature = {"vib"}}) end)
      .to_fail("unknown option 'feature'; it knows categorical, features")
  end)

  it("finds a target among the features", function()
    expect(function() forest:fit(df, df.failure) end)
      .to_fail("column `failure` is the target itself; write :fit(frame, \"failure\")")
  end)

  it("names what it cannot use", function()
    local typed = also(df, "Type", "L")
    expect(function() forest:fit(typed, "failure") end)
      .to_fail("column `Type` is utf8, and a feature must be a number: code it with ml.ordinal")
    expect(function() forest:fit(df, "failur") end).to_fail("did you mean \"failure\"?")
    local few = frame.from{{"a", {1, 2, frame.null}}, {"y", {0, 1, 0}}}
    expect(function() ml.logistic():fit(few, "y") end).to_fail("column `a` is null in row 3")
    expect(function() forest:fit(few:rename{a = "y", y = "a"}, "y") end)
      .to_fail("`y` is null in row 3")
    expect(function() forest:fit(few:head(1), "y") end).to_fail("`y` has only 0")
    expect(function() forest:fit({}, "y") end).to_fail("expected a frame, got a table")
  end)

  it("gives equal models for equal calls, whatever the threads", function()
    for _, threads in ipairs{1, 2, 3, 8} do
      local again = ml.random_forest{trees = 20, seed = 1, threads = threads}:fit(df, "failure")
      expect(again == model).to_be_true()
    end
    expect(ml.random_forest{trees = 20, seed = 2}:fit(df, "failure") == model).to_be_false()
  end)
end)

describe("a model", function()
  it("predicts classes of the target's type", function()
    local words = {}
    for i = 1, #df do words[i] = df.failure[i] == 1 and "fails" or "holds" end
    local texts = frame.from{{"temp", df.temp}, {"vib", df.vib}, {"state", words}}
    local m = forest:fit(texts, "state")
    local p = m:predict(texts)
    expect(p[1] == "fails" or p[1] == "holds").to_be_true()
    expect(m:predict_proba(texts).columns).to_equal({"fails", "holds"})
    expect(list(m:info().classes)).to_equal({"fails", "holds"})
    local bools = {}
    for i = 1, #df do bools[i] = df.failure[i] == 1 end
    local b = forest:fit(texts:drop("state"), bools)
    expect(type(b:predict(texts)[1])).to_equal("boolean")
    expect(b:predict_proba(texts).columns).to_equal({"false", "true"})
  end)

  it("gives probabilities that sum to 1 and agree with the classes", function()
    local p, c = model:predict_proba(df), model:predict(df)
    expect(p.columns).to_equal({"0", "1"})
    for i = 1, #df do
      if math.abs(p["0"][i] + p["1"][i] - 1) > 1e-12 or (p["1"][i] > 0.5) ~= (c[i] == 1) then
        error("row " .. i)
      end
    end
    expect(#p).to_equal(#df)
  end)

  it("matches columns by name and ignores others", function()
    local turned = also(df:select{"age", "failure", "oil", "vib", "temp"}, "more", "x")
    expect(list(model:predict(turned))).to_equal(list(model:predict(df)))
    expect(function() model:predict(df:drop("vib")) end)
      .to_fail("needs column `vib`, which the frame lacks")
  end)

  it("scores, and reports what is in-sample", function()
    local fresh = transformers(2, 300)
    local s = model:score(fresh)
    expect(s.roc_auc).to_be_between(0.5, 0.75)
    expect(s.accuracy).to_equal(ml.accuracy(fresh.failure, model:predict(fresh)))
    expect(s.f1).to_equal(ml.f1(fresh.failure, model:predict(fresh)))
    expect(s.roc_auc).to_equal(ml.roc_auc(fresh.failure, model:predict_proba(fresh)))
    expect(s.log_loss).to_be_near(ml.log_loss(fresh.failure, model:predict_proba(fresh)["1"]), 1e-12)
    expect(model:score(fresh:drop("failure"), fresh.failure)).to_equal(s)
    expect(model:report(fresh)).to_equal(ml.report(fresh.failure, model:predict(fresh)))
    local mine = model:report(df)
    expect(mine:match("^[^\n]*")).to_equal("IN-SAMPLE: scores on the rows that the model was fitted on")
    expect(mine:gsub("^[^\n]*\n", "")).to_equal(ml.report(df.failure, model:predict(df)))
    expect(function() model:score(df:drop("failure")) end).to_fail("lacks the target `failure`")
    expect(model:score(also(df:drop("failure"), "failure", 1)).roc_auc).to_be_nil()
  end)

  it("tells importances that sum to 1, greatest first", function()
    local imp = model:importances()
    expect(imp.columns).to_equal({"feature", "importance"})
    expect(imp.importance:sum()).to_be_near(1, 1e-12)
    expect(imp.importance[1] >= imp.importance[4]).to_be_true()
    expect(imp.feature[4]).to_equal("age")
  end)

  it("comes back from its file", function()
    local path = os.tmpname()
    model:save(path)
    local again = ml.load(path)
    expect(again == model).to_be_true()
    expect(again:info()).to_equal(model:info())
    local file = assert(io.open(path, "r+b"))
    file:seek("set", 300)
    file:write("x")
    file:close()
    expect(function() ml.load(path) end).to_fail("damaged")
    os.remove(path)
    expect(function() ml.load(path) end).to_fail(path)
  end)

  it("prints in one line", function()
    expect(tostring(model)).to_equal("random forest for `failure` from 4 features, fitted on 400 rows")
  end)
end)

describe("gradient boosting", function()
  it("learns, in both modes", function()
    local fresh = transformers(3, 2000)
    for _, compat in ipairs{"none", "sklearn"} do
      local m = ml.gradient_boosting{rounds = 40, compat = compat}:fit(transformers(4, 2000), "failure")
      expect(m:score(fresh).roc_auc).to_be_between(0.56, 0.66)
    end
  end)
end)

describe("coders and scalers", function()
  local few = frame.from{{"Type", {"L", "H", "M", "L"}}, {"x", {1, 2, 3, frame.null}}, {"z", {1.5, 1.5, 2, 3}}}

  it("code categories in the order given", function()
    local coder = ml.ordinal{Type = {"L", "M", "H"}}
    local coded = coder:transform(few)
    expect(list(coded.Type)).to_equal({0, 2, 1, 0})
    expect(coded.columns).to_equal({"Type", "x", "z"})
    expect(list(ml.ordinal{"Type"}:fit(few):transform(few).Type)).to_equal({1, 0, 2, 1})
    local odd = frame.from{{"Type", {"M", "medium", frame.null}}}
    expect(function() coder:transform(odd) end)
      .to_fail("column `Type` has 'medium' in row 2, which is none of its 3 categories")
    local lax = ml.ordinal{Type = {"L", "M"}, unknown = "ignore"}:transform(odd).Type
    expect({lax[1], lax[2] == nil, lax[3] == nil}).to_equal({1, true, true})
    expect(function() ml.ordinal{} end).to_fail("no columns are named")
    expect(function() ml.ordinal{"Type"}:transform(few) end).to_fail("fit it first")
  end)

  it("make a column per category", function()
    local hot = ml.one_hot{"Type"}:fit(few):transform(few)
    expect(hot.columns).to_equal({"Type_H", "Type_L", "Type_M", "x", "z"})
    expect(list(hot.Type_L)).to_equal({1, 0, 0, 1})
    local lax = ml.one_hot{Type = {"H"}, unknown = "ignore"}:transform(few)
    expect(list(lax.Type_H)).to_equal({0, 1, 0, 0})
  end)

  it("scale as StandardScaler does, nulls aside", function()
    local scaler = ml.scaler():fit(few)
    local s = scaler:transform(few)
    expect(s.x[1]).to_be_near(-1.224744871391589, 1e-15)
    expect(s.x[4]).to_be_nil()
    expect(s.z:mean()).to_be_near(0, 1e-15)
    expect(s.z[4]).to_be_near((3 - 2) / (1.5 / 4) ^ 0.5, 1e-15)
    expect(s.Type == few.Type).to_be_true()
    expect(list(ml.scaler{std = false}:fit(few, {"z"}):transform(few).z)).to_equal({-0.5, -0.5, 0.0, 1.0})
    expect(function() ml.scaler():fit(few, {"Type"}) end).to_fail("scaler: column `Type`")
    expect(function() scaler:predict(few) end).to_fail("it transforms frames")
    expect(function() scaler:transform(few:drop("x")) end).to_fail("needs column `x`")
    expect(function() model:transform(df) end).to_fail("it does not transform")
  end)

  it("are saved and loaded as other models", function()
    local path = os.tmpname()
    for _, m in ipairs{ml.scaler():fit(few), ml.ordinal{Type = {"L", "M", "H"}}, ml.one_hot{"Type"}:fit(few)} do
      m:save(path)
      local again = ml.load(path)
      expect(again == m).to_be_true()
      expect(tostring(again:transform(few))).to_equal(tostring(m:transform(few)))
    end
    os.remove(path)
  end)
end)

describe("ml.split", function()
  it("is frame:split under the names of peers", function()
    local a, b = ml.split(df, {test_size = 0.25, random_state = 3})
    local c, d = df:split{test = 0.25, seed = 3}
    expect(a == c).to_be_true()
    expect(b == d).to_be_true()
    expect(#b).to_equal(100)
  end)

  it("takes X and y", function()
    local x = df:drop("failure")
    local x1, x2, y1, y2 = ml.split({x, df.failure}, {test = 0.25, seed = 3, stratify = df.failure})
    expect({#x1, #x2, #y1, #y2}).to_equal({300, 100, 300, 100})
    expect(x1.columns).to_equal(x.columns)
    expect(y2:mean()).to_be_near(df.failure:mean(), 0.01)
    expect(function() ml.split(df, {tests = 0.1}) end).to_fail("unknown option 'tests'")
  end)
end)

describe("metrics", function()
  local y, p = {0, 1, 1, 0, 1}, {0, 1, 0, 0, 1}

  it("are of the last class, another, or averages", function()
    expect(ml.accuracy(y, p)).to_equal(0.8)
    expect(ml.precision(y, p)).to_equal(1.0)
    expect(ml.recall(y, p)).to_be_near(2 / 3, 1e-15)
    expect(ml.precision(y, p, {positive = 0})).to_be_near(2 / 3, 1e-15)
    expect(ml.f1(y, p, {average = "micro"})).to_be_near(0.8, 1e-15)
    expect(ml.f1(y, p, {average = "macro"})).to_be_near((0.8 + 0.8) / 2, 1e-15)
    expect(ml.recall({"no", "yes", "yes"}, {"yes", "yes", "no"}, {positive = "no"})).to_equal(0.0)
    expect(ml.precision({false, true}, {true, true})).to_equal(0.5)
    expect(ml.recall({0, 0}, {0, 0})).to_equal(0.0)
  end)

  it("ask when there is no positive class", function()
    expect(function() ml.f1({1, 2, 3}, {1, 2, 2}) end).to_fail("3 classes have no positive one")
    expect(ml.f1({1, 2, 3}, {1, 2, 2}, {positive = 2})).to_be_near(2 / 3, 1e-15)
    expect(function() ml.f1(y, p, {positive = 7}) end).to_fail("no row has the class 7")
    expect(function() ml.f1(y, p, {avg = "macro"}) end).to_fail("unknown option 'avg'")
    expect(function() ml.accuracy(y, {0, 1}) end).to_fail("5 labels but 2 predictions")
    expect(function() ml.accuracy({}, {}) end).to_fail("no rows to score")
    expect(function() ml.accuracy(y, {0.3, 1, 1, 1, 1}) end).to_fail("the number 0.3 in row 1")
    expect(function() ml.roc_auc({0, 0}, {0.1, 0.2}) end).to_fail("two are needed")
    expect(function() ml.brier(y, {0, 1, 2, 0, 1}) end).to_fail("row 3 is not a probability")
  end)

  it("compare numbers of different types as numbers, and booleans as 0 and 1", function()
    expect(ml.accuracy({0, 1}, {0.0, 1.0})).to_equal(1.0)
    expect(ml.accuracy({0, 1}, {false, true})).to_equal(1.0)
    expect(function() ml.accuracy({0, 1}, {"0", "1"}) end).to_fail("cannot be compared")
  end)

  it("rank and measure", function()
    expect(ml.roc_auc({0, 1, 0, 1}, {0.1, 0.9, 0.5, 0.5})).to_equal(0.875)
    expect(ml.brier({0, 1}, {0.25, 0.5})).to_equal((0.0625 + 0.25) / 2)
    expect(ml.log_loss({0, 1}, {0.25, 0.5})).to_be_near(-(math.log(0.75) + math.log(0.5)) / 2, 1e-15)
    expect(ml.mae({1, 2}, {2, 4})).to_equal(1.5)
    expect(ml.rmse({1, 2}, {1, 4})).to_be_near(2 ^ 0.5, 1e-15)
    expect(ml.mape({1, 2}, {2, 4})).to_equal(1.0)
    expect(ml.r2({1, 2, 3}, {1, 2, 3})).to_equal(1.0)
  end)

  it("count who was taken for whom", function()
    local c = ml.confusion({"a", "b", "b"}, {"b", "b", "a"})
    expect(c.columns).to_equal({"true", "predicted a", "predicted b"})
    expect(list(c["predicted a"])).to_equal({0, 1})
    expect(list(c["predicted b"])).to_equal({1, 1})
  end)
end)
