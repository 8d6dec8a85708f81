--- `flowrun runs`: the runs of a store, newest first.
local look = require "flowrun.cli._look"
local text = require "flowrun.cli._text"
local waits = require "flowrun.cli._waits"

-- A run whose process died shows as such: its row says RUNNING, its lock is free.
local function state_of(run)
  local begun = run.state == "RUNNING" or run.state == "QUEUED"
  if begun and not run.alive then return run.state, "crashed" end
  return run.state, run.reason
end

local function as_json(run)
  local state, reason = state_of(run)
  return {id = run.id, flow = run.flow, state = state, reason = reason ~= "" and reason or nil,
    started = look.seconds(run.started), ended = look.seconds(run.ended), attempt = run.attempt,
    file = run.file, alive = run.alive, pid = run.pid}
end

-- What runs wait for from outside: a table of its own.
local function list_waiting(store, o, shown)
  local all = {}
  for _, run in ipairs(shown) do
    local open = run.state == "RUNNING" or run.state == "SCHEDULED" or run.state == "PAUSED"
    for _, w in ipairs(open and waits.of(store, run.id) or {}) do
      w.flow, w.alive = run.flow, run.alive
      all[#all + 1] = w
    end
  end
  if o.json then
    local out = setmetatable({}, require("flowrun.json").array_mt)
    for i, w in ipairs(all) do
      out[i] = waits.json(w)
      out[i].flow, out[i].alive = w.flow, w.alive
    end
    look.json(out)
    return
  end
  local rows = {}
  for i, w in ipairs(all) do
    rows[i] = {tostring(w.run), w.flow, waits.text(w), text.time(math.floor(w.since * 1e9)),
      w.alive and "yes" or "no"}
  end
  print(text.table({"RUN", "FLOW", "WAITS FOR", "SINCE", "PROCESS"}, rows,
    {true, false, false, false, false}))
end

local function list(store, o)
  local limit = o.limit and math.tointeger(tonumber(o.limit)) or 20
  if o.waiting and not o.limit then limit = 100000 end
  local runs = store:runs{limit = (o.flow or o.waiting) and 100000 or limit}
  local shown = {}
  for _, run in ipairs(runs) do
    if (not o.flow or run.flow == o.flow) and #shown < limit then shown[#shown + 1] = run end
  end
  if o.waiting then return list_waiting(store, o, shown) end
  if o.json then
    local out = setmetatable({}, require("flowrun.json").array_mt)
    for i, run in ipairs(shown) do out[i] = as_json(run) end
    look.json(out)
    return
  end
  local rows = {}
  for i, run in ipairs(shown) do
    local state, reason = state_of(run)
    local ended = run.ended and run.ended > 0 and run.ended
    rows[i] = {tostring(run.id), run.flow, state .. (reason and reason ~= "" and reason ~= "ran"
      and " (" .. reason .. ")" or ""), text.time(run.started),
      ended and text.duration(ended - run.started) or "-"}
  end
  print(text.table({"RUN", "FLOW", "STATE", "STARTED", "TOOK"}, rows,
    {true, false, false, false, true}))
end

return {
  summary = "list runs, newest first",
  args = "[--limit N] [--flow NAME] [--waiting] [--json]",
  help = [[
--limit N     at most N (default 20)
--flow NAME   only runs of this flow
--waiting     what runs wait for from outside: signals and approvals (with --json objects with
              run, flow, kind, name, since, message, role, timeout, alive)
--json        an array of objects with id, flow, state, reason, started, ended (seconds since
              1970 UTC; absent while it runs), attempt, file, alive, pid]],
  run = function(args)
    return look.command(args, {["--limit"] = "N", ["--flow"] = "NAME",
      ["--waiting"] = false}, 0, list)
  end,
}
