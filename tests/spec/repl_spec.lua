-- `flowrun repl` as people meet it: on a terminal, key by key.
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect
local pty = require "flowrun.core.pty"

local program = os.getenv("FLOWRUN") or "build/flowrun"
local patience <const> = 20                     -- seconds until a missing answer is a failure

local script = [[
local fr = require "flowrun"
local add = fr.task("add", function(a, b) return a + b end)
local hold = fr.task("hold", function(path)
  while not io.open(path) do fr.sleep(0.005) end
  print("released")
  return "held"
end)
return {
  fr.flow("sums", {params = {n = 1}}, function(p) return add(p.n, 10):get() end),
  fr.flow("computes", function() while true do end end),
  fr.flow("waits", {params = {path = ""}}, function(p) return hold(p.path):get() end),
}]]

local function write(path, text)
  local f <close> = assert(io.open(path, "w"))
  f:write(text)
end

-- What a person sees: without the codes that move the cursor or paint.
local function seen(text)
  return (text:gsub("\27%[[%d;?]*%a", ""):gsub("\r", ""):gsub("[^\n]\8", ""))
end

-- A session; says(pattern) waits until what was printed since the last match matches.
local function session(words)
  local dir = t.temp_dir()
  write(dir .. "/f.lua", script)
  local absolute = program:sub(1, 1) == "/" and program or os.getenv("PWD") .. "/" .. program
  local self = {dir = dir}
  self.pty = pty.open{"sh", "-c", ("cd '%s' && exec env TERM=xterm FLOWRUN_HOME='%s/home' '%s' repl %s")
    :format(dir, dir, absolute, words or "")}
  local text = ""
  -- With a key it is pressed again each second, as a person does.
  function self.says(pattern, key)
    local ends = os.time() + patience
    if key then self.pty:write(key) end
    while true do
      local plain = seen(text)
      local _, to = plain:find(pattern)
      if to then
        text = plain:sub(to + 1)
        return plain:sub(1, to)
      end
      local more = self.pty:read(1)
      if more == "" and key then self.pty:write(key) end
      if not more or os.time() > ends then
        error(("waited for %q, but it said:\n%s"):format(pattern, plain), 2)
      end
      text = text .. more
    end
  end
  function self.type(s) self.pty:write(s) end
  function self.enter(s) self.pty:write(s .. "\n") end
  function self.leave()
    local ends, more = os.time() + patience
    self.type("\4")
    repeat
      more = self.pty:read(1)
      if os.time() > ends then error("it does not leave", 2) end
    until not more
    local code = self.pty:wait()
    self.pty:close()
    return code
  end
  self.says("flowrun [%d.]+ · Lua 5%.4.-flowrun> ")
  return self
end

