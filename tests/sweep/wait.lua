local core = require "flowrun.core.flow"
local waits = require "flowrun.wait"
local wait = require "flowrun.core.wait"

return function()
  local plan = core.options{base = 1.5}
  wait.every{plan = plan, timeout = 3, has_late = true, late = {a = 1}}
  assert(waits.time("2001-02-03T04:05Z") == 981173100)
  pcall(core.rollback)
  pcall(wait.start, {kind = "signal", name = "signal:x", details = {}})
end
