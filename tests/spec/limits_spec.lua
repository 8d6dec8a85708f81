-- Named limits: slots, rates, queues, what is said when something cannot be had.
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect
local limits = require "flowrun.limits"
local options = require "flowrun.options"
local testing = require "flowrun.core.testing"
local real = dofile "tests/spec/real_program.lua"
local program, read, write = real.program, real.read, real.write

-- Runs a script in a home of its own; what it prints, and its exit code.
local function run(dir, script, words)
  write(dir .. "/f.lua", script)
  local _, _, code = os.execute(("cd '%s' && FLOWRUN_HOME=home '%s' %s >out 2>err"):format(dir, program,
    words or "--quiet f.lua"))
  return read(dir .. "/out"), code, read(dir .. "/err")
end

local function temp()
  return setmetatable({path = testing.temp_dir()},
    {__close = function(self) testing.remove_tree(self.path) end})
end

-- Bodies note when they begin and end, so that the most at a time can be counted.
local head = [[
local fr = require "flowrun"
local function say(what)
  local f = io.open("ledger", "a")
  f:write(what, "\n")
  f:close()
end
]]

local function most_at_a_time(ledger)
  local now, most = 0, 0
  for line in ledger:gmatch("[^\n]+") do
    now = now + (line:sub(1, 1) == "+" and 1 or -1)
    most = math.max(most, now)
  end
  return most, now
end

