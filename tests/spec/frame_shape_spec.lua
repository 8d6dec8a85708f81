local t = require "flowrun.test"
local frame = require "flowrun.frame"
local random = require "flowrun.random"
local describe, it, expect = t.describe, t.it, t.expect
local null = frame.null
local peers = assert(loadfile("tests/fixtures/shapes.txt", "t", {}))(null)

local function list(df, name) return df:col(name):to_table() end

local function same(got, want, tolerance)
  if #got ~= #want then error(("%d values, expected %d"):format(#got, #want)) end
  for i = 1, #want do
    local a, b = got[i], want[i]
    local equal = a == b
    if type(a) == "number" and type(b) == "number" then
      equal = math.abs(a - b) <= (tolerance or 1e-12) * math.max(1, math.abs(b))
    end
    if not equal then error(("item %d: %s, expected %s"):format(i, tostring(a), tostring(b)), 2) end
  end
end

local df = frame.from{{"day", peers.table.day}, {"zone", peers.table.zone}, {"kw", peers.table.kw},
  {"amps", peers.table.amps}}

describe("pivot and melt", function()
  it("agree with pandas", function()
    local p = df:pivot{index = "day", columns = "zone", values = "kw", agg = "mean"}
    expect(p.columns).to_equal{"day", "N", "S", "W"}
    for _, name in ipairs(p.columns) do same(list(p, name), peers.pivot[name]) end
  end)

  it("come back to the same rows", function()
    local long = frame.from{{"t", {2, 1, 2}}, {"f", {"b", "a", "a"}}, {"x", {1, 2, 3}}}
    local wide = long:pivot{index = "t", columns = "f", values = "x"}
    expect(wide:to_table()).to_equal{t = {1, 2}, a = {2, 3}, b = {null, 1}}
    local back = wide:melt{id = "t", name = "f", value = "x"}
    expect(back.columns).to_equal{"t", "f", "x"}
    expect(back:to_table()).to_equal{t = {1, 2, 1, 2}, f = {"a", "a", "b", "b"}, x = {2, 3, null, 1}}
    expect(list(wide:melt{values = {"a"}}, "variable")).to_equal{"a", "a"}
  end)

  it("keep null keys, take several values and any type", function()
    local x = frame.from{{"k", {null, "p", null}}, {"c", {1, null, 1}}, {"v", {5, 6, 7}},
      {"s", {"x", "y", "z"}}}
    local p = x:pivot{index = "k", columns = "c", values = {"v", "s"}, agg = "last"}
    expect(p.columns).to_equal{"k", "v_1", "v_null", "s_1", "s_null"}
    expect(p:to_table()).to_equal{k = {"p", null}, v_1 = {null, 7}, v_null = {6, null},
      s_1 = {null, "z"}, s_null = {"y", null}}
    expect(x:pivot{columns = "c", values = "v", agg = "sum"}:to_table()).to_equal{["1"] = {12},
      null = {6}}
  end)

  it("say what is wrong", function()
    local function problem(...) return select(2, pcall(...)).message end
    local twice = frame.from{{"a", {1, 1}}, {"b", {1, 1}}, {"v", {1, 2}}}
    expect(problem(twice.pivot, twice, {index = "a", columns = "b", values = "v"}))
      .to_match("pivot: rows 1 and 2 fall into one cell")
    expect(problem(df.pivot, df, {index = "day", columns = "zone"})).to_match "values is missing"
    expect(problem(df.pivot, df, {index = "dya", columns = "zone", values = "kw"})).to_match "day"
    expect(problem(df.pivot, df, {indx = 1, columns = "zone", values = "kw"})).to_match "'index'"
    expect(problem(df.melt, df, {id = "day"})).to_match "melt"
    expect(problem(df.melt, df, {id = df.columns})).to_match "no columns"
  end)
end)

