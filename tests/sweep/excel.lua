local frame = require "flowrun.frame"
local testing = require "flowrun.core.testing"

local dir = setmetatable({}, {__gc = function(self) testing.remove_tree(self.path) end})
dir.path = testing.temp_dir()

return function()
  local df = frame.from{{"s", {"a", "b"}}, {"x", {1.5, frame.null}}}
  df:write_excel(dir.path .. "/a.xlsx", {sheet = "one"})
  assert(frame.excel_sheets(dir.path .. "/a.xlsx")[1] == "one")
  local back = frame.read_excel(dir.path .. "/a.xlsx", {range = "A:B", types = {s = "category"}})
  assert(#back == 2 and back.x[1] == 1.5)
end
