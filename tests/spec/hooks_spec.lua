-- Hooks and undo in the real program: they are recorded, run although the process died, and
-- never change a result.
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect
local json = require "flowrun.json"
local real = dofile "tests/spec/real_program.lua"
local program, read, write = real.program, real.read, real.write

local head = [[
local fr = require "flowrun"
local function say(...)
  local parts = table.pack(...)
  for i = 1, parts.n do parts[i] = tostring(parts[i]) end
  local f = io.open("ledger", "a")
  f:write(table.concat(parts, " "), "\n")
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
]]

local function place(body)
  local dir = t.temp_dir()
  write(dir .. "/f.lua", head .. body)
  return function(words)
    local command = ("cd '%s' && FLOWRUN_HOME=home timeout 20 '%s' %s >out 2>err")
      :format(dir, program, words)
    local _, _, code = os.execute(command)
    return code, read(dir .. "/out"), read(dir .. "/err")
  end, function()
    local lines = {}
    for line in read(dir .. "/ledger"):gmatch("[^\n]+") do lines[#lines + 1] = line end
    return lines
  end
end

local function sorted(list)
  table.sort(list)
  return list
end

describe("hooks of a task", function()
  it("run at its start, before each retry, and at its end, with what they are about", function()
    local run, ledger = place [[
local shaky = fr.task("shaky", {retries = 2, delay = 0,
  on_start = function(x) say("start", x) end,
  on_retry = function(e, x) say("retry", e.message:match("boom %d"), x) end,
  on_success = function(v, x) say("success", v, x) end,
  on_failure = function(e, x) say("failure", e.message, x) end,
}, function(x)
  local f = io.open("tries", "a")
  f:write("x")
  local n = f:seek("end")
  f:close()
  if n < 3 then error("boom " .. n) end
  return n
end)
local bad = fr.task("bad", {on_failure = function(e, x) say("failure", e.code, x) end},
  function(x) fr.fail{code = "quality", message = "bad"} end)
return fr.flow("f", function()
  bad("a"):try()
  return shaky("b"):get()
end)]]
    local code, out = run("f.lua")
    expect(code).to_equal(0)
    expect(out).to_equal("3\n")
    expect(sorted(ledger())).to_equal{"failure quality a", "retry boom 1 b", "retry boom 2 b",
      "start b", "success 3 b"}
  end)

  it("never change the result, and their errors are seen", function()
    local run = place [[
local x = fr.task("x", {on_success = function() error("the hook is broken") end},
  function() return 7 end)
return fr.flow("f", {on_success = function() error("this one too") end},
  function() return x():get() end)]]
    local code, out = run("f.lua")
    expect(code).to_equal(0)
    expect(out).to_equal("7\n")
    local _, shown = run("show 1 --json")
    local run_record = json.decode(shown)
    expect(run_record.state).to_equal("SUCCESS")
    local failed = {}
    for _, task in ipairs(run_record.tasks) do
      if task.kind == "hook" then
        expect(task.state).to_equal("FAILED")
        failed[#failed + 1] = task.label .. ": " .. task.error.message
      end
    end
    expect(failed).to_equal{"on_success: the hook is broken", "on_success: this one too"}
    local _, lines = run("logs 1")
    expect(lines).to_match("hook on_success of x failed: [^\n]*the hook is broken")
  end)

  it("run at the next start when the process died before or in them", function()
    local run, ledger = place [[
local x = fr.task("x", {on_success = function(v)
  say("begun", v)
  die_once("")
  say("done", v, fr.task_key() ~= nil)
end}, function() say("body") return 5 end)
return fr.flow("f", function() return x():get() end)]]
    expect(run("f.lua")).to_equal(137)
    expect(ledger()).to_equal{"body", "begun 5"}
    expect(run("resume 1")).to_equal(0)
    expect(ledger()).to_equal{"body", "begun 5", "begun 5", "done 5 true"}
  end)

  it("have the error of the attempt that was tried again, after a crash too", function()
    local run, ledger = place [[
local n = 0
local x = fr.task("x", {retries = 2, delay = 0, on_retry = function(e)
  say("begun", e and e.message:match("try %d"))
  die_once("")
end}, function()
  local f = io.open("tries", "a")
  f:write("x")
  local n = f:seek("end")
  f:close()
  if n < 3 then error("try " .. n) end
end)
return fr.flow("f", function() return x():get() end)]]
    expect(run("f.lua")).to_equal(137)
    expect(run("resume 1")).to_equal(0)
    local times = {}
    for _, line in ipairs(ledger()) do times[line] = (times[line] or 0) + 1 end
    -- How often is open: an attempt that was not recorded runs again, and its hook with it.
    expect((times["begun try 1"] or 0) + (times["begun try 2"] or 0) > 0).to_be_true()
    expect(times.begun).to_be_nil()
  end)

  it("say that it was cancelled", function()
    local run, ledger = place(([[
local x = fr.task("x", {on_cancel = function(e) say("cancelled", e.code) end}, function()
  fr.sh{argv = {%q, "cancel", "1"}}
  fr.sleep(100)
end)
return fr.flow("f", {on_cancel = function() say("flow cancelled") end},
  function() return x():get() end)]]):format(program))
    expect(run("f.lua") ~= 0).to_be_true()
    expect(ledger()).to_equal{"cancelled cancelled", "flow cancelled"}
    local _, shown = run("show 1 --json")
    expect(json.decode(shown).state).to_equal("STOPPED")
  end)
end)

describe("hooks of a flow", function()
  it("run once for the run, retries of the flow included", function()
    local run, ledger = place [[
local x = fr.task("x", function()
  local f = io.open("tries", "a")
  f:write("x")
  local n = f:seek("end")
  f:close()
  if n < 2 then error("first") end
  return n
end)
local inner = fr.flow("inner", {on_success = function(v, p) say("inner", v, p.a) end,
  params = {a = 1}}, function(p) return p.a + 1 end)
return fr.flow("f", {retries = 1, delay = 0, params = {k = 4},
  on_start = function(p) say("start", p.k) end,
  on_retry = function(e, p) say("retry", e.message:match("first"), p.k) end,
  on_failure = function() say("never") end,
  on_success = function(v, p) say("success", v, p.k) end,
}, function(p) return x():get() + inner{a = 5}:get() end)]]
    local code = run("--flow f f.lua")
    expect(code).to_equal(0)
    expect(sorted(ledger())).to_equal{"inner 6 5", "retry first 4", "start 4", "success 8 4"}
  end)

  it("run when the process died between the end of the body and theirs", function()
    local run, ledger = place [[
return fr.flow("f", {on_failure = function(e) say("begun", e.message) die_once("") say("done") end},
  function() error("no luck", 0) end)]]
    expect(run("f.lua")).to_equal(137)
    expect(run("resume 1")).to_equal(1)
    expect(ledger()).to_equal{"begun no luck", "begun no luck", "done"}
  end)
end)

describe("undo", function()
  local body = [[
local book = fr.task("book", {undo = function(v, what)
  say("undo", v, what)
  if what == "train" then error("the counter is closed") end
  if what == "hotel" then die_once("") end
end}, function(what)
  say("book", what)
  return #what
end)
local pay = fr.task("pay", function() error("no money", 0) end)
]]

  it("takes back what succeeded, latest first, goes on after a crash and past a failure", function()
    local run, ledger = place(body .. [[
return fr.flow("trip", {rollback = true}, function()
  book("hotel"):get()
  book("train"):get()
  book("car"):get()
  pay():get()
end)]])
    expect(run("f.lua")).to_equal(137)
    expect(run("resume 1")).to_equal(1)
    expect(ledger()).to_equal{"book hotel", "book train", "book car", "undo 3 car",
      "undo 5 train", "undo 5 hotel", "undo 5 hotel"}
    local _, shown = run("show 1 --json")
    local states = {}
    for _, task in ipairs(json.decode(shown).tasks) do
      if task.kind == "hook" then states[#states + 1] = task.label .. " " .. task.state end
    end
    expect(states).to_equal{"undo SUCCESS", "undo FAILED", "undo SUCCESS"}
  end)

  it("is not done when the run succeeds or the flow does not ask", function()
    local run, ledger = place(body .. [[
return fr.flow("trip", {params = {ask = false, fails = false}}, function(p)
  if p.ask then fr.rollback() end
  book("car"):get()
  if p.fails then pay():get() end
end)]])
    run("f.lua --ask true")
    run("f.lua --fails true")
    expect(ledger()).to_equal{"book car", "book car"}
    run("f.lua --ask true --fails true")
    expect(ledger()[4]).to_equal("undo 3 car")
  end)

  it("makes a rerun do again what was taken back", function()
    local run, ledger = place(body .. [[
local later = fr.task("later", function()
  local f = io.open("tried")
  if f then f:close() return true end
  io.open("tried", "w"):close()
  error("not yet")
end)
return fr.flow("trip", {rollback = true}, function()
  book("car"):get()
  return later():get()
end)]])
    expect(run("f.lua")).to_equal(1)
    expect(run("rerun 1 --failed")).to_equal(0)
    expect(ledger()).to_equal{"book car", "undo 3 car", "book car"}
  end)
end)
