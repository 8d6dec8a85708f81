local t = require "flowrun.test"
local frame = require "flowrun.frame"
local describe, it, expect = t.describe, t.it, t.expect

local function sample()
  return frame.from{{"f", {"A", "B", "A", "B", "A"}}, {"kw", {1.5, 2.5, frame.null, 4.0, 10.0}},
    {"n", {1, 2, 3, 4, 5}}}
end

describe("expressions over frames", function()
  it("keep the rows for which a condition is true; null counts as false", function()
    local df = sample():filter("kw > $lo and f in ('A', 'B')", {lo = 2})
    expect(df.n:to_table()).to_equal{2, 4, 5}
  end)
  it("take lists as parameters", function()
    expect(#sample():filter("n in $list", {list = {1, 5}})).to_be(2)
  end)
  it("make columns that see the frame as it was", function()
    local df = sample():with{{"n", "n * 10"}, {"m", "n + 1"}}
    expect(df.n:to_table()).to_equal{10, 20, 30, 40, 50}
    expect(df.m:to_table()).to_equal{2, 3, 4, 5, 6}
  end)
  it("aggregate per group, also inside larger expressions", function()
    local df = sample():group{"f"}:agg{{"total", "sum(kw)"}, {"n_rows", "count()"},
      {"mean_n", "sum(n) / count()"}}
    expect(df.f:to_table()).to_equal{"A", "B"}
    expect(df.total:to_table()).to_equal{11.5, 6.5}
    expect(df.n_rows:to_table()).to_equal{3, 2}
    expect(df.mean_n:to_table()).to_equal{3.0, 3.0}
  end)
  it("show the place of a mistake with a caret and the nearest name", function()
    local ok, err = pcall(function() return sample():filter("kww > 2") end)
    expect(ok).to_be(false)
    expect(err.code).to_be("not_found")
    expect(tostring(err):find("did you mean", 1, true) ~= nil).to_be(true)
    expect(tostring(err):find("^", 1, true) ~= nil).to_be(true)
  end)
  it("refuse a filter that is no condition", function()
    local ok, err = pcall(function() return sample():filter("kw + 1") end)
    expect(ok).to_be(false)
    expect(err.code).to_be("type")
  end)
end)
