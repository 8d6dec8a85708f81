local t = require "flowrun.test"
local frame = require "flowrun.frame"
local random = require "flowrun.random"
local describe, it, expect = t.describe, t.it, t.expect
local null = frame.null

local function list(df, name) return df:col(name):to_table() end

local function near(got, want, tolerance)
  if got == null or want == null then return got == want end
  return math.abs(got - want) <= tolerance * math.max(1, math.abs(want))
end

describe("window functions", function()
  local peers = assert(loadfile("tests/fixtures/windows.txt", "t", {}))(null)
  local df = frame.from{{"feeder", peers.feeder}, {"when", peers.when}, {"kw", peers.kw},
    {"level", peers.level}}

  it("agree with pandas and polars within groups, in an order of their own", function()
    local checked = 0
    for text, want in pairs(peers.window) do
      local w = df:window({by = "feeder", order = "when"}, {{"w", text}})
      expect(w.columns).to_equal{"feeder", "when", "kw", "level", "w"}
      expect(w.when == df.when).to_be_true()
      local got = list(w, "w")
      for i = 1, #want do
        if not near(got[i], want[i], 1e-12) then
          error(("%s, row %d: %s, pandas %s"):format(text, i, tostring(got[i]), tostring(want[i])))
        end
        checked = checked + 1
      end
    end
    expect(checked > 2000).to_be_true()
  end)

  it("take the whole frame without by and order, also in filter and nested", function()
    local x = frame.from{{"x", {3, 1, null, 5}}}
    local w = x:with{{"d", "x - lag(x)"}, {"n", "lag(cum_sum(x)) + row_number()"},
      {"c", "cum_count(x)"}, {"p", "lag(x, 9)"}}
    expect(list(w, "d")).to_equal{null, -2, null, null}
    expect(list(w, "n")).to_equal{null, 5, 7, null}
    expect(list(w, "c")).to_equal{1, 2, 2, 3}
    expect(list(w, "p")).to_equal{null, null, null, null}
    expect(list(x:filter("x < lag(x) or row_number() = 4"), "x")).to_equal{1, 5}
  end)

  it("keep types: text, categories, times, integers; sort nulls and NaN last in ranks", function()
    local x = frame.from{{"c", {"b", "a", null}, "category"}, {"d", {"2024-01-01", null, "2024-01-03"},
      "date"}, {"s", {"2024-01-01 01:00", "2024-01-01 00:00", null}, "timestamp[s]"}, {"i", {4, 2, 9}},
      {"f", {0 / 0, 1, null}}, {"b", {true, false, true}}}
    local w = x:with{{"c1", "lag(c)"}, {"d1", "fill_forward(d)"}, {"s1", "cum_min(s)"},
      {"i1", "rolling_sum(i, 2)"}, {"f1", "rank(f)"}, {"c2", "rank(c)"}, {"b1", "cum_sum(b)"},
      {"i2", "rolling_mean(i, 2)"}}
    local types = w:types()
    expect({types.c1, types.d1, types.s1, types.i1, types.f1, types.i2}).to_equal{"utf8", "date",
      "timestamp[s]", "int64", "int64", "float64"}
    expect(list(w, "c1")).to_equal{null, "b", "a"}
    expect(list(w, "d1")).to_equal{"2024-01-01", "2024-01-01", "2024-01-03"}
    expect(list(w, "s1")).to_equal{"2024-01-01 01:00:00", "2024-01-01 00:00:00", null}
    expect(list(w, "i1")).to_equal{null, 6, 11}
    expect(list(w, "f1")).to_equal{2, 1, null}
    expect(list(w, "c2")).to_equal{2, 1, null}
    expect(list(w, "b1")).to_equal{1, 1, 2}
  end)

  it("forget infinities, NaN and huge values when they have left the window", function()
    local x = frame.from{{"x", {1.5, math.huge, 2.5, 0 / 0, 3.5, 1e300, 4.5, 0.25}}}
    local w = x:with{{"s", "rolling_sum(x, 2)"}, {"m", "rolling_max(x, 2)"}, {"v", "rolling_var(x, 2)"}}
    expect(w.s[3]).to_be(math.huge)
    expect(w.s[5] ~= w.s[5] and w.m[5] ~= w.m[5] and w.v[5] ~= w.v[5]).to_be_true()
    expect(w.s[8]).to_be(4.75)
    expect(w.m[8]).to_be(4.5)
    expect(w.v[8]).to_be(9.03125)
  end)

  it("have the same bits at any number of threads, over parts longer than a chunk", function()
    local n = 150000
    local r = random.new(5)
    local big = frame.from{{"x", r:normal(0, 1, n)}, {"g", r:integers(1, 3, n)}}
    big = big:with{{"x", "if_else(row() % 17 = 0, float(null), x * 1000)"}}
    local columns = {{"a", "rolling_mean(x, 24, min = 1)"}, {"b", "rolling_std(x, 5000, min = 2)"},
      {"c", "rolling_sum(x, 70000, min = 9)"}, {"d", "cum_sum(x)"}, {"e", "ewm_mean(x, 0.01)"},
      {"f", "rolling_max(x, 100, min = 1)"}, {"h", "rank(x, 'average')"}, {"i", "interpolate(x)"}}
    local before = frame.threads()
    local first
    for _, threads in ipairs{1, 2, 3, 8} do
      frame.threads(threads)
      local h = frame.hash(big:with(columns)) .. frame.hash(big:window({by = "g"}, columns))
      first = first or h
      expect(h).to_be(first)
    end
    frame.threads(before)
    -- Against sums made anew for each row.
    local w = big:with(columns)
    local x = list(big, "x")
    for _, i in ipairs{23, 24, 65536, 65537, 65540, 131072, 150000} do
      local sum, count = 0, 0
      for k = math.max(1, i - 23), i do
        if x[k] ~= null then sum, count = sum + x[k], count + 1 end
      end
      expect(near(w.a[i], sum / count, 1e-10)).to_be_true()
      sum = 0
      for k = math.max(1, i - 69999), i do sum = sum + (x[k] ~= null and x[k] or 0) end
      expect(math.abs(w.c[i] - sum) < 1e-6).to_be_true()
    end
  end)

  it("say what is wrong", function()
    local x = frame.from{{"x", {math.maxinteger, 1}}, {"s", {"a", "b"}}}
    local function problem(text) return select(2, pcall(x.with, x, {{"y", text}})).message end
    expect(problem "cum_sum(x)").to_match 'column "y": cum_sum%(x%): row 2: the sum does not fit'
    expect(problem "rolling_sum(x, 2)").to_match "row 2: the sum does not fit"
    expect(problem "rolling_mean(x, 0)").to_match "constant number of rows, from 1"
    expect(problem "rolling_mean(x, x)").to_match "constant number of rows"
    expect(problem "rolling_mean(x, 2, min = 3)").to_match "min at most the rows"
    expect(problem "rolling_mean(x, 2, mni = 1)").to_match "min = values"
    expect(problem "rolling_mean(s, 2)").to_match "expected a number, got utf8"
    expect(problem "rank(x, 'first')").to_match "'dense', 'average' or 'desc'"
    expect(problem "ewm_mean(x, alpha = 2)").to_match "alpha in"
    expect(problem "lag()").to_match "usage: lag"
    expect(problem "rolling_meen(x, 2)").to_match "did you mean rolling_mean"
    local agg = select(2, pcall(function() x:group{"s"}:agg{{"y", "sum(lag(x))"}} end)).message
    expect(agg).to_match "looks at rows"
    local over = select(2, pcall(x.window, x, {bye = "s"}, {{"y", "lag(x)"}})).message
    expect(over).to_match "did you mean 'by'"
    over = select(2, pcall(x.window, x, {by = "z"}, {{"y", "lag(x)"}})).message
    expect(over).to_match "window: by"
  end)
end)

