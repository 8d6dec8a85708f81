--- Tasks: functions of their arguments that the engine runs, retries, records.
local backoff = require "flowrun.backoff"
local body = require "flowrun.core.body"
local cache = require "flowrun.cache"
local error_class = require "flowrun.core.error"
local fallback = require "flowrun.fallback"
local flow_core = require "flowrun.core.flow"
local limits = require "flowrun.limits"
local machine = require "flowrun.machine"
local lists = require "flowrun.lists"
local options = require "flowrun.options"
local registry = require "flowrun.registry"

local task = {}

---@class flowrun.Task
---@field name string as given to fr.task
---@field options table normalised options
local Task = {}

local methods = {}
Task.__index = methods
Task.__name = "flowrun.Task"
Task.__call = flow_core.call                     -- in a flow: handles at once; else a plain call

function Task:__tostring()
  return "task " .. self.name
end

local function where_of(level)
  local info = debug.getinfo(level + 1, "Sl")
  if info and info.currentline > 0 then
    return ("%s:%d"):format(info.short_src, info.currentline)
  end
  return registry.place_of_return() or "?"
end
task.where_of = where_of

local function show(v)
  return type(v) == "string" and ("'%s'"):format(v) or type(v) == "number" and tostring(v)
    or v == nil and "nothing" or "a " .. type(v)
end
task.show = show

-- What stands where the body should: a function in front of the options is a slip of its own.
local function got(opts, fn)
  return type(opts) == "function" and show(fn) .. " behind the function" or show(fn)
end
task.got = got

-- Options that may be functions which a worker runs (core/engine/sched.h, FR_ASK_LIST). One
-- inside a table is named with a dot.
local asked = {"on_start", "on_success", "on_failure", "on_retry", "on_cancel", "on_skip", "undo",
  "fallback", "retry_if", "delay", "cache.key"}

local function functions_of(o)
  local names = {}
  for _, name in ipairs(asked) do
    local within, field = name:match("^(.*)%.(.*)$")
    local v
    if within then v = type(o[within]) == "table" and o[within][field] else v = o[name] end
    if type(v) == "function" then names[#names + 1] = name end
  end
  return names
end

-- Slots of named limits, and of the machine's memory.
local function slots_of(o, full)
  local list = o.limit and limits.of_task(o.limit, full) or {}
  for _, need in ipairs(machine.needs(o)) do list[#list + 1] = need end
  return #list > 0 and list or nil
end

---@package
--- Normalised options as the scheduler's option object.
---@param o table
---@param full? string qualified name of the task, whose own rate has it
function task.scheduler_options(o, full)
  local plan = options.retry_plan(o)
  local curve = plan.backoff
  if curve == "list" or curve == "function" then curve = "fixed" end
  return flow_core.options{
    retries = plan.retries, backoff = curve, base = plan.base, cap = plan.cap,
    factor = plan.factor, jitter = plan.jitter, delays = plan.list,
    retry_codes = type(o.retry_if) == "table" and o.retry_if or nil,
    infra_retries = o.infra_retries,
    limits = slots_of(o, full), priority = o.priority,
    queue_timeout = o.queue_timeout,
    timeout = o.timeout, deadline = o.deadline, fail_fast = o.fail_fast,
    cpu = o.resources and o.resources.cpu,
    memory = o.resources and o.resources.memory, gpu = o.resources and o.resources.gpu,
    executor = o.isolate and "process" or o.executor,
    outputs = o.outputs and #o.outputs, effect = o.effect, rule = o.trigger_rule,
    has_fallback = o.fallback ~= nil and type(o.fallback) ~= "function"
      and not fallback.is_chain(o.fallback),
    fallback = o.fallback,
    fallbacks = fallback.is_chain(o.fallback) and o.fallback.steps or nil,
    no_store = o.store == false, functions = functions_of(o),
    cache = o.cache and cache.rules(o.cache),
  }
end

--- Defines a task: `fr.task(name, [options,] fn)`.
---@param name string unique in its script
---@param opts? table see docs/reference/options
---@param fn fun(...): ...
---@return flowrun.Task
function task.define(name, opts, fn)
  local where = where_of(2)
  if fn == nil and type(opts) == "function" then fn, opts = opts, nil end
  if type(name) ~= "string" or not name:find("^[%a_][%w_%-]*$") then
    error_class.raise("invalid", ("fr.task: expected a name (letters, digits, _ and -) first, "
      .. "got %s; write fr.task(\"name\", function(...) ... end)"):format(show(name)))
  end
  if type(fn) ~= "function" then
    error_class.raise("invalid", ("task '%s': expected a function last, got %s; write "
      .. "fr.task(\"%s\", {options}, function(...) ... end)"):format(name, got(opts, fn), name))
  end
  if flow_core.inside() or body.inside() then
    error_class.raise("state", ("task '%s': tasks are defined at the top level of a script, "
      .. "not inside a body: workers load the script and must find it"):format(name))
  end
  local o = options.check("task", name, opts)
  local self = setmetatable({kind = "task", name = name, options = o, where = where, fn = fn}, Task)
  self[1] = registry.add("task", name, self)
  self[2] = task.scheduler_options(o, self[1])
  self.home = registry.current()
  self[3] = fn
  self[4] = o.key
  return self
end

---@package
--- The options object of every task called where `defaults` hold: those of the task itself win.
---@param defaults? table normalised options
---@return table? by callable
function task.with_defaults(defaults)
  if not defaults then return nil end
  return setmetatable({}, {__mode = "k", __index = function(t, callable)
    local made = callable[2]
    if callable.kind == "task" then
      made = task.scheduler_options(options.merge(defaults, callable.options), callable[1])
    end
    rawset(t, callable, made)
    return made
  end})
end

--- Runs the task once per item of `list` (a table, a handle of one, fr.zip or fr.product), in
--- parallel. Further arguments are the same for every item. Returns one handle for the list of
--- results.
---@param list any[]|flowrun.Handle
---@param ... any constants that follow the item
---@return flowrun.Handle
function methods:map(list, ...)
  local tuples = lists.is_tuples(list)
  if not flow_core.inside() then
    local out = {}
    for i, item in ipairs(list) do
      if tuples then
        out[i] = self[3](lists.spread(item, ...))
      else
        out[i] = self[3](item, ...)
      end
    end
    return out
  end
  if tuples then return flow_core.map_tuples(self, lists.plain(list), ...) end
  return flow_core.map(self, list, ...)
end

--- The same task with other options for the next call: `t:with{retries = 8, after = {h}}(x)`.
---@param over table
---@return flowrun.Task
function methods:with(over)
  local o = options.check("with", self.name, over)
  local merged = options.merge(self.options, o)
  local copy = setmetatable({kind = "task", name = self.name, options = merged,
                             where = self.where, fn = self.fn, home = self.home}, Task)
  copy[1], copy[3] = self[1], self[3]
  copy[2] = task.scheduler_options(merged, self[1])
  copy[4], copy[5], copy[7], copy[8] = merged.key, merged.after, o.when, merged.teardown
  return copy
end

task.class = Task
task.backoff = backoff
return task
