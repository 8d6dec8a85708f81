local t = require "flowrun.test"
local frame = require "flowrun.frame"
local json = require "flowrun.json"
local describe, it, expect = t.describe, t.it, t.expect
local null = frame.null

local function failure(f, ...)
  local ok, err = pcall(f, ...)
  return not ok and tostring(err) or "no error"
end

local function write(path, text)
  local f = assert(io.open(path, "wb"))
  f:write(text)
  f:close()
end

describe("frame.parse_jsonl", function()
  it("gives a column per key, in the order in which keys first appear", function()
    local df = frame.parse_jsonl('{"kw":1.5,"ok":true}\n\n  {"n": 3, "kw": null}\r\n{"ok":false,"kw":2,"s":"x"}')
    expect(df.columns).to_equal{"kw", "ok", "n", "s"}
    expect(df:types()).to_equal{kw = "float64", ok = "bool", n = "int64", s = "utf8"}
    expect(df:to_table()).to_equal{kw = {1.5, null, 2.0}, ok = {true, null, false},
      n = {null, 3, null}, s = {null, null, "x"}}
  end)
  it("widens without loss", function()
    local function column(...)
      local lines = {}
      for i, v in ipairs{...} do lines[i] = '{"a":' .. v .. "}" end
      local df = frame.parse_jsonl(table.concat(lines, "\n"))
      return {df:types().a, table.unpack(df:col("a"):to_table())}
    end
    expect(column("1", "2.5")).to_equal{"float64", 1.0, 2.5}
    expect(column("9223372036854775807", "-9223372036854775808"))
      .to_equal{"int64", math.maxinteger, math.mininteger}
    expect(column("9007199254740993", "0.5")).to_equal{"utf8", "9007199254740993", "0.5"}
    expect(column("9007199254740992", "0.5")).to_equal{"float64", 2.0 ^ 53, 0.5}
    expect(column("100000000000000000000")).to_equal{"float64", 1e20}
    expect(column("100000000000000000001")).to_equal{"utf8", "100000000000000000001"}
    expect(column("1", '"x"')).to_equal{"utf8", "1", "x"}
    expect(column("true", "1")).to_equal{"utf8", "true", "1"}
    expect(column("null", "null")).to_equal{"utf8", null, null}
    expect(column('"01"', '"2024-01-31"')).to_equal{"utf8", "01", "2024-01-31"}
  end)
  it("reads strings as JSON has them", function()
    local df = frame.parse_jsonl([[{"a":"\"\\\/\b\f\n\r\t\u0041\u00e4\u20ac\ud83c\udf4f","k\u0065y":1}]] .. "\n"
      .. [[{"a":"Äpfel 🍏 longer than eight","key":2}]])
    expect(df:col("a"):to_table()).to_equal{"\"\\/\b\f\n\r\tAä€🍏", "Äpfel 🍏 longer than eight"}
    expect(df:col("key"):to_table()).to_equal{1, 2}
  end)
  it("obeys types and columns", function()
    local text = '{"when":"2024-01-31T10:00:00Z","day":"2024-01-31","at":"10:00:01.5","took":"90s","k":"a","x":3,"u":'
      .. '18446744073709551615,"tags":[1,{"b":"]"}]}\n{"k":"b","x":"4"}'
    local df = frame.parse_jsonl(text, {types = {when = "timestamp[ms, Europe/Berlin]", day = "date", at = "time",
      took = "duration[s]", k = "category", x = "int8", u = "uint64", tags = "utf8"}})
    expect(df:types()).to_equal{when = "timestamp[ms, Europe/Berlin]", day = "date", at = "time", took = "duration[s]",
      k = "category", x = "int8", u = "uint64", tags = "utf8"}
    expect(df:select{"when", "day", "at", "took", "k", "x", "u"}:to_csv{header = false, null = "~"}).to_equal(
      "2024-01-31 11:00:00+01:00,2024-01-31,10:00:01.500,1m30s,a,3,18446744073709551615\n~,~,~,~,b,4,~\n")
    expect(df:col("tags")[1]).to_equal('[1,{"b":"]"}]')
    expect(frame.parse_jsonl(text, {columns = {"x", "k"}}).columns).to_equal{"x", "k"}
    expect(frame.parse_jsonl(text, {nested = "text"}):col("tags")[1]).to_equal('[1,{"b":"]"}]')
  end)
  it("says where something is wrong", function()
    local function says(text, what, options)
      expect(failure(frame.parse_jsonl, text, options)).to_contain(what)
    end
    says('{"a":1}\n{"a":{"b":2}}', 'text: line 2, column 6: key "a" holds an object or a list')
    says('{"a":1}\n[1]', "line 2, column 1: expected an object in braces: one per line, found [")
    says('{"a":1,}', "line 1, column 8: expected a key in quotes, found }")
    says('{"ä":1 "b":2}', "line 1, column 8: expected , or }, found \"")
    says('{"a":1} x', "line 1, column 9: expected the end of the line")
    says('{"a":01}', "leading zero")
    says('{"a":1.}', "digits behind the point")
    says('{"a":1e}', "digits in the exponent")
    says('{"a":-}', "expected digits")
    says('{"a":tru}', "expected a value, found t")
    says('{"a":"x\n"}', "line 1, column 6: a string that does not end in its line")
    says('{"a":"x\ty"}', "control character")
    says('{"a":"\\x"}', "an escape that JSON does not have")
    says('{"a":"\\ud800"}', "surrogate")
    says('{"a":"\xff"}', "line 1, column 7: the text is not UTF-8 here")
    says('{"a":1,"a":2}', 'key "a" stands twice')
    says('{"a":1,"\\u0061":2}', 'key "a" stands twice')
    says('{"a":', "expected a value, found the end of the line")
    says('{"a":[1,2', "expected , or ], found the end of the line", {nested = "text"})
    says('{"a":' .. ("["):rep(300), "nested too deep", {nested = "text"})
    says('{"a":1}\n{"a":"x"}', 'line 2, column 7: key "a": expected int64, got "x"', {types = {a = "int64"}})
    says('{"a":300}', "expected int8, got 300", {types = {a = "int8"}})
    says('{"a":"2024-01-31T10:00:00"}', "expected timestamp[us, UTC]", {types = {a = "timestamp[us, UTC]"}})
    says('{"kw":1}', 'no column "kwh": did you mean "kw"', {columns = {"kwh"}})
    says('{"kw":1}', '"kw" is named twice', {columns = {"kw", "kw"}})
    says('{"kw":1}', 'no column "kwh"', {types = {kwh = "int64"}})
    says('{"kw":1}', "float64", {types = {kw = "flaot64"}})
    says('{"kw":1}', "did you mean 'nested'", {nestd = "text"})
    says('{"kw":1}', '"text"', {nested = "yes"})
  end)
  it("gives a frame without rows for a file without lines", function()
    expect(#frame.parse_jsonl("")).to_equal(0)
    expect(#frame.parse_jsonl("\n \n")).to_equal(0)
    expect(#frame.parse_jsonl("{}\n{}\n")).to_equal(2)
  end)
  it("agrees with flowrun.json on JSONTestSuite's values", function()
    local suite = (os.getenv("FLOWRUN_SHARED") or "../shared") .. "/data/torture/json_test_suite/test_parsing"
    local script = require "flowrun.core.script"
    local names = script.list_dir(suite)
    if not names then t.skip("no JSONTestSuite at " .. suite) end
    local wrong = {}
    for _, name in ipairs(names) do
      local text = name:find("%.json$") and assert(script.read_file(suite .. "/" .. name)) or "\n"
      if not text:find("\n", 1, true) and not name:find("^i_") and not text:find("^\xef\xbb\xbf") then
        local _, err = json.try_decode(text)
        local ok, why = pcall(frame.parse_jsonl, '{"a":' .. text .. "}", {nested = "text"})
        if ok ~= (err == nil) then wrong[#wrong + 1] = name .. ": " .. tostring(why) end
      end
    end
    expect(wrong).to_equal{}
  end)
end)

describe("frame.read_jsonl", function()
  it("reads patterns and gz, and gives back what write_jsonl wrote", function()
    local dir = t.temp_dir()
    local df = frame.from{{"s", {'a "b"\n\\', null, "\1ä"}}, {"x", {0.1, -0.0, null}}, {"n", {1, null, math.mininteger}},
      {"ok", {true, false, null}}, {"day", {"2024-01-31", null, "1969-12-31"}, "date"},
      {"at", {"2024-03-31 03:00:00+02:00", null, "2024-01-01 00:00:00+01:00"}, "timestamp[us, Europe/Berlin]"}}
    local types = df:types()
    for _, way in ipairs{{}, {null = "omit"}} do
      for _, name in ipairs{"/a.jsonl", "/b.jsonl.gz"} do
        df:write_jsonl(dir .. name, way)
        expect(frame.hash(frame.read_jsonl(dir .. name, {types = types}))).to_equal(frame.hash(df))
      end
    end
    expect(#frame.read_jsonl(dir .. "/*.jsonl*")).to_equal(6)
    expect(df:head(1):to_jsonl()).to_equal('{"s":"a \\"b\\"\\n\\\\","x":0.1,"n":1,"ok":true,"day":"2024-01-31",'
      .. '"at":"2024-03-31T03:00:00+02:00"}\n')
    for line in df:to_jsonl():gmatch("[^\n]+") do expect(type(json.decode(line))).to_equal("table") end
  end)
  it("names the file", function()
    local dir = t.temp_dir()
    write(dir .. "/a.jsonl", '{"a":1}\n')
    write(dir .. "/b.jsonl", '{"a":1}\n{"a":}\n')
    expect(failure(frame.read_jsonl, dir .. "/*.jsonl")).to_contain("b.jsonl: line 2, column 6: expected a value")
    expect(failure(frame.read_jsonl, dir .. "/none.jsonl")).to_contain("none.jsonl")
  end)
  it("refuses numbers that JSON does not have", function()
    local df = frame.from{{"x", {1.5, 0 / 0, math.huge}}}
    expect(failure(df.to_jsonl, df)).to_contain('column "x", row 2: JSON has no NaN')
    expect(df:to_jsonl{nan = "null"}).to_equal('{"x":1.5}\n{"x":null}\n{"x":null}\n')
    expect(failure(df.to_jsonl, df, {nul = "omit"})).to_contain("did you mean 'null'")
  end)
  it("gives the same at any size of region", function()
    local lines, rows = {}, 20000
    for i = 1, rows do
      lines[i] = ('{"id":%d,"s":"text %d","x":%s%s}'):format(i, i % 97, i % 3 == 0 and "null" or i / 8,
        i % 1000 == 0 and ',"rare":true' or "")
    end
    local path = t.temp_dir() .. "/big.jsonl"
    write(path, table.concat(lines, "\n") .. "\n")
    local df = frame.read_jsonl(path)
    expect({#df, df.id:sum(), df:null_count().x, df:null_count().rare}).to_equal{rows, rows * (rows + 1) // 2, 6666, 19980}
    expect(df:col("s")[20000]).to_equal("text " .. 20000 % 97)
  end)
end)
