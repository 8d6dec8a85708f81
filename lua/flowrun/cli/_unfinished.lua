--- Why each unfinished task of a run waits, from what the store says of it.
local look = require "flowrun.cli._look"
local run_tasks = require "flowrun.cli._tasks"
local text = require "flowrun.cli._text"
local waits = require "flowrun.cli._waits"

local unfinished = {}

---@class fr.cli.why
---@field reason "limit"|"worker"|"max_running"|"alone"|"sleep"|"sensor"|"signal"|"approval"|"retry"
---@field text string for people
---@field since? number seconds since 1970: in line from then on
---@field due? number seconds since 1970: goes on then
---@field timeout? number seconds since 1970: gives up then
---@field limits? table[] of limit: name, used, slots, rate, holders

local function until_text(ns)
  local left = ns - os.time() * 1000000000
  return text.time(ns) .. (left > 0 and (" (in %s)"):format(text.duration(left)) or " (is due)")
end

local function timeout_text(ns)
  return ns and ns > 0 and ", gives up at " .. until_text(ns) or ""
end

-- What of this run waits for slots, and who has them.
function unfinished.queued(store, id)
  local slots, holders, lines = store:slots(), {}, {}
  for _, s in ipairs(slots) do
    if s.granted and s.alive then
      holders[s.limit] = holders[s.limit] or {}
      table.insert(holders[s.limit], s)
    end
  end
  local limits = {}
  for _, l in ipairs(store:limits()) do limits[l.name] = l end
  for _, s in ipairs(slots) do
    if s.run == id and not s.granted and not s.refused then
      local l, by = limits[s.limit], {}
      for i, h in ipairs(holders[s.limit] or {}) do
        by[i] = ("run %d (%s)"):format(h.run, text.short(h.name))
      end
      local most = l.slots or (not l.rate and 1)
      lines[#lines + 1] = {row = s.row, name = s.name, limit = s.limit, used = l.used,
        slots = most or nil, rate = l.rate, holders = by,
        text = ("queued: limit \"%s\" %s%s"):format(s.limit,
          most == 0 and "closed" or most and ("%d/%d"):format(l.used, most) or "waits for its rate",
          #by > 0 and " held by " .. table.concat(by, ", ", 1, math.min(#by, 5)) or "")}
    end
  end
  return lines
end

-- One per row: rows that ask for several limits name them all.
local function why_limits(queued)
  local by_row = {}
  for _, q in ipairs(queued) do
    local w = by_row[q.row]
    if not w then
      w = {reason = "limit", text = q.text, limits = {}, name = q.name}
      by_row[q.row] = w
    else
      w.text = w.text .. ", " .. q.text:gsub("^queued: ", "")
    end
    w.limits[#w.limits + 1] = {name = q.limit, used = q.used, slots = q.slots, rate = q.rate,
      holders = q.holders}
  end
  return by_row
end

local function why_line(t, alive)
  if not alive then return nil end             -- its line went with the process
  if t.reason == "worker" then return {reason = "worker", text = "queued: all workers are busy"} end
  if t.reason == "max_running" then
    return {reason = "max_running", text = "queued: as many bodies run as max_running allows"}
  elseif t.reason == "alone" then
    return {reason = "alone", text = "queued: it runs alone, as its process died with it"}
  end
end

local function why_wait(t, timer)
  local due = timer and timer.due
  if t.kind == "sleep" then
    local details = t.result and look.plain(t.result)
    due = type(details) == "table" and math.tointeger(details.at * 1000000000 // 1) or due
    return {reason = "sleep", due = look.seconds(due), text = "until " .. until_text(due or 0)}
  elseif t.kind == "poke" then
    local next_look = t.result and t.result:unpack() or 0
    return {reason = "sensor", due = look.seconds(next_look), timeout = look.seconds(due),
      text = "looks again at " .. until_text(next_look) .. timeout_text(due)}
  elseif t.kind == "signal" then
    local w = waits.read(t)
    return w and {reason = w.kind == "approve" and "approval" or "signal", since = w.since,
      timeout = look.seconds(due), text = "waits for " .. waits.text(w) .. timeout_text(due)}
  end
end

local function why_retry(r)
  local message = r.error and tostring(look.plain(r.error).message):gsub("\n.*", "") or "?"
  return {reason = "retry", due = look.seconds(r.due),
    text = ("attempt %d at %s; the last: %s"):format(r.attempt + 1, until_text(r.due), message)}
end

-- Of calls that are between two attempts there is only the record of the failure.
local function add_retries(store, run, list, by_row)
  local latest = {}
  for r in store:records(run.id, "retry") do latest[r.row] = r end
  for row, r in pairs(latest) do
    local t = by_row[row]
    if not t then
      t = {row = row, name = r.name, kind = r.kind, key = r.key, label = r.label, args = r.args,
        state = "SCHEDULED", reason = "retry", attempt = r.attempt, queued = r.queued,
        started = r.started}
      by_row[row] = t
      list[#list + 1] = t
    end
    local item = t.kind == "map" and t.state == "RUNNING" and r.due > os.time() * 1000000000
    if t.state == "SCHEDULED" or item then t.waits = why_retry(r) end
  end
end

local function add_queued(store, run, list, by_row)
  local queued = unfinished.queued(store, run.id)
  for row, w in pairs(why_limits(queued)) do
    local t = by_row[row]
    if not t and row ~= 0 then                 -- row 0: the run itself
      t = {row = row, name = w.name, kind = "task", state = "QUEUED", reason = "limit", attempt = 0}
      by_row[row] = t
      list[#list + 1] = t
    end
    w.name = nil
    if t then t.waits = w end
  end
  return queued
end

--- The tasks of a run, by row, those that wait with `waits`; and what waits for slots.
---@param store fr.store
---@param run fr.store.run
---@return table[] tasks
---@return table[] queued
function unfinished.of(store, run)
  local list, by_row, timers = run_tasks.of_run(store, run.id), {}, {}
  if run.state ~= "RUNNING" and run.state ~= "PAUSED" then
    return list, unfinished.queued(store, run.id)
  end
  for _, t in ipairs(list) do by_row[t.row] = t end
  for r in store:records(run.id, "timer") do timers[r.row] = r end
  for _, t in ipairs(list) do
    if t.state == "QUEUED" then
      t.waits = why_line(t, run.alive)
    elseif t.state == "DEFERRED" then
      t.waits = why_wait(t, timers[t.row])
    end
  end
  add_retries(store, run, list, by_row)
  local queued = add_queued(store, run, list, by_row)
  table.sort(list, function(a, b) return a.row < b.row end)
  return list, queued
end

return unfinished
