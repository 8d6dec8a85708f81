-- What a body keeps for its next attempt, and the random numbers of a call.
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect

local program = os.getenv("FLOWRUN") or "build/flowrun"
local absolute = program:sub(1, 1) == "/" and program or os.getenv("PWD") .. "/" .. program

local function script(text)
  local dir = t.temp_dir()
  local f = assert(io.open(dir .. "/f.lua", "w"))
  f:write('local fr = require "flowrun"\n' .. text)
  f:close()
  local self = {dir = dir}
  function self.run(words)
    local pipe = assert(io.popen(("cd '%s' && '%s' %s 2>err"):format(dir, absolute,
      words)))
    local out = pipe:read("a")
    local _, _, code = pipe:close()
    return out, code
  end
  function self.write(name, content)
    local file = assert(io.open(dir .. "/" .. name, "w"))
    file:write(content)
    file:close()
  end
  function self.read(name)
    local file = io.open(dir .. "/" .. name)
    return file and file:read("a") or ""
  end
  return self
end

describe("fr.checkpoint in isolated tasks", function()
  it("is given to the next attempt, frames too; each item has its own", function()
    local s = dofile "tests/spec/scripted.lua" [[
      local frame = require "flowrun.frame"
      local long = fr.task("long", {isolate = true, retries = 2, delay = 0}, function(name)
        local kept = fr.checkpoint()
        local n = kept and kept.n or 0
        local rows = kept and #kept.rows or 0
        fr.checkpoint{n = n + 1, rows = frame.from{{"x", n == 0 and {1} or {1, 2}}}}
        if n < 2 then error("not yet") end
        return name .. n .. rows
      end)
      return fr.flow("f", function()
        local one = long("one ")
        return {one:get(), table.concat(long:map{"a", "b"}:get(), " ")}
      end)]]
    local out, code = s.run("--quiet --json FILE")
    expect(code).to_equal(0)
    expect(out:gsub("%s", "")).to_equal('["one22","a22b22"]')
  end)
end)

