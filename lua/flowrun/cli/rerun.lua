--- `flowrun rerun RUN --failed`: continues a finished run with the code as it is now.
local again = require "flowrun.cli._again"
local cli = require "flowrun.cli"

return {
  summary = "continue a finished run: failed tasks and what depends on them",
  args = "RUN --failed [--workers N] [--plain|--quiet]",
  help = "Uses the script as it is now. Successes and handled failures stay as they are; failures\n"
    .. "that nobody handled, and all that depends on them, run again. Old attempts are kept.",
  run = function(args)
    return again.command(args, {["--failed"] = false}, function(run, _, o, home)
      if not o.failed then
        return cli.usage("rerun: say what to run again: flowrun rerun RUN --failed")
      end
      if run.state == "RUNNING" then
        return cli.usage(("run %d has not ended; %s"):format(run.id, run.alive
          and "wait for it or cancel it" or ("its process died: flowrun resume %d"):format(run.id)))
      end
      if run.state == "SUCCESS" then
        return cli.usage(("run %d succeeded; nothing failed in it"):format(run.id))
      end
      return again.continue(run, o, home, nil, true)
    end)
  end,
}
