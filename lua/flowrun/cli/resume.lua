--- `flowrun resume RUN`: goes on with a run whose process died or was drained.
local again = require "flowrun.cli._again"
local cli = require "flowrun.cli"

return {
  summary = "go on with a run whose process died or was drained",
  args = "RUN [--workers N] [--plain|--quiet]",
  help = "Runs the flow body again with the recorded code; what is recorded is not run again.\n"
    .. "A finished run is continued by `flowrun rerun RUN --failed`.",
  run = function(args)
    return again.command(args, nil, function(run, sources, o, home)
      if run.state == "SCHEDULED" then       -- it died between two attempts of the flow
        return again.continue(run, o, home, sources, true)
      end
      if run.state ~= "RUNNING" and run.state ~= "QUEUED" and run.state ~= "PAUSED" then
        local text = "run %d has ended (%s); only a run whose process died is resumed%s"
        local hint = " -- continue it with `flowrun rerun %d --failed`"
        return cli.usage(text:format(run.id, run.state,
          run.state == "SUCCESS" and "" or hint:format(run.id)))
      end
      return again.continue(run, o, home, sources, false)
    end)
  end,
}
