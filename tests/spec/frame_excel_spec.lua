-- Excel files: made by openpyxl and by hand (tests/fixtures/make_excel.py), and our own.
local t = require "flowrun.test"
local frame = require "flowrun.frame"
local describe, it, expect = t.describe, t.it, t.expect
local null = frame.null

local folder = (t.root or ".") .. "/tests/fixtures/excel/"
local function read(name, options) return frame.read_excel(folder .. name .. ".xlsx", options) end

describe("frame.read_excel", function()
  it("believes the cells", function()
    local df = read("kinds")
    expect(df.columns).to_equal{"id", "meter", "kw", "on", "day", "when", "at", "took", "mixed", "n"}
    expect(df:types()).to_equal{id = "int64", meter = "utf8", kw = "float64", on = "bool", day = "date",
      when = "timestamp[ms]", at = "time", took = "duration[ms]", mixed = "utf8", n = "int64"}
    expect(df:to_table()).to_equal{
      id = {1, 2, null, 3, null}, meter = {"01001", "36061", null, 'x, "y"\n\u{e4}\u{1f50c}', "last"},
      kw = {1.5, -2.0, null, 1e-300, null}, on = {true, false, null, null, null},
      day = {"2024-01-31", "1900-03-01", null, "1900-01-01", null},
      when = {"2024-01-31 10:30:15.250", "1999-12-31 00:00:00", null, null, null},
      at = {"06:30:00", "23:59:59", null, null, null}, took = {"1d6h5m", "1m", null, null, null},
      mixed = {"a", "7", null, "2.5", null}, n = {2^53 | 0, -5, null, 0, null}}
  end)
  it("sheets, ranges, headers, types", function()
    expect(frame.excel_sheets(folder .. "kinds.xlsx")).to_equal{"Feeders", "Second sheet"}
    local df = read("kinds", {sheet = "Second sheet", range = "C3:D5"})
    expect(df:to_table()).to_equal{name = {"p", "q"}, name_2 = {10, 20}}      -- and a warning
    expect(frame.hash(read("kinds", {sheet = 2, range = "$C$3:D5"}))).to_equal(frame.hash(df))
    expect(function() read("kinds", {range = "A0"}) end).to_fail('got "A0"')
    df = read("kinds", {sheet = 2, range = "C4", header = false})
    expect({df.columns, #df}).to_equal{{"column_1", "column_2"}, 2}
    df = read("kinds", {range = "A:B", types = {id = "utf8", meter = "category"}})
    expect(df:types()).to_equal{id = "utf8", meter = "category"}
    expect(df.id:to_table()).to_equal{"1", "2", null, "3", null}
    df = read("kinds", {range = "A1:H3", types = {id = "float32", day = "timestamp[us]", at = "utf8",
      took = "duration[s]"}})
    expect(df:row(1)).to_equal{id = 1.0, meter = "01001", kw = 1.5, on = true, at = "06:30:00",
      day = "2024-01-31 00:00:00", when = "2024-01-31 10:30:15.250", took = "1d6h5m"}
    expect(#read("kinds", {range = "M1"})).to_be(0)
  end)
  it("rich and inline texts, formulas, pronunciations, days since 1904", function()
    local df = read("rich")
    expect(df:types()).to_equal{s = "utf8", b = "bool", d = "timestamp[ms]", w = "int64", f = "float64"}
    expect(df.s:to_table()).to_equal{"plain", "ri ch", null, "line\rend", "_x0041_"}
    expect(df.d:to_table()).to_equal{"1904-01-01 00:00:00", "1904-01-02 12:00:00", null, null,
      "1904-03-01 00:00:00"}
    expect(df:row(1).f).to_be(1 / 3)
    expect(df:row(2).f).to_be_nil()
  end)
  it("says which sheet and cell", function()
    for name, said in pairs{
      error = 'sheet "S & T", cell B2: the formula\'s result is #DIV/0!', entities = "document type",
      order = "row 2 follows row 5", far = "2 values between A1 and XFD1048576: give a range",
      cell = "cell A1: expected a number, got 1x", shared = "there is no shared text 5",
      part = "there is no part xl/worksheets/none.xml", xml = "sheet1.xml: line 1: mismatched tag",
      deep = "nested deeper than 256"} do
      expect(function() read("bad_" .. name) end).to_fail(said)
      expect(function() read("bad_" .. name) end).to_fail("bad_" .. name .. ".xlsx: ")
    end
    expect(function() read("kinds", {types = {meter = "int64"}}) end)
      .to_fail('cell B2, column "meter": expected int64, got 01001', "parse")
    expect(function() read("kinds", {types = {kw = "int64"}}) end).to_fail("cell C2", "parse")
    expect(function() read("kinds", {types = {metre = "utf8"}}) end).to_fail('did you mean "meter"', "not_found")
    expect(function() read("kinds", {sheet = "feeders"}) end).to_fail('did you mean "Feeders"', "not_found")
    expect(function() read("kinds", {sheet = 3}) end).to_fail("sheet 3; the file has 2", "not_found")
    expect(function() read("none") end).to_fail("none.xlsx", "not_found")
    expect(function() frame.read_excel(folder .. "../make_excel.py") end).to_fail("no zip archive", "corrupt")
    for _, range in ipairs{"", "B0x", "5", "B3:A1", "B3:", "ZZZZ1", "A1:XFE2", "A1048577"} do
      expect(function() read("kinds", {range = range}) end).to_fail("range", "invalid")
    end
    expect(function() read("kinds", {sheat = 1}) end).to_fail("did you mean 'sheet'", "invalid")
    expect(function() read("kinds", {sheet = 1.5}) end).to_fail("a number from 1", "invalid")
    expect(function() read("kinds", {types = {meter = "txt"}}) end).to_fail("meter", "invalid")
  end)
  it("survives damaged bytes", function()
    local dir = t.temp_dir()
    for _, name in ipairs{"kinds", "rich"} do
      local f = assert(io.open(folder .. name .. ".xlsx", "rb"))
      local bytes = f:read("a")
      f:close()
      local r = require("flowrun.random").new(7)
      for round = 1, 150 do
        local at, cut = r:integers(1, #bytes), round % 10 == 0
        local out = assert(io.open(dir .. "/x.xlsx", "wb"))
        out:write(bytes:sub(1, at - 1), cut and "" or string.char(r:integers(0, 255)),
          cut and "" or bytes:sub(at + 1))
        out:close()
        local ok, e = pcall(frame.read_excel, dir .. "/x.xlsx")
        expect(ok or e.code ~= nil).to_be_true()
      end
    end
  end)
end)

describe("df:write_excel", function()
  local df = frame.from{
    {"i", {1, null, 2^53 | 0}}, {"x", {0.1, null, -1e300}}, {"s", {"a\r\nb", "_x0041_ \1 ", "\u{e4}\u{1f50c} <&>"}},
    {"b", {true, false, null}}, {"d", {"2024-02-29", "1900-01-01", "9999-12-31"}, "date"},
    {"t", {"2024-02-29 12:00:00.123", "1900-02-28", "1900-03-01"}, "timestamp[ms]"},
    {"c", {"06:30:00", "23:59:59.999", null}, "time"}, {"e", {"30h", "-1m", "1ms"}, "duration[ms]"},
  }
  it("gives back what was written", function()
    local dir = t.temp_dir()
    df:write_excel(dir .. "/a.xlsx")
    local again = frame.read_excel(dir .. "/a.xlsx")
    expect(again:types()).to_equal(df:types())
    expect(frame.hash(again)).to_equal(frame.hash(df))
    expect(frame.excel_sheets(dir .. "/a.xlsx")).to_equal{"Sheet1"}
  end)
  it("several sheets, the same bytes each time, types that Excel lacks", function()
    local dir = t.temp_dir()
    local other = frame.from{{"z", {"2024-07-01T00:00:00Z"}, "timestamp[us, Europe/Berlin]"},
      {"k", {"b"}, "category"}, {"f", {1.5}, "float32"}, {"u", {7}, "uint8"}, {"nan", {0 / 0}}}
    for _, name in ipairs{"/a.xlsx", "/b.xlsx"} do
      frame.write_excel(dir .. name, {{"Feeders", df}, {"other one", other}})
    end
    local function bytes(name)
      local f = assert(io.open(dir .. name, "rb"))
      local all = f:read("a")
      f:close()
      return all
    end
    expect(bytes("/a.xlsx") == bytes("/b.xlsx")).to_be_true()
    expect(frame.excel_sheets(dir .. "/a.xlsx")).to_equal{"Feeders", "other one"}
    local back = frame.read_excel(dir .. "/a.xlsx", {sheet = 2})
    expect(back:to_table()).to_equal{z = {"2024-07-01 02:00:00"}, k = {"b"}, f = {1.5}, u = {7},
      nan = {null}}
  end)
  it("refuses what Excel cannot hold, and leaves no file", function()
    local dir = t.temp_dir()
    for said, column in pairs{
      ['cell A3, column "v": Excel has no infinity'] = {"v", {1.5, math.huge}},
      ["integers up to 2^53"] = {"v", {2^53 + 2 | 0}},
      ["days are from 1900-01-01"] = {"v", {"1899-12-31"}, "date"},
      ["over 32,767 characters"] = {"v", {("x"):rep(32768)}}} do
      expect(function() frame.from{column}:write_excel(dir .. "/x.xlsx") end).to_fail(said)
    end
    for _, name in ipairs{"", ("n"):rep(32), "a/b", "'quoted'"} do
      expect(function() df:write_excel(dir .. "/x.xlsx", {sheet = name}) end).to_fail("sheet's name", "invalid")
    end
    expect(function() frame.write_excel(dir .. "/x.xlsx", {{"a", df}, {"A", df}}) end).to_fail("two sheets")
    expect(function() frame.write_excel(dir .. "/x.xlsx", {{"a", 1}}) end).to_fail("expected a frame", "invalid")
    expect(function() frame.write_excel(dir .. "/x.xlsx", {}) end).to_fail("without sheets", "invalid")
    expect(function() df:write_excel(dir .. "/none/x.xlsx") end).to_fail("none/x.xlsx")
    expect(require("flowrun.core.script").list_dir(dir)).to_equal{}
  end)
end)
