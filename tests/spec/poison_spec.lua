-- A body that kills its process: its next attempts run alone, and in the end it is refused.
local json = require "flowrun.json"
local t = require "flowrun.test"
local scripted = require "scripted"
local testing = require "flowrun.core.testing"
local describe, it, expect = t.describe, t.it, t.expect

-- A C module whose function raises a signal on the thread that calls it, as a wild pointer does.
local crash <const> = [[
#include <lua.h>
#include <lauxlib.h>
#include <signal.h>
static int now(lua_State *L) { return raise((int)luaL_checkinteger(L, 1)); }
int luaopen_crash(lua_State *L) { lua_pushcfunction(L, now); return 1; }
]]

local flow <const> = [[
local function note(line)
  local f <close> = io.open("ledger", "a")
  f:write(line, "\n")
end
local good = fr.task("good", function(i) note("good " .. i) return i end)
local poison = fr.task("poison", function(i)
  note("poison " .. i)
  require "crash"(11)
end)
local beside = fr.task("beside", {effect = true}, function(i)
  note("beside " .. i)
  return i
end)
return fr.flow("f", function()
  local first = good(1):get()
  local bad, more = poison(7), {}
  for i = 1, 4 do more[i] = beside(i) end
  for i = 1, 4 do first = first + more[i]:get() end
  local value, err = bad:try()
  return {sum = first, value = value, code = err and err.code, message = err and err.message}
end)]]

local function has_compiler()
  return os.execute("cc --version >/dev/null 2>&1 && test -d /usr/include/lua5.4") == true
end

local function build(s)
  s.write("crash.c", crash)
  assert(os.execute(("cd '%s' && cc -shared -fPIC -I/usr/include/lua5.4 crash.c -o crash.so")
    :format(s.dir)))
  testing.setenv("LUA_CPATH", s.dir .. "/?.so")
end

describe("a body that crashes the process", function()
  if not has_compiler() then t.skip("no C compiler, or no headers of Lua") end

  it("is run alone after a crash and quarantined after the third, with the reason", function()
    local s = scripted(flow)
    build(s)
    local deaths, out, code = 0, s.run("--json FILE")
    while code ~= 0 and deaths < 10 do
      deaths = deaths + 1
      out, code = s.run("resume 1 --json")
    end
    expect(deaths).to_equal(3)
    local result = json.decode(out)
    expect(result.sum).to_equal(11)
    expect(result.code).to_equal("quarantined")
    expect(result.message).to_match("took its process down 3 times; SIGSEGV")
    expect(result.message).to_contain("rerun RUN --failed")
    expect((s.run("logs 1"))).to_contain("this took the process down; it runs alone now")
    expect(s.task("poison").state).to_equal("FAILED")
    expect(s.task("poison").reason).to_equal("quarantined")

    local times = {}
    for line in s.read("ledger"):gmatch("[^\n]+") do times[line] = (times[line] or 0) + 1 end
    expect(times["poison 7"]).to_equal(3)
    expect(times["good 1"]).to_equal(1)          -- recorded before: never again
    for i = 1, 4 do expect((times["beside " .. i] or 0) >= 1).to_be_true() end
    -- While the suspect runs, nothing else does: its later attempts follow each other, unless
    -- another suspect of the first death stood before it.
    expect(s.read("ledger")).to_match("poison 7\npoison 7\n")
  end)

  it("is tried again when somebody asks for it", function()
    local s = scripted(flow:gsub("bad:try", "bad:get"):gsub("%(11%)", "(tonumber(fr.sh('cat signal').out))"))
    build(s)
    s.write("signal", "11")
    local _, code = s.run("FILE")
    for _ = 1, 3 do
      expect(code ~= 0).to_be_true()
      _, code = s.run("resume 1")
    end
    expect(code).to_equal(1)
    expect(s.task("poison").reason).to_equal("quarantined")
    s.write("signal", "0")                       -- the cause is mended
    _, code = s.run("rerun 1 --failed")
    expect(code).to_equal(0)
    expect(s.task("poison").state).to_equal("SUCCESS")
  end)
end)
