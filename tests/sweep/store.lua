local store = require "flowrun.store"
local testing = require "flowrun.core.testing"

local dir = setmetatable({}, {__gc = function(self) testing.remove_tree(self.path) end})
dir.path = testing.temp_dir()

return function()
  local home <close> = store.open(dir.path)
  assert(#home:runs() == 0 and home:run(1) == nil and home.core:alive(1) == nil)
  for _ in home:tasks(1) do error("a task of a run that is not there") end
  for _ in home:items(1, 1) do error("an item of a run that is not there") end
  assert(#home:logs(1) == 0 and home.core:stats().runs == 0 and home.core:gc(3600).files == 0)
  home:set_limit("oms", {slots = 2})
  assert(home:limits()[1].slots == 2 and #home:slots() == 0)
  pcall(home.set_limit, home, "oms", {rate = 5})
  home:remove_limit("oms")
  assert(not pcall(home.remove_limit, home, "oms"))
  assert(#home:outbox{} == 0)
  home:outbox_change(0, "now")
  pcall(home.core.outbox_change, home.core, 1, "drop")
  pcall(home.core.request, home.core, 1, "cancel")
  pcall(home.core.audit, home.core, 1)
  assert(home.core:rerun_code(1) == nil)
  pcall(home.core.bundle, home.core, ("0"):rep(32))
end
