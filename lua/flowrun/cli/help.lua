--- `flowrun help [COMMAND]`: the list of commands, or the usage of one.
local cli = require "flowrun.cli"

local head = [[
flowrun runs pipelines written as Lua scripts: concurrently, durably, on one machine.

usage: flowrun [OPTIONS] FILE [--PARAMETER VALUE …]   run the flow of a script
       flowrun COMMAND [ARGUMENTS]                    one of these
]]

local function run(args)
  local name = args[1]
  if not name then
    io.write(head)
    for _, command in ipairs(cli.commands()) do
      print(("  %-10s %s"):format(command, cli.command(command).summary))
    end
    print("\n`flowrun help COMMAND` tells more. Documentation: docs/tutorial.md")
    return 0
  end
  local command = cli.command(name)
  if not command then return cli.usage(("no command '%s'; see flowrun help"):format(name)) end
  print(("usage: flowrun %s %s\n\n%s"):format(name, command.args, command.help or command.summary))
  return 0
end

return {summary = "print this list, or the usage of a command", args = "[COMMAND]", run = run}
