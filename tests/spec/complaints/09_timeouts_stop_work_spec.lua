-- "Timeouts and cancel do not stop work" (P#15760, P#18133, P#20315, P#17482): the state says
-- FAILED while the thread goes on. Here the work has stopped when the state says so.
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect
local scripted = dofile("tests/spec/scripted.lua")

local script = [[
  local spin = fr.task("spin", {%s}, function()
    local n = 0
    while true do
      n = n + 1
      if n %% 100000 == 0 then
        local f = io.open("beat", "a") f:write("x") f:close()
      end
    end
  end)
  local after = fr.task("after", function()
    local f = io.open("beat") local size = f and #f:read("a") or 0
    if f then f:close() end
    for _ = 1, 3000000 do end
    f = io.open("beat") local now = f and #f:read("a") or 0
    if f then f:close() end
    return now == size
  end)
  return fr.flow("f", function()
    %s
    return after():get()
  end)]]

describe("complaint 9: work that should have stopped", function()
  it("has stopped when a task's timeout is reported, though it computes", function()
    local s = scripted(script:format("timeout = 0.2", "spin():try()"))
    local out, code = s.run("FILE")
    expect(out).to_equal("true\n")
    expect(code).to_equal(0)
    expect(s.task("spin").reason).to_equal("timeout")
  end)

  it("has stopped when a deadline is reported, retries or not", function()
    local s = scripted(script:format("deadline = 0.2, retries = 5", "spin():try()"))
    expect((s.run("FILE"))).to_equal("true\n")
    expect(s.task("spin").reason).to_equal("deadline")
  end)

  it("has stopped when the timeout of the group around it is reported", function()
    local s = scripted(script:format("retries = 0",
      'fr.group("g", {timeout = 0.2}, function() spin():get() end):try()'))
    expect((s.run("FILE"))).to_equal("true\n")
    expect(s.task("spin").state).to_equal("STOPPED")
    expect(s.task("g").reason).to_equal("timeout")
  end)
end)
