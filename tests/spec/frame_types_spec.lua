-- Every type of column: values kept from file to file, arithmetic and aggregates of times and
-- durations (docs: rules of frames, A2 and A5; decision 007).
local t = require "flowrun.test"
local frame = require "flowrun.frame"
local describe, it, expect = t.describe, t.it, t.expect
local null = frame.null

-- Name, text in a CSV file; the first row has the extremes.
local columns = {
  {"bool", {"true", "false"}}, {"int8", {"-128", "127"}}, {"int16", {"-32768", "32767"}},
  {"int32", {"-2147483648", "2147483647"}},
  {"int64", {"-9223372036854775808", "9223372036854775807"}}, {"uint8", {"0", "255"}},
  {"uint16", {"0", "65535"}}, {"uint32", {"0", "4294967295"}},
  {"uint64", {"18446744073709551615", "9223372036854775808"}}, {"float32", {"0.1", "-3.4e+38"}},
  {"float64", {"0.1", "5e-324"}}, {"utf8", {"a", "ä"}}, {"category", {"b", "a"}},
  {"date", {"0001-01-01", "9999-12-31"}}, {"time", {"00:00:00", "23:59:59.999999999"}},
  {"timestamp[s]", {"1969-12-31 23:59:59", "9999-12-31 00:00:00"}},
  {"timestamp[ms]", {"1969-12-31 23:59:59.999", "2024-02-29 12:00:00"}},
  {"timestamp[us, UTC]", {"2024-02-29 12:00:00.000001Z", "1900-01-01 00:00:00Z"}},
  {"timestamp[ns, Europe/Paris]",
    {"2024-10-27 02:30:00.000000001+02:00", "2024-10-27 02:30:00+01:00"}},
  {"duration[s]", {"-1d1h", "0s"}}, {"duration[ms]", {"1ms", "2d"}},
  {"duration[us]", {"1us", "-1us"}}, {"duration[ns]", {"1ns", "106751d23h47m16s854ms775us807ns"}},
}

local function table_of_all()
  local lines, types = {{}, {}, {}, {}}, {}
  for i, column in ipairs(columns) do
    types["c" .. i] = column[1]
    lines[1][i], lines[2][i], lines[3][i], lines[4][i] = "c" .. i, column[2][1], column[2][2], ""
  end
  local text = ""
  for _, line in ipairs(lines) do text = text .. table.concat(line, ",") .. "\n" end
  return text, types
end

describe("types", function()
  it("are kept from CSV to CSV", function()
    local text, types = table_of_all()
    local df = frame.parse_csv(text, {types = types})
    for i, column in ipairs(columns) do expect({column[1], df:types()["c" .. i]}).to_equal{column[1], column[1]} end
    local again = frame.parse_csv(df:to_csv(), {types = types})
    expect(frame.hash(again)).to_equal(frame.hash(df))
  end)
  it("are kept from Arrow to Arrow, with every value", function()
    local text, types = table_of_all()
    local dir = t.temp_dir()
    local df = frame.parse_csv(text, {types = types})
    df:write_arrow(dir .. "/all.arrow")
    local again = frame.read_arrow(dir .. "/all.arrow")
    expect(again:types()).to_equal(df:types())
    expect(frame.hash(again)).to_equal(frame.hash(df))
    expect(again:to_csv()).to_equal(df:to_csv())
  end)
  it("stay narrow while rows move, and are wide where they are computed", function()
    local df = frame.parse_csv("x,f\n100,0.5\n27,0.25\n,\n", {types = {x = "int8", f = "float32"}})
    expect(df:filter("x > 0"):types()).to_equal{x = "int8", f = "float32"}
    expect(df:sort{"x"}:types()).to_equal{x = "int8", f = "float32"}
    expect(frame.concat{df, df}:types()).to_equal{x = "int8", f = "float32"}
    expect(df:with{{"y", "x + x"}, {"g", "f * 2"}}:types()).to_equal{
      x = "int8", f = "float32", y = "int64", g = "float64"}
    expect(df:with{{"y", "x + x"}}.y:to_table()).to_equal{200, 54, null}
    expect(df.x:sum()).to_be(127)
  end)
  it("refuse what does not fit, with line and column", function()
    for type_name, cell in pairs{int8 = "128", uint8 = "-1", uint64 = "18446744073709551616",
      int64 = "9223372036854775808", ["duration[s]"] = "1ms", time = "24:00:00"} do
      expect(function() frame.parse_csv("a,kw\n1," .. cell .. "\n", {types = {kw = type_name}}) end)
        .to_fail('line 2, column "kw": expected ' .. type_name, "parse")
    end
  end)
  it("uint64 beyond Lua's integers names row and column", function()
    local df = frame.parse_csv("n\n1\n18446744073709551615\n", {types = {n = "uint64"}})
    expect(df:row(1).n).to_be(1)
    expect(function() df:row(2) end).to_fail('row 2, column "n": 18446744073709551615', "overflow")
    expect(function() df:to_table() end).to_fail('row 2, column "n"', "overflow")
    expect(function() df:with{{"m", "n + 1"}} end).to_fail("row 2", "overflow")
    expect(tostring(df)).to_contain("18446744073709551615")
  end)
end)

