--- What trees and boosting add to `flowrun.ml`: weights by class, importances by permutation,
--- out-of-bag predictions. Used by ml.lua; nothing here is called by scripts.
local core = require "flowrun.core.ml"
local array_core = require "flowrun.core.array"
local error_class = require "flowrun.core.error"
local frame = require "flowrun.frame"
local random = require "flowrun.random"

local ml_trees = {}
local methods = core.methods
local raw_out_of_bag = methods.out_of_bag

local function invalid(format, ...) error_class.raise("invalid", format:format(...)) end

--- Weights of rows from weights by class; classes that are not named weigh 1.
---@param what string for messages
---@param by_class table
---@param y flowrun.Array
---@param weights? flowrun.Array multiplied with
---@param name string of the target
---@return flowrun.Array
function ml_trees.class_weights(what, by_class, y, weights, name)
  local out, seen = {}, {}
  for class, weight in pairs(by_class) do
    if type(weight) ~= "number" then
      invalid("%s: class_weight: the weight of %s should be a number, got %s", what,
        tostring(class), tostring(weight))
    end
  end
  for i = 1, #y do
    local class = y[i]
    if class == nil then invalid("%s: `%s` is null in row %d", what, name, i) end
    out[i] = (by_class[class] or 1) * (weights and weights[i] or 1)
    seen[class] = true
  end
  for class in pairs(by_class) do
    if not seen[class] then
      invalid("%s: class_weight names %s, which is no class of `%s`", what, tostring(class), name)
    end
  end
  return array_core.new(out, "float64", what .. ": class_weight")
end

local function place_of(what, option, names, name)
  for i, feature in ipairs(names) do
    if feature == name then return i end
  end
  invalid("%s: %s: `%s` is not among the features", what, option, tostring(name))
end

--- -1, 0 or 1 by feature.
---@param what string
---@param names string[] the features
---@param given? table<string, integer>
---@return integer[]?
function ml_trees.monotone(what, names, given)
  if given == nil then return nil end
  if type(given) ~= "table" then
    invalid("%s: monotone is a table such as {age = 1}, got a %s", what, type(given))
  end
  local list = {}
  for i = 1, #names do list[i] = 0 end
  for name, sign in pairs(given) do
    if sign ~= 1 and sign ~= -1 and sign ~= 0 then
      invalid("%s: monotone: `%s` should be 1 (never falls), -1 (never rises) or 0, got %s", what,
        tostring(name), tostring(sign))
    end
    list[place_of(what, "monotone", names, name)] = math.tointeger(sign)
  end
  return list
end

--- 0 or 1 by feature.
---@param what string
---@param names string[] the features
---@param given? string[]
---@return integer[]?
function ml_trees.categorical(what, names, given)
  if given == nil then return nil end
  if type(given) ~= "table" then
    invalid("%s: categorical is a list of columns, got a %s", what, type(given))
  end
  local list = {}
  for i = 1, #names do list[i] = 0 end
  for _, name in ipairs(given) do list[place_of(what, "categorical", names, name)] = 1 end
  return list
end

local function score_of(model, df, y)
  local s = model:score(df, y)
  return s.accuracy or s.r2
end

local function mean_std(values)
  local sum, squares = 0, 0
  for _, v in ipairs(values) do sum = sum + v end
  local mean = sum / #values
  for _, v in ipairs(values) do squares = squares + (v - mean) ^ 2 end
  return mean, (squares / #values) ^ 0.5
end

-- The frame with the values of one column in another order.
local function shuffled(df, column, rng)
  local order, values, was = rng:permutation(#df), {}, df:col(column)
  local base = 1
  for i = 1, #df do base = math.min(base, order[i]) end
  for i = 1, #df do values[i] = was[order[i] - base + 1] or frame.null end
  return df:with{{column, array_core.new(values, was:type(), "model:importances")}}
end

--- Importances by permutation: the fall of the score when a column is shuffled.
---@param model flowrun.Model
---@param options {data: flowrun.Frame, y: fr.column, repeats: integer, seed: integer}
---@return flowrun.Frame columns feature, importance, std
function ml_trees.permutation(model, options)
  local df = options.data
  if not frame.is_frame(df) then
    invalid("model:importances: data = a frame with the features and the target is needed, got %s",
      type(df))
  end
  local repeats = options.repeats or 5
  if math.type(repeats) ~= "integer" or repeats < 1 then
    invalid("model:importances: repeats should be a whole number from 1, got %s",
      tostring(repeats))
  end
  local base, rows = score_of(model, df, options.y), {}
  for i, name in ipairs(model:info().features) do
    local falls = {}
    for k = 1, repeats do
      local rng = random.new(options.seed or 0, (i - 1) * repeats + k - 1)
      falls[k] = base - score_of(model, shuffled(df, name, rng), options.y)
    end
    local mean, std = mean_std(falls)
    rows[i] = {name, mean, std}
  end
  table.sort(rows, function(a, b) return a[2] > b[2] or a[2] == b[2] and a[1] < b[1] end)
  local names, means, stds = {}, {}, {}
  for i, row in ipairs(rows) do names[i], means[i], stds[i] = row[1], row[2], row[3] end
  return frame.from{{"feature", names, "utf8"}, {"importance", means, "float64"},
    {"std", stds, "float64"}}
end

local function r2_of(y, p)
  local n, mean, residual, total = 0, 0, 0, 0
  for i = 1, #y do
    if p[i] ~= nil then n, mean = n + 1, mean + y[i] end
  end
  mean = mean / n
  for i = 1, #y do
    if p[i] ~= nil then
      residual, total = residual + (y[i] - p[i]) ^ 2, total + (y[i] - mean) ^ 2
    end
  end
  return 1 - residual / total, n
end

local function accuracy_of(y, classes, p)
  local n, right, first = 0, 0, p[1][2]
  for i = 1, #y do
    if first[i] ~= nil then
      local best, top = 1, first[i]
      for k = 2, #p do
        if p[k][2][i] > top then best, top = k, p[k][2][i] end
      end
      n = n + 1
      if classes[best] == y[i] then right = right + 1 end
    end
  end
  return right / n, n
end

--- Predictions and score of the rows fitted on, by trees that did not draw them.
---@param model flowrun.Model
---@param df flowrun.Frame
---@param y flowrun.Array
---@return table
function ml_trees.oob(model, df, y)
  local p = raw_out_of_bag(model, df)
  if type(p) ~= "table" then
    local r2, n = r2_of(y, p)
    return {predicted = p, r2 = r2, rows = n}
  end
  local accuracy, n = accuracy_of(y, model:info().classes, p)
  local columns = {}
  for k, column in ipairs(p) do columns[k] = {column[1], column[2]} end
  return {predicted = frame.from(columns), accuracy = accuracy, rows = n}
end

return ml_trees