describe("flowrun repl", function()
  it("evaluates what is typed, edited in place, and remembers it", function()
    local s = session()
    s.enter("1 + 2")
    s.says("= 3\n.*flowrun> ")
    s.type("40 + 3")
    s.type("\1" .. "1000 + ")                    -- Ctrl-A: before the rest of the line
    s.enter("")
    s.says("= 1043\n.*flowrun> ")
    s.type("\27[A\27[A")                         -- two lines up: 1 + 2
    s.enter("\5 * 10")                           -- Ctrl-E: at its end
    s.says("= 21\n.*flowrun> ")
    s.enter("nothing.at_all")
    s.says("attempt to index a nil value %(global 'nothing'%).*flowrun> ")
    expect(s.leave()).to_equal(0)
    local again = t.temp_dir()
    os.execute(("cp -r '%s/home' '%s/home'"):format(s.dir, again))
    local f <close> = io.open(again .. "/home/history")
    expect(f and f:read("a") or "").to_contain("nothing.at_all")
  end)

  it("takes input of many lines, also when one is given up", function()
    local s = session()
    s.enter("for i = 1, 3 do")
    s.says("%.%.%.%.%.%.> ")
    s.enter("print('line ' .. i)")
    s.says("%.%.%.%.%.%.> ")
    s.enter("end")
    s.says("line 1\nline 2\nline 3\n.*flowrun> ")
    s.enter("local x = {")
    s.says("%.%.%.%.%.%.> ")
    s.type("\3")
    s.says("%^C\n.*flowrun> ")
    s.enter("'still ' .. 'here'")
    s.says("= \"?still here\"?\n.*flowrun> ")
    expect(s.leave()).to_equal(0)
  end)

  it("completes names of modules, tasks and commands", function()
    local s = session("f.lua")
    s.type("frame.date_r\t")
    s.says("frame%.date_range")
    s.enter("")
    s.says("= function.*flowrun> ")
    s.type("su\t")
    s.says("sums")
    s.type("\21")                                -- Ctrl-U: an empty line
    s.type(":rel\t")
    s.says(":reload")
    s.enter("")
    s.says("reloaded f%.lua: nothing changed.*flowrun> ")
    expect(s.leave()).to_equal(0)
  end)

  it("shows background runs above the prompt and what they left", function()
    local s = session("f.lua")
    s.enter(("h = waits:run{path = %q}"):format(s.dir .. "/go"))
    s.says("%[1%] waits started.*flowrun> ")
    s.type("20 + 2")                            -- half of a line, while the run goes on
    write(s.dir .. "/go", "")
    s.says("%[1%] ✔ hold")
    s.says("%[1%] waits SUCCESS")
    s.says("flowrun> 20 %+ 2")                   -- the line is there again
    s.enter("0")
    s.says("= 40\n.*flowrun> ")
    s.enter("h:get()")
    s.says("= \"?held\"?\n.*flowrun> ")
    s.enter(":runs")
    s.says("waits.*SUCCESS.*flowrun> ")
    s.enter(":show 1")
    s.says("hold.*flowrun> ")
    s.enter(":logs 1")
    s.says("released.*flowrun> ")
    s.enter("sums:run{n = 5}:get()")
    s.says("= 15\n.*flowrun> ")
    s.enter(":load 2")
    s.says("run 2 of sums, SUCCESS.*flowrun> ")
    s.enter("run.tasks.add.result")
    s.says("= 15\n.*flowrun> ")
    s.enter(":rerun add")
    s.says("= 15\n.*flowrun> ")
    s.enter(":rerun ad")
    s.says("did you mean 'add'.*flowrun> ")
    s.enter(":lod 2")
    s.says("did you mean :load.*flowrun> ")
    expect(s.leave()).to_equal(0)
  end)

  it("loads a saved script again by itself, or says why not and keeps the old one", function()
    local s = session("f.lua")
    -- The times of the two files differ by seconds, whatever the clock of the file system.
    local function save(text, seconds)
      write(s.dir .. "/new", text)
      os.execute(("touch -d '+%d seconds' '%s/new' && mv '%s/new' '%s/f.lua'"):format(seconds, s.dir,
        s.dir, s.dir))
    end
    save(script:gsub("a %+ b", "a * b"), 5)
    s.says("reloaded f%.lua: add.- changed, %d+ unchanged")
    s.enter("sums:run{n = 5}:get()")
    s.says("= 50\n.*flowrun> ")
    save("local fr = (", 10)
    s.says("not loaded.*f%.lua.*the old one stays")
    s.enter("sums:run{n = 6}:get()")
    s.says("= 60\n.*flowrun> ")
    expect(s.leave()).to_equal(0)
  end)

  it("ends the running input on Ctrl-C, never the session", function()
    local s = session("f.lua")
    s.enter("print('spin' .. 'ning') while true do end")
    s.says("spinning\n")
    s.says("interrupted.*flowrun> ", "\3")
    s.enter("print('wait' .. 'ing') waits:run{path = '/nowhere/go'}:get()")
    s.says("waits started")
    s.says("flowrun> ", "\3")
    s.enter("'alive' .. 1")
    s.says("= \"?alive1\"?\n.*flowrun> ")
    s.enter("lasts = fr.task('lasts', function(path) print('wait' .. 'ing')"
      .. " while not io.open(path) do fr.sleep(0.005) end return 1 end)")
    s.enter(("long = fr.flow('long', function() return lasts(%q):get() end)"):format(s.dir .. "/go2"))
    write(s.dir .. "/go2", "")
    s.enter("long:run{}:get()")
    s.says("= 1\n.*flowrun> ")
    os.remove(s.dir .. "/go2")
    s.enter(":load 2")
    s.says("SUCCESS.*flowrun> ")
    s.enter(":rerun lasts")
    s.says("waiting\n")
    s.says("flowrun> ", "\3")
    s.enter("print('nap' .. 'ping') fr.sleep(3600)")
    s.says("napping\n")
    s.says("interrupted.*flowrun> ", "\3")
    s.enter("print('catch' .. 'ing') while true do pcall(function() while true do end end) end")
    s.says("catching\n")
    s.says("interrupted.*flowrun> ", "\3")
    s.enter("'alive' .. 2")
    s.says("= \"?alive2\"?\n.*flowrun> ")
    expect(s.leave()).to_equal(0)
  end)

  it("answers while the body of a run computes", function()
    local s = session("f.lua")
    s.enter("h = computes:run{}")
    s.says("%[1%] computes started.*flowrun> ")
    s.enter("20 + 2")
    s.says("= 22\n.*flowrun> ")
    s.enter("print('wait' .. 'ing') h:get()")
    s.says("waiting\n")
    s.says("interrupted.*flowrun> ", "\3")
    expect(s.leave()).to_equal(0)
  end)

  it("takes what is typed before the prompt stands, Ctrl-D too", function()
    local s = session()
    s.enter("do local n = 0 for i = 1, 2000000 do n = n + i end print('coun' .. 'ted') end")
    s.enter("'typed ' .. 'ahead'")
    s.says("counted\n.*= \"?typed ahead\"?\n")
    s.enter("do local n = 0 for i = 1, 2000000 do n = n + i end end")
    expect(s.leave()).to_equal(0)
  end)
end)
