-- labels: slow
-- isolate = true against the real program: what dies takes only its own attempt with it, the
-- record says why, and everything else is as it is on threads.
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect
local json = require "flowrun.json"
local real = dofile "tests/spec/real_program.lua"
local program, read, write = real.program, real.read, real.write

local prelude = [[
local fr = require "flowrun"
local function me()                              -- the number of this process
  local f <close> = io.open("/proc/self/stat")
  return f:read("n")
end
local function there(name)
  local f = io.open(name)
  if f then f:close() end
  return f ~= nil
end
local function say(line)                         -- to the test, which reads the pipe
  local f <close> = io.open("pipe", "a")
  f:write(line, "\n")
end
]]

-- Runs a script in a folder of its own; `driver`: shell lines that act while it runs (it is $run,
-- its lines come on descriptor 3). Returns what `show --json` says, output, exit code, folder.
local function run(script, driver)
  local dir = t.temp_dir()
  write(dir .. "/f.lua", prelude .. script)
  write(dir .. "/driver.sh", ([[
    cd '%s' && mkfifo pipe && exec 3<>pipe
    '%s' --home home --quiet f.lua >out 2>err &
    run=$!
    %s
    wait $run
  ]]):format(dir, program, driver or ""))
  local _, _, code = os.execute(("timeout 60 sh '%s/driver.sh'"):format(dir))
  local pipe = assert(io.popen(("cd '%s' && '%s' show @last --json --home home 2>&1"):format(dir,
    program)))
  local text = pipe:read("a")
  pipe:close()
  local ok, shown = pcall(json.decode, text)
  return ok and shown or {text = text}, read(dir .. "/out") .. read(dir .. "/err"), code, dir
end

local function task(shown, name)
  for _, row in ipairs(shown.tasks) do
    if row.name == "f:" .. name then return row end
  end
end

local function logs(dir)
  local pipe = assert(io.popen(("cd '%s' && '%s' logs @last --home home"):format(dir, program)))
  local text = pipe:read("a")
  pipe:close()
  return text
end

describe("isolate", function()
  it("runs bodies elsewhere, with the same results and logs", function()
    local shown, _, _, dir = run[[
      local frame = require "flowrun.frame"
      local function work(i)
        print("line " .. i)
        return {i = i, run = fr.run.id, sum = tonumber(fr.sh("expr 1 + " .. i).out)}
      end
      local one = fr.task("one", {isolate = true}, work)
      local same = fr.task("same", work)
      local grow = fr.task("grow", {isolate = true}, function(f) return f:sort("x") end)
      local first = fr.task("first", {executor = "process"}, function(f) return f.x[1] end)
      local where = fr.task("where", {isolate = true}, me)
      local here = fr.task("here", me)
      return fr.flow("f", function()
        local a, b = one:map{5, 6, 7}:get(), same:map{5, 6, 7}:get()
        local equal = #a == 3
        for i = 1, #a do
          equal = equal and a[i].i == b[i].i and a[i].sum == b[i].sum and a[i].run == b[i].run
        end
        local f = grow(frame.from{x = {3, 1, 2}})
        return {equal, first(f):get(), where():get() ~= here():get()}
      end)]]
    expect(shown.state).to_equal("SUCCESS")
    expect(shown.result).to_equal({true, 1, true})
    expect(logs(dir)):to_contain("line 6")
  end)

  it("a crash is the failure of its attempt: cause in the record, others untouched", function()
    local shown, _, _, dir = run[[
      local dies = fr.task("dies", {isolate = true, retries = 1, delay = 0}, function(i)
        if i == 2 then
          print("on the brink")
          fr.sh("kill -SEGV " .. me())
        end
        return i
      end)
      local saved = fr.task("saved", {isolate = true, fallback = "instead"}, function()
        fr.sh("kill -BUS " .. me())
      end)
      return fr.flow("f", function()
        local _, err = dies(2):try()
        local w = saved():get()
        local ok = dies(1):get()
        local _, of_map = dies:map({1, 2, 3}):try()
        return {err.code, err.signal_name, err.message, w, ok, of_map.message}
      end)]]
    expect(shown.state).to_equal("SUCCESS")
    local r = shown.result
    expect(r[1]).to_equal("crashed")
    expect(r[2]).to_equal("SIGSEGV")
    expect(r[3]):to_contain("SIGSEGV (a wrong address); it used")
    expect(r[4]).to_equal("instead")
    expect(r[5]).to_equal(1)
    expect(r[6]):to_contain("1 of 3 items failed; item 2: its process was ended by SIGSEGV")
    local row = task(shown, "dies")
    expect(row.reason).to_equal("crashed")
    expect(row.attempt).to_equal(2)
    expect(row.error.signal).to_equal(11)
    expect(row.error.peak_memory > 1e6).to_be_true()
    expect(logs(dir)):to_contain("on the brink")
  end)

  it("memory = is enforced, with a code that a fallback or retry_if can tell", function()
    local shown = run[[
      local eats = fr.task("eats", {isolate = true, resources = {memory = "64MiB"}}, function()
        local t = {}
        for i = 1, 1 << 30 do t[i] = ("x"):rep(1000) .. i end
      end)
      return fr.flow("f", function()
        local _, err = eats():try()
        return {err.code, err.message}
      end)]]
    expect(shown.result[1]).to_equal("no_memory")
    expect(shown.result[2]):to_contain("resources.memory = 64 MiB")
  end)

  it("a timeout ends what swallows every error", function()
    local shown = run[[
      local stone = fr.task("stone", {isolate = true, timeout = 0.2}, function()
        while true do pcall(function() while true do end end) end
      end)
      return fr.flow("f", function()
        local _, err = stone():try()
        return err.code
      end)]]
    expect(shown.result).to_equal("timeout")
  end)
end)

