--- What `resume` and `rerun` share: opening a recorded run and driving it on.
local bundle = require "flowrun.bundle"
local cli = require "flowrun.cli"
local drive = require "flowrun.cli._drive"
local error_class = require "flowrun.core.error"
local look = require "flowrun.cli._look"
local session = require "flowrun.session"

local again = {}

local known = {["--workers"] = "N", ["--plain"] = false, ["--quiet"] = false,
               ["--relaxed"] = false}
again.known = known

local function flow_of(script, run)
  local f = script:find(run.flow)
  if not f then
    error_class.raise("load", ("the code of run %d does not define flow '%s' any more")
      :format(run.id, run.flow))
  end
  return f
end

--- Continues `run`: with its own code, or (rerun) with the file as it is now.
---@param run fr.store.run
---@param o table options
---@param home string
---@param sources string? packed bundle; nil = load run.file anew
---@param rerun boolean
---@return integer exit_code
function again.continue(run, o, home, sources, rerun)
  local script = sources and bundle.open(sources) or bundle.load(run.file)
  local f = flow_of(script, run)
  local p = run.params and run.params:unpack() or {}
  session.engine{home = home, workers = o.workers, relaxed = o.relaxed}
  local r = session.start(script, f, p, {seed = run.seed, resume = run.id, rerun = rerun,
    attempt = run.attempt + 1, moments = true, started = run.started})
  o.resumed = true
  return drive.run(r, {script = script, flow = f, params = p}, o)
end

--- Parses the words of a command with one RUN and calls fn(run, sources, o, home).
function again.command(args, more, fn)
  local all = {}
  for k, v in pairs(known) do all[k] = v end
  for k, v in pairs(more or {}) do all[k] = v end
  local o, words = look.parse(args, all, 1)
  if not o then return cli.usage(words .. "; see flowrun --help") end
  local code = drive.guard(function()
    local store, home = look.open(o)
    local run = look.run(store, words[1])
    local sources = run.bundle and store:bundle(run.bundle)
    store:close()
    return fn(run, sources, o, home)
  end)
  session.close()
  return code
end

return again