describe("gaps and bounds", function()
  local df = frame.from{{"f", {"a", "b", "a", "b", "a"}}, {"t", {3, 1, 1, 2, 2}},
    {"x", {3, 10, 1, null, null}}, {"y", {1.5, 2, null, 4, -1}}, {"s", {"p", null, null, "q", "r"}}}

  it("are filled forward, backward and along lines", function()
    local x = df:fill_forward{"x", by = "f", order = "t"}
    expect(list(x, "x")).to_equal{3, 10, 1, 10, 1}
    expect(x.y == df.y).to_be_true()
    expect(list(df:fill_forward(), "s")).to_equal{"p", "p", "p", "q", "r"}
    expect(list(df:fill_backward "s", "s")).to_equal{"p", "q", "q", "q", "r"}
    expect(list(df:fill_forward{"x", limit = 1}, "x")).to_equal{3, 10, 1, 1, null}
    expect(list(df:interpolate{"x", by = "f", order = "t"}, "x")).to_equal{3.0, 10.0, 1.0, null, 2.0}
    expect(list(df:interpolate(), "y")).to_equal{1.5, 2.0, 3.0, 4.0, -1.0}
    expect(pcall(df.interpolate, df, {"s"})).to_be(false)
    expect(select(2, pcall(df.fill_forward, df, {"z"})).message).to_match "z"
    expect(select(2, pcall(df.fill_forward, df, {"x", limt = 1})).message).to_match "did you mean 'limit'"
  end)

  it("clip keeps integers, missing values and NaN", function()
    local c = df:clip{max = 2}
    expect(list(c, "x")).to_equal{2, 2, 1, null, null}
    expect(c:types().x).to_be("int64")
    expect(list(c, "s")).to_equal(list(df, "s"))
    expect(list(df:clip{"y", min = 0, max = 1.5}, "y")).to_equal{1.5, 1.5, null, 1.5, 0.0}
    local nan = frame.from{{"x", {0 / 0, 5.0}}}:clip{max = 1}.x
    expect(nan[1] ~= nan[1] and nan[2] == 1).to_be_true()
    expect(select(2, pcall(df.clip, df, {"x"})).message).to_match "min or max"
    expect(select(2, pcall(df.clip, df, {"x", min = 3, max = 2})).message).to_match "above"
  end)
end)

