local t = require "flowrun.test"
local frame = require "flowrun.frame"
local describe, it, expect = t.describe, t.it, t.expect
local null = frame.null

local function sample()
  return frame.from{
    {"feeder", {"F1", "F2", "F3", "F1"}},
    {"kw", {1.5, null, -3, 7}},
    {"count", {1, 2, 3, null}},
    {"live", {true, false, null, true}},
  }
end

describe("frame.from", function()
  it("keeps order, values, types and nulls", function()
    local df = sample()
    expect(df.columns).to_equal{"feeder", "kw", "count", "live"}
    expect(#df).to_be(4)
    expect(df:types()).to_equal{feeder = "utf8", kw = "float64", count = "int64", live = "bool"}
    expect(df.kw:to_table()).to_equal{1.5, null, -3.0, 7.0}
    expect(math.type(df:col("count")[2])).to_be("integer")
    expect(df.kw[2]).to_be_nil()
    expect(df:null_count()).to_equal{feeder = 0, kw = 1, count = 1, live = 1}
  end)

  it("takes a keyed table in byte order", function()
    expect(frame.from{b = {1}, a = {2}, B = {3}}.columns).to_equal{"B", "a", "b"}
  end)

  it("takes types", function()
    local df = frame.from{
      {"day", {"2024-02-29", null}, "date"},
      {"at", {"2024-02-29 10:00:00.5", "1969-12-31T23:59:59"}, "timestamp[ms]"},
      {"utc", {"2024-02-29T10:00:00+02:00", 0}, "timestamp[us, UTC]"},
      {"paris", {"2024-07-01 12:00", "2024-01-01 12:00"}, "timestamp[s, Europe/Paris]"},
      {"took", {"1h30m", 2.5}, "duration[ms]"},
      {"small", {1, -128}, "int8"},
      {"zone", {"N", "S"}, "category"},
    }
    expect(df:types().paris).to_be("timestamp[s, Europe/Paris]")
    expect(df.day:to_table()).to_equal{"2024-02-29", null}
    expect(df.at:to_table()).to_equal{"2024-02-29 10:00:00.500", "1969-12-31 23:59:59"}
    expect(df.utc:to_table()).to_equal{"2024-02-29 08:00:00Z", "1970-01-01 00:00:00Z"}
    expect(df.paris:to_table()).to_equal{"2024-07-01 12:00:00+02:00", "2024-01-01 12:00:00+01:00"}
    expect(df.took:to_table()).to_equal{"1h30m", "2s500ms"}
    expect(df.small:to_table()).to_equal{1, -128}
    expect(df.zone:to_table()).to_equal{"N", "S"}
  end)

  it("says what is wrong and where", function()
    local function fails(columns, text)
      expect(function() frame.from(columns) end).to_fail(text)
    end
    fails({{"kw", {1, "x"}}}, 'column "kw": item 2 is a string, expected a number')
    fails({{"kw", {1, nil, 3}}}, 'column "kw": item 2 is nil: write frame.null for a missing value')
    fails({{"kw", {1, 2}}, {"zone", {"N"}}}, 'column "zone" has 1 rows, but "kw" has 2')
    fails({{"kw", {1}}, {"kw", {2}}}, 'columns 1 and 2 are both named "kw"')
    fails({{"kw", {1.5}, "int64"}}, 'column "kw": item 1: 1.5 does not fit int64')
    fails({{"kw", {300}, "int8"}}, 'row 1: 300 does not fit int8')
    fails({{"kw", {"x"}, "flaot64"}}, "float64")
    fails({{"when", {"2024-02-30"}, "date"}}, "item 1: '2024-02-30' is not a date or time")
    fails({{"when", {"2024-02-03T00:00:00Z"}, "timestamp[s]"}}, "has an offset")
    fails({{"when", {"2024-03-31 02:30"}, "timestamp[s, Europe/Paris]"}}, "does not exist")
    fails({{"when", {"2024-10-27 02:30"}, "timestamp[s, Europe/Paris]"}}, "exists twice")
    fails({{"name", {"\xff"}}}, "not UTF-8 at byte 1")
    fails({{"kw", 5}}, 'column "kw": expected a list or an array, got number')
    fails({kw = {1}, {"a", {1}}}, "not both")
    fails({{"kw"}}, 'item 1 should be {"name", value}')
    expect(function() frame.from(3) end).to_fail("got a number", "invalid")
  end)
end)

describe("a frame", function()
  it("gives columns by name; methods win", function()
    local df = frame.from{{"count", {1, 2}}, {"head", {3, 4}}, {"U.S._STATE", {"CA", "TX"}}}
    expect(df.count:sum()).to_be(3)
    expect(type(df.head)).to_be("function")
    expect(df:col("head"):to_table()).to_equal{3, 4}
    expect(df["U.S._STATE"][2]).to_be("TX")
    expect(df:has("head")).to_be_true()
    expect(df:has("nope")).to_be_false()
  end)

  it("refuses wrong names with did you mean", function()
    local df = sample()
    expect(function() return df.feder end).to_fail('no column "feder": did you mean "feeder"?',
                                                   "not_found")
    expect(function() return df.temperature end).to_fail("there are: feeder, kw, count, live")
    expect(function() df.kw = {1} end).to_fail("frames do not change: use with")
    expect(function() return df[1] end).to_fail("frame:row(i)")
    expect(function() df:select{"kw", "feder"} end).to_fail('select: no column "feder"')
    expect(function() df:drop("feder") end).to_fail('drop: no column "feder"')
    expect(function() df:rename{feder = "x"} end).to_fail('rename: no column "feder"')
    expect(function() df:rename{kw = "count"} end).to_fail('both named "count"')
  end)

  it("selects, drops, renames without copying", function()
    local df = sample()
    expect(df:select{"kw", "feeder"}.columns).to_equal{"kw", "feeder"}
    expect(df:select("kw").columns).to_equal{"kw"}
    expect(df:drop{"kw", "live"}.columns).to_equal{"feeder", "count"}
    expect(#df:drop(df.columns)).to_be(4)
    local renamed = df:rename{kw = "load", count = "n"}
    expect(renamed.columns).to_equal{"feeder", "load", "n", "live"}
    expect(renamed.load == df.kw).to_be_true()
    expect(df:rename{kw = "count", count = "kw"}.kw == df:col("count")).to_be_true()
    expect(df.columns[2]).to_be("kw")
  end)

  it("gives rows, 1-based", function()
    local df = sample()
    expect(df:row(1)).to_equal{feeder = "F1", kw = 1.5, count = 1, live = true}
    expect(df:row(3)).to_equal{feeder = "F3", kw = -3.0, count = 3}
    local seen = {}
    for row, i in df:rows() do seen[i] = row.feeder end
    expect(seen).to_equal{"F1", "F2", "F3", "F1"}
    expect(function() df:row(5) end).to_fail("row 5 of a frame of 4 rows")
    expect(function() df:row(0) end).to_fail("row 0 of a frame of 4 rows")
    expect(df:to_table().live).to_equal{true, false, null, true}
  end)

  it("has slices, heads and tails", function()
    local df = frame.from{{"x", {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}}}
    local function xs(f) return f.x:to_table() end
    expect(xs(df:slice(11, 20))).to_equal{11, 12}
    expect(xs(df:slice(3, 5))).to_equal{3, 4, 5}
    expect(xs(df:slice(3, 5):slice(2, 2))).to_equal{4}
    expect(#df:slice(13, 20)).to_be(0)
    expect(#df:head()).to_be(10)
    expect(xs(df:head(2))).to_equal{1, 2}
    expect(xs(df:tail(2))).to_equal{11, 12}
    expect(#df:tail(100)).to_be(12)
    expect(#df:head(0)).to_be(0)
    expect(function() df:slice(0, 3) end).to_fail("rows start at 1")
    expect(function() df:head(1.5) end).to_fail("head: expected a whole number")
  end)

  it("is equal by content", function()
    expect(sample() == sample()).to_be_true()
    expect(sample() == sample():head(3)).to_be_false()
    expect(frame.hash(sample())).to_be(frame.hash(sample():select(sample().columns)))
    expect(sample().kw == sample():select{"kw"}.kw).to_be_true()
  end)

  it("works with 10,000 columns", function()
    local columns = {}
    for i = 1, 10000 do columns[i] = {"c" .. i, {i, i + 1}} end
    local df = frame.from(columns)
    expect(#df.columns).to_be(10000)
    expect(df.c10000[2]).to_be(10001)
    expect(#df:drop{"c5"}.columns).to_be(9999)
    expect(df:sort{{"c1", desc = true}}.c77:to_table()).to_equal{78, 77}
    expect(tostring(df)).to_contain("2 rows x 10,000 columns")
    expect(function() return df.c10001 end).to_fail("did you mean")
  end)
end)

describe("printing", function()
  it("aligns and marks what is missing", function()
    expect(tostring(sample())).to_be(table.concat({
      "feeder       kw  count  live",
      "utf8    float64  int64  bool",
      "F1          1.5      1  true",
      "F2         null      2  false",
      "F3         -3.0      3  null",
      "F1          7.0   null  true",
      "4 rows x 4 columns"}, "\n"))
  end)

  it("shortens long and wide frames", function()
    local x, columns = {}, {}
    for i = 1, 1000 do x[i] = i / 3 end
    local text = tostring(frame.from{{"x", x}})
    expect(text).to_contain("1,000 rows x 1 column")
    expect(text).to_contain("\n         …\n")
    expect(text).to_contain("0.333333\n")
    for i = 1, 50 do columns[i] = {"column_" .. i, {i}} end
    local wide = tostring(frame.from(columns))
    for line in wide:gmatch("[^\n]+") do expect(utf8.len(line) <= 100).to_be_true() end
    expect(wide).to_contain("column_50")
    expect(wide).to_contain("…")
  end)

  it("shows text on one line", function()
    local text = tostring(frame.from{{"note", {"a\nb", ("é"):rep(60), null}}})
    expect(text).to_contain("a\\nb")
    expect(text).to_contain(("é"):rep(39) .. "…")
    expect(tostring(frame.from{{"x", {1e-9, 123456789012345.0}}})).to_contain("1.23457e+14")
  end)

  it("prints arrays on a line", function()
    expect(tostring(sample().kw)).to_be("float64[4]: 1.5, null, -3.0, 7.0")
  end)
end)

describe("an array", function()
  local y = frame.array{3, 1, null, 2}

  it("has aggregates that skip nulls", function()
    expect({y:sum(), y:mean(), y:min(), y:max(), y:count(), y:nunique()})
      .to_equal{6, 2.0, 1, 3, 3, 3}
    expect(y:std()).to_be(1.0)
    expect(y:var()).to_be(1.0)
    expect(y:quantile(0.25)).to_be(1.5)
    expect(y:median()).to_be(2.0)
    expect(y:first()).to_be(3)
    expect(y:last()).to_be(2)
    expect(y:null_count()).to_be(1)
    expect(#y).to_be(4)
  end)

  it("follows the rules for no values", function()
    local none = frame.array({}, "float64")
    expect(none:sum()).to_be(0.0)
    expect(none:mean()).to_be_nil()
    expect(none:min()).to_be_nil()
    expect(frame.array{1}:std()).to_be_nil()
    expect(frame.array({}, "int64"):sum()).to_be(0)
  end)

  it("sums integers exactly or refuses", function()
    expect(frame.array{math.maxinteger, 1, -2}:sum()).to_be(math.maxinteger - 1)
    expect(function() frame.array{math.maxinteger, 1}:sum() end).to_fail("does not fit int64",
                                                                       "overflow")
  end)

  it("is read like a list", function()
    local seen = {}
    for i, v in pairs(y) do seen[#seen + 1] = i .. "=" .. tostring(v) end
    expect(seen).to_equal{"1=3", "2=1", "3=nil", "4=2"}
    expect(y[4]).to_be(2)
    expect(y[5]).to_be_nil()
    expect(function() return y[6] end).to_fail("row 6 of an array of 4")
    expect(function() return y[0] end).to_fail("row 0")
    expect(function() y[1] = 2 end).to_fail("arrays do not change")
    expect(function() return y.maen end).to_fail("no method 'maen'")
    expect(function() return y < y end).to_fail("use frame:filter")
    expect(y:slice(2, 3):to_table()).to_equal{1, null}
    expect(y:sort{desc = true}:to_table()).to_equal{3, 2, 1, null}
    expect(y:sort{nulls = "first"}:to_table()).to_equal{null, 1, 2, 3}
  end)

  it("has functions of every value", function()
    expect(frame.array{0, 1, null}:exp():to_table()).to_equal{1.0, math.exp(1), null}
    expect(frame.array{4.0}:sqrt()[1]).to_be(2.0)
    expect(frame.array{1.0}:sin()[1]).to_be(math.sin(1))
    expect(frame.array{1.0}:cos()[1]).to_be(math.cos(1))
    expect(frame.array{1.0}:log()[1]).to_be(0.0)
    expect(function() frame.array{"a"}:exp() end).to_fail("utf8 is not numeric")
  end)

  it("has arithmetic, row by row", function()
    local x, z = frame.array{1, 2, null, 7}, frame.array{2.0, 0.5, 1.0, null}
    local function list(a) return a:to_table() end
    expect(list(x + z)).to_equal{3.0, 2.5, null, null}
    expect(list(x + 1)).to_be_exactly{2, 3, null, 8}
    expect(list(10 - x)).to_be_exactly{9, 8, null, 3}
    expect(list(x * x)).to_be_exactly{1, 4, null, 49}
    expect(list(x / 2)).to_be_exactly{0.5, 1.0, null, 3.5}
    expect(list(x // 2)).to_be_exactly{0, 1, null, 3}
    expect(list(-x // 2)).to_be_exactly{-1, -1, null, -4}
    expect(list(-x % 3)).to_be_exactly{2, 1, null, 2}
    expect(list(x ^ 2)).to_be_exactly{1.0, 4.0, null, 49.0}
    expect(list(2 ^ x)).to_be_exactly{2.0, 4.0, null, 128.0}
    expect(list((-x + 2 * x ^ 2):exp())[1]).to_be(math.exp(1))
    expect(list((-x):abs())).to_be_exactly{1, 2, null, 7}
    expect(list((z * 1.23):round(1))).to_equal{2.5, 0.6, 1.2, null}
    expect(list(z:floor())).to_equal{2, 0, 1, null}
    expect(list(z:is_null())).to_equal{false, false, false, true}
  end)

  it("refuses what has no exact answer", function()
    local x = frame.array{1, math.maxinteger}
    expect(function() return x + 1 end).to_fail("row 2", "overflow")
    expect(function() return x * x end).to_fail("row 2", "overflow")
    expect(function() return -frame.array{math.mininteger} end).to_fail("row 1", "overflow")
    expect(function() return x // 0 end).to_fail("row 1")
    expect(function() return x % 0 end).to_fail("row 1")
    expect(function() return frame.array{math.mininteger} // -1 end).to_fail("row 1", "overflow")
    expect((x / 0):to_table()).to_equal{math.huge, math.huge}
    expect(function() return x + frame.array{1} end).to_fail("array +: 2 rows and 1 rows")
    expect(function() return x + "1" end).to_fail("got a string", "type")
    expect(function() return x + frame.array{"a", "b"} end).to_fail("array +", "type")
  end)

  it("gives uint64 only while Lua can hold it", function()
    expect(frame.array({5}, "uint64")[1]).to_be(5)
    expect(function() frame.array({-1}, "uint64") end).to_fail("-1 does not fit uint64")
  end)

  it("changes type where nothing is lost", function()
    expect(frame.array{1.0, 2.0}:cast("int64"):to_table()).to_be_exactly{1, 2}
    expect(function() frame.array{1.5}:cast("int64") end).to_fail("row 1: 1.5 does not fit int64")
    expect(function() frame.array{"a"}:cast("int64") end).to_fail("utf8 cannot become int64")
  end)
end)

describe("concat", function()
  it("puts frames end to end and matches columns by name", function()
    local a = frame.from{{"x", {1}}, {"y", {"a"}}}
    local b = frame.from{{"y", {"b", null}}, {"x", {2, 3}}}
    local c = frame.concat{a, b}
    expect(c:to_table()).to_equal{x = {1, 2, 3}, y = {"a", "b", null}}
    expect(c.columns).to_equal{"x", "y"}
    expect(frame.concat{a, frame.from{{"x", {2.5}}, {"y", {"c"}}}}.x:to_table()).to_equal{1.0, 2.5}
    expect(function() frame.concat{a, a:drop("y")} end).to_fail('frame 2 has no column "y"')
    expect(function() frame.concat{a:drop("y"), a} end).to_fail('column "y" that frame 1 lacks')
    expect(function() frame.concat{a, 3} end).to_fail("item 2 is a number")
  end)
end)

describe("sort", function()
  it("is stable, with nulls last and NaN before them", function()
    local nan = 0 / 0
    local df = frame.from{{"k", {2, null, 1, 2, 1}}, {"x", {nan, 5, null, 1, 7}},
      {"i", {1, 2, 3, 4, 5}}}
    local function order(...) return df:sort(...).i:to_table() end
    expect(order("k")).to_equal{3, 5, 1, 4, 2}
    expect(order{{"k", desc = true}}).to_equal{1, 4, 3, 5, 2}
    expect(order{"k", "x"}).to_equal{5, 3, 4, 1, 2}
    expect(order{"x"}).to_equal{4, 2, 5, 1, 3}
    expect(order{{"x", desc = true}}).to_equal{5, 2, 4, 1, 3}
    expect(order{{"x", nulls = "first"}}).to_equal{3, 4, 2, 5, 1}
    expect(order({"x"}, {nulls = "first"})).to_equal{3, 4, 2, 5, 1}
    expect(order{"k", desc = true}).to_equal{1, 4, 3, 5, 2}
    expect(function() df:sort{"k", "x", desc = true} end).to_fail("sort: write")
    expect(function() df:sort{"kk"} end).to_fail('sort: no column "kk"')
    expect(function() df:sort{{"k", dsc = true}} end).to_fail("did you mean 'desc'?")
    expect(function() df:sort{"k", 3} end).to_fail("item 2 is a number")
    expect(function() df:sort({"k"}, {null = "first"}) end).to_fail("did you mean 'nulls'?")
  end)
end)
