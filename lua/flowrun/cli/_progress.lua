--- What a run shows on stderr while it goes on: on a terminal a block of one line per task,
--- redrawn in place; elsewhere one plain line per event.
local text = require "flowrun.cli._text"
local tty = require "flowrun.core.tty"

local progress = {}

local spinner = {"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"}
local eighths = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"}
local PLAIN_MOST = 20                            -- lines per task before they are summed up

---@class flowrun.Progress
local Progress = {}
Progress.__index = Progress

--- A display for `run`. kind: "block", "plain" or "quiet".
---@param run userdata flowrun.Run
---@param kind string
---@param colours boolean
function progress.new(run, kind, colours)
  local self = setmetatable({run = run, kind = kind, paint = text.painter(colours), drawn = 0,
                             frame = 0, lines = {}, printed = {}, rates = {}}, Progress)
  return self
end

local function now_ns()
  return math.floor(require("flowrun.core.body").now() * 1e9)
end

local function bar(done, total, width)
  local full = total > 0 and done / total * width or 0
  local whole = math.floor(full)
  local part = eighths[math.floor((full - whole) * 8) + 1]
  return "█" .. ("█"):rep(whole - 1) .. part
    .. ("·"):rep(width - math.max(whole, 1) - (part ~= "" and 1 or 0)), whole
end

local function bar_text(done, total, width)
  if done == 0 then return ("·"):rep(width) end
  return (bar(done, total, width))
end

-- Items per second since the task started, and the time that is left at that pace.
local function pace(t, now)
  local seconds = (now - t.first_started) / 1e9
  if t.first_started == 0 or seconds < 0.2 or t.items_done == 0 then return "" end
  local rate = t.items_done / seconds
  local left = (t.items - t.items_done) / rate
  local shown = rate >= 10 and text.count(math.floor(rate)) .. "/s" or ("%.1f/s"):format(rate)
  if t.items_done >= t.items then return shown end
  return ("%s  about %s left"):format(shown, text.duration(math.floor(left * 1e9)))
end

local function state_of(t)
  if t.failed > 0 and t.ended == t.calls then return "failed" end
  if t.ended == t.calls then return "done" end
  if t.running > 0 or t.items_done > 0 then return "running" end
  return t.first_started ~= 0 and "waiting" or "queued"
end

