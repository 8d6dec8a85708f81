-- steps: 60
local sh = require "flowrun.sh"
local core = require "flowrun.core.sh"

return function()
  local r = sh{argv = {"cat"}, stdin = "a\nb\n", env = {HOME = false, X = "1"}, log = false}
  assert(r.code == 0 and r.out == "a\nb\n" and core.environment() and not core.devices())
  assert(not pcall(sh, {cmd = "exit 3", log = false}))
end
