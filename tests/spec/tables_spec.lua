-- Tables of a script that a task body changes: an error (engine.md C2).
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect
local bundle = require "flowrun.bundle"
local tables = require "flowrun.tables"

local program = os.getenv("FLOWRUN") or "build/flowrun"

local function run(text, words)
  local dir = t.temp_dir()
  local f = assert(io.open(dir .. "/f.lua", "w"))
  f:write('local fr = require "flowrun"\n' .. text)
  f:close()
  local pipe = assert(io.popen(("'%s' --home '%s/home' --quiet %s '%s/f.lua' 2>&1"):format(program, dir,
    words or "", dir)))
  local out = pipe:read("a")
  local _, _, code = pipe:close()
  return out, code
end

describe("a task that changes a table of the script", function()
  it("fails at its first call", function()
    local out, code = run [[
      local seen = {}
      local count = fr.task("count", function(x) seen[x] = true return x end)
      return fr.flow("f", function() return count(1):get() end)]]
    expect(code).to_equal(1)
    expect(out).to_contain("task 'count' changed 'seen', a table of the script")
  end)

  it("fails in an item of a map, and through a helper", function()
    local out, code = run [[
      local config = {limits = {low = 1}}
      local function raise(x) config.limits.low = config.limits.low + x end
      local count = fr.task("count", function(x) raise(x) return x end)
      return fr.flow("f", function() return #count:map{1, 2, 3}:get() end)]]
    expect(code).to_equal(1)
    expect(out).to_contain("changed 'config'")
  end)

  it("may read them, and change what it made itself", function()
    local out, code = run [[
      local config = {limits = {low = 1}}
      local count = fr.task("count", function(x)
        local mine = {config.limits.low, x}
        mine[3] = config.limits.low
        return mine[1] + mine[2] + mine[3]
      end)
      return fr.flow("f", function() return count(40):get() end)]]
    expect(code).to_equal(0)
    expect(out).to_equal("42\n")
  end)

  it("is found at a later look, too", function()
    local script = bundle.load_text([[
      local fr = require "flowrun"
      local cache = {n = 0}
      fr.task("t", function(x) if x > 1 then cache.n = x end return x end)]], "session")
    local task = script:find("t")
    local watched = tables.watch(task.fn, script)
    task.fn(1)
    expect(tables.changed(watched)).to_be_nil()
    task.fn(2)
    expect(tables.changed(watched)).to_equal("cache")
  end)

  it("is not looked for where there is no table to change", function()
    local script = bundle.load_text([[
      local fr = require "flowrun"
      local frame = require "flowrun.frame"
      local other = fr.task("other", function() end)
      fr.task("t", function(x) return frame.from{{"x", {x}}}, other end)]], "session")
    expect(tables.watch(script:find("t").fn, script)).to_be_nil()
  end)
end)
