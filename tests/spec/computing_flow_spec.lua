-- Flow bodies that compute instead of waiting: their timeout, `flowrun cancel` and Ctrl-C stop them,
-- and what else the run does goes on meanwhile.
local t = require "flowrun.test"
local real = dofile "tests/spec/real_program.lua"
local describe, it, expect = t.describe, t.it, t.expect

-- say("started") opens the pipe for the shell; each body computes for ever in its own way.
local script = [[
local noop = fr.task("noop", function() return 1 end)
local slow = fr.task("slow", function() fr.sleep(0.01) return 2 end)
local say_started = fr.task("say_started", function() say("started") end)
local bodies = {
  plain = function() while true do end end,
  caught = function() while true do pcall(function() while true do end end) end end,
  wrapped = function() coroutine.wrap(function() while true do end end)() end,
  sorted = function() table.sort({3, 2, 1}, function() while true do end end) end,
  group = function()
    return fr.group("inner", {timeout = "300ms"}, function() while true do end end):try()
  end,
}
return fr.flow("f", {params = {what = "plain", wait = false}, timeout = "TIMEOUT"}, function(p)
  noop():get()
  say_started():get()
  if p.wait then return slow():get() end
  return bodies[p.what]()
end)]]

local function place(timeout) return real.folder((script:gsub("TIMEOUT", timeout))) end

for _, what in ipairs{"plain", "caught", "wrapped", "sorted"} do
  describe("a flow whose body computes (" .. what .. ")", function()
    it("ends at its timeout with 5", function()
      local dir = place("400ms")
      local code = real.shell(dir, ([[
        "$flowrun" --home home --plain f.lua --what %s 2>progress; echo "code $?"]]):format(what))
      expect(code).to_equal(0)
      expect(real.out(dir)).to_match("code 5\n$")
      local shown = real.shown(dir)
      expect(shown.state).to_equal("FAILED")
      expect(shown.reason).to_equal("timeout")
    end)
  end)
end

local function stopped(what, act)
  local dir = place("1h")
  local code = real.shell(dir, ([[
    "$flowrun" --home home --plain f.lua --what %s >result 2>progress &
    pid=$!
    read started <&3
    %s
    wait $pid
    echo "run $?"]]):format(what, act))
  expect(code).to_equal(0)
  return dir, real.out(dir)
end

for _, what in ipairs{"plain", "wrapped"} do
  describe("a flow whose body computes (" .. what .. ")", function()
    it("ends with 4 when it is cancelled", function()
      local dir, said = stopped(what, '"$flowrun" cancel --home home @last; echo "cancel $?"')
      expect(said).to_match("cancel 0\nrun 4\n$")
      local shown = real.shown(dir)
      expect(shown.state).to_equal("STOPPED")
      expect(shown.reason).to_equal("cancelled")
    end)

    it("ends with 130 at Ctrl-C, as stopped", function()
      local dir, said = stopped(what, "kill -INT $pid")
      expect(said).to_match("run 130\n$")
      expect(real.shown(dir).state).to_equal("STOPPED")
    end)
  end)
end

describe("a group whose body computes", function()
  it("ends at its timeout, and the flow goes on", function()
    local dir = place("1h")
    local code = real.shell(dir, [[
      "$flowrun" --home home --plain f.lua --what group 2>progress; echo "code $?"]])
    expect(code).to_equal(0)
    expect(real.out(dir)).to_match("code 0\n$")
    local inner
    for _, task in ipairs(real.shown(dir).tasks) do
      if task.name:find("inner") then inner = task end
    end
    expect(inner.state).to_equal("FAILED")
    expect(inner.error.code).to_equal("timeout")
  end)
end)

describe("a flow that computed for long", function()
  it("replays as it ran", function()
    local dir = real.folder[[
local one = fr.task("one", function(n) return n end)
local die_once = fr.task("die_once", function()
  if not there("died") then
    io.open("died", "w"):close()
    fr.sh{cmd = "kill -9 " .. me()}
  end
end)
return fr.flow("f", function()
  local order, branches = {}, {}
  for b = 1, 3 do
    branches[b] = fr.spawn(function()
      for i = 1, 3 do
        local n = 0
        for k = 1, 4000000 do n = n + k end
        order[#order + 1] = b
        one(b * 10 + i):get()
        order[#order + 1] = -b
      end
    end)
  end
  for b = 1, 3 do branches[b]:get() end
  local seen = one(table.concat(order, " "))
  die_once():get()
  return seen:get()
end)]]
    local code = real.shell(dir, [["$flowrun" --home home --plain f.lua >/dev/null 2>&1; echo "$?"
      "$flowrun" --home home resume 1 2>progress; echo "code $?"]])
    expect(code).to_equal(0)
    expect(real.out(dir)).to_match("^137\n.*code 0\n$")
  end)
end)
