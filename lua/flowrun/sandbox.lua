--- The environment that a script's code sees: standard Lua, made deterministic.
---
--- In all bodies `pairs` and `next` go by numbers, strings (bytes), booleans, handles by key,
--- and `table.sort` is a stable merge sort. While the top level of a script is loaded and in
--- flow bodies everything that could differ when the flow is replayed is refused, and the
--- error names what to use instead. In task bodies almost everything works; os.execute and
--- io.popen point to fr.sh. One environment serves all: its gate holds the mode.
---
---     local box = sandbox.new{mode = "load", require = my_require, write = my_write}
---     load(text, "@x.lua", "t", box.env)()
---     sandbox.seal(box)           -- from here on assigning a global is an error
---     box.gate:mode("flow")
local core = require "flowrun.core.sandbox"
local error_class = require "flowrun.core.error"

local sandbox = {}

---@alias flowrun.Mode "load"|"flow"|"task"|"free"

---@class flowrun.SandboxOptions
---@field mode? flowrun.Mode "load" unless set
---@field require? fun(name: string): any
---@field print? fun(...) replaces print; print writes through `write` unless set
---@field write? fun(text: string) where print, io.write, io.stdout and io.stderr write
---@field effect? fun(what: string) called before a file is opened for writing, renamed or removed
---@field base? table the globals to start from; _G unless set

---@class flowrun.Sandbox
---@field env table the globals of the script
---@field gate userdata `gate:mode()` and `gate:mode(new)`
---@field globals table what the globals are once sealed

-- Library function -> what to use instead. Refused in "load" and "flow".
local impure = {
  os = {
    time = "use fr.now(), which is recorded", clock = "use fr.now(), which is recorded",
    date = "use os.date with \"!\" and a time from fr.now(), or a task",
    getenv = "make it a parameter of the flow, or read it in a task",
    tmpname = "make files in a task", remove = "remove files in a task",
    rename = "rename files in a task", setlocale = "leave the locale as it is",
  },
  math = {
    random = "use fr.random(), which is recorded",
    randomseed = "use fr.random(), which is recorded and seeded by the run",
  },
  io = {
    open = "read and write files in a task", lines = "read files in a task",
    read = "read files in a task", input = "read files in a task",
    output = "write files in a task", tmpfile = "write files in a task",
    close = "use files in a task",
  },
}
local shell = "use fr.sh{…}, which can be cancelled and is captured"

local function copy(t)
  local out = {}
  for k, v in pairs(t or {}) do out[k] = v end
  return out
end

-- What the top level of a script says instead: there is no flow to record in.
local function gate_library(gate, lib, name)
  local out = copy(lib)
  for fname, hint in pairs(impure[name] or {}) do
    out[fname] = core.gated(gate, lib[fname], name .. "." .. fname, hint, "task free")
  end
  return out
end

local function make_os(gate, lib, effect)
  local out = gate_library(gate, lib, "os")
  out.execute = core.gated(gate, lib.execute, "os.execute", shell, "free")
  out.exit = core.gated(gate, lib.exit, "os.exit", "raise an error, or return", "free")
  local time, date = out.time, out.date
  -- With a table os.time only computes, and so does os.date in UTC of a given time.
  function out.time(t)
    if t ~= nil then return lib.time(t) end
    return time()
  end
  function out.date(format, t)
    if t ~= nil and type(format) == "string" and format:sub(1, 1) == "!" then
      return lib.date(format, t)
    end
    return date(format, t)
  end
  for _, name in ipairs{"remove", "rename"} do
    local gated = out[name]
    out[name] = function(...)
      if effect and gate:mode() == "task" then effect("os." .. name) end
      return gated(...)
    end
  end
  return out
end

-- io.stdout and io.stderr of a body: what they write goes where print goes.
local function make_stream(name, write)
  local stream
  stream = setmetatable({}, {
    __name = "FILE*", __metatable = "locked",
    __tostring = function() return ("file (%s of the task)"):format(name) end,
    __index = {
      write = function(_, ...)
        write(table.concat({...}))
        return stream
      end,
      flush = function() return stream end,
      setvbuf = function() return true end,
      close = function() return nil, "cannot close " .. name end,
      seek = function() return nil, name .. " has no position" end,
    },
  })
  return stream
end

local function make_io(gate, lib, options)
  local out = gate_library(gate, lib, "io")
  local write, effect, open = options.write, options.effect, out.open
  out.popen = core.gated(gate, lib.popen, "io.popen", shell, "free")
  out.read = core.gated(gate, lib.read, "io.read", "a task has no terminal; use parameters", "free")
  out.stdin = nil
  function out.open(path, mode)
    if effect and type(mode) == "string" and mode:find("[wa+]") and gate:mode() == "task" then
      effect("io.open")
    end
    return open(path, mode)
  end
  if write then
    function out.write(...)
      write(table.concat({...}))
      return out.stdout
    end
    out.stdout, out.stderr = make_stream("stdout", write), make_stream("stderr", write)
  end
  return out
