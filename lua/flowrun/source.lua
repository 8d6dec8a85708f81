--- The source hash of a function (engine.md C3): its tokens without comments and layout, and
--- recursively all that it reaches through upvalues, fields of table upvalues and globals it
--- names: functions by their tokens, constants packed, modules by the hash of their file. So a
--- cached result is found again after reformatting, and not after a helper has changed.
local core = require "flowrun.core.script"
local value = require "flowrun.core.value"

local source = {}

---@class flowrun.SourceContext where functions come from
---@field text fun(chunk: string): string? the source of a chunk name such as "@flows/x.lua"
---@field globals table the globals of the script
---@field module fun(t: table): string? what identifies a table that is a module

local Describer = {}
Describer.__index = Describer

-- Names of what the environment itself provides, so that it counts by name.
local function standard_names(globals)
  local names = {}
  for _, lib in ipairs{"string", "table", "math", "os", "io", "utf8", "coroutine", "debug"} do
    local t = rawget(globals, lib)
    if type(t) == "table" then
      names[t] = lib
      for k, v in pairs(t) do
        if type(v) == "function" or type(v) == "table" then names[v] = lib .. "." .. tostring(k) end
      end
    end
  end
  for _, name in ipairs{"assert", "collectgarbage", "dofile", "error", "getmetatable", "ipairs",
    "load", "loadfile", "next", "pairs", "pcall", "print", "rawequal", "rawget", "rawlen", "rawset",
    "require", "select", "setmetatable", "tonumber", "tostring", "type", "warn", "xpcall", "_G",
    "package"} do
    local v = rawget(globals, name)
    if v ~= nil then names[v] = name end
  end
  return names
end

function Describer:put(...)
  for _, text in ipairs{...} do self.out[#self.out + 1] = text end
end

-- What stands at the place that is looked at, for people who ask what has changed.
function Describer:note(text)
  if self.place ~= "" then self.parts[self.place] = core.hash(text) end
end

-- Looks at v, which is called `name` where it is reached from.
function Describer:at(name, v)
  local before = self.place
  self.place = before == "" and name or before .. "." .. name
  self:any(v)
  self.place = before
end

function Describer:scalar(v)
  local ok, packed = pcall(value.pack, v)
  local text = ok and packed:bytes() or type(v)
  self:note(text)
  self:put(text, "\n")
end

-- Keys in an order that does not depend on the run; keys without one are left out.
local function ordered_keys(t)
  local keys = {}
  for k in next, t do
    local kind = type(k)
    if kind == "string" or kind == "number" or kind == "boolean" then keys[#keys + 1] = k end
  end
  local rank = {number = 1, string = 2, boolean = 3}
  table.sort(keys, function(a, b)
    local x, y = type(a), type(b)
    if x ~= y then return rank[x] < rank[y] end
    if x == "boolean" then return not a and b end
    return a < b
  end)
  return keys
end

function Describer:fields(t)
  self:put("{\n")
  for _, k in ipairs(ordered_keys(t)) do
    self:put(value.pack(k):bytes(), "\n")
    self:at(tostring(k), t[k])
  end
  local mt = getmetatable(t)
  if type(mt) == "table" then self:any(mt) end
  self:put("}\n")
end

function Describer:table(t)
  local name = self.context.module(t)
  if name then
    self:note(name)
    return self:put("module ", name, "\n")
  end
  local mt = getmetatable(t)
  local class = type(mt) == "table" and rawget(mt, "__name")
  if class == "flowrun.Task" or class == "flowrun.Flow" then
    self:put(class, " ", tostring(rawget(t, "name")), "\n")
    return self:any(rawget(t, "fn"))                       -- in its own place
  end
  self:fields(t)
end

-- A variable of the script: its name says enough, whoever uses it.
function Describer:outside(name, v)
  local before = self.place
  self.place = name
  self:any(v)
  self.place = before
end

function Describer:lua_function(f, info)
  local text = self.context.text(info.source)
  local code = text and core.code(text, info.linedefined, info.lastlinedefined)
  self:note(code or info.source)
  self:put("function ", code or ("%s:%d"):format(info.source, info.linedefined), "\n")
  if info.source:find("^@flowrun/") then return end        -- our own: by place alone
  for i = 1, math.huge do
    local name, v = debug.getupvalue(f, i)
    if not name then break end
    if name ~= "_ENV" then
      self:put("upvalue ", name, "\n")
      self:outside(name, v)
    end
  end
  local seen = core.inspect(f)
  local reads = seen and seen.reads or {}
  table.sort(reads)
  for _, name in ipairs(reads) do
    self:put("global ", name, "\n")
    self:outside(name, self.context.globals[name])
  end
end

function Describer:any(v)
  local kind = type(v)
  if kind ~= "function" and kind ~= "table" then return self:scalar(v) end
  if self.standard[v] then return self:put("standard ", self.standard[v], "\n") end
  if self.seen[v] then return self:put("again ", tostring(self.seen[v]), "\n") end
  self.count = self.count + 1
  self.seen[v] = self.count
  if kind == "table" then return self:table(v) end
  local info = debug.getinfo(v, "S")
  if info.what == "C" then return self:put("C function\n") end
  self:lua_function(v, info)
end

--- The description that is hashed, for tests and for `flowrun show --source`.
---@param fn function
---@param context flowrun.SourceContext
---@return string
function source.describe(fn, context)
  return (source.look(fn, context))
end

--- The description, and the hash of each thing in it by name: "helper", "limits.high".
---@param fn function
---@param context flowrun.SourceContext
---@param name? string of the function itself
---@return string description
---@return table<string, string> parts
function source.look(fn, context, name)
  local d = setmetatable({context = context, out = {}, seen = {}, count = 0, parts = {},
    place = name or "", standard = standard_names(context.globals)}, Describer)
  d:any(fn)
  return table.concat(d.out), d.parts
end

--- The source hash of a function: 32 hex digits.
---@param fn function
---@param context flowrun.SourceContext
---@return string
function source.hash(fn, context)
  return core.hash(source.describe(fn, context))
end

return source
