local flow = require "flowrun.core.flow"
local store = require "flowrun.store"
local testing = require "flowrun.core.testing"

local dir = setmetatable({}, {__gc = function(self) testing.remove_tree(self.path) end})
dir.path = testing.temp_dir()

return function()
  local home <close> = store.open(dir.path)
  assert(#home:cache(1) == 0 and #home:cache(1, "m:task", 7, 3) == 0)
  flow.options{cache = {scope = 3, expires = 2, version = ("1"):rep(32), files = {"/a", "/b"}}}
  flow.sources(require("flowrun.cache").sources)
end
