local t = require "flowrun.test"
local frame = require "flowrun.frame"
local describe, it, expect = t.describe, t.it, t.expect
local null = frame.null

local load = frame.from{{"feeder", {"F1", "F2", "F1", null}}, {"kw", {10.5, 20, null, 5}},
  {"n", {1, 2, 3, math.maxinteger}}, {"up", {true, false, null, true}},
  {"when", {"2024-01-01 00:00", "2024-01-02 00:00", null, "2024-01-03 12:00"}, "timestamp[s]"},
  {"zone", {"N", "S", "N", "S"}, "category"}}

local function problem(...) return select(2, pcall(...)).message end

describe("frame.sql", function()
  it("sees frames as tables, with their nulls and types", function()
    local all = frame.sql("select * from load", {load = load})
    expect(all:types()).to_equal{feeder = "utf8", kw = "float64", n = "int64", up = "int64",
      when = "utf8", zone = "utf8"}
    for _, name in ipairs{"feeder", "kw", "n", "when", "zone"} do
      expect(all:col(name):to_table()).to_equal(load:col(name):to_table())
    end
    expect(all.up:to_table()).to_equal{1, 0, null, 1}
  end)

  it("groups, joins, windows, and takes parameters", function()
    local zones = frame.from{{"zone", {"N", "S"}}, {"crews", {3, 4}}}
    local r = frame.sql([[select z.crews, sum(l.kw) as kw, count(*) as n
      from load l join zones z on z.zone = l.zone where l.n >= $least group by 1 order by 1;]],
      {load = load, zones = zones}, {params = {least = 2}})
    expect(r:to_table()).to_equal{crews = {3, 4}, kw = {null, 25.0}, n = {1, 2}}
    expect(frame.sql("select lag(n) over (order by n) as p from load", {load = load}).p:to_table())
      .to_equal{null, 1, 2, 3}
    local typed = frame.sql("select \"when\" as w from load where \"when\" > '2024-01-01 12'",
      {load = load}, {types = {w = "timestamp[s]"}})
    expect(typed.w == load.when:filter(frame.array{false, true, false, true})).to_be_true()
  end)

  it("widens integers to floats; an odd name is quoted; no rows keep the columns", function()
    local odd = frame.from{{"a \"b\"", {1, 2}}}
    expect(frame.sql('select case when "a ""b""" = 1 then 1 else 2.5 end as x from "my t"', {
      ["my t"] = odd}).x:to_table()).to_equal{1.0, 2.5}
    local none = frame.sql("select n, kw from load where n < 0", {load = load})
    expect(#none).to_be(0)
    expect(none.columns).to_equal{"n", "kw"}
    expect(frame.sql("select null as x, 1 as y", {}):to_table()).to_equal{x = {null}, y = {1}}
  end)

  it("says what is wrong", function()
    expect(problem(frame.sql, "select x from load", {load = load}))
      .to_match "sql: no such column: x"
    expect(problem(frame.sql, "select 1; select 2", {})).to_match "one statement"
    expect(problem(frame.sql, "", {})).to_match "found none"
    expect(problem(frame.sql, "create table x(y)", {})).to_match "only queries that read"
    expect(problem(frame.sql, "select $lo", {})).to_match "parameter %$lo is not given"
    expect(problem(frame.sql, "select 1 as a union all select 'x'", {})).to_match
      'row 2, column "a": texts and numbers'
    expect(problem(frame.sql, "select x'00' as b", {})).to_match "a blob"
    expect(problem(frame.sql, "select 1 as a, 2 as a", {})).to_match "a"
    expect(problem(frame.sql, "select 1", {load = 3})).to_match "load = number"
    expect(problem(frame.sql, "select 1", {}, {parms = {}})).to_match "did you mean 'params'"
    expect(problem(frame.sql, "insert into load values (1)", {load = load})).to_match "sql: "
  end)
end)

describe("frame.read_sqlite", function()
  it("reads tables and queries of a file", function()
    local path = "tests/fixtures/outages.db"
    local all = frame.read_sqlite(path, "outages", {types = {start = "timestamp[s]"}})
    expect(all:types()).to_equal{id = "int64", feeder = "utf8", start = "timestamp[s]",
      customers = "int64", minutes = "float64"}
    expect(all:to_table()).to_equal{id = {1, 2, 7, 9}, feeder = {"F1", "F2", null, "Žižkov"},
      start = {"2024-01-01 06:10:00", "2024-01-02 23:59:59", null, "2024-02-29 00:00:00"},
      customers = {120, null, 9007199254740993, 0}, minutes = {42.5, 7.0, null, 0.001}}
    expect(frame.read_sqlite(path, "select sum(minutes) as m from outages where id < $id",
      {params = {id = 7}}).m:to_table()).to_equal{49.5}
    expect(problem(frame.read_sqlite, path, "mixed")).to_match
      'outages.db: row 2, column "x": texts and numbers'
  end)

  it("opens for reading only", function()
    local path = os.tmpname()
    -- An empty file is an empty database.
    assert(io.open(path, "wb")):close()
    expect(frame.read_sqlite(path, "select 1 as x").x:to_table()).to_equal{1}
    expect(problem(frame.read_sqlite, path, "outages")).to_match "no such table: outages"
    expect(problem(frame.read_sqlite, path, "create table t(x)")).to_match "only queries that read"
    os.remove(path)
    expect(problem(frame.read_sqlite, path, "t")).to_match "unable to open"
  end)
end)
