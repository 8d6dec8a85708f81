-- The engine through the program: results, failures, exit codes, resume, rerun, cancel.
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect
local json = require "flowrun.json"
local real = dofile "tests/spec/real_program.lua"
local read, write = real.read, real.write
local program = os.getenv("FLOWRUN") or "build/flowrun"

-- A folder with a script in it; run(words) gives stdout, exit code, stderr.
local function script(text)
  local dir = t.temp_dir()
  write(dir .. "/f.lua", 'local fr = require "flowrun"\n' .. text)
  local self = {dir = dir, file = dir .. "/f.lua"}
  function self.run(words, file)
    local command = ("cd '%s' && FLOWRUN_HOME='%s/home' '%s' %s 2>err"):format(dir, dir,
      program:sub(1, 1) == "/" and program or os.getenv("PWD") .. "/" .. program,
      words:gsub("FILE", file or "f.lua"))
    local pipe = assert(io.popen(command))
    local out = pipe:read("a")
    local _, _, code = pipe:close()
    return out, code, read(dir .. "/err")
  end
  function self.runs() return json.decode((self.run("runs --json"))) end
  function self.show(id) return json.decode((self.run("show --json " .. (id or "@last")))) end
  return self
end

local function task_named(shown, name)
  for _, task in ipairs(shown.tasks) do
    if task.name:match(":(.*)$") == name then return task end
  end
end

