--- `flowrun signal RUN NAME [JSON]`: gives a value to fr.signal(NAME) of a run.
local look = require "flowrun.cli._look"
local waits = require "flowrun.cli._waits"

return {
  summary = "give a run a signal it waits for",
  args = "RUN NAME [JSON] [--as PERSON]",
  help = [[
RUN is a number or @last. JSON is the value that fr.signal returns: 3, '"text"', '{"kv": 20}'.
A signal that comes early waits for the flow to ask; several are taken in order. With no process
it waits for flowrun resume RUN.]],
  run = function(args)
    return look.command(args, {["--as"] = "PERSON"}, 3, waits.signal, true)
  end,
}
