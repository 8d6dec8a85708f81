--- Checks the option tables of task{}, flow{} and with{} against the one table of options
--- (core/engine/option.c). Errors name the option, what was found, what is expected, and
--- "did you mean"; they carry file:line of the script that called.
---
---     local o = options.check("task", "fetch", {retries = 3, timeout = "30s"})
---     o.retries == 3, o.timeout == 30.0 (seconds), o.tags == {"a"} for tags = "a" …
---     options.retry_plan(o)  -> {retries=, backoff=, base=, factor=, cap=, jitter=, list=, fn=}
local core = require "flowrun.core.option"
local value = require "flowrun.core.value"
local backoff = require "flowrun.backoff"
local duration = require "flowrun.duration"
local limits = require "flowrun.limits"
local error_class = require "flowrun.core.error"
local fallback = require "flowrun.fallback"

local options = {}

---@class flowrun.OptionRow one row of the option table
---@field name string
---@field within string? the table option it belongs to
---@field type string
---@field task boolean
---@field flow boolean
---@field with boolean
---@field built boolean
---@field preset string? what holds when it is not set
---@field choices string[]?
---@field min number?
---@field max number?
---@field doc string

local rows = core.list()
local by_name = {}                               -- "retries" or "resources.cpu" -> row
for _, row in ipairs(rows) do
  by_name[row.within and row.within .. "." .. row.name or row.name] = row
end

--- The option table, in the order of the documentation.
---@return flowrun.OptionRow[]
function options.list() return rows end

local raw_metatable = debug.getmetatable     -- the class of handles is locked

--- Tells whether v is a handle.
---@param v any
---@return boolean
function options.is_handle(v)
  local mt = raw_metatable(v)
  return type(mt) == "table" and rawget(mt, "__name") == "flowrun.Handle"
end

local unit_bytes = {B = 1, KB = 1e3, MB = 1e6, GB = 1e9, TB = 1e12,
  KIB = 1 << 10, MIB = 1 << 20, GIB = 1 << 30, TIB = 1 << 40}

