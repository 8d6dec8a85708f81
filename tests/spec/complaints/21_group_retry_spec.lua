-- "Retry a group of tasks" (A#21867, open since 2022, A#21331): a task that fails because of what
-- an earlier one left behind needs the earlier one again, too.
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect
local scripted = dofile("tests/spec/scripted.lua")

local script = [[
  local function note(line)
    local f = io.open("log", "a") f:write(line, "\n") f:close()
  end
  local stage = fr.task("stage", function(try) note("stage " .. try) return try end)
  local publish = fr.task("publish", function(try)
    note("publish " .. try)
    if try < 2 then error("the stage was stale") end
    return "published"
  end)
  return fr.flow("f", function()
    local try = 0
    return fr.group("release", {retries = 2, delay = 0}, function()
      try = try + 1
      return publish(stage(try))
    end)
  end)]]

describe("complaint 21: retries of a group", function()
  it("run all of it again, the calls that had succeeded too", function()
    local s = scripted(script)
    local out, code = s.run("FILE")
    expect(out).to_equal("published\n")
    expect(code).to_equal(0)
    expect(s.read("log")).to_equal("stage 1\npublish 1\nstage 2\npublish 2\n")
    expect(s.task("release").attempt).to_equal(2)
  end)

  it("are in the record: a replay of the run executes nothing", function()
    local s = scripted(script)
    s.run("FILE")
    local before = s.read("log")
    local _, _, err = s.run("resume @last")
    expect(s.read("log")).to_equal(before)
    expect(err:find("diverged")).to_be_nil()
  end)
end)
