--- `flowrun cancel RUN`: asks a run to stop.
local cli = require "flowrun.cli"
local look = require "flowrun.cli._look"

return {
  summary = "ask a run to stop",
  args = "RUN",
  help = "The run cancels what is running, waits until it has stopped, and ends STOPPED.\n"
    .. "A run without a process does so when it is resumed.",
  run = function(args)
    return look.command(args, nil, 1, function(store, o, words)
      local run = look.run(store, words[1])
      if run.state ~= "RUNNING" and run.state ~= "QUEUED" and run.state ~= "PAUSED" then
        return cli.usage(("run %d has ended already: %s"):format(run.id, run.state))
      end
      store:request(run.id, "cancel", "{}")
      if o.json then
        look.json{id = run.id, asked = true, alive = run.alive}
      else
        print(run.alive and ("run %d was asked to stop"):format(run.id)
          or ("run %d has no process; it stops when it is resumed: flowrun resume %d")
            :format(run.id, run.id))
      end
    end, true)
  end,
}