describe("fr.checkpoint", function()
  it("is not given to work on other data: a rerun that computes what came before anew", function()
    local s = script [[
      local function there(name)
        local f = io.open(name)
        if f then f:close() end
        return f ~= nil
      end
      local load = fr.task("load", function() return there("new") and "new" or "old" end)
      local function work(x)
        local kept = fr.checkpoint() or "nothing"
        fr.checkpoint("of " .. x)
        if not there("ok") then error("not yet") end
        return x .. " after " .. kept
      end
      local fit = fr.task("fit", work)
      local each = fr.task("each", function(_, x) return work(x) end)
      return fr.flow("f", function()
        local data = load()
        local a, b = fit(data), each:map({1}, data)
        return a:get() .. ", " .. b:get()[1]
      end)]]
    expect(select(2, s.run("--home home --quiet f.lua"))).to_equal(1)
    s.write("ok", "")
    s.write("new", "")
    expect((s.run("rerun 1 --from load --home home --quiet")))
      .to_equal("new after nothing, new after nothing\n")
  end)

  it("gives a retry what the failed attempt kept last, however quick it was", function()
    local s = script [[
      local sum = fr.task("sum", {retries = 5, delay = 0}, function(n)
        local at = fr.checkpoint() or {i = 0, sum = 0}
        for i = at.i + 1, n do
          fr.checkpoint{i = i, sum = at.sum + i}
          at = fr.checkpoint()
          if i % 40 == 0 then error("again") end
        end
        return at.sum
      end)
      local other = fr.task("other", function() return fr.checkpoint() == nil end)
      return fr.flow("f", function() return {sum(100):get(), other():get()} end)]]
    local out, code = s.run("--home home --quiet f.lua")
    expect(code).to_equal(0)
    expect(out).to_contain("5050")
    expect(out).to_contain("true")
  end)

  it("is there after a crash, for a call and for each item of a map", function()
    local s = script [[
      local function work(name, steps)
        local at = fr.checkpoint() or 0
        for i = at + 1, steps do
          local f = io.open("ledger", "a")
          f:write(name, " ", i, "\n")
          f:close()
          fr.checkpoint(i)
        end
        return at
      end
      local call = fr.task("call", function() return work("call", 3) end)
      local item = fr.task("item", {retries = 1, delay = 0}, function(x)
        local at = work("item" .. x, x)
        if x == 2 and not io.open("failed") then
          io.open("failed", "w"):close()
          error("once")
        end
        return at
      end)
      local die = fr.task("die", {effect = true}, function()
        if io.open("died") then return true end
        io.open("died", "w"):close()
        fr.sh{argv = {"/bin/sh", "-c", "kill -9 " .. io.open("pid"):read("a")}}
      end)
      local keep = fr.task("keep", function()
        local at = fr.checkpoint()
        if at then return at end
        fr.checkpoint("kept before the crash")
        io.open("keeping", "w"):close()
        fr.sleep(600)
      end)
      local see = fr.task("see", function()          -- that `keep` has got there
        while not io.open("keeping") do fr.sleep(0.01) end
        return true
      end)
      return fr.flow("f", function()
        local kept = keep()
        local first, items = call():get(), item:map{1, 2, 3}:get()
        see():get()
        see():get()                                  -- by now the engine knows what was kept
        die():get()
        return {kept:get(), first, items[2]}
      end)]]
    local go = assert(io.open(s.dir .. "/go.sh", "w"))
    go:write('echo $$ > pid\nexec "$@"\n')
    go:close()
    os.execute(("cd '%s' && sh go.sh '%s' --home home --quiet f.lua >out 2>err"):format(s.dir, absolute))
    local out, code = s.run("resume 1 --home home --quiet")
    expect(code).to_equal(0)
    expect(out).to_contain("kept before the crash")
    local json = require "flowrun.json"
    expect(json.decode(out)).to_equal{"kept before the crash", 0, 2}   -- item 2 began again at 2
    local times = {}
    for line in s.read("ledger"):gmatch("[^\n]+") do times[line] = (times[line] or 0) + 1 end
    expect(times["item2 2"]).to_equal(1)
    expect(times["call 3"]).to_equal(1)
  end)

  it("refuses what cannot cross, and works only in task bodies", function()
    local s = script [[
      local bad = fr.task("bad", function() fr.checkpoint(print) end)
      return fr.flow("f", function() return bad():get() end)]]
    local _, code = s.run("--home home --quiet f.lua")
    expect(code).to_equal(1)
    expect(s.read("err")).to_contain("checkpoint is a function")
    s = script [[return fr.flow("f", function() fr.checkpoint(1) end)]]
    s.run("--home home --quiet f.lua")
    expect(s.read("err")).to_contain("fr.checkpoint works only in the body of a task")
  end)
end)

describe("fr.task_random", function()
  it("repeats in every attempt of a call and differs between calls", function()
    local s = script [[
      local draw = fr.task("draw", {retries = 1, delay = 0}, function(i)
        local r = fr.task_random()
        local v = r:integers(1, 1000000000, 1)[1]
        local f = io.open("draws", "a")
        f:write(i, " ", v, "\n")
        f:close()
        if not io.open("seen" .. i) then
          io.open("seen" .. i, "w"):close()
          error("once")
        end
        return v
      end)
      return fr.flow("f", function() return {draw(1):get(), draw(2):get()} end)]]
    local _, code = s.run("--home home --quiet f.lua")
    expect(code).to_equal(0)
    local seen = {}
    for i, v in s.read("draws"):gmatch("(%d) (%d+)") do
      expect(seen[i] or v).to_equal(v)
      seen[i] = v
    end
    expect(seen["1"] ~= seen["2"]).to_be_true()
  end)
end)
