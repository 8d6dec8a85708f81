local drain = require "flowrun.core.drain"

return function()
  drain.watch()
  assert(drain.asked() == false)
  pcall(drain.run, {})
end
