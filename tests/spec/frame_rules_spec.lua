-- The rules that frames follow (docs: rules of frames, A and B), and every verb against loops
-- in plain Lua on random data.
local t = require "flowrun.test"
local frame = require "flowrun.frame"
local random = require "flowrun.random"
local value = require "flowrun.core.value"
local describe, it, expect = t.describe, t.it, t.expect
local null = frame.null
local nan = 0 / 0

local function list(df, name) return df:col(name):to_table() end

-- Random cells: kinds "int", "float" (with NaN), "text", "bool"; every sixth is null.
local function cells(r, kind, n, distinct)
  local out = {}
  for i = 1, n do
    local v = r:integers(1, distinct)
    if r:integers(1, 6) == 1 then out[i] = null
    elseif kind == "int" then out[i] = v - distinct // 2
    elseif kind == "float" then out[i] = v == 1 and nan or (v - 3) * 0.5
    elseif kind == "text" then out[i] = ("abc"):rep(v % 4) .. v
    else out[i] = v % 2 == 0 end
  end
  return out
end

-- A text that is equal for equal values, and its place among the kinds of missing.
local function key_of(v)
  if v == null then return "null" end
  if v ~= v then return "nan" end
  return type(v) .. tostring(v)
end

local function rank(v, nulls_first)
  if v == null then return nulls_first and 0 or 3 end
  return v ~= v and 2 or 1
end

local function before(a, b, desc, nulls_first)
  local ra, rb = rank(a, nulls_first), rank(b, nulls_first)
  if ra ~= rb then return ra < rb end
  if ra ~= 1 or a == b then return nil end
  if type(a) == "boolean" then a, b = a and 1 or 0, b and 1 or 0 end
  return (a < b) ~= (desc or false)
end

local kinds = {"int", "float", "text", "bool"}

-- A stable insertion sort by two keys.
local function sorted_rows(a, b, n, by_a, by_b)
  local rows = {}
  for i = 1, n do
    local j = i
    while j > 1 do
      local o = rows[j - 1]
      local less = before(a[i], a[o], by_a.desc, by_a.nulls == "first")
      if less == nil then less = before(b[i], b[o], by_b.desc, by_b.nulls == "first") end
      if not less then break end
      rows[j] = o
      j = j - 1
    end
    rows[j] = i
  end
  return rows
end

