--- flowrun: pipelines of tasks as Lua scripts. `local fr = require "flowrun"`.
local backoff = require "flowrun.backoff"
local body = require "flowrun.core.body"
local duration = require "flowrun.duration"
local error_class = require "flowrun.core.error"
local flow = require "flowrun.flow"
local flow_core = require "flowrun.core.flow"
local limits = require "flowrun.limits"
local lists = require "flowrun.lists"
local options = require "flowrun.options"
local log = require "flowrun.log"
local task = require "flowrun.task"

local fr = {}

fr.task = task.define
fr.flow = flow.define
fr.limit = limits.define
fr.group = flow.group
fr.zip = lists.zip
fr.product = lists.product
fr.backoff = backoff
fr.log = log

--- Runs fn(...) as a branch of its own, concurrently; returns a handle of its result.
---@param fn fun(...): any
---@return flowrun.Handle
function fr.spawn(fn, ...)
  return flow_core.spawn(fn, ...)
end

local function handle_list(handles, what)
  if type(handles) ~= "table" or #handles == 0 then
    error_class.raise("type", what .. ": expected a list of handles, as in " .. what .. "{a, b}")
  end
  return handles
end

--- Waits for all handles and returns the list of their values; raises the first failure in
--- the order of the list.
---@param handles flowrun.Handle[]
---@return any[]
function fr.all(handles)
  if type(handles) == "table" and #handles == 0 then return {} end
  flow_core.wait(handle_list(handles, "fr.all"), false)
  local values = {}
  for i, h in ipairs(handles) do values[i] = h:get() end
  return values
end

