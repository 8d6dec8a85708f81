local frame = require "flowrun.frame"
local testing = require "flowrun.core.testing"

local dir = setmetatable({}, {__gc = function(self) testing.remove_tree(self.path) end})
dir.path = testing.temp_dir()

return function()
  local df = frame.from{{"k", {"a", "b", frame.null}, "category"}, {"x", {1.5, frame.null, 2}},
    {"when", {"2024-01-31", "2024-02-01", frame.null}, "date"}}
  df:write_arrow(dir.path .. "/a.arrow")
  assert(frame.hash(frame.read_arrow(dir.path .. "/a.arrow")) == frame.hash(df))
end
