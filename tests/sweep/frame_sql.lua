local frame = require "flowrun.frame"
local sql = require "flowrun.core.sql"

return function()
  local df = frame.from{{"k", {"a", frame.null}}, {"x", {1.5, 2}},
    {"t", {"2024-01-01", "2024-01-02"}, "date"}}
  assert(#sql.run("select * from d where x > $lo or k = $s or $n is null", nil, {"d"}, {df},
    {lo = 1.7, s = "a", n = frame.null}) == 2)
  assert(frame.sql("select t from d", {d = df}, {types = {t = "date"}}).t[1] == "2024-01-01")
  assert(not pcall(frame.read_sqlite, "/nonexistent.db", "t"))
end