--- Waits until one of the handles has succeeded and returns its value and its place in the
--- list. Failures are passed over; when all have failed the first one's error is raised. The
--- others go on.
---@param handles flowrun.Handle[]
---@return any value, integer which
function fr.any(handles)
  handle_list(handles, "fr.any")
  while true do
    local unseen = {}
    for i, h in ipairs(handles) do
      local ok = flow_core.peek(h)
      if ok then
        for k = 1, #handles do
          if k ~= i then flow_core.forgive(handles[k]) end
        end
        return h:get(), i
      end
      if ok == nil then unseen[#unseen + 1] = h end
    end
    if #unseen == 0 then return handles[1]:get(), 1 end
    flow_core.wait(unseen, true)
  end
end

-- The items of a map as they end. What stops the map as a whole is raised.
local function collect_items(map)
  local at = 0
  return function()
    local behind, i, ok, v = flow_core.item(map, at)
    if not behind then return nil end
    at = behind
    if ok then return i, v end
    return i, nil, v
  end
end

--- Goes over handles, or over the items of a running map, in the order in which they end, while
--- the others run on:
---
---     for i, value, err in fr.collect{fetch("north"), fetch("south")} do … end
---     for i, value, err in fr.collect(fetch:map(regions)) do … end
---
--- gives the place in the list and the value; of a failed one nil and its error, which is handled
--- by that. A replay sees the same order.
---@param handles flowrun.Handle[]|flowrun.Handle handles, or the handle of a map
---@return fun(): integer?, any, any
function fr.collect(handles)
  local left = {}
  if options.is_handle(handles) then return collect_items(handles) end
  if type(handles) ~= "table" or getmetatable(handles) then
    error_class.raise("type", "fr.collect: expected the handle of a map or a list of handles, "
      .. "as in fr.collect{a, b}")
  end
  for i, h in ipairs(handles) do left[i] = {i, h} end
  return function()
    while #left > 0 do
      local unseen = {}
      for k, entry in ipairs(left) do
        local i, h = entry[1], entry[2]
        local ok = flow_core.peek(h)
        if ok ~= nil then
          table.remove(left, k)
          if ok then return i, h:get() end
          local _, err = h:try()
          return i, nil, err
        end
        unseen[k] = h
      end
      flow_core.wait(unseen, true)
    end
  end
end

--- Waits. In a flow body it is durable: after a crash only what is left is waited for. In a
--- task body it does not hold the worker.
---@param d fr.duration "5m" or seconds
function fr.sleep(d)
  local seconds = duration.seconds(d, "fr.sleep")
  if flow_core.inside() then return flow_core.sleep(seconds) end
  return body.sleep(seconds)
end

--- From here on the flow asks to be taken back: when the run does not succeed, the `undo` of every
--- task that did runs, latest end first. The same as the flow's option `rollback = true`.
function fr.rollback()
  return flow_core.rollback()
end

--- Seconds since 1970 UTC. Recorded in a flow body, so a replay sees the same time.
---@return number
function fr.now()
  if flow_core.inside() then return flow_core.record("now", body.now()) end
  return body.now()
end

local function draw(name)
  if flow_core.inside() then return flow_core.draw(name) end
  return body.draw()
end

--- As math.random: a float in [0, 1), an integer in [1, m] or [m, n]. In a flow body it
--- depends on the run's seed and on which draw of the branch it is, so a replay repeats it.
---@param m? integer
---@param n? integer
---@return number
function fr.random(m, n)
  local bits = draw("random")
  local unit = (bits >> 11) * 0x1p-53
  if m == nil then return unit end
  if n == nil then m, n = 1, m end
  if math.type(m) ~= "integer" or math.type(n) ~= "integer" or m > n then
    error_class.raise("invalid", ("fr.random: expected integers m <= n, got %s and %s")
      :format(tostring(m), tostring(n)))
  end
  return m + math.floor(unit * (n - m + 1))
end

--- A random UUID (version 4) as text; repeats on replay.
---@return string
function fr.uuid()
  local hi, lo = draw("uuid")
  hi = hi & ~0xf000 | 0x4000
  lo = lo & 0x3fffffffffffffff | 0x8000000000000000
  return ("%08x-%04x-%04x-%04x-%012x"):format(hi >> 32 & 0xffffffff, hi >> 16 & 0xffff,
    hi & 0xffff, lo >> 48 & 0xffff, lo & 0xffffffffffff)
end

--- Makes a directory with its parents. True, or nil and why not.
---@param path string
---@return boolean?, string?
function fr.make_directory(path)
  return require("flowrun.core.tty").make_directory(path)
end

--- In a task body: text that is the same in every attempt of this call and differs from every
--- other call: give it to systems that must not act twice.
---@return string
function fr.task_key()
  return body.effect_key()
end

--- In a task body: a generator (see flowrun.random) whose numbers depend on the run's seed and
--- on this call only. Every attempt draws the same, whatever runs beside it.
---@return flowrun.Random
function fr.task_random()
  return require("flowrun.random").new(body.stream())
end

--- In a task body: `fr.checkpoint(v)` keeps v for the next attempt of this call (or of this
--- item of a map), be it a retry or after a crash; `fr.checkpoint()` gives what was kept last,
--- or nil. A long body goes on from there:
---
---     local at = fr.checkpoint() or {done = 0, sum = 0}
---     for i = at.done + 1, n do
---       at.sum, at.done = at.sum + work(i), i
---       fr.checkpoint(at)
---     end
---
--- It does not wait. At most ten values a second are recorded, and the last one when the
--- attempt fails; a crash loses a tenth of a second. Other arguments are other work: after an
--- edit that changes them nothing is found.
---@param v? any what a task may return
---@return any
function fr.checkpoint(...)
  return body.checkpoint(...)
end

--- Raises an error with a code that the engine and people act on:
--- `fr.fail{message = "too many nulls", code = "quality", retry = false}`.
---@param e string|{message: string, code: string?, retry: boolean?}
function fr.fail(e)
  if type(e) == "string" then e = {message = e} end
  local object = error_class.new(e.code or "error", tostring(e.message or "failed"))
  if e.retry ~= nil then object.retry = e.retry end
  error(object, 0)
end

--- In a task body or a flow: ends it as SKIPPED, with the reason. What depends on it is skipped
--- too, unless its trigger_rule says otherwise; `h:get()` gives nil.
---@param reason? string
function fr.skip(reason)
  error(error_class.new("skipped", tostring(reason or "it decided not to run")), 0)
end

--- About the run: id, flow, attempt, seed, params. Fields of fr.run.
---@type {id: integer, flow: string, attempt: integer, seed: integer, params: table}
fr.run = setmetatable({}, {
  __index = function(_, name)
    local info = flow_core.inside() and flow_core.run_info() or body.run_info()
    return info and info[name]
  end,
  __newindex = function() error_class.raise("state", "fr.run cannot be changed") end,
})

-- Opened at first use: most flows need neither (start-up is a feature).
local late = {sh = "flowrun.sh", http = "flowrun.http", json = "flowrun.json",
              config = "flowrun.config"}
local late_functions = {at = "flowrun.wait", signal = "flowrun.wait", approve = "flowrun.wait",
                        wait_for = "flowrun.wait", outbox = "flowrun.outbox"}
setmetatable(fr, {
  __index = function(t, name)
    local module = late[name] or late_functions[name]
    if not module then
      local known = {}
      for k in pairs(fr) do known[#known + 1] = k end
      for _, more in ipairs{late, late_functions} do
        for k in pairs(more) do known[#known + 1] = k end
      end
      local near = error_class.nearest(tostring(name), known)
      error_class.raise("not_found", ("fr.%s does not exist%s"):format(tostring(name),
        near and "; did you mean fr." .. near .. "?" or ""))
    end
    local v = require(module)
    if late_functions[name] then v = v[name] end
    rawset(t, name, v)
    return v
  end,
})

return fr
