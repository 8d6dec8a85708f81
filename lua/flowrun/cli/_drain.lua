--- SIGTERM during a run of the command line: what runs may finish; after the grace it is stopped,
--- and soon the process ends anyhow. A second SIGTERM ends it at once (flowrun.core.drain).
local cli = require "flowrun.cli"
local core = require "flowrun.core.drain"
local duration = require "flowrun.duration"

local drain = {}

local TICK_MS = 100
local GRACE = 30                                -- seconds that tasks have to finish
local KILL = 3                                  -- and then to stop when they are cancelled

---@package
--- Notes SIGTERM from now on. look(now) belongs into the loop, over() behind it.
---@param engine userdata flowrun.Engine
---@param run userdata flowrun.Run
---@param show table where progress is shown
---@param grace? number seconds
---@return {asked: (fun(): boolean), look: fun(now: number), over: fun(), tell: fun(home: string?)}
function drain.watch(engine, run, show, grace)
  local stop_at, kill_at
  local self = {asked = core.asked}
  grace = grace or GRACE
  core.watch(engine)

  function self.look(now)
    if core.asked() and not stop_at then
      stop_at = now + grace
      engine:tick(TICK_MS)
      local n = run:stats().running
      show:print(("flowrun: draining: %s may finish, up to %s (SIGTERM again ends at once)")
        :format(n == 1 and "1 task" or n .. " tasks", duration.text(grace)))
      core.run(run)
    elseif stop_at and not kill_at and now >= stop_at then
      kill_at = now + KILL
      show:print("flowrun: the grace is over; what runs is stopped")
      core.run(run)
    elseif kill_at and now >= kill_at then
      io.stderr:write(("flowrun: a task does not stop; go on: flowrun resume %d\n")
        :format(run:id()))
      os.exit(cli.exit.drained)
    end
  end

  function self.over() core.watch() end

  function self.tell(home)
    io.stderr:write(("flowrun: run %d is drained; go on: flowrun%s resume %d\n"):format(run:id(),
      home and " --home " .. home or "", run:id()))
  end
  return self
end

return drain
