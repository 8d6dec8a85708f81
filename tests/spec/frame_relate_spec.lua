local t = require "flowrun.test"
local frame = require "flowrun.frame"
local random = require "flowrun.random"
local describe, it, expect = t.describe, t.it, t.expect
local null = frame.null

local function list(df, name) return df:col(name):to_table() end

local function close_to(a, b) return math.abs(a - b) <= 1e-12 * math.max(1, math.abs(b)) end

describe("join", function()
  local a = frame.from{{"feeder", {"F2", "F1", null, "F9", "F1"}}, {"kw", {1, 2, 3, 4, 5}}}
  local b = frame.from{{"feeder", {"F1", "F2", "F1", null, "F7"}}, {"kw", {10, 20, 30, 40, 50}}}

  it("keeps left order, then right", function()
    local j = a:join(b, {on = "feeder"})
    expect(j.columns).to_equal{"feeder", "kw", "kw_right"}
    expect(list(j, "feeder")).to_equal{"F2", "F1", "F1", "F1", "F1"}
    expect(list(j, "kw")).to_equal{1, 2, 2, 5, 5}
    expect(list(j, "kw_right")).to_equal{20, 10, 30, 10, 30}
  end)

  it("has left, right, full, semi and anti; null keys match nothing", function()
    local function both(how)
      local j = a:join(b, {on = "feeder", how = how, suffix = "_b"})
      return {list(j, "feeder"), list(j, "kw"), list(j, "kw_b")}
    end
    expect(both("left")).to_equal{{"F2", "F1", "F1", null, "F9", "F1", "F1"},
      {1, 2, 2, 3, 4, 5, 5}, {20, 10, 30, null, null, 10, 30}}
    expect(both("right")).to_equal{{"F2", "F1", "F1", "F1", "F1", null, "F7"},
      {1, 2, 2, 5, 5, null, null}, {20, 10, 30, 10, 30, 40, 50}}
    expect(both("full")).to_equal{{"F2", "F1", "F1", null, "F9", "F1", "F1", null, "F7"},
      {1, 2, 2, 3, 4, 5, 5, null, null}, {20, 10, 30, null, null, 10, 30, 40, 50}}
    expect(both("outer")).to_equal(both("full"))
    expect(list(a:join(b, {on = "feeder", how = "semi"}), "kw")).to_equal{1, 2, 5}
    expect(list(a:join(b, {on = "feeder", how = "anti"}), "kw")).to_equal{3, 4}
    expect(a:join(b, {on = "feeder", how = "anti"}).columns).to_equal{"feeder", "kw"}
  end)

  it("takes several keys, and keys of different names", function()
    local x = frame.from{{"p", {1, 1, 2}}, {"q", {"a", "b", "a"}}, {"v", {1, 2, 3}}}
    local y = frame.from{{"r", {2, 1}}, {"q", {"a", "b"}}, {"w", {5, 6}}}
    local j = x:join(y, {on = {{"p", "r"}, "q"}})
    expect(j.columns).to_equal{"p", "q", "v", "w"}
    expect(j:to_table()).to_equal{p = {1, 2}, q = {"b", "a"}, v = {2, 3}, w = {6, 5}}
  end)

  it("shares the left columns when each row matches at most once", function()
    local unique = b:head(2)
    local j = a:join(unique, {on = "feeder", how = "left"})
    expect(j.kw == a.kw).to_be_true()
    expect(list(j, "kw_right")).to_equal{20, 10, null, null, 10}
  end)

  it("says what is wrong", function()
    local function fails(options, text) expect(function() a:join(b, options) end).to_fail(text) end
    fails({on = "feder"}, 'join: left: no column "feder": did you mean "feeder"?')
    fails({on = {{"feeder", "feder"}}}, "join: right: no column")
    fails({on = {{"feeder", "kw"}}}, "is utf8 on the left and int64 on the right")
    fails({on = "feeder", haw = "left"}, "join: unknown option 'haw'; did you mean 'how'?")
    fails({on = "feeder", how = "lef"}, "how is one of anti, cross, full, inner, left, outer")
    fails({}, "on is missing")
    fails({on = {}}, "on is empty")
    fails({on = "feeder", suffix = ""}, "give another suffix")
    expect(function() a:join(3, {on = "feeder"}) end).to_fail("expected a frame, got a number")
  end)
end)

