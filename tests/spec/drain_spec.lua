-- SIGTERM lets what runs finish; nothing else starts, and `flowrun resume` goes on.
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect
local real = dofile "tests/spec/real_program.lua"

local head = [[
local function note(line)
  local f <close> = io.open("ledger", "a")
  f:write(line, "\n")
end
-- Says that it runs, and ends when the file `go` is there.
local function hold(name)
  note(name)
  say("running")
  while not there("go") do end                   -- it keeps its worker
  return name
end
]]

-- Starts the flow, sends SIGTERM when a task runs, and lets it end when the drain has begun.
local drained = [[
  $flowrun --home home --plain --workers 1 f.lua >run.out 2>run.err &
  run=$!
  read -r _ <&3; kill -TERM $run
  until grep -q draining run.err; do :; done
  echo "--" >>ledger; touch go
  wait $run; echo "code $?"
  $flowrun show 1 --home home >show.out
]]
local on = drained .. [[
  $flowrun resume 1 --home home --quiet]]

describe("SIGTERM", function()
  it("lets a running task finish and starts no other; resume goes on", function()
    local dir = real.folder(head .. [[
      local a = fr.task("a", function() return hold("a") end)
      local b = fr.task("b", function(x) note("b") return x .. "b" end)
      return fr.flow("f", function() return b(a()):get() end)]])
    expect(real.shell(dir, on)).to_equal(0)
    expect(real.out(dir)).to_equal("code 75\nab\n")
    expect(real.read(dir .. "/ledger")).to_equal("a\n--\nb\n")
    expect(real.read(dir .. "/show.out")):to_contain("PAUSED")
    expect(real.read(dir .. "/show.out")):to_contain("it was drained; go on: flowrun resume 1")
    expect(real.read(dir .. "/run.err")):to_contain("1 task may finish, up to 30s")
    expect(real.read(dir .. "/run.err")):to_contain("run 1 is drained; go on")
    for _, task in ipairs(real.shown(dir, "1").tasks) do expect(task.attempt).to_equal(1) end
  end)

  for _, options in ipairs{"", "timeout = '1h'", "isolate = true", "limit = 'x'"} do
    it("starts no further item of a map {" .. options .. "}", function()
      local dir = real.folder(head .. ([[
        fr.limit("x", 1)
        local item = fr.task("item", {%s}, function(i) return hold(i) end)
        return fr.flow("f", function() return table.concat(item:map{1, 2, 3}:get(), " ") end)]])
        :format(options))
      expect(real.shell(dir, on)).to_equal(0)
      expect(real.out(dir)).to_equal("code 75\n1 2 3\n")
      local before, after = real.read(dir .. "/ledger"):match("^(.*)%-%-\n(.*)$")
      expect(#before).to_equal(2)                -- one item ran
      expect(#after).to_equal(4)
    end)
  end

  it("leaves the retry of what failed meanwhile to the resume", function()
    local dir = real.folder(head .. [[
      local a = fr.task("a", {retries = 1, delay = 0}, function()
        if there("go") then note("again") return "good" end
        hold("a")
        error("once")
      end)
      return fr.flow("f", function() return a():get() end)]])
    expect(real.shell(dir, on)).to_equal(0)
    expect(real.out(dir)).to_equal("code 75\ngood\n")
    expect(real.read(dir .. "/ledger")).to_equal("a\n--\nagain\n")
    expect(real.shown(dir, "1").tasks[1].attempt).to_equal(2)
  end)

  it("between two attempts of the flow leaves the next one to the resume", function()
    local dir = real.folder(head .. [[
      local good = fr.task("good", function() note("good") return "good" end)
      local bad = fr.task("bad", function(v)
        note("bad")
        if there("go") then return v .. " again" end
        error("once")
      end)
      return fr.flow("f", {retries = 1, delay = "1h"}, function() return bad(good()):get() end)]])
    expect(real.shell(dir, [[
      $flowrun --home home --plain f.lua >run.out 2>run.err &
      run=$!
      until grep -q 'flow attempt' run.err; do :; done
      kill -TERM $run
      wait $run; echo "code $?"; touch go
      $flowrun show 1 --home home >show.out
      $flowrun resume 1 --home home --quiet]])).to_equal(0)
    expect(real.out(dir)).to_equal("code 75\ngood again\n")
    expect(real.read(dir .. "/run.err")).to_contain("run 1 is drained; go on")
    expect(real.read(dir .. "/show.out")).to_contain("between two attempts; go on: flowrun resume 1")
    expect(real.read(dir .. "/ledger")).to_equal("good\nbad\nbad\n")
  end)

  it("a second time ends the process at once; resume goes on from there", function()
    local dir = real.folder(head .. [[
      local a = fr.task("a", function() return hold("a") end)
      return fr.flow("f", function() return a():get() end)]])
    expect(real.shell(dir, [[
      $flowrun --home home --plain f.lua >run.out 2>run.err &
      run=$!
      read -r _ <&3; kill -TERM $run
      until grep -q draining run.err; do :; done
      kill -TERM $run; wait $run; echo "code $?"; touch go
      $flowrun resume 1 --home home --quiet]])).to_equal(0)
    expect(real.out(dir)).to_equal("code 143\na\n")
    expect(real.read(dir .. "/ledger")).to_equal("a\na\n")
  end)

  it("stops what still runs when the grace is over, and that counts for nothing", function()
    local dir = real.folder(head .. [[
      local a = fr.task("a", {on_cancel = function() note("cancelled") end,
        on_failure = function() note("failed") end}, function()
        local guard <close> = setmetatable({}, {__close = function() note("closed") end})
        return hold("a")
      end)
      return fr.flow("f", function() return a():get() end)]])
    expect(real.shell(dir, [[
      $flowrun --home home --quiet --grace 0.01 f.lua >run.out 2>run.err &
      run=$!
      read -r _ <&3; kill -TERM $run
      wait $run; echo "code $?"; touch go
      $flowrun resume 1 --home home --quiet]])).to_equal(0)
    expect(real.out(dir)).to_equal("code 75\na\n")
    expect(real.read(dir .. "/ledger")).to_equal("a\nclosed\na\nclosed\n")
    expect(real.shown(dir, "1").tasks[1].attempt).to_equal(1)
  end)

  it("lets a run go at once that only waits; what comes meanwhile is not lost", function()
    local dir = real.folder[[
      local tell = fr.task("tell", function() say("here") end)
      return fr.flow("f", function() tell():get() return fr.signal("go") end)]]
    expect(real.shell(dir, [[
      $flowrun --home home --quiet f.lua >run.out 2>run.err &
      run=$!
      read -r _ <&3
      until $flowrun runs --waiting --home home | grep -q go; do :; done
      kill -TERM $run; wait $run; echo "code $?"
      $flowrun runs --home home | grep -c 'PAUSED.*drained\|drained.*PAUSED'
      $flowrun signal 1 go 5 --home home >/dev/null
      $flowrun resume 1 --home home --quiet]])).to_equal(0)
    expect(real.out(dir)).to_equal("code 75\n1\n5\n")
  end)
end)

describe("option --grace", function()
  it("is a duration", function()
    local dir = real.folder()
    expect(real.shell(dir, "$flowrun --grace soon f.lua")).to_equal(2)
    expect(real.err(dir)):to_contain("--grace: 'soon'")
  end)
end)