describe("rolling sums of floats", function()
  it("agree with plain loops, around strips, blocks and nulls", function()
    local r = require("flowrun.random").new(11)
    for _, n in ipairs{1, 5, 64, 65, 700} do
      for _, one_of in ipairs{0, 2, 4} do
        local x, v = {}, r:normal(0, 1, n)
        for i = 1, n do x[i] = one_of > 0 and r:integers(1, one_of) == 1 and null or v[i] end
        local column = frame.from{{"x", x, "float64"}}
        for _, w in ipairs{1, 2, 7, 64, 100} do
          for _, least in ipairs{0, 1, w} do
            local got = column:with{{"s", ("rolling_sum(x, %d, min = %d)"):format(w, least)},
              {"m", ("rolling_mean(x, %d, min = %d)"):format(w, math.max(least, 1))}}
            local sums, means, wrong = got.s:to_table(), got.m:to_table(), 0
            for i = 1, n do
              local s, c = 0.0, 0
              for k = math.max(1, i - w + 1), i do if x[k] ~= null then s, c = s + x[k], c + 1 end end
              local sum = (c >= least and (c > 0 or least == 0)) and s or null
              local mean = c >= math.max(least, 1) and s / c or null
              for _, pair in ipairs{{sums[i], sum}, {means[i], mean}} do
                local a, b = pair[1], pair[2]
                wrong = wrong + ((a == null or b == null) and (a ~= b and 1 or 0)
                  or math.abs(a - b) > 1e-9 and 1 or 0)
              end
            end
            expect(wrong).to_be(0)
          end
        end
      end
    end
  end)
  it("of long windows are those of short ones put together", function()
    local r = require("flowrun.random").new(12)
    local n = 20011
    local df = frame.from{{"x", r:normal(0, 1, n)}, {"k", r:integers(0, 3, n)}}
      :with{{"x", "if_else(k = 0, null, x)"}}
    for _, w in ipairs{2047, 2049, 4096, 4097} do
      local got = df:with{{"s", ("rolling_sum(x, %d, min = 1)"):format(w)}, {"c", "cum_sum(x)"}}
      local s, c = got.s:to_table(), got:fill_forward{"c"}.c:to_table()
      for i = w + 1, n, 97 do expect(s[i]).to_be_near(c[i] - c[i - w], 1e-7) end
    end
  end)
  it("depend on the rows of the window only, to the last bit", function()
    local r = require("flowrun.random").new(14)
    local period, times = 1301, 60 -- over chunks and strips
    local x, k, all = r:normal(0, 1e6, period):to_table(), r:integers(0, 9, period):to_table(), {}
    for i = 1, period * times do
      local j = (i - 1) % period + 1
      all[i] = k[j] == 0 and null or x[j]
    end
    local df = frame.from{{"x", all}}
    for _, w in ipairs{1, 2, 7, 24, 63, 168, 1000} do
      local got = df:with{{"m", ("rolling_mean(x, %d, min = 1)"):format(w)}}.m:to_table()
      local wrong = 0
      for i = 2 * period + 1, #all do
        wrong = wrong + (got[i] == got[(i - 1) % period + 1 + period] and 0 or 1)
      end
      expect(wrong).to_be(0)
    end
  end)
  it("forget an infinity, a NaN and a huge value when they have left", function()
    local all = {}
    for i = 1, 3000 do all[i] = i % 2 == 0 and 0.25 or -0.0 end
    all[100], all[1025], all[2000] = math.huge, 0 / 0, 1e300
    local got = frame.from{{"x", all}}:with{{"s", "rolling_sum(x, 24)"}}.s:to_table()
    expect(got[123]).to_be(math.huge)
    expect(got[124]).to_be(3.0)
    expect(got[1048] ~= got[1048]).to_be_true()
    expect(got[1049]).to_be(3.0)
    expect(got[2024]).to_be(3.0)
    local zeros = frame.from{{"x", {-0.0, -0.0}}}:with{{"s", "rolling_sum(x, 2)"}}.s
    expect(1 / zeros[2]).to_be(math.huge)
  end)
end)

