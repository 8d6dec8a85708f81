local frame = require "flowrun.frame"
local core = require "flowrun.core.frame"
local array = require "flowrun.core.array"
local null = frame.null

return function()
  local df = frame.from{{"k", {"b", "a", null}}, {"x", {1.5, null, 3}}, {"n", {3, 1, 2}}}
  assert(#df == 3 and df:has("x") and tostring(df) and df == df and df.columns[1] == "k")
  assert(df:row(1).k == "b" and df:rows())
  local other = df:select{"k", "n"}:rename{n = "m"}:drop("k"):slice(1, 2):head(1):tail(1)
  assert(#other == 1 and df:sort{"k", {"n", desc = true}} and frame.concat{df, df})
  assert(df:to_table().n[1] == 3 and df:null_count() and df:quantile("x", 0.5) and df:types())
  assert(frame.is_frame(df) and core.is(df) and frame.hash(df))
  for i, v in pairs(df.n) do assert(i and v) end
  local x, n = df.x, df:col("n")
  assert(frame.is_array(x) and array.is(x) and x == x and tostring(x) and #x == 3 and n[1] == 3)
  assert(x:sum() and x:mean() and x:min() and x:max() and x:std() and x:var() and x:median())
  assert(x:first() and x:last() and x:count() and x:nunique() and x:quantile(0.5))
  assert(x:null_count() and x:type() and x:to_table() and x:slice(1, 2) and n:cast("float64"))
  assert(n:sort() and x:exp() and x:log() and x:sqrt() and x:sin() and x:cos())
  assert(frame.lit(1) and frame.array({1, 2}))
end
