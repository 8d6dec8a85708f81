--- `flowrun show RUN`: one run with its parameters, tasks, result or error.
local look = require "flowrun.cli._look"
local run_tasks = require "flowrun.cli._tasks"
local text = require "flowrun.cli._text"
local unfinished = require "flowrun.cli._unfinished"
local waits = require "flowrun.cli._waits"

local function state_text(r)
  local why = r.reason and r.reason ~= "" and r.reason ~= "ran" and " (" .. r.reason .. ")"
  return r.state .. (why or "")
end

local function task_json(store, id, t)
  local out = {row = t.row, name = t.name, kind = t.kind, key = t.key, label = t.label,
    state = t.state, reason = t.reason ~= "" and t.reason or nil, attempt = t.attempt,
    queued = look.seconds(t.queued), started = look.seconds(t.started),
    ended = look.seconds(t.ended), args_hash = t.args, error = look.plain(t.error),
    waits = t.waits}
  if t.kind == "map" then
    out.count, out.failed, out.items = t.items, t.failed_items, {}
    for item in store:items(id, t) do
      out.items[#out.items + 1] = {index = item.index, key = item.key, state = item.state,
        reason = item.reason, attempt = item.attempt, args_hash = item.args,
        started = look.seconds(item.started), ended = look.seconds(item.ended),
        result = look.plain(item.result), error = look.plain(item.error)}
    end
  elseif t.state ~= "DEFERRED" then            -- there it says what is waited for
    out.result = look.plain(t.result)
  end
  return out
end

-- The run that it was forked from, and the task.
local function origin_of(run)
  local options = run.options or ""
  return math.tointeger(tonumber(options:match('"forked_from":(%d+)'))),
    options:match('"at":"([^"]*)"')
end

local function show_json(store, run)
  local list, queued = unfinished.of(store, run)
  local tasks = {}
  for i, t in ipairs(list) do tasks[i] = task_json(store, run.id, t) end
  look.json{id = run.id, flow = run.flow, state = run.state, reason = run.reason,
    started = look.seconds(run.started), ended = look.seconds(run.ended), attempt = run.attempt,
    forked_from = (origin_of(run)),
    seed = run.seed, file = run.file, bundle = run.bundle, params = look.plain(run.params),
    result = look.plain(run.result), error = look.plain(run.error), tasks = tasks,
    queued = setmetatable(queued, require("flowrun.json").array_mt),
    undelivered = #store:outbox{"pending", "dead", run = run.id}}
end

local function took(t)
  if t.started and t.started > 0 and t.ended and t.ended > 0 then
    return text.duration(t.ended - t.started)
  end
  return "-"
end

local function note_of(t)
  if t.waits then return text.cut(t.waits.text, 100) end
  if t.kind == "map" then
    return ("%s items%s"):format(text.count(t.items or 0), (t.failed_items or 0) > 0
      and (", %d failed"):format(t.failed_items) or "")
  end
  if t.error then return text.cut((tostring(look.plain(t.error).message):gsub("\n.*", "")), 70) end
  return t.result and text.cut(t.result:json(), 70) or ""
end

local MOST = 200

local function show(store, run)
  local paint = text.painter(text.colours("stdout"))
  print(("%s  run %d  %s"):format(paint("bold", run.flow), run.id, state_text(run)))
  local code = run.bundle and run.bundle:sub(1, 8) or "-"
  print(("started  %s   took %s   attempt %d"):format(text.time(run.started), took(run),
    run.attempt))
  print(("script   %s   code %s"):format(run.file or "-", code))
  local forked, at = origin_of(run)
  if forked then print(("forked   from run %d at %s"):format(forked, at)) end
  local params = run.params and run.params:json() or "[]"
  if params ~= "[]" then print("params   " .. params) end
  local rows = {}
  local tasks, queued = unfinished.of(store, run)
  for i, t in ipairs(tasks) do
    if i > MOST then break end
    rows[i] = {tostring(t.row), text.short(t.name or "?"), state_text(t), tostring(t.attempt or 0),
      took(t), note_of(t)}
  end
  if #rows > 0 then
    print("\n" .. text.table({"ROW", "TASK", "STATE", "ATTEMPT", "TOOK", "RESULT"}, rows,
      {true, false, false, true, true, false}))
  end
  local open = run.state == "RUNNING" or run.state == "PAUSED"
  for _, w in ipairs(open and waits.of(store, run.id) or {}) do
    print(("\nwaits for %s\n  answer: flowrun %s %d %s"):format(waits.text(w), w.kind, run.id,
      w.name))
  end
  for i, w in ipairs(queued) do
    if i > MOST then break end
    if i == 1 then print("") end
    print(("%s (%s)  %s"):format(text.short(w.name), w.row == 0 and "the run itself"
      or ("row %d"):format(w.row), w.text))
  end
  for _, m in ipairs(store:outbox{"pending", "dead", run = run.id, limit = 20}) do
    print(("\n%s message %d: %s%s\n  more: flowrun outbox show %d"):format(m.state, m.id, m.name,
      m.error and " (" .. text.cut(m.error, 100) .. ")" or "", m.id))
  end
  if #tasks > MOST then
    print(("… and %s more; flowrun show %d --json lists all"):format(text.count(#tasks - MOST),
      run.id))
  end
  local err = look.plain(run.error)
  if err then print(("\nerror[%s]: %s"):format(err.code, err.message)) end
  if run.result then print("\nresult   " .. text.cut(run.result:json(), 2000)) end
  if run.state == "PAUSED" and not run.alive then
    print(("\nit was drained; go on: flowrun resume %d"):format(run.id))
  elseif run.state == "SCHEDULED" and not run.alive then
    print(("\nits process ended between two attempts; go on: flowrun resume %d"):format(run.id))
  elseif (run.state == "RUNNING" or run.state == "QUEUED") and not run.alive then
    print(("\nits process died; go on: flowrun resume %d"):format(run.id))
  end
end

return {
  summary = "show a run: parameters, tasks, result or error",
  args = "RUN [[TASK] --why | --attempts] [--json]",
  help = [[
RUN is a number, @last or @failed.
TASK --why tells where the result of a cached task came from, or why it was computed: which
argument, function, version or file differs from the earlier call that is most like it. TASK is a
name, a row, a key, or fit#3 for the third call of fit.
[TASK] --attempts lists everything that was tried, in order, also before reruns.
--json prints id, flow, state, reason, started, ended, attempt, seed, file, bundle, params, result,
error, undelivered (messages) and tasks: row, name, kind, key, state, reason, attempt, queued,
started, ended, args_hash, result or error; maps have items with index, key, state, attempt,
started, ended, result. A task that is not finished has waits: reason (limit, worker, max_running,
alone, sleep, sensor, signal, approval, retry), text, and as it applies since, due, timeout
(seconds since 1970) and limits. Of those in line for their turn, the first hundred that have
waited for half a second are listed, and all that wait for limits.
queued lists what waits for slots of limits: row, name, limit, used, slots, rate, holders, text.]],
  run = function(args)
    local known = {["--why"] = false, ["--attempts"] = false}
    return look.command(args, known, 2, function(store, o, words)
      local run = look.run(store, words[1])
      if o.why or o.attempts or words[2] then
        local list = run_tasks.of_run(store, run.id)
        if o.attempts then
          return require("flowrun.cli._attempts").show(store, run,
            words[2] and run_tasks.named(list, words[2]), o.json)
        end
        return require("flowrun.cli._why").show(store, run,
          words[2] and run_tasks.named(list, words[2]) or list, o.json)
      end
      if o.json then show_json(store, run) else show(store, run) end
    end)
  end,
}
