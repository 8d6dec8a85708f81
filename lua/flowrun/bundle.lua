--- Loading scripts. A bundle is what a run is pinned to: the script, the modules that it
--- required and the files that it read through fr.config (engine.md C1), packed, and named by
--- the hash of their contents. Workers, resumed runs and each flow attempt open the bundle and
--- never look at the disk.
---
---     local script = bundle.load("flows/storm_prep.lua")        -- from disk; raises code `load`
---     script.flow, script.hash, script.sources                   -- what engine and store need
---     local again = bundle.open(script.sources, {worker = true}) -- elsewhere, or later
---     again.registry.tasks["storm_prep:split"]
---
--- Loading runs the top level, which only defines; then the environment is sealed, and all
--- tasks are checked: none may assign a variable of the script, and no flow body may use a
--- handle as a condition.
local core = require "flowrun.core.script"
local error_class = require "flowrun.core.error"
local registry = require "flowrun.registry"
local sandbox = require "flowrun.sandbox"
local value = require "flowrun.core.value"

local bundle = {}

---@class flowrun.BundleFile
---@field kind "script"|"module"|"config"
---@field name string module name, or the path given to fr.config
---@field path string as messages show it
---@field text string

---@class flowrun.LoadOptions
---@field worker? boolean loaded to run task bodies; the mode afterwards is then "task"
---@field partial? boolean it need not return a flow, and `flow:run` at its top level ends the
---loading: a script that a stock lua5.4 runs itself
---@field mode? flowrun.Mode after loading: "task" for workers, else "flow"
---@field print? fun(...) see flowrun.SandboxOptions
---@field write? fun(text: string)
---@field effect? fun(what: string)
---@field late? fun(module: string, search: function): string?, string|string[] path and text of
---a module that a task body requires after loading; `search` looks on disk, with equal results

---@class flowrun.Script
---@field name string of the script: "storm_prep"
---@field path string as given
---@field dir string absolute folder that modules and configuration are relative to
---@field hash string of the bundle: 32 hex digits
---@field sources string the packed bundle
---@field registry flowrun.Registry tasks and flows by "module:name"
---@field box flowrun.Sandbox
---@field exports any what the script returned
---@field flows table<string, flowrun.Flow> those it returned, by name
---@field flow flowrun.Flow? when it returned exactly one
---@field files flowrun.BundleFile[]
local Script = {}
Script.__index = Script

local loading = {}                               -- scripts whose top level is running

-- --- errors ---

local function load_error(where, message, cause)
  local err = error_class.new("load", message)
  err.where = where
  err.cause = cause
  return err
end

local hints = {
  {"!=", "Lua writes 'not equal' as ~="},
  {"[%w_%]]%s*[%+%-%*/%.]=", "Lua has no such assignment; write x = x + 1"},
  {"&&", "Lua writes 'and'"}, {"||", "Lua writes 'or'"},
  {"%f[%w_]else%s+if%f[^%w_]", "write elseif"},
  {"[%w_]%+%+", "Lua has no ++; write x = x + 1"}, {"^%s*//", "comments begin with --"},
  {"^%s*#", "comments begin with --"}, {"%f[%w_]null%f[^%w_]", "Lua writes nil"},
  {"%f[%w_]try%f[^%w_]", "use pcall(fn), or handle:try()"},
}

local function hint_for(message, line)
  if message:find("'then' expected near '='", 1, true) then return "compare with ==" end
  if message:find("unfinished string", 1, true) then return "the closing quote is missing" end
  if message:find("'}' expected", 1, true) then return "a comma may be missing" end
  for _, hint in ipairs(hints) do
    if line:find(hint[1]) then return hint[2] end
  end
end

local function line_of(text, number)
  local n = 0
  for line in (text .. "\n"):gmatch("(.-)\r?\n") do
    n = n + 1
    if n == number then return line end
  end
  return ""
end

-- "x.lua:12: '=' expected near 'y'" becomes an error with the line itself and a hint.
local function syntax_error(text, message)
  local where, number, what = message:match("^(.-:(%d+)): (.*)$")
  if not where then return load_error(nil, message) end
  local line = line_of(text, tonumber(number))
  local hint = hint_for(what, line)
  return load_error(where, ("%s\n  %s | %s%s"):format(what, number, line,
    hint and "\n  hint: " .. hint or ""))
end

-- What the top level of a script raised, as an error with code `load`.
local function runtime_error(err, traceback)
  if error_class.is(err) then
    if err.code ~= "load" then err = load_error(err.where, err.message, err.cause) end
  else
    local text = type(err) == "string" and err or ("it raised a %s"):format(type(err))
    local where, message = text:match("^(.-:%d+): (.*)$")
    err = load_error(where, message or text)
  end
  err.traceback = err.traceback or traceback
  return err
