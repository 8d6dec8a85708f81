--- How the wait before a retry grows: what `task{backoff = …}` accepts.
---
---     backoff = "exponential", delay = "2s"                        -- by name
---     backoff = fr.backoff.exponential("2s", {factor = 2, cap = "5m"})
---
--- A curve is plain data (so that the engine computes delays without Lua) that can be called:
--- `curve(attempt)` gives the seconds to wait after that failed attempt, before jitter.
local duration = require "flowrun.duration"
local error_class = require "flowrun.core.error"

local backoff = {}

---@class flowrun.Backoff
---@field kind "fixed"|"linear"|"exponential"|"decorrelated"
---@field base number seconds before the first retry
---@field cap number? seconds that no wait exceeds
---@field factor number? growth of "exponential"
---@overload fun(attempt: integer): number

local curve = {__name = "flowrun.Backoff"}

function curve.__call(self, attempt)
  local delay = self.base
  if self.kind == "linear" then
    delay = self.base * attempt
  elseif self.kind == "exponential" then
    delay = self.base * self.factor ^ (attempt - 1)
  elseif self.kind == "decorrelated" then       -- drawn by the engine; this is its upper end
    delay = self.base * 3 ^ attempt
  end
  return math.min(delay, self.cap or math.huge)
end

function curve.__tostring(self)
  local text = ("%s(%s"):format(self.kind, duration.text(self.base))
  if self.factor then text = ("%s, factor %g"):format(text, self.factor) end
  if self.cap then text = ("%s, cap %s"):format(text, duration.text(self.cap)) end
  return text .. ")"
end

local function make(kind, base, opts, known)
  local what = "backoff." .. kind
  opts = opts or {}
  if type(opts) ~= "table" then
    error_class.raise("invalid", ("%s: options are a table, got %s"):format(what, type(opts)))
  end
  for name in pairs(opts) do
    if not known[name] then
      error_class.raise("invalid", ("%s: unknown option '%s'; it knows %s"):format(what,
        tostring(name), known.factor and "cap, factor" or "cap"))
    end
  end
  local self = {kind = kind, base = duration.seconds(base, what .. ": base")}
  if opts.cap ~= nil then self.cap = duration.seconds(opts.cap, what .. ": cap") end
  if known.factor then
    self.factor = opts.factor or 2
    if type(self.factor) ~= "number" or not (self.factor >= 1 and self.factor < math.huge) then
      error_class.raise("invalid", ("%s: factor is a number of at least 1, got %s")
        :format(what, tostring(self.factor)))
    end
  end
  return setmetatable(self, curve)
end

--- Waits `base` before every retry.
---@param base fr.duration
---@return flowrun.Backoff
function backoff.fixed(base) return make("fixed", base, nil, {}) end

--- Waits `base`, 2 × `base`, 3 × `base`, … up to `cap`.
---@param base fr.duration
---@param opts? {cap: fr.duration}
---@return flowrun.Backoff
function backoff.linear(base, opts) return make("linear", base, opts, {cap = true}) end

--- Waits `base`, then `factor` times that, and so on up to `cap`.
---@param base fr.duration before the first retry: "2s" or seconds
---@param opts? {factor: number, cap: fr.duration} factor is 2 unless set
---@return flowrun.Backoff
function backoff.exponential(base, opts)
  return make("exponential", base, opts, {cap = true, factor = true})
end

--- Waits uniformly between `base` and 3 × the wait before ("decorrelated jitter": M. Brooker,
--- "Exponential Backoff and Jitter", AWS Architecture Blog, 2015), up to `cap`.
---@param base fr.duration
---@param opts? {cap: fr.duration}
---@return flowrun.Backoff
function backoff.decorrelated(base, opts) return make("decorrelated", base, opts, {cap = true}) end

--- Tells whether v is a curve made by this module.
---@param v any
---@return boolean
function backoff.is_curve(v) return type(v) == "table" and getmetatable(v) == curve end

return backoff