describe("join_asof", function()
  local load = frame.from{
    {"when", {"2024-01-01 10:07", "2024-01-01 09:00", "2024-01-01 11:00"}, "timestamp[s]"},
    {"feeder", {"F1", "F1", "F2"}}, {"kw", {1, 2, 3}}}
  local weather = frame.from{
    {"when", {"2024-01-01 10:00", "2024-01-01 10:15", "2024-01-01 10:45"}, "timestamp[s]"},
    {"feeder", {"F1", "F1", "F2"}}, {"temp", {20, 21, 22}}}

  it("takes the last earlier row within the tolerance", function()
    expect(list(load:join_asof(weather, {on = "when"}), "temp")).to_equal{20, null, 22}
    expect(list(load:join_asof(weather, {on = "when", by = "feeder"}), "temp")).to_equal{20, null, 22}
    local near = load:join_asof(weather, {on = "when", by = "feeder", tolerance = "10min"})
    expect(list(near, "temp")).to_equal{20, null, null}
    expect(near.columns).to_equal{"when", "feeder", "kw", "when_right", "temp"}
    expect(list(near, "when_right")[1]).to_be("2024-01-01 10:00:00")
  end)

  it("looks forward or both ways", function()
    expect(list(load:join_asof(weather, {on = "when", direction = "forward"}), "temp")).to_equal{21, 20, null}
    expect(list(load:join_asof(weather, {on = "when", direction = "nearest"}), "temp")).to_equal{20, 20, 22}
    expect(function() load:join_asof(weather, {on = "when", direction = "back"}) end)
      .to_fail("direction is one of backward, forward, nearest")
    expect(function() load:join_asof(weather, {on = "feeder"}) end).to_fail("expected numbers or times")
    expect(function() load:join_asof(weather, {on = "when", tolerance = "soon"}) end)
      .to_fail("'soon' is not a duration")
    expect(function() load:join_asof(weather, {on = "kw", tolerance = "5min"}) end)
      .to_fail('tolerance is a number for "kw", which is int64')
    expect(function() load:join_asof(weather, {on = {"when", "feeder"}}) end).to_fail("on is one column")
  end)
end)

