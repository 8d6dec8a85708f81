--- Checks the `schedule` of a flow: when `flowrun serve` starts it. Data until then.
---
---     schedule = {cron = "0 6,18 * * *", tz = "America/New_York", missed = "latest"}
---     schedule = {{every = "1h"}, {cron = "@daily", params = {full = true}}}
local duration = require "flowrun.duration"
local error_class = require "flowrun.core.error"

local schedule = {}

local macros = {["@hourly"] = true, ["@daily"] = true, ["@midnight"] = true, ["@weekly"] = true,
  ["@monthly"] = true, ["@yearly"] = true, ["@annually"] = true}
local missed = {"skip", "latest", "all"}
local zones = "/usr/share/zoneinfo/"

local function fail(what, text, ...)
  error_class.raise("invalid", what .. ": " .. text:format(...))
end

local read = {}

function read.cron(what, v)
  if type(v) ~= "string" then
    fail(what, "expected text such as \"0 6 * * *\", got a %s", type(v))
  end
  if macros[v] then return v end
  local n = 0
  for field in v:gmatch("%S+") do
    n = n + 1
    if not field:find("^[%w*?/,#%-]+$") then
      fail(what, "field %d ('%s') has a character that cron does not know", n, field)
    end
  end
  if n ~= 5 and n ~= 6 then
    fail(what, "expected 5 fields (minute hour day month weekday), 6 with seconds first, or @daily "
      .. "…, got %d: '%s'", n, v)
  end
  return v
end

function read.every(what, v)
  local seconds, why = duration.try_seconds(v)
  if not seconds or seconds <= 0 then
    fail(what, "expected a duration above 0 such as \"15m\", got %s%s", tostring(v),
      why and " (" .. why .. ")" or "")
  end
  return seconds
end

function read.rrule(what, v)
  if type(v) ~= "string" or not v:upper():find("FREQ=%u+") then
    fail(what, "expected text such as \"FREQ=WEEKLY;BYDAY=MO\", got %s", tostring(v))
  end
  return v
end

function read.tz(what, v)
  local name = type(v) == "string" and v:find("^%a[%w_+%-/]*$") and v
  local known = io.open(zones .. "UTC")
  local there = name and io.open(zones .. name)
  if known then known:close() end
  if there then there:close() end
  if not name or (known and not there) then
    fail(what, "'%s' is no time zone of this machine; expected a name such as \"Europe/Zurich\"",
      tostring(v))
  end
  return v
end

function read.missed(what, v)
  for _, name in ipairs(missed) do
    if v == name then return v end
  end
  if type(v) == "table" then
    local out = {}
    for k, x in pairs(v) do
      if k == "max" and math.type(x) == "integer" and x > 0 then
        out.max = x
      elseif k == "within" and duration.try_seconds(x) then
        out.within = duration.try_seconds(x)
      else
        fail(what, "expected {max = count, within = duration}, got %s = %s", tostring(k),
          tostring(x))
      end
    end
    return out
  end
  local near = type(v) == "string" and error_class.nearest(v, missed)
  fail(what, "expected skip, latest, all or {max =, within =}, got %s%s", tostring(v),
    near and ("; did you mean '%s'?"):format(near) or "")
end

function read.params(what, v)
  if type(v) ~= "table" then fail(what, "expected a table of parameters, got a %s", type(v)) end
  return v
end

local names = {}
for name in pairs(read) do names[#names + 1] = name end
table.sort(names)

local function check_one(what, given)
  if type(given) ~= "table" then
    fail(what, "option 'schedule': expected a table such as {cron = \"0 6 * * *\"}, got a %s",
      type(given))
  end
  local out, kinds = {}, 0
  for name, v in pairs(given) do
    local full = ("%s: option 'schedule.%s'"):format(what, tostring(name))
    if not read[name] then
      local near = type(name) == "string" and error_class.nearest(name, names)
      fail(full, "it knows %s%s", table.concat(names, ", "),
        near and ("; did you mean '%s'?"):format(near) or "")
    end
    out[name] = read[name](full, v)
    kinds = kinds + ((name == "cron" or name == "every" or name == "rrule") and 1 or 0)
  end
  if kinds ~= 1 then
    fail(what, "option 'schedule': give one of cron, every and rrule, there are %d", kinds)
  end
  return out
end

---@package
--- A list of normalised schedules, or an error that names the field.
---@param what string the flow, for messages
---@param given table one schedule or a list of them
---@return table[]
function schedule.check(what, given)
  if given[1] == nil then return {check_one(what, given)} end
  local out = {}
  for i, one in ipairs(given) do out[i] = check_one(("%s, schedule %d"):format(what, i), one) end
  return out
end

return schedule
