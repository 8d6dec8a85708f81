-- What the program ends with, so that scripts and schedulers can tell why a run ended.
local t = require "flowrun.test"
local scripted = require "scripted"
local describe, it, expect = t.describe, t.it, t.expect
local pty = require "flowrun.core.pty"

local program = os.getenv("FLOWRUN") or "build/flowrun"
if program:sub(1, 1) ~= "/" then program = os.getenv("PWD") .. "/" .. program end

local script <const> = [[
local hold = fr.task("hold", function()
  local pipe <close> = io.open("pipe", "a")
  if pipe then pipe:write("held\n") end
  fr.sleep(600)
end)
local late = hold:with{timeout = 0.01}
local refuse = fr.task("refuse", function(code)
  fr.fail{code = code, message = "refused", retry = false}
end)
return {
  fr.flow("good", {params = {n = {type = "integer", default = 1, min = 1}}}, function(p) return p.n end),
  fr.flow("fails", function() return refuse("parse"):get() end),
  fr.flow("task_too_late", function() return late():get() end),
  fr.flow("flow_too_late", {timeout = 0.01}, function() return hold():get() end),
  fr.flow("quality", function() return refuse("quality"):get() end),
  fr.flow("holds", function() return hold():get() end),
}]]

describe("exit codes", function()
  local function ends(words, text)
    local _, code, err = scripted(text or script).run(words)
    return code, err
  end

  it("are 0 for success and 1 for a failed flow", function()
    expect((ends("--flow good FILE"))).to_equal(0)
    expect((ends("--flow fails FILE"))).to_equal(1)
    expect((ends("--flow task_too_late FILE"))).to_equal(1)
  end)

  it("are 2 for usage and parameters, before anything runs", function()
    for _, words in ipairs{"--flow good FILE --n none", "--flow good FILE --n 0", "--flow good FILE --m 1",
      "--flow nothing FILE", "--nonsense FILE", "show", "resume 7"} do
      local s = scripted(script)
      local _, code, err = s.run(words)
      if code ~= 2 then error(("%s ended with %d: %s"):format(words, code, err)) end
      expect(#err > 0).to_be_true()
      expect(s.read("home/flowrun.db") == "" or not err:find("run 1")).to_be_true()
    end
  end)

  it("are 3 for a script that does not load, with the place", function()
    local code, err = ends("FILE", "return fr.flow('f', function() return 1 end")
    expect(code).to_equal(3)
    expect(err).to_match("f%.lua:%d")
    code, err = ends("nowhere.lua")
    expect(code).to_equal(3)
    expect(err).to_contain("nowhere.lua")
    code, err = ends("FILE", "return 7")
    expect(code).to_equal(3)
    expect(err).to_contain("flow")
    code, err = ends("FILE", "return fr.flow('f', {retreis = 3}, function() end)")
    expect(code).to_equal(3)
    expect(err).to_contain("retries")
  end)

  it("are 5 for the flow's own timeout and 6 for a quality gate", function()
    expect((ends("--flow flow_too_late FILE"))).to_equal(5)
    expect((ends("--flow quality FILE"))).to_equal(6)
  end)

  it("are 130 after Ctrl-C", function()
    local s = scripted(script)
    local terminal <close> = pty.open{"sh", "-c", ("cd '%s' && exec '%s' --home home --flow holds f.lua")
      :format(s.dir, program)}
    local said = ""
    while not said:find("hold.*running") do
      said = said .. (terminal:read(30) or error("it ended: " .. said))
    end
    terminal:write("\3")
    while terminal:read(30) do end
    expect(terminal:wait()).to_equal(130)
  end)
end)