describe("times and durations", function()
  local df = frame.from{
    {"at", {"10:00:00", "23:30:00.5", null}, "time"},
    {"a", {"2024-01-31 10:00", "2024-02-29 00:00", null}, "timestamp[us]"},
    {"b", {"2024-01-31 12:30", "2024-03-01 00:00", null}, "timestamp[ms]"},
    {"z", {"2024-01-31T10:00:00Z", "2024-02-01T00:00:00Z", null}, "timestamp[us, UTC]"},
    {"d", {"1h", "-90s", null}, "duration[us]"}, {"e", {"25m", "1m", null}, "duration[s]"},
    {"n", {2, 3, null}},
  }
  local function of(text) return df:with{{"r", text}}.r end
  local function is(text, type_name, ...)
    local got = of(text)
    expect({text, got:type(), table.unpack(got:to_table())}).to_equal{text, type_name, ...}
  end

  it("arithmetic", function()
    is("b - a", "duration[us]", "2h30m", "1d", null)
    is("a + d", "timestamp[us]", "2024-01-31 11:00:00", "2024-02-28 23:58:30", null)
    is("d + a", "timestamp[us]", "2024-01-31 11:00:00", "2024-02-28 23:58:30", null)
    is("b - e", "timestamp[ms]", "2024-01-31 12:05:00", "2024-02-29 23:59:00", null)
    is("d * n", "duration[us]", "2h", "-4m30s", null)
    is("d / n", "duration[us]", "30m", "-30s", null)
    is("d / e", "float64", 2.4, -1.5, null)
    is("d // e", "int64", 2, -2, null)
    is("d % e", "duration[us]", "10m", "30s", null)
    is("d // '1h'", "int64", 1, -1, null)
    is("d // 7", "duration[us]", "8m34s285ms714us", "-12s857ms143us", null)
    is("-d", "duration[us]", "-1h", "1m30s", null)
    is("abs(d)", "duration[us]", "1h", "1m30s", null)
  end)
  it("times of day stay in their day", function()
    is("at - '10:00'", "duration[ns]", "0s", "13h30m500ms", null)
    is("at - at", "duration[ns]", "0s", "0s", null)
    is("at + e", "time", "10:25:00", "23:31:00.500", null)
    is("'15min' + at", "time", "10:15:00", "23:45:00.500", null)
    is("at - '10h'", "time", "00:00:00", "13:30:00.500", null)
    is("at >= '12:00'", "bool", false, true, null)
    is("time(a)", "time", "10:00:00", "00:00:00", null)
    is("hour(at)", "int64", 10, 23, null)
    expect(function() of("at + '30min'") end).to_fail("row 2", "overflow")
    expect(function() of("at + '30min'") end).to_fail("23:30:00.500 + 30m is outside of the day", "overflow")
    expect(function() of("at - '10:00:00.5'") end).never:to_fail()
    expect(function() of("at + at") end).to_fail("time and time have no such operation", "type")
    expect(function() of("at - 'noon'") end).to_fail("'noon' is not a duration", "type")
  end)
  it("literals", function()
    is("time('10:30')", "time", "10:30:00", "10:30:00", "10:30:00")
    is("duration('1h30m')", "duration[us]", "1h30m", "1h30m", "1h30m")
    is("duration('5ns')", "duration[ns]", "5ns", "5ns", "5ns")
    is("duration(n, 'minute')", "duration[us]", "2m", "3m", null)
    is("duration(n / 4, 'hour')", "duration[us]", "30m", "45m", null)
    is("a + duration('1d') * 2", "timestamp[us]", "2024-02-02 10:00:00", "2024-03-02 00:00:00", null)
    expect(function() of("duration('soon')") end).to_fail("not a duration", "type")
    expect(function() of("duration(n)") end).to_fail("duration(x, 'hour')", "type")
    expect(function() of("duration(n, 'month')") end).to_fail("differ in length", "invalid")
    expect(function() of("time('25:00')") end).to_fail("not a time of day", "type")
  end)
  it("with a zone and without do not mix", function()
    for _, text in ipairs{"a - z", "a < z", "coalesce(a, z)", "if_else(n > 2, a, z)"} do
      expect(function() of(text) end).to_fail("do not mix", "type")
    end
  end)
  it("aggregates of durations are durations", function()
    local g = df:with{{"k", "1"}}:group{"k"}:agg{{"s", "sum(d)"}, {"m", "mean(d)"}, {"lo", "min(d)"},
      {"hi", "max(d)"}, {"q", "quantile(d, 0.5)"}, {"sd", "std(d)"}, {"n", "count(d)"},
      {"m2", "mean(d) * 2"}}
    expect(g:types().m).to_equal("duration[us]")
    expect(g:row(1)).to_equal{k = 1, s = "58m30s", m = "29m15s", lo = "-1m30s", hi = "1h", q = "29m15s",
      sd = "43m29s224ms23us", n = 2, m2 = "58m30s"}
    expect(df:group{}:agg{{"m", "median(d)"}}.m[1]).to_equal("29m15s")
    expect({df.d:mean(), df.d:sum(), df.d:std(), df.d:quantile(0)}).to_equal{
      "29m15s", "58m30s", "43m29s224ms23us", "-1m30s"}
    local third = frame.from{{"d", {"1ns", "1ns", "0s"}, "duration[ns]"}}
    expect(third.d:mean()).to_equal("1ns")
    expect(function() df:group{}:agg{{"v", "var(d)"}} end).to_fail("var of duration[us] is not defined", "type")
  end)
end)
