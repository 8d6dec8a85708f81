-- Models of XGBoost and LightGBM predict here what they predict there (make_imports.py).
local frame = require "flowrun.frame"
local json = require "flowrun.json"
local ml = require "flowrun.ml"
local random = require "flowrun.random"
local t = require "flowrun.test"
local testing = require "flowrun.core.testing"
local describe, it, expect = t.describe, t.it, t.expect

local folder = "tests/fixtures/imports/"
local peer = dofile(folder .. "imports.lua")
local scratch = testing.temp_dir()

-- The rows of make_imports.py: T.
local function rows()
  local r, n = random.numpy(6), 60
  local c = {}
  for j = 1, 5 do c[j] = r:uniform(0, 1, n) end
  local a, zero, k = {}, {}, {}
  for i = 1, n do
    local at = i - 1
    a[i] = at % 7 == 3 and frame.null or c[1][i]
    zero[i] = at % 5 == 2 and 0.0 or c[3][i]
    k[i] = at % 11 == 4 and frame.null or math.floor(40 * c[4][i])
  end
  k[1], k[2] = 55, -1
  return frame.from{{"a", a}, {"b", c[2]}, {"c", zero}, {"k", k}}
end
local df = rows()

-- The model's numbers, or the probabilities of its last class.
local function said(model, x)
  local classes = model:info().classes
  if not classes then return model:predict(x) end
  return model:predict_proba(x):col(tostring(classes[#classes]))
end

local function agree(p, expected, within)
  expect(#p).to_equal(#expected)
  local worst = 0
  for i = 1, #p do worst = math.max(worst, math.abs(p[i] - expected[i]) / (1 + math.abs(expected[i]))) end
  expect(worst).to_be_between(0, within)
end

local function read(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read("a")
end

local function written(name, text)
  local path = scratch .. "/" .. name
  local file <close> = assert(io.open(path, "wb"))
  file:write(text)
  return path
end

describe("a model of XGBoost", function()
  it("predicts the same, with missing values and categories", function()
    for _, name in ipairs{"xgb_binary", "xgb_multi", "xgb_numbers", "xgb_counts"} do
      agree(said(ml.read_xgboost(folder .. name .. ".json"), df), peer[name], 1e-6)
    end
    agree(said(ml.read_xgboost(folder .. "xgb_categories.json", {features = {"a", "b", "c", "k"}}),
      df:slice(3, 60)), peer.xgb_categories, 1e-6)
  end)

  it("is a model like others: saved, scored, with the file's names or others", function()
    local model = ml.read_xgboost(folder .. "xgb_multi.json")
    expect(model:info().features).to_equal{"a", "b", "c", "k"}
    local path = scratch .. "/model"
    model:save(path)
    expect(ml.load(path) == model).to_be_true()
    local p = model:predict(df)
    expect(model:score(df, p).accuracy).to_equal(1)
    local renamed = ml.read_xgboost(folder .. "xgb_multi.json", {features = {"p", "q", "r", "s"}})
    expect(renamed:info().features).to_equal{"p", "q", "r", "s"}
    expect(function() renamed:predict(df) end).to_fail("needs column `p`")
    expect(tostring(model)).to_equal("model of imported trees, 4 features")
  end)

  it("says what is not read, and what is damaged", function()
    local text = read(folder .. "xgb_binary.json")
    local function refuses(name, from, to, message)
      local at, stop = text:find(from, 1, true)
      local path = written(name, text:sub(1, at - 1) .. to .. text:sub(stop + 1))
      expect(function() ml.read_xgboost(path) end).to_fail(message)
    end
    refuses("a.json", '"name":"gbtree"', '"name":"dart"', "booster dart is not read")
    refuses("b.json", "binary:logistic", "rank:pairwise", "objective rank:pairwise is not read")
    refuses("c.json", '"left_children":[1,', '"left_children":[0,', "damaged")
    refuses("d.json", '"left_children":[1,', '"left_children":[77,', "damaged")
    refuses("e.json", '"num_target":"1"', '"num_target":"3"', "has 3 targets")
    refuses("f.json", '"base_score"', '"score"', "base_score is nil")
    expect(function() ml.read_xgboost(written("g.json", text:sub(1, 900))) end).to_fail("damaged")
    expect(function() ml.read_xgboost(written("g.ubj", "{L\0\0\0")) end).to_fail("UBJSON")
    expect(function() ml.read_xgboost(scratch .. "/none.json") end).to_fail("none.json")
    expect(function() ml.read_xgboost(folder .. "xgb_binary.json", {features = {"a"}}) end)
      .to_fail("the model has 4, 1 are given")
    local v = json.decode(text)
    v.learner.gradient_booster.model.trees[1].split_indices[1] = 9
    expect(function() ml.read_xgboost(written("h.json", json.encode(v))) end)
      .to_fail("lead out of themselves")
    v.learner.gradient_booster.model.trees[1].split_indices[1] = "x"
    expect(function() ml.read_xgboost(written("i.json", json.encode(v))) end).to_fail("is damaged")
    expect(function() ml.read_xgboost(scratch) end).to_fail("directory")
    expect(function() ml.read_lightgbm(scratch) end).to_fail("directory")
  end)

  it("is refused before a damaged count takes all memory", function()
    local function refuses(name, change, message)
      local v = json.decode(read(folder .. name))
      change(v.learner)
      local path = written("huge.json", json.encode(v))
      expect(function() ml.read_xgboost(path) end).to_fail(message)
    end
    refuses("xgb_binary.json", function(v) v.learner_model_param.num_feature = "9999999999" end,
      "num_feature is 9999999999, expected 0 to 1048576")
    refuses("xgb_multi.json", function(v) v.learner_model_param.num_class = "9999999999" end,
      "num_class is 9999999999")
    refuses("xgb_categories.json", function(v)
      for _, tree in ipairs(v.gradient_booster.model.trees) do
        if tree.categories[1] then tree.categories[1] = 1 << 62 end
      end
    end, "a category is 4611686018427387904")
  end)
end)

describe("a model of LightGBM", function()
  it("predicts the same, with missing values, zeros and categories", function()
    for _, name in ipairs{"lgb_binary", "lgb_multi", "lgb_numbers", "lgb_forest", "lgb_counts"} do
      agree(said(ml.read_lightgbm(folder .. name .. ".txt"), df), peer[name], 1e-12)
    end
  end)

  it("says what is not read, and what is damaged", function()
    local text = read(folder .. "lgb_binary.txt")
    local function refuses(from, to, message)
      local at, stop = text:find(from, 1, true)
      local path = written("model.txt", text:sub(1, at - 1) .. to .. text:sub(stop + 1))
      expect(function() ml.read_lightgbm(path) end).to_fail(message)
    end
    refuses("version=v4", "version=v5", "format v5 is not read")
    refuses("objective=binary", "objective=lambdarank", "objective lambdarank sigmoid:1 is not read")
    refuses("left_child=", "left_child=9 ", "differ in length")
    refuses("end of trees", "", "ends before")
    refuses("tree\n", "{", "is not LightGBM's text")
    expect(function() ml.read_lightgbm(folder .. "lgb_linear.txt") end).to_fail("linear leaves")
  end)
end)
