--- The option `fallback`: a value, a function, a task, "last_good", or a list of these that are
--- tried in turn.
---
---     fallback = {"last_good", backup, 0, max_age = "7d"}
local duration = require "flowrun.duration"
local value = require "flowrun.core.value"

local fallback = {}

local chain_class = {__name = "flowrun.Fallbacks"}

--- Whether v is a chain that `read` made.
---@param v any
---@return boolean
function fallback.is_chain(v) return getmetatable(v) == chain_class end

local function is_task(v)
  local mt = type(v) == "table" and getmetatable(v)
  return type(mt) == "table" and rawget(mt, "__name") == "flowrun.Task"
end

-- A table is a list of fallbacks when one of its items can only be meant as one.
local function is_list(v)
  if type(v) ~= "table" or getmetatable(v) then return false end
  for _, item in ipairs(v) do
    if type(item) == "function" or item == "last_good" or is_task(item) then return true end
  end
  return false
end

local function step(item, i, chain)
  if type(item) == "function" then
    chain["f" .. i] = item                       -- the worker finds it as option "fallback.f1"
    return {kind = "function", option = "fallback.f" .. i}
  elseif is_task(item) then
    return {kind = "task", task = item[1]}
  elseif item == "last_good" then
    return {kind = "last_good", max_age = chain.max_age, any = chain.any}
  end
  return {kind = "value", value = item}
end

local function read_list(v)
  local chain = setmetatable({steps = {}}, chain_class)
  for k, field in pairs(v) do
    if k == "max_age" then
      local seconds, why = duration.try_seconds(field)
      if not seconds then return nil, 'max_age: a duration such as "7d"', why end
      chain.max_age = seconds
    elseif k == "arguments" then
      if field ~= "same" and field ~= "any" then return nil, 'arguments = "same" or "any"' end
      chain.any = field == "any"
    elseif math.type(k) ~= "integer" or k < 1 or k > #v then
      return nil, ("a list of fallbacks with max_age and arguments beside; '%s' is not known")
        :format(tostring(k))
    end
  end
  for i, item in ipairs(v) do
    local s = step(item, i, chain)
    if s.kind == "value" then
      local ok, err = pcall(value.pack, item, "it")
      if not ok then return nil, ("item %d: a value that can cross"):format(i), err.message end
      if i < #v then return nil, ("a value last: item %d always gives a result"):format(i) end
    end
    chain.steps[i] = s
  end
  return chain
end

--- Reads the option. Returns a plain value or function as it is, else a chain; nil and what is
--- expected when it is wrong.
---@param v any
---@return any normalised
---@return string? expected
---@return string? detail
function fallback.read(v)
  if type(v) == "function" or fallback.is_chain(v) then return v end
  if v == "last_good" or is_task(v) then return read_list{v} end
  if is_list(v) then return read_list(v) end
  local ok, err = pcall(value.pack, v, "it")
  if ok then return v end
  return nil, 'a value that can cross, a function, a task, "last_good", or a list of these',
    err.message
end

--- Whether a chain has a function of its own, which only task{} may give.
---@param chain table
---@return boolean
function fallback.has_function(chain)
  for _, s in ipairs(chain.steps) do
    if s.kind == "function" then return true end
  end
  return false
end

return fallback