local function show(v)
  if type(v) == "string" then return ("'%s'"):format(#v > 40 and v:sub(1, 37) .. "..." or v) end
  if type(v) == "number" or type(v) == "boolean" then return tostring(v) end
  return "a " .. type(v)
end

local function whole(v)
  return math.type(v) == "integer" and v or math.type(v) == "float" and math.tointeger(v) or nil
end

local function range_text(row, noun)
  return row.min and ("%s from %g to %g"):format(noun, row.min, row.max) or noun
end

-- Every reader returns the normalised value, or nil and what is expected.
local read = {}

function read.flag(v)
  if type(v) == "boolean" then return v end
  return nil, "true or false"
end

function read.count(v, row)
  local n = type(v) == "number" and whole(v)
  if n and n >= row.min and n <= row.max then return n end
  return nil, range_text(row, "a whole number")
end

function read.number(v, row)
  if type(v) == "number" and v >= row.min and v <= row.max then return v end
  return nil, range_text(row, "a number")
end

function read.text(v)
  if type(v) == "string" and v ~= "" then return v end
  return nil, "text"
end

function read.names(v)
  if type(v) == "string" and v ~= "" then return {v} end
  if type(v) ~= "table" then return nil, "a name or a list of names" end
  local list, seen = {}, {}
  for k in pairs(v) do
    if not whole(k) or k < 1 or k > #v then return nil, "a list of names without gaps" end
  end
  for i, name in ipairs(v) do
    if type(name) ~= "string" or name == "" then
      return nil, ("a list of names; item %d is %s"):format(i, show(name))
    end
    if seen[name] then return nil, ("names that differ; '%s' is there twice"):format(name) end
    seen[name], list[i] = true, name
  end
  return list
end

function read.duration(v, row)
  local seconds, why = duration.try_seconds(v)
  if not seconds then return nil, 'a duration such as 30, "90s", "5m" or "1h30m"', why end
  if seconds < (row.min or 0) then
    return nil, 'a duration above 0 such as "90s"', "leave it out for no limit"
  end
  return seconds
end

function read.size(v)
  local bytes = v
  if type(v) == "string" then
    local number, unit = v:match("^%s*(%d+%.?%d*)%s*(%a+)%s*$")
    unit = unit and unit_bytes[unit:upper()]
    bytes = unit and tonumber(number) * unit
  end
  if type(bytes) == "number" and bytes >= 1 and bytes < 1e15 then return math.floor(bytes) end
  return nil, 'a size such as "512MB" or "4GiB", or a number of bytes'
end

function read.delay(v)
  if type(v) == "function" then return v end
  if type(v) ~= "table" then
    local seconds = duration.try_seconds(v)
    return seconds, "a duration, a list of durations, or function(attempt, err)"
  end
  local list = {}
  for i, item in ipairs(v) do
    list[i] = duration.try_seconds(item)
    if not list[i] then
      return nil, ("a list of durations; item %d is %s"):format(i, show(item))
    end
  end
  if #list == 0 or #list > 16 then return nil, "a list of 1 to 16 durations" end
  return list
end

function read.backoff(v, row)
  if backoff.is_curve(v) then return v end
  for _, name in ipairs(row.choices) do
    if v == name then return v end
  end
  local near = type(v) == "string" and error_class.nearest(v, row.choices)
  return nil, table.concat(row.choices, ", ") .. ", or a curve of flowrun.backoff"
    .. (near and ("; did you mean '%s'?"):format(near) or "")
end

function read.enum(v, row)
  for _, name in ipairs(row.choices) do
    if v == name then return v end
  end
  local near = type(v) == "string" and error_class.nearest(v, row.choices)
  return nil, "one of " .. table.concat(row.choices, ", ")
    .. (near and ("; did you mean '%s'?"):format(near) or "")
end

read["function"] = function(v)
  if type(v) == "function" then return v end
  return nil, "a function"
end

function read.codes(v)
  if type(v) == "function" then return v end
  local list, why = read.names(v)
  if not list then return nil, "an error code, a list of them, or a function", why end
  local known = error_class.codes()
  for _, code in ipairs(list) do
    if not known[code] then
      local names = {}
      for name in pairs(known) do names[#names + 1] = name end
      local near = error_class.nearest(code, names)
      return nil, "error codes", ("'%s' is none%s"):format(code,
        near and "; did you mean '" .. near .. "'?" or "")
    end
  end
  return list
end

function read.function_or_text(v)
  if type(v) == "function" or (type(v) == "string" and v ~= "") then return v end
  return nil, "text, or a function"
end

function read.value(v)
  if type(v) == "function" then return v end
  local ok, err = pcall(value.pack, v, "it")
  if not ok then return nil, "a value that can cross, or a function", err.message end
  return v
end

function read.fallback(v)
  return fallback.read(v)
end

function read.handles(v)
  if options.is_handle(v) then return {v} end
  if type(v) ~= "table" then return nil, "a handle or a list of handles" end
  local list = {}
  for i, h in ipairs(v) do
    if not options.is_handle(h) then
      return nil, ("a list of handles; item %d is %s"):format(i, show(h))
    end
    list[i] = h
  end
  return list
end

function read.limits(v)
  return limits.read(v)
end

-- true, false (with{}: not cached), how long results are good, or a table of sub-options.
function read.cache(v)
  if type(v) == "boolean" then return v and {} or false end
  if type(v) == "table" then return v end
  local seconds, why = duration.try_seconds(v)
  if seconds then return {expires = seconds} end
  return nil, 'true, false, a duration such as "1h", or {expires=, version=, scope=, …}', why
end

function read.condition(v)
  if type(v) == "function" or options.is_handle(v) then return v end
  return nil, "a handle or a function"
end

-- How many, or a table of sub-options.
function read.concurrency(v)
  if type(v) == "table" then return v end
  local n = type(v) == "number" and whole(v)
  if n and n >= 1 and n <= 1000000000 then return {max = n} end
  return nil, 'a number of runs, from 1, or {max = 1, full = "queue"}'
end

function read.table(v)
  if type(v) == "table" then return v end
  return nil, "a table"
end

local function fail(what, format, ...)
  error_class.raise("invalid", what .. ": " .. format:format(...))
end

local function names_of(scope, within)
  local names = {}
  for _, row in ipairs(rows) do
    if row[scope] and row.within == within then names[#names + 1] = row.name end
  end
  return names
end

local function unknown(what, scope, within, name)
  local full = within and within .. "." .. name or name
  if by_name[full] then
    local other = {}
    for _, s in ipairs{"task", "flow", "with", "group"} do
      if by_name[full][s] then other[#other + 1] = s == "group" and "fr.group" or s .. "{}" end
    end
    fail(what, "option '%s' belongs to %s, not to %s{}", full, table.concat(other, " and "), scope)
  end
  local known = names_of(scope, within)
  local near = error_class.nearest(name, known)
  if near then fail(what, "unknown option '%s'; did you mean '%s'?", full, near) end
  fail(what, "unknown option '%s'; %s{} knows %s", full, scope, table.concat(known, ", "))
end

local function check_row(what, row, full, v, scope)
  if not row.built then
    fail(what, "option '%s' is not built yet; leave it out for now", full)
  end
  local fixed = scope == "group" or (scope == "with" and full ~= "key" and full ~= "when")
  if fixed and type(v) == "function" then
    fail(what, "option '%s' cannot be a function in %s: it runs in a worker, which knows "
      .. "only the options of task{}", full, scope == "with" and "with{}" or "a group")
  end
  local normal, expected, detail = read[row.type](v, row)
  if scope == "with" and fallback.is_chain(normal) and fallback.has_function(normal) then
    fail(what, "option '%s' cannot have a function in with{}: it runs in a worker, which knows "
      .. "only the options of task{}", full)
  end
  if normal == nil then
    fail(what, "option '%s': expected %s, got %s%s", full, expected, show(v),
      detail and " (" .. detail .. ")" or "")
  end
  return normal
end

local check_table

local function check_one(what, scope, within, name, v)
  if type(name) ~= "string" then
    fail(what, "options are named, but there is %s at [%s]; write {name = value}", show(v),
      tostring(name))
  end
  local full = within and within .. "." .. name or name
  local row = by_name[full]
  if not row or not row[scope] then unknown(what, scope, within, name) end
  local normal = check_row(what, row, full, v, scope)
  if type(normal) == "table" and #names_of(scope, name) > 0 then
    normal = check_table(what, scope, name, normal)
  end
  return normal
end

function check_table(what, scope, within, given)
  local out = {}
  for name, v in pairs(given) do out[name] = check_one(what, scope, within, name, v) end
  return out
end

-- What holds between options.
local function check_together(what, o)
  if o.store == false and o.cache then
    fail(what, "option 'store' is false, so there is no result to use again; leave out 'cache'")
  end
  local version = o.cache and o.cache.version or nil
  if version ~= nil and type(version) ~= "string" and type(version) ~= "number" then
    fail(what, "option 'cache.version': expected text or a number, got %s", show(version))
  end
  if backoff.is_curve(o.backoff) and o.delay ~= nil then
    fail(what, "option 'delay' says a base, and 'backoff' is a curve with its own; "
      .. "give one of them")
  end
  if (type(o.delay) == "table" or type(o.delay) == "function") and o.backoff ~= nil then
    fail(what, "option 'delay' is a %s, so 'backoff' has nothing to do; leave it out",
      type(o.delay) == "table" and "list" or "function")
  end
  if o.isolate and o.executor == "thread" then
    fail(what, "option 'isolate' asks for a process and 'executor' for a thread; give one of them")
  end
  if o.schedule then
    o.schedule = require("flowrun.schedule").check(what, o.schedule)
  end
  if o.defaults then o.defaults = options.check_defaults(what, o.defaults) end
  if o.outputs and #o.outputs == 0 then fail(what, "option 'outputs' is an empty list") end
  for _, name in ipairs(o.outputs or {}) do
    if not name:find("^[%a_][%w_]*$") then
      fail(what, "option 'outputs': '%s' is not a name (letters, digits and _)", name)
    end
  end
end

-- Options of single calls, which are no defaults of many.
local single = {key = true, after = true, when = true, teardown = true}

---@package
--- Checks option `defaults`: what with{} takes, for every task called in a flow or group.
---@param what string
---@param given table
---@return table
function options.check_defaults(what, given)
  for name, v in pairs(given) do
    if single[name] then
      fail(what, "option 'defaults.%s' belongs to one call; give it in with{}", tostring(name))
    end
    if type(v) == "function" then
      fail(what, "option 'defaults.%s' cannot be a function: it runs in a worker, which knows only "
        .. "the options of task{}", tostring(name))
    end
  end
  return options.check("with", "defaults of " .. what, given)
end

--- Checks the options given to task{}, flow{}, with{} or fr.group and returns a normalised copy:
--- durations in seconds, counts as integers, names as lists.
---@param scope "task"|"flow"|"with"|"group"
---@param name string of the task or flow, for messages
---@param given table?
---@return table
function options.check(scope, name, given)
  local what = scope == "with" and ("with{} of '%s'"):format(name)
    or ("%s '%s'"):format(scope, name)
  if given == nil then return {} end
  if type(given) ~= "table" then
    fail(what, "options are a table, got %s", show(given))
  end
  local out = check_table(what, scope, nil, given)
  check_together(what, out)
  return out
end

--- A copy of `base` with what `over` (of with{}) sets instead. A delay replaces a curve that
--- carries its own base and the other way round.
---@param base table normalised options
---@param over table normalised options
---@return table
function options.merge(base, over)
  local out = {}
  for k, v in pairs(base) do out[k] = v end
  if over.delay ~= nil and backoff.is_curve(out.backoff) then out.backoff = nil end
  if over.backoff ~= nil and (backoff.is_curve(over.backoff) or type(out.delay) ~= "number") then
    out.delay = nil
  end
  if over.delay ~= nil and type(over.delay) ~= "number" then out.backoff = nil end
  for k, v in pairs(over) do out[k] = v end
  if base.resources and over.resources then
    out.resources = {}
    for k, v in pairs(base.resources) do out.resources[k] = v end
    for k, v in pairs(over.resources) do out.resources[k] = v end
  end
  return out
end

---@package
--- Bytes of a size such as "4GiB", or nil and what is expected.
options.size = read.size

---@class flowrun.RetryPlan
---@field retries integer
---@field backoff "fixed"|"linear"|"exponential"|"decorrelated"|"list"|"function"
---@field base number seconds
---@field cap number? seconds
---@field factor number?
---@field jitter number 0..1
---@field list number[]? seconds, the last one repeats
---@field fn? fun(attempt: integer): number delay in seconds

--- What the retry engine needs, from normalised options.
---@param o table
---@return flowrun.RetryPlan
function options.retry_plan(o)
  local plan = {retries = o.retries or 0, jitter = o.jitter or 0, backoff = "fixed", base = 1.0}
  if type(o.delay) == "function" then
    plan.backoff, plan.fn = "function", o.delay
  elseif type(o.delay) == "table" then
    plan.backoff, plan.list = "list", o.delay
  elseif o.delay then
    plan.base = o.delay
  end
  if backoff.is_curve(o.backoff) then
    plan.backoff, plan.base = o.backoff.kind, o.backoff.base
    plan.cap, plan.factor = o.backoff.cap, o.backoff.factor
  elseif o.backoff then
    plan.backoff = o.backoff
    plan.factor = o.backoff == "exponential" and 2 or nil
  end
  return plan
end

return options
