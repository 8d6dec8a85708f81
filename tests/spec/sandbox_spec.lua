local t = require "flowrun.test"
local sandbox = require "flowrun.sandbox"
local describe, it, expect = t.describe, t.it, t.expect

local function run(mode, code, options)
  options = options or {}
  options.mode = mode
  local box = sandbox.new(options)
  local chunk = assert(load(code, "@body.lua", "t", box.env))
  return chunk()
end

local function keys_of(code, mode)
  return run(mode or "flow", ([[
    local keys = {}
    for k in pairs(%s) do keys[#keys + 1] = k end
    return keys]]):format(code))
end

describe("pairs in a body", function()
  it("goes by numbers, strings by bytes, booleans", function()
    expect(keys_of("{b = 1, a = 1, [true] = 1, [false] = 1, [2.5] = 1, [2] = 1, [-1] = 1, B = 1}"))
      .to_equal{-1, 2, 2.5, "B", "a", "b", false, true}
    expect(keys_of("{10, 20, 30}")).to_equal{1, 2, 3}
    expect(keys_of("{}")).to_equal{}
    expect(keys_of("{10, 20, x = 1, [0] = 1}")).to_equal{0, 1, 2, "x"}
    expect(keys_of("{['a\\0b'] = 1, ['a'] = 1, ['a\\0'] = 1}")).to_equal{"a", "a\0", "a\0b"}
  end)

  it("compares integers and doubles exactly", function()
    expect(keys_of("{[math.maxinteger] = 1, [2^63] = 1, [2^53] = 1, [2^53 + 1.5] = 1, "
      .. "[math.mininteger] = 1, [-math.huge] = 1, [math.huge] = 1, [0.5] = 1, [0] = 1}"))
      .to_equal{-math.huge, math.mininteger, 0, 0.5, 2^53, 2^53 + 1.5, math.maxinteger, 2^63,
        math.huge}
  end)

  it("is the same for the same content, whatever its history", function()
    local codes = {[[local x = {} for i = 1, 40 do x["k" .. i] = i end return x]],
      [[local x = {} for i = 90, 1, -1 do x["k" .. i] = i end
        for i = 41, 90 do x["k" .. i] = nil end return x]]}
    local seen = {}
    for i, code in ipairs(codes) do
      seen[i] = keys_of("(function() " .. code .. " end)()")
    end
    expect(#seen[1]).to_equal(40)
    expect(seen[1]).to_equal(seen[2])
  end)

  it("allows to clear and change fields on the way", function()
    expect(run("flow", [[
      local t, seen = {a = 1, b = 2, c = 3, d = 4}, ""
      for k, v in pairs(t) do
        seen = seen .. k .. v
        t[k] = nil
        t.c = nil
        if t.d then t.d = 9 end
      end
      local list, n = {1, 2, 3, 4}, 0
      for i in pairs(list) do list[i] = nil list[3] = nil n = n + 1 end
      return seen .. " " .. n]])).to_equal("a1b2d9 3")
  end)

  it("honours __pairs and refuses what is no table", function()
    expect(run("flow", [[
      local t = setmetatable({}, {__pairs = function() return function(_, k)
        if not k then return 7 end end, nil, nil end})
      for k in pairs(t) do return k end]])).to_equal(7)
    expect(function() run("flow", "pairs(nil)") end).to_fail("table expected, got nil")
    expect(function() run("flow", "pairs()") end).to_fail("bad argument #1")
  end)

  it("refuses keys without an order in a flow, takes them in a task", function()
    expect(function() keys_of("{[{}] = 1}") end).to_fail("a key is a table", "invalid")
    expect(function() keys_of("{[print] = 1}") end).to_fail("a key is a function")
    expect(#keys_of("{[{}] = 1, [{}] = 2, x = 1}", "task")).to_equal(3)
    expect(keys_of("{[{}] = 1, x = 1}", "task")[1]).to_equal("x")
  end)

  it("orders keys that have a key of their own", function()
    expect(run("flow", [[
      local mt = {__order = function(h) return h.name end}
      local function h(name) return setmetatable({name = name}, mt) end
      local t, seen = {[h "b"] = 1, [h "c"] = 2, [h "a"] = 3, x = 0, [true] = 5}, {}
      for _, v in pairs(t) do seen[#seen + 1] = v end
      return table.concat(seen, " ")]])).to_equal("0 5 3 1 2")
  end)
end)

describe("next in a body", function()
  it("goes the same way", function()
    expect(run("flow", [[
      local t, seen = {b = 1, a = 2, 5, [true] = 3}, ""
      for k, v in next, t do seen = seen .. tostring(k) .. v end
      local k = next({z = 1, y = 2})
      return seen .. " " .. k .. " " .. tostring(next({}))]])).to_equal("15a2b1true3 y nil")
  end)

  it("may be nested, interrupted and clear fields", function()
    expect(run("flow", [[
      local outer, seen = {c = 1, a = 1, b = 1}, ""
      for k in next, outer do
        for i in next, {z = 1, y = 1} do seen = seen .. k .. i .. " " end
        outer[k] = nil
      end
      return seen .. tostring(next(outer))]])).to_equal("ay az by bz cy cz nil")
  end)
end)

describe("table.sort in a body", function()
  it("is stable", function()
    expect(run("flow", [[
      local t = {}
      for i = 1, 300 do t[i] = {key = i * 7 % 10, at = i} end
      table.sort(t, function(a, b) return a.key < b.key end)
      for i = 2, #t do
        assert(t[i - 1].key < t[i].key or (t[i - 1].key == t[i].key and t[i - 1].at < t[i].at))
      end
      return #t]])).to_equal(300)
  end)

  it("sorts numbers and strings", function()
    expect(run("flow", [[
      local n, s = {}, {"b", "a", "", "ab"}
      for i = 1, 1000 do n[i] = (i * 7919) % 1009 end
      table.sort(n) table.sort(s)
      for i = 2, 1000 do assert(n[i - 1] <= n[i]) end
      return table.concat(s, ",")]])).to_equal(",a,ab,b")
    expect(run("flow", [[local t = {3, 1, 2} table.sort(t, function(a, b) return a > b end)
      return t]])).to_equal{3, 2, 1}
  end)

  it("passes errors on and leaves the table alone then", function()
    expect(run("flow", [[
      local t = {3, 1, 2}
      local ok = pcall(table.sort, t, function() error("x") end)
      return {ok, t[1], t[2], t[3]}]])).to_equal{false, 3, 1, 2}
    expect(function() run("flow", "table.sort({1, 'a'})") end).to_fail("attempt to compare")
    expect(function() run("flow", "table.sort({1, 2}, 5)") end).to_fail("function expected")
  end)
end)

describe("a flow body", function()
  local refused = {
    {"os.time()", "os.time cannot be used in a flow, which must replay exactly; use fr.now()"},
    {"os.clock()", "use fr.now()"}, {"os.getenv('HOME')", "make it a parameter"},
    {"os.date()", "os.date cannot be used"}, {"math.random()", "use fr.random()"},
    {"math.randomseed(1)", "use fr.random()"}, {"io.open('x')", "read and write files in a task"},
    {"io.lines('x')", "read files in a task"}, {"io.read()", "io.read cannot be used"},
    {"os.execute('ls')", "use fr.sh{…}"}, {"io.popen('ls')", "use fr.sh{…}"},
    {"os.exit()", "raise an error"}, {"os.remove('x')", "remove files in a task"},
    {"dofile('x')", "use require"}, {"loadfile('x')", "use require"},
    {"collectgarbage('count')", "differs from run to run"},
    {"setmetatable({}, {__gc = print})", "__gc acts when memory is collected"},
    {"setmetatable({}, {__mode = 'k'})", "__mode acts when memory is collected"},
    {"string.format('%p', {})", "%p writes an address"},
    {"string.format('%5.1p', {})", "%p writes an address"},
    {"require 'x'", "there is nothing to require"},
  }
  for _, case in ipairs(refused) do
    it("refuses " .. case[1], function()
      expect(function() run("flow", case[1]) end).to_fail(case[2], "invalid")
    end)
  end

  it("computes with times that are given", function()
    expect(run("flow", "return os.date('!%Y-%m-%d', 86400)")).to_equal("1970-01-02")
    expect(run("flow", "return os.time{year = 2000, month = 1, day = 1} > 0")).to_be_true()
    expect(run("flow", "return os.difftime(5, 3)")).to_equal(2)
  end)

  it("shows no addresses", function()
    expect(run("flow", "return tostring({})")).to_equal("table: (no address)")
    expect(run("flow", "return tostring(print)")).to_equal("function: (no address)")
    expect(run("flow", "return string.format('%s %d%%', {}, 5)")).to_equal("table: (no address) 5%")
    local body = "return tostring(setmetatable({}, {__tostring = function() return 'x' end}))"
    expect(run("flow", body))
      .to_equal("x")
    body = "return tostring(setmetatable({}, {__name = 'P'}))"
    expect(run("flow", body)).to_equal("P: (no address)")
    expect(run("task", "return tostring({})")).to_match("^table: 0x")
    expect(run("flow", "return tostring(1.5) .. tostring(nil)")).to_equal("1.5nil")
  end)

  it("stays inside its environment with load", function()
    expect(function() run("flow", "load('os.time()')()") end).to_fail("os.time cannot be used")
    expect(run("flow", "return load('return x', 'n', 't', {x = 5})()")).to_equal(5)
    expect(run("flow", "return load(string.char(27) .. 'Lua')")).to_be_nil()
  end)

  it("cannot change libraries for others", function()
    run("flow", "string.rep = nil table.insert = nil math.floor = nil")
    expect(run("flow", "return string.rep('x', 2) .. math.floor(1.5)")).to_equal("xx1")
  end)
end)

describe("the top level", function()
  it("is as pure as a flow and says so", function()
    expect(function() run("load", "os.time()") end)
      .to_fail("os.time cannot be used at the top level of a script, which only defines")
  end)
end)

describe("a task body", function()
  it("may use clocks, random numbers and files", function()
    local body = "return os.time() > 0 and math.random() < 1 and os.clock() >= 0"
    expect(run("task", body)).to_be_true()
    local path = t.temp_dir() .. "/x"
    expect(run("task", ([[local f = assert(io.open(%q, "w")) f:write("hi") f:close()
      for line in io.lines(%q) do return line end]]):format(path, path))).to_equal("hi")
  end)

  it("is pointed to fr.sh for processes", function()
    for _, code in ipairs{"os.execute('ls')", "io.popen('ls')"} do
      expect(function() run("task", code) end)
        .to_fail("cannot be used in a task; use fr.sh{…}", "invalid")
    end
    expect(function() run("task", "os.exit(1)") end).to_fail("raise an error")
  end)

  it("prints and writes where it is told", function()
    local out = {}
    run("task", "print(1, nil, 'x') io.write('a', 2) io.stdout:write('b'):write('c') "
      .. "io.stderr:write('d')",
      {write = function(text) out[#out + 1] = text end})
    expect(table.concat(out)).to_equal("1\tnil\tx\na2bcd")
  end)

  it("waits for the barrier before it writes", function()
    local seen = {}
    local options = {effect = function(what) seen[#seen + 1] = what end}
    run("task", "io.open('/nowhere/x', 'w') io.open('/nowhere/x') os.remove('/nowhere/x')", options)
    expect(seen).to_equal{"io.open", "os.remove"}
  end)

  it("can yield through gated functions", function()
    local box = sandbox.new{mode = "task"}
    local base = require "flowrun.core.sandbox"
    local gated = base.gated(box.gate, coroutine.yield, "wait", "x", "task")
    local co = coroutine.wrap(function() return gated(1) + 1 end)
    expect(co()).to_equal(1)
    expect(co(5)).to_equal(6)
  end)
end)

describe("a sealed environment", function()
  local function sealed(code)
    local box = sandbox.new{}
    assert(load("x = 1\nfunction f() return x end", "@s.lua", "t", box.env))()
    sandbox.seal(box)
    return load(code, "@s.lua", "t", box.env)
  end

  it("still reads globals", function()
    expect(sealed("return f() + x + math.floor(1.5)")()).to_equal(3)
    expect(sealed("local n = 0 for k in pairs(_G) do n = n + 1 end return n > 20")()).to_be_true()
  end)

  it("refuses to assign new and old ones with file:line", function()
    for _, code in ipairs{"\ny = 1", "\nx = 2", "\n_G.z = 1", "\nrawset(_G, 'q', 1)"} do
      local _, err = pcall(sealed(code))
      expect(err.code).to_equal("invalid")
      expect(err.message).to_match("^assigns the global '[xyzq]', but globals are fixed")
      expect(err.where).to_match("s%.lua:2$")
    end
  end)

  it("changes its mode by the gate", function()
    local box = sandbox.new{mode = "task"}
    expect(box.gate:mode()).to_equal("task")
    box.gate:mode("flow")
    expect(function() box.env.os.time() end).to_fail("in a flow")
    expect(function() box.gate:mode("x") end).to_fail("invalid option")
  end)
end)
