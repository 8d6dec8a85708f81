--- `flowrun [options] FILE [--param …]`: runs a flow.
local bundle = require "flowrun.bundle"
local cli = require "flowrun.cli"
local drive = require "flowrun.cli._drive"
local error_class = require "flowrun.core.error"
local params = require "flowrun.params"
local session = require "flowrun.session"

local help = [[
flowrun [options] FILE [parameters]

Runs the flow that FILE defines and waits for its end. Every step is recorded; after a crash
`flowrun resume RUN` goes on where it stopped. Results are printed on stdout, progress on stderr.

options (before FILE)
  --home DIR       where runs are kept ($FLOWRUN_HOME; default ~/.local/share/flowrun)
  --params FILE    read parameters from a JSON file; --name VALUE after FILE wins
  --flow NAME      which flow, when FILE defines several
  --workers N      worker threads (default: one per core)
  --max-running N  bodies at once, in threads and processes together
  --run-seed N     seed of fr.random and of models without one (default: drawn, and recorded)
  --plain          plain lines instead of a live display; --quiet shows only failures
  --json           print the result as one line of JSON
  --refresh        compute what is cached anew, and keep that; --no-cache neither uses nor keeps
  --relaxed        do not wait for the disk at every commit (a power loss may lose the last second)

parameters (after FILE)
  --name VALUE or --name=VALUE, as the flow declares them; `flowrun FILE --help` lists them

exit codes
  0 ok · 1 flow failed · 2 usage or parameters · 3 the script does not load · 4 cancelled
  5 the flow's own timeout · 6 quality gate · 130 interrupted
  75 drained after SIGTERM: what ran has finished, `flowrun resume` goes on]]

local function pick_flow(script, name)
  local names = {}
  for known in pairs(script.flows) do names[#names + 1] = known end
  table.sort(names)
  if name then
    if script.flows[name] then return script.flows[name] end
    local near = error_class.nearest(name, names)
    return nil, ("%s returns no flow '%s'%s; it has %s"):format(script.path, name,
      near and " (did you mean '" .. near .. "'?)" or "", table.concat(names, ", "))
  end
  if script.flow then return script.flow end
  return nil, ("%s returns %d flows (%s); say which one: --flow NAME"):format(script.path, #names,
    table.concat(names, ", "))
end

local function flow_help(f, file)
  local lines = {("flowrun %s [parameters]"):format(file)}
  if f.options.description then lines[#lines + 1] = "\n" .. f.options.description end
  lines[#lines + 1] = "\nparameters"
  lines[#lines + 1] = params.help and params.help(f.params) or "  (see the script)"
  print(table.concat(lines, "\n"))
end

local function read_params(path)
  local f, why = io.open(path)
  if not f then
    error_class.raise("parameter", ("--params %s: %s"):format(path, why:gsub("^[^:]*: ", "")))
  end
  local text = f:read("a")
  f:close()
  local v, err = require("flowrun.json").try_decode(text)
  if err then error_class.raise("parameter", ("--params %s: %s"):format(path, tostring(err))) end
  if type(v) ~= "table" or #v > 0 then
    local kind = type(v) == "table" and "list" or type(v)
    error_class.raise("parameter",
      ('--params %s: expected a JSON object as in {"name": 1}, got a %s'):format(path, kind))
  end
  return v
end

--- Loads FILE, picks the flow and reads its parameters.
---@param o table options
---@param file string
---@param given string[] words after FILE
---@return flowrun.Script? script nil: there is nothing to run
---@return flowrun.Flow|integer flow or the exit code
---@return table? params
local function prepare(o, file, given)
  local script = bundle.load(file)
  local f, why = pick_flow(script, o.flow)
  if not f then return nil, cli.usage(why) end
  for _, word in ipairs(given) do
    if word == "--help" or word == "-h" then
      flow_help(f, file)
      return nil, cli.exit.ok
    end
  end
  local texts = params.from_args(f.name, f.params, given, drive.options)
  return script, f, params.read(f.name, f.params, o.params and read_params(o.params), texts)
end

local function start(o, file, given)
  local script, f, p = prepare(o, file, given)
  if not script then return f end
  session.engine{home = o.home, workers = o.workers, relaxed = o.relaxed}
  local run = session.start(script, f, p, {seed = o.run_seed, moments = true,
    max_running = o.max_running,
    cache = o.no_cache and "off" or o.refresh and "refresh" or nil})
  return drive.run(run, {script = script, flow = f, params = p}, o)
end

local function run(args)
  local o, rest = drive.parse(args)
  if not o then return cli.usage(rest .. "; see flowrun --help") end
  local file = table.remove(rest, 1)
  if not file then return cli.usage("which FILE? flowrun [options] FILE [--param …]") end
  local code = drive.guard(function() return start(o, file, rest) end)
  return session.leave(code)
end

return {summary = "run a flow (the default command)", args = "[options] FILE [--param …]",
        help = help, run = run, prepare = prepare}
