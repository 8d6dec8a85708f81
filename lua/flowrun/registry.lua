--- What a script defines while it loads: its tasks and flows, by name.
---
--- bundle.lua opens a registry, runs the chunks of a script inside it (one `enter`/`leave`
--- pair per module), and keeps it: the same registry finds the functions when a worker is
--- asked for "module:task". Definitions outside any load belong to the session's registry.
local error_class = require "flowrun.core.error"

local registry = {}

---@class flowrun.Registry
---@field tasks table<string, table> by qualified name "module:task"
---@field flows table<string, table> by qualified name
---@field order table[] tasks and flows as they were defined
---@field limits table<string, table> what fr.limit said: {name=, slots=, rate=, period=}
---@field script flowrun.Script? whose definitions these are; nil for a session's
---@field worker boolean loaded in a worker: flows are not run, top-level runs end the load

local stack = {}                                 -- {registry=, module=, file=} of loads under way
local session

--- A new, empty registry.
---@param worker? boolean
---@return flowrun.Registry
function registry.new(worker)
  return {tasks = {}, flows = {}, order = {}, limits = {}, worker = worker or false}
end

--- From here on definitions belong to `r`, in module `module`.
---@param r flowrun.Registry
---@param module string
---@param file? flowrun.BundleFile that is loaded
function registry.enter(r, module, file)
  stack[#stack + 1] = {registry = r, module = module, file = file}
end

--- Where a chunk ends that is being loaded: `return fr.flow(…)` is a tail call, which leaves no
--- frame that knows its line. "file.lua:12", or nil when nothing is loaded.
---@return string?
function registry.place_of_return()
  local file, number, found = stack[#stack] and stack[#stack].file, 0, nil
  if not file then return nil end
  for line in file.text:gmatch("([^\n]*)\n?") do
    number = number + 1
    if line:find("^return%f[^%w_]") then found = number end
  end
  return found and ("%s:%d"):format(file.path, found) or file.path
end

function registry.leave()
  stack[#stack] = nil
end

--- The registry and module that a definition belongs to now.
---@return flowrun.Registry, string module
function registry.current()
  local top = stack[#stack]
  if top then return top.registry, top.module end
  session = session or registry.new()
  return session, "session"
end

--- Whether a script is being loaded.
function registry.loading()
  return #stack > 0
end

--- Files a definition. kind is "task" or "flow"; raises when the name is taken.
---@return string qualified_name
function registry.add(kind, name, object)
  local r, module = registry.current()
  local full = module .. ":" .. name
  local taken = r.tasks[full] or r.flows[full]
  if taken and #stack > 0 then
    local text = "the name '%s' is taken by the %s defined at %s; names must differ"
    error_class.raise("load", text:format(name, taken.kind, taken.where))
  end
  r[kind .. "s"][full] = object
  r.order[#r.order + 1] = object
  return full
end

return registry
