-- fr.sh: results, failures, options; in a run also cancel, the log, and no orphans.
-- labels: threads
local t = require "flowrun.test"
local sh = require "flowrun.sh"
local describe, it, expect = t.describe, t.it, t.expect

local program = os.getenv("FLOWRUN") or "build/flowrun"

local function write(path, text)
  local f <close> = assert(io.open(path, "w"))
  f:write(text)
end

local function read(path)
  local f <close> = io.open(path)
  return f and f:read("a")
end

local function raised(fn, ...)
  local ok, e = pcall(fn, ...)
  expect(ok).to_equal(false)
  return e
end

describe("fr.sh", function()
  it("returns what the program wrote", function()
    local r = sh{cmd = "echo out; echo err >&2"}
    expect({r.code, r.out, r.err}).to_equal{0, "out\n", "err\n"}
    expect(sh("echo short").out).to_equal("short\n")
    expect(sh{argv = {"printf", "%s|", "a b", "$HOME", "*"}}.out).to_equal("a b|$HOME|*|")
  end)

  it("gives input, folder and environment", function()
    expect(sh{cmd = "cat", stdin = "one\ntwo"}.out).to_equal("one\ntwo")
    expect(sh{cmd = "cat"}.out).to_equal("")
    expect(sh{cmd = "pwd", cwd = "/"}.out).to_equal("/\n")
    expect(sh{cmd = "echo $A-$B-${HOME+set}", env = {A = "x y", B = 2, HOME = false}}.out)
      .to_equal("x y-2-\n")
    expect(sh{cmd = "echo ${PATH:+kept}", env = {A = "1"}}.out).to_equal("kept\n")
  end)

  it("raises when the program fails, unless check = false", function()
    local e = raised(sh, {cmd = "echo the reason >&2; exit 3"})
    expect({e.code, e.exit_code}).to_equal{"error", 3}
    expect(e.message).to_contain("exit code 3: the reason")
    expect(sh{cmd = "exit 3", check = false}.code).to_equal(3)
    local r = sh{cmd = "kill -9 $$", check = false}
    expect({r.code, r.signal}).to_equal{-1, 9}
    expect(raised(sh, {cmd = "kill -9 $$"}).message).to_contain("ended by SIGKILL")
    expect(raised(sh, {argv = {"/no/such/program"}}).code).to_equal("not_found")
  end)

  it("stops after its timeout", function()
    local e = raised(sh, {cmd = "sleep 1000", timeout = 0.001})
    expect(e.code).to_equal("timeout")
    expect(e.message).to_contain("sleep 1000: took longer than 0.001")
    e = raised(sh, {cmd = "trap '' TERM; echo on; while :; do sleep 1; done", timeout = 0.01,
      grace = 0.01})
    expect(e.code).to_equal("timeout")
  end)

  it("keeps at most max_bytes", function()
    local r = sh{cmd = "head -c 5000 /dev/zero", max_bytes = 1000}
    expect({#r.out, r.cut}).to_equal{1000, true}
    r = sh{cmd = "echo x", capture = false}
    expect({r.out, r.cut}).to_equal{"", nil}
  end)

  it("says what is wrong with its options", function()
    expect(raised(sh, {cmds = "x"}).message).to_contain("'cmds'; did you mean 'cmd'")
    expect(raised(sh, {"ls", "-l"}).message).to_contain("arguments as argv = {\"ls\", …}")
    expect(raised(sh, {}).message).to_contain("give either cmd")
    expect(raised(sh, {cmd = "x", argv = {"y"}}).message).to_contain("give either cmd")
    expect(raised(sh, {argv = {}}).message).to_contain("option 'argv' is empty")
    expect(raised(sh, {argv = {"a", print}}).message).to_contain("argv[2]: expected a string")
    expect(raised(sh, {cmd = "a\0b"}).message).to_contain("NUL")
    expect(raised(sh, {cmd = "x", env = {["A=B"] = "1"}}).message).to_contain("no name of a variable")
    expect(raised(sh, 7).message).to_contain("expected a table")
  end)
end)

local flow = [[
local fr = require "flowrun"
local one = fr.task("one", function(n)
  return fr.sh{cmd = "echo line " .. n .. "; echo warning >&2"}.out
end)
local long = fr.task("long", {timeout = 0.3}, function(path)
  fr.sh{cmd = "echo $$ > " .. path .. "; sleep 1000 & wait", grace = 0.05}
end)
local hang = fr.task("hang", function(path)
  fr.sh{cmd = "setsid sh -c 'echo $$; exec sleep 1000' > " .. path .. ".inner & "
    .. "echo $$ > " .. path .. "; sleep 1000"}
end)
local function body(p)
  if p.mode == "many" then return #one:map{1, 2, 3, 4, 5}:get() end
  if p.mode == "long" then return long(p.path):get() end
  return hang(p.path):get()
end
return fr.flow("shells", {params = {mode = "many", path = ""}}, body)
]]

local function start(mode, folder)
  write(folder .. "/f.lua", flow)
  return ("FLOWRUN_HOME='%s/home' '%s' '%s/f.lua' --mode %s --path '%s/pid'"):format(folder,
    program, folder, mode, folder)
end

local function alive(pid)
  return sh{cmd = "kill -0 " .. pid, check = false}.code == 0
end

local function wait_for_file(path)
  local text
  repeat text = read(path) until text and text:find("\n")
  return text:match("%d+")
end

describe("fr.sh in a run", function()
  it("writes lines to the log of the task", function()
    local folder = t.temp_dir()
    local r = sh{cmd = start("many", folder) .. "; '" .. program .. "' logs 1",
      env = {FLOWRUN_HOME = folder .. "/home"}}
    for i = 1, 5 do expect(r.out).to_contain("one: line " .. i) end
    expect(r.out).to_contain("warn  one: warning")
  end)

  it("ends the whole group at the task's timeout", function()
    local folder = t.temp_dir()
    local r = sh{cmd = start("long", folder), check = false}
    expect(r.code).to_equal(1)
    expect(r.err .. r.out).to_contain("timeout")
    local leader = read(folder .. "/pid"):match("%d+")
    expect(alive(leader)).to_equal(false)
    expect(alive("-" .. leader)).to_equal(false)
  end)

  it("leaves no process behind when the run is killed", function()
    local folder = t.temp_dir()
    local run = assert(io.popen("(" .. start("hang", folder) .. " >/dev/null 2>&1 & echo $!)"))
    local pid = run:read("l")
    local outer, inner = wait_for_file(folder .. "/pid"), wait_for_file(folder .. "/pid.inner")
    expect({alive(outer), alive(inner)}).to_equal{true, true}
    sh{cmd = "kill -9 " .. pid}
    repeat until not alive(outer) and not alive(inner)
    run:close()
    expect({alive(outer), alive(inner)}).to_equal{false, false}
  end)
end)
