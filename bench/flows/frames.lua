--- Ten million rows as an Arrow file, and each kernel on them. bench/peers/frames.py does the
--- same with pandas, polars and DuckDB.
local fr = require "flowrun"
local frame = require "flowrun.frame"
local random = require "flowrun.random"

-- k: 1,000 keys; c: 2^30 of them; a, b: normal. With `nulls`, a tenth of a and b is missing.
local make = fr.task("make_rows", function(path, n, nulls)
  local rng = random.new(5)
  local df = frame.from{{"k", rng:integers(0, 999, n)}, {"c", rng:integers(0, 2 ^ 30 - 1 | 0, n)},
    {"a", rng:normal(0, 1, n)}, {"b", rng:normal(0, 1, n)}, {"h", rng:integers(0, 9, n)},
    {"g", rng:integers(0, 9, n)}}
  if nulls then
    df = df:with{{"a", "if_else(h = 0, null, a)"}, {"b", "if_else(g = 0, null, b)"}}
  end
  df:select{"k", "c", "a", "b"}:write_arrow(path)
  df:filter("row() % 10 = 1"):select{"c", "a"}:rename{a = "z"}:unique{"c"}
    :write_arrow(path .. ".small")
  return true
end)

local cases = {
  group = function(df)
    local g = df:group{"k"}:agg{{"am", "mean(a)"}, {"as", "sum(a)"}, {"bm", "min(b)"},
      {"bx", "max(b)"}, {"bs", "std(b)"}}
    return #g + g.am[1] + g.bs[#g]
  end,
  sort = function(df) return df:sort{"c"}.c[#df // 2] end,
  join = function(df, small) return #df:join(small, {on = "c", how = "inner"}) end,
  filter = function(df) return #df:filter("a > -1 and b < 1") end,
  quantile = function(df)
    local q = df:quantile("a", {0.01, 0.99})
    return q[1] + q[2]
  end,
  rolling = function(df) return df:with{{"r", "rolling_mean(a, 24, min = 24)"}}.r[#df] or 0 end,
}

-- Once to warm up (buffers kept for reuse), then timed.
local run = fr.task("time_case", function(path, case, rounds)
  local df, small = frame.read_arrow(path), frame.read_arrow(path .. ".small")
  local out = {rows = #df, cpu = {}}
  for i = 0, rounds do
    collectgarbage()
    local began = os.clock()
    out.value = cases[case](df, small) or 0
    if i > 0 then out.cpu[i] = os.clock() - began end
  end
  return out
end)

return {
  fr.flow("make", {params = {path = "", rows = 10000000, nulls = true}}, function(p)
    return make(p.path, p.rows, p.nulls):get()
  end),
  fr.flow("run", {params = {path = "", case = "group", rounds = 5}}, function(p)
    return run(p.path, p.case, p.rounds):get()
  end),
}
