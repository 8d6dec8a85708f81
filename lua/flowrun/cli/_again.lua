--- What `resume` and `rerun` share: opening a recorded run and driving it on.
local bundle = require "flowrun.bundle"
local cli = require "flowrun.cli"
local drive = require "flowrun.cli._drive"
local error_class = require "flowrun.core.error"
local look = require "flowrun.cli._look"
local params = require "flowrun.params"
local session = require "flowrun.session"

local again = {}

local known = {["--workers"] = "N", ["--max-running"] = "N", ["--plain"] = false,
  ["--quiet"] = false, ["--json"] = false,
               ["--relaxed"] = false, ["--grace"] = "TIME"}
again.known = known

local function flow_of(script, run)
  local f = script:find(run.flow)
  if not f then
    error_class.raise("load", ("the code of run %d does not define flow '%s' any more")
      :format(run.id, run.flow))
  end
  return f
end

--- The parameters that a run goes on with: its own, or those of its latest rerun.
---@param store fr.store
---@param run fr.store.run
---@return table
function again.params(store, run)
  local p = run.params
  for r in store:journal(run.id) do
    if r.type == "request" and r.result and (r.name == "rerun" or r.name == "rerun_only") then
      p = r.result
    end
  end
  return p and p:unpack() or {}
end

--- Reads `--param name=value` words over the parameters of a run.
---@param f flowrun.Flow
---@param given string[] "name=value"
---@param before table
---@return table checked
function again.with_params(f, given, before)
  local args = {}
  for _, word in ipairs(given) do
    local name, value = word:match("^([^=]+)=(.*)$")
    if not name then
      error_class.raise("parameter", ("--param: expected name=value, got '%s'"):format(word))
    end
    args[#args + 1] = ("--%s=%s"):format(name, value)
  end
  return params.read(f.name, f.params, before, params.from_args(f.name, f.params, args))
end

--- The calls of a run that a word names: a task, a call of it (fit#2), a row or a key.
---@param store fr.store
---@param run fr.store.run
---@param word string
---@return fr.store.record[]
function again.calls(store, run, word)
  local show = require "flowrun.cli._tasks"
  local list = {}
  for _, r in ipairs(show.named(show.of_run(store, run.id), word)) do
    if r.kind and r.kind ~= "sleep" then list[#list + 1] = r end
  end
  return list
end

--- Continues `run`: with its own code, or (rerun) with the file as it is now.
---@param run fr.store.run
---@param o table options
---@param home string
---@param sources string? packed bundle; nil = load run.file anew
---@param rerun boolean
---@param more? table further options of session.start
---@return integer exit_code
function again.continue(run, o, home, sources, rerun, more)
  local script = sources and bundle.open(sources) or bundle.load(run.file)
  local f = flow_of(script, run)
  local p = o.last_params
  more = more or {}
  if o.param then
    p, more.new_params = again.with_params(f, o.param, p), true
  end
  session.engine{home = home, workers = o.workers, relaxed = o.relaxed}
  local start = {seed = run.seed, moments = true, max_running = o.max_running}
  if not more.fork then
    start.resume, start.rerun, start.started = run.id, rerun, run.started
    start.attempt = run.attempt + 1
    o.resumed = true
  end
  for k, v in pairs(more) do start[k] = v end
  local r = session.start(script, f, p, start)
  return drive.run(r, {script = script, flow = f, params = p}, o)
end

--- Parses the words of a command with one RUN and calls fn(run, sources, o, home, found), where
--- found is what find(store, run, o) returned while the store was open.
function again.command(args, more, fn, find)
  local all = {}
  for k, v in pairs(known) do all[k] = v end
  for k, v in pairs(more or {}) do all[k] = v end
  local given, rest, i = {}, {}, 1                -- --param may be there several times
  while args[i] do
    local value = args[i]:match("^%-%-param=(.*)$")
    if args[i] == "--param" and all["--param"] then
      i = i + 1
      value = args[i]
      if not value then return cli.usage("option --param needs a value: --param name=value") end
    end
    if value and all["--param"] then given[#given + 1] = value else rest[#rest + 1] = args[i] end
    i = i + 1
  end
  local o, words = look.parse(rest, all, 1)
  if not o then return cli.usage(words .. "; see flowrun --help") end
  o.param = #given > 0 and given or nil
  local code = drive.guard(function()
    local store, home = look.open(o)
    local run = look.run(store, words[1])
    local code = store:code(run)
    local sources = code and store:bundle(code)
    o.last_params = again.params(store, run)
    local found = find and find(store, run, o)
    store:close()
    return fn(run, sources, o, home, found)
  end)
  return session.leave(code)
end

return again
