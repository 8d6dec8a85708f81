--- Waits for time, for people and for the world: fr.at, fr.signal, fr.approve, fr.wait_for.
--- In a flow they are durable: they hold no worker, survive the process, and what arrives while
--- there is none waits for the next start.
local body = require "flowrun.core.body"
local core = require "flowrun.core.wait"
local duration = require "flowrun.duration"
local error_class = require "flowrun.core.error"
local flow_core = require "flowrun.core.flow"
local options = require "flowrun.options"
local task = require "flowrun.task"

local wait = {}

local function fail(what, format, ...)
  error_class.raise("invalid", what .. ": " .. format:format(...))
end

-- Refuses options that are not known, so that a misspelt timeout does not wait for ever.
local function check_known(what, o, known)
  if type(o) ~= "table" then fail(what, "options are a table, got %s", type(o)) end
  for k in pairs(o) do
    local found = false
    for _, name in ipairs(known) do found = found or name == k end
    if not found then
      local near = type(k) == "string" and error_class.nearest(k, known)
      fail(what, "unknown option '%s'%s", tostring(k), near and "; did you mean '" .. near .. "'?"
        or "; it knows " .. table.concat(known, ", "))
    end
  end
end

local function check_name(what, name)
  if type(name) ~= "string" or not name:find("^[%w_][%w_%.%-]*$") or #name > 200 then
    fail(what, "expected a name (letters, digits, _, . and -), got %s",
      type(name) == "string" and "'" .. name .. "'" or type(name))
  end
end

local function timeout_of(what, o)
  return o.timeout ~= nil and duration.seconds(o.timeout, what .. ": timeout") or nil
end

local function text_of(what, o, name)
  if o[name] ~= nil and type(o[name]) ~= "string" then
    fail(what, "option '%s': expected text, got %s", name, type(o[name]))
  end
  return o[name]
end

local function in_flow(what)
  if not flow_core.inside() then
    error_class.raise("state", what .. " works only in the body of a flow")
  end
end

local function leap(y) return y % 4 == 0 and (y % 100 ~= 0 or y % 400 == 0) end

local function days_in(y, m)
  return ({31, leap(y) and 29 or 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31})[m] or 0
end

