--- Filling, scaling and pipelines. All are functions of `flowrun.ml`.
local args = require "flowrun.ml_args"
local core = require "flowrun.core.ml"
local pipeline_core = require "flowrun.core.pipeline"

local invalid = args.invalid

local ml_prepare = {}

-- --- transformers whose numbers are computed here ---

local Numbers = {}
Numbers.__index = Numbers
Numbers.__name = "flowrun.Transformer"

function Numbers:__tostring() return ("ml.%s, not fitted"):format(self.kind) end

local function is_number(column)
  local kind = column:type()
  return kind:find("^u?int") ~= nil or kind:find("^float") ~= nil
end

-- The named columns, or all numbers.
local function columns_of(what, df, columns)
  args.check_frame(df, what)
  if columns == nil then
    columns = {}
    for _, name in ipairs(df.columns) do
      if is_number(df:col(name)) then columns[#columns + 1] = name end
    end
  end
  for _, name in ipairs(columns) do
    if not is_number(df:col(name)) then
      invalid("%s: column `%s` is %s, a number is expected", what, name, df:col(name):type())
    end
  end
  return columns
end

-- The values that are there; none is an error.
local function present(what, df, name)
  local column = df:col(name)
  if column:null_count() == #column then
    invalid("%s: column `%s` has no values", what, name)
  end
  return column
end

--- Learns from a frame what transforming needs, for all columns of numbers unless named.
---@param df flowrun.Frame
---@param columns? string[]
---@return flowrun.Model
function Numbers:fit(df, columns)
  local what = ("ml.%s:fit"):format(self.kind)
  columns = columns_of(what, df, columns or self.options.columns)
  local numbers = {}
  for _, name in ipairs(columns) do
    for _, v in ipairs{self.learn(self.options, what, df, name)} do
      numbers[#numbers + 1] = v
    end
  end
  return pipeline_core.numbers(self.kind, columns, numbers, #df)
end

--- Fits and transforms the same frame.
---@param df flowrun.Frame
---@return flowrun.Frame transformed, flowrun.Model fitted
function Numbers:fit_transform(df)
  local fitted = self:fit(df)
  return fitted:transform(df), fitted
end

function Numbers:transform()
  invalid("ml.%s: fit it first, on training rows: local fitted = ml.%s{…}:fit(train)", self.kind,
    self.kind)
end

local learners = {}

local function make_numbers(kind, options)
  return setmetatable({kind = kind, options = options, learn = learners[kind]}, Numbers)
end

function learners.minmax(options, what, df, name)
  local column = present(what, df, name)
  local lo, hi = column:min() + 0.0, column:max() + 0.0
  local scale = (hi > lo and hi - lo or 1) / (options.range[2] - options.range[1])
  return lo - options.range[1] * scale, scale
end

--- Brings each column to a range, by its least and greatest value (MinMaxScaler).
---
---     local fitted = ml.minmax():fit(train)
---     local x = fitted:transform(test)
---@param options? {range: number[], columns: string[]} {0, 1} (feature_range)
---@return table with fit(frame, columns?)
function ml_prepare.minmax(options)
  options = args.renamed("ml.minmax", options, {range = "range", feature_range = "range",
    columns = "columns"})
  local range = options.range or {0, 1}
  if type(range) ~= "table" or type(range[1]) ~= "number" or type(range[2]) ~= "number"
    or range[1] >= range[2] then
    invalid("ml.minmax: range is {least, greatest}, as {0, 1}")
  end
  return make_numbers("minmax", {range = {range[1], range[2]}, columns = options.columns})
end

function learners.robust(_, what, df, name)
  local column = present(what, df, name)
  local low, high = column:quantile(0.25), column:quantile(0.75)
  return column:quantile(0.5), high > low and high - low or 1.0
end

--- Takes the median away and divides by the distance of the quartiles (RobustScaler): outliers
--- count little.
---@param options? {columns: string[]}
---@return table with fit(frame, columns?)
function ml_prepare.robust(options)
  options = args.check_names("ml.robust", options, {columns = true})
  return make_numbers("robust", {columns = options.columns})
end

-- The value that occurs most; of equally frequent ones the least.
local function most_frequent(df, name)
  local g = df:select{name}:rename{[name] = "v"}:dropna{"v"}:group{"v"}:agg{{"n", "count()"}}
  local best, most = nil, 0
  for i = 1, #g do
    if g.n[i] > most then best, most = g.v[i], g.n[i] end
  end
  return best
end

function learners.imputer(options, what, df, name)
  if options.strategy == "constant" then return options.value end
  local column = present(what, df, name)
  if options.strategy == "mean" then return column:mean() end
  if options.strategy == "median" then return column:quantile(0.5) end
  return most_frequent(df, name)
end

--- Fills nulls with a number learnt from the training rows (SimpleImputer); columns become
--- float64.
---
---     local fitted = ml.imputer{strategy = "median"}:fit(train)
---     local x = fitted:transform(test)
---@param options? {strategy: "mean"|"median"|"most_frequent"|"constant", value: number,
---  columns: string[]} strategy: mean; value: of constant (fill_value), 0
---@return table with fit(frame, columns?)
function ml_prepare.imputer(options)
  local o = args.renamed("ml.imputer", options, {strategy = "strategy", value = "value",
    fill_value = "value", columns = "columns"})
  o.strategy = args.choice("ml.imputer: strategy", o.strategy or "mean",
    {"mean", "median", "most_frequent", "constant"})
  o.value = args.number("ml.imputer: value", o.value or 0, -math.huge, math.huge)
  return make_numbers("imputer", o)
end

-- --- pipelines ---

local Pipe = {}
Pipe.__index = Pipe
Pipe.__name = "flowrun.Pipeline"

function Pipe:__tostring()
  local names = {}
  for i, step in ipairs(self.steps) do names[i] = tostring(step) end
  return ("ml.pipeline{%s}"):format(table.concat(names, ", "))
end

local classes = {}                               -- what a step may be, by the name of its class

-- "spec", "alone", "prep", "numbers", "pipeline" or "model".
local function class_of(v)
  if type(v) == "userdata" then return "model" end
  return type(v) == "table" and classes[getmetatable(v) or false] or nil
end

--- Steps in a row, fitted and used as one: all but the last change columns, the last predicts
--- (or changes columns too). What they learn comes from the training rows alone, also within
--- cross-validation. The fitted pipeline is one model, saved as one file.
---
---     local pipe = ml.pipeline{ml.imputer{strategy = "median"}, ml.scaler(), ml.logistic{l2 = 1}}
---     local model = pipe:fit(train, "failure")
---     print(model:score(test).roc_auc)
---@param steps table[]
---@return table with fit(frame, target, options?)
function ml_prepare.pipeline(steps)
  if type(steps) ~= "table" or #steps == 0 then
    invalid("ml.pipeline: expected a list of steps, as ml.pipeline{ml.scaler(), ml.logistic{}}")
  end
  local list, names, seen = {}, {}, {}
  for i, step in ipairs(steps) do
    local class = class_of(step)
    if not class or class == "pipeline" then
      invalid("ml.pipeline: step %d should be a scaler, coder, imputer or a kind of model, got %s",
        i, class or type(step))
    end
    if class == "spec" and i < #steps then
      invalid("ml.pipeline: step %d, ml.%s, predicts: only the last step may", i, step.kind)
    end
    local kind = class == "model" and step:info().kind or step.kind
    seen[kind] = (seen[kind] or 0) + 1
    list[i] = step
    names[i] = seen[kind] > 1 and ("%s_%d"):format(kind, seen[kind]) or kind
  end
  return setmetatable({kind = "pipeline", steps = list, names = names}, Pipe)
end

local function fit_step(step, x)
  return class_of(step) == "model" and step or step:fit(x)
end

-- The features, and what to call the target beside them.
local function inputs_of(df, target, options)
  local is_name, names = type(target) == "string", options.features
  local weights = options.weights or options.sample_weight
  if names == nil then
    names = {}
    for _, name in ipairs(df.columns) do
      if name ~= target and name ~= weights then names[#names + 1] = name end
    end
  end
  if is_name and not df:has(target) then df:col(target) end      -- says what is missing
  return names, is_name
end

--- Fits the steps one after the other.
---@param df flowrun.Frame
---@param target? string|fr.column none when the last step needs none
---@param options? {features: string[], weights: string|fr.column}
---@return flowrun.Model
function Pipe:fit(df, target, options)
  local what = "ml.pipeline:fit"
  args.check_frame(df, what)
  if target ~= nil and class_of(self.steps[#self.steps]) ~= "spec" then
    options = options or (type(target) == "table" and target.features and target) or {}
    if type(target) ~= "string" then target = nil end
  end
  options = args.check_names(what, options, {features = true, weights = true,
    sample_weight = true})
  local names, is_name = inputs_of(df, target, options)
  local x, fitted = df:select(names), {}
  for i = 1, #self.steps - 1 do
    fitted[i] = fit_step(self.steps[i], x)
    x = fitted[i]:transform(x)
  end
  local last = self.steps[#self.steps]
  if class_of(last) == "spec" then
    local weights = options.weights or options.sample_weight
    if type(weights) == "string" then weights = df:col(weights) end
    local features = x.columns
    if is_name then x = x:with{{target, df:col(target)}} end
    fitted[#fitted + 1] = last:fit(x, target, {features = features, weights = weights})
  else
    fitted[#fitted + 1] = fit_step(last, x)
  end
  return pipeline_core.new(fitted, names)
end

--- The fitted steps of a pipeline; nil for other models.
---@param model flowrun.Model
---@return flowrun.Model[]?
function ml_prepare.steps(model) return pipeline_core.steps(model) end

-- What the last step sees of a frame.
local function front(model, steps, df)
  args.check_frame(df, "model:predict")
  local x = df:select(model:info().features)
  for i = 1, #steps - 1 do x = steps[i]:transform(x) end
  return x, steps[#steps]
end

local function target_of(last, df, y)
  if y ~= nil then return y end
  local name = last:info().target
  if name == "" or not df:has(name) then
    invalid("the frame lacks the target `%s`; give it as second argument", name)
  end
  return df:col(name)
end

--- Lets the methods of models work on pipelines: frames go through the steps first.
---@param methods table
function ml_prepare.extend(methods)
  for _, name in ipairs{"predict", "predict_proba", "anomaly", "explain"} do
    local plain = methods[name]
    methods[name] = function(self, df, ...)
      local steps = pipeline_core.steps(self)
      if not steps then return plain(self, df, ...) end
      local x, last = front(self, steps, df)
      return last[name](last, x, ...)
    end
  end
  for _, name in ipairs{"score", "report"} do
    local plain = methods[name]
    methods[name] = function(self, df, y)
      local steps = pipeline_core.steps(self)
      if not steps then return plain(self, df, y) end
      local x, last = front(self, steps, df)
      return last[name](last, x, target_of(last, df, y))
    end
  end
  for _, name in ipairs{"coefficients", "importances"} do
    local plain = methods[name]
    methods[name] = function(self, options)
      local steps = pipeline_core.steps(self)
      if not steps or (options and options.kind == "permutation") then
        return plain(self, options)
      end
      local last = steps[#steps]
      return last[name](last, options)
    end
  end
  local transform = methods.transform
  function methods:transform(df)
    local steps = pipeline_core.steps(self)
    if not steps then return transform(self, df) end
    args.check_frame(df, "model:transform")
    for _, step in ipairs(steps) do df = step:transform(df) end
    return df
  end
  --- The fitted steps of a pipeline.
  ---@return flowrun.Model[]
  function methods:steps()
    return pipeline_core.steps(self) or invalid("a %s has no steps", self:info().title)
  end
end

-- --- specifications as plain values, for tasks ---

--- Tells the classes of specifications that ml.lua defines.
function ml_prepare.know(name, class) classes[class] = name end
ml_prepare.know("numbers", Numbers)
ml_prepare.know("pipeline", Pipe)

--- A specification as a value that tasks can take.
---@param spec table
---@return table
function ml_prepare.plain(spec)
  local class = class_of(spec)
  if class == nil then
    invalid("expected a kind of model or a pipeline, got a %s", type(spec))
  end
  if class == "model" then return {class = "model", model = spec} end
  local out = {class = class, kind = spec.kind, options = spec.options, names = spec.names,
    categories = spec.categories, class_weight = spec.class_weight}
  if class == "pipeline" then
    out.steps = {}
    for i, step in ipairs(spec.steps) do out.steps[i] = ml_prepare.plain(step) end
  end
  return out
end

--- The specification again.
---@param plain table
---@return table
function ml_prepare.revive(plain)
  if plain.class == "model" then return plain.model end
  if plain.class == "numbers" then return make_numbers(plain.kind, plain.options) end
  local out = {kind = plain.kind, options = plain.options, names = plain.names,
    categories = plain.categories, class_weight = plain.class_weight}
  if plain.class == "pipeline" then
    out.steps = {}
    for i, step in ipairs(plain.steps) do out.steps[i] = ml_prepare.revive(step) end
  end
  for class, name in pairs(classes) do
    if name == plain.class then return setmetatable(out, class) end
  end
  invalid("a specification of class %s is not known", tostring(plain.class))
end

-- An option's own name from one of its names; unknown ones and wrong values raise.
local function own_name(kind, name, value)
  core.check(kind, {[name] = value})
  for _, row in ipairs(core.kinds()) do
    for _, option in ipairs(row.name == kind and row.options or {}) do
      local names = (" %s %s "):format(option.name, option.alias or "")
      if names:find(" " .. name .. " ", 1, true) then return option.name end
    end
  end
end

local function changed(spec, name, value)
  local options = {}
  for k, v in pairs(spec.options) do options[k] = v end
  if classes[getmetatable(spec)] == "numbers" then
    options[name] = value
    return ml_prepare[spec.kind](options)
  end
  options[own_name(spec.kind, name, value)] = value
  local copy = setmetatable({}, getmetatable(spec))
  for k, v in pairs(spec) do copy[k] = v end
  copy.options = core.check(spec.kind, options)
  return copy
end

--- The specification with other options: {l2 = 1}, or {["logistic.l2"] = 1} for a pipeline's step.
---@param spec table
---@param params table<string, any>
---@return table
function ml_prepare.with(spec, params)
  for key, value in pairs(params) do
    local step, name = key:match("^([%w_]+)%.([%w_]+)$")
    if class_of(spec) ~= "pipeline" then
      spec = changed(spec, name and step == spec.kind and name or key, value)
    else
      local place
      for i, known in ipairs(spec.names) do
        if known == step then place = i end
      end
      if not place then
        invalid("the pipeline has no step of option '%s'; steps are %s, as in '%s.option'", key,
          table.concat(spec.names, ", "), spec.names[#spec.names])
      end
      local steps = {table.unpack(spec.steps)}
      steps[place] = changed(steps[place], name, value)
      spec = setmetatable({kind = spec.kind, names = spec.names, steps = steps}, Pipe)
    end
  end
  return spec
end

return ml_prepare