describe("unique and partition", function()
  local df = frame.from{{"d", {"N", "S", "N", null, null}}, {"e", {1, 1, 1, 2, 2}}, {"x", {1, 2, 3, 4, 5}}}

  it("keeps the first row of each key, in row order", function()
    expect(list(df:unique{"d"}, "x")).to_equal{1, 2, 4}
    expect(list(df:unique{"d", "e"}, "x")).to_equal{1, 2, 4}
    expect(#df:unique()).to_be(5)
    expect(#frame.concat{df, df}:unique()).to_be(5)
    expect(function() df:unique{"dd"} end).to_fail('unique: no column "dd"')
  end)

  it("makes a frame per key, in key order, nulls last", function()
    local parts = df:partition("d")
    expect(#parts).to_be(3)
    expect(parts[1].key).to_be("N")
    expect(list(parts[1].frame, "x")).to_equal{1, 3}
    expect(parts[2].key).to_be("S")
    expect(parts[3].key).to_be_nil()
    expect(list(parts[3].frame, "x")).to_equal{4, 5}
    local two = df:partition{"d", "e"}
    expect(two[2].key).to_equal{d = "S", e = 1}
  end)
end)

describe("group with nulls", function()
  it("counts rows and values of every group, whatever the share of nulls", function()
    local r = require("flowrun.random").new(15)
    local n = 70001
    for _, case in ipairs{{0, 300}, {2, 300}, {6, 300}, {2, 9000}} do
      local few, keys = case[1], case[2]
      local k, h = r:integers(1, keys, n):to_table(), r:integers(0, 9, n):to_table()
      local x, v, want, last = r:normal(0, 1, n):to_table(), r:integers(-9, 9, n):to_table(), {}, 0
      for i = 1, n do
        if h[i] < few or k[i] == 7 then x[i], v[i] = null, null end -- group 7 has no value
        local w = want[k[i]] or {rows = 0, count = 0, sum = 0, whole = 0, min = math.huge}
        want[k[i]] = w
        w.rows = w.rows + 1
        if x[i] ~= null then
          w.count, w.sum, w.min = w.count + 1, w.sum + x[i], math.min(w.min, x[i])
          w.whole = w.whole + v[i]
        end
      end
      local df = frame.from{{"k", k}, {"x", x}, {"v", v, "int64"}}
      local g = df:group{"k"}:agg{{"m", "mean(x)"}, {"lo", "min(x)"}, {"sd", "std(x)"},
        {"s", "sum(v)"}, {"c", "count(x)"}, {"n", "count()"}}
      local whole = df:group{"k"}:agg{{"s", "sum(v)"}, {"n", "count()"}}
      local wrong = 0
      for i = 1, #g do
        local w = want[g.k[i]]
        local good = g.n[i] == w.rows and g.c[i] == w.count and g.s[i] == w.whole and
          whole.n[i] == w.rows and whole.s[i] == w.whole and g.k[i] > last
        if w.count > 0 then
          good = good and close_to(g.m[i], w.sum / w.count) and g.lo[i] == w.min
        else
          good = good and g.m[i] == nil and g.lo[i] == nil and g.sd[i] == nil
        end
        last = g.k[i]
        wrong = wrong + (good and 0 or 1)
      end
      expect(wrong).to_be(0)
      local groups = 0
      for _ in pairs(want) do groups = groups + 1 end
      expect(#g).to_be(groups)
    end
  end)
end)

describe("split", function()
  local labels, x = {}, {}
  for i = 1, 1000 do labels[i], x[i] = i % 10 == 0 and 1 or i % 3 == 0 and 2 or 0, i end
  local df = frame.from{{"label", labels}, {"x", x}}

  it("draws a share, keeps every row once and the order", function()
    local train, test = df:split{test = 0.2, seed = 42}
    expect(#train).to_be(800)
    expect(#test).to_be(200)
    local seen = {}
    for _, part in ipairs{train, test} do
      local last = 0
      for _, v in part.x:items() do
        expect(not seen[v] and v > last).to_be_true()
        seen[v], last = true, v
      end
    end
    local again = df:split{test_size = 0.2, random_state = 42}
    expect(again == train).to_be_true()
    expect(df:split{test = 0.2, seed = 43} == train).to_be_false()
    expect(#select(2, df:split{test = 1, seed = 1})).to_be(1)
    expect(#select(2, df:split{test = 0.0001})).to_be(1)
  end)

  it("represents classes as scikit-learn does", function()
    -- train_test_split(x, test_size=.2, stratify=label) of the same labels gives 20, 60, 120
    local _, test = df:split{test = 0.2, stratify = "label", seed = 42}
    local count = {}
    for _, v in test.label:items() do count[v] = (count[v] or 0) + 1 end
    expect(count).to_equal{[0] = 120, [1] = 20, [2] = 60}
  end)

  it("refuses what cannot be", function()
    local function fails(options, text) expect(function() df:split(options) end).to_fail(text) end
    fails({test = 0}, "test is a share between 0 and 1")
    fails({test = 1.5}, "test is a share")
    fails({test = 1000}, "below 1000")
    fails({test = 0.2, stratify = "x"}, "a class has one row only (row 1)")
    fails({tset = 0.2}, "did you mean 'test'?")
    fails({test = 2, stratify = "label"}, "2 rows cannot represent 3 classes")
    fails({test = 0.2, seed = 1.5}, "seed: expected a whole number")
  end)

  it("samples rows", function()
    local s = df:sample{n = 10, seed = 1}
    expect(#s).to_be(10)
    expect(#s:unique{"x"}).to_be(10)
    expect(#df:sample{share = 0.5}).to_be(500)
    expect(df:sample{n = 1000, seed = 3} == df).to_be_true()
    expect(function() df:sample{n = 1001} end).to_fail("1001 of 1000 rows")
  end)
end)

describe("missing values", function()
  local df = frame.from{{"kw", {1.0, null, 0 / 0, 4.0}}, {"zone", {"N", "S", null, "N"}}}

  it("are dropped; NaN only when asked", function()
    expect(#df:dropna()).to_be(2)
    expect(#df:dropna{"kw"}).to_be(3)
    expect(#df:dropna{"kw", nan = true}).to_be(2)
    expect(#df:dropna{nan = true}).to_be(2)
    expect(#df:dropna("zone")).to_be(3)
    expect(function() df:dropna{"kww"} end).to_fail('dropna: no column "kww"')
    expect(function() df:dropna{nam = true} end).to_fail("did you mean 'nan'?")
  end)

  it("are filled by column or by kind", function()
    expect(list(df:fill{kw = 0}, "kw")[2]).to_be(0.0)
    expect(list(df:fill{zone = "?"}, "zone")).to_equal{"N", "S", "?", "N"}
    expect(df:fill(0):null_count()).to_equal{kw = 0, zone = 1}
    expect(df:fill("?"):null_count()).to_equal{kw = 1, zone = 0}
    expect(function() df:fill{kw = "x"} end).to_fail('fill: column "kw"')
    expect(function() df:fill{kww = 0} end).to_fail("did you mean")
    local when = frame.from{{"d", {null, "2024-01-02"}, "date"}}
    expect(list(when:fill{d = "2024-01-01"}, "d")).to_equal{"2024-01-01", "2024-01-02"}
  end)
end)

describe("with", function()
  local df = frame.from{{"a", {1, 2}}, {"b", {"x", "y"}}}

  it("adds and replaces columns", function()
    local out = df:with{{"c", frame.lit("scada")}, {"a", {3, null}}, {"d", df.b}}
    expect(out.columns).to_equal{"a", "b", "c", "d"}
    expect(out:to_table()).to_equal{a = {3, null}, b = {"x", "y"}, c = {"scada", "scada"}, d = {"x", "y"}}
    expect(df:with{z = frame.lit(1.5), y = frame.lit(null)}.columns).to_equal{"a", "b", "y", "z"}
    expect(function() df:with{{"c", {1}}} end).to_fail('with: column "c" has 1 rows, the frame 2')
    expect(function() df:with{{"c", 5}} end).to_fail("frame.lit(value)")
    expect(function() df:with{{"c", frame.lit(1)}, {"c", frame.lit(2)}} end).to_fail("there twice")
  end)
end)

describe("date_range", function()
  local function range(options) return frame.date_range(options):to_table() end

  it("steps through hours, days, weeks, months, years", function()
    expect(range{start = "2023-01-01", periods = 3, freq = "1h", tz = "UTC"}).to_equal{
      "2023-01-01 00:00:00Z", "2023-01-01 01:00:00Z", "2023-01-01 02:00:00Z"}
    expect(range{start = "2023-12-31", periods = 2}).to_equal{"2023-12-31 00:00:00", "2024-01-01 00:00:00"}
    expect(range{start = "2024-01-31", periods = 3, freq = "1mo"}).to_equal{
      "2024-01-31 00:00:00", "2024-02-29 00:00:00", "2024-03-31 00:00:00"}
    expect(range{start = "2024-02-29", periods = 2, freq = "1y"}[2]).to_be("2025-02-28 00:00:00")
    expect(range{start = "2024-01-01 06:00", ["end"] = "2024-01-01 07:00", freq = "15min"}[5])
      .to_be("2024-01-01 07:00:00")
    expect(#range{start = "2024-01-01", ["end"] = "2024-12-31", freq = "1w"}).to_be(53)
    expect(#range{start = "2024-01-01", periods = 0}).to_be(0)
    expect(frame.date_range{start = "2024-01-01", periods = 1, unit = "ms"}:type()).to_be("timestamp[ms]")
    expect(range{start = "2024-01-01", periods = 2, freq = "H"}[2]).to_be("2024-01-01 01:00:00")
  end)

  it("knows that days have 23 or 25 hours where the clock changes", function()
    expect(range{start = "2024-03-30 02:30", periods = 3, freq = "1d", tz = "Europe/Paris"}).to_equal{
      "2024-03-30 02:30:00+01:00", "2024-03-31 03:30:00+02:00", "2024-04-01 02:30:00+02:00"}
    expect(range{start = "2024-03-31 01:00", periods = 3, freq = "1h", tz = "Europe/Paris"}).to_equal{
      "2024-03-31 01:00:00+01:00", "2024-03-31 03:00:00+02:00", "2024-03-31 04:00:00+02:00"}
  end)

  it("says what is wrong", function()
    local function fails(options, text)
      expect(function() frame.date_range(options) end).to_fail(text)
    end
    fails({start = "2024-01-01"}, "give either periods or")
    fails({start = "2024-13-01", periods = 1}, "start '2024-13-01' is not a time")
    fails({start = "2024-01-01", periods = 1, freq = "1fortnight"}, "is not a step such as")
    fails({start = "2024-01-01", periods = 1, tz = "Europe/Pariss"}, "Pariss")
    fails({start = "2024-03-31 02:30", periods = 1, tz = "Europe/Paris"}, "does not exist")
    fails({start = "2024-01-01", perids = 1}, "did you mean 'periods'?")
  end)
end)

describe("describe", function()
  it("has a row per column", function()
    local d = frame.from{{"kw", {1, 2, 3, null}}, {"zone", {"N", "N", "S", "N"}}}:describe()
    expect(list(d, "column")).to_equal{"kw", "zone"}
    expect(list(d, "nulls")).to_equal{1, 0}
    expect(list(d, "unique")).to_equal{3, 2}
    expect(d:row(1).mean).to_be(2.0)
    expect(d:row(1).p25).to_be(1.5)
    expect(d:row(2).mean).to_be_nil()
  end)
end)

describe("threads", function()
  it("do not change a byte", function()
    local r = random.new(7)
    local n = 200000
    local df = frame.from{{"k", r:integers(1, 5000, n)}, {"x", r:normal(0, 1, n)}}
    local other = frame.from{{"k", r:integers(1, 6000, 4000)}, {"y", r:normal(0, 1, 4000)}}
    local want
    for _, threads in ipairs{1, 2, 3, 8} do
      local before = frame.threads(threads)
      local got = {frame.hash(df:sort{{"x", desc = true}, "k"}), frame.hash(df:join(other, {on = "k"})),
        df.x:sum(), df.x:std(), df.x:quantile(0.9), frame.hash(df:unique{"k"})}
      frame.threads(before)
      expect(got).to_equal(want or got)
      want = got
    end
  end)
end)
