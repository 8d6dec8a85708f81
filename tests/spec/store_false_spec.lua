-- store = false: the result is not kept, and computed again when a run goes on.
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect
local json = require "flowrun.json"

local program = os.getenv("FLOWRUN") or "build/flowrun"
local absolute = program:sub(1, 1) == "/" and program or os.getenv("PWD") .. "/" .. program

local function read(path)
  local f = io.open(path)
  if not f then return "" end
  local text = f:read("a")
  f:close()
  return text
end

local flow = [[
local fr = require "flowrun"
local function note(word)
  local f = io.open("ran", "a")
  f:write(word, " ")
  f:close()
end
local load = fr.task("load", function() note("load") return 5 end)
local big = fr.task("big", {store = false}, function(x) note("big") return {%s} end)
local once = fr.task("once", function(v)
  note("once")
  if io.open("died") then return v[1] + #v end
  io.open("died", "w"):close()
  fr.sh("kill -9 " .. io.open("/proc/self/stat"):read("n"))
end)
return fr.flow("f", function() return once(big(load())):get() end)
]]

local function script(result)
  local s = {dir = t.temp_dir()}
  local f = assert(io.open(s.dir .. "/f.lua", "w"))
  f:write(flow:format(result))
  f:close()
  function s.run(words)
    local pipe = assert(io.popen(("cd '%s' && FLOWRUN_HOME=home '%s' %s 2>err"):format(s.dir, absolute,
      words)))
    local out = pipe:read("a")
    local _, _, code = pipe:close()
    return out, code, read(s.dir .. "/err")
  end
  s.run("--quiet f.lua")
  return s
end

describe("store = false", function()
  it("computes the result again on resume and goes on with it", function()
    local s = script("x, 1, 2")
    local out, code = s.run("resume 1 --quiet")
    expect(out).to_equal("8\n")
    expect(code).to_equal(0)
    expect(read(s.dir .. "/ran")).to_equal("load big once big once ")
    for _, task in ipairs(json.decode((s.run("show 1 --json"))).tasks) do
      if task.name == "f:big" then expect(task.result).to_be_nil() end
    end
  end)

  it("stops when the result is another one", function()
    local s = script("fr.now()")
    local _, code, err = s.run("resume 1 --quiet")
    expect(code).to_equal(1)
    expect(err).to_match("f:big %(row 2%) keeps no result %(store = false%); computed again it gave "
      .. "another result")
    expect(read(s.dir .. "/ran")).to_equal("load big once big ")
  end)

  it("cannot be cached or mapped", function()
    local s = script("x")
    local function refused(text, what)
      local f = assert(io.open(s.dir .. "/g.lua", "w"))
      f:write('local fr = require "flowrun"\n', text)
      f:close()
      expect(select(3, s.run("--quiet g.lua"))).to_match(what)
    end
    refused('fr.task("a", {store = false, cache = true}, function() end)', "no result to use again")
    refused('local a = fr.task("a", {store = false}, function() end)\n'
      .. 'return fr.flow("g", function() return a:map({1}):get() end)', "cannot be mapped.*map task:with{store = true}")
    local f = assert(io.open(s.dir .. "/h.lua", "w"))
    f:write('local fr = require "flowrun"\nlocal a = fr.task("a", {store = false}, function(i) '
      .. 'return i end)\nreturn fr.flow("h", function() return a:with{store = true}:map({7})'
      .. ':get()[1] end)')
    f:close()
    expect(s.run("--quiet h.lua")).to_equal("7\n")
  end)
end)
