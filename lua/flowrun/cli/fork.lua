--- `flowrun fork RUN --at TASK`: a new run that begins with another's results.
local again = require "flowrun.cli._again"
local cli = require "flowrun.cli"
local json = require "flowrun.json"

-- Where the calls that --at names were last begun, and what has been recorded from there on:
-- that is not taken, not even from before a rerun.
local function find(store, run, o)
  if not o.at then return nil end
  local rows, place, fresh = {}, nil, true
  for _, r in ipairs(again.calls(store, run, o.at)) do rows[r.row] = true end
  for r in store:records(run.id, "task", "retry", "timer", "map_part", "request") do
    if r.type == "request" and (r.name == "rerun" or r.name == "rerun_only") then
      fresh = true
    elseif rows[r.row] and r.type ~= "request" and (fresh or not place) then
      place, fresh = r.seq, false
    end
  end
  local keys, seen = {}, {}
  for r in store:records(run.id, "task", "retry", "timer") do
    if r.seq >= place and r.key and not seen[r.key] then
      seen[r.key] = true
      keys[#keys + 1] = r.key
    end
  end
  return {place = place, keys = keys}
end

local function fork(run, _, o, home, found)
  if not o.at then
    return cli.usage(("fork: say where: flowrun fork %d --at TASK"):format(run.id))
  end
  local options = json.encode{forked_from = run.id, at = o.at}
  return again.continue(run, o, home, nil, true, {fork = run.id,
    fork_at = found.place, again = found.keys, options = options})
end

return {
  summary = "make a new run that takes the results before a task",
  args = "RUN --at TASK [--param name=value ...] [--workers N] [--plain|--quiet]",
  help = [[
A new run of the same flow, with the script as it is now: what was recorded in RUN before TASK
was last begun is taken as it is, TASK and all that came later run. RUN itself stays as it is.
--param name=value   another parameter of the flow: what gets other arguments by it runs again]],
  run = function(args)
    return again.command(args, {["--at"] = "TASK", ["--param"] = "name=value"}, fork, find)
  end,
}
