--- The engine of this process: opened at the first run, closed at exit. `flow:run`, the
--- command line and the REPL start runs here.
local bundle = require "flowrun.bundle"
local engine_core = require "flowrun.core.engine"
local error_class = require "flowrun.core.error"
local flow = require "flowrun.flow"
local limits = require "flowrun.limits"
local machine = require "flowrun.machine"
local params = require "flowrun.params"

local session = {}

local engine, home_dir, guard

--- Where runs are kept: $FLOWRUN_HOME, else $XDG_DATA_HOME/flowrun, else
--- ~/.local/share/flowrun.
---@return string
function session.default_home()
  local dir = os.getenv("FLOWRUN_HOME")
  if dir and dir ~= "" then return dir end
  local data = os.getenv("XDG_DATA_HOME")
  if not data or data == "" then
    local user = os.getenv("HOME")
    if not user or user == "" then
      error_class.raise("invalid", "neither FLOWRUN_HOME, XDG_DATA_HOME nor HOME is set; "
        .. "say where runs are kept with --home DIR")
    end
    data = user .. "/.local/share"
  end
  return data .. "/flowrun"
end

--- The engine, opened if need be. o.home = false keeps nothing (tests).
---@param o? {home: string|false|nil, workers: integer?, relaxed: boolean?}
---@return userdata engine
function session.engine(o)
  if not engine then
    o = o or {}
    home_dir = o.home
    if home_dir == nil then home_dir = session.default_home() end
    engine = engine_core.open{home = home_dir or nil, workers = o.workers, relaxed = o.relaxed}
    guard = setmetatable({}, {__gc = session.close})
  end
  return engine
end

--- Directory of the open engine's store, or nil.
function session.home() return home_dir or nil end

--- Ends workers and store; everything that ended is on disk then.
function session.close()
  local e = engine
  engine, guard = nil, nil
  if e then e:close() end
  return guard
end

--- The same at the end of a program: what runs hold goes with the process, which ends here.
---@param code integer its exit code
function session.leave(code)
  local e = engine
  engine, guard = nil, nil
  if e then e:close(true) end
  os.exit(code, false)
end

