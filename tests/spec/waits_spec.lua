-- Waits for people and the world, in the real program: what comes early, late or to a dead
-- process. Runs are killed by a task of their own at a known place, so nothing depends on time.
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect
local json = require "flowrun.json"
local real = dofile "tests/spec/real_program.lua"
local program, read, write = real.program, real.read, real.write

local head = [[
local fr = require "flowrun"
local program = ...
local note = fr.task("note", function(v) return v end)
local die = fr.task("die", {effect = true, retries = 3, delay = 0}, function(what)
  local f = io.open("died" .. what)
  if f then f:close() return true end
  io.open("died" .. what, "w"):close()
  local stat = io.open("/proc/self/stat")
  local pid = stat:read("n")
  stat:close()
  fr.sh{argv = {"kill", "-9", tostring(pid)}}
end)
]]

-- A folder with the script; returns a function that runs the program there.
local function place(body)
  local dir = t.temp_dir()
  write(dir .. "/f.lua", head .. body)
  return function(words)
    local command = ("cd '%s' && FLOWRUN_HOME=home USER=tester LOGNAME=tester timeout 20 '%s' %s >out 2>err")
      :format(dir, program, words)
    local _, _, code = os.execute(command)
    return code, read(dir .. "/out"), read(dir .. "/err")
  end, dir
end

local function result(run, words)
  local code, out, err = run(words)
  if code ~= 0 then error(("%s: code %s\n%s%s"):format(words, code, out, err), 2) end
  return json.decode(out)
end

describe("fr.signal", function()
  it("takes signals in order that came while there was no process", function()
    local run = place [[
return fr.flow("f", function()
  local b = fr.spawn(function() return {fr.signal("go"), fr.signal("go"), fr.signal("other")} end)
  die(note(1):get())
  return b:get()
end)]]
    expect(run("f.lua")).to_equal(137)
    for _, w in ipairs{"go '{\"kv\": 20}'", "other null", "go '\"second\"'"} do
      local code, out = run("signal 1 " .. w)
      expect(code).to_equal(0)
      expect(out).to_contain("flowrun resume 1")
    end
    local got = result(run, "resume 1")
    expect(got[1].kv).to_equal(20)
    expect(got[2]).to_equal("second")
    expect(got[3]).to_be_nil()
  end)

  it("reaches a run that lives, and is heard once", function()
    local run, dir = place [[
local send = fr.task("send", function(id, v)
  fr.sh{argv = {os.getenv("PROGRAM"), "signal", tostring(id), "go", tostring(v), "--home", "home"}}
end)
return fr.flow("f", function()
  local b = fr.spawn(function() return {fr.signal("go"), fr.signal("go", {timeout = "1h"})} end)
  send(fr.run.id, 1):get()
  send(fr.run.id, 2):get()
  local got = b:get()
  return {got, fr.signal("go", {timeout = 0, default = "no third"})}
end)]]
    write(dir .. "/p.sh", ("PROGRAM='%s' exec '%s' f.lua\n"):format(program, program))
    local _, _, code = os.execute(("cd '%s' && FLOWRUN_HOME=home timeout 20 sh p.sh >out 2>err"):format(dir))
    expect(code).to_equal(0)
    local got = json.decode(read(dir .. "/out"))
    expect(got[1]).to_equal{1, 2}
    expect(got[2]).to_equal("no third")
    local _, out = run("show 1 --json")
    expect(json.decode(out).state).to_equal("SUCCESS")
    expect(select(2, run("runs --waiting --json"))).to_match("^%[%]")
  end)

  it("gives up after its timeout: the default, or an error that can be caught", function()
    local run = place [[
return fr.flow("f", function()
  local ok, e = pcall(fr.signal, "never", {timeout = 0.01})
  return {fr.signal("never", {timeout = "1ms", default = {a = 1}}), ok, e.code, e.message}
end)]]
    local got = result(run, "f.lua")
    expect(got[1].a).to_equal(1)
    expect(got[2]).to_equal(false)
    expect(got[3]).to_equal("timeout")
    expect(got[4]).to_contain("signal:never did not arrive within 0.01 s")
  end)

  it("waits only what is left of its timeout after a crash", function()
    local run, dir = place [[
return fr.flow("f", function()
  local b = fr.spawn(function() return fr.signal("go", {timeout = "20d", default = "late"}) end)
  die(note(1):get())
  return b:get()
end)]]
    expect(run("f.lua")).to_equal(137)
    -- The deadline is a row; a clock that says it has passed ends the wait at once.
    local store = require "flowrun.store"
    local home <close> = store.open(dir .. "/home", {read_only = true})
    local due
    for r in home:journal(1) do
      if r.type == "timer" and r.kind == "signal" then due = r.due / 1e9 end
    end
    expect(math.abs(due - os.time() - 20 * 86400) < 100).to_be_true()
    expect(run("signal 1 go 7")).to_equal(0)
    expect(result(run, "resume 1")).to_equal(7)
  end)

  it("refuses what cannot be meant", function()
    local texts = {"expected a name", "unknown option 'timeot'; did you mean 'timeout'",
                   "a default needs a timeout", "fr.signal: timeout: 'soon'"}
    local run = place [[return fr.flow("f", {params = {n = 1}}, function(p)
  local ok, e = pcall(fr.signal, table.unpack(({
    {"with space"}, {"a", {timeot = 1}}, {"a", {default = 1}}, {"a", {timeout = "soon"}}})[p.n]))
  return e.message
end)]]
    for n, text in ipairs(texts) do
      local _, out = run("f.lua --n " .. n)
      expect(out).to_contain(text)
    end
    local _, _, err = run("signal 1 go")
    expect(err).to_contain("run 1 has ended already: SUCCESS")
  end)
end)

