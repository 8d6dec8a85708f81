-- Complaints about other orchestrators that caches and reruns answer (numbers: the list of 25).
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect
local json = require "flowrun.json"

local program = os.getenv("FLOWRUN") or "build/flowrun"
local absolute = program:sub(1, 1) == "/" and program or os.getenv("PWD") .. "/" .. program

local function script(text)
  local s = {dir = t.temp_dir()}
  function s.write(body)
    local f = assert(io.open(s.dir .. "/f.lua", "w"))
    f:write(body)
    f:close()
  end
  function s.run(words)
    local pipe = assert(io.popen(("cd '%s' && '%s' %s 2>&1"):format(s.dir, absolute,
      words:gsub("HOME", "--home home"))))
    local out = pipe:read("a")
    local _, _, code = pipe:close()
    return out, code
  end
  function s.reason(name)
    for _, task in ipairs(json.decode((s.run("show HOME --json @last"))).tasks) do
      if task.name == "f:" .. name then return task.reason end
    end
  end
  s.write(text)
  return s
end

describe("complaint 12: cache keys are unstable and expensive", function()
  local flow = [[
local fr = require "flowrun"
local frame = require "flowrun.frame"
local load = fr.task("load", function()
  local x = {}
  for i = 1, 100000 do x[i] = i % 1000 / 7 end
  return frame.from{x = x, y = x}
end)
local sum = fr.task("sum", {cache = true}, function(f, o) return f.x:sum() * o.factor end)
return fr.flow("f", function()
  return sum(load(), {factor = 2, name = "n", list = {3, 2, 1}, nested = {b = 1, a = 2}}):get()
end)]]

  it("frames and tables have the same key in every process", function()
    local s = script(flow)
    for run = 1, 4 do
      local _, code = s.run("HOME --quiet f.lua")
      expect(code).to_equal(0)
      expect(s.reason("sum") == "cached").to_equal(run > 1)
    end
  end)

  it("the parts of the key that differ are shown", function()
    local s = script(flow)
    s.run("HOME --quiet f.lua")
    s.write((flow:gsub("factor = 2", "factor = 3")))
    s.run("HOME --quiet f.lua")
    expect((s.run("show HOME @last sum --why"))).to_match("run 1: argument 2")
  end)
end)

describe("complaint 5: no rerun from a chosen or failed task", function()
  it("results are kept, so only what failed and what follows runs again", function()
    local flow = [[
local fr = require "flowrun"
local a = fr.task("a", function() return 1 end)
local b = fr.task("b", function(x) if x > 0 then error("no") end return x end)
local c = fr.task("c", function(x) return x end)
return fr.flow("f", function() return c(b(a())):get() end)]]
    local s = script(flow)
    expect(select(2, s.run("HOME --quiet f.lua"))).to_equal(1)
    s.write((flow:gsub('error%("no"%)', "x = 2")))
    local out, code = s.run("rerun HOME @last --failed --plain")
    expect(code).to_equal(0)
    expect(out).to_match("1 recorded before")
    expect((s.run("rerun HOME @last --from b --plain"))).to_match("1 recorded before")
    expect((s.run("rerun HOME @last --only a --plain"))).to_match("2 recorded before")
    expect((s.run("show HOME @last --attempts"))).to_match("b +1 +FAILED")
  end)
end)

describe("complaint 16: versions multiply though nothing has changed", function()
  it("the version of a task is a hash of the source it reaches", function()
    local flow = [[
local fr = require "flowrun"
local function helper(x) return x + 1 end
local a = fr.task("a", {cache = true}, function() return helper(1) end)
local other = fr.task("other", function() return 2 end)
return fr.flow("f", function() return a():get() + other():get() end)]]
    local s = script(flow)
    s.run("HOME --quiet f.lua")
    s.write("-- a new first line\n\n" .. flow:gsub("return 2 end", "return 3 end"))
    s.run("HOME --quiet f.lua")
    expect(s.reason("a")).to_equal("cached")
    s.write((flow:gsub("x %+ 1", "x + 2")))
    s.run("HOME --quiet f.lua")
    expect(s.reason("a")).never.to_equal("cached")
  end)
end)
