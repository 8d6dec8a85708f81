-- What a call gives whose deadline is over: a fallback that nothing must run for, else a failure.
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect
local scripted = dofile "tests/spec/scripted.lua"
local json = require "flowrun.json"

local head = [[
local function file(name)
  local f = io.open(name)
  if f then f:close() end
  return f ~= nil
end
local ran = function(name) io.open(name, "w"):close() return name end
local other = fr.task("other", function() return ran("other") end)
local stuck = fr.task("stuck", function(x)
  if file("quick") then return "good" end
  fr.sleep(1000)
end)
]]

local function result(text)
  local s = scripted(head .. text)
  local out, code, err = s.run("--quiet --json FILE")
  return out ~= "" and json.decode(out) or nil, code, s, err
end

describe("a deadline that is over", function()
  it("lets a value among the fallbacks count; functions and tasks are passed over", function()
    local v, code, s = result [[
      local bad = fr.task("bad", {retries = 9, delay = "1h", deadline = 0.05, fallback = "late"},
        function() error("x") end)
      local own = fr.task("own", {deadline = 0.05, fallback = function() return ran("function") end},
        function() fr.sleep(1000) end)
      return fr.flow("f", function()
        local first = stuck:with{deadline = 0.2, fallback = "first"}()
        local behind = stuck:with{deadline = 0.05, after = {first}, fallback = "behind"}()
        local chain = stuck:with{deadline = 0.05, fallback = {other, "chain"}}()
        local ok, e = own():try()
        return {bad():get(), first:get(), behind:get(), chain:get(), tostring(ok), e.code}
      end)]]
    expect(code).to_equal(0)
    expect(v).to_equal{"late", "first", "behind", "chain", "nil", "timeout"}
    expect({s.read("other"), s.read("function")}).to_equal{"", ""}
    expect(io.open(s.dir .. "/other")).to_be_nil()
    expect(io.open(s.dir .. "/function")).to_be_nil()
    local run = s.show()
    expect({run.state, run.reason}).to_equal{"SUCCESS", "degraded"}
    expect({s.task("bad").reason, s.task("stuck", 2).reason, s.task("own").reason})
      .to_equal{"degraded", "degraded", "deadline"}
  end)

  it("lets the last good result count, also of a call that never ran", function()
    local s = scripted(head .. [[
      local kept = fr.task("kept", {fallback = {"last_good"}, deadline = "1h"}, function(x)
        if not file("quick") then fr.sleep(1000) end
        return "good"
      end)
      return fr.flow("f", {params = {quick = false}}, function(p)
        local never = p.quick and {} or {stuck:with{deadline = 0.3, fallback = 0}()}
        local soon = p.quick and "1h" or 0.05
        return {kept:with{deadline = soon}(1):get(), kept:with{deadline = soon, after = never}(1):get()}
      end)]])
    s.write("quick", "")
    s.run("--quiet --json FILE --quick true")
    os.remove(s.dir .. "/quick")
    local out, code = s.run("--quiet --json FILE")
    expect(code).to_equal(0)
    expect(json.decode(out)).to_equal{"good", "good"}
    expect(s.task("kept", 2).reason).to_equal("degraded")
    expect(s.task("kept", 2).attempt).to_equal(0)
  end)

  it("of a map gives the value to the items without a result", function()
    local v, code, s = result [[
      local part = fr.task("part", {deadline = 0.3, fallback = -1}, function(i)
        if i > 2 then fr.sleep(1000) end
        return i
      end)
      return fr.flow("f", function() return part:map{1, 2, 3, 4}:get() end)]]
    expect(code).to_equal(0)
    expect(v).to_equal{1, 2, -1, -1}
    expect(s.task("part").reason).to_equal("degraded")
  end)
end)