describe("fr.approve", function()
  local two = [[
return fr.flow("f", function()
  local b = fr.spawn(function()
    local first = fr.approve{name = "release", message = "release v2?", role = "ops"}
    local ok, e = pcall(fr.approve, {name = "release", message = "again?", timeout = 0})
    return {first, ok, ok or e.code}
  end)
  die(note(1):get())
  return b:get()
end)]]

  it("says who approved, when and why; a second decision is not taken by a later wait", function()
    local run = place(two)
    expect(run("f.lua")).to_equal(137)
    local _, out = run("runs --waiting --json")
    local list = json.decode(out)
    expect(#list).to_equal(1)
    expect(list[1].name).to_equal("release")
    expect(list[1].message).to_equal("release v2?")
    expect(list[1].role).to_equal("ops")
    expect(list[1].alive).to_equal(false)
    expect(select(2, run("show 1"))).to_contain("approval release (role ops): release v2?")
    expect(run("approve 1 --as ann --comment 'looks good'")).to_equal(0)
    expect(run("approve 1 release --as bob")).to_equal(0)
    local got = result(run, "resume 1")
    expect(got[1].approved).to_equal(true)
    expect(got[1].by).to_equal("ann")
    expect(got[1].comment).to_equal("looks good")
    expect(math.abs(got[1].at - os.time()) < 100).to_be_true()
    expect(got[2]).to_equal(false)
    expect(got[3]).to_equal("timeout")
  end)

  it("keeps every decision in the journal, with the person", function()
    local run, dir = place(two)
    run("f.lua")
    run("approve 1 --as ann")
    run("reject 1 --as bob")
    result(run, "resume 1")
    local store = require "flowrun.store"
    local home <close> = store.open(dir .. "/home", {read_only = true})
    local by = {}
    for r in home:journal(1) do
      if r.type == "request" and r.name == "arrival" then
        by[#by + 1] = r.data .. " " .. r.label .. " " .. r.state
      end
    end
    expect(by).to_equal{"ann approve:release SUCCESS", "bob approve:release FAILED"}
    home:audit(1)
  end)

  it("raises when it was rejected, and the run fails unless that is caught", function()
    local run = place(two)
    run("f.lua")
    expect(run("reject 1 release --comment 'not on friday'")).to_equal(0)
    local code, _, err = run("resume 1")
    expect(code).to_equal(1)
    expect(err).to_contain("approve:release was rejected by tester: not on friday")
    local _, out = run("show 1 --json")
    expect(json.decode(out).error.code).to_equal("rejected")
  end)

  it("does on a timeout what it is told", function()
    local run = place [[
local function ask(late)
  local ok, v = pcall(fr.approve, {message = "?", timeout = 0, on_timeout = late})
  return ok and v or v.code
end
return fr.flow("f", function()
  return {ask("approve"), ask("reject"), ask("error"), ask(nil), ask({plan = "b"}), ask(7)}
end)]]
    local got = result(run, "f.lua")
    expect(got[1].approved).to_equal(true)
    expect(got[1].by).to_equal("timeout")
    expect(got[2]).to_equal("rejected")
    expect(got[3]).to_equal("timeout")
    expect(got[4]).to_equal("timeout")
    expect(got[5].plan).to_equal("b")
    expect(got[6]).to_equal(7)
  end)

  it("is refused by name when nothing of that name waits", function()
    local run = place [[
return fr.flow("f", function()
  local a = fr.spawn(function() return fr.approve{name = "a", message = "A?"} end)
  local b = fr.spawn(function() return fr.approve{name = "b", message = "B?"} end)
  die(note(1):get())
  return {a:get(), b:get()}
end)]]
    expect(run("f.lua")).to_equal(137)
    local code, _, err = run("approve 1 c")
    expect(code).to_equal(2)
    expect(err).to_contain("run 1 waits for no approval called c; it waits for: approval a: A?")
    code, _, err = run("approve 1")
    expect(code).to_equal(2)
    expect(err).to_contain("which one? run 1: it waits for: approval a: A?; approval b: B?")
    run("approve 1 b")
    run("reject 1 a")
    expect(run("resume 1")).to_equal(1)
  end)
end)

describe("a waiting run", function()
  it("without a process hears a cancel at its next start", function()
    local run = place [[
return fr.flow("f", function()
  local b = fr.spawn(function() return fr.signal("go") end)
  die(note(1):get())
  return b:get()
end)]]
    run("f.lua")
    expect(run("cancel 1")).to_equal(0)
    run("resume 1")
    local _, out = run("show 1 --json")
    expect(json.decode(out).state).to_equal("STOPPED")
  end)

  it("replays its waits when it goes on once more", function()
    local run = place [[
return fr.flow("f", function()
  local b = fr.spawn(function() return {fr.signal("go"), fr.signal("go")} end)
  die(note(1):get())
  local got = b:get()
  die(note(2):get())
  got[3] = fr.approve{message = "?", timeout = 0, on_timeout = "approve"}.by
  return got
end)]]
    expect(run("f.lua")).to_equal(137)
    expect(run("signal 1 go 5")).to_equal(0)
    expect(run("signal 1 go 6")).to_equal(0)
    expect(run("resume 1")).to_equal(137)
    expect(result(run, "resume 1")).to_equal{5, 6, "timeout"}
  end)
end)

describe("fr.at", function()
  it("waits until a time, and not for one that has passed", function()
    local run = place [[
return fr.flow("f", function()
  local before = fr.now()
  fr.at(before + 0.05)
  fr.at("2001-02-03T04:05:06+01:00")
  return fr.now() - before >= 0.05
end)]]
    expect(result(run, "f.lua")).to_equal(true)
  end)

  it("reads times exactly and refuses those without a zone", function()
    local wait = require "flowrun.wait"
    expect(wait.time("1970-01-01T00:00Z")).to_equal(0)
    expect(wait.time("2000-02-29 12:34:56.5Z")).to_equal(951827696.5)
    expect(wait.time("2026-12-01T06:00:00+01:00")).to_equal(1796101200)
    expect(wait.time("2026-12-01T06:00-0730")).to_equal(1796131800)
    local cases = {["2026-12-01T06:00"] = "does not say its time zone", ["06:00"] = "expected seconds",
                   ["2026-02-29T06:00Z"] = "expected seconds", ["2026-12-01T24:00Z"] = "expected"}
    for text, why in pairs(cases) do
      local ok, e = pcall(wait.time, text)
      expect(ok).to_be_false()
      expect(e.message).to_contain(why)
    end
  end)
end)

describe("fr.wait_for", function()
  it("pokes until the task says something, and records few rows", function()
    local run, dir = place [[
local count = fr.task("count", function(path, last)
  local f = io.open(path, "a")
  f:write("x")
  local n = f:seek("end")
  f:close()
  return n >= last and {n = n}
end)
return fr.flow("f", function()
  return fr.wait_for(count, {every = "1ms"}, "pokes", 40)
end)]]
    expect(result(run, "f.lua").n).to_equal(40)
    local store = require "flowrun.store"
    local home <close> = store.open(dir .. "/home", {read_only = true})
    local rows = 0
    for r in home:records(1) do
      rows = rows + 1
      if r.type == "task" then
        expect(r.kind).to_equal("poke")
        expect(r.attempt).to_equal(40)
      end
    end
    expect(rows).to_equal(7)                     -- after 1, 2, 4, 8, 16, 32 pokes, and its end
  end)

  it("goes on counting after a crash", function()
    local run = place [[
local poke = fr.task("poke", function()
  local f = io.open("pokes", "a")
  f:write("x")
  local n = f:seek("end")
  f:close()
  if n == 6 then
    local stat = io.open("/proc/self/stat")
    local pid = stat:read("n")
    stat:close()
    fr.sh{argv = {"kill", "-9", tostring(pid)}}
  end
  return n >= 10 and n
end)
return fr.flow("f", function() return fr.wait_for(poke, {every = 0.001, timeout = "1h"}) end)]]
    expect(run("f.lua")).to_equal(137)
    expect(result(run, "resume 1")).to_equal(10)
    local _, out = run("show 1 --json")
    -- Four of the five that ended are on record; the sixth died; four more followed.
    expect(json.decode(out).tasks[1].attempt).to_equal(8)
  end)

  it("ends with an error, or the default, when its time is over", function()
    local run = place [[
local never = fr.task("never", function() return false end)
return fr.flow("f", function()
  local ok, e = pcall(fr.wait_for, never, {every = "1ms", timeout = "5ms"})
  return {fr.wait_for(never, {every = "1ms", timeout = "3ms", default = "gave up"}), ok, e.code,
          e.message}
end)]]
    local got = result(run, "f.lua")
    expect(got[1]).to_equal("gave up")
    expect(got[2]).to_equal(false)
    expect(got[3]).to_equal("timeout")
    expect(got[4]).to_match("never said nothing within 0.005 s %(%d+ pokes%)")
  end)

  it("stops a poke that runs when its time is over", function()
    local run = place [[
local slow = fr.task("slow", function() fr.sleep(100) return 1 end)
return fr.flow("f", function()
  local ok, e = pcall(fr.wait_for, slow, {timeout = "20ms"})
  return e.code
end)]]
    local code, out = run("f.lua")
    expect(code).to_equal(0)
    expect(out).to_equal("timeout\n")
  end)

  it("tries a poke that fails again as the task's retries say", function()
    local run = place [[
local shaky = fr.task("shaky", {retries = 2, delay = 0}, function(last)
  local f = io.open("pokes" .. last, "a")
  f:write("x")
  local n = f:seek("end")
  f:close()
  if n == last then return n end
  if n % 2 == 0 then return nil end
  error("odd")
end)
local bad = fr.task("bad", {retries = 1, delay = 0}, function() error("always") end)
return fr.flow("f", function()
  local ok, e = pcall(fr.wait_for, bad, {every = 0})
  return {fr.wait_for(shaky, {every = 0}, 11), ok, e.message}
end)]]
    local got = result(run, "f.lua")
    expect(got[1]).to_equal(11)
    expect(got[2]).to_equal(false)
    expect(got[3]).to_contain("always")
  end)

  it("asks retry_if and delay after a poke that failed, about failures in a row", function()
    local run, dir = place [[
local function add(path)
  local f = io.open(path, "a")
  f:write("x")
  local n = f:seek("end")
  f:close()
  return n
end
local function note(line)
  local f = io.open("asked", "a")
  f:write(line, "\n")
  f:close()
end
-- Fails twice, says nothing, fails once, says something.
local shaky = fr.task("shaky", {retries = 2,
  retry_if = function(e, n, who) note("if " .. e.message:match("%a+$") .. n .. who) return true end,
  delay = function(n, e, who) note("delay " .. n .. who) return n == 1 and 0.001 or 0 end,
}, function(who)
  local n = add("pokes")
  if n == 3 then return nil end
  return n == 5 and n or error("odd")
end)
local final = fr.task("final", {retries = 5, retry_if = function() return false end}, function()
  add("final")
  error("for good")
end)
local odd = fr.task("odd", {retries = 5, delay = function() return "soon" end}, function()
  error("odd")
end)
local saved = fr.task("saved", {retries = 5, retry_if = function() return false end,
  fallback = "in its place"}, function() error("no") end)
return fr.flow("f", function()
  local a = fr.wait_for(shaky, {every = 0}, "!")
  local ok, e = pcall(fr.wait_for, final, {every = 0})
  local ok2, e2 = pcall(fr.wait_for, odd, {every = 0})
  return {a, ok, e.message, ok2, e2.message, fr.wait_for(saved, {every = 0})}
end)]]
    local got = result(run, "f.lua")
    expect(got[1]).to_equal(5)
    expect(got[2]).to_equal(false)
    expect(got[3]).to_contain("for good")
    expect(got[4]).to_equal(false)
    expect(got[5]).to_contain("option 'delay' of f:odd, asked whether to try again, failed: ")
    expect(got[6]).to_equal("in its place")
    expect(read(dir .. "/final")).to_equal("x")
    expect(read(dir .. "/asked")).to_equal("if odd1!\ndelay 1!\nif odd2!\ndelay 2!\nif odd1!\ndelay 1!\n")
  end)

  it("gives up in time though a function of it is asked", function()
    local run = place [[
local never = fr.task("never", {retries = 9, delay = function() while true do end end}, function()
  error("no")
end)
return fr.flow("f", function()
  return fr.wait_for(never, {every = 0, timeout = "50ms", default = "gave up"})
end)]]
    local code, out = run("f.lua")
    expect(code).to_equal(0)
    expect(out).to_equal("gave up\n")
  end)

  it("refuses what is no task", function()
    local ok, e = pcall(require("flowrun.wait").wait_for, function() end)
    expect(ok).to_be_false()
    expect(e.message).to_contain("expected a task first, got function")
  end)
end)