describe("masks over many chunks", function()
  it("filter values, nulls and booleans; quantiles skip nulls", function()
    local r = require("flowrun.random").new(13)
    local n = 200003
    local k, x, b, want, values = r:integers(0, 9, n):to_table(), r:normal(0, 1, n):to_table(), {}, {}, {}
    for i = 1, n do
      if k[i] == 3 then x[i] = null else values[#values + 1] = x[i] end
      b[i] = k[i] == 4 and null or k[i] % 3 == 0
      if k[i] > 2 then want[#want + 1] = i end
    end
    local df = frame.from{{"k", k}, {"x", x}, {"b", b}, {"f", k, "float32"}, {"s", k, "int8"}}
    local got = df:filter("k > 2")
    expect(#got).to_be(#want)
    local gx, gb, gf, gs, wrong = got.x:to_table(), got.b:to_table(), got.f:to_table(), got.s:to_table(), 0
    for j, i in ipairs(want) do
      wrong = wrong + ((gx[j] == x[i] and gb[j] == b[i] and gf[j] == k[i] and gs[j] == k[i]) and 0 or 1)
    end
    expect(wrong).to_be(0)
    table.sort(values)
    local function linear(q)
      local at = q * (#values - 1)
      local low = math.floor(at)
      return values[low + 1] + (values[math.min(low + 2, #values)] - values[low + 1]) * (at - low)
    end
    local q = df:quantile("x", {0, 0.01, 0.5, 0.99, 1})
    for j, at in ipairs{0, 0.01, 0.5, 0.99, 1} do expect(q[j]).to_be_near(linear(at), 1e-12) end
    expect(q[3]).to_be(df:quantile("x", 0.5))
    expect(df:head(0):quantile("x", {0.5})).to_equal{}
    expect(function() df:quantile("x", {2}) end).to_fail("between 0 and 1", "invalid")
  end)
end)