describe("limits", function()
  it("reads what the option may be", function()
    local function names(v)
      local out = {}
      for i, need in ipairs(limits.read(v)) do
        out[i] = ("%s=%d"):format(need.name, need.n)
      end
      return table.concat(out, " ")
    end
    expect(names("oms")):to_equal("oms=1")
    expect(names{"oms", "db"}):to_equal("db=1 oms=1")
    expect(names{oms = 2, "db"}):to_equal("db=1 oms=2")
    local own = limits.read{rate = "100/min"}[1]
    expect(own.rate):to_equal(100)
    expect(own.period):to_equal(60)
    local starts, seconds = limits.rate("3/10m")
    expect(starts):to_equal(3)
    expect(seconds):to_equal(600)
  end)

  it("says what is wrong with an option", function()
    local function refused(v)
      local ok, err = pcall(options.check, "task", "send", {limit = v})
      expect(ok):to_equal(false)
      return err.message
    end
    expect(refused(3)):to_contain("option 'limit': expected names of limits, or {name = slots}")
    expect(refused{oms = 0}):to_contain("a number of slots, from 1, for 'oms'")
    expect(refused{"oms", oms = 2}):to_contain("'oms' is there twice")
    expect(refused{"a b"}):to_contain("a name of a limit")
    expect(refused{rate = "often"}):to_contain('a rate such as "100/min"')
    expect(refused{rate = "6000/min"}):to_contain("100/s for 6000/min")
  end)

  it("never runs more at a time than a limit has slots, calls and items alike", function()
    local dir <close> = temp()
    local out, code = run(dir.path, head .. [[
      fr.limit("oms", 2)
      local send = fr.task("send", {limit = "oms"}, function(i)
        say("+")
        fr.sleep(0.001)
        say("-")
        return i
      end)
      return fr.flow("f", function()
        local hs = {}
        for i = 1, 6 do hs[i] = send(i) end
        local items = send:map{7, 8, 9, 10, 11, 12}
        local sum = 0
        for _, h in ipairs(hs) do sum = sum + h:get() end
        for _, v in ipairs(items:get()) do sum = sum + v end
        return sum
      end)]])
    expect(code):to_equal(0)
    expect(out):to_equal("78\n")
    local most, left = most_at_a_time(read(dir.path .. "/ledger"))
    expect(most <= 2):to_equal(true)
    expect(left):to_equal(0)
  end)

  it("gives a limit nobody set one slot", function()
    local dir <close> = temp()
    run(dir.path, head .. [[
      local send = fr.task("send", {limit = "mutex"}, function() say("+") fr.sleep(0) say("-") end)
      return fr.flow("f", function() send:map{1, 2, 3, 4}:get() end)]])
    expect((most_at_a_time(read(dir.path .. "/ledger")))):to_equal(1)
  end)

  it("fails at once, and says how to mend it, when a task wants more than there is", function()
    local dir <close> = temp()
    local _, code, err = run(dir.path, head .. [[
      fr.limit("oms", 2)
      local send = fr.task("send", {limit = {oms = 3}, retries = 5}, function() return 1 end)
      return fr.flow("f", function() return send():get() end)]])
    expect(code):to_equal(1)
    expect(err):to_contain('it wants 3 slots of limit "oms", which has 2')
    expect(err):to_contain("flowrun limits set oms 3")
  end)

  it("lets a fallback take the place of what waited too long, else fails as queue_timeout",
    function()
      local dir <close> = temp()
      local out, code = run(dir.path, head .. [[
        fr.limit("closed", 0)
        local a = fr.task("a", {limit = "closed", queue_timeout = 0.01, fallback = "other"},
          function() return "ran" end)
        local b = fr.task("b", {limit = "closed", queue_timeout = 0.01, retries = 3},
          function() return "ran" end)
        return fr.flow("f", function()
          local ok, err = b():try()
          local _, items = b:map{1, 2}:try()
          return a():get() .. "|" .. tostring(ok) .. err.code .. err.message .. "|" .. items.message
        end)]])
      expect(code):to_equal(0)
      expect(out):to_contain('other|niltimeoutqueue_timeout: it waited 0.01 s for limit "closed"')
      expect(out):to_contain('2 of 2 items failed; item 1: queue_timeout')
    end)

  it("gives slots back between the attempts of a task that is tried again", function()
    local dir <close> = temp()
    local out, code = run(dir.path, head .. [[
      local shaky = fr.task("shaky", {limit = "oms", retries = 1, delay = 0.05}, function()
        local f = io.open("seen")
        if f then f:close() return "second" end
        io.open("seen", "w"):close()
        error("once")
      end)
      local other = fr.task("other", {limit = "oms"}, function() say("other") end)
      return fr.flow("f", function()
        local h = shaky()
        other():get()
        return h:state() .. " " .. h:get()
      end)]])
    expect(code):to_equal(0)
    expect(out):to_equal("SCHEDULED second\n")
  end)

  it("refuses fr.limit where it cannot hold", function()
    local ok, err = pcall(limits.define, "oms", -1)
    expect(ok):to_equal(false)
    expect(err.message):to_contain("expected a number of slots")
    ok, err = pcall(limits.define, "oms", {slot = 1})
    expect(ok):to_equal(false)
    expect(err.message):to_contain("it knows slots and rate")
    ok, err = pcall(limits.define, "no good", 1)
    expect(ok):to_equal(false)
    expect(err.message):to_contain("expected a name of a limit")
  end)

  it("keeps the options of task:with{} while a call needs them", function()
    local dir <close> = temp()
    local out, code = run(dir.path, head .. [[
      local t = fr.task("t", function(i) if i % 2 == 0 then error("x") end fr.sleep(0.01) return i end)
      return fr.flow("f", function()
        local hs, junk = {}, {}
        for i = 1, 100 do hs[i] = t:with{retries = 2, delay = 0.001, fallback = "b" .. i}(i) end
        collectgarbage()
        collectgarbage()
        for i = 1, 2000 do junk[i] = ("x"):rep(i % 300) end
        for i = 1, 100 do hs[i] = hs[i]:get() end
        return hs[2] .. hs[100]
      end)]])
    expect(code):to_equal(0)
    expect(out):to_equal("b2b100\n")
  end)
end)

