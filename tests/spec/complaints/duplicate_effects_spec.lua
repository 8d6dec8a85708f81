-- "A task that is tried again does its side effects again; exactly once is left to the user"
-- (orchestrators.md 2: duplicate effects). A message of fr.outbox belongs to the result: attempts
-- that fail leave none, and every delivery of one carries the same key.
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect

local program = os.getenv("FLOWRUN") or "build/flowrun"
local absolute = program:sub(1, 1) == "/" and program or os.getenv("PWD") .. "/" .. program

describe("a work order of a task that failed twice and died once", function()
  it("is sent for its one success; what is sent again is told by its key", function()
    local dir = t.temp_dir()
    local f = assert(io.open(dir .. "/f.lua", "w"))
    f:write [[
local fr = require "flowrun"
local function count(name)
  local f = io.open(name, "a")
  f:write("x")
  local n = f:seek("end")
  f:close()
  return n
end
local function kill_me()
  local stat = io.open("/proc/self/stat")
  local pid = stat:read("n")
  stat:close()
  fr.sh{argv = {"kill", "-9", tostring(pid)}}
end
local dispatch = fr.task("dispatch", function(crew)
  local f = io.open("ledger", "a")
  f:write(crew, " ", fr.task_key(), "\n")
  f:close()
  if count("sent") == 1 then kill_me() end         -- taken, but nobody knows
end)
local plan = fr.task("plan", {retries = 5, delay = 0}, function()
  fr.outbox{task = dispatch, args = {"crew 7"}, delay = 0}
  local n = count("tried")
  if n < 3 then error("no weather") end
  return n
end)
return fr.flow("f", function() return plan():get() end)]]
    f:close()
    local codes = {}
    for i, words in ipairs{"--quiet f.lua", "resume 1 --quiet", "outbox deliver"} do
      local _, _, code = os.execute(("cd '%s' && FLOWRUN_HOME=home timeout 60 '%s' %s >out 2>err")
        :format(dir, absolute, words))
      codes[i] = code
    end
    expect(codes).to_equal{137, 0, 0}
    local orders, n = {}, 0
    for line in io.lines(dir .. "/ledger") do
      orders[line], n = true, n + 1
    end
    expect(n).to_equal(2)                          -- at least once
    local line = next(orders)
    expect(line:find("^crew 7 %x+") ~= nil).to_be_true()
    expect(next(orders, line)).to_equal(nil)       -- and one order by its key
  end)
end)