-- Days since 1970-01-01 (Howard Hinnant's days_from_civil).
local function days(y, m, d)
  if m <= 2 then y = y - 1 end
  local era = y // 400
  local year = y - era * 400
  local day = (153 * (m + (m > 2 and -3 or 9)) + 2) // 5 + d - 1
  return era * 146097 + year * 365 + year // 4 - year // 100 + day - 719468
end

--- Seconds since 1970 UTC of a time given as such or as text with its zone.
---@package
---@param when number|string
---@return number
function wait.time(when)
  if type(when) == "number" then
    if when ~= when or when < 0 or when > 9e9 then
      fail("fr.at", "expected seconds since 1970 UTC, got %s", when)
    end
    return when
  end
  local text = type(when) == "string" and when or ""
  local y, mo, d, h, mi, rest = text:match("^(%d%d%d%d)%-(%d%d)%-(%d%d)[T ](%d%d):(%d%d)(.*)$")
  local s, zone = 0, rest
  if rest and rest:find("^:%d") then s, zone = rest:match("^:(%d%d%.?%d*)(.*)$") end
  local sign, zh, zm = (zone or ""):match("^([%+%-])(%d%d):?(%d%d)$")
  if zone == "" then
    fail("fr.at", "'%s' does not say its time zone; add Z for UTC, or an offset such as +02:00",
      text)
  end
  y, mo, d, h, mi, s = tonumber(y), tonumber(mo), tonumber(d), tonumber(h), tonumber(mi),
    tonumber(s)
  if not (y and s) or not (zone == "Z" or sign) or mo < 1 or d < 1 or d > days_in(y, mo) or h > 23
    or mi > 59 or s >= 61 then
    fail("fr.at", "expected seconds since 1970 UTC or a text as \"2026-12-01T06:00Z\", got %s",
      type(when) == "string" and "'" .. when .. "'" or type(when))
  end
  local offset = sign and (tonumber(zh) * 3600 + tonumber(zm) * 60) * (sign == "-" and -1 or 1) or 0
  return days(y, mo, d) * 86400 + h * 3600 + mi * 60 + s - offset
end

--- Waits until a time of day; at once when it has passed. Durable in a flow body. The clock is
--- looked at again once a minute, so a clock that is set moves the end with it.
---@param when number|string seconds since 1970 UTC, or "2026-12-01T06:00Z", "… 06:00+01:00"
function wait.at(when)
  local at = wait.time(when)
  if not flow_core.inside() then return body.sleep(math.max(0, at - body.now())) end
  core.start{kind = "at", name = "at", at = at, details = {at = at}}:get()
end

--- Waits for `flowrun signal RUN NAME [JSON]` and returns its value. Signals that come early
--- wait; several of one name are taken in the order in which they came. When the time is over,
--- `default` is returned, or without one an error with the code "timeout" is raised.
---@param name string
---@param o? {timeout: fr.duration?, default: any}
---@return any
function wait.signal(name, o)
  local what = "fr.signal"
  check_name(what, name)
  o = o or {}
  check_known(what, o, {"timeout", "default"})
  in_flow(what)
  local timeout = timeout_of(what, o)
  if o.default ~= nil and not timeout then
    fail(what, "a default needs a timeout: without one the wait never gives up")
  end
  return core.start{kind = "signal", name = "signal:" .. name, timeout = timeout,
    has_late = o.default ~= nil, late = o.default,
    details = {name = name, timeout = timeout, default = o.default}}:get()
end

--- Waits until somebody says `flowrun approve RUN [NAME]` and returns who, when and why:
--- {approved = true, by =, at =, comment =}. `flowrun reject` raises an error with the code
--- "rejected", so that an approval that nobody checks is none.
---@param o {name: string?, message: string, role: string?, timeout: fr.duration?,
---on_timeout: "error"|"approve"|"reject"|any}
---@return {approved: boolean, by: string, at: number, comment: string?}
function wait.approve(o)
  local what = "fr.approve"
  check_known(what, o, {"name", "message", "role", "timeout", "on_timeout"})
  in_flow(what)
  local name = o.name or "approval"
  check_name(what, name)
  local message, role = text_of(what, o, "message"), text_of(what, o, "role")
  if not message then fail(what, "option 'message': say what is to be approved") end
  local timeout, late, code = timeout_of(what, o), o.on_timeout, nil
  if late ~= nil and not timeout then
    fail(what, "option 'on_timeout' needs a timeout: without one the wait never gives up")
  end
  if type(late) == "string" then
    if late ~= "approve" and late ~= "reject" and late ~= "error" then
      fail(what, "option 'on_timeout': expected \"approve\", \"reject\", \"error\" or a value "
        .. "that is no text, got '%s'", late)
    end
    code = late == "reject" and "rejected" or "timeout"
    if late == "approve" then late = {approved = true, by = "timeout"} else late = nil end
  end
  return core.start{kind = "approve", name = "approve:" .. name, timeout = timeout,
    has_late = late ~= nil, late = late, late_code = code,
    details = {name = name, message = message, role = role, timeout = timeout,
               on_timeout = o.on_timeout}}:get()
end

--- A sensor: runs the task again and again until it returns neither nil nor false, and returns
--- that. Between two pokes nothing is held. A poke that fails is tried again as the task's
--- retries, `retry_if` and `delay` say, which count failures in a row; `timeout` bounds the whole
--- and raises "timeout".
---@param t flowrun.Task
---@param o? {every: fr.duration?, timeout: fr.duration?, backoff: string|table|nil,
---cap: fr.duration?, default: any} every: default "30s"; backoff: how it grows, default fixed
---@param ... any arguments of the task
---@return any
function wait.wait_for(t, o, ...)
  local what = "fr.wait_for"
  if getmetatable(t) ~= task.class then
    fail(what, "expected a task first, got %s; write fr.wait_for(file_is_there, {every = \"30s\"})",
      type(t))
  end
  o = o or {}
  check_known(what, o, {"every", "timeout", "backoff", "cap", "default"})
  in_flow(what)
  local timeout = timeout_of(what, o)
  if o.default ~= nil and not timeout then
    fail(what, "a default needs a timeout: without one the wait never gives up")
  end
  local given = {delay = o.every, backoff = o.backoff}
  if o.every == nil and type(o.backoff) ~= "table" then given.delay = "30s" end
  local plan = options.retry_plan(options.check("task", what, given))
  local schedule = flow_core.options{backoff = plan.backoff ~= "list" and plan.backoff or nil,
    base = plan.base, factor = plan.factor, delays = plan.list,
    cap = o.cap ~= nil and duration.seconds(o.cap, what .. ": cap") or plan.cap}
  local sensor = setmetatable({t[1], t[2], t[3], t[4], t[5], core.every{plan = schedule,
    timeout = timeout, has_late = o.default ~= nil, late = o.default}, kind = "task",
    name = t.name, options = t.options}, task.class)
  return sensor(...):get()
end

return wait