describe("resources.memory", function()
  local text = head .. [[
local big = fr.task("big", {resources = {memory = "MUCH"}}, function(i)
  say("+")
  fr.sleep(0.003)
  say("-")
  return i
end)
return fr.flow("f", function() return #big:map{1, 2, 3, 4, 5, 6}:get() end)]]

  local function with_memory(dir, much, there)
    write(dir .. "/f.lua", (text:gsub("MUCH", much)))
    local _, _, code = os.execute(("cd '%s' && FLOWRUN_MEMORY=%s FLOWRUN_HOME=home '%s' --quiet "
      .. "--workers 4 f.lua >out 2>err"):format(dir, there, program:sub(1, 1) == "/" and program
      or os.getenv("PWD") .. "/" .. program))
    return code
  end

  it("starts what fits together, and no more", function()
    local dir <close> = temp()
    expect(with_memory(dir.path, "400MiB", "1GiB") == 0 or read(dir.path .. "/err")):to_equal(true)
    expect(read(dir.path .. "/out")):to_equal("6\n")
    expect(most_at_a_time(read(dir.path .. "/ledger"))):to_equal(2)
    os.remove(dir.path .. "/ledger")
    expect(with_memory(dir.path, "600MiB", "1GiB")):to_equal(0)
    expect(most_at_a_time(read(dir.path .. "/ledger"))):to_equal(1)
  end)

  it("refuses more than there is before anything runs", function()
    local dir <close> = temp()
    expect(with_memory(dir.path, "1500MiB", "1GiB")):to_equal(2)
    expect(read(dir.path .. "/err")):to_contain("task 'big': resources.memory = 1.465 GiB, but tasks "
      .. "have 1 GiB here; ask for less, or say how much there is: FLOWRUN_MEMORY=1500MiB")
    expect(read(dir.path .. "/ledger")):to_equal("")
    expect(with_memory(dir.path, "1MiB", "much")):to_equal(2)
    expect(read(dir.path .. "/err")):to_contain("FLOWRUN_MEMORY: expected a size from 1MiB on")
  end)

  it("says when a task in a thread took more", function()
    local greedy = [[
local fr = require "flowrun"
local greedy = fr.task("greedy", {resources = {memory = "MUCH"}}, function()
  return #("x"):rep(96 << 20)
end)
return fr.flow("f", function() return greedy():get() end)]]
    for much, warned in pairs{["16MiB"] = true, ["400MiB"] = false} do
      local dir <close> = temp()
      local out, code = run(dir.path, (greedy:gsub("MUCH", much)))
      expect(code):to_equal(0)
      expect(out):to_equal("100663296\n")
      local log = run(dir.path, greedy, "logs 1")
      expect(log:find("the run's process grew by %d+%.%d MiB while this ran; resources.memory = 16.0 MiB")
        ~= nil):to_equal(warned)
    end
  end)

  it("keeps the limit's name to itself", function()
    expect(select(2, pcall(options.check, "task", "t", {limit = "memory"})).message)
      :to_contain("which are the machine's")
    expect(select(2, pcall(limits.define, "gpu", 2)).message):to_contain("which are the machine's")
  end)
end)

describe("resources.gpu", function()
  local text = head .. [[
local function look(i)
  local seen = os.getenv("CUDA_VISIBLE_DEVICES") or "none"
  say("+ " .. fr.sh("printf %s $CUDA_VISIBLE_DEVICES").out .. " " .. seen)
  fr.sleep(0.003)
  say("-")
  return i
end
local inside = fr.task("inside", {resources = {gpu = 1}}, look)
local apart = fr.task("apart", {resources = {gpu = 1}, isolate = true}, look)
local both = fr.task("both", {resources = {gpu = 2}}, look)
return fr.flow("f", function()
  local a, b = inside:map{1, 2, 3, 4}, apart:map{1, 2, 3}
  return #a:get() + #b:get() + both(1):get()
end)]]

  local function with_gpus(dir, n)
    write(dir .. "/f.lua", text)
    local _, _, code = os.execute(("cd '%s' && unset CUDA_VISIBLE_DEVICES; FLOWRUN_GPUS=%s "
      .. "FLOWRUN_HOME=home '%s' --quiet --workers 4 f.lua >out 2>err"):format(dir, n,
      program:sub(1, 1) == "/" and program or os.getenv("PWD") .. "/" .. program))
    return code
  end

  it("gives each attempt its own, which its children see", function()
    local dir <close> = temp()
    expect(with_gpus(dir.path, 2) == 0 or read(dir.path .. "/err")):to_equal(true)
    expect(read(dir.path .. "/out")):to_equal("8\n")
    local ledger, seen = read(dir.path .. "/ledger"), {}
    expect(most_at_a_time(ledger)):to_equal(2)
    for devices, own in ledger:gmatch("%+ (%S*) (%S+)\n") do
      seen[devices] = (seen[devices] or 0) + 1
      expect(own == "none" or own == devices):to_equal(true)
    end
    expect(seen["0,1"]):to_equal(1)
    expect(seen["0"] + seen["1"]):to_equal(7)
    local _, isolated = ledger:gsub("%+ %d %d\n", "")
    expect(isolated):to_equal(3)
  end)

  it("refuses more than there are, with what to do", function()
    local dir <close> = temp()
    expect(with_gpus(dir.path, 1)):to_equal(2)
    expect(read(dir.path .. "/err")):to_contain("task 'both': resources.gpu = 2, but tasks have 1 "
      .. "here; ask for less, or say how much there is: FLOWRUN_GPUS=2")
    expect(with_gpus(dir.path, "many")):to_equal(2)
    expect(read(dir.path .. "/err")):to_contain("FLOWRUN_GPUS: expected a number from 0 to 64")
  end)
end)
