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

describe("bad records", function()
  local text = "id,kw\n1,1.5\n2\n\n3,\"x\"y\nfour,2\n5,n/a\n6,\xff\n7,2.5\n8,\"open\n9,3\n"
  local options = {types = {id = "int64", kw = "float64"}, quarantine = true}
  it("go to a frame of their own, with line and reason", function()
    local good, bad = frame.parse_csv(text, options)
    expect(good:to_table()).to_equal{id = {1, 7, 9}, kw = {1.5, 2.5, 3.0}}
    expect(bad:to_table()).to_equal{
      file = {"text", "text", "text", "text", "text", "text"}, line = {3, 5, 6, 7, 8, 10},
      reason = {"1 fields, expected 2", 'column "kw": text behind a closing quote',
        'column "id": expected int64, got four', 'column "kw": expected float64, got n/a',
        "byte 0xff is not UTF-8", "a quote is opened and never closed"},
      text = {"2", '3,"x"y', "four,2", "5,n/a", "6,\u{fffd}", '8,"open'}}
  end)
  it("are none where all is well, and all where nothing is", function()
    local good, bad = frame.parse_csv("a\n1\n2\n", {quarantine = true})
    expect({#good, #bad, bad.columns}).to_equal{2, 0, {"file", "line", "reason", "text"}}
    good, bad = frame.parse_csv("a\nx\n\ny\n", {types = {a = "int64"}, quarantine = true})
    expect({#good, bad.line:to_table()}).to_equal{0, {2, 4}}
    expect(select("#", frame.parse_csv("a\n1\n"))).to_be(2)
    expect(select(2, frame.parse_csv("a\n1\n"))).to_be_nil()
  end)
  it("of several files keep their file, and do not touch inferred types", function()
    local dir = t.temp_dir()
    write(dir .. "/a.csv", "x,y\n1,2\n3\n")
    write(dir .. "/b.csv", "y,x\nbad\n4,5\n")
    local good, bad = frame.read_csv(dir .. "/*.csv", {quarantine = true})
    expect(good:to_table()).to_equal{x = {1, 5}, y = {2, 4}}
    expect(bad:select{"file", "line", "text"}:to_table()).to_equal{
      file = {dir .. "/a.csv", dir .. "/b.csv"}, line = {3, 2}, text = {"3", "bad"}}
  end)
  it("in texts larger than one region, at any number of threads", function()
    local lines = {"a,b"}
    for i = 1, 120000 do lines[#lines + 1] = i % 10007 == 0 and "short" or i .. ",some text " .. i end
    local long = table.concat(lines, "\n") .. "\n"
    local want
    for _, threads in ipairs{1, 2, 8} do
      local before = frame.threads(threads)
      local good, bad = frame.parse_csv(long, {quarantine = true})
      frame.threads(before)
      expect({#good, bad.line:to_table()[1], #bad}).to_equal{120000 - 11, 10008, 11}
      expect(frame.hash(good)).to_equal(want or frame.hash(good))
      want = frame.hash(good)
    end
  end)
end)

describe("habits of other programs", function()
  it("fixed widths, in characters", function()
    local df = frame.parse_csv("a title of any length\nname  kw\n\u{e4}bc    1.5\n\nlonger22\nx\n",
      {widths = {6, 4}, skip = 1})
    expect(df:to_table()).to_equal{name = {"\u{e4}bc", "longer", "x"}, kw = {1.5, 22.0, frame.null}}
    df = frame.parse_csv("ab12\r\n,\"3\r\n", {widths = {2, 2}, header = false, names = {"s", "n"}})
    expect(df:to_table()).to_equal{s = {"ab", ',"'}, n = {12, 3}}
    expect(failure(frame.parse_csv, "ab12\nab345\n", {widths = {2, 2}, header = false}))
      .to_contain('line 2 is longer than the widths: "5" is left')
    expect(failure(frame.parse_csv, "a\n", {widths = {0}})).to_contain("widths: item 1")
    expect(failure(frame.parse_csv, "a\n", {widths = {}})).to_contain("list of widths")
    local _, bad = frame.parse_csv("ab12\ncdxx\n", {widths = {2, 2}, header = false,
      types = {column_2 = "int64"}, quarantine = true})
    expect(bad:row(1)).to_equal{file = "text", line = 2, text = "cd xx",
      reason = 'column "column_2": expected int64, got xx'}
  end)
  it("escaped quotes and comments", function()
    local df = frame.parse_csv('# made by hand\na,b\n"x\\"y",1\n#"z,2\n"\\\\",3\n"# no\n#comment",4\n',
      {escape = "\\", comment = "#"})
    expect(df:to_table()).to_equal{a = {'x"y', "\\", "# no\n#comment"}, b = {1, 3, 4}}
    expect(failure(frame.parse_csv, "a,b\n1,2\n#\n3\n", {comment = "#"})).to_contain("line 4: 1 fields")
    expect(failure(frame.parse_csv, "a\n", {comment = ","})).to_contain("other than sep")
  end)
  it("encodings, marks and compression", function()
    local plain = frame.parse_csv("name,kw\nM\u{fc}nchen,1\n\u{1f50c},2\n")
    local function utf16(text, big)
      local out = {}
      for _, c in utf8.codes(text) do
        local units = c < 0x10000 and {c} or {0xd800 + (c - 0x10000 >> 10), 0xdc00 + (c & 0x3ff)}
        for _, u in ipairs(units) do out[#out + 1] = string.pack(big and ">I2" or "<I2", u) end
      end
      return table.concat(out)
    end
    local text = plain:to_csv()
    for _, each in ipairs{
      {"\xef\xbb\xbf" .. text}, {utf16("\u{feff}" .. text)}, {utf16("\u{feff}" .. text, true)},
      {utf16(text), "utf-16"}, {utf16(text, true), "utf-16be"}, {utf16("\u{feff}" .. text, true), "utf-16"}} do
      expect(frame.hash(frame.parse_csv(each[1], {encoding = each[2]}))).to_equal(frame.hash(plain))
    end
    expect(frame.parse_csv("a\nM\xfcnchen\n", {encoding = "latin-1"}).a[1]).to_equal("M\u{fc}nchen")
    expect(frame.parse_csv("a\n\x80\n", {encoding = "windows-1252"}).a[1]).to_equal("\u{20ac}")
    expect(failure(frame.parse_csv, "a\nM\xfcnchen\n")).to_contain('try encoding = "latin-1"')
    expect(failure(frame.parse_csv, "a\n", {encoding = "ebcdic"})).to_contain("unknown encoding")
    expect(failure(frame.parse_csv, "\xff\xfea")).to_contain("odd number of bytes")
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