end

local function folder_of(path) return path:match("^(.*)/[^/]*$") or "." end

local function missing_file(path, why)
  local names, wanted = {}, path:match("[^/]*$")
  for _, name in ipairs(core.list_dir(folder_of(path)) or {}) do
    if name:find("%.lua$") then names[#names + 1] = name end
  end
  table.sort(names)
  local near = error_class.nearest(wanted, names)
  if not near and not wanted:find("%.lua$") then
    near = error_class.nearest(wanted .. ".lua", names)
  end
  local folder = path:find("/") and folder_of(path) .. "/" or ""
  return load_error(nil, why .. (near and ("; did you mean %s%s?"):format(folder, near) or ""))
end

local function read_source(path)
  local text, why, number = core.read_file(path)
  if text then                                   -- as Lua's own loader: a BOM, a line `#!…`
    return (text:gsub("^\239\187\191", ""):gsub("^#[^\n]*", ""))
  end
  if number == 2 then error(missing_file(path, why), 0) end
  if number == 21 then why = path .. ": is a folder, expected a script" end
  error(load_error(nil, why), 0)
end

-- --- files of a script ---

function Script:file(kind, name)
  return self.by_name[kind .. ":" .. name]
end

function Script:add_file(kind, name, path, text)
  local file = {kind = kind, name = name, path = path, text = text}
  self.files[#self.files + 1] = file
  self.by_name[kind .. ":" .. name] = file
  self.by_chunk["@" .. path] = file
  return file
end

-- The path as messages show it: relative to the folder of the script as it was given.
function Script:shown(relative)
  local folder = self.path:match("^(.*/)[^/]*$") or ""
  return folder .. relative
end

local function own_module(name)
  return name == "flowrun" or name:find("^flowrun%.") or name == "cjson" or name == "cjson.safe"
end

-- The file of a module on disk: beside the script first, then package.path.
function Script:search(name)
  local relative, tried = name:gsub("%.", "/"), {}
  for _, tail in ipairs{relative .. ".lua", relative .. "/init.lua"} do
    local text = core.read_file(self.dir .. "/" .. tail)
    if text then return self:shown(tail), text end
    tried[#tried + 1] = self:shown(tail)
  end
  local path = package.searchpath(name, package.path)
  if path then return path, read_source(path) end
  return nil, tried
end

local function module_not_found(self, name, tried)
  local names = {}
  for _, file in ipairs(core.list_dir(self.dir) or {}) do
    names[#names + 1] = file:match("^(.*)%.lua$")
  end
  table.sort(names)
  local near = error_class.nearest(name, names)
  error_class.raise("load", ("module '%s' not found%s: there is no %s, and none in package.path")
    :format(name, near and ("; did you mean '%s'?"):format(near) or "",
      table.concat(tried, ", no ")))
end

-- --- running chunks ---

-- Whether a frame of the script's own code is above the xpcall that runs a chunk.
function Script:is_on_stack()
  for level = 3, math.huge do
    local info = debug.getinfo(level, "Sf")
    if not info or info.func == xpcall then return false end
    if self.by_chunk[info.source] then return true end
  end
end

function Script:run_file(file, ...)
  local chunk, why = load(file.text, "@" .. file.path, "t", self.box.env)
  if not chunk then error(syntax_error(file.text, why), 0) end
  registry.enter(self.registry, file.name, file)
  self.current[#self.current + 1] = file.name
  local traceback
  local result = table.pack(xpcall(chunk, function(err)
    if type(err) == "string" then traceback = debug.traceback(err, 2) end
    if error_class.is(err) and not self:is_on_stack() then
      err.where = registry.place_of_return()
    end
    return err
  end, ...))
  self.current[#self.current] = nil
  registry.leave()
  if not result[1] then
    if self.registry.worker and getmetatable(result[2]) and self.ends_load(result[2]) then
      return nil
    end
    error(runtime_error(result[2], traceback), 0)
  end
  return table.unpack(result, 2, result.n)
end

-- flow:run at the top level of a script that a worker loads: the definitions above suffice.
function Script.ends_load(err)
  local flow = package.loaded["flowrun.flow"]
  return flow ~= nil and rawequal(err, flow.end_of_load)
end

function Script:find_module(name)
  local file = self:file("module", name)
  if file then return file end
  local mode = self.box.gate:mode()
  if self.sealed and mode == "flow" then
    error_class.raise("invalid", ("require '%s': a flow body cannot load modules; "
      .. "require it at the top of the script"):format(name))
  end
  if self.packed and not self.sealed then
    -- A C module is of the machine, not of the bundle.
    if package.searchpath(name, package.cpath) or package.preload[name] then return nil end
    error_class.raise("corrupt", ("require '%s': the bundle does not have it"):format(name))
  end
  local path, text = self:search(name)
  if not path then return nil, text end
  return self:add_file("module", name, path, text)
end

-- A module that a task body requires and the bundle does not have. Which text counts depends on
-- the run, so it is kept by its hash.
function Script:require_late(name)
  local path, text = self.options.late(name, function() return self:search(name) end)
  if not path then return self:require_foreign(name, text) end
  local key = name .. "\0" .. core.hash(text)
  local known = self.late[key]
  if known == loading then self:raise_cycle(name) end
  if known ~= nil then return known end
  local file = {kind = "module", name = name, path = path, text = text}
  self.by_chunk["@" .. path] = file
  return self:run_module(file, self.late, key)
end

-- What is no Lua file: a module in C, or none at all.
function Script:require_foreign(name, tried)
  if package.searchpath(name, package.cpath) or package.preload[name] then
    return require(name)
  end
  module_not_found(self, name, tried)
end

function Script:raise_cycle(name)
  error_class.raise("load", ("module '%s' requires itself, through %s"):format(name,
    table.concat(self.current, " → ")))
end

-- Runs a module's file and keeps what it returns in known[key].
function Script:run_module(file, known, key)
  known[key] = loading
  local ok, result = pcall(self.run_file, self, file, file.name, file.path)
  if not ok then
    known[key] = nil
    error(result, 0)
  end
  if result == nil then result = true end
  known[key] = result
  return result
end

function Script:require(name)
  if type(name) ~= "string" then
    error_class.raise("invalid", "require: expected the name of a module, got " .. type(name))
  end
  local by = self.current[#self.current]
  if by then
    self.requires[by] = self.requires[by] or {}
    self.requires[by][name] = true
  end
  local loaded = self.loaded[name]
  if loaded ~= nil then
    if loaded == loading then self:raise_cycle(name) end
    return loaded
  end
  if own_module(name) then return require(name) end
  if self.sealed and self.options.late and not self:file("module", name) then
    return self:require_late(name)
  end
  local file, tried = self:find_module(name)
  if not file then return self:require_foreign(name, tried) end
  return self:run_module(file, self.loaded, name)
end

-- --- fr.config ---

local function decode_config(file)
  if file.name:find("%.json$") then
    local ok, result = pcall(require("flowrun.json").decode, file.text)
    if not ok then
      error_class.raise("load", ("%s: %s"):format(file.path, result.message or tostring(result)))
    end
    return result
  end
  if file.name:find("%.lua$") then
    local chunk, why = load(file.text, "@" .. file.path, "t", {})
    if not chunk then error(syntax_error(file.text, why), 0) end
    return chunk()
  end
  return file.text
end

--- Reads a file of the bundle: see flowrun.config.
---@param name string path relative to the script
---@return any
function bundle.config(name)
  local script = loading[#loading]
  if not script then
    error_class.raise("state", "fr.config reads at the top level of a script; "
      .. "read files in a task, or keep what fr.config gave in a local")
  end
  if type(name) ~= "string" or name == "" then
    error_class.raise("invalid", "fr.config: expected a path, got " .. type(name))
  end
  local file = script:file("config", name)
  if not file then
    if script.packed then
      error_class.raise("corrupt", ("fr.config '%s': the bundle does not have it"):format(name))
    end
    local path = name:find("^/") and name or script.dir .. "/" .. name
    local text, why = core.read_file(path)
    if not text then error_class.raise("load", "fr.config: " .. why) end
    file = script:add_file("config", name, name:find("^/") and name or script:shown(name), text)
  end
  return decode_config(file)
end

--- The script whose top level is running, or nil.
---@return flowrun.Script?
function bundle.loading() return loading[#loading] end

-- --- checks after loading ---

local function class_of(v)
  local mt = type(v) == "table" and getmetatable(v)
  return type(mt) == "table" and rawget(mt, "__name") or nil
end

local function check_assignments(object, fn, what)
  local seen = core.inspect(fn)
  if not seen then return end
  local file = debug.getinfo(fn, "S").short_src
  local first = seen.assigns[1]
  if first then
    error(load_error(("%s:%d"):format(file, first.line), ("%s '%s'%s assigns '%s', a variable of "
      .. "the script: every worker has its own copy, so the change would be lost or differ; "
      .. "return the value instead"):format(object.kind, object.name, what, first.name)), 0)
  end
  first = seen.sets[1]
  if first then
    error(load_error(("%s:%d"):format(file, first.line), ("%s '%s'%s assigns the global '%s': "
      .. "globals are fixed once the script is loaded; write 'local %s'"):format(object.kind,
      object.name, what, first.name, first.name)), 0)
  end
end

-- What a dotted name inside a flow body stands for: a task, or a function that makes handles.
local function resolver(script, fn)
  local known = {}
  for i = 1, math.huge do
    local name, v = debug.getupvalue(fn, i)
    if not name then break end
    known[name] = v
  end
  local fr = package.loaded.flowrun
  return function(path)
    local v = known[path[1]]
    if v == nil then v = script.box.globals[path[1]] end
    for i = 2, #path do
      if type(v) ~= "table" then return nil end
      v = rawget(v, path[i])
    end
    local class = class_of(v)
    if class == "flowrun.Task" or class == "flowrun.Flow" then return "task" end
    return fr and v ~= nil and v == rawget(fr, "spawn") and "maker" or nil
  end
end

--- Refuses a flow body (or the body of a branch) that uses a handle as a condition.
---@param script flowrun.Script
---@param fn function
---@param name string for the message
function bundle.check_conditions(script, fn, name)
  local info = debug.getinfo(fn, "S")
  local file = script.by_chunk[info.source]
  local texts, lines
  if file then texts, lines = core.tokens(file.text, info.linedefined, info.lastlinedefined) end
  if not texts then return end
  local bare_handles = require "flowrun.bare_handles"       -- workers never need it
  local line, handle = bare_handles.find(texts, lines, resolver(script, fn))
  if line then
    error(load_error(("%s:%d"):format(info.short_src, line), ("flow '%s': %s is a handle, which "
      .. "is always true here; write %s:get() for its value"):format(name, handle, handle)), 0)
  end
end

function Script:check()
  for _, object in ipairs(self.registry.order) do
    check_assignments(object, object.fn, "")
    for name, option in pairs(object.options or {}) do
      if type(option) == "function" then
        check_assignments(object, option, (": option '%s'"):format(name))
      end
    end
    if object.kind == "flow" then bundle.check_conditions(self, object.fn, object.name) end
  end
end

local function describe_export(v)
  if v == nil then return "nothing" end
  return class_of(v) == "flowrun.Task" and ("the task '%s'"):format(v.name) or "a " .. type(v)
end

function Script:read_exports(exports)
  local list = {}
  if class_of(exports) == "flowrun.Flow" then
    list[1] = exports
  elseif type(exports) == "table" and class_of(exports) == nil then
    for k, v in pairs(exports) do
      if class_of(v) ~= "flowrun.Flow" then
        error(load_error(self.path, ("the table it returns has %s at '%s'; expected flows only")
          :format(describe_export(v), tostring(k))), 0)
      end
      list[#list + 1] = v
    end
  end
  if #list == 0 then
    error(load_error(self.path, ("the script returns %s; expected a flow: end it with "
      .. "'return fr.flow(\"%s\", function(params) … end)'"):format(
        type(exports) == "table" and next(exports) == nil and "an empty table"
        or describe_export(exports), self.name)), 0)
  end
  self.exports = exports
  for _, flow in ipairs(list) do self.flows[flow.name] = flow end
  self.flow = #list == 1 and list[1] or nil
end

-- --- making scripts ---

local function new_script(path, name, dir, options)
  local self = setmetatable({path = path, name = name, dir = dir, options = options, files = {},
    by_name = {}, by_chunk = {}, loaded = {}, late = {}, requires = {}, current = {},
    flows = {}}, Script)
  self.registry = registry.new(options.worker or options.partial)
  self.registry.script = self
  self.box = sandbox.new{mode = "load", print = options.print, write = options.write,
    effect = options.effect, loaded = self.loaded,
    require = function(module) return self:require(module) end}
  return self
end

-- The bundle's hash names contents only: the same files elsewhere are the same bundle.
local function finish_hash(self)
  if self.hash then return end                   -- opened: the packed bundle says it
  local parts, all = {self.name}, {}
  for i, file in ipairs(self.files) do
    parts[i + 1] = {file.kind, file.name, file.text}
    all[i] = {kind = file.kind, name = file.name, path = file.path, text = file.text}
  end
  self.hash = value.pack(parts):hash()
  self.sources = value.pack({version = 1, hash = self.hash, name = self.name, path = self.path,
    dir = self.dir, session = self.session, files = all}):bytes()
end

local function run(self)
  loading[#loading + 1] = self
  local ok, result = pcall(self.run_file, self, self.files[1], self.name)
  loading[#loading] = nil
  if not ok then error(result, 0) end
  sandbox.seal(self.box)
  self.sealed = true
  if not self.packed then self:check() end
  if not self.registry.worker and not self.session then self:read_exports(result) end
  finish_hash(self)
  self.box.gate:mode(self.options.mode or self.options.worker and "task" or "flow")
  return self
end

--- Loads a script from disk. Raises an error with code `load`.
---@param path string
---@param options? flowrun.LoadOptions
---@return flowrun.Script
function bundle.load(path, options)
  local text = read_source(path)
  local absolute = core.real_path(path) or path
  local self = new_script(path, path:match("([^/]*)$"):gsub("%.lua$", ""), folder_of(absolute),
    options or {})
  self:add_file("script", self.name, path, text)
  return run(self)
end

--- Loads a script given as text: what was typed at the REPL, or a test. It need not return a
--- flow. Modules are looked for in `dir`.
---@param text string
---@param name string of the script
---@param dir? string "." unless given
---@param options? flowrun.LoadOptions
---@return flowrun.Script
function bundle.load_text(text, name, dir, options)
  local self = new_script(name, name, core.real_path(dir or ".") or ".", options or {})
  self.session = true
  self:add_file("script", name, name, text)
  return run(self)
end

--- Opens a packed bundle: nothing is read from disk. Raises `corrupt` when the bytes are
--- damaged.
---@param sources string `script.sources`
---@param options? flowrun.LoadOptions
---@return flowrun.Script
function bundle.open(sources, options)
  local packed = value.parse(sources):unpack()
  if type(packed) ~= "table" or packed.version ~= 1 or type(packed.files) ~= "table"
    or type(packed.hash) ~= "string" then
    error_class.raise("version", "the bundle was made by another version of flowrun")
  end
  local self = new_script(packed.path, packed.name, packed.dir, options or {})
  self.session, self.packed = packed.session, true
  self.hash, self.sources = packed.hash, sources
  for _, file in ipairs(packed.files) do
    self:add_file(file.kind, file.name, file.path, file.text)
  end
  return run(self)
end

-- --- what a loaded script can be asked ---

--- The task or flow with that identity ("module:name", or a name of the script itself).
---@param identity string
---@return flowrun.Task|flowrun.Flow|nil
function Script:find(identity)
  local r = self.registry
  local full = identity:find(":", 1, true) and identity or self.name .. ":" .. identity
  return r.tasks[full] or r.flows[full]
end

--- Changes what bodies may do: "flow", "task" or "free".
---@param mode flowrun.Mode
---@return flowrun.Mode before
function Script:mode(mode) return self.box.gate:mode(mode) end

-- A module counts by its file and the files that it requires in turn.
function Script:module_identity(name, seen)
  if seen[name] then return "" end
  seen[name] = true
  local file = self:file("module", name)
  local parts = {name, file and core.hash(file.text) or ""}
  local needed = {}
  for other in pairs(self.requires[name] or {}) do needed[#needed + 1] = other end
  table.sort(needed)
  for _, other in ipairs(needed) do parts[#parts + 1] = self:module_identity(other, seen) end
  return table.concat(parts, " ")
end

--- Where the functions of this script come from (engine.md C3).
---@return flowrun.SourceContext
function Script:source_context()
  local modules = {}
  for name, m in pairs(package.loaded) do
    if type(m) == "table" and own_module(name) then modules[m] = name end
  end
  for name, m in pairs(self.loaded) do
    if type(m) == "table" then modules[m] = self:module_identity(name, {}) end
  end
  return {
    globals = self.box.globals,
    text = function(chunk) return self.by_chunk[chunk] and self.by_chunk[chunk].text end,
    module = function(t) return modules[t] end,
  }
end

--- The source hash of a task, flow or function (engine.md C3).
---@param object flowrun.Task|flowrun.Flow|function
---@return string hash
---@return table<string, string> parts the hash of each function and constant by name
function Script:source_hash(object)
  local fn = type(object) == "function" and object or object.fn
  local described, parts = require("flowrun.source").look(fn, self:source_context(),
    type(object) == "table" and object.name or "function")
  return core.hash(described), parts
end

--- The source hashes of all tasks and flows by identity: taken after loading and compared
--- after bodies have run, they show tables of the script that a body changed.
---@return table<string, string>
function Script:fingerprints()
  local out = {}
  for _, set in ipairs{self.registry.tasks, self.registry.flows} do
    for identity, object in pairs(set) do out[identity] = (self:source_hash(object)) end
  end
  return out
end

return bundle
