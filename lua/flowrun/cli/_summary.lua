--- What is printed when a run has ended: one line of result, where the time went, and for a
--- failure the task, its error with the source line, its arguments, and how to go on.
local text = require "flowrun.cli._text"

local summary = {}

local function counts(s)
  local parts = {}
  local function add(n, word) if n > 0 then parts[#parts + 1] = text.count(n) .. " " .. word end end
  add(s.succeeded, "ok")
  add(s.failed, "failed")
  add(s.stopped, "stopped")
  add(s.skipped, "skipped")
  add(s.cached, "from the cache")
  add(s.replayed, "recorded before")
  add(s.retries, s.retries == 1 and "retry" or "retries")
  add(s.degraded, "degraded")
  return table.concat(parts, ", ")
end

local function time_went(tasks, most)
  local list, total = {}, 0
  for _, t in ipairs(tasks) do
    if t.busy > 0 and t.name ~= "sleep" then
      list[#list + 1] = t
      total = total + t.busy
    end
  end
  table.sort(list, function(a, b) return a.busy > b.busy end)
  local parts = {}
  for i = 1, math.min(most, #list) do
    local t = list[i]
    parts[i] = ("%s %s%s"):format(text.short(t.name), text.duration(t.busy),
      t.calls > 1 and (" (%s×)"):format(text.count(t.calls)) or "")
  end
  if #list > most then parts[#parts + 1] = ("%d more"):format(#list - most) end
  return table.concat(parts, " · "), total
end

-- "file.lua:12" -> the lines around it, the line itself marked.
local function excerpt(where, paint)
  local file, line = (where or ""):match("^(.*):(%d+)$")
  local f = file and io.open(file)
  if not f then return nil end
  line = math.tointeger(line)
  local out, n = {}, 0
  for s in f:lines() do
    n = n + 1
    if n >= line - 2 and n <= line + 1 then
      local margin = n == line and paint("red", ("%5d > "):format(n)) or ("%5d | "):format(n)
      out[#out + 1] = margin .. s
    end
    if n > line then break end
  end
  f:close()
  return #out > 0 and table.concat(out, "\n") or nil
end

local function error_place(err)
  if err.where then return err.where end
  for place in (err.traceback or ""):gmatch("\n%s*([^%s\n%[][^\n]-%.lua:%d+): in ") do
    if not place:find("^flowrun/") then return place end       -- not inside the program itself
  end
end

local function kept(run)
  local names, seen = {}, {}
  for _, t in ipairs(run:tasks()) do
    if t.ended > t.failed and not seen[t.name] and t.name ~= "sleep" then
      names[#names + 1] = text.short(t.name)
      seen[t.name] = true
    end
  end
  if #names > 8 then
    names[9] = ("and %d more"):format(#names - 8)
    for i = #names, 10, -1 do names[i] = nil end
  end
  return table.concat(names, ", ")
end

local function print_failure(out, outcome, run, run_id, home, paint)
  local err = outcome.error
  if not err then return end
  local n = outcome.failed and run:info(outcome.failed)
  if n then
    out(("\n%s task %s failed%s"):format(paint("red", ("error[%s]:"):format(err.code)),
      paint("bold", text.short(n.name)),
      n.retries > 0 and (" (attempt %d of %d)"):format(n.attempt, n.retries + 1) or ""))
  else
    out(("\n%s the flow body failed"):format(paint("red", ("error[%s]:"):format(err.code))))
  end
  local place = error_place(err)
  if place then out("  --> " .. place) end
  local lines = place and excerpt(place, paint)
  if lines then out(lines) end
  out("  = " .. err.message:gsub("\n", "\n    "))
  if err.cause then out("  because: " .. tostring(err.cause)) end
  if n and n.args then out("arguments  " .. n.args) end
  if n and n.where then out("called at  " .. n.where) end
  if err.traceback then
    out(paint("dim", (err.traceback:gsub("^stack traceback:", "traceback"))))
  end
  local done = kept(run)
  if done ~= "" then out("kept: " .. done .. (run_id > 0 and "  (not run again)" or "")) end
  if run_id > 0 and err.code ~= "diverged" then
    local where = home and ("--home %s "):format(home) or ""
    out(("next: flowrun %srerun %d --failed"):format(where, run_id))
  end
end

local words = {SUCCESS = "green", FAILED = "red", STOPPED = "yellow", SKIPPED = "dim"}
local marks = {SUCCESS = "✔", FAILED = "✘", STOPPED = "■", SKIPPED = "–"}

--- Prints the end of a run to stderr.
---@param flow string
---@param run userdata flowrun.Run
---@param outcome table
---@param spent integer ns
---@param o {colours: boolean, home: string?}
function summary.print(flow, run, outcome, spent, o)
  local paint, s, id = text.painter(o.colours), run:stats(), run:id()
  local function out(line) io.stderr:write(line, "\n") end
  local state = outcome.state
  if outcome.reason == "degraded" then state = state .. " (degraded)" end
  if outcome.reason == "timeout" or outcome.reason == "quality" or outcome.reason == "limit" then
    state = ("%s (%s)"):format(state, outcome.reason)
  end
  local mark = paint(words[outcome.state] or "dim", marks[outcome.state] or "?")
  out(("%s %s %s in %s · %s%s%s"):format(mark,
    paint("bold", flow), state, text.duration(spent), text.plural(s.calls, "call"),
    s.items > 0 and (", %s items"):format(text.count(s.items)) or "",
    counts(s) ~= "" and ": " .. counts(s) or ""))
  local went = time_went(run:tasks(), 5)
  if went ~= "" then out(paint("dim", "  time  " .. went)) end
  if s.undelivered > 0 then
    local where = o.home and ("--home %s "):format(o.home) or ""
    out(("  outbox  %s not delivered yet: by the next run here, or now: flowrun %soutbox deliver")
      :format(text.plural(s.undelivered, "message"), where))
  end
  if outcome.state == "FAILED" then print_failure(out, outcome, run, id, o.home, paint) end
  if outcome.reason == "limit" and outcome.error then
    out("  " .. outcome.error.message)
    return
  end
  if outcome.state == "STOPPED" and id > 0 then
    local where = o.home and ("--home %s "):format(o.home) or ""
    out(("next: flowrun %srerun %d --failed"):format(where, id))
  end
end

return summary
