-- The harness tests itself: each check is seen to hold and to fail.
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect

local function run(text, options)
  local path = t.temp_dir() .. "/inner_spec.lua"
  local file = assert(io.open(path, "w"))
  file:write("local t = require 'flowrun.test'\n", text)
  file:close()
  local said = {}
  options = options or {}
  options.report = function(state, name, message)
    said[#said + 1] = state .. " " .. name .. (message and ": " .. message or "")
  end
  return t.run_file(path, options), table.concat(said, "\n")
end

describe("expect", function()
  it("compares tables deeply and names the place", function()
    expect({a = {1, 2}}).to_equal({a = {1, 2}})
    expect(function() expect({rows = {{x = 1}}}).to_equal({rows = {{x = 2}}}) end)
      .to_fail("differs at .rows[1].x: got 1, expected 2")
    expect(function() expect({1}).to_equal({1, 2}) end).to_fail("differs at [2]: got nil")
    expect(function() expect({1, 2}).to_equal({1}) end).to_fail("differs at [2]: got 2")
  end)

  it("tells integers from floats only when asked", function()
    expect(1).to_equal(1.0)
    expect(1).never.to_be_exactly(1.0)
    expect(0.0).never.to_be_exactly(-0.0)
    expect(0 / 0).to_be_exactly(0 / 0)
  end)

  it("shows the first differing line of texts", function()
    expect(function() expect("a\nb\nc").to_equal("a\nx\nc") end).to_fail('line 2:\n  got      "b"')
  end)

  it("knows nearness, ranges, kinds and contents", function()
    expect(0.1 + 0.2).to_be_near(0.3)
    expect(function() expect(1.1).to_be_near(1, 0.05) end).to_fail("expected 1 ± 0.05")
    expect(0 / 0).never.to_be_near(0, 1)
    expect(3).to_be_between(1, 3)
    expect(1).to_be_a("integer")
    expect(1.0).never.to_be_a("integer")
    expect("storm").to_contain("tor")
    expect({1, {2}}).to_contain({2})
    expect({1}).never.to_contain(2)
    expect({1, 2}).to_have_length(2)
    expect(nil).to_be_nil()
    expect(0).to_be_truthy()
  end)

  it("compares cycles", function()
    local a, b = {}, {}
    a.self, b.self = a, b
    expect(a).to_equal(b)
  end)

  it("sees that a function fails, how, and with which code", function()
    expect(function() error("boom") end).to_fail("boom")
    expect(function() expect(function() end).to_fail() end).to_fail("it did not fail")
    expect(function() expect(function() error("x") end).to_fail("x", "io") end).to_fail("code nil")
  end)

  it("names the checks that exist", function()
    expect(function() expect(1).to_eqal(1) end).to_fail("no check 'to_eqal'")
  end)
end)

describe("a file of tests", function()
  it("counts passed, failed and skipped ones", function()
    local counts, said = run [[
      t.describe("a thing", function()
        t.it("works", function() t.expect(1).to_equal(1) end)
        t.it("breaks", function() t.expect(1).to_equal(2) end)
        t.it("raises", function() local x; return x.y end)
        t.it("waits", function() t.skip("no data here") end)
      end)]]
    expect(counts).to_equal({passed = 1, failed = 2, skipped = 1})
    expect(said).to_contain("passed a thing works")
    expect(said).to_match("failed a thing breaks: %S+inner_spec.lua:4: to_equal: got 1, expected 2")
    expect(said).to_contain("attempt to index a nil value (local 'x')")
    expect(said).to_contain("skipped a thing waits: no data here")
  end)

  it("fails a test that expects nothing", function()
    local counts, said = run [[t.it("is empty", function() end)]]
    expect(counts.failed).to_equal(1)
    expect(said).to_contain("expects nothing")
  end)

  it("runs before and after around each test, also around failures", function()
    local counts, said = run [[
      local log = {}
      t.describe("g", function()
        t.before(function() log[#log + 1] = "b" end)
        t.after(function() log[#log + 1] = "a" end)
        t.it("one", function() t.expect(log).to_equal({"b", "x"}) end)
        t.it("two", function() t.expect(log).to_equal({"b", "a", "b"}) end)
      end)]]
    expect(counts).to_equal({passed = 1, failed = 1, skipped = 0})
    expect(said).to_contain("passed g two")
  end)

  it("fails as a whole when it does not load or assigns a global", function()
    local counts, said = run "this is not Lua"
    expect(counts.failed).to_equal(1)
    expect(said).to_contain("syntax error")
    local _, other = run "oops = 1"
    expect(other).to_contain("assigns the global 'oops'")
  end)

  it("runs only what the filter names", function()
    local counts = run([[
      t.it("rain", function() t.expect(1).to_equal(1) end)
      t.it("wind", function() t.expect(1).to_equal(2) end)]], {filter = "rain"})
    expect(counts).to_equal({passed = 1, failed = 0, skipped = 0})
  end)

  it("removes its temporary directories", function()
    local _, said = run [[
      local dir
      t.it("a", function() dir = t.temp_dir(); t.expect(io.open(dir)).never.to_be_nil() end)
      t.it("b", function() t.expect(io.open(dir)).to_be_nil() end)]]
    expect(said).to_equal("passed a\npassed b")
  end)
end)