-- What the script says of limits, and the flow's own.
local function limits_of(script, f)
  local list, own = limits.list(script.registry), f.options.concurrency
  if own then list[#list + 1] = {name = "flow:" .. f.name, slots = own.max or 1} end
  for _, l in ipairs(machine.limits(script)) do list[#list + 1] = l end
  return list, own and (own.full or "queue") or nil
end

--- Starts a run of a flow of a script. Parameters must have been checked.
---@param script flowrun.Script its environment belongs to this run alone
---@param f flowrun.Flow a flow of it
---@param p table checked parameters
---@param o? {seed: integer?, resume: integer?, rerun: boolean?, attempt: integer?,
---  moments: boolean?, max_running: integer?, cache: "use"|"refresh"|"off"|nil,
---  cache_session: string?}
---@return userdata run
function session.start(script, f, p, o)
  o = o or {}
  local list, full = limits_of(script, f)
  local run = session.engine():run({
    flow = f.name, file = script.path, bundle = script.hash, sources = script.sources,
    params = p, seed = o.seed or session.new_seed(),
    resume = o.resume, rerun = o.rerun, attempt = o.attempt, moments = o.moments,
    strict = f.options.durable == "strict", timeout = f.options.timeout, retry = f[2],
    hooks_of = f[1], rollback = f.options.rollback,
    fail_fast = f.options.fail_fast, defaults = flow.defaults(f),
    outbox_wait = o.outbox_wait or f.options.outbox_wait,
    started = o.started, plan = o.plan, limits = list, full = full,
    max_running = o.max_running or f.options.max_running,
    cache = o.cache, cache_session = o.cache_session,
    again = o.again, only = o.only, new_params = o.new_params, fork = o.fork, fork_at = o.fork_at,
    options = o.options,
  }, flow.body(f.fn))
  run:start()
  return run
end

--- The next attempt of a run whose flow failed and has retries left (outcome.retry_in): its
--- successes stay, what failed runs again, in a fresh environment.
---@return userdata run
function session.retry(script, f, p, run, o)
  local fresh = bundle.open(script.sources)
  local mine = fresh:find(f.name)
  local again = {seed = o and o.seed, resume = run:id(), rerun = true, moments = o and o.moments,
    max_running = o and o.max_running}
  run:close()
  return session.start(fresh, mine, p, again), fresh, mine
end

--- A seed for a new run, from the system.
---@return integer below 2^53, so that it survives JSON
function session.new_seed()
  local f = io.open("/dev/urandom", "rb")
  local bytes = f and f:read(8)
  if f then f:close() end
  local n = bytes and #bytes == 8 and ("<I8"):unpack(bytes) or os.time()
  return n & 0x1fffffffffffff
end

--- Turns the loop for that long, or until the user interrupts or `enough` says so.
---@param seconds number
---@param enough? fun(): boolean
function session.pause(seconds, enough)
  local body = require "flowrun.core.body"
  local until_time = body.now() + seconds
  engine:tick(math.max(1, math.min(100, math.floor(seconds * 1000))))
  while body.now() < until_time and engine:interrupts() == 0 and not (enough and enough()) do
    engine:turn()
  end
  engine:tick(0)
end

---@class flowrun.RunHandle
---@field id integer
local RunHandle = {}
RunHandle.__index = RunHandle
RunHandle.__name = "flowrun.RunHandle"

function RunHandle:__tostring()
  return ("run %d of %s: %s"):format(self.id, self.flow, self:state())
end

--- The state now: RUNNING until everything ended and is durable; QUEUED while its flow runs as
--- often as its option concurrency lets it.
---@return string
function RunHandle:state()
  local o = self.run:outcome()
  return o and o.state or self.run:waits() and "QUEUED" or "RUNNING"
end

--- Waits for the end; true and the flow's result, or nil and its error.
---@return boolean?, any
function RunHandle:try()
  while not self.run:ended() do
    engine:turn()
    if engine:interrupts() > 0 then
      error_class.raise("cancelled", "interrupted; the run goes on")
    end
  end
  local o = self.run:outcome()
  if o.retry_in then
    session.pause(o.retry_in)
    self.run, self.script, self.f = session.retry(self.script, self.f, self.params, self.run)
    return self:try()
  end
  if o.state == "SUCCESS" or o.state == "SKIPPED" then return true, o.result end
  return nil, o.error or error_class.new("cancelled", "the run was cancelled")
end

--- Waits for the end and returns the flow's result, or raises its error.
---@return any
function RunHandle:get()
  local ok, v = self:try()
  if not ok then error(v, 0) end
  return v
end

--- Asks the run to stop; `try` and `get` return when it has.
function RunHandle:cancel()
  self.run:cancel("cancelled", "asked by the script")
end

--- The script that defines a flow, loaded anew. The REPL replaces it: what was typed there is
--- a script of its own.
---@param f flowrun.Flow
---@return flowrun.Script
function session.script_of(f)
  local source = debug.getinfo(f.fn, "S").source
  if source:sub(1, 1) ~= "@" then
    error_class.raise("load", ("flow '%s' was not defined in a file; workers load its script from "
      .. "one"):format(f.name))
  end
  return bundle.load(source:sub(2), {partial = true})
end

--- flow:run(params) of a script (see flow.lua): loads the file that defined the flow anew, so
--- that the run has an environment of its own, and starts it.
---@param f flowrun.Flow
---@param p? table
---@return flowrun.RunHandle
function session.run(f, p)
  local checked = params.read(f.name, f.params, p)
  local script = session.script_of(f)
  local mine = script:find(f.name)
  if not mine then
    error_class.raise("load", ("flow '%s' is not defined at the top level of %s")
      :format(f.name, script.path))
  end
  local run = session.start(script, mine, checked)
  return setmetatable({run = run, id = run:id(), flow = f.name, script = script, f = mine,
    params = checked}, RunHandle)
end

return session
