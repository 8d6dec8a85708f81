local frame = require "flowrun.frame"
local testing = require "flowrun.core.testing"

local dir = setmetatable({}, {__gc = function(self) testing.remove_tree(self.path) end})
dir.path = testing.temp_dir()

return function()
  local path = "tests/fixtures/parquet/tall.parquet"
  local df = frame.read_parquet(path, {columns = {"id", "zone", "kw", "note"}, row_groups = {1, 3},
    filter = "id > $least and zone in $zones", params = {least = -1, zones = {"N", "S"}}})
  assert(df:col("zone")[1] == "N")
  df:write_parquet(dir.path .. "/a.parquet", {compression = "zstd", level = 3, row_group = 100})
  assert(frame.hash(frame.read_parquet(dir.path .. "/a.parquet")) == frame.hash(df))
end
