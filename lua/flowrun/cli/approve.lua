--- `flowrun approve RUN [NAME]`: answers fr.approve of a run.
local look = require "flowrun.cli._look"
local waits = require "flowrun.cli._waits"

return {
  summary = "approve what a run asks for",
  args = "RUN [NAME] [--comment TEXT] [--as PERSON]",
  help = [[
RUN is a number or @last; NAME is needed when it waits for several approvals (see flowrun show
RUN, flowrun runs --waiting). Who and why are recorded in the run's journal. With no process the
answer waits for flowrun resume RUN.]],
  run = function(args)
    return look.command(args, {["--comment"] = "TEXT", ["--as"] = "PERSON"}, 2,
      function(store, o, words) return waits.decide(store, o, words, "approve") end, true)
  end,
}
