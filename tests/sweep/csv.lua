local frame = require "flowrun.frame"
local testing = require "flowrun.core.testing"

local dir = setmetatable({}, {__gc = function(self) testing.remove_tree(self.path) end})
dir.path = testing.temp_dir()

return function()
  local df = frame.parse_csv("k,x,when\na,1.5,2024-01-31\nb,,2024-02-01\n")
  assert(#df == 2 and df:to_csv():find("2024%-02%-01"))
  local _, bad = frame.parse_csv("a\n1\nx\n", {types = {a = "int64"}, quarantine = true, escape = "\\"})
  assert(#bad == 1 and #frame.parse_csv("ab12\n", {widths = {2, 2}, header = false}) == 1)
  df:write_csv(dir.path .. "/a.csv")
  local scan = frame.scan_csv(dir.path .. "/a.csv", {piece_mb = 30 / 2^20})
  assert(scan:group{"k"}:agg{{"m", "mean(x)"}}.m[1] == 1.5)
  assert(scan:filter("x > 1"):write_csv(dir.path .. "/out.txt.gz") == 1)
  assert(#frame.read_csv(dir.path .. "/*.csv", {types = {k = "category"}}) == 2)
end
