--- Named limits: what `limit = …` of a task and `fr.limit` say, and rates such as "100/min".
---
---     fr.limit("oms", 4)                         -- at most 4 slots are held at a time
---     fr.limit("api", {rate = "100/min"})        -- at most 100 starts in any minute
---     fr.task("send", {limit = {oms = 2, "db"}}, function(order) … end)
---
--- They hold across all runs of one store. A limit that nobody set has one slot.
local duration = require "flowrun.duration"
local error_class = require "flowrun.core.error"
local registry = require "flowrun.registry"

local limits = {}

local MOST_SLOTS, MOST_RATE, MOST_NAMES = 1000000000, 1000, 14   -- and memory, gpu

local units = {s = 1, sec = 1, second = 1, m = 60, min = 60, minute = 60, h = 3600, hour = 3600,
               d = 86400, day = 86400}

--- Reads "100/min", "5/10s": how many starts, in how many seconds. Or nil and what is expected.
---@param text any
---@return integer? starts, number|string seconds
function limits.rate(text)
  local expected = 'a rate such as "100/min", "5/s" or "3/10m"'
  if type(text) ~= "string" then return nil, expected end
  local n, unit = text:match("^%s*(%d+)%s*/%s*(%S+)%s*$")
  local starts = n and math.tointeger(tonumber(n))
  local seconds = unit and (units[unit] or duration.try_seconds(unit))
  if not starts or not seconds or starts < 1 or seconds <= 0 then return nil, expected end
  if starts > MOST_RATE then
    return nil, ("a rate of at most %d starts per period (their times are kept); write it with a "
      .. "shorter one, as 100/s for 6000/min"):format(MOST_RATE)
  end
  return starts, seconds
end

local function is_name(v)
  return type(v) == "string" and #v <= 100 and v ~= "rate"
    and v:find("^[%a_][%w_%.:%-]*$") ~= nil
end

local MACHINE = "another name than 'memory' and 'gpu', which are the machine's "
  .. "(resources = {memory = \"4GiB\", gpu = 1})"

local NAME = "a name of a limit (letters, digits and _ . : -, at most 100; not 'rate')"

local function whole(v, least)
  local n = type(v) == "number" and math.tointeger(v)
  return n and n >= least and n <= MOST_SLOTS and n or nil
end

---@package
--- Raises when it cannot be the name of a limit.
function limits.check_name(what, name)
  if not is_name(name) then
    error_class.raise("invalid", ("%s: expected %s, got %s"):format(what, NAME, tostring(name)))
  end
end

---@package
--- The option `limit` as a list of {name=, n=} by name; name is false for the task's own rate,
--- which has rate= and period=. Or nil and what is expected.
function limits.read(v)
  if type(v) == "string" then v = {v} end
  if type(v) ~= "table" then return nil, "names of limits, or {name = slots}" end
  local list, seen = {}, {}
  for k, n in pairs(v) do
    local need
    if k == "rate" then
      local starts, seconds = limits.rate(n)
      if not starts then return nil, seconds end
      need = {name = false, n = 1, rate = starts, period = seconds}
    elseif math.type(k) == "integer" then
      if not is_name(n) then return nil, NAME end
      need = {name = n, n = 1}
    else
      if not is_name(k) then return nil, NAME end
      if not whole(n, 1) then return nil, ("a number of slots, from 1, for '%s'"):format(k) end
      need = {name = k, n = whole(n, 1)}
    end
    if seen[need.name] then
      return nil, ("names that differ; '%s' is there twice"):format(need.name)
    end
    seen[need.name] = true
    list[#list + 1] = need
  end
  if seen.memory or seen.gpu then return nil, MACHINE end
  if #list > MOST_NAMES then return nil, ("at most %d limits"):format(MOST_NAMES) end
  table.sort(list, function(a, b) return (a.name or "") < (b.name or "") end)
  return list
end

---@package
--- As the scheduler wants it: a task's own rate is a limit with the task's name.
function limits.of_task(list, full)
  local out = {}
  for i, need in ipairs(list) do
    out[i] = {name = need.name or full or "?", n = need.n, rate = need.rate, period = need.period}
  end
  return out
end

--- Says how many slots a limit has, or how often it may be taken; at the top level of a
--- script, for all runs of the store. What `flowrun limits set` says goes before it. 0 slots
--- close the limit: what needs it waits.
---@param name string
---@param what integer|{slots: integer?, rate: string?}
function limits.define(name, what)
  limits.check_name("fr.limit", name)
  if name == "memory" or name == "gpu" then
    error_class.raise("invalid", "fr.limit: expected " .. MACHINE)
  end
  local o = type(what) == "table" and what or {slots = what}
  for k in pairs(o) do
    if k ~= "slots" and k ~= "rate" then
      error_class.raise("invalid", ("fr.limit '%s': unknown option '%s'; it knows slots and rate")
        :format(name, tostring(k)))
    end
  end
  local slots, starts, seconds = nil, nil, nil
  if o.slots ~= nil or o.rate == nil then
    slots = whole(o.slots, 0)
    if not slots then
      error_class.raise("invalid", ("fr.limit '%s': expected a number of slots or "
        .. "{slots=, rate=}, got %s"):format(name, tostring(o.slots)))
    end
  end
  if o.rate ~= nil then
    starts, seconds = limits.rate(o.rate)
    if not starts then
      error_class.raise("invalid", ("fr.limit '%s': expected %s, got %s"):format(name, seconds,
        tostring(o.rate)))
    end
  end
  local flow_core, body = require "flowrun.core.flow", require "flowrun.core.body"
  if flow_core.inside() or body.inside() then
    error_class.raise("state", ("fr.limit '%s': limits are set at the top level of a script; to "
      .. "change one while runs go on: flowrun limits set %s N"):format(name, name))
  end
  local r = registry.current()
  r.limits[name] = {name = name, slots = slots, rate = starts, period = seconds}
end

---@package
--- What a script says of limits, by name.
---@param r flowrun.Registry
function limits.list(r)
  local list = {}
  for _, l in pairs(r.limits) do list[#list + 1] = l end
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end

return limits
