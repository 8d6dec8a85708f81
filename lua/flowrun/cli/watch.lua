--- `flowrun watch FILE`: runs a flow again whenever one of its files is saved.
local body = require "flowrun.core.body"
local cli = require "flowrun.cli"
local drive = require "flowrun.cli._drive"
local session = require "flowrun.session"
local tty = require "flowrun.core.tty"

local LOOK_S = 0.1                               -- how often files are looked at

-- What the files of a script are now: a change of any of them is a save.
local function marks(paths)
  local out = {}
  for i, path in ipairs(paths) do
    local kind, changed, size = tty.stat(path)
    out[i] = kind and ("%d/%d"):format(changed, size) or "gone"
  end
  return table.concat(out, " ")
end

-- Paths as the script shows them; a script that does not load is watched itself.
local function paths_of(script, file)
  local out = {file}
  for _, f in ipairs(script and script.files or {}) do out[#out + 1] = f.path end
  return out
end

-- Says that it waits, when Ctrl-C is heard already, and waits for a save; false: interrupted.
local function wait_for_save(engine, paths, before, said)
  engine:signals(true)
  io.stderr:write(said)
  local saved = false
  while engine:interrupts() == 0 and not saved do
    session.pause(LOOK_S)
    saved = marks(paths) ~= before
  end
  local interrupted = engine:interrupts() > 0
  engine:signals(false)
  return not interrupted
end

-- One run. Returns the exit code and the script, which is nil when it did not load.
local function once(o, file, given, watch)
  local script, f, p
  local code = drive.guard(function()
    script, f, p = require("flowrun.cli.run").prepare(o, file, given)
    if not script then return f end
    local run = session.start(script, f, p, {seed = watch.seed, moments = true,
      cache_session = watch.id, cache = o.no_cache and "off" or o.refresh and "refresh" or nil})
    local exit = drive.run(run, {script = script, flow = f, params = p}, o)
    io.stdout:flush()
    local s = run:stats()
    io.stderr:write(("watch: %d of %d calls from the cache\n"):format(s.cached,
      s.calls + math.max(0, s.items - 1)))
    run:close()
    return exit
  end)
  return code, script
end

local function watch(args)
  local o, rest = drive.parse(args)
  if not o then return cli.usage(rest .. "; see flowrun help watch") end
  local file = table.remove(rest, 1)
  if not file then return cli.usage("which FILE? flowrun watch [options] FILE [--param …]") end
  local started = body.now()
  local this = {seed = o.run_seed or session.new_seed(),
    id = require("flowrun.core.script").hash(("%d %.9f"):format(session.new_seed(), started))}
  local opened, engine = pcall(session.engine, {home = o.home, workers = o.workers,
    relaxed = o.relaxed})
  if not opened then return drive.guard(function() error(engine, 0) end) end
  local code, known
  repeat
    local paths = paths_of(known, file)
    local before = marks(paths)
    local script
    code, script = once(o, file, rest, this)
    if code == cli.exit.interrupted or code == cli.exit.usage then break end
    if script then
      known = script
      local all = paths_of(script, file)
      if #all ~= #paths then paths, before = all, marks(all) end
    end
    local said = ("watch: waiting for a change of %s (Ctrl-C ends)\n"):format(
      #paths > 2 and ("%s and %d more"):format(file, #paths - 2) or file)
  until not wait_for_save(engine, paths, before, said)
  session.close()
  return code == cli.exit.usage and code or cli.exit.ok
end

return {
  summary = "run a flow again at every save of its files",
  args = "[options] FILE [--param …]",
  help = [[
Runs the flow, waits until the script, a module that it requires or a file that it reads by
fr.config is saved, and runs it again with the code as it is then. A task whose code and arguments
have not changed since takes its result from the cache: all tasks do while watching, also those
without the option `cache` and those with effects (a mail is not sent again at every save); their
results count for this watch only. Every run uses the same seed. --refresh and --no-cache compute
everything each time. Ctrl-C ends.]],
  run = watch,
}
