--- Tables of a script that its task bodies may not change (engine.md C2). A worker notes the
--- hashes (C3) of the tables that a task reaches through upvalues before its first body runs,
--- and compares them afterwards: every worker has its own copy, so a change would be lost, or
--- differ from worker to worker.
local tables = {}

local MOST_FIELDS = 10000            -- of all tables of a task together; larger ones are trusted

-- Modules, and what flowrun made: tasks, flows, frames.
local function is_ours(t, modules)
  if modules[t] then return true end
  local mt = getmetatable(t)
  local class = type(mt) == "table" and rawget(mt, "__name")
  return mt == "locked" or type(class) == "string" and class:find("^flowrun%.") ~= nil
end

local function count_fields(t, left, seen)
  if seen[t] then return left end
  seen[t] = true
  for _, v in next, t do
    left = left - 1
    if left > 0 and type(v) == "table" then left = count_fields(v, left, seen) end
    if left <= 0 then break end
  end
  return left
end

local function collect(fn, modules, list, seen)
  if seen[fn] then return end
  seen[fn] = true
  local info = debug.getinfo(fn, "S")
  if info.what == "C" or info.source:find("^@flowrun/") then return end
  for i = 1, math.huge do
    local name, v = debug.getupvalue(fn, i)
    if not name then break end
    if type(v) == "function" then
      collect(v, modules, list, seen)
    elseif type(v) == "table" and name ~= "_ENV" and not seen[v] and not is_ours(v, modules) then
      seen[v] = true
      list[#list + 1] = {name = name, table = v}
    end
  end
end

--- What to compare later; nil when the function reaches no table of the script.
---@param fn function
---@param script flowrun.Script
---@return table? watched
function tables.watch(fn, script)
  local list, seen, left, modules = {}, {}, MOST_FIELDS, {}
  for _, loaded in ipairs{package.loaded, script.loaded} do
    for _, m in pairs(loaded) do modules[m] = true end
  end
  collect(fn, modules, list, {})
  if not list[1] then return nil end
  local source, context = require "flowrun.source", script:source_context()
  for i = #list, 1, -1 do
    left = count_fields(list[i].table, left, seen)
    if left <= 0 then return nil end
    list[i].hash = source.hash(list[i].table, context)
  end
  return {context = context, list = list}
end

--- The name of the first table that is not as it was; nil: all are.
---@param watched table from tables.watch
---@return string? name
function tables.changed(watched)
  local source = require "flowrun.source"
  for _, w in ipairs(watched.list) do
    if source.hash(w.table, watched.context) ~= w.hash then return w.name end
  end
end

return tables
