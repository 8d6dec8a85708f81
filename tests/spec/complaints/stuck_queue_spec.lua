-- "Tasks stay queued for ever and nothing says why", "500 mapped items run 5 at a time of 16",
-- "priority does not help", "a tag limit and wait_for deadlock".
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect
local json = require "flowrun.json"
local testing = require "flowrun.core.testing"
local real = dofile "tests/spec/real_program.lua"
local absolute, read, write = real.program, real.read, real.write

local head = [[
local fr = require "flowrun"
local function say(what)
  local f = io.open("ledger", "a")
  f:write(what, "\n")
  f:close()
end
local function wait_for(name)
  while not io.open(name) do fr.sleep(0.002) end
end
]]

local function sh(dir, script)
  local _, _, code = os.execute(("cd '%s' || exit; export FLOWRUN_HOME=home; %s"):format(dir,
    script:gsub("FLOWRUN ", "'" .. absolute .. "' ")))
  return code
end

local function scratch(script)
  local dir = testing.temp_dir()
  write(dir .. "/f.lua", head .. script)
  return dir
end

describe("stuck queues", function()
  it("tells of each task that waits which limit it is and who holds it", function()
    local dir = scratch([[
      local hold = fr.task("hold", {limit = "oms"}, function() say("held") wait_for("go") end)
      local send = fr.task("send", {limit = {oms = 1}, priority = 3}, function() return 7 end)
      return fr.flow("f", {params = {holds = false}}, function(p)
        if p.holds then return hold():get() end
        return send():get()
      end)]])
    sh(dir, [[FLOWRUN --quiet f.lua --holds >out1 2>err1 &
      until FLOWRUN limits --json 2>/dev/null | grep -q '"used": 1'; do kill -0 $! || exit 1; done
      FLOWRUN --quiet f.lua >out2 2>err2 &
      until FLOWRUN limits --json | grep -q '"waiting": 1'; do kill -0 $! || exit 1; done
      FLOWRUN show 2 >shown; FLOWRUN show 2 --json >json; FLOWRUN limits >limits
      touch go; wait]])
    expect(read(dir .. "/shown")):to_contain('queued: limit "oms" 1/1 held by run 1 (hold)')
    local waits = json.decode(read(dir .. "/json")).queued
    expect(waits[1].limit):to_equal("oms")
    expect(waits[1].holders[1]):to_equal("run 1 (hold)")
    expect(read(dir .. "/limits")):to_match("oms%s+waits%s+1%s+run 2%s+send%s+3")
    expect(read(dir .. "/out2")):to_equal("7\n")
    testing.remove_tree(dir)
  end)

  it("runs as many items of a map at a time as the limit has slots", function()
    local dir = scratch([[
      fr.limit("wide", 8)
      -- No body ends before eight are there: with fewer at a time it would never end.
      local item = fr.task("item", {limit = "wide", timeout = "60s"}, function(i)
        say("in")
        repeat
          fr.sleep(0.002)
          local n = 0
          for _ in io.lines("ledger") do n = n + 1 end
        until n >= 8
        return i
      end)
      return fr.flow("f", function()
        local list = {}
        for i = 1, 16 do list[i] = i end
        return #item:map(list):get()
      end)]])
    expect(sh(dir, "FLOWRUN --quiet f.lua >out 2>err")):to_equal(0)
    expect(read(dir .. "/out")):to_equal("16\n")
    testing.remove_tree(dir)
  end)

  it("serves the higher priority first, and raising a limit lets what waits go on", function()
    local dir = scratch([[
      fr.limit("oms", 0)
      local send = fr.task("send", {limit = "oms"}, function(name) say(name) return name end)
      return fr.flow("f", function()
        local a = send("low")
        local b = send:with{priority = 5}("high")
        local c = send:with{priority = 2}("middle")
        return a:get() .. b:get() .. c:get()
      end)]])
    sh(dir, [[FLOWRUN --quiet f.lua >out 2>err &
      until FLOWRUN limits --json 2>/dev/null | grep -q '"waiting": 3'; do
        kill -0 $! || exit 1; done
      FLOWRUN limits set oms 1 >set; wait]])
    expect(read(dir .. "/set")):to_equal("limit oms: 1 slot\n")
    expect(read(dir .. "/out")):to_equal("lowhighmiddle\n")
    expect(read(dir .. "/ledger")):to_equal("high\nmiddle\nlow\n")
    testing.remove_tree(dir)
  end)

  it("takes slots only when what a task needs is done, so a chain on one slot ends", function()
    local dir = scratch([[
      local step = fr.task("step", {limit = "one"}, function(n) return (n or 0) + 1 end)
      return fr.flow("f", function()
        local h = step()
        for _ = 1, 5 do h = step(h) end
        local last = step:with{after = {h}}(10)
        return last:get() + h:get()
      end)]])
    expect(sh(dir, "FLOWRUN --quiet f.lua >out 2>err")):to_equal(0)
    expect(read(dir .. "/out")):to_equal("17\n")
    testing.remove_tree(dir)
  end)
end)
