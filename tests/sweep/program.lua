local embed = require "flowrun.core.embed"
local testing = require "flowrun.core.testing"
local version = require "flowrun.core.version"
local option = require "flowrun.core.option"

return function()
  assert(#embed.list("lua/flowrun/cli/") > 2 and embed.read("lua/flowrun/test.lua"))
  assert(testing.where():find("program.lua", 1, true))
  testing.setenv("FLOWRUN_SWEEP", "1")
  testing.setenv("FLOWRUN_SWEEP", nil)
  local dir <close> = setmetatable({path = "/flowrun-test-none"}, {__close = function(self)
    testing.remove_tree(self.path)
  end})
  dir.path = testing.temp_dir()
  assert(#version.libraries() > 5 and dir.path and #option.list() > 20)
end
