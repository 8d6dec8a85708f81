local frame = require "flowrun.frame"
local testing = require "flowrun.core.testing"

local dir = setmetatable({}, {__gc = function(self) testing.remove_tree(self.path) end})
dir.path = testing.temp_dir()

return function()
  local df = frame.parse_jsonl('{"k":"a","x":1.5,"when":"2024-01-31"}\n{"k":"b","l":[1]}\n',
    {types = {when = "date", k = "category"}, nested = "text"})
  assert(#df == 2 and df:to_jsonl():find("2024%-01%-31"))
  df:write_jsonl(dir.path .. "/a.jsonl.gz", {null = "omit", nan = "null"})
  assert(#frame.read_jsonl(dir.path .. "/*.gz", {columns = {"k", "x"}}) == 2)
end
