--- Linear regression of many targets that share their features. Used by ml.lua; nothing here
--- is called by scripts.
local args = require "flowrun.ml_args"
local core = require "flowrun.core.responses"
local frame = require "flowrun.frame"

local ml_responses = {}
local invalid = args.invalid

--- Fits all targets at once.
---@param spec flowrun.ModelSpec of ml.linear
---@param df flowrun.Frame
---@param targets string[] columns of df
---@param options {features: string[], missing: "error"|"skip"}
---@return flowrun.Model
function ml_responses.fit(spec, df, targets, options)
  local what = ("ml.%s:fit"):format(spec.kind)
  if spec.kind ~= "linear" then
    invalid("%s: one target column is expected, got %d; ml.linear fits several", what, #targets)
  end
  options = args.check_names(what, options, {features = true, missing = true})
  local missing = args.choice(what .. ": missing", options.missing or "error", {"error", "skip"})
  local is_target = {}
  for _, name in ipairs(targets) do is_target[name] = true end
  local names = options.features
  if names == nil then
    names = {}
    for _, name in ipairs(df.columns) do
      if not is_target[name] then names[#names + 1] = name end
    end
  end
  for _, name in ipairs(names) do
    if is_target[name] then invalid("%s: the target `%s` is among the features", what, name) end
  end
  return core.fit(spec.options.l2, spec.options.intercept, spec.options.threads,
    df:select(names), df:select(targets), missing == "skip")
end

--- A column per target.
function ml_responses.predict(model, df) return frame.from(core.predict(model, df)) end

--- Whether the model has several targets.
function ml_responses.is(model) return core.targets(model) ~= nil end

--- name ("intercept" first) and a column per target.
function ml_responses.coefficients(model)
  local columns = {{"name", {"intercept", table.unpack(model:info().features)}}}
  local values = core.coefficients(model)
  for t, target in ipairs(core.targets(model)) do
    columns[t + 1] = {target.name, values[t], "float64"}
  end
  return frame.from(columns)
end

--- How well each target is explained: target, r2, rmse, n. With a frame, on its rows; else
--- on those fitted on.
---@param model flowrun.Model
---@param df? flowrun.Frame
---@param errors fun(y: flowrun.Array, p: flowrun.Array): table
---@return flowrun.Frame
function ml_responses.score(model, df, errors)
  local names, r2, rmse, rows = {}, {}, {}, {}
  local predicted = df and core.predict(model, df)
  for t, target in ipairs(core.targets(model)) do
    names[t] = target.name
    if predicted then
      local both = frame.from{{"y", df:col(target.name)}, {"p", predicted[t][2]}}:dropna{"y"}
      local e = errors(both.y, both.p)
      r2[t], rmse[t], rows[t] = e.r2, e.rmse, #both
    else
      r2[t], rmse[t], rows[t] = target.r2, target.rmse, target.rows
    end
  end
  return frame.from{{"target", names, "utf8"}, {"r2", r2, "float64"}, {"rmse", rmse, "float64"},
    {"n", rows, "int64"}}
end

return ml_responses