function Progress:task_line(t, now, name_width)
  local paint, state = self.paint, state_of(t)
  local mark = state == "done" and paint("green", "✔") or state == "failed" and paint("red", "✘")
    or state == "running" and paint("cyan", spinner[self.frame % #spinner + 1]) or paint("dim", "◌")
  local name = text.pad(text.cut(text.short(t.name), name_width), name_width)
  local rest
  if t.items > 0 and t.ended < t.calls then
    rest = ("%s  %s/%s  %s"):format(bar_text(t.items_done, t.items, 24), text.count(t.items_done),
      text.count(t.items), pace(t, now))
  else
    local spent = t.ended == t.calls and t.busy
      or t.first_started ~= 0 and now - t.first_started or 0
    rest = ("%8s"):format(spent > 0 and text.duration(spent) or "")
    if t.items > 0 then rest = rest .. ("  %s items"):format(text.count(t.items)) end
    if t.calls > 1 then
      rest = rest .. ("  %s/%s"):format(text.count(t.ended), text.count(t.calls))
    end
    if state == "queued" then rest = rest .. "  waits" end
  end
  if t.recorded > 0 then rest = rest .. paint("dim", ("  %d recorded"):format(t.recorded)) end
  if t.cached > 0 then rest = rest .. paint("dim", ("  %s cached"):format(text.count(t.cached))) end
  if t.degraded > 0 then
    rest = rest .. paint("yellow", ("  %s degraded"):format(text.count(t.degraded)))
  end
  if t.retries > 0 then rest = rest .. paint("yellow", "  " .. text.plural(t.retries, "retry")
    :gsub("retrys$", "retries")) end
  if t.failed > 0 then rest = rest .. paint("red", ("  %d failed"):format(t.failed)) end
  return (" %s %s %s"):format(mark, name, rest)
end

-- Rows to show when there are more than fit: running ones first, then the latest.
local function choose(tasks, most)
  if #tasks <= most then return tasks, 0 end
  local chosen, seen = {}, {}
  for _, wanted in ipairs{"running", "failed", "waiting", "queued", "done"} do
    for i = #tasks, 1, -1 do
      if #chosen < most and not seen[i] and state_of(tasks[i]) == wanted then
        chosen[#chosen + 1], seen[i] = i, true
      end
    end
  end
  table.sort(chosen)
  local out = {}
  for i, k in ipairs(chosen) do out[i] = tasks[k] end
  return out, #tasks - #out
end

function Progress:erase()
  if self.drawn > 0 then
    io.stderr:write(("\27[%dA\27[J"):format(self.drawn))
    self.drawn = 0
  end
end

--- Redraws the block (kind "block").
function Progress:draw()
  local columns, rows = tty.size("stderr")
  local tasks, hidden = choose(self.run:tasks(), math.max(3, rows - 4))
  local now, width = now_ns(), 8
  for _, t in ipairs(tasks) do width = math.max(width, utf8.len(text.short(t.name))) end
  width = math.min(width, 28)
  self.frame = self.frame + 1
  local out = {}
  for i, t in ipairs(tasks) do out[i] = self:task_line(t, now, width) end
  if hidden > 0 then out[#out + 1] = self.paint("dim", ("   and %d more tasks"):format(hidden)) end
  local s = self.run:stats()
  out[#out + 1] = self.paint("dim", ("   %s · %d done · %d running · %d waiting"):format(
    text.plural(s.calls, "call"), s.succeeded + s.failed + s.skipped + s.stopped, s.running,
    s.waiting + s.queued))
  -- One write inside a synchronized update: nothing flickers, nothing is half drawn.
  local block = "\27[?2026h" .. (self.drawn > 0 and ("\27[%dA\27[J"):format(self.drawn) or "")
  for _, line in ipairs(out) do
    block = block .. "\27[?7l" .. text.cut(line, columns + 40) .. "\27[?7h\n"
  end
  io.stderr:write(block, "\27[?2026l")
  io.stderr:flush()
  self.drawn = #out
end

-- One line per event; after PLAIN_MOST lines of a task only failures and retries.
function Progress:plain(moment)
  local what, node = moment[1], moment[2]
  if what == "items" or what == "started" then return end
  local n = self.run:info(node)
  if n.recorded then return end
  local name, paint = text.short(n.name), self.paint
  local count = (self.printed[n.name] or 0) + 1
  self.printed[n.name] = count
  if what == "retry" then
    io.stderr:write((" %s %s  attempt %d failed: %s\n"):format(paint("yellow", "↻"), name,
      n.attempt, n.error and n.error.message or "?"))
  elseif n.state == "SUCCESS" then
    if count == PLAIN_MOST + 1 then
      io.stderr:write((" … %s: further ends are summed up below\n"):format(name))
    end
    if count > PLAIN_MOST then return end
    local spent = n.started ~= 0 and text.duration(n.ended - n.started) or "-"
    local notes = n.items > 0 and ("  %s items"):format(text.count(n.items)) or ""
    if n.attempt > 1 then notes = notes .. ("  attempt %d"):format(n.attempt) end
    if n.reason == "cached" then notes = notes .. paint("dim", "  cached") end
    if n.reason == "degraded" then notes = notes .. paint("yellow", "  degraded: fallback used") end
    io.stderr:write((" %s %s  %s%s\n"):format(paint("green", "✔"), name, spent, notes))
  else
    local why = n.error and n.error.message or n.reason
    io.stderr:write((" %s %s  %s: %s\n"):format(paint("red", n.state == "STOPPED" and "■" or "✘"),
      name, n.state:lower(), text.cut((why:gsub("\n.*", "")), 160)))
  end
end

--- Prints a line above the block (task output, warnings).
function Progress:print(line)
  self:erase()
  io.stderr:write(line, "\n")
end

--- Called after each turn of the loop. due: the block may be redrawn now.
function Progress:update(due)
  if self.kind == "block" then
    if due then
      self.run:moments()
      self:draw()
    end
  elseif self.kind == "plain" then
    local moments = self.run:moments()
    for _, m in ipairs(moments or {}) do self:plain(m) end
  end
end

--- Removes the block; what follows is the summary.
function Progress:finish()
  if self.kind == "plain" then self:update() end
  self:erase()
end

return progress
