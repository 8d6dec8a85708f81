-- How often a flow runs at once, how many bodies a run executes at once, and what becomes of a
-- run that comes when it is full. Real processes: who holds and who waits are two of them.
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect
local json = require "flowrun.json"
local options = require "flowrun.options"
local testing = require "flowrun.core.testing"
local real = dofile "tests/spec/real_program.lua"
local absolute, read, write = real.program, real.read, real.write

local function temp()
  return setmetatable({path = testing.temp_dir()},
    {__close = function(self) testing.remove_tree(self.path) end})
end

-- Bodies last until there is a file "go".
local flow = [[
local fr = require "flowrun"
local function exists(name)
  local f = io.open(name)
  if f then f:close() end
  return f ~= nil
end
local function say(what)
  local f = io.open("ledger", "a")
  f:write(what, "\n")
  f:close()
end
local hold = fr.task("hold", function(id)
  say("+" .. id)
  while not exists("go") do fr.sleep(0.002) end
  say("-" .. id)
  return id
end)
return fr.flow("f", {concurrency = CONCURRENCY}, function() return hold(fr.run.id) end)]]

-- Waits in turn for a word in what a command prints; a thousand looks are more than it takes.
local words = [[
until_says() { for i in $(seq 1000); do flowrun $2 2>/dev/null | grep -q "$1" && return; done
  echo "flowrun $2 never said $1"; exit 77; }
until_file() { for i in $(seq 1000); do flowrun runs >/dev/null; grep -q "$2" $1 2>/dev/null && return
  done; echo "$1 never said $2"; exit 77; }
export FLOWRUN_HOME=home
]]

local function play(dir, concurrency, script)
  write(dir .. "/f.lua", (flow:gsub("CONCURRENCY", concurrency)))
  write(dir .. "/play.sh", ((words .. script):gsub("flowrun ", '"$PROGRAM" ')))
  local _, _, code = os.execute(("cd '%s' && PROGRAM='%s' bash play.sh >out 2>&1"):format(dir,
    absolute))
  return code == 0 or read(dir .. "/out")
end

local function most(ledger)
  local now, top = 0, 0
  for line in ledger:gmatch("[^\n]+") do
    now = now + (line:sub(1, 1) == "+" and 1 or -1)
    top = math.max(top, now)
  end
  return top
end

local function states(dir)
  local out = {}
  for _, r in ipairs(json.decode(read(dir .. "/runs"))) do
    out[r.id] = r.state .. (r.reason and " " .. r.reason or "")
  end
  return out
end

describe("concurrency of a flow", function()
  it("reads a number or a table, and says what it expects", function()
    expect(options.check("flow", "f", {concurrency = 2}).concurrency.max):to_equal(2)
    local o = options.check("flow", "f", {concurrency = {full = "skip"}}).concurrency
    expect(o.full):to_equal("skip")
    local function refused(v)
      local ok, err = pcall(options.check, "flow", "f", {concurrency = v})
      return not ok and tostring(err)
    end
    expect(refused(0)):to_contain("option 'concurrency': expected a number of runs, from 1")
    expect(refused{full = "cancelold"}):to_contain("did you mean 'cancel_old'?")
    expect(refused{most = 1}):to_contain("unknown option 'concurrency.most'; flow{} knows max, full")
    expect(select(2, pcall(options.check, "task", "f", {concurrency = 1})).message)
      :to_contain("belongs to flow{}")
  end)

  it("lets a run wait, which shows for whom, and lets it in", function()
    local dir <close> = temp()
    expect(play(dir.path, "1", [[
      flowrun --quiet f.lua & until_file ledger +1
      flowrun --plain f.lua 2>err2 & until_says QUEUED "runs"
      flowrun show 2 >shown; flowrun runs --json >runs
      touch go; wait; flowrun runs --json >after]])):to_equal(true)
    expect(states(dir.path)):to_equal{"RUNNING first", "QUEUED limit"}
    expect(read(dir.path .. "/shown")):to_contain(
      'f (the run itself)  queued: limit "flow:f" 1/1 held by run 1 (f)')
    expect(read(dir.path .. "/err2")):to_contain("waits: flow f runs as often as its option")
    expect(read(dir.path .. "/ledger")):to_equal("+1\n-1\n+2\n-2\n")
  end)

  it("skips, stops the new or stops the old run", function()
    local dir <close> = temp()
    expect(play(dir.path, '{max = 1, full = "skip"}', [[
      flowrun --quiet f.lua & until_file ledger +1
      flowrun f.lua 2>err2; echo $? >code2
      sed -i s/skip/cancel_new/ f.lua
      flowrun f.lua 2>err3; echo $? >code3
      sed -i s/cancel_new/cancel_old/ f.lua
      flowrun --quiet f.lua & until_file ledger +4
      touch go; wait; flowrun runs --json >runs; flowrun limits --json >limits]])):to_equal(true)
    expect(states(dir.path)):to_equal{"STOPPED cancelled", "SKIPPED limit", "STOPPED limit",
      "SUCCESS ran"}
    expect(read(dir.path .. "/code2")):to_equal("0\n")
    expect(read(dir.path .. "/err2")):to_contain("flow f runs already (run 1)")
    expect(read(dir.path .. "/code3")):to_equal("4\n")
    expect(json.decode(read(dir.path .. "/limits"))[1].used):to_equal(0)
  end)

  it("stops those that wait, too, when the newest takes over", function()
    local dir <close> = temp()
    expect(play(dir.path, '{max = 1, full = "queue"}', [[
      flowrun --quiet f.lua & until_file ledger +1
      flowrun --quiet f.lua & until_says QUEUED "runs"
      sed -i s/queue/cancel_old/ f.lua
      flowrun --quiet f.lua & until_file ledger +3
      touch go; wait; flowrun runs --json >runs]])):to_equal(true)
    expect(states(dir.path)):to_equal{"STOPPED cancelled", "STOPPED cancelled", "SUCCESS ran"}
  end)

  it("is freed when the process that holds it is killed", function()
    local dir <close> = temp()
    expect(play(dir.path, "1", [[
      flowrun --quiet f.lua & victim=$!; until_file ledger +1
      flowrun --quiet f.lua & until_says QUEUED "runs"
      kill -9 $victim; until_file ledger +2
      touch go; wait; flowrun resume 1 --quiet; flowrun runs --json >runs]])):to_equal(true)
    expect(states(dir.path)):to_equal{"SUCCESS ran", "SUCCESS ran"}
  end)

  it("a waiting run can be cancelled, can die and be resumed; the limit can be raised", function()
    local dir <close> = temp()
    expect(play(dir.path, "1", [[
      flowrun --quiet f.lua & until_file ledger +1
      flowrun --quiet f.lua & until_says QUEUED "runs"
      flowrun cancel 2; wait $!; echo $? >code2
      flowrun --quiet f.lua & until_says QUEUED "runs"; kill -9 $!
      flowrun limits set flow:f 2 >/dev/null
      flowrun resume 3 --quiet & until_file ledger +3
      touch go; wait; flowrun runs --json >runs]])):to_equal(true)
    expect(read(dir.path .. "/code2")):to_equal("4\n")
    expect(states(dir.path)):to_equal{"SUCCESS ran", "STOPPED cancelled", "SUCCESS ran"}
    expect(most(read(dir.path .. "/ledger"))):to_equal(2)
  end)
end)

