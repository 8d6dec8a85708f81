--- `flowrun rerun RUN`: continues a finished run with the code as it is now.
local again = require "flowrun.cli._again"
local cli = require "flowrun.cli"

local known = {["--failed"] = false, ["--from"] = "TASK", ["--only"] = "TASK",
               ["--param"] = "name=value"}

-- The calls that --from or --only name.
local function find(store, run, o)
  local word = o.from or o.only
  if not word then return nil end
  local keys = {}
  for _, r in ipairs(again.calls(store, run, word)) do keys[#keys + 1] = r.key end
  return keys
end

local function rerun(run, _, o, home, keys)
  local ways = (o.failed and 1 or 0) + (o.from and 1 or 0) + (o.only and 1 or 0)
  if ways > 1 then return cli.usage("rerun: --failed, --from and --only exclude each other") end
  if ways == 0 and not o.param then
    return cli.usage(("rerun: say what to run again: flowrun rerun %d --failed | --from TASK | "
      .. "--only TASK | --param name=value"):format(run.id))
  end
  if run.state == "RUNNING" or run.state == "QUEUED" or run.state == "PAUSED" then
    local why = run.state == "PAUSED" and "it was drained" or "its process died"
    return cli.usage(("run %d has not ended; %s"):format(run.id, run.alive
      and "wait for it or cancel it" or ("%s: flowrun resume %d"):format(why, run.id)))
  end
  if run.state == "SUCCESS" and o.failed then
    return cli.usage(("run %d succeeded; nothing failed in it (flowrun rerun %d --from TASK)")
      :format(run.id, run.id))
  end
  return again.continue(run, o, home, nil, true, {again = keys, only = o.only ~= nil})
end

return {
  summary = "continue a finished run: what failed, or from a task on",
  args = "RUN --failed | --from TASK | --only TASK [--param name=value ...] [--workers N] "
    .. "[--plain|--quiet]",
  help = [[
Uses the script as it is now; old attempts are kept (flowrun show RUN --attempts).
--failed             failures that nobody handled, and all that depends on them, run again;
                     successes and handled failures stay as they are
--from TASK          TASK runs again, too, and all that depends on it
--only TASK          TASK alone runs again; everything else keeps its result
--param name=value   another parameter of the flow (may be given several times): what gets other
                     arguments by it runs again
TASK is a name (all its calls), fit#3 (the third call of fit), a row or a key. A subflow or a map
runs again with all that is in it.]],
  run = function(args) return again.command(args, known, rerun, find) end,
}
