local t = require "flowrun.test"
local bundle = require "flowrun.bundle"
local describe, it, expect = t.describe, t.it, t.expect

local function write(path, text)
  local f = assert(io.open(path, "w"))
  f:write(text)
  f:close()
end

-- A folder with the given files; returns its path.
local function folder(files)
  local dir = t.temp_dir()
  for name, text in pairs(files) do write(dir .. "/" .. name, text) end
  return dir
end

local function load_script(files, options)
  return bundle.load(folder(files) .. "/main.lua", options)
end

local head = 'local fr = require "flowrun"\n'
local tail = '\nreturn fr.flow("f", function(p) return 1 end)\n'

describe("a bundle", function()
  it("has tasks and flows by module and name", function()
    local script = load_script{
      ["main.lua"] = head .. 'local m = require "other"\nfr.task("a", function(x) return x + 1 end)'
        .. tail,
      ["other.lua"] = head .. 'return {b = fr.task("b", function() end)}',
    }
    expect(script.name).to_equal("main")
    expect(script.flow.name).to_equal("f")
    expect(script:find("a")).to_be(script.registry.tasks["main:a"])
    expect(script:find("other:b").name).to_equal("b")
    expect(script:find("main:f")).to_be(script.flow)
    expect(script:find("zzz")).to_be_nil()
    expect(script:find("a").fn(1)).to_equal(2)
  end)

  it("opens again without the disk", function()
    local dir = folder{
      ["main.lua"] = head .. [[
local other = require "other"
local limits = fr.config "limits.lua"
local text = fr.config "note.txt"
fr.task("sum", function(x) return x + other.add + limits.top + #text end)]] .. tail,
      ["other.lua"] = "return {add = 10}",
      ["limits.lua"] = "return {top = 100}",
      ["note.txt"] = "abc",
    }
    local script = bundle.load(dir .. "/main.lua")
    for _, name in ipairs{"main.lua", "other.lua", "limits.lua", "note.txt"} do
      os.remove(dir .. "/" .. name)
    end
    local again = bundle.open(script.sources, {worker = true})
    expect(again.hash).to_equal(script.hash)
    expect(again.sources).to_equal(script.sources)
    expect(again:find("sum").fn(1)).to_equal(114)
    expect(again.registry.worker).to_be_true()
    expect(again:find("sum") ~= script:find("sum")).to_be_true()
  end)

  it("is named by contents, not by place", function()
    local files = {["main.lua"] = head .. 'require "other"' .. tail, ["other.lua"] = "return 1"}
    local one, two = load_script(files), load_script(files)
    expect(one.path ~= two.path).to_be_true()
    expect(one.hash).to_equal(two.hash)
    files["other.lua"] = "return 2"
    expect(load_script(files).hash ~= one.hash).to_be_true()
    expect(#one.hash).to_equal(32)
  end)

  it("runs modules once, in the environment of the script", function()
    local script = load_script{
      ["main.lua"] = head .. [[
count = 0
local a, b = require "other", require "other"
assert(a == b and count == 1)
assert(require "flowrun" == fr)]] .. tail,
      ["other.lua"] = "count = count + 1 return {name = ..., path = select(2, ...)}",
    }
    expect(script.loaded.other.name).to_equal("other")
    expect(script.loaded.other.path).to_match("/other%.lua$")
  end)

  it("has a fresh environment each time", function()
    local script = load_script{["main.lua"] = head .. "x = {}\nfr.task('t', function() return x end)"
      .. tail}
    local again = bundle.open(script.sources)
    expect(script:find("t").fn() ~= again:find("t").fn()).to_be_true()
  end)

  it("is sealed after loading", function()
    local script = load_script{["main.lua"] = head .. [[
local function helper() leaked = 1 end
fr.task("t", function() helper() end)]] .. tail}
    expect(function() script:find("t").fn() end).to_fail("assigns the global 'leaked'", "invalid")
  end)

  it("lets bodies do what their mode allows", function()
    local script = load_script{["main.lua"] = head .. "fr.task('t', function() return os.time() end)"
      .. tail}
    expect(function() script:find("t").fn() end).to_fail("os.time cannot be used in a flow")
    script:mode("task")
    expect(script:find("t").fn() > 0).to_be_true()
    expect(bundle.open(script.sources, {worker = true}):mode("free")).to_equal("task")
  end)

  it("takes several flows", function()
    local code = head .. [[
local a = fr.flow("a", function() end)
local b = fr.flow("b", function() end)
return {a, second = b}]]
    local script = load_script{["main.lua"] = code}
    expect(script.flow).to_be_nil()
    expect(script.flows.a.name .. script.flows.b.name).to_equal("ab")
  end)

  it("requires late in a task, and tells", function()
    local seen = {}
    local dir = folder{
      ["main.lua"] = head .. "fr.task('t', function(name) return require(name) end)" .. tail,
      ["late.lua"] = "return 42",
    }
    local script = bundle.load(dir .. "/main.lua")
    local worker = bundle.open(script.sources, {worker = true,
      late = function(name, search)
        local path, text = search()
        seen = {name, path}
        return path, text
      end})
    expect(worker:find("t").fn("late")).to_equal(42)
    expect(seen).to_equal{"late", dir .. "/late.lua"}
    expect(function() script:find("t").fn("late") end).to_fail("a flow body cannot load modules")
  end)

  it("is made from text for a session", function()
    local script = bundle.load_text(head .. "fr.task('t', function() return 1 end)", "session")
    expect(script:find("t").fn()).to_equal(1)
    expect(bundle.open(script.sources, {worker = true}):find("session:t").name).to_equal("t")
  end)

  it("ends where a worker meets flow:run", function()
    local script = bundle.load_text(head .. [[
local f = fr.flow("f", function() end)
if started then f:run{} end]], "session")
    local code = script.sources:gsub("if started then f:run{} end", "f:run{}                    ")
    expect(bundle.open(code, {worker = true}):find("f").name).to_equal("f")
  end)

  it("is partly loaded when a run is started from its top level", function()
    local dir = folder{["main.lua"] = head .. [[
local f = fr.flow("f", function() end)
local g = f:run{}
error("not reached")]]}
    expect(bundle.load(dir .. "/main.lua", {partial = true}):find("f").name).to_equal("f")
  end)

  it("may begin with a BOM and a line for the shell, as Lua's own scripts", function()
    for _, before in ipairs{"\239\187\191", "#!/usr/bin/env flowrun\n", "\239\187\191#!x\n"} do
      local dir = folder{["main.lua"] = before .. head .. 'return fr.flow("f", function() end)'}
      expect(bundle.load(dir .. "/main.lua"):find("f").name).to_equal("f")
    end
    local dir = folder{["main.lua"] = "#!/usr/bin/env flowrun\nlocal x = = 1"}
    local _, err = pcall(bundle.load, dir .. "/main.lua")
    expect(err.where).to_match("main%.lua:2$")             -- lines count as they are in the file
  end)

  it("refuses damaged bytes", function()
    expect(function() bundle.open("\6\1") end).to_fail("packed value", "corrupt")
    expect(function() bundle.open(require("flowrun.core.value").pack({version = 9}):bytes()) end)
      .to_fail("made by another version", "version")
  end)
end)

describe("a script that does not load", function()
  local cases = {
    {"local x = = 1", 1, "unexpected symbol near '='\n  1 | local x = = 1"},
    {"\nlocal x = 1\nif x != 2 then end", 3, "hint: Lua writes 'not equal' as ~="},
    {"local x = 1\nx += 1", 2, "write x = x + 1"},
    {"if x = 1 then end", 1, "hint: compare with =="},
    {"local s = 'abc", 1, "hint: the closing quote is missing"},
    {"local t = {\n  a = 1\n  b = 2\n}", 3, "hint: a comma may be missing"},
    {"// comment", 1, "hint: comments begin with --"},
    {"local x = nil\nx.y = 1", 2, "attempt to index a nil value (local 'x')"},
    {"error('boom')", 1, "boom"},
    {"error({})", nil, "it raised a table"},
    {"os.time()", 1, "os.time cannot be used at the top level of a script"},
    {"require 'othr'", 1, "module 'othr' not found; did you mean 'other'?: there is no "},
    {"require(5)", 1, "expected the name of a module"},
    {"fr.task('t', {retrys = 1}, function() end)", 2, "did you mean 'retries'?"},
    {"fr.task('t', function() end)\nfr.task('t', function() end)", 3,
      "the name 't' is taken by the task defined at"},
    {"fr.config 'nothing.json'", 2, "fr.config: "},
    -- `return fr.flow(…)` is a tail call: no frame knows its line
    {"return fr.flow('f', {timout = 1}, function() end)", 2, "did you mean 'timeout'?"},
    {"\nreturn fr.flow('f', {params = {a = {type = 'strng'}}}, function() end)", 3,
      "did you mean 'string'?"},
    {"return fr.flow('f g', function() end)", 2, "fr.flow: expected a name"},
    {"return fr.flow('f')", 2, "flow 'f': expected a function last, got nothing; write fr.flow("},
    {"return fr.flow('f', function() end, {timeout = 1})", 2, "got a table behind the function"},
    {"fr.task(5, function() end)", 2, "fr.task: expected a name (letters, digits, _ and -) first, got 5"},
    {"fr.task('t', {})", 2, "task 't': expected a function last, got nothing; write fr.task(\"t\""},
    {"return 5", nil, "the script returns a number; expected a flow: end it with 'return fr.flow(\"main\""},
    {"return {}", nil, "returns an empty table"},
    {"local x = 1", nil, "the script returns nothing"},
    {"return fr.task('t', function() end)", nil, "the script returns the task 't'"},
    {"return {1}", nil, "the table it returns has a number at '1'"},
  }
  for _, case in ipairs(cases) do
    it("says where and why: " .. case[1]:gsub("\n", " ⏎ "), function()
      local code = case[1]:find("fr%.") and head .. case[1] or case[1]
      local _, err = pcall(load_script, {["main.lua"] = code, ["other.lua"] = ""})
      expect(err.code).to_equal("load")
      expect(err.message:find(case[3], 1, true) and "said" or err.message).to_equal("said")
      expect(err.message:find("^%S*main%.lua:%d")).to_be_nil()       -- said once, in `where`
      if case[2] then expect(err.where).to_match("main%.lua:" .. case[2] .. "$") end
    end)
  end

  it("because of a module says the module's line", function()
    local _, err = pcall(load_script, {["main.lua"] = "require 'other'", ["other.lua"] = "\n\nlocal"})
    expect(err.where).to_match("other%.lua:3$")
    expect(err.code).to_equal("load")
  end)

  it("because modules require each other", function()
    expect(function()
      load_script{["main.lua"] = "require 'a'", ["a.lua"] = "require 'b'", ["b.lua"] = "require 'a'"}
    end).to_fail("module 'a' requires itself, through main → a → b", "load")
  end)

  it("because it is not there", function()
    local dir = folder{["storm.lua"] = ""}
    expect(function() bundle.load(dir .. "/strom.lua") end)
      .to_fail("/strom.lua: No such file or directory; did you mean " .. dir .. "/storm.lua?", "load")
    expect(function() bundle.load(dir .. "/storm") end).to_fail("did you mean " .. dir .. "/storm.lua?")
    expect(function() bundle.load(dir) end).to_fail("is a folder, expected a script", "load")
    expect(function() bundle.load("/nowhere/at/all.lua") end).to_fail("No such file", "load")
  end)
end)

describe("a task that keeps state", function()
  local cases = {
    {"local n = 0\nfr.task('t', function()\n  n = n + 1\nend)", 4, "task 't' assigns 'n', a variable"},
    {"local n = 0\nfr.task('t', function()\n  return function() n = 1 end\nend)", 4, "assigns 'n'"},
    {"fr.task('t', function()\n  total = 1\nend)", 3, "assigns the global 'total'"},
    {"local n\nfr.task('t', {key = function() n = 1 end}, function() end)", 3,
      "task 't': option 'key' assigns 'n'"},
    {"local n = 0\nfr.flow('g', function() n = 1 end)", 3, "flow 'g' assigns 'n'"},
    {"fr.flow('g', function()\n x = 1 end)", 3, "flow 'g' assigns the global 'x'"},
  }
  for _, case in ipairs(cases) do
    it("is refused: " .. case[1]:gsub("\n", " ⏎ "), function()
      local _, err = pcall(load_script, {["main.lua"] = head .. case[1] .. tail})
      expect(err.code).to_equal("load")
      expect(err.message).to_match(case[3])
      expect(err.where).to_match("main%.lua:" .. case[2] .. "$")
    end)
  end

  it("may keep it inside a call", function()
    local script = load_script{["main.lua"] = head .. [[
fr.task("t", function()
  local n = 0
  local function add() n = n + 1 return n end
  add()
  return add()
end)]] .. tail}
    expect(script:find("t").fn()).to_equal(2)
  end)
end)

describe("a flow body with a handle as a condition", function()
  it("is refused with the place", function()
    local _, err = pcall(load_script, {["main.lua"] = head .. [[
local check = fr.task("check", function() return false end)
return fr.flow("f", function(p)
  local quality_ok = check(p)
  if quality_ok then return 1 end
end)]]})
    expect(err.message).to_equal("flow 'f': quality_ok is a handle, which is always true here; "
      .. "write quality_ok:get() for its value")
    expect(err.where).to_match("main%.lua:5$")
    expect(err.code).to_equal("load")
  end)

  it("is found for tasks of modules, subflows and branches", function()
    local codes = {
      "local h = m.check(p)\nif h then end", "local h = sub{}\nif h then end",
      "local h = fr.spawn(function() end)\nif h then end",
      "fr.spawn(function() local h = glob(p) if not h then end end)",
    }
    for _, code in ipairs(codes) do
      expect(function()
        load_script{
          ["main.lua"] = head .. [[
local m = require "m"
glob = fr.task("glob", function() end)
local sub = fr.flow("sub", function() end)
return fr.flow("f", function(p) ]] .. code .. " end)",
          ["m.lua"] = head .. "return {check = fr.task('check', function() end)}",
        }
      end).to_fail("h is a handle", "load")
    end
  end)
end)

describe("the source hash", function()
  local function hash(code, name, files)
    files = files or {}
    files["main.lua"] = head .. code .. tail
    local script = load_script(files)
    return script:source_hash(script:find(name or "t"))
  end
  local function pair(a, b, files_a, files_b)
    local one, two = {}, {}
    for k, v in pairs(files_a or {}) do one[k] = v end
    for k, v in pairs(files_b or files_a or {}) do two[k] = v end
    one["main.lua"], two["main.lua"] = head .. a .. tail, head .. b .. tail
    local x, y = load_script(one), load_script(two)
    return x:source_hash(x:find("t")), y:source_hash(y:find("t"))
  end

  local same = {
    {"fr.task('t', function(x) return x+1 end)", "\n\nfr.task('t',\n function(x) -- add\n return x + 1 end)"},
    {"local k = 5 fr.task('t', function() return k end)", "local k = 5 local z = 1 fr.task('t', function() return k end)"},
    {"fr.task('t', function() return math.floor(1) end)", "fr.task('t', {retries = 3}, function() return math.floor(1) end)"},
    {"fr.task('u', function() end)\nfr.task('t', function() end)", "fr.task('t', function() end)"},
  }
  for i, case in ipairs(same) do
    it("stays (" .. i .. ")", function()
      local a, b = pair(case[1], case[2])
      expect(a).to_equal(b)
      expect(#a).to_equal(32)
    end)
  end

  local other = {
    {"fr.task('t', function(x) return x+1 end)", "fr.task('t', function(x) return x+2 end)"},
    {"local k = 5 fr.task('t', function() return k end)", "local k = 6 fr.task('t', function() return k end)"},
    {"local function h() return 1 end fr.task('t', function() return h() end)",
      "local function h() return 2 end fr.task('t', function() return h() end)"},
    {"local m = {h = function() return 1 end} fr.task('t', function() return m.h() end)",
      "local m = {h = function() return 2 end} fr.task('t', function() return m.h() end)"},
    {"function g() return 1 end fr.task('t', function() return g() end)",
      "function g() return 2 end fr.task('t', function() return g() end)"},
    {"local function b() return 1 end local function a() return b() end fr.task('t', function() a() end)",
      "local function b() return 2 end local function a() return b() end fr.task('t', function() a() end)"},
    {"local q = {a = {1}} fr.task('t', function() return q end)", "local q = {a = {2}} fr.task('t', function() return q end)"},
    {"local f = math.floor fr.task('t', function() return f end)", "local f = math.ceil fr.task('t', function() return f end)"},
    {"local u = fr.task('u', function() return 1 end) fr.task('t', function() return u() end)",
      "local u = fr.task('u', function() return 2 end) fr.task('t', function() return u() end)"},
  }
  for i, case in ipairs(other) do
    it("changes (" .. i .. "): " .. case[2], function()
      local a, b = pair(case[1], case[2])
      expect(a ~= b).to_be_true()
    end)
  end

  it("follows modules and what they require", function()
    local code = "local m = require 'm' fr.task('t', function() return m end)"
    local files = {["m.lua"] = "local n = require 'n' return {n}", ["n.lua"] = "return {1}"}
    local a, b = pair(code, code, files, {["m.lua"] = files["m.lua"], ["n.lua"] = "return {2}"})
    expect(a ~= b).to_be_true()
    a, b = pair(code, "\n" .. code, files)
    expect(a).to_equal(b)
  end)

  it("ends for functions that refer to each other", function()
    local code = "local a, b function a() return b end function b() return a end "
      .. "fr.task('t', function() return a() end)"
    expect(hash(code)).to_equal(hash(code))
  end)

  it("shows tables that a body changed", function()
    local script = load_script{["main.lua"] = head
      .. "local memo = {} fr.task('t', function(x) memo[x] = x end) fr.task('u', function() end)" .. tail}
    local before = script:fingerprints()
    script:find("t").fn("k")
    local after = script:fingerprints()
    expect(before["main:u"]).to_equal(after["main:u"])
    expect(before["main:t"] ~= after["main:t"]).to_be_true()
  end)
end)

describe("fr.config", function()
  it("is for the top level", function()
    local script = load_script{["main.lua"] = head
      .. "fr.task('t', function() return fr.config 'x.txt' end)" .. tail, ["x.txt"] = "x"}
    script:mode("task")
    expect(function() script:find("t").fn() end).to_fail("fr.config reads at the top level", "state")
  end)

  it("gives a .lua file no globals", function()
    expect(function()
      load_script{["main.lua"] = head .. "fr.config 'c.lua'" .. tail, ["c.lua"] = "return os.time()"}
    end).to_fail("attempt to index a nil value (global 'os')", "load")
  end)
end)