describe("counts, intervals, correlations", function()
  it("value_counts puts the most frequent first and keeps nulls", function()
    local x = frame.from{{"z", {"b", "a", "b", null, "c", "a", null}}}
    expect(x:value_counts("z"):to_table()).to_equal{z = {"a", "b", null, "c"}, count = {2, 2, 2, 1}}
    expect(x:value_counts("z", {share = true, nulls = false}):to_table()).to_equal{
      z = {"a", "b", "c"}, count = {2, 2, 1}, share = {0.4, 0.4, 0.2}}
  end)

  it("cut and qcut agree with pandas", function()
    local function texts(intervals)                        -- pandas writes (0.0, 20.0]
      local out = {}
      for i, v in ipairs(intervals) do out[i] = v == null and null or (v:gsub("%.0", "")) end
      return out
    end
    same(list(df:cut("kw", peers.cut_edges), "kw_cut"), texts(peers.cut))
    same(list(df:cut("kw", peers.cut_edges, {right = false, as = "k"}), "k"), texts(peers.cut_left))
    local codes = {"1", "2", "3", "4", "5"}
    local function numbers(column)
      local out = {}
      for i, v in ipairs(column:to_table()) do out[i] = v == null and null or tonumber(v) end
      return out
    end
    same(numbers(df:qcut("kw", 4, {labels = table.move(codes, 1, 4, 1, {})}).kw_qcut), peers.qcut)
    same(numbers(df:cut("kw", 5, {labels = codes}).kw_cut), peers.width)
    local band = df:cut("kw", {-math.huge, 30, math.huge}, {labels = {"low", "high"}, as = "band"})
    expect(#band:filter("band > 'low'")).to_be(#df:filter("kw > 30"))
    expect(frame.from{{"x", {0, 1, 2}}}:cut("x", {0, 1, 2}, {lowest = true}).x_cut:to_table())
      .to_equal{"[0, 1]", "[0, 1]", "(1, 2]"}
    local function problem(...) return select(2, pcall(...)).message end
    expect(problem(df.cut, df, "kw", {1, 1})).to_match "edges must rise"
    expect(problem(df.cut, df, "zone", {1, 2})).to_match 'column "zone": expected numbers, got utf8'
    expect(problem(df.cut, df, "kw", {1, 2}, {labels = {"a", "b"}})).to_match "2 labels for 1 interval"
    expect(problem(df.cut, df, "kw", {1, 2, 3}, {labels = {"a", "a"}})).to_match "twice"
    local many = frame.from{{"x", {1, 1, 1, 1, 2}}}
    expect(problem(many.qcut, many, "x", 4)).to_match "edges must rise"
    expect(many:qcut("x", 4, {drop = true}).x_qcut[5]).to_be("[1, 2]")
  end)

  it("corr agrees with pandas on pairs of rows that are there", function()
    for _, method in ipairs{"pearson", "spearman"} do
      local c = df:corr({"kw", "amps", "day"}, {method = method})
      expect(list(c, "column")).to_equal{"kw", "amps", "day"}
      for _, name in ipairs{"kw", "amps", "day"} do same(list(c, name), peers[method][name], 1e-12) end
    end
    expect(df:corr().columns).to_equal{"column", "day", "kw", "amps"}
    expect(list(frame.from{{"a", {1, 1}}, {"b", {1, 2}}}:corr(), "a")).to_equal{null, null}
    -- A large offset does not eat the digits.
    local far = df:with{{"far", "kw + 1e9"}}:corr{"far", "amps"}
    expect(math.abs(far.amps[1] - peers.pearson.kw[2]) < 1e-6).to_be_true()
  end)

  it("cross join pairs all rows, left order first", function()
    local a, b = frame.from{{"x", {1, 2}}}, frame.from{{"x", {"p", "q", "r"}}}
    expect(a:join(b, {how = "cross"}):to_table()).to_equal{x = {1, 1, 1, 2, 2, 2},
      x_right = {"p", "q", "r", "p", "q", "r"}}
    expect(#a:join(b:head(0), {how = "cross"})).to_be(0)
    expect(select(2, pcall(a.join, a, b, {how = "cross", on = "x"})).message).to_match "cross"
  end)

  it("describe takes columns and quantiles", function()
    local d = df:describe({"kw"}, {quantiles = {0.05, 0.5, 0.999}})
    expect(d.columns).to_equal{"column", "type", "count", "nulls", "unique", "mean", "std", "min",
      "p5", "p50", "p99.9", "max"}
    expect(d.p5[1]).to_be(df.kw:quantile(0.05))
    expect(#d).to_be(1)
  end)
end)

describe("resample", function()
  it("agrees with pandas where the clock goes back and ahead, with the steps without rows", function()
    for _, name in ipairs{"back", "ahead"} do
      local x = frame.from{{"when", peers[name].when, "timestamp[s, Europe/Berlin]"},
        {"x", peers[name].x}}
      for freq, want in pairs{["1h"] = peers[name .. "_h"], ["1d"] = peers[name .. "_D"]} do
        local r = x:resample("when", freq, {{"sum", "sum(x)"}, {"mean", "mean(x)"}, {"n", "count()"}})
        local starts = frame.from{{"when", want.when, "timestamp[s, Europe/Berlin]"}}
        expect(list(r, "when")).to_equal(list(starts, "when"))
        same(list(r, "sum"), want.sum)
        same(list(r, "mean"), want.mean)
        same(list(r, "n"), want.n)
      end
    end
  end)

  it("knows months and weeks, dates and naive times", function()
    local days = frame.from{{"when", frame.date_range{start = "2023-01-30", periods = 70, freq = "1d"}}}
    days = days:with{{"x", "float(row() - 1)"}, {"day", "date(when)"}}
    for freq, want in pairs{["1mo"] = peers.months, ["1w"] = peers.weeks} do
      local r = days:resample("day", freq, {{"sum", "sum(x)"}})
      expect(list(r, "day")).to_equal(want.when)
      same(list(r, "sum"), want.sum)
      local naive = days:resample("when", freq, {{"sum", "sum(x)"}})
      same(list(naive, "sum"), want.sum)
      expect(naive.when[1]).to_be(want.when[1] .. " 00:00:00")
    end
    local year = frame.from{{"d", {"2023-01-31", "2024-12-01", null}, "date"}, {"x", {1, 2, 3}}}
    expect(year:resample("d", "1q", {{"n", "count()"}}).n:to_table()).to_equal{1, 0, 0, 0, 0, 0, 0, 1}
    expect(year:resample("d", "1y", {{"s", "max(x)"}}):to_table()).to_equal{
      d = {"2023-01-01", "2024-01-01"}, s = {1, 2}}
  end)

  it("fills gaps per key, keeps the clock's six hours, takes parameters", function()
    local x = frame.from{{"f", {"a", "a", "b", null}}, {"t", {"2024-01-01 00:10", "2024-01-01 02:50",
      "2024-01-01 05:00", "2024-01-01 05:00"}, "timestamp[s]"}, {"v", {1, 2, 3, 4}}}
    local r = x:resample("t", "1h", {{"s", "sum(v * $k)"}, {"m", "max(v)"}},
      {by = "f", params = {k = 10}})
    expect(list(r, "f")).to_equal{"a", "a", "a", "b", null}
    expect(list(r, "s")).to_equal{10, 0, 20, 30, 40}
    expect(list(r, "m")).to_equal{1, null, 2, 3, 4}
    expect(r.t[2]).to_be("2024-01-01 01:00:00")
    expect(#x:resample("t", "1h", {{"s", "sum(v)"}}, {by = "f", gaps = false})).to_be(4)
    local z = frame.from{{"t", frame.date_range{start = "2023-10-28 22:00", periods = 30, freq = "1h",
      tz = "Europe/Berlin"}}}:resample("t", "6h", {{"n", "count()"}})
    expect(list(z, "n")).to_equal{2, 7, 6, 6, 6, 3}
    expect(z.t[3]).to_match "^2023%-10%-29 06:00"
  end)

  it("has no rows twice and none lost, at any number of threads", function()
    local r = random.new(3)
    local n = 140000
    local x = frame.from{{"t", frame.date_range{start = "2020-01-01", periods = n, freq = "7min",
      tz = "America/New_York"}}, {"v", r:normal(0, 1, n)}}
    local before, first = frame.threads(), nil
    for _, threads in ipairs{1, 2, 3, 8} do
      frame.threads(threads)
      for _, freq in ipairs{"15min", "1h", "6h", "1d"} do
        local out = x:resample("t", freq, {{"n", "count()"}, {"m", "mean(v)"}})
        expect(out.n:sum()).to_be(n)
        expect(out.n:min() > 0).to_be_true()
        if freq == "6h" then
          first = first or frame.hash(out)
          expect(frame.hash(out)).to_be(first)
        end
      end
    end
    frame.threads(before)
  end)

  it("says what is wrong", function()
    local x = frame.from{{"t", {"2024-01-01 00:10"}, "timestamp[s]"}, {"v", {1}}}
    local function problem(...) return select(2, pcall(x.resample, x, ...)).message end
    local agg = {{"s", "sum(v)"}}
    expect(problem("t", "7h", agg)).to_match "'7h' does not divide a day"
    expect(problem("t", "often", agg)).to_match "resample: freq 'often'"
    expect(problem("v", "1h", agg)).to_match "expected times, got int64"
    expect(problem("t", "5ms", agg)).to_match "finer than timestamp"
    expect(problem("t", "1h", {{"s", "sum(w)"}})).to_match "no column"
    expect(problem("t", "1h", agg, {bye = "t"})).to_match "did you mean 'by'"
  end)
end)
