--- The option `cache`: what the scheduler needs of it, and the hash of a task's code.
local core = require "flowrun.core.script"
local flow_core = require "flowrun.core.flow"
local registry = require "flowrun.registry"
local value = require "flowrun.core.value"

local cache = {}

local scopes = {run = 1, flow = 2, global = 3}

-- Paths count from the folder of the script that defines the task.
local function absolute(files)
  local r = registry.current()
  local dir = r.script and r.script.dir or core.real_path(".") or "."
  local out = {}
  for i, path in ipairs(files or {}) do
    out[i] = path:sub(1, 1) == "/" and path or dir .. "/" .. path
  end
  return out
end

--- The normalised option as flow.options takes it.
---@param o table checked sub-options
---@return table
function cache.rules(o)
  return {
    scope = scopes[o.scope or "flow"], expires = o.expires, refresh = o.refresh,
    version = o.version ~= nil and value.pack(o.version):hash() or nil,
    files = absolute(o.files),
  }
end

-- A task of a session (prompt, unit test) has no script: its function counts alone.
local function source_of(task)
  local script = task.home and task.home.script
  if script then return script:source_hash(task) end
  return require("flowrun.source").hash(task.fn, {globals = _G,
    text = function() return nil end, module = function() return nil end})
end

local known = setmetatable({}, {__mode = "k"})   -- by function: with{} makes many tasks of one

---@package
--- The hash of a task's code, and the hashes of what it consists of, packed.
---@param task flowrun.Task
---@return string? hash, string? parts
function cache.sources(task)
  if not task.fn then return nil end
  local source = known[task.fn]
  if not source then
    local hash, parts = source_of(task)
    source = {hash = hash, parts = value.pack(parts or {}):bytes()}
    known[task.fn] = source
  end
  return source.hash, source.parts
end

flow_core.sources(cache.sources)

--- What differs between two tables of parts (source.look): names, sorted.
---@param now table<string, string>
---@param before table<string, string>
---@return string[]
function cache.changed(now, before)
  local names = {}
  for name, hash in pairs(now) do
    if before[name] ~= hash then names[#names + 1] = name end
  end
  for name in pairs(before) do
    if now[name] == nil then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

return cache
