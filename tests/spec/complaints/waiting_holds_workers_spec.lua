-- "Deadlocks when tasks wait for other tasks: each waiting task holds a thread of the pool"
-- (PrefectHQ/prefect 14194, 13874; orchestrators.md 2, complaint 11). Here waits hold nothing.
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect

local program = os.getenv("FLOWRUN") or "build/flowrun"
local absolute = program:sub(1, 1) == "/" and program or os.getenv("PWD") .. "/" .. program

describe("waiting", function()
  it("of fifty sensors, signals and approvals leaves the one worker to the task they wait for", function()
    local dir = t.temp_dir()
    local f = assert(io.open(dir .. "/f.lua", "w"))
    f:write [[
local fr = require "flowrun"
local is_there = fr.task("is_there", function(i)
  local f = io.open("there")
  if f then f:close() return i end
end)
local make = fr.task("make", function(seen)
  io.open("there", "w"):close()
  return seen
end)
return fr.flow("f", function()
  local hs, late = {}, {}
  for i = 1, 50 do
    hs[i] = fr.spawn(function() return fr.wait_for(is_there, {every = "5ms"}, i) end)
    late[i] = fr.spawn(function()
      if i % 2 == 0 then return fr.signal("s" .. i, {timeout = "50ms", default = i}) end
      return fr.approve{message = "?", timeout = "50ms", on_timeout = i}
    end)
  end
  fr.all(late)                                   -- all wait at once, and no worker was needed
  make(50):get()
  local sum = 0
  for _, v in ipairs(fr.all(hs)) do sum = sum + v end
  return sum
end)]]
    f:close()
    local pipe = io.popen(("cd '%s' && FLOWRUN_HOME=home timeout 20 '%s' --quiet --workers 1 f.lua 2>err")
      :format(dir, absolute))
    expect(pipe:read("a")).to_equal("1275\n")
    expect(pipe:close()).to_equal(true)
  end)
end)
