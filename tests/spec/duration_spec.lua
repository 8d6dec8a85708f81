local t = require "flowrun.test"
local duration = require "flowrun.duration"
local describe, it, expect = t.describe, t.it, t.expect

describe("a duration", function()
  it("is seconds or text with units", function()
    local cases = {
      [0] = 0, [30] = 30, [0.5] = 0.5, ["90s"] = 90, ["5m"] = 300, ["1h30m"] = 5400,
      ["250ms"] = 0.25, ["1d"] = 86400, ["2w"] = 1209600, ["1h 30m 5s"] = 5405, ["1.5h"] = 5400,
      ["20us"] = 2e-5, [" 7s "] = 7, ["42"] = 42, ["0s"] = 0, ["1d12h"] = 129600,
    }
    for given, want in pairs(cases) do expect(duration.seconds(given)).to_be_near(want, 1e-12) end
  end)

  it("is refused with what is wrong", function()
    local cases = {
      {"", "is empty"}, {"abc", "has no number at 'abc'"}, {"5 minutes", "did you mean 'm'?"},
      {"10S", "did you mean 's'?"}, {"5x", "unknown unit 'x' (w d h m s ms us)"},
      {"30m1h", "do not go from large to small"}, {"1h30", "lacks a unit after 30"},
      {"1m1m", "do not go from large"}, {"-5s", "has no number at '-5s'"}, {-1, "got -1"},
      {0 / 0, "expected a duration"}, {math.huge, "expected a duration"},
      {{}, "expected a duration such as 30, \"90s\", \"5m\" or \"1h30m\", got table"},
    }
    for _, case in ipairs(cases) do
      local seconds, why = duration.try_seconds(case[1])
      expect(seconds).to_be_nil()
      expect(why:find(case[2], 1, true)).to_be_truthy()
    end
    expect(function() duration.seconds("x", "timeout") end).to_fail("timeout: 'x'", "invalid")
  end)

  it("is written as people read it", function()
    local cases = {[0.25] = "250ms", [12.5] = "12.5s", [90] = "1m30s", [5400] = "1h30m",
      [90061] = "1d1h1m1s", [3600] = "1h", [2e-5] = "20us", [59.96] = "60s"}
    for seconds, text in pairs(cases) do expect(duration.text(seconds)).to_equal(text) end
    expect(duration.text(-90)).to_equal("-1m30s")
    for _, seconds in ipairs{1, 61, 3661, 86400, 100000} do
      expect(duration.seconds(duration.text(seconds))).to_equal(seconds)
    end
  end)
end)