describe("against plain loops", function()
  it("sort agrees with an insertion sort", function()
    local r = random.new(1)
    for round = 1, 40 do
      local n = r:integers(0, 60)
      local a = cells(r, kinds[r:integers(1, 4)], n, 8)
      local b = cells(r, kinds[r:integers(1, 4)], n, 8)
      local by_a = {"a", desc = round % 2 == 0, nulls = round % 3 == 0 and "first" or nil}
      local by_b = {"b", desc = round % 5 == 0, nulls = round % 7 == 0 and "first" or nil}
      local ids = {}
      for i = 1, n do ids[i] = i end
      local df = frame.from{{"a", a}, {"b", b}, {"i", ids, "int64"}}
      expect(list(df:sort{by_a, by_b}, "i")).to_equal(sorted_rows(a, b, n, by_a, by_b))
    end
  end)

  it("group agrees with a table of lists", function()
    local r = random.new(2)
    for _ = 1, 40 do
      local n = r:integers(0, 60)
      local a, b = cells(r, kinds[r:integers(1, 4)], n, 5), cells(r, "int", n, 3)
      local x = cells(r, "int", n, 100)
      local df = frame.from{{"a", a}, {"b", b, "int64"}, {"x", x, "int64"}}
      local got = df:group{"a", "b"}:agg{{"n", "count()"}, {"nx", "count(x)"}, {"s", "sum(x)"},
        {"lo", "min(x)"}, {"hi", "max(x)"}, {"m", "mean(x)"}, {"u", "nunique(x)"},
        {"f", "first(x)"}, {"l", "last(x)"}}
      local groups, order = {}, {}
      for i = 1, n do
        local key = key_of(a[i]) .. "|" .. key_of(b[i])
        if not groups[key] then
          groups[key] = {a = a[i], b = b[i], rows = {}}
          order[#order + 1] = groups[key]
        end
        table.insert(groups[key].rows, i)
      end
      table.sort(order, function(p, q)
        local less = before(p.a, q.a)
        if less == nil then less = before(p.b, q.b) end
        return less or false
      end)
      expect(#got).to_be(#order)
      for g, group in ipairs(order) do
        local s, count, lo, hi, distinct, unique = 0, 0, nil, nil, {}, 0
        for _, i in ipairs(group.rows) do
          local v = x[i]
          if v ~= null then
            s, count = s + v, count + 1
            lo, hi = math.min(lo or v, v), math.max(hi or v, v)
            if not distinct[v] then distinct[v], unique = true, unique + 1 end
          end
        end
        local row = got:row(g)
        local first, last = x[group.rows[1]], x[group.rows[#group.rows]]
        expect({row.n, row.nx, row.s, row.lo, row.hi, row.u, row.f, row.l}).to_equal{
          #group.rows, count, s, lo, hi, unique, first ~= null and first or nil,
          last ~= null and last or nil}
        if count > 0 then expect(row.m).to_be_near(s / count) else expect(row.m).to_be_nil() end
      end
    end
  end)

  it("joins agree with nested loops", function()
    local r = random.new(3)
    for round = 1, 60 do
      local kind = kinds[r:integers(1, 4)]
      local n, m = r:integers(0, 25), r:integers(0, 25)
      local a, b = cells(r, kind, n, 9), cells(r, kind, m, 9)
      local ia, ib = {}, {}
      for i = 1, n do ia[i] = i end
      for i = 1, m do ib[i] = i end
      local types = {int = "int64", float = "float64", text = "utf8", bool = "bool"}
      local left = frame.from{{"k", a, types[kind]}, {"l", ia, "int64"}}
      local right = frame.from{{"k", b, types[kind]}, {"r", ib, "int64"}}
      local how = ({"inner", "left", "right", "full", "semi", "anti"})[round % 6 + 1]
      local ls, rs, seen = {}, {}, {}
      for i = 1, n do
        local found = 0
        for j = 1, m do
          if a[i] ~= null and key_of(a[i]) == key_of(b[j]) then
            found, seen[j] = found + 1, true
            if how ~= "anti" and (how ~= "semi" or found == 1) then
              ls[#ls + 1], rs[#rs + 1] = i, j
            end
          end
        end
        if found == 0 and (how == "left" or how == "full" or how == "anti") then
          ls[#ls + 1], rs[#rs + 1] = i, null
        end
      end
      for j = 1, m do
        if not seen[j] and (how == "right" or how == "full") then
          ls[#ls + 1], rs[#rs + 1] = null, j
        end
      end
      local got = left:join(right, {on = "k", how = how})
      expect(list(got, "l")).to_equal(ls)
      if how ~= "semi" and how ~= "anti" then expect(list(got, "r")).to_equal(rs) end
    end
  end)
end)

describe("A1: missing and NaN", function()
  local df = frame.from{{"g", {"a", "a", "b", null, null}}, {"x", {1.0, null, nan, null, 4.0}}}

  it("null is the only missing; NaN is a number", function()
    expect(df:null_count()).to_equal{g = 2, x = 2}
    expect(#df:dropna{"x"}).to_be(3)
    expect(#df:dropna{"x", nan = true}).to_be(2)
  end)

  it("a filter keeps true, not unknown", function()
    expect(#df:filter("x > 0")).to_be(2)
    expect(#df:filter("not (x > 0)")).to_be(1)       -- NaN: the comparison is false, not unknown
    expect(#df:filter("x > 0 or is_null(x)")).to_be(4)
    expect(#df:filter("g = 'a' or null")).to_be(2)
  end)

  it("nulls form a group, the last", function()
    local g = df:group{"g"}:agg{{"n", "count()"}, {"s", "sum(x)"}, {"m", "mean(x)"}, {"d", "std(x)"}}
    expect(list(g, "g")).to_equal{"a", "b", null}
    expect(list(g, "n")).to_equal{2, 1, 2}
    expect(list(g, "s")[1]).to_be(1.0)
    expect(list(g, "s")[2] ~= list(g, "s")[2]).to_be_true()
    expect(list(g, "d")).to_equal{null, null, null}
  end)

  it("the sum of none is 0, the mean of none null", function()
    local none = frame.from{{"x", {null, null}, "float64"}, {"k", {1, 1}}}
    local g = none:group{"k"}:agg{{"s", "sum(x)"}, {"m", "mean(x)"}, {"lo", "min(x)"},
      {"q", "quantile(x, 0.5)"}, {"n", "count(x)"}, {"u", "nunique(x)"}}
    expect(g:row(1)).to_equal{k = 1, s = 0.0, n = 0, u = 0}
    local all = df:head(0):group{}:agg{{"s", "sum(x)"}, {"n", "count()"}, {"m", "mean(x)"}}
    expect(all:row(1)).to_equal{s = 0.0, n = 0}
  end)

  it("std and var use n - 1, quantiles are linear", function()
    local g = frame.from{{"x", {1, 2, 4, 9}}}:group{}:agg{{"v", "var(x)"}, {"s", "std(x)"},
      {"m", "median(x)"}, {"q", "quantile(x, 0.9)"}}
    expect(g:row(1).v).to_be_near(38 / 3)
    expect(g:row(1).s).to_be_near((38 / 3) ^ 0.5)
    expect(g:row(1).m).to_be(3.0)
    expect(g:row(1).q).to_be_near(7.5)
  end)
end)

describe("A2: integers", function()
  it("never wrap", function()
    local df = frame.from{{"kw", {1, math.maxinteger}}, {"g", {"a", "b"}}}
    expect(function() df:with{{"x", "kw + 1"}} end).to_fail("row 2", "overflow")
    expect(function() df:with{{"x", "kw * 2"}} end).to_fail('with: column "x"', "overflow")
    expect(function() df:group{}:agg{{"s", "sum(kw)"}} end).to_fail("does not fit int64", "overflow")
    expect(list(df:group{"g"}:agg{{"s", "sum(kw)"}}, "s")).to_equal{1, math.maxinteger}
  end)

  it("sum exactly beyond 2^53", function()
    local x = {}
    for i = 1, 1000 do x[i] = 2^53 // 1 | 0 + 1 end
    local want = 0
    for i = 1, 1000 do want = want + x[i] end
    expect(frame.array(x):sum()).to_be(want)
    expect(frame.from{{"x", x}}:group{}:agg{{"s", "sum(x)"}}.s[1]).to_be(want)
  end)

  it("divide and floor as Lua does", function()
    local df = frame.from{{"a", {7, -7, 7, -7}}, {"b", {2, 2, -2, -2}}}
      :with{{"q", "a // b"}, {"m", "a % b"}, {"d", "a / b"}}
    expect(list(df, "q")).to_equal{3, -4, -4, 3}
    expect(list(df, "m")).to_equal{1, 1, -1, -1}
    expect(list(df, "d")).to_equal{3.5, -3.5, -3.5, 3.5}
  end)

  it("variance keeps its digits far from zero", function()
    local x, g = {}, {}
    for i = 1, 4000 do x[i], g[i] = 1e9 * (i % 4) + i // 4 % 2, i % 4 end
    local v = frame.from{{"g", g}, {"x", x}}:group{"g"}:agg{{"v", "var(x)"}}
    for i = 1, 4 do expect(v.v[i]).to_be_near(0.25 * 1000 / 999, 1e-12) end
  end)
end)

describe("A3: text and categories", function()
  it("compare by bytes", function()
    local df = frame.from{{"s", {"b", "Z", "ä", "a", ""}}}
    expect(list(df:sort{"s"}, "s")).to_equal{"", "Z", "a", "b", "ä"}
  end)

  it("categories keep first appearance, sort and group by text", function()
    local df = frame.from{{"c", {"m", "a", "m", null}, "category"}, {"x", {1, 2, 3, 4}}}
    expect(list(df:sort{"c"}, "x")).to_equal{2, 1, 3, 4}
    expect(list(df:group{"c"}:agg{{"s", "sum(x)"}}, "c")).to_equal{"a", "m", null}
    local joined = df:join(frame.from{{"c", {"a", "m"}}, {"y", {10, 20}}}, {on = "c", how = "left"})
    expect(list(joined, "y")).to_equal{20, 10, 20, null}
    expect(list(frame.concat{df, frame.from{{"c", {"z"}, "category"}, {"x", {9}}}}, "c")[5]).to_be("z")
  end)
end)

describe("A5: time", function()
  it("naive and zoned do not mix", function()
    local a = frame.from{{"t", {"2024-01-01 10:00"}, "timestamp[us]"}}
    local b = frame.from{{"t", {"2024-01-01T10:00:00Z"}, "timestamp[us, UTC]"}}
    expect(function() frame.concat{a, b} end).to_fail('"t" is timestamp[us, UTC] in part 2', "type")
    expect(function() a:join(b, {on = "t"}) end).to_fail("timestamp[us] on the left", "type")
  end)

  it("times sort, group and join", function()
    local df = frame.from{{"d", {"2024-02-01", "2023-12-31", null, "2024-02-01"}, "date"}, {"x", {1, 2, 3, 4}}}
    expect(list(df:sort{{"d", desc = true}}, "x")).to_equal{1, 4, 2, 3}
    expect(list(df:group{"d"}:agg{{"hi", "max(d)"}, {"n", "count()"}}, "hi")).to_equal{
      "2023-12-31", "2024-02-01", null}
    expect(#df:join(df, {on = "d"})).to_be(5)
  end)
end)

describe("A6: order and names", function()
  it("group output is sorted, joins keep left order", function()
    local df = frame.from{{"k", {3, 1, 2, 1}}, {"x", {1, 2, 3, 4}}}
    expect(list(df:group{"k"}:agg{{"s", "sum(x)"}}, "k")).to_equal{1, 2, 3}
    expect(function() df:group{"k"}:agg{{"k", "sum(x)"}} end).to_fail('"k"')
    expect(function() df:group{"kk"}:agg{{"n", "count()"}} end).to_fail('no column "kk"')
    expect(function() df:group{"k"}:agg{{"n", 3}} end).to_fail("expected an expression")
  end)

  it("row() counts from 1", function()
    local df = frame.from{{"x", {10, 20, 30}}}
    expect(list(df:filter("row() > 1"), "x")).to_equal{20, 30}
    expect(list(df:with{{"i", "row()"}}, "i")).to_equal{1, 2, 3}
  end)

  it("columns with dots, blanks and brackets work everywhere", function()
    local df = frame.from{{"U.S._STATE", {"CA", "TX"}}, {"Air temperature [K]", {300.5, 290.0}}}
    expect(list(df:filter("`Air temperature [K]` > 295"), "U.S._STATE")).to_equal{"CA"}
    expect(list(df:sort{"Air temperature [K]"}, "U.S._STATE")).to_equal{"TX", "CA"}
    expect(#df:group{"U.S._STATE"}:agg{{"m", "mean(`Air temperature [K]`)"}}).to_be(2)
  end)
end)

describe("A7: tables without order", function()
  it("keyed tables are taken in byte order", function()
    local df = frame.from{{"x", {1, 2}}}
    expect(df:with{b = "x + 1", a = "x * 2"}.columns).to_equal{"x", "a", "b"}
    expect(df:group{}:agg{z = "sum(x)", m = "max(x)"}.columns).to_equal{"m", "z"}
  end)

  it("expressions of one with see only the input", function()
    local df = frame.from{{"x", {1}}}:with{{"x", "x + 1"}, {"y", "x + 1"}}
    expect(df:row(1)).to_equal{x = 2, y = 2}
  end)
end)

describe("B: columns and memory", function()
  it("frames and arrays cross as values, by reference", function()
    local df = frame.from{{"x", {1, 2, null}}, {"s", {"a", "b", null}}}
    local back = value.pack{rows = df, column = df.x, again = df}:unpack()
    expect(back.rows == df).to_be_true()
    expect(back.column:to_table()).to_equal{1, 2, null}
    expect(back.again == back.rows).to_be_true()
  end)

  it("equal content has equal hashes, however it was made", function()
    local whole = frame.from{{"x", {9, 1, null, 3}}, {"c", {"p", "q", null, "q"}, "category"}}
    local made = frame.from{{"x", {1, null}}, {"c", {"q", null}, "category"}}
    expect(frame.hash(whole:slice(2, 3))).to_be(frame.hash(made))
    expect(frame.hash(frame.array{0.0}) == frame.hash(frame.array{-0.0})).to_be_false()
    expect(frame.hash(frame.array{nan}) == frame.hash(frame.array{-nan})).to_be_true()
    expect(frame.hash(frame.array{1}) == frame.hash(frame.array{1.0})).to_be_false()
  end)

  it("10,000 columns go through every verb", function()
    local columns, fills = {}, {}
    for i = 1, 10000 do columns[i] = {"c" .. i, {i, null, i + 2, i}} end
    for i = 1, 10000, 2 do fills["c" .. i] = 0 end
    local df = frame.from(columns)
    expect(#df:filter("c1 > 0 and c10000 > 0").columns).to_be(10000)
    expect(df:sort{{"c7", desc = true}}.c9999:to_table()).to_equal{10001, 9999, 9999, null}
    expect(#df:dropna()).to_be(3)
    expect(df:fill(fills).c3[2]).to_be(0)
    expect(#frame.concat{df, df}.columns).to_be(10000)
    expect(#df:unique()).to_be(3)
    expect(#df:with{{"c1", "c2 + c3"}, {"sum", "c1 + c10000"}}.columns).to_be(10001)
    expect(df:group{"c1"}:agg{{"n", "count()"}}.n:to_table()).to_equal{2, 1, 1}
    expect(#df:join(df:select{"c1", "c2"}, {on = "c1", how = "left"}).columns).to_be(10001)
    local train, test = df:split{test = 1, seed = 1}
    expect(#train + #test).to_be(4)
    expect(#df:describe()).to_be(10000)
  end)

  it("the same bytes at 1, 2, 3 and 8 threads", function()
    local r = random.new(11)
    local n = 150000
    local df = frame.from{{"k", r:integers(1, 300, n)}, {"x", r:normal(0, 1, n)}, {"y", r:normal(5, 2, n)}}
    local want
    for _, threads in ipairs{1, 2, 3, 8} do
      local before_threads = frame.threads(threads)
      local got = {
        frame.hash(df:group{"k"}:agg{{"m", "mean(x)"}, {"s", "sum(y)"}, {"d", "std(x)"},
          {"q", "quantile(y, 0.3)"}, {"u", "nunique(x)"}}),
        frame.hash(df:filter("x > 0 and y < 5")), frame.hash(df:with{{"z", "exp(x) * y"}}),
        frame.hash(df:sort{{"y", desc = true}}), df:quantile("x", 0.01),
      }
      frame.threads(before_threads)
      expect(got).to_equal(want or got)
      want = got
    end
  end)
end)
