--- Durations as people write them: seconds, or text such as "90s", "5m", "1h30m", "250ms".
local error_class = require "flowrun.core.error"

local duration = {}

---@alias fr.duration number|string seconds, or "1h30m" (units w d h m s ms us)

local unit_s = {w = 604800, d = 86400, h = 3600, m = 60, s = 1, ms = 1e-3, us = 1e-6}
local order = {w = 1, d = 2, h = 3, m = 4, s = 5, ms = 6, us = 7}
local expected = 'a duration such as 30, "90s", "5m" or "1h30m"'

-- Seconds, or nil and what is wrong with the text.
local function parse(text)
  local rest = text:gsub("^%s+", ""):gsub("%s+$", "")
  if rest == "" then return nil, "is empty" end
  local total, last = 0, 0
  while rest ~= "" do
    local number, unit, tail = rest:match("^(%d+%.?%d*)%s*(%a*)%s*(.*)$")
    if not number then return nil, ("has no number at '%s'"):format(rest) end
    if unit == "" then
      if tail == "" and last == 0 then return tonumber(number) + 0.0 end
      return nil, ("lacks a unit after %s (w d h m s ms us)"):format(number)
    end
    if not unit_s[unit] then
      local near = ({sec = "s", secs = "s", second = "s", seconds = "s", min = "m", mins = "m",
        minute = "m", minutes = "m", hour = "h", hours = "h", hr = "h", hrs = "h", day = "d",
        days = "d", week = "w", weeks = "w", S = "s", M = "m", H = "h", D = "d"})[unit]
      return nil, ("has the unknown unit '%s'%s"):format(unit,
        near and ("; did you mean '%s'?"):format(near) or " (w d h m s ms us)")
    end
    if order[unit] <= last then return nil, "has units that do not go from large to small" end
    last = order[unit]
    total = total + tonumber(number) * unit_s[unit]
    rest = tail
  end
  return total
end

--- The seconds of a duration, or nil and a sentence. Never raises.
---@param value any
---@return number? seconds
---@return string? message
function duration.try_seconds(value)
  if type(value) == "string" then
    local seconds, why = parse(value)
    if not seconds then return nil, ("'%s' %s; expected %s"):format(value, why, expected) end
    return seconds
  end
  if type(value) ~= "number" then
    return nil, ("expected %s, got %s"):format(expected, type(value))
  end
  if value ~= value or value == math.huge or value < 0 then
    return nil, ("expected %s, got %s"):format(expected, value)
  end
  return value + 0.0
end

--- The seconds of a duration.
---@param value fr.duration
---@param what? string names the value in the error: "timeout"
---@return number seconds
function duration.seconds(value, what)
  local seconds, why = duration.try_seconds(value)
  if not seconds then error_class.raise("invalid", ("%s: %s"):format(what or "duration", why)) end
  return seconds
end

local steps = {{"d", 86400}, {"h", 3600}, {"m", 60}}

--- Writes seconds as people read them: 5400 -> "1h30m", 0.25 -> "250ms", 12.5 -> "12.5s".
---@param seconds number
---@return string
function duration.text(seconds)
  if seconds < 0 then return "-" .. duration.text(-seconds) end
  if seconds < 1e-3 then return ("%gus"):format(math.floor(seconds * 1e7 + 0.5) / 10) end
  if seconds < 1 then return ("%gms"):format(math.floor(seconds * 1e4 + 0.5) / 10) end
  if seconds < 60 then return ("%gs"):format(math.floor(seconds * 10 + 0.5) / 10) end
  local rest, out = math.floor(seconds + 0.5), {}
  for _, step in ipairs(steps) do
    local n = rest // step[2]
    if n > 0 then out[#out + 1] = n .. step[1] end
    rest = rest % step[2]
  end
  if rest > 0 then out[#out + 1] = rest .. "s" end
  return table.concat(out)
end

return duration
