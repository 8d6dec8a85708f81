--- Flows: tasks that may call tasks. A flow body only calls and branches; it is replayed on
--- resume, so what it observes is recorded.
local error_class = require "flowrun.core.error"
local flow_core = require "flowrun.core.flow"
local options = require "flowrun.options"
local params = require "flowrun.params"
local registry = require "flowrun.registry"
local task = require "flowrun.task"

local flow = {}

---@class flowrun.Flow
---@field name string
---@field options table
---@field params flowrun.Param[]
local Flow = {}
local methods = {}
Flow.__index = methods
Flow.__name = "flowrun.Flow"

function Flow:__tostring()
  return "flow " .. self.name
end

local function by_kind(a, b)
  if type(a) ~= type(b) then return type(a) < type(b) end
  return a < b
end

-- The value with every handle in it replaced by what it stands for. Tables without handles
-- are returned as they are; waits are in the order of the keys, so that replay repeats them.
local function settle(v, depth)
  if options.is_handle(v) then return v:get() end
  if type(v) ~= "table" or getmetatable(v) or depth > 100 then return v end
  local keys, out = {}, nil
  for k in pairs(v) do
    if type(k) == "number" or type(k) == "string" then keys[#keys + 1] = k end
  end
  table.sort(keys, by_kind)
  for _, k in ipairs(keys) do
    local settled = settle(v[k], depth + 1)
    if not rawequal(settled, v[k]) then
      if not out then
        out = {}
        for key, value in pairs(v) do out[key] = value end
      end
      out[k] = settled
    end
  end
  return out or v
end

--- The body that the engine runs: `fn`, and a result in which handles became values.
---@package
---@param fn fun(params: table): any
---@return fun(params: table): any
function flow.body(fn)
  return function(...) return settle(fn(...), 0) end
end

---@package
--- What tasks called in the flow get as options besides their own, by callable; nil: nothing.
function flow.defaults(f)
  return task.with_defaults(f.options.defaults)
end

--- A part of a flow with options of its own: its retries run all of it again, its timeout stops
--- all of it. `fn` belongs to the flow's code; what it returns is the value of the handle.
---
---     local loaded = fr.group("load", {retries = 2, timeout = "10m"}, function()
---       return {clean(fetch()), assets()}
---     end)
---@param name string
---@param opts? table see docs/reference/options
---@param fn fun(): any
---@return flowrun.Handle
function flow.group(name, opts, fn)
  if fn == nil and type(opts) == "function" then fn, opts = opts, nil end
  if type(name) ~= "string" or not name:find("^[%a_][%w_%-]*$") then
    error_class.raise("invalid", ("fr.group: expected a name (letters, digits, _ and -) first, got "
      .. "%s; write fr.group(\"name\", function() ... end)"):format(tostring(name)))
  end
  if type(fn) ~= "function" then
    error_class.raise("invalid", ("group '%s': expected a function last, got %s"):format(name,
      type(fn)))
  end
  local o = options.check("group", name, opts)
  local callable = {"group:" .. name, task.scheduler_options(o), fn, kind = "group"}
  return flow_core.group(callable, flow.body(fn), nil, task.with_defaults(o.defaults))
end

--- Inside a flow: a subflow, recorded as one step. Outside: `flow:run(p):get()`.
function Flow:__call(p)
  if flow_core.inside() then
    return flow_core.subflow(self, flow.body(self.fn), params.read(self.name, self.params, p),
      flow.defaults(self))
  end
  return self:run(p):get()
end

-- Options of `flowrun` that a parameter must not be called (engine.md G).
local reserved = {"home", "workers", "run-seed", "flow", "params", "plain", "quiet", "json",
  "relaxed", "help", "refresh", "no-cache", "max-running"}

--- Defines a flow: `fr.flow(name, [options,] fn)`.
---@param name string
---@param opts? table see docs/reference/options
---@param fn fun(params: table): any
---@return flowrun.Flow
function flow.define(name, opts, fn)
  local where = task.where_of(2)
  if fn == nil and type(opts) == "function" then fn, opts = opts, nil end
  if type(name) ~= "string" or not name:find("^[%a_][%w_%-]*$") then
    error_class.raise("invalid", ("fr.flow: expected a name (letters, digits, _ and -) first, "
      .. "got %s; write fr.flow(\"name\", function(params) ... end)"):format(task.show(name)))
  end
  if type(fn) ~= "function" then
    error_class.raise("invalid", ("flow '%s': expected a function last, got %s; write "
      .. "fr.flow(\"%s\", {options}, function(params) ... end)"):format(name, task.got(opts, fn),
      name))
  end
  local o = options.check("flow", name, opts)
  if o.concurrency and #name > 95 then
    error_class.raise("invalid", ("%s: flow '%s': with the option 'concurrency' its name has at "
      .. "most 95 letters (it names the limit flow:NAME)"):format(where, name))
  end
  local self = setmetatable({kind = "flow", name = name, options = o, where = where, fn = fn},
    Flow)
  self.params = params.declare(name, o.params or {}, reserved)
  self[1] = registry.add("flow", name, self)
  self[2] = task.scheduler_options({retries = o.retries, delay = o.delay, backoff = o.backoff,
    jitter = o.jitter, timeout = o.timeout, deadline = o.deadline, fail_fast = o.fail_fast,
    on_start = o.on_start, on_success = o.on_success, on_failure = o.on_failure,
    on_retry = o.on_retry, on_cancel = o.on_cancel})
  self[3] = fn
  return self
end

--- Starts a run and returns its handle at once; it goes on while the loop turns (in `get`,
--- at the REPL's prompt). Wrong parameters are refused before anything runs.
---@param p? table parameters by name
---@return flowrun.RunHandle
function methods:run(p)
  if registry.loading() then error(flow.end_of_load) end
  return require("flowrun.session").run(self, p)
end

---@package
--- Raised by flow:run at the top level of a script while it is loaded as a bundle: a stock
--- `lua5.4 script.lua` that defines and runs. The definitions above it are all that counts.
flow.end_of_load = setmetatable({}, {
  __tostring = function()
    return "flow:run at the top level of a script; `flowrun FILE` runs the flow it returns"
  end,
})

flow.class = Flow
return flow
