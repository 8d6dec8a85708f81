-- "State change hooks run on the client only: a killed process never calls them"
-- (orchestrators.md 1.7 and 2, complaint 2). Here a hook is a recorded call: the next start runs
-- what the death left undone, and a hook that is on record does not run again.
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect

local program = os.getenv("FLOWRUN") or "build/flowrun"
local absolute = program:sub(1, 1) == "/" and program or os.getenv("PWD") .. "/" .. program

describe("a hook of a run that was killed", function()
  it("is run by the next start, once, with the key of the first try", function()
    local dir = t.temp_dir()
    local f = assert(io.open(dir .. "/f.lua", "w"))
    f:write [[
local fr = require "flowrun"
local function say(line)
  local f = io.open("ledger", "a")
  f:write(line, "\n")
  f:close()
end
local function die_once(what)
  local f = io.open("died" .. what)
  if f then f:close() return end
  io.open("died" .. what, "w"):close()
  local stat = io.open("/proc/self/stat")
  local pid = stat:read("n")
  stat:close()
  fr.sh{argv = {"kill", "-9", tostring(pid)}}
end
local work = fr.task("work", {on_success = function(v) say("told " .. v .. " " .. fr.task_key()) die_once(1) end},
  function(v) return v end)
return fr.flow("f", {on_success = function() say("over") die_once(2) end},
  function() return work(1):get() + work(2):get() end)]]
    f:close()
    local codes = {}
    for i, words in ipairs{"f.lua", "resume 1", "resume 1"} do
      local _, _, code = os.execute(("cd '%s' && FLOWRUN_HOME=home timeout 20 '%s' --quiet %s >out 2>err")
        :format(dir, absolute, words):gsub("%-%-quiet resume", "resume"))
      codes[i] = code
    end
    expect(codes).to_equal{137, 137, 0}
    local times, over = {}, 0
    for line in io.lines(dir .. "/ledger") do
      times[line] = (times[line] or 0) + 1
      if line == "over" then over = over + 1 end
    end
    expect(over).to_equal(2)                     -- it died in the first
    local told = 0
    for line, n in pairs(times) do
      if line:find("^told") then
        told = told + 1
        expect(n <= 2).to_be_true()              -- the same key both times
      end
    end
    expect(told).to_equal(2)
  end)
end)
