local frame = require "flowrun.frame"

return function()
  local path = "tests/fixtures/parquet/tall.parquet"
  local df = frame.read_parquet(path, {columns = {"id", "zone", "kw", "note"}, row_groups = {1, 3}})
  assert(#df == 400 and df:col("zone")[1] == "N")
end
