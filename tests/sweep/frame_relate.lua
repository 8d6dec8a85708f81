local frame = require "flowrun.frame"
local core = require "flowrun.core.frame"
local array = require "flowrun.core.array"
local expr = require "flowrun.core.expr"
local null = frame.null

return function()
  local df = frame.from{{"k", {"b", "a", null, "a"}}, {"x", {1.5, null, 3, 4}}, {"n", {3, 1, 2, 1}},
    {"t", {"2024-01-01", "2024-01-02", null, "2024-01-03"}, "timestamp[s, Europe/Paris]"}}
  assert(#df:filter("x > $lo and n in $list", {lo = 1, list = {1, 3}}) == 2)
  assert(#df:filter(frame.array{true, false, true, null}) == 2 and #df.x:filter(df.x:is_null()) == 1)
  assert(df:with({{"y", "x * $f"}, {"c", frame.lit("s")}, {"z", {1, 2, 3, 4}}}, {f = 2}).y[1] == 3.0)
  assert(df:group{"k"}:agg{{"m", "mean(x)"}, {"q", "quantile(x, 0.5)"}, {"u", "nunique(n) + 1"}})
  assert(expr.eval(df, "n + 1", nil, "n"))
  local over = expr.window(df, {"k"}, {"n", "x"}, {false, true}, {true, false})
  assert(expr.eval(df, "lag(x) + rolling_mean(n, 2, min = 1)", nil, "w", over))
  assert(df:window({by = "k", order = {"n"}}, {{"r", "rank(x)"}, {"c", "cum_sum(n)"}, {"l", "lag(k)"}}))
  assert(df:fill_forward():fill_backward{"x", by = "k"}:interpolate{"x"}:clip{"n", min = 2})
  assert(#df:join(df, {on = {"k", "n"}, how = "full"}) == 7)
  assert(df:join_asof(df, {on = "n", by = "k", tolerance = 1}))
  assert(#df:unique{"k"} == 3 and #df:partition{"k", "n"} == 3 and #df:dropna() == 2)
  assert(df:fill{k = "?", t = "2024-05-05"}.k[3] == "?" and df:describe())
  local train, test = df:split{test = 1, seed = 3}
  assert(#train == 3 and #test == 1 and #df:sample{n = 2} == 2)
  assert(#frame.date_range{start = "2024-01-01", periods = 3, freq = "1h", tz = "UTC"} == 3)
  assert(frame.threads() >= 1 and df:show(2, 30) and core.mask(df, df.x:is_null()))
  assert(array.repeat_value("x", 3)[3] == "x" and df.t[1] and df:row(1).t)
  for _, v in df.t:items() do assert(v ~= 1) end
  for row in df:rows() do assert(row.n) end
  assert(((-df.x + 2 * df.x ^ 2) / 3 - df.n // 2 + df.n % 2):abs():round(1):floor():ceil())
  assert(not pcall(function() df.x = 1 end) and not pcall(function() df.x[1] = 1 end))
  assert(not pcall(function() return df.x < df.x end) and not pcall(function() return df.x <= df.x end))
end
