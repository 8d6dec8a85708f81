--- Verbs about neighbouring rows: gaps filled from above, from below or along a line, values
--- kept within bounds. Everything here is a method of frames.
local core = require "flowrun.core.frame"
local expr = require "flowrun.core.expr"
local args = require "flowrun.frame_args"

local invalid, check_options, names_of = args.invalid, args.check_options, args.names_of

local frame_window = {methods = {}}
local methods = frame_window.methods

local function quoted(name) return "`" .. name:gsub("`", "``") .. "`" end

-- The frame with some columns (all that `fits` when none are named) replaced by an expression.
local function map_columns(self, what, names, fits, text, over, params)
  local wanted = {}
  if names then
    for _, name in ipairs(names) do
      self:col(name)
      wanted[name] = true
    end
  end
  local window = over and expr.window(self, over.by, over.order, over.desc, over.first)
  local columns = self.columns
  local arrays = {}
  for i, name in ipairs(columns) do
    local column = self:col(name)
    local change = wanted[name]
    if not names then change = fits(column) end
    local values = type(params) == "function" and params(column) or params
    arrays[i] = change and expr.eval(self, text:format(quoted(name)), values,
      ("%s: column \"%s\""):format(what, name), window) or column
  end
  return core.from(columns, arrays)
end

-- {"kw", by = "feeder", order = "when", limit = 3}: names, and what `over` needs.
local function fill_options(what, options)
  if type(options) == "string" then options = {options} end
  options = options or {}
  if type(options) ~= "table" then invalid("%s: expected column names and options", what) end
  local names, rest = {}, {}
  for key, value in pairs(options) do
    if math.type(key) == "integer" then names[key] = value else rest[key] = value end
  end
  check_options(what, rest, {by = 1, order = 1, limit = 1})
  local over = {by = names_of(what .. ": by", rest.by or {}), order = {}, desc = {}, first = {}}
  if rest.order then
    over.order, over.desc, over.first = args.sort_keys(what .. ": order", rest.order, {})
  end
  names = #names > 0 and names_of(what, names) or nil
  return names, over, rest.limit
end

local function filler(what, with_limit)
  return function(self, options)
    local names, over, limit = fill_options(what, options)
    local text = what .. "(%s)"
    if limit ~= nil then
      if not with_limit then invalid("%s has no limit", what) end
      text = what .. "(%s, $limit)"
    end
    local function fits(column)
      local kind = column:type()
      local numeric = kind:find("^u?int") or kind:find("^float")
      return column:null_count() > 0 and (with_limit or numeric)
    end
    return map_columns(self, what, names, fits, text, over, {limit = limit})
  end
end

--- Missing values replaced by the last value before them, at most `limit` rows away; within
--- equal `by` columns, in the order of `order`. Without names, in all columns.
---
---     df:fill_forward{"kw", by = "feeder", order = "when", limit = 3}
---@param options? string|table names, and by, order, limit
---@return flowrun.Frame
methods.fill_forward = filler("fill_forward", true)

--- As fill_forward, from the next value after them.
---@param options? string|table names, and by, order, limit
---@return flowrun.Frame
methods.fill_backward = filler("fill_backward", true)

--- Missing numbers replaced by the line between their neighbours, by rows; those before the
--- first and after the last value stay missing. Columns become floats.
---
---     df:interpolate{"kw", by = "feeder", order = "when"}
---@param options? string|table names, and by, order
---@return flowrun.Frame
methods.interpolate = filler("interpolate", false)

--- Numbers kept within bounds: `df:clip{"kw", min = 0, max = 500}`. Missing stays missing.
---@param options table names, and min, max
---@return flowrun.Frame
function methods:clip(options)
  if type(options) ~= "table" then invalid("clip: expected {\"kw\", min = 0, max = 500}") end
  local names, rest = {}, {}
  for key, value in pairs(options) do
    if math.type(key) == "integer" then names[key] = value else rest[key] = value end
  end
  check_options("clip", rest, {min = 1, max = 1})
  if rest.min == nil and rest.max == nil then invalid("clip: min or max is missing") end
  for _, bound in ipairs{"min", "max"} do
    local v = rest[bound]
    if v ~= nil and (type(v) ~= "number" or v ~= v) then
      invalid("clip: %s is %s, expected a number", bound, tostring(v))
    end
  end
  if rest.min and rest.max and rest.min > rest.max then
    invalid("clip: min %s is above max %s", tostring(rest.min), tostring(rest.max))
  end
  -- An absent bound is the end of the column's own numbers, so that integers stay integers.
  local function bounds(column)
    local whole = column:type():find("^u?int")
    return {min = rest.min or (whole and math.mininteger or -math.huge),
      max = rest.max or (whole and math.maxinteger or math.huge)}
  end
  local function numeric(column)
    return column:type():find("^u?int") or column:type():find("^float")
  end
  names = #names > 0 and names_of("clip", names) or nil
  return map_columns(self, "clip", names, numeric, "clip(%s, $min, $max)", nil, bounds)
end

return frame_window
