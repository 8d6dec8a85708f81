--- Drives one run from the command line: turns the loop, shows progress, handles Ctrl-C,
--- prints the summary and the result, and maps the outcome to an exit code.
local body = require "flowrun.core.body"
local cli = require "flowrun.cli"
local drain = require "flowrun.cli._drain"
local duration = require "flowrun.duration"
local progress = require "flowrun.cli._progress"
local session = require "flowrun.session"
local summary = require "flowrun.cli._summary"
local text = require "flowrun.cli._text"
local tty = require "flowrun.core.tty"

local drive = {}

local TICK_MS = 100

--- The global options that stand before FILE, for usage texts.
drive.options = {
  ["--home"] = "DIR", ["--workers"] = "N", ["--run-seed"] = "N", ["--flow"] = "NAME",
  ["--params"] = "FILE", ["--plain"] = false, ["--quiet"] = false, ["--json"] = false,
  ["--relaxed"] = false, ["--refresh"] = false, ["--no-cache"] = false,
  ["--max-running"] = "N", ["--grace"] = "TIME",
}


--- Splits `args` into options (by drive.options or `known`), and the words from the first one
--- that is no option on. Returns nil and a message on a wrong option.
---@param args string[]
---@param known? table<string, string|false>
---@return table? options, string[]|string rest
function drive.parse(args, known)
  known = known or drive.options
  local o, i = {}, 1
  while args[i] and args[i]:sub(1, 1) == "-" and args[i] ~= "-" do
    local name, value = args[i]:match("^(%-%-[%w%-]+)=(.*)$")
    name = name or args[i]
    local takes = known[name]
    if takes == nil then
      local names = {}
      for k in pairs(known) do names[#names + 1] = k end
      local near = require("flowrun.core.error").nearest(name, names)
      local hint = near and "; did you mean '" .. near .. "'?" or ""
      return nil, ("unknown option '%s'%s"):format(name, hint)
    end
    if takes and not value then
      i = i + 1
      value = args[i]
      if not value then return nil, ("option %s needs a value: %s %s"):format(name, name, takes) end
    elseif not takes and value then
      return nil, ("option %s takes no value"):format(name)
    end
    o[name:sub(3):gsub("-", "_")] = value or true
    i = i + 1
  end
  for _, name in ipairs{"workers", "run_seed", "max_running"} do
    if o[name] then
      local n = math.tointeger(tonumber(o[name]))
      if not n or n < 0 then
        local option = name:gsub("_", "-")
        return nil, ("--%s: expected a whole number, got '%s'"):format(option, o[name])
      end
      o[name] = n
    end
  end
  if o.grace then
    local seconds, why = duration.try_seconds(o.grace)
    if not seconds then return nil, "--grace: " .. why end
    o.grace = seconds
  end
  return o, table.move(args, i, #args, 1, {})
end

local function kind_of(o)
  if o.quiet then return "quiet" end
  if o.plain or os.getenv("TERM") == "dumb" or not tty.is_terminal("stderr") then return "plain" end
  return "block"
end

local function exit_code(outcome, interrupts)
  if outcome.state == "PAUSED" then return cli.exit.drained end
  if outcome.state == "SUCCESS" or outcome.state == "SKIPPED" then return cli.exit.ok end
  if outcome.state == "STOPPED" then
    return interrupts > 0 and cli.exit.interrupted or cli.exit.cancelled
  end
  if outcome.reason == "timeout" then return cli.exit.timeout end
  if outcome.reason == "quality" then return cli.exit.quality end
  return cli.exit.failed
end

-- Results go to stdout: frames and texts as people read them, tables as JSON.
local function print_result(v, o)
  if v == nil and not o.json then return end
  if type(v) == "table" or o.json then
    local encode, options = require("flowrun.json").encode, {pretty = not o.json}
    local ok, s = pcall(encode, v, options)
    if not ok then s = encode(require("flowrun.cli._look").sayable(v), options) end
    io.stdout:write(s, "\n")
  else
    io.stdout:write(tostring(v), "\n")
  end
end

local function watch_trouble(engine, show, before)
  local code, message = engine:trouble()
  if code == before then return before end
  if code == "disk_full" then
    show:print(("flowrun: the disk is full (%s); the run waits until there is space")
      :format(message))
  elseif code == "busy" then
    show:print("flowrun: waiting for the store: " .. message)
  elseif code == nil then
    show:print("flowrun: the store goes on")
  else
    io.stderr:write(("flowrun: the store cannot go on: %s\nWhat was acknowledged is safe; "
      .. "run `flowrun resume` when it is mended.\n"):format(message))
    os.exit(cli.exit.failed)
  end
  return code
end

-- An iterator over the log lines that are new since the last call. The store is opened for
-- looking only when there is a log at all: most short flows print nothing.
local function log_reader(home, id, resumed)
  if not home or id == 0 then return function() return {} end end
  local store, from
  local path = ("%s/runs/%d"):format(home, id)
  if resumed and tty.has_prefix(path, "log-") then   -- those of earlier attempts were shown
    store, from = require("flowrun.store").open(home, {read_only = true}), 0
    local _, more
    repeat _, from, more = store:logs(id, {from = from}) until not more
  end
  return function()
    if not store then
      if not tty.has_prefix(path, "log-") then return {} end
      store, from = require("flowrun.store").open(home, {read_only = true}), 0
    end
    local lines
    lines, from = store:logs(id, {from = from})
    return lines
  end
end

-- A run that only waits wakes nobody, so its display stands still.
local function tick_while_busy(engine, run, ticking)
  local s = run:stats()
  local busy = s.running + s.queued > 0
  if busy ~= ticking then engine:tick(busy and TICK_MS or 0) end
  return busy
end

local function tell_wait(show, run, name)
  if not run:waits() then return false end
  show:print(("flowrun: waits: flow %s runs as often as its option concurrency lets it; "
    .. "flowrun show %d says who runs"):format(name, run:id()))
  return true
end

local function tell_retry(paint, outcome)
  io.stderr:write((" %s flow attempt failed: %s; the next one in %s\n"):format(
    paint("yellow", "↻"), outcome.error and outcome.error.message or "?",
    text.duration(math.floor(outcome.retry_in * 1e9))))
end

-- Waits for the next attempt of the flow and makes it: its exit code; nil when the user interrupts.
local function next_attempt(run, what, o, seconds, drained)
  local engine = session.engine()
  session.pause(seconds, drained.asked)
  if drained.asked() then
    drained.over()
    drained.tell(o.home and session.home())
    engine:signals(false)
    return cli.exit.drained
  end
  if engine:interrupts() > 0 then return nil end
  drained.over()
  engine:signals(false)
  local next_run, script, f = session.retry(what.script, what.flow, what.params, run,
    {seed = run:seed(), moments = true, max_running = o.max_running})
  return drive.run(next_run, {script = script, flow = f, params = what.params}, o)
end

--- Runs `run` to its end. Returns the exit code.
---@param run userdata flowrun.Run, started
---@param what {script: flowrun.Script, flow: flowrun.Flow, params: table}
---@param o table options: plain, quiet, json, home
---@return integer
function drive.run(run, what, o)
  local name = what.flow.name
  local engine = session.engine()
  local colours = text.colours("stderr")
  local kind = kind_of(o)
  local show = progress.new(run, kind, colours)
  local paint = text.painter(colours)
  local started, next_draw, trouble, asked, told = body.now(), 0, nil, 0, false
  local home = o.home and session.home()
  if kind ~= "quiet" then
    io.stderr:write(("%s  run %d%s\n"):format(paint("bold", name), run:id(),
      o.resumed and "  (resumed)" or ""))
  end
  local new_lines = log_reader(session.home(), run:id(), o.resumed)
  local function print_lines()
    for _, line in ipairs(new_lines()) do
      local colour = line.level >= 40 and "red" or line.level >= 30 and "yellow" or "dim"
      local edge = "   " .. paint(colour, "│") .. " "
      show:print(edge .. line.text:gsub("\n", "\n" .. edge))
    end
  end
  engine:signals(true)
  local drained = drain.watch(engine, run, show, o.grace)
  if kind == "block" then engine:tick(TICK_MS) end
  local ticking = kind == "block"
  while not run:ended() do
    if kind == "block" and not drained.asked() then
      ticking = tick_while_busy(engine, run, ticking)
    end
    engine:turn()
    local now = body.now()
    local due = now >= next_draw
    if due then
      next_draw = now + TICK_MS / 1000
      if kind ~= "quiet" then print_lines() end
    end
    told = told or tell_wait(show, run, name)
    show:update(due)
    trouble = watch_trouble(engine, show, trouble)
    drained.look(now)
    local n = engine:interrupts()
    if n > asked then
      asked = n
      show:print("flowrun: cancelling; what runs is asked to stop (Ctrl-C again kills)")
      run:cancel("cancelled", "interrupted")
    end
  end
  engine:tick(0)
  local outcome = run:outcome()
  if kind ~= "quiet" then print_lines() end
  show:finish()
  if outcome.retry_in and asked == 0 then
    if kind ~= "quiet" then tell_retry(paint, outcome) end
    local code = next_attempt(run, what, o, outcome.retry_in, drained)
    if code then return code end
  end
  drained.over()
  if outcome.state == "PAUSED" then
    drained.tell(home)
  elseif kind ~= "quiet" or outcome.state ~= "SUCCESS" then
    summary.print(name, run, outcome, math.floor((body.now() - started) * 1e9),
      {colours = colours, home = home})
  end
  if outcome.state == "SUCCESS" then print_result(outcome.result, o) end
  engine:signals(false)
  return exit_code(outcome, asked)
end

--- Runs fn and turns errors that carry a code into a message and an exit code.
---@param fn fun(): integer
---@return integer
function drive.guard(fn)
  local ok, v = xpcall(fn, function(e)
    if type(e) == "table" and e.code then return e end
    return {code = "internal", message = debug.traceback(tostring(e), 2)}
  end)
  if ok then return v end
  if v.code == "internal" then
    io.stderr:write("flowrun: ", v.message, "\n")
    return cli.exit.failed
  end
  io.stderr:write("flowrun: ", tostring(v), "\n")
  if v.code == "load" or v.code == "parse" then return cli.exit.load end
  if v.code == "parameter" or v.code == "invalid" or v.code == "not_found" or v.code == "version"
    or v.code == "busy" then
    return cli.exit.usage
  end
  return cli.exit.failed
end

return drive
