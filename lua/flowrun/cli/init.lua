--- The command line: finds the command and runs it.
--- A command is a module flowrun.cli.<name> returning {summary, args, run}: one line for the
--- list, the usage of its arguments, and run(args) -> exit code (nil is 0).
--- Exit codes: 0 ok, 1 flow failed, 2 usage or parameters, 3 the script does not load,
--- 4 cancelled, 5 the flow's own timeout, 6 quality gate, 75 drained, 130 interrupted.
local embed = require "flowrun.core.embed"
local error_class = require "flowrun.core.error"

local cli = {}

cli.exit = {
  ok = 0, failed = 1, usage = 2, load = 3, cancelled = 4, timeout = 5, quality = 6,
  drained = 75, interrupted = 130,
}

local short = {["-h"] = "help", ["--help"] = "help", ["-V"] = "version", ["--version"] = "version"}

--- Names of all commands, sorted.
---@return string[]
function cli.commands()
  local names = {}
  for _, path in ipairs(embed.list("lua/flowrun/cli/")) do
    local name = path:match("^lua/flowrun/cli/([%l_]+)%.lua$")
    if name and name ~= "init" and not name:find("^_") then names[#names + 1] = name end
  end
  return names
end

--- The command with that name, or nil. Files named _x.lua are helpers, not commands.
---@param name string
---@return {summary: string, args: string, run: fun(args: string[]): integer?}?
function cli.command(name)
  if not name:find("^%l[%l_]*$") or name == "init"
    or not embed.read("lua/flowrun/cli/" .. name .. ".lua") then
    return nil
  end
  return require("flowrun.cli." .. name)
end

--- Prints a usage error with a hint and returns exit code 2.
---@param message string
---@return integer
function cli.usage(message)
  io.stderr:write("flowrun: ", message, "\n")
  return cli.exit.usage
end

local function unknown(word)
  if word:find("^%-") then
    return cli.usage(("unknown option '%s'; see flowrun --help"):format(word))
  end
  local near = error_class.nearest(word, cli.commands())
  return cli.usage(("'%s' is neither a command nor a script%s; see flowrun --help"):format(word,
    near and (" (did you mean '" .. near .. "'?)") or ""))
end

--- Whether `flowrun WORD …` means running a script: a file, or options in front of one.
local function means_run(word)
  return word:find("%.lua$") or word:find("^%-%-%l") or word:find("/", 1, true)
end

-- `flowrun --home DIR COMMAND …` is `flowrun COMMAND … --home DIR`.
local function home_last(argv)
  local n = argv[1] == "--home" and 2 or (argv[1] or ""):find("^%-%-home=") and 1
  if not n or not argv[n + 1] or not cli.command(argv[n + 1]) then return argv end
  local out = table.move(argv, n + 1, #argv, 1, {})
  return table.move(argv, 1, n, #out + 1, out)
end

-- Words behind the script of these commands are the script's: `flowrun FILE --help` lists the
-- parameters of its flow.
local hands_on = {run = true, lua = true, watch = true}

local function asks_help(name, rest)
  for _, word in ipairs(rest) do
    if word == "--help" or word == "-h" then return true end
    if hands_on[name] and word:find("%.lua$") then return false end
  end
  return false
end

--- Runs the program. Called by main.c with the table of arguments.
---@param argv string[]
---@return integer exit_code
function cli.main(argv)
  argv = home_last(argv)
  local word = argv[1]
  if not word then
    cli.command("help").run({})
    return cli.exit.usage
  end
  local name = short[word] or word
  local command = cli.command(name)
  local rest = table.move(argv, 2, #argv, 1, {})
  if not command and means_run(word) then
    name, command = "run", cli.command("run")
    rest = table.move(argv, 1, #argv, 1, {})
  end
  if not command then return unknown(word) end
  if asks_help(name, rest) then
    return cli.command("help").run(name ~= "help" and {name} or {})
  end
  return command.run(rest) or cli.exit.ok
end

return cli
