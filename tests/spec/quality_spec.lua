local t = require "flowrun.test"
local error_class = require "flowrun.core.error"
local frame = require "flowrun.frame"
local quality = require "flowrun.quality"
local describe, it, expect = t.describe, t.it, t.expect
local null = frame.null
local peers = assert(loadfile("tests/fixtures/shapes.txt", "t", {}))(null)

local df = frame.from{{"meter", {"00123", "00124", "x9", "00123", null}},
  {"zone", {"N", "S", "N", "Q", null}}, {"kw", {10.0, -1, 0 / 0, 700, null}}, {"n", {1, 2, 3, 1, 5}},
  {"when", {"2024-01-01 00:00", "2024-01-01 01:00", "2024-01-01 02:00", null, null}, "timestamp[s]"}}

local function one(expectation, frame_of) return quality.check(frame_of or df, {expectation}).checks[1] end

local function rows(check) return check.rows and check.rows.row_number:to_table() or {} end

describe("expectations", function()
  it("find the offending rows", function()
    local c = one(quality.range("kw", {min = 0, max = 500}))
    expect(c.ok).to_be(false)
    expect(rows(c)).to_equal{2, 3, 4}
    expect(c.rows.columns).to_equal{"row_number", "meter", "zone", "kw", "n", "when"}
    expect(c.message).to_be "3 of 5 rows lie outside 0 to 500"
    expect(one(quality.range("kw", {min = 0, allow = 0.4})).ok).to_be(true)
    expect(rows(one(quality.range("when", {min = "2024-01-01 01:00"})))).to_equal{1}
    expect(rows(one(quality.not_null "kw"))).to_equal{5}
    expect(rows(one(quality.not_null("kw", {nan = true})))).to_equal{3, 5}
    expect(one(quality.not_null("kw", {max = 0.2})).ok).to_be(true)
    expect(one(quality.not_null("kw", {max = 0.19})).ok).to_be(false)
    expect(rows(one(quality.unique{"meter", "n"}))).to_equal{1, 4}
    expect(one(quality.unique{"meter", "zone"}).ok).to_be(true)
    expect(rows(one(quality.matches("meter", "%d%d%d%d%d")))).to_equal{3}
    expect(one(quality.matches("meter", "%d%d%d%d%d", {allow = 0.25})).ok).to_be(true)
    expect(rows(one(quality.one_of("zone", {"N", "S"})))).to_equal{4}
    expect(one(quality.one_of("n", {1, 2, 3, 5})).ok).to_be(true)
    expect(rows(one(quality.holds("n < $n", {params = {n = 3}})))).to_equal{3, 5}
  end)

  it("look at the whole: rows, age, schema", function()
    expect(one(quality.row_count{min = 5, max = 5}).ok).to_be(true)
    expect(one(quality.row_count{min = 6}).message).to_be "5 rows, expected at least 6"
    local noon = 1704070800 + 3600                                -- 2024-01-01 02:00 UTC
    expect(one(quality.fresh("when", {max_age = "1h", now = noon + 3600})).ok).to_be(true)
    local late = one(quality.fresh("when", {max_age = "1h", now = noon + 3601}))
    expect(late.ok).to_be(false)
    expect(late.value).to_be(3601)
    local zoned = frame.from{{"w", {"2024-01-01T02:00:00Z"}, "timestamp[ms, Europe/Paris]"},
      {"d", {"2024-01-01"}, "date"}}
    expect(one(quality.fresh("w", {max_age = "1h", now = noon + 60}), zoned).value).to_be(60)
    expect(one(quality.fresh("d", {max_age = "1d", now = noon}), zoned).value).to_be(7200)
    expect(one(quality.fresh("when", {max_age = "1h"}), df:tail(2)).message).to_be "no time at all"
    expect(one(quality.schema(df:types(), {exact = true})).ok).to_be(true)
    local c = one(quality.schema({kw = "int64", watt = "float64", n = "int64"}))
    expect(c.message).to_be '"kw" is float64, expected int64; "watt" is missing'
    expect(one(quality.schema({kw = "float64"}, {exact = true})).message).to_match '"zone" is new'
  end)

  it("measure drift as scipy does", function()
    local a, b = frame.from{{"x", peers.ks.a}}, frame.from{{"x", peers.ks.b}}
    local c = one(quality.ks("x", a), b)
    expect(math.abs(c.value - peers.ks.d) < 1e-12).to_be_true()
    expect(c.ok).to_be(peers.ks.d <= 0.1)
    local p = one(quality.ks("x", a.x, {p = 0.05}), b)
    expect(math.abs(p.value - peers.ks.p) < 1e-9).to_be_true()
    expect(one(quality.ks("x", a), a).value).to_be(0.0)
    local index = one(quality.psi("x", a), b)
    expect(math.abs(index.value - peers.psi) < 1e-9).to_be_true()
    local profile = quality.profile(a.x)
    expect(one(quality.psi("x", profile), b).value).to_be(index.value)
    expect(one(quality.psi("x", a), a).ok).to_be(true)
    local zones = frame.from{{"z", {"N", "N", "S", "S"}}}
    expect(one(quality.psi("z", zones), zones).value).to_be(0.0)
    local new = one(quality.psi("z", zones), frame.from{{"z", {"N", "S", "W", "W"}}})
    local want = 2 * (0.25 - 0.5) * math.log(0.5) + (0.5 - 1e-4) * math.log(0.5 / 1e-4)
    expect(math.abs(new.value - want) < 1e-12).to_be_true()
  end)

  it("give a plain result, its text, its frame, and an error when asked", function()
    local q = quality.check(df, {quality.row_count{min = 1}, quality.range("kw", {min = 0, as = "load"}),
      quality.not_null "zone"}, {keep = 1})
    expect(q.ok).to_be(false)
    expect(q.rows).to_be(5)
    expect(q.checks[2].failing).to_be(2)
    expect(#q.checks[2].rows).to_be(1)
    expect(quality.text(q)).to_be("load: 2 of 5 rows lie outside 0 to any; first: row 2\n"
      .. "not_null(zone): 1 of 5 rows are missing; first: row 5")
    local s = quality.summary(q)
    expect(s.ok:to_table()).to_equal{true, false, false}
    expect(s.failing:to_table()).to_equal{null, 2, 1}
    local _, problem = pcall(quality.enforce, q)
    expect(error_class.is(problem, "quality")).to_be(true)
    expect(problem.message).to_match "^2 of 3 checks failed\nload: 2 of 5"
    local good = quality.enforce(df, {quality.row_count{min = 1}})
    expect(good.ok).to_be(true)
  end)

  it("say what is wrong with them", function()
    local function problem(...) return select(2, pcall(...)).message end
    expect(problem(quality.range, "kw", {})).to_match "min or max is missing"
    expect(problem(quality.range, "kw", {mim = 1})).to_match "did you mean 'min'"
    expect(problem(quality.matches, "kw", 3)).to_match "Lua pattern"
    expect(problem(quality.check, df, {quality.matches("meter", "%d[")})).to_match "malformed pattern"
    expect(problem(quality.not_null, 3)).to_match "column name"
    expect(problem(quality.not_null, "kw", {max = 2})).to_match "from 0 to 1"
    expect(problem(quality.check, df, {"kw"})).to_match "item 1 is a string"
    expect(problem(quality.check, df, {quality.not_null "kv"})).to_match "not_null%(kv%).*kw"
    expect(problem(quality.check, df, {quality.matches("n", "%d")})).to_match "int64, expected text"
    expect(problem(quality.check, df, {quality.fresh("n", {max_age = "1h"})})).to_match "expected times"
  end)
end)
