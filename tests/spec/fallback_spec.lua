-- Fallbacks in turn and the last good result; a degraded run says so everywhere.
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

-- bad(p) is true when the file `down` names p, or "all".
local head = [[
local fr = require "flowrun"
local function check(p)
  local f = io.open("down")
  local text = f and f:read("a") or ""
  if f then f:close() end
  if text:find("all") or text:find(tostring(p), 1, true) then error(p .. " is down") end
  return p
end
]]

local function script(text)
  local s = {dir = t.temp_dir()}
  function s.file(name, body)
    local f = assert(io.open(s.dir .. "/" .. name, "w"))
    f:write(body)
    f:close()
  end
  function s.run(words)
    local pipe = assert(io.popen(("cd '%s' && '%s' %s 2>err"):format(s.dir, absolute,
      words:gsub("HOME", "--home home"))))
    local out = pipe:read("a")
    local _, _, code = pipe:close()
    return out, code, read(s.dir .. "/err")
  end
  function s.flow(more) return s.run("HOME --quiet --json f.lua " .. (more or "")) end
  s.file("f.lua", head .. text)
  return s
end

local weather = [[
local n = 0
local backup = fr.task("backup", function(p) check("backup") return "backup of " .. p end)
local fetch = fr.task("fetch", {fallback = %s}, function(p) return check(p) .. " at " .. fr.now() end)
return fr.flow("f", {params = {p = "north"}}, function(p) return fetch(p.p):get() end)
]]

describe("fallback \"last_good\"", function()
  it("is the last successful result for the same arguments", function()
    local s = script(weather:format('"last_good"'))
    local north = s.flow()
    local south = s.flow("--p south")
    expect(south).never.to_equal(north)
    s.file("down", "all")
    local out, code = s.flow()
    expect(out).to_equal(north)
    expect(code).to_equal(0)
    expect((s.flow("--p south"))).to_equal(south)
    -- Degraded results are not good ones: it is still the first that is found.
    expect((s.flow())).to_equal(north)
    local _, failed, err = s.flow("--p west")
    expect(failed).to_equal(1)
    expect(err).to_match("west is down")
  end)

  it("is not older than max_age, and any arguments do when asked", function()
    local s = script(weather:format('{"last_good", max_age = 0.000001}'))
    s.flow()
    s.file("down", "all")
    expect(select(2, s.flow())).to_equal(1)
    s = script(weather:format('{"last_good", max_age = "1h", arguments = "any"}'))
    local north = s.flow()
    s.file("down", "all")
    expect((s.flow("--p south"))).to_equal(north)
  end)

  it("leaves out what handles stand for: that is data", function()
    local s = script [[
local load = fr.task("load", function() return fr.now() end)
local fit = fr.task("fit", {fallback = "last_good"}, function(data, kind) check("fit") return kind end)
return fr.flow("f", {params = {kind = "a"}}, function(p) return fit(load(), p.kind):get() end)]]
    expect((s.flow())).to_equal('"a"\n')
    s.file("down", "all")
    expect((s.flow())).to_equal('"a"\n')
    expect(select(2, s.flow("--kind b"))).to_equal(1)
  end)
end)

describe("fallbacks", function()
  it("are tried in turn: last good, a task, a function, a value", function()
    local s = script(weather:format('{"last_good", backup, function(err, p) '
      .. 'check("function") return "function after " .. err.message:match("%w+ is down") end, 7}'))
    s.file("down", "north")
    expect((s.flow())).to_equal('"backup of north"\n')
    s.file("down", "north backup")
    expect((s.flow())).to_equal('"function after backup is down"\n')
    s.file("down", "all")
    expect((s.flow())).to_equal("7\n")
  end)

  it("fail with the last error when all of them fail", function()
    local s = script(weather:format("backup"))
    s.file("down", "all")
    local _, code, err = s.flow()
    expect(code).to_equal(1)
    expect(err).to_match("backup is down")
  end)

  it("are used after the retries", function()
    local s = script [[
local tries = fr.task("tries", {retries = 2, delay = 0, fallback = "last_good"}, function()
  local f = io.open("tries", "a")
  f:write("x")
  f:close()
  return check("tries")
end)
return fr.flow("f", function() return tries():get() end)]]
    s.flow()
    s.file("down", "all")
    expect((s.flow())).to_equal('"tries"\n')
    expect(read(s.dir .. "/tries")).to_equal("xxxx")
  end)

  it("make the run degraded, and that is seen everywhere", function()
    local s = script(weather:format('{"last_good", 5}'))
    s.file("down", "all")
    local _, code, err = s.run("HOME --plain f.lua")
    expect(code).to_equal(0)
    expect(err).to_match("fetch .*degraded: fallback used")
    expect(err).to_match("SUCCESS %(degraded%)")
    expect(err).to_match("1 degraded")
    expect((s.run("runs HOME"))).to_match("SUCCESS %(degraded%)")
    expect(json.decode((s.run("runs HOME --json")))[1].reason).to_equal("degraded")
    local shown = json.decode((s.run("show HOME --json @last")))
    expect(shown.reason).to_equal("degraded")
    expect(shown.tasks[1].reason).to_equal("degraded")
    expect((s.run("show HOME @last"))).to_match("SUCCESS %(degraded%)")
  end)

  it("name the run that the last good result is of", function()
    local s = script(weather:format('"last_good"'))
    s.flow()
    s.file("down", "all")
    s.flow()
    local why = json.decode((s.run("show HOME --json --why @last fetch")))[1]
    expect(why.verdict).to_equal("last_good")
    expect(why.origin_run).to_equal(1)
  end)

  it("are refused with the reason", function()
    local function refused(option, text)
      local _, code, err = script(weather:format(option)).flow()
      expect(code).to_equal(3)
      expect(err).to_match(text)
    end
    refused('{"last_good", max_age = "soon"}', "max_age: a duration")
    refused('{5, "last_good"}', "a value last: item 1 always gives a result")
    refused('{"last_good", ages = 1}', "'ages' is not known")
    refused('{"last_good", arguments = "all"}', 'arguments = "same" or "any"')
    refused("{backup, coroutine.create(check)}", "item 2: a value that can cross")
    local s = script(weather:format('"last_good"'):gsub("fetch%(p.p%)", "fetch:map({p.p})"))
    expect(select(3, s.flow())).to_match("serve single calls")
  end)

  it("may still be a plain list", function()
    local s = script(weather:format("{1, 2}"))
    s.file("down", "all")
    expect((s.flow())).to_equal("[1,2]\n")
  end)
end)
