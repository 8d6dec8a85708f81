local t = require "flowrun.test"
local json = require "flowrun.json"
local script = require "flowrun.core.script"
local describe, it, expect = t.describe, t.it, t.expect

local suite = (os.getenv("FLOWRUN_SHARED") or "../shared") .. "/data/torture/json_test_suite"

-- Files of the suite by what the standard says: y = accept, n = refuse, i = either.
local function each_file(folder, visit)
  local names = script.list_dir(suite .. "/" .. folder)
  if not names then t.skip("no JSONTestSuite at " .. suite) end
  local n = 0
  for _, name in ipairs(names) do
    if name:find("%.json$") then
      visit(name, assert(script.read_file(suite .. "/" .. folder .. "/" .. name)))
      n = n + 1
    end
  end
  return n
end

describe("JSONTestSuite", function()
  it("agrees on what is JSON and what is not", function()
    local wrong = {}
    local n = each_file("test_parsing", function(name, text)
      local v, err = json.try_decode(text)
      local kind = name:sub(1, 1)
      if kind == "y" and err then wrong[#wrong + 1] = name .. ": " .. tostring(err) end
      if kind == "n" and not err then wrong[#wrong + 1] = name .. ": accepted" end
      if err then
        if err.code ~= "parse" or not err.message:find("^JSON, line %d+, column %d+: ") then
          wrong[#wrong + 1] = name .. ": says " .. err.message
        end
      elseif json.encode(json.decode(json.encode(v))) ~= json.encode(v) then
        wrong[#wrong + 1] = name .. ": does not round trip"
      end
    end)
    expect(wrong).to_equal{}
    expect(n > 300).to_be_true()
  end)

  -- What the standard leaves open. Accepted are numbers that doubles round (as strtod rounds)
  -- and deep nesting; refused is what loses something: overflow, lone surrogates, text that is
  -- not UTF-8 without a mark.
  it("decides what the standard leaves open", function()
    local accepted = {}
    for name in ("number_double_huge_neg_exp number_real_underflow number_too_big_neg_int "
      .. "number_too_big_pos_int number_very_big_negative_int structure_500_nested_arrays "
      .. "structure_UTF-8_BOM_empty_object"):gmatch("%S+") do
      accepted["i_" .. name .. ".json"] = true
    end
    local differs, n = {}, 0
    each_file("test_parsing", function(name, text)
      if name:sub(1, 2) ~= "i_" then return end
      n = n + 1
      local _, err = json.try_decode(text)
      if (err == nil) ~= (accepted[name] == true) then differs[#differs + 1] = name end
    end)
    expect(differs).to_equal{}
    expect(n).to_equal(35)
  end)

  it("crashes nothing in the transform part", function()
    expect(each_file("test_transform", function(_, text)
      local v, err = json.try_decode(text)
      expect(v ~= nil or err ~= nil).to_be_true()
    end) > 10).to_be_true()
  end)
end)

describe("numbers in JSON", function()
  it("come back exactly", function()
    local numbers = {0, 1, -1, 9007199254740993, math.maxinteger, math.mininteger, 0.1, 1 / 3,
      2.0, -0.0, 1e100, 5e-324, 1.7976931348623157e308, 123456789.125, 1e15, 1e16, 2^53, -2^63}
    for _, x in ipairs(numbers) do expect(json.decode(json.encode(x))).to_be_exactly(x) end
    math.randomseed(3)
    for _ = 1, 2000 do
      local x = string.unpack("d", string.pack("i8", math.random(0)))
      if x == x and x ~= math.huge and x ~= -math.huge then
        expect(json.decode(json.encode(x))).to_be_exactly(x)
      end
    end
  end)

  it("are integers when they look so and fit", function()
    local cases = {{"5", 5}, {"5.0", 5.0}, {"5e0", 5.0}, {"-0", -0.0}, {"9223372036854775807",
      math.maxinteger}, {"9223372036854775808", 2^63}, {"-9223372036854775808", math.mininteger},
      {"-9223372036854775809", -2^63}, {"1E+2", 100.0}}
    for _, case in ipairs(cases) do expect(json.decode(case[1])).to_be_exactly(case[2]) end
    expect(json.decode("0." .. ("0"):rep(200) .. "1")).to_be_near(1e-201, 1e-210)
  end)
end)

describe("json.encode", function()
  it("writes lists, objects and texts", function()
    local cases = {
      {{}, "[]"}, {{1, 2.0, "x"}, '[1,2.0,"x"]'}, {{b = 1, a = {}}, '{"a":[],"b":1}'},
      {{[3] = 1}, '{"3":1}'}, {{[10] = 1, [9] = 2}, '{"10":1,"9":2}'}, {json.null, "null"},
      {{json.null, 1}, "[null,1]"}, {true, "true"}, {"a\"\\\n\t\1\127é", '"a\\"\\\\\\n\\t\\u0001\\u007fé"'},
      {{["a\0"] = false}, '{"a\\u0000":false}'},
    }
    for _, case in ipairs(cases) do expect(json.encode(case[1])).to_equal(case[2]) end
  end)

  it("indents", function()
    expect(json.encode({a = {1, {}}, b = {c = 1}}, {pretty = true})).to_equal(
      '{\n  "a": [\n    1,\n    []\n  ],\n  "b": {\n    "c": 1\n  }\n}')
    expect(json.encode({1}, {pretty = 4})).to_equal("[\n    1\n]")
  end)

  it("asks classes", function()
    local point = setmetatable({x = 1}, {__json = function(p) return {p.x} end})
    expect(json.encode{p = point}).to_equal('{"p":[1]}')
    expect(json.encode(require("flowrun.core.error").new("io", "gone")):find('"code":"io"', 1, true))
      .to_be_truthy()
  end)

  local loop = {}
  loop.self = loop
  local refused = {
    {{rows = {1, {f = print}}}, "JSON: value.rows[2].f is a function, which JSON cannot say"},
    {{0 / 0}, "JSON: value[1] is NaN, which JSON cannot say; use json.null"},
    {math.huge, "JSON: value is infinite"},
    {{1, x = 2}, "has both numbered and named fields"},
    {{[1.5] = 1}, "has a key that is neither text nor a whole number"},
    {{a = "\xff"}, "JSON: value.a is text that is not UTF-8 (byte 1)"},
    {loop, "nested deeper than 1000 tables: does one contain itself?"},
    {io.stdout, "is a userdata"},
  }
  for _, case in ipairs(refused) do
    it("refuses: " .. case[2], function()
      expect(function() json.encode(case[1]) end).to_fail(case[2], "type")
    end)
  end

  it("writes NaN as null when told", function()
    expect(json.encode({0 / 0, -math.huge}, {nan = "null"})).to_equal("[null,null]")
    expect(function() json.encode(1, {prety = true}) end).to_fail("unknown option prety")
  end)
end)

describe("json.decode", function()
  it("reads escapes and surrogates", function()
    expect(json.decode('"\\u00e9\\ud83d\\ude00\\/\\b\\u0000x"')).to_equal("é😀/\b\0x")
    expect(json.decode('\xef\xbb\xbf{"a":[1,{"b":null}]}')).to_equal{a = {1, {b = json.null}}}
    expect(json.decode('{"a":1,"a":2}')).to_equal{a = 2}
  end)

  local wrong = {
    {'{"a":1,\n  "b" 2}', "JSON, line 2, column 7: expected ':', found '2'"},
    {"[1 2]", "line 1, column 4: expected ',' or ']', found '2'"},
    {'{"a":1 "b"}', "expected ',' or '}'"}, {"{a:1}", "expected a name in quotes, found 'a'"},
    {"", "expected a value, found the end"}, {"[1,]", "expected a value, found ']'"},
    {"01", "a number does not begin with 0"}, {"1.", "expected a digit behind the point"},
    {"1 2", "expected the end of the text, found '2'"}, {"nul", "expected a value"},
    {'"\\x"', "behind a backslash"}, {'"\\ud800"', "half of a surrogate pair"},
    {'"é\xff"', "column 3: the text is not UTF-8 here"}, {'"a\nb"', "a control character"},
    {'"abc', "the string has no end"}, {("["):rep(1001), "nested deeper than 1000 levels"},
    {"[1e999]", "column 2: the number is larger than a double can be"},
    {"'a'", "expected a value, found '''"}, {"\0", "expected a value, found byte 0x00"},
  }
  for _, case in ipairs(wrong) do
    it("refuses: " .. case[2], function()
      expect(function() json.decode(case[1]) end).to_fail(case[2], "parse")
      local v, err = json.try_decode(case[1])
      expect(v).to_be_nil()
      expect(err.code).to_equal("parse")
    end)
  end
end)