local bounded = [[
local fr = require "flowrun"
local function say(what)
  local f = io.open("ledger", "a")
  f:write(what, "\n")
  f:close()
end
local function body(i)
  say("+")
  fr.sleep(0.004)
  say("-")
  return i
end
local inside = fr.task("inside", body)
local apart = fr.task("apart", {isolate = true}, body)
return fr.flow("g", OPTIONS function()
  local a, b = inside:map{1, 2, 3, 4, 5, 6}, apart:map{1, 2, 3, 4}
  local sum = inside(7):get() + #a:get() + #b:get()
  return sum
end)]]

describe("max_running", function()
  it("bounds the bodies of a run in threads and processes together", function()
    for _, how in ipairs{{"{max_running = 2},", "", 2}, {"{max_running = 9},", "--max-running 1", 1}} do
      local dir <close> = temp()
      write(dir.path .. "/g.lua", (bounded:gsub("OPTIONS", how[1])))
      os.execute(("cd '%s' && FLOWRUN_HOME=home '%s' --quiet --workers 4 %s g.lua >out 2>&1")
        :format(dir.path, absolute, how[2]))
      expect(read(dir.path .. "/out")):to_equal("17\n")
      expect(most(read(dir.path .. "/ledger"))):to_equal(how[3])
    end
  end)
end)

-- A body holds the only place until all the others have come.
local first = [[
local fr = require "flowrun"
local function say(what)
  local f = io.open("ledger", "a")
  f:write(what, "\n")
  f:close()
end
local hold = fr.task("hold", function()
  repeat local f = io.open("go") until f
end)
local low = fr.task("low", OPTIONS say)
local high = fr.task("high", {priority = 3, EXECUTOR}, say)
local late = fr.task("late", {priority = -1, EXECUTOR}, say)
return fr.flow("h", function()
  local list = {hold(), late("late"), low("a"), low("b"), high("c"), low:with{priority = 1}("d"),
                high("e")}
  fr.sleep(0.001)                                -- when it ends all of them are in the queue
  for _, h in ipairs(list) do h:get() end
end)]]

describe("priority", function()
  local function order(dir, text, how)
    write(dir .. "/f.lua", text)
    write(dir .. "/play.sh", ((words .. [[
      flowrun --quiet HOW f.lua & until_says "sleep  *SUCCESS" "show 1"
      touch go; wait]]):gsub("flowrun ", '"$PROGRAM" '):gsub("HOW", how)))
    local _, _, code = os.execute(("cd '%s' && PROGRAM='%s' bash play.sh >out 2>&1"):format(dir,
      absolute))
    return code == 0 and read(dir .. "/ledger"):gsub("\n", " ") or read(dir .. "/out")
  end

  it("says who is next when workers are short", function()
    local text = first:gsub("OPTIONS", ""):gsub(", EXECUTOR", "")
    for _, how in ipairs{"--workers 1", "--workers 3 --max-running 1"} do
      local dir <close> = temp()
      expect(order(dir.path, text, how)):to_equal("c e d a b late ")
    end
  end)

  it("counts among isolated tasks, too", function()
    local dir <close> = temp()
    local text = first:gsub("OPTIONS", "{isolate = true},"):gsub("EXECUTOR", "isolate = true")
    text = text:gsub('"hold", ', '"hold", {isolate = true}, ')
    expect(order(dir.path, text, "--workers 1")):to_equal("c e d a b late ")
  end)
end)
