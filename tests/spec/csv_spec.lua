local t = require "flowrun.test"
local frame = require "flowrun.frame"
local describe, it, expect = t.describe, t.it, t.expect

local function write(path, text)
  local f = assert(io.open(path, "wb"))
  f:write(text)
  f:close()
end

local function failure(f, ...)
  local ok, err = pcall(f, ...)
  return not ok and tostring(err) or "no error"
end

describe("frame.parse_csv", function()
  it("infers types and keeps identifiers", function()
    local df = frame.parse_csv("fips,kw,when,ok\n01001,1.5,2024-01-31,true\n36061,,2024-02-01,false\n")
    expect(df:types()).to_equal{fips = "utf8", kw = "float64", when = "date", ok = "bool"}
    expect(#df).to_equal(2)
    expect(df:null_count()).to_equal{fips = 0, kw = 1, when = 0, ok = 0}
  end)
  it("obeys its options", function()
    local df = frame.parse_csv("x;1,5\n", {sep = ";", header = false, names = {"a", "b"}})
    expect(df:col("b")[1]).to_equal("1,5")
    df = frame.parse_csv("meter,when\n12,31/12/2020\n-1,1/1/2021\n",
      {types = {meter = "utf8"}, formats = {when = "%d/%m/%Y"}, null = {"-1"}})
    expect(df:types()).to_equal{meter = "utf8", when = "date"}
    expect(df:col("meter")[2]).to_equal(nil)
    df = frame.parse_csv("a,b\n1,2\n", {columns = {"b"}})
    expect(df.columns).to_equal{"b"}
  end)
  it("says what is wrong with options", function()
    expect(failure(frame.parse_csv, "a\n", {seperator = ";"})).to_contain("seperator")
    expect(failure(frame.parse_csv, "a\n", {sep = ";;"})).to_contain("one character")
    expect(failure(frame.parse_csv, "a\n", {types = {a = "flaot64"}})).to_contain("float64")
    expect(failure(frame.parse_csv, "a\n", {types = {b = "int64"}})).to_contain('no column "b"')
    expect(failure(frame.parse_csv, "a\n", {formats = {a = "%Q"}})).to_contain("%Q")
    expect(failure(frame.parse_csv, "a\n", {names = {1}})).to_contain("names")
    expect(failure(frame.parse_csv, "a\n", {skip = "x"})).to_contain("skip")
  end)
end)

describe("frame.read_csv", function()
  it("reads patterns as one table and writes files that read back", function()
    local dir = t.temp_dir()
    write(dir .. "/b.csv", "x,y\n3,c\n")
    write(dir .. "/a.csv", "y,x\na,1\nb,2\n")
    local df = frame.read_csv(dir .. "/*.csv")
    expect(df.columns).to_equal{"y", "x"}
    expect(df:to_table()).to_equal{y = {"a", "b", "c"}, x = {1, 2, 3}}
    for _, name in ipairs{"/out.txt", "/out.csv.gz"} do
      df:write_csv(dir .. name)
      expect(frame.hash(frame.read_csv(dir .. name))).to_equal(frame.hash(df))
    end
    expect(df:to_csv{sep = ";"}).to_equal("y;x\na;1\nb;2\nc;3\n")
  end)
  it("names the file, the line and the column", function()
    local dir = t.temp_dir()
    write(dir .. "/a.csv", "kw,n\n1,2\n3\n")
    expect(failure(frame.read_csv, dir .. "/a.csv")).to_contain("a.csv: line 3: 1 fields, expected 2")
    write(dir .. "/a.csv", "kw,n\n1,2\nx,3\n")
    expect(failure(frame.read_csv, dir .. "/a.csv", {types = {kw = "float64"}}))
      .to_contain('a.csv: line 3, column "kw": expected float64, got x')
    expect(failure(frame.read_csv, dir .. "/none.csv")).to_contain("none.csv")
    expect(failure(frame.read_csv, dir .. "/none*.csv")).to_contain("no file matches")
    expect(failure(frame.read_csv, {})).to_contain("expected a path")
  end)
end)

describe("frame.read_arrow", function()
  local fixtures = t.root and t.root .. "/tests/fixtures/arrow" or "tests/fixtures/arrow"
  it("gives back what write_arrow wrote", function()
    local dir = t.temp_dir()
    local df = frame.parse_csv("a,b,when\n1,x,2024-01-31\n,y,\n3,,2020-02-29\n")
    df:write_arrow(dir .. "/one.arrow")
    expect(frame.hash(frame.read_arrow(dir .. "/one.arrow"))).to_equal(frame.hash(df))
    df:write_arrow(dir .. "/two.arrow")
    expect(#frame.read_arrow(dir .. "/*.arrow")).to_equal(6)
    expect(frame.read_arrow(dir .. "/one.arrow", {columns = {"b"}}).columns).to_equal{"b"}
    expect(failure(frame.read_arrow, dir .. "/one.arrow", {columns = {"bb"}})).to_contain("did you mean")
    expect(failure(frame.read_arrow, dir .. "/one.arrow", {colums = {}})).to_contain("colums")
    expect(failure(frame.read_arrow, dir .. "/none.arrow")).to_contain("none.arrow")
  end)
  it("reads files of polars", function()
    local df = frame.read_arrow(fixtures .. "/polars_zstd.arrow")
    expect(df:col("s"):to_table()).to_equal{"a", frame.null, "a text longer than twelve"}
    expect(df:types().z).to_equal("timestamp[us, Europe/Paris]")
  end)
end)
