local t = require "flowrun.test"
local error_class = require "flowrun.core.error"
local describe, it, expect = t.describe, t.it, t.expect

describe("a flowrun.Error", function()
  it("survives error and pcall as the same object", function()
    local err = error_class.new("timeout", "took 3 s")
    local _, caught = pcall(error, err)
    expect(caught).to_be(err)
  end)

  it("says where, what and why", function()
    local cause = error_class.new("io", "cannot read feeders.csv")
    local err = error_class.new("quality", "no rows", cause)
    expect(tostring(err)).to_match("^%S*error_spec%.lua:%d+: no rows\n  because: .*feeders%.csv$")
    expect(err.code).to_equal("quality")
    expect(err.cause).to_be(cause)
  end)

  it("joins with strings", function()
    local err = error_class.new("io", "disk is gone")
    expect("failed: " .. err).to_match("^failed: .*disk is gone$")
    expect(err .. "!").to_match("disk is gone!$")
  end)

  it("refuses unknown codes with a hint", function()
    expect(function() error_class.new("timeuot", "x") end).to_fail("did you mean 'timeout'?")
  end)

  it("is told from other values", function()
    local err = error_class.new("io", "x")
    expect(error_class.is(err)).to_be_true()
    expect(error_class.is(err, "io")).to_be_true()
    expect(error_class.is(err, "timeout")).to_be_false()
    expect(error_class.is({code = "io"})).to_be_false()
    expect(error_class.is("text")).to_be_false()
  end)

  it("is made from any error value", function()
    local err = error_class.from("x.lua:1: boom")
    expect(err.code).to_equal("error")
    expect(err.message).to_equal("x.lua:1: boom")
    expect(error_class.from(err)).to_be(err)
  end)
end)

describe("the nearest name", function()
  it("is found for swapped, missing and wrong letters", function()
    local names = {"retries", "timeout", "backoff"}
    expect(error_class.nearest("retrys", names)).to_equal("retries")
    expect(error_class.nearest("tiemout", names)).to_equal("timeout")
    expect(error_class.nearest("bakoff", names)).to_equal("backoff")
  end)

  it("is nil when nothing is close", function()
    expect(error_class.nearest("colour", {"retries", "timeout"})).to_be_nil()
    expect(error_class.nearest(("x"):rep(1000), {"retries"})).to_be_nil()
  end)
end)