describe("a flow", function()
  it("passes values through tasks and prints its result", function()
    local s = script [[
      local add = fr.task("add", function(a, b) return a + b end)
      return fr.flow("f", {params = {n = 1}}, function(p)
        local nested = {add(1, 2), x = 1}
        return add(add(p.n, 10), nested[1]):get()
      end)]]
    local out, code = s.run("FILE --n 5")
    expect(out).to_equal("18\n")
    expect(code).to_equal(0)
    local run = s.runs()[1]
    expect(run.state).to_equal("SUCCESS")
    expect(run.flow).to_equal("f")
    expect(run.ended >= run.started).to_be_true()
  end)

  it("says as text what JSON cannot, at any depth", function()
    local s = script [[
      local frame = require "flowrun.frame"
      local make = fr.task("make", {outputs = {"df", "more"}}, function()
        return frame.from{{"x", {1, 2}}}, {deep = {frame.from{{"x", {3}}}}, nan = 0 / 0}
      end)
      return fr.flow("f", function()
        local df, more = make()
        return {df = df:get(), more = more:get()}
      end)]]
    local out, code = s.run("--json FILE")
    expect(code).to_equal(0)
    local result = json.decode(out)
    expect(result.df).to_contain("2 rows")
    expect(result.more.nan).to_contain("nan")
    local task = task_named(s.show(), "make")
    expect(task.result[1]).to_contain("2 rows")
    expect(task.result[2].deep[1]).to_contain("1 row")
  end)

  it("gives one handle per named output", function()
    local out = script([[
      local split = fr.task("split", {outputs = {"low", "high"}}, function(x) return x - 1, {x + 1} end)
      local sum = fr.task("sum", function(a, b) return a + b[1] end)
      return fr.flow("f", function() local l, h = split(10) return {sum(l, h), l, h} end)]]).run("--json FILE")
    expect(out).to_equal('[20,9,[11]]\n')
  end)

  it("maps in parallel, keeps the order, and shows every item", function()
    local s = script [[
      local sq = fr.task("sq", function(x, k) return x * x + k end)
      return fr.flow("f", function() return sq:map({3, 1, 2, 1}, 100) end)]]
    local out = s.run("FILE")
    expect(json.decode(out)).to_equal{109, 101, 104, 101}
    local map = task_named(s.show(), "sq")
    expect(map.count).to_equal(4)
    expect(#map.items).to_equal(4)
    local keys = {}
    for _, item in ipairs(map.items) do
      expect(item.attempt).to_equal(1)
      expect(keys[item.key]).to_be_nil()
      keys[item.key] = true
    end
  end)

  it("fails with the first cause, and says how to go on", function()
    local s = script [[
      local bad = fr.task("bad", {retries = 1, delay = 0}, function() error("no luck") end)
      local use = fr.task("use", function(x) return x end)
      return fr.flow("f", function() return use(bad()):get() end)]]
    local _, code, err = s.run("FILE")
    expect(code).to_equal(1)
    expect(err).to_contain("task bad failed (attempt 2 of 2)")
    expect(err).to_contain("no luck")
    expect(err).to_contain("rerun 1 --failed")
    local shown = s.show()
    expect(task_named(shown, "bad").attempt).to_equal(2)
    expect(task_named(shown, "use").reason).to_equal("upstream")
  end)

  it("handles failures with try, pcall and fallbacks", function()
    local out, code = script([[
      local bad = fr.task("bad", function() error("x") end)
      local with_value = fr.task("v", {fallback = {1, 2}}, function() error("x") end)
      local with_fn = fr.task("w", {fallback = function(err, a) return a .. ":" .. err.message end},
        function() error("gone", 0) end)
      return fr.flow("f", function()
        local ok, err = bad():try()
        local caught = not pcall(function() return bad():get() end)
        return {ok == nil and err.message:match("x$"), caught, with_value(), with_fn("a")}
      end)]]).run("--json FILE")
    expect(json.decode(out)).to_equal{"x", true, {1, 2}, "a:gone"}
    expect(code).to_equal(0)
  end)

  it("fails when nobody looks at a failure", function()
    local _, code = script([[
      local bad = fr.task("bad", function() error("x") end)
      return fr.flow("f", function() bad() return 1 end)]]).run("FILE")
    expect(code).to_equal(1)
  end)

  it("runs subflows and branches, and draws the same numbers for the same seed", function()
    local s = script [[
      local one = fr.task("one", function(x) return x + 1 end)
      local sub = fr.flow("sub", {params = {n = 1}}, function(p) return one(p.n):get() * 2 end)
      local main = fr.flow("main", function()
        local a = fr.spawn(function(x) return one(x):get() end, 5)
        return {sub{n = 3}:get(), a:get(), fr.random(1, 1000000), fr.uuid()}
      end)
      return {main, sub}]]
    local first = json.decode((s.run("--run-seed 7 --flow main FILE")))
    local second = json.decode((s.run("--run-seed 7 --flow main FILE")))
    expect(first[1]).to_equal(8)
    expect(first[2]).to_equal(6)
    expect(first).to_equal(second)
    expect(first[4]).to_match("^%x+%-%x+%-4%x+%-[89ab]%x+%-%x+$")
  end)
end)

describe("exit codes", function()
  local cases = {
    {"a wrong parameter", "FILE --n x", 2, "n: expected a whole number"},
    {"an unknown parameter", "FILE --m 1", 2, "did you mean 'n'"},
    {"a script that does not exist", "nothing.lua", 3, "nothing.lua"},
    {"an unknown option", "--hom x FILE", 2, "did you mean '--home'"},
  }
  for _, c in ipairs(cases) do
    it(("%s is %d"):format(c[1], c[3]), function()
      local s = script 'return fr.flow("f", {params = {n = 1}}, function(p) return p.n end)'
      local _, code, err = s.run(c[2])
      expect(code).to_equal(c[3])
      expect(err).to_contain(c[4])
    end)
  end

  it("a wrong file of parameters is 2", function()
    local s = script 'return fr.flow("f", {params = {n = 1}}, function(p) return p.n end)'
    for text, message in pairs{
      ['{"n": 7}'] = "", ['{"n": "x"}'] = "n: expected a whole number, got 'x'",
      ["[1]"] = '--params p.json: expected a JSON object as in {"name": 1}, got a list',
      ["5"] = "got a number", ['{"n": 2,'] = "--params p.json: JSON, line 1, column 9: expected a name",
    } do
      write(s.dir .. "/p.json", text)
      local out, code, err = s.run("--params p.json FILE")
      expect(code).to_equal(message == "" and 0 or 2)
      expect(out).to_equal(message == "" and "7\n" or "")
      expect(err).to_contain(message)
    end
    local _, code, err = s.run("--params none.json FILE")
    expect(code).to_equal(2)
    expect(err).to_contain("--params none.json: No such file")
    expect(select(3, s.run("FILE --params p.json"))).to_contain("write it before the script")
  end)

  it("a quality gate is 6, the flow's own timeout 5, a task's timeout 1", function()
    local s = script [[
      local gate = fr.task("gate", function() fr.fail{code = "quality", message = "bad"} end)
      local spin = fr.task("spin", function() while true do end end)
      local slow = fr.task("slow", {timeout = "50ms"}, function() while true do end end)
      return {fr.flow("q", function() return gate():get() end),
        fr.flow("own", {timeout = "50ms"}, function() return spin():get() end),
        fr.flow("task", function() return slow():get() end)}]]
    local _, code = s.run("--flow q FILE")
    expect(code).to_equal(6)
    local _, own = s.run("--flow own FILE")
    expect(own).to_equal(5)
    local _, task = s.run("--flow task FILE")
    expect(task).to_equal(1)
    expect(task_named(s.show(), "slow").reason).to_equal("timeout")
  end)
end)

describe("resume and rerun", function()
  -- The flow kills its own process once, in the middle.
  local text = [[
    local note = fr.task("note", {effect = true}, function(i)
      local f = io.open("ledger", "a")
      f:write(i, "\n")
      f:close()
      return i
    end)
    local die = fr.task("die", {effect = true}, function()
      local f = io.open("died")
      if f then f:close() return true end
      f = io.open("died", "w")
      f:close()
      fr.sh{argv = {"/bin/sh", "-c", "kill -9 " .. io.open("pid"):read("a")}}
    end)
    return fr.flow("f", function()
      local sum = 0
      for i = 1, 5 do sum = sum + note(i):get() end
      die():get()
      for i = 6, 10 do sum = sum + note(i):get() end
      return sum
    end)]]

  it("finish a killed run, running only what was not recorded", function()
    local s = script(text)
    write(s.dir .. "/go.sh", 'echo $$ > pid\nexec "$@"\n')
    local absolute = program:sub(1, 1) == "/" and program or os.getenv("PWD") .. "/" .. program
    os.execute(("cd '%s' && FLOWRUN_HOME='%s/home' sh go.sh '%s' f.lua >out 2>err"):format(s.dir, s.dir,
      absolute))
    local run = s.runs()[1]
    expect(run.state).to_equal("RUNNING")
    expect(run.alive).to_be_false()
    local out, code = s.run("resume 1")
    expect(code).to_equal(0)
    expect(out).to_equal("55\n")
    local times = {}
    for line in read(s.dir .. "/ledger"):gmatch("%d+") do times[line] = (times[line] or 0) + 1 end
    for i = 1, 10 do expect(times[tostring(i)]).to_equal(1) end
    expect(s.runs()[1].state).to_equal("SUCCESS")
    local _, again = s.run("resume 1")
    expect(again).to_equal(2)
  end)

  it("rerun --failed uses the new code and keeps what succeeded", function()
    local s = script [[
      local a = fr.task("a", function() local f = io.open("ran", "a") f:write("a") f:close() return 2 end)
      local b = fr.task("b", function(x) error("old code") end)
      return fr.flow("f", function() return b(a()):get() end)]]
    local _, code = s.run("FILE")
    expect(code).to_equal(1)
    write(s.file, (read(s.file):gsub('error%("old code"%)', "return x * 21")))
    local out, again = s.run("rerun 1 --failed")
    expect(again).to_equal(0)
    expect(out).to_equal("42\n")
    expect(read(s.dir .. "/ran")).to_equal("a")
  end)

  it("a rerun that is killed goes on with the code it brought", function()
    local s = script [[
      local a = fr.task("a", function() local f = io.open("ran", "a") f:write("a") f:close() return 2 end)
      local b = fr.task("b", {effect = true}, function(x) error("old code") end)
      return fr.flow("f", function() return b(a()):get() end)]]
    local _, code = s.run("FILE")
    expect(code).to_equal(1)
    local old = read(s.file)
    write(s.file, (old:gsub('error%("old code"%)', [[
      if io.open("died") then return x * 21 end
      io.open("died", "w"):close()
      fr.sh{argv = {"/bin/sh", "-c", "kill -9 " .. io.open("pid"):read("a")}}]])))
    write(s.dir .. "/go.sh", 'echo $$ > pid\nexec "$@"\n')
    local absolute = program:sub(1, 1) == "/" and program or os.getenv("PWD") .. "/" .. program
    os.execute(("cd '%s' && FLOWRUN_HOME='%s/home' sh go.sh '%s' rerun 1 --failed >out 2>err")
      :format(s.dir, s.dir, absolute))
    expect(s.runs()[1].state).to_equal("RUNNING")
    write(s.file, (old:gsub('error%("old code"%)', "return -1")))    -- edited while it was dead
    local out, again = s.run("resume 1")
    expect(again).to_equal(0)
    expect(out).to_equal("42\n")
    expect(read(s.dir .. "/ran")).to_equal("a")
  end)

  it("go on with the modules that bodies required before the crash", function()
    local s = script [[
      local ask = fr.task("ask", function() return require("late").value end)
      local edit = fr.task("edit", {effect = true}, function()
        if io.open("died") then return true end
        io.open("died", "w"):close()
        local f = io.open("late.lua", "w")
        f:write("return {value = 2}")
        f:close()
        fr.sh{argv = {"/bin/sh", "-c", "kill -9 " .. io.open("pid"):read("a")}}
      end)
      return fr.flow("f", function()
        local first = ask():get()
        edit():get()
        return first * 10 + ask():get()
      end)]]
    write(s.dir .. "/late.lua", "return {value = 1}")
    write(s.dir .. "/go.sh", 'echo $$ > pid\nexec "$@"\n')
    local absolute = program:sub(1, 1) == "/" and program or os.getenv("PWD") .. "/" .. program
    os.execute(("cd '%s' && FLOWRUN_HOME='%s/home' sh go.sh '%s' f.lua >out 2>err"):format(s.dir, s.dir,
      absolute))
    expect(s.runs()[1].state).to_equal("RUNNING")
    expect(read(s.dir .. "/late.lua")).to_contain("value = 2")
    local out, code = s.run("resume 1")
    expect(code).to_equal(0)
    expect(out).to_equal("11\n")
    out = s.run("FILE")                              -- another run looks at the file again
    expect(out).to_equal("22\n")
  end)

  it("refuse to go on when the recorded code would do something else", function()
    local s = script [[
      local n = fr.task("n", function(x) return x end)
      return fr.flow("f", function() return n(1):get() end)]]
    s.run("FILE")
    local _, code, err = s.run("resume 1")
    expect(code).to_equal(2)
    expect(err).to_contain("has ended")
  end)
end)

describe("graph", function()
  it("draws what a flow would call without running it", function()
    local s = script [[
      local a = fr.task("a", function() error("must not run") end)
      local b = fr.task("b", function() error("must not run") end)
      return fr.flow("f", function() local x = a() b(x, a()):get() end)]]
    local out, code = s.run("graph --format mermaid FILE")
    expect(code).to_equal(0)
    expect(out).to_contain('n0["a"]')
    expect(out).to_contain("n0 --> n2")
    expect(out).to_contain("n1 --> n2")
  end)
end)