end

local function make_print(tostring_, write)
  return function(...)
    local parts = table.pack(...)
    for i = 1, parts.n do parts[i] = tostring_(parts[i]) end
    write(table.concat(parts, "\t", 1, parts.n) .. "\n")
  end
end

-- Finalizers and weak tables run when the collector does: never twice alike.
local function make_setmetatable(gate, real)
  return function(t, mt)
    if type(mt) == "table" and gate:mode() == "flow" then
      for _, field in ipairs{"__gc", "__mode"} do
        if rawget(mt, field) ~= nil then
          error_class.raise("invalid", ("setmetatable: %s acts when memory is collected, "
            .. "which differs from run to run; use it in a task"):format(field))
        end
      end
    end
    return real(t, mt)
  end
end

local function make_collectgarbage(gate, real)
  return function(option, ...)
    if gate:mode() ~= "flow" then return real(option, ...) end
    if option == "count" then
      error_class.raise("invalid", "collectgarbage(\"count\") differs from run to run; "
        .. "use it in a task")
    end
    return 0
  end
end

local function make_load(box, base)
  local function load_(chunk, name, _, env)
    return base.load(chunk, name, "t", env == nil and box.env or env)
  end
  local hint = "use require, so that the file is part of what a run is pinned to"
  local loadfile = core.gated(box.gate, function(path, _, env)
    return base.loadfile(path, "t", env == nil and box.env or env)
  end, "loadfile", hint, "task free")
  local dofile = core.gated(box.gate, function(path)
    local chunk, why = base.loadfile(path, "t", box.env)
    if not chunk then error(why, 0) end
    return chunk()
  end, "dofile", hint, "task free")
  return load_, loadfile, dofile
end

--- Makes an environment.
---@param options? flowrun.SandboxOptions
---@return flowrun.Sandbox
function sandbox.new(options)
  options = options or {}
  local base = options.base or _G
  local gate = core.gate(options.mode or "load")
  local box = {gate = gate}
  local masked = core.functions(gate)
  local env = {}
  for _, name in ipairs{"assert", "error", "getmetatable", "ipairs", "pcall", "rawequal",
    "rawget", "rawlen", "rawset", "select", "tonumber", "type", "warn", "xpcall", "_VERSION"} do
    env[name] = base[name]
  end
  env.pairs, env.next, env.tostring = masked.pairs, masked.next, masked.tostring
  env.setmetatable = make_setmetatable(gate, base.setmetatable)
  env.collectgarbage = make_collectgarbage(gate, base.collectgarbage)
  env.string, env.utf8, env.coroutine = copy(base.string), copy(base.utf8), copy(base.coroutine)
  env.string.format = masked.format
  env.string.dump = nil
  env.table = copy(base.table)
  env.table.sort = masked.sort
  env.math = gate_library(gate, base.math, "math")
  env.os = make_os(gate, base.os, options.effect)
  env.io = make_io(gate, base.io, options)
  env.debug = {traceback = base.debug.traceback, getinfo = base.debug.getinfo}
  env.print = options.print
    or options.write and make_print(masked.tostring, options.write) or base.print
  env.require = options.require or function(name)
    error_class.raise("invalid", ("require '%s': there is nothing to require from here")
      :format(tostring(name)))
  end
  env.package = {path = base.package.path, cpath = base.package.cpath, config = base.package.config,
    loaded = options.loaded or {}, preload = {}}
  env._G = env
  box.env = env
  env.load, env.loadfile, env.dofile = make_load(box, base)
  return box
end

local function sealed_message(name)
  return ("assigns the global '%s', but globals are fixed once the script is loaded; "
    .. "write 'local %s', or return it"):format(tostring(name), tostring(name))
end

--- Seals an environment after its script is loaded: assigning a global is an error then, in
--- every body (code `invalid`, with file:line).
---@param box flowrun.Sandbox
function sandbox.seal(box)
  local env, globals = box.env, {}
  for k, v in next, env do globals[k] = v end
  for k in next, globals do env[k] = nil end
  box.globals = globals
  local rawset_ = globals.rawset
  function globals.rawset(t, k, v)
    if t == env then error_class.raise("invalid", sealed_message(k)) end
    return rawset_(t, k, v)
  end
  setmetatable(env, {
    __index = globals,
    __newindex = function(_, name) error_class.raise("invalid", sealed_message(name)) end,
    __pairs = function() return globals.pairs(globals) end,
    __metatable = "sealed",
  })
end

--- An environment for flow bodies alone.
---@param base? table
---@return table env
---@return flowrun.Sandbox box
function sandbox.flow_env(base)
  local box = sandbox.new{mode = "flow", base = base}
  return box.env, box
end

--- An environment for task bodies alone.
---@param base? table
---@return table env
---@return flowrun.Sandbox box
function sandbox.task_env(base)
  local box = sandbox.new{mode = "task", base = base}
  return box.env, box
end

return sandbox
