--- `flowrun repl [FILE]`: try out tasks and flows at a prompt under which runs go on.
local cli = require "flowrun.cli"
local drive = require "flowrun.cli._drive"
local Repl = require "flowrun.repl"
local session = require "flowrun.session"

local help = [[
Type Lua; an expression is printed. fr, frame, ml, ts and json are there. With FILE its tasks and
flows are there by name, and a saved FILE is loaded again by itself. A flow that is started with
flow:run{…} goes on in the background; its lines appear above the prompt.

:runs [N]       the newest runs             :show RUN     one run
:logs RUN       what its tasks printed      :load RUN     open a recorded run as `run`
:rerun TASK     call a task of the loaded run again with its recorded arguments
:reload         load FILE again             :help  :quit  (or Ctrl-D)

Ctrl-C ends the running input, never the session.]]

local function run(args)
  local o, rest = drive.parse(args, {["--home"] = "DIR", ["--workers"] = "N"})
  if not o then return cli.usage(rest .. "; see flowrun repl --help") end
  if #rest > 1 then return cli.usage(("repl: unexpected '%s'"):format(rest[2])) end
  local code = drive.guard(function()
    session.engine{home = o.home, workers = o.workers}
    return Repl.new(rest[1], help):loop()
  end)
  session.close()
  return code
end

return {
  summary = "try tasks and flows at a prompt",
  args = "[--home DIR] [FILE]",
  help = help,
  run = run,
}