describe("faults of worker processes", function()
  it("kill -9 of a worker is a loss: tried again without using up retries", function()
    local shown = run([[
      local once = fr.task("once", {isolate = true}, function()
        say(me())
        if not there("again") then
          fr.sh("touch again")
          fr.sleep(1000)
        end
        return "done"
      end)
      return fr.flow("f", function() return once():get() end)]],
      "read -r pid <&3; until [ -e again ]; do :; done; kill -9 $pid")
    expect(shown.state).to_equal("SUCCESS")
    expect(shown.result).to_equal("done")
    expect(task(shown, "once").attempt).to_equal(1)     -- a loss has a budget of its own
  end)

  it("kill -9 of a child's child is what the body sees, nothing more", function()
    local shown = run([[
      local shell = fr.task("shell", {isolate = true}, function()
        local r = fr.sh("sh -c 'echo $$ >pipe; exec sleep 1000'; echo code $?")
        return r.out
      end)
      return fr.flow("f", function() return shell():get() end)]],
      "read -r pid <&3; kill -9 $pid")
    expect(shown.state).to_equal("SUCCESS")
    expect(shown.result):to_contain("code 137")
  end)

  it("kill -9 of the run leaves no process, and resume goes on", function()
    local shown, out, code, dir = run([[
      local first = fr.task("first", {isolate = true}, function() return 1 end)
      local long = fr.task("long", {isolate = true, effect = true}, function()
        if there("again") then return 2 end
        fr.sh("touch again; echo $$ " .. me() .. " >pipe; exec sleep 1000")
      end)
      return fr.flow("f", function() return first():get() + long():get() end)]],
      -- Their processes are gone when nobody has the pipe of their numbers in /proc.
      [[read -r child worker <&3; kill -9 $run; wait $run
        while kill -0 $child 2>/dev/null || kill -0 $worker 2>/dev/null; do :; done
        exec ]] .. "'" .. program .. "'" .. [[ resume 1 --home home --quiet >out 2>err]])
    expect(out .. tostring(code)):to_contain("0")
    expect(code).to_equal(0)
    expect(shown.state).to_equal("SUCCESS")
    expect(shown.result).to_equal(3)
    expect(task(shown, "first").attempt).to_equal(1)
    expect(dir ~= nil).to_be_true()
  end)

  it("a stopped worker (SIGSTOP) is ended by its timeout; a continued one goes on", function()
    local shown = run([[
      local frozen = fr.task("frozen", {isolate = true, timeout = 0.5}, function()
        say(me())
        fr.sleep(1000)
      end)
      local thawed = fr.task("thawed", {isolate = true}, function()
        say(me())
        while not there("go") do end
        return "thawed"
      end)
      return fr.flow("f", function()
        local _, err = frozen():try()
        return {err.code, thawed():get()}
      end)]], [[read -r pid <&3; kill -STOP $pid
        read -r pid <&3; kill -STOP $pid; touch go; kill -CONT $pid]])
    expect(shown.result).to_equal({"timeout", "thawed"})
  end)
end)
