local tty = require "flowrun.core.tty"
local testing = require "flowrun.core.testing"

local dir = setmetatable({}, {__gc = function(self) testing.remove_tree(self.path) end})
dir.path = testing.temp_dir()

return function()
  assert(select(4, testing.measure{"true"}) == 0)
  tty.is_terminal("stdout")
  tty.size("stdout")
  assert(tty.make_directory(dir.path .. "/a/b") and tty.real_path(dir.path .. "/a/../a"))
  assert(tty.stat(dir.path) and tty.has_prefix(dir.path, "a"))
end
