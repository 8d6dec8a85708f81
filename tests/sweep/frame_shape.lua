local frame = require "flowrun.frame"
local quality = require "flowrun.quality"
local shape = require "flowrun.core.reshape"
local null = frame.null

return function()
  local df = frame.from{{"k", {"b", "a", null, "a"}}, {"c", {1, 1, 2, null}}, {"x", {1.5, null, 3, 4}},
    {"t", {"2024-03-30 05:00", "2024-03-31 07:30", null, "2024-03-31 22:00"},
      "timestamp[s, Europe/Paris]"}}
  local lines, keys, spread = shape.spread({df.k}, df.c, df.x)
  assert(#lines[1] == 3 and #keys == 3 and #spread == 3)
  assert(shape.cut(df.x, {0, 2, 4}, {"low", "high"}, false, true)[1] == "low")
  assert(shape.corr(df.x, df.c) > 0.999 and shape.ks(df.x, df.x) == 0)
  local starts = shape.floor(df.t, "6h")
  local by, gaps = shape.gaps({df.k:slice(1, 2)}, starts:slice(1, 2), "6h")
  assert(#by[1] == 0 and #gaps == 0)
  assert(#df:pivot{index = "k", columns = "c", values = "x", agg = "sum"}:melt{id = "k"} == 9)
  assert(#df:value_counts("k") == 3 and df:cut("x", 2):qcut("x", 2) and df:corr({"x", "c"}, {method = "spearman"}))
  assert(#df:resample("t", "6h", {{"n", "count()"}}) == 8 and #df:resample("t", "1d", {{"s", "sum(x)"}}, {by = "k"}) > 0)
  assert(#df:join(df:select{"x"}, {how = "cross"}) == 16)
  local q = quality.check(df, {quality.not_null "x", quality.range("x", {min = 2}), quality.unique{"k"},
    quality.psi("x", df), quality.ks("x", df), quality.matches("k", "%a"), quality.schema(df:types())})
  assert(not q.ok and quality.summary(q) and not pcall(quality.enforce, q))
end
