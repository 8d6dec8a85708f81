--- Parameters of a flow: declared with types, read from the command line, a JSON file or Lua.
---
---     params = {
---       region = "north",                                   -- text with a default
---       top    = {type = "integer", default = 50, min = 1, description = "circuits to rank"},
---       mode   = {choices = {"fast", "full"}, default = "fast"},
---       day    = {type = "string"},                         -- no default: must be given
---     }
---
--- Types: string, integer, number, boolean, duration (seconds), list, table, any.
local value = require "flowrun.core.value"
local duration = require "flowrun.duration"
local error_class = require "flowrun.core.error"

local params = {}

---@class flowrun.Param
---@field name string
---@field type "string"|"integer"|"number"|"boolean"|"duration"|"list"|"table"|"any"
---@field default any
---@field required boolean
---@field min number?
---@field max number?
---@field choices any[]?
---@field description string?

local types = {"string", "integer", "number", "boolean", "duration", "list", "table", "any"}
local spoken = {int = "integer", bool = "boolean", float = "number", double = "number",
  text = "string", str = "string", array = "list", object = "table", map = "table"}
local fields = {"type", "default", "min", "max", "choices", "description", "required"}

local function show(v)
  if type(v) == "string" then return ("'%s'"):format(#v > 40 and v:sub(1, 37) .. "..." or v) end
  if type(v) == "number" or type(v) == "boolean" then return tostring(v) end
  return v == nil and "nothing" or "a " .. type(v)
end

local function has(list, item)
  for _, x in ipairs(list) do
    if x == item then return true end
  end
  return false
end

-- A table is a declaration when it has only fields of one and says at least what it is.
local function is_declaration(v)
  if type(v) ~= "table" or next(v) == nil then return false end
  if v.type == nil and v.default == nil and v.choices == nil then return false end
  for k in pairs(v) do
    if type(k) ~= "string" then return false end
  end
  return true
end

local function type_of(v)
  if type(v) == "number" then return math.type(v) == "integer" and "integer" or "number" end
  if type(v) == "table" then return (#v > 0 or next(v) == nil) and "list" or "table" end
  return type(v)
end

-- The value as the type wants it, or nil and what is expected. Texts come from a command line.
local convert = {}

function convert.string(v)
  if type(v) == "string" then return v end
  return nil, "text"
end

function convert.integer(v, from_text)
  if from_text then v = v:find("^[+-]?%d+$") and math.tointeger(tonumber((v:gsub("^%+", "")))) end
  local n = type(v) == "number" and math.tointeger(v)
  if n then return n end
  return nil, "a whole number"
end

function convert.number(v, from_text)
  if from_text then v = v:find("^[+-]?[%d.]") and tonumber((v:gsub("^%+", ""))) end
  if type(v) == "number" and v == v then return v end
  return nil, "a number"
end

local words = {["true"] = true, yes = true, on = true, ["1"] = true,
  ["false"] = false, no = false, off = false, ["0"] = false}

function convert.boolean(v, from_text)
  if from_text then v = words[v] end
  if type(v) == "boolean" then return v end
  return nil, "true or false"
end

function convert.duration(v, from_text)
  local seconds = duration.try_seconds(from_text and tonumber(v) or v)
  if seconds then return seconds end
  return nil, 'a duration such as "90s" or "1h30m"'
end

function convert.list(v, from_text)
  if from_text then
    local list = {}
    if v == "" then return list end
    for item in (v .. ","):gmatch("([^,]*),") do list[#list + 1] = item end
    return list
  end
  if type(v) == "table" and type_of(v) == "list" then return v end
  return nil, from_text and "a,b,c" or "a list"
end

function convert.table(v, from_text)
  if from_text then
    local ok, decoded = pcall(require("flowrun.json").decode, v)
    v = ok and decoded
  end
  if type(v) == "table" then return v end
  return nil, from_text and "a JSON object" or "a table"
end

function convert.any(v) return v end

-- nil, or why a value of the right type is not allowed.
local function out_of_range(param, v)
  if param.choices and not has(param.choices, v) then
    local names, texts = {}, true
    for i, c in ipairs(param.choices) do
      names[i], texts = tostring(c), texts and type(c) == "string"
    end
    local near = texts and type(v) == "string" and error_class.nearest(v, param.choices)
    return ("expected one of %s, got %s%s"):format(table.concat(names, ", "), show(v),
      near and ("; did you mean '%s'?"):format(near) or "")
  end
  if param.min and v < param.min then
    return ("expected at least %s, got %s"):format(tostring(param.min), show(v))
  end
  if param.max and v > param.max then
    return ("expected at most %s, got %s"):format(tostring(param.max), show(v))
  end
end

local function read(param, v, from_text)
  local normal, expected = convert[param.type](v, from_text)
  if normal == nil then
    return nil, ("expected %s, got %s"):format(expected, show(v))
  end
  local why = out_of_range(param, normal)
  if why then return nil, why end
  local ok, err = pcall(value.pack, normal, "it")
  if not ok then return nil, err.message end
  return normal
end

-- --- declaring ---

local function declare_fail(flow, name, format, ...)
  error_class.raise("invalid", ("flow '%s': parameter '%s': "):format(flow, name)
    .. format:format(...))
end

local function declare_one(flow, name, given)
  if not is_declaration(given) then
    local kind = type_of(given)
    if not convert[kind] then
      declare_fail(flow, name, "a default cannot be %s", show(given))
    end
    return {name = name, type = kind, default = given, required = false}
  end
  for k in pairs(given) do
    if not has(fields, k) then
      local near = error_class.nearest(k, fields)
      declare_fail(flow, name, "unknown field '%s'; %s", k, near
        and ("did you mean '%s'?"):format(near) or "it knows " .. table.concat(fields, ", "))
    end
  end
  local param = {name = name, default = given.default, choices = given.choices,
    min = given.min, max = given.max, description = given.description}
  param.type = given.type
    or type_of(given.default ~= nil and given.default or (given.choices or {})[1] or "")
  if not has(types, param.type) then
    local near = spoken[param.type]
      or type(param.type) == "string" and error_class.nearest(param.type, types)
    declare_fail(flow, name, "unknown type %s; %s", show(param.type), near
      and ("did you mean '%s'?"):format(near) or "types are " .. table.concat(types, ", "))
  end
  return param
end

local function check_declaration(flow, param)
  local numeric = param.type == "integer" or param.type == "number" or param.type == "duration"
  for _, field in ipairs{"min", "max"} do
    if param[field] ~= nil and (not numeric or type(param[field]) ~= "number") then
      declare_fail(flow, param.name, "%s is for numbers, and is a number", field)
    end
  end
  if param.min and param.max and param.min > param.max then
    declare_fail(flow, param.name, "min %s is above max %s", param.min, param.max)
  end
  if param.choices ~= nil and (type(param.choices) ~= "table" or #param.choices == 0) then
    declare_fail(flow, param.name, "choices are a list of values")
  end
  if param.default ~= nil then
    local normal, why = read(param, param.default, false)
    if normal == nil then declare_fail(flow, param.name, "default: %s", why) end
    param.default = normal
  end
end

--- Checks the `params` option of a flow. Parameters whose name is one of `reserved` (options
--- of the command line) are refused.
---@param flow string name, for messages
---@param given table?
---@param reserved? string[]
---@return flowrun.Param[] declared sorted by name
function params.declare(flow, given, reserved)
  local declared = {}
  for name, v in pairs(given or {}) do
    if type(name) ~= "string" or not name:find("^%a[%w_]*$") then
      declare_fail(flow, tostring(name), "not a name: a letter, then letters, digits or _")
    end
    if reserved and (has(reserved, name) or has(reserved, (name:gsub("_", "-")))) then
      declare_fail(flow, name, "--%s is an option of flowrun; choose another name", name)
    end
    local param = declare_one(flow, name, v)
    param.required = given[name] ~= nil and param.default == nil
    if type(v) == "table" and v.required == false and is_declaration(v) then
      param.required = false
    end
    check_declaration(flow, param)
    declared[#declared + 1] = param
  end
  table.sort(declared, function(a, b) return a.name < b.name end)
  declared.flow = flow
  return declared
end

-- --- reading ---

local function find(declared, name)
  local plain = name:gsub("-", "_")
  for _, param in ipairs(declared) do
    if param.name == plain then return param end
  end
end

local function unknown(declared, name, before)   -- before: see from_args
  local takes = before and before["--" .. name]
  if takes ~= nil then
    return ("an option of flowrun, not of the flow; write it before the script: --%s%s")
      :format(name, takes and " " .. takes or "")
  end
  local names = {}
  for i, param in ipairs(declared) do names[i] = param.name end
  local near = error_class.nearest((name:gsub("-", "_")), names)
  if near then return ("unknown; did you mean '%s'?"):format(near) end
  return #names == 0 and "unknown; the flow has no parameters"
    or "unknown; the flow has " .. table.concat(names, ", ")
end

local function refuse(flow, wrong)
  table.sort(wrong)
  local head = ("flow '%s': "):format(flow)
  if #wrong == 1 then error_class.raise("parameter", head .. wrong[1]) end
  error_class.raise("parameter", ("%s%d wrong parameters: %s"):format(head, #wrong,
    table.concat(wrong, "; ")))
end

--- Reads `--name value` and `--name=value`; a boolean may stand alone (`--dry`) or negated
--- (`--no-dry`). Returns texts by name, to be given to params.read.
---@param flow string
---@param declared flowrun.Param[]
---@param args string[] what stands behind the script on the command line
---@param before? table<string, string|false> options that stand before the script: what they take
---@return table<string, string>
function params.from_args(flow, declared, args, before)
  local given, wrong, i = {}, {}, 1
  while i <= #args do
    local name, text = args[i]:match("^%-%-([%a_][%w_-]*)=(.*)$")
    name = name or args[i]:match("^%-%-([%a_][%w_-]*)$")
    if not name then
      refuse(flow, {("'%s' is not a parameter; write --name value"):format(args[i])})
    end
    local param = find(declared, name)
    local negated = not param and name:match("^no[-_](.+)$")
    negated = negated and find(declared, negated)
    if negated and negated.type == "boolean" and not text then
      param, text = negated, "false"
    elseif param and not text then
      local follows = args[i + 1]
      if param.type == "boolean" and words[follows] == nil then
        text = "true"
      elseif follows and (not follows:find("^%-%-") or param.type == "string" and
          follows:find("^%-%-%-")) then
        text, i = follows, i + 1
      else
        wrong[#wrong + 1] = ("--%s: a value is missing"):format(name)
        text = false
      end
    end
    if not param then
      wrong[#wrong + 1] = ("--%s: %s"):format(name, unknown(declared, name, before))
      if not text and args[i + 1] and not args[i + 1]:find("^%-%-") then i = i + 1 end
    elseif text then
      given[param.name] = text
    end
    i = i + 1
  end
  if #wrong > 0 then refuse(flow, wrong) end
  return given
end

--- Checks given values and fills in defaults. All that is wrong is named in one error (code
--- `parameter`); nothing has run then.
---@param flow string
---@param declared flowrun.Param[]
---@param given? table<string, any> values from Lua or JSON
---@param texts? table<string, string> values from the command line; they win
---@return table<string, any>
function params.read(flow, declared, given, texts)
  local out, wrong = {}, {}
  if given ~= nil and type(given) ~= "table" then
    refuse(flow, {("parameters are a table, got %s"):format(show(given))})
  end
  local sources = {{given or {}, false}, {texts or {}, true}}
  for _, source in ipairs(sources) do
    for name, v in pairs(source[1]) do
      local param = type(name) == "string" and find(declared, name)
      if not param then
        wrong[#wrong + 1] = ("%s: %s"):format(tostring(name), unknown(declared, tostring(name)))
      elseif v ~= value.null and (source[2] or not (texts and texts[param.name])) then
        local normal, why = read(param, v, source[2])
        if normal == nil then
          wrong[#wrong + 1] = ("%s: %s"):format(param.name, why)
        else
          out[param.name] = normal
        end
      end
    end
  end
  local failed = #wrong > 0 and table.concat(wrong, "\n") or ""
  for _, param in ipairs(declared) do
    if out[param.name] == nil then
      out[param.name] = param.default
      if param.required and not failed:find(param.name .. ":", 1, true) then
        wrong[#wrong + 1] = ("%s: is missing (%s%s)"):format(param.name, param.type,
          param.description and ": " .. param.description or "")
      end
    end
  end
  if #wrong > 0 then refuse(flow, wrong) end
  return out
end

local placeholder = {string = "TEXT", integer = "N", number = "X", boolean = "",
  duration = "1h30m", list = "A,B,C", table = "JSON", any = "VALUE"}

-- "default 50; at least 1": what holds for a parameter besides its type.
local function conditions(param)
  local out = {}
  if param.required then out[#out + 1] = "required" end
  if type(param.default) == "string" then
    out[#out + 1] = "default " .. param.default
  elseif param.type == "duration" and param.default then
    out[#out + 1] = "default " .. duration.text(param.default)
  elseif param.default ~= nil then
    out[#out + 1] = "default " .. require("flowrun.json").encode(param.default)
  end
  if param.choices then
    local names = {}
    for i, c in ipairs(param.choices) do names[i] = tostring(c) end
    out[#out + 1] = "one of " .. table.concat(names, ", ")
  end
  if param.min then out[#out + 1] = ("at least %s"):format(param.min) end
  if param.max then out[#out + 1] = ("at most %s"):format(param.max) end
  return table.concat(out, "; ")
end

--- The parameters as `flowrun FILE --help` lists them, a line each.
---@param declared flowrun.Param[]
---@return string
function params.help(declared)
  if #declared == 0 then return "  (none)" end
  local heads, width = {}, 0
  for i, param in ipairs(declared) do
    heads[i] = ("  --%s %s"):format(param.name, placeholder[param.type]):gsub("%s+$", "")
    width = math.max(width, #heads[i])
  end
  local lines = {}
  for i, param in ipairs(declared) do
    local says = param.description and param.description .. " " or ""
    lines[i] = heads[i] .. (" "):rep(width - #heads[i]) .. "  " .. says
      .. ("(%s)"):format(conditions(param)):gsub("^%(%)$", "")
  end
  return table.concat(lines, "\n")
end

--- As params.read, for values given in Lua: `flow:run{region = "south"}`.
---@param declared flowrun.Param[]
---@param given? table<string, any>
---@return table<string, any>
function params.from_table(declared, given)
  return params.read(declared.flow, declared, given)
end

return params
