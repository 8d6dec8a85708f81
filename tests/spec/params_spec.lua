local t = require "flowrun.test"
local params = require "flowrun.params"
local describe, it, expect = t.describe, t.it, t.expect

local declared = params.declare("storm", {
  region = "north",
  top = {type = "integer", default = 50, min = 1, max = 99, description = "circuits"},
  share = 0.5,
  dry = false,
  mode = {choices = {"fast", "full"}, default = "fast"},
  wait = {type = "duration", default = "5m"},
  areas = {type = "list", default = {"a"}},
  day = {type = "string", description = "ISO date"},
})

local function from(...) return params.from_args("storm", declared, {...}) end
local function read(given, ...) return params.read("storm", declared, given, from(...)) end

describe("parameters", function()
  it("are told from options of the program, which stand before the script", function()
    local before = {["--json"] = false, ["--home"] = "DIR"}
    local function given(word)
      return function() params.from_args("storm", declared, {word}, before) end
    end
    expect(given("--json")).to_fail("--json: an option of flowrun, not of the flow; write it "
      .. "before the script: --json", "parameter")
    expect(given("--home=x")).to_fail("before the script: --home DIR", "parameter")
    expect(given("--hom")).to_fail("--hom: unknown; the flow has", "parameter")
  end)

  it("have defaults", function()
    expect(read{day = "x"}).to_equal{region = "north", top = 50, share = 0.5, dry = false,
      mode = "fast", wait = 300, areas = {"a"}, day = "x"}
  end)

  it("come from --name value and --name=value, typed", function()
    local p = read(nil, "--region", "south", "--top=7", "--share", "1", "--dry", "--day=",
      "--wait", "90s", "--areas", "x,y", "--mode", "full")
    expect(p).to_equal{region = "south", top = 7, share = 1, dry = true, mode = "full",
      wait = 90, areas = {"x", "y"}, day = ""}
    expect(math.type(p.top)).to_equal("integer")
    expect(read(nil, "--day", "d", "--no-dry").dry).to_be_false()
    expect(read(nil, "--day", "d", "--dry", "no").dry).to_be_false()
    expect(read(nil, "--day", "d", "--share", "-1.5").share).to_equal(-1.5)
  end)

  it("on the command line win over those of a file", function()
    expect(read({day = "d", top = 3}, "--top", "4").top).to_equal(4)
  end)

  it("come from Lua tables and JSON", function()
    expect(read{day = "d", top = 3.0}.top).to_be_exactly(3)
    expect(read{day = "d", areas = {"p", "q"}}.areas).to_equal{"p", "q"}
  end)

  local wrong = {
    {{}, {}, "day: is missing (string: ISO date)"},
    {{day = 1}, {}, "day: expected text, got 1"},
    {{day = "d", top = 0}, {}, "top: expected at least 1, got 0"},
    {{day = "d", top = 100}, {}, "top: expected at most 99, got 100"},
    {{day = "d", top = "x"}, {}, "top: expected a whole number, got 'x'"},
    {{day = "d", tpo = 1}, {}, "tpo: unknown; did you mean 'top'?"},
    {{day = "d", mode = "ful"}, {}, "expected one of fast, full, got 'ful'; did you mean 'full'?"},
    {{day = "d"}, {"--top", "1.5"}, "top: expected a whole number, got '1.5'"},
    {{day = "d"}, {"--top", "0x10"}, "top: expected a whole number"},
    {{day = "d"}, {"--share", "nan"}, "share: expected a number, got 'nan'"},
    {{day = "d"}, {"--top"}, "--top: a value is missing"},
    {{day = "d"}, {"--top", "--dry"}, "--top: a value is missing"},
    {{day = "d"}, {"--regoin", "x"}, "--regoin: unknown; did you mean 'region'?"},
    {{day = "d"}, {"x"}, "'x' is not a parameter; write --name value"},
    {{day = "d", dry = "yes"}, {}, "dry: expected true or false, got 'yes'"},
    {{day = "d", areas = {print}}, {}, "areas: it [1] is a function"},
    {{top = 0, mode = "x"}, {}, "3 wrong parameters: day: is missing"},
  }
  for _, case in ipairs(wrong) do
    it("are refused: " .. case[3], function()
      expect(function() read(case[1], table.unpack(case[2])) end).to_fail(case[3], "parameter")
    end)
  end

  it("are listed for people", function()
    expect(params.help(declared)).to_equal([[
  --areas A,B,C  (default ["a"])
  --day TEXT     ISO date (required)
  --dry          (default false)
  --mode TEXT    (default fast; one of fast, full)
  --region TEXT  (default north)
  --share X      (default 0.5)
  --top N        circuits (default 50; at least 1; at most 99)
  --wait 1h30m   (default 5m)]])
    expect(params.help(params.declare("f", {}))).to_equal("  (none)")
  end)

  it("are checked where they are declared", function()
    local cases = {
      {{x = {type = "int", default = 1}}, "unknown type 'int'; did you mean 'integer'?"},
      {{x = {type = "integer", defualt = 1}}, "unknown field 'defualt'; did you mean 'default'?"},
      {{x = {type = "integer", default = "a"}}, "default: expected a whole number"},
      {{x = {default = 5, min = 9}}, "default: expected at least 9"},
      {{x = {default = "a", min = 9}}, "min is for numbers"},
      {{x = {default = 5, min = 9, max = 1}}, "min 9 is above max 1"},
      {{x = {choices = {}}}, "choices are a list"},
      {{x = print}, "a default cannot be a function"},
      {{["a b"] = 1}, "not a name"},
      {{home = 1}, "--home is an option of flowrun"},
    }
    for _, case in ipairs(cases) do
      expect(function() params.declare("f", case[1], {"home"}) end)
        .to_fail(case[2], "invalid")
    end
  end)
end)
