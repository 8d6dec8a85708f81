--- What a worker does in Lua: opens the bundles whose tasks it is given and finds functions
--- in them. Called by lua/bind/body.c; there is one of it in each worker's state.
local body = require "flowrun.core.body"
local bundle = require "flowrun.bundle"
local duration = require "flowrun.duration"
local error_class = require "flowrun.core.error"
local log = require "flowrun.log"

local worker = {}

local scripts = {}                               -- opened bundles by hash; or why one failed
local watched = {}                               -- by function: its task's name and tables

-- io.write and io.stdout of a body: a line each, without its end.
local function write(text)
  text = text:gsub("\n$", "")
  if text ~= "" then log.write(log.levels.info, text) end
end

-- A file opened for writing, renamed or removed: an effect (it waits until durable).
local function effect()
  body.barrier()
end

-- A module that a body requires after loading: as this run required it first (engine.md C1).
local function late(name, search)
  local text, path = body.late(name)
  if not text then
    path, text = search()
    if not path then return nil, text end
    text, path = body.late(name, path, text)
  end
  return path, text
end

local function open(hash, sources)
  local script = scripts[hash]
  if not script then
    local ok, result = pcall(bundle.open, sources(),
      {worker = true, print = log.print, write = write, effect = effect, late = late})
    script = {script = ok and result, err = not ok and result}
    scripts[hash] = script
  end
  if script.err then error(script.err, 0) end
  return script.script
end

-- What a function's answer becomes before it leaves the worker: the core reads plain numbers.
local answers = {}

function answers.delay(fn, name)
  return function(...)
    local d = fn(...)
    local seconds, why = duration.try_seconds(d)
    if not seconds then
      error_class.raise("invalid", ("task '%s': option 'delay': the function must return a "
        .. "duration, got %s%s"):format(name, tostring(d), why and " (" .. why .. ")" or ""))
    end
    return seconds
  end
end

-- An error in a hook changes nothing, so it must be seen.
local function seen(fn, name, option)
  local function finish(ok, ...)
    if ok then return end
    local e = ...
    log.warn(("hook %s of %s failed: %s"):format(option, name,
      tostring(type(e) == "table" and e.message or e)))
    error(e, 0)
  end
  return function(...) return finish(pcall(fn, ...)) end
end

-- Option "cache.key" is field key of the table cache.
local function option_of(options, name)
  for part in name:gmatch("[^.]+") do
    options = type(options) == "table" and rawget(options, part) or nil
  end
  return options
end

local function has_tables(fn)
  for i = 1, math.huge do
    local name, v = debug.getupvalue(fn, i)
    if not name then return false end
    local kind = type(v)
    if name ~= "_ENV" and (kind == "table" or kind == "function") then return true end
  end
end

-- The tables that a task's body reaches, as they are before its first call here.
local function watch(script, task)
  if watched[task.fn] or not has_tables(task.fn) then return end
  local list = require("flowrun.tables").watch(task.fn, script)
  if list then watched[task.fn] = {name = task.name, tables = list} end
end

--- Whether there is something to compare after bodies of this function.
---@param fn function
---@return boolean
function worker.watches(fn) return watched[fn] ~= nil end

--- What is wrong when a body has changed a table of the script (engine.md C2); nil: nothing.
---@param fn function
---@return string? message
function worker.changed(fn)
  local w = watched[fn]
  local name = w and require("flowrun.tables").changed(w.tables)
  return name and ("task '%s' changed '%s', a table of the script: every worker has its own copy, "
    .. "so the change would be lost or differ; return the value instead, or copy the table")
    :format(w.name, name) or nil
end

local function skip(reason)
  error(error_class.new("skipped", reason), 0)
end

-- The body behind the questions whether it should run at all. They are asked again with each
-- attempt, in the same worker.
local function guarded(task)
  local when, skip_if, fn = task.options.when, task.options.skip_if, task.fn
  if not (when or skip_if) then return fn end
  return function(...)
    if when and not when(...) then skip("its option 'when' said no") end
    local why = skip_if and skip_if(...)
    if why then skip(type(why) == "string" and why or "its option 'skip_if' said so") end
    return fn(...)
  end
end

--- The function that runs a task, or the function given as one of its options.
---@param hash string of the bundle
---@param sources fun(): string the packed bundle
---@param name string "module:task"
---@param option? string "fallback", …
---@return function
function worker.find(hash, sources, name, option)
  if name == "flowrun:outbox" then return require("flowrun.outbox").send end
  local script = open(hash, sources)
  local tasks = script.registry.tasks
  local task = tasks[name] or (option and script.registry.flows[name])
  if not task then
    local names = {}
    for known in pairs(tasks) do names[#names + 1] = known end
    table.sort(names)
    local near = error_class.nearest(name, names)
    error_class.raise("not_found", ("the script does not define the task '%s' when a worker loads "
      .. "it%s; define tasks at the top level, under no condition"):format(name,
      near and (" (but '%s')"):format(near) or ""))
  end
  if not option then
    watch(script, task)
    local fn = guarded(task)
    watched[fn] = watched[task.fn]
    return fn
  end
  local fn = option_of(task.options, option)
  if type(fn) ~= "function" then
    error_class.raise("not_found", ("option '%s' of task '%s' is a %s in the worker, expected "
      .. "a function"):format(option, name, type(fn)))
  end
  if option == "undo" or option:find("^on_") then return seen(fn, task.name, option) end
  return answers[option] and answers[option](fn, task.name) or fn
end

return worker
