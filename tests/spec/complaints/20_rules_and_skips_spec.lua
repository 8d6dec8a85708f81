-- "Trigger rules and skips surprise" (A#17138, A#28500, A#55187, A#59925, A#67873): a run is green
-- although a task in its middle failed; a removed upstream blocks for ever.
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect
local scripted = dofile("tests/spec/scripted.lua")

local tasks = [[
  local bad = fr.task("bad", function() error("broken") end)
  local ok = fr.task("ok", function() return 1 end)
  local cleanup = fr.task("cleanup", function() return "clean" end)
]]

describe("complaint 20: rules and skips", function()
  it("a failure in the middle fails the run though the last task succeeded", function()
    local s = scripted(tasks .. [[
      return fr.flow("f", function()
        local up = ok()
        local middle = bad(up)
        cleanup:with{teardown = up, after = {middle}}()
      end)]])
    local _, code = s.run("FILE")
    expect(code).to_equal(1)
    expect(s.task("cleanup").state).to_equal("SUCCESS")
  end)

  it("a rule that ran for the failure has handled it, and says so", function()
    local s = scripted(tasks .. [[
      return fr.flow("f", function()
        return cleanup:with{trigger_rule = "all_done", after = {bad()}}()
      end)]])
    local out, code = s.run("FILE")
    expect(out).to_equal("clean\n")
    expect(code).to_equal(0)
    expect(s.task("bad").state).to_equal("FAILED")
  end)

  it("a rule that cannot be met skips with its name as the reason; nothing waits", function()
    local s = scripted(tasks .. [[
      return fr.flow("f", function()
        local h = cleanup:with{trigger_rule = "all_failed", after = {ok()}}()
        return h:state() .. " " .. tostring(h:get())
      end)]])
    local _, code = s.run("FILE")
    expect(code).to_equal(0)
    expect(s.task("cleanup").state).to_equal("SKIPPED")
    expect(s.task("cleanup").error.message).to_contain("all_failed")
  end)
end)
