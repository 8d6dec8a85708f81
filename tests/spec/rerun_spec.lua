-- Reruns and forks of finished runs, and what is still known of earlier attempts.
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect
local json = require "flowrun.json"
local real = dofile "tests/spec/real_program.lua"
local absolute, read, write = real.program, real.read, real.write

local flow = [[
local fr = require "flowrun"
local function note(word)
  local f = io.open("ran", "a")
  f:write(word, "\n")
  f:close()
end
local load = fr.task("load", function(n) note("load") return n end)
local fit = fr.task("fit", function(x) note("fit" .. x) return x * 2 end)
local side = fr.task("side", function() note("side") return 5 end)
local report = fr.task("report", function(a, b) note("report") return a + b end)
local item = fr.task("item", function(x) note("item" .. x) return x end)
local inner = fr.flow("inner", function() return fit(side()):get() end)
local main = fr.flow("main", {params = {n = 2}}, function(p)
  local m = fit(load(p.n))
  local s = side()
  local total = report(m, s):get()
  return {total, item:map({1, 2}):get(), inner():get()}
end)
return {main = main, inner = inner}
]]

local function script(text)
  local s = {dir = t.temp_dir()}
  function s.write(body) write(s.dir .. "/f.lua", body) end
  function s.run(words)
    local pipe = assert(io.popen(("cd '%s' && '%s' %s 2>err"):format(s.dir, absolute,
      words:gsub("HOME", "--home home"))))
    local out = pipe:read("a")
    local _, _, code = pipe:close()
    return out, code, read(s.dir .. "/err")
  end
  function s.ran()
    local words = {}
    for word in read(s.dir .. "/ran"):gmatch("[^\n]+") do words[#words + 1] = word end
    os.remove(s.dir .. "/ran")
    table.sort(words)
    return words
  end
  function s.show(id) return json.decode((s.run("show HOME --json " .. (id or "@last")))) end
  s.write(text)
  local out, code = s.run("HOME --quiet --flow main f.lua")
  s.first, s.code = out, code
  s.ran()
  return s
end

local function rerun(s, words)
  local out, code, err = s.run("rerun HOME --quiet 1 " .. words)
  return code == 0 and json.decode(out) or nil, s.ran(), code, err
end

describe("rerun", function()
  it("--from a task runs it and what depends on it", function()
    local s = script(flow)
    expect(json.decode(s.first)).to_equal{9, {1, 2}, 10}
    local result, ran = rerun(s, "--from fit#1")
    expect(result).to_equal{9, {1, 2}, 10}
    expect(ran).to_equal{"fit2", "report"}
    expect(select(2, rerun(s, "--from load"))).to_equal{"fit2", "load", "report"}
  end)

  it("--from a map runs its items, --from a subflow all that is in it", function()
    local s = script(flow)
    expect(select(2, rerun(s, "--from item"))).to_equal{"item1", "item2"}
    expect(select(2, rerun(s, "--from inner"))).to_equal{"fit5", "side"}
    -- A call inside a subflow: the body around it runs again, its other calls do not.
    expect(select(2, rerun(s, "--from fit#2"))).to_equal{"fit5"}
  end)

  it("uses the code as it is now", function()
    local s = script(flow)
    s.write((flow:gsub("x %* 2", "x * 3")))
    local result, ran = rerun(s, "--from fit#1")
    expect(result).to_equal{11, {1, 2}, 10}
    expect(ran).to_equal{"fit2", "report"}
  end)

  it("--only runs nothing else", function()
    local s = script(flow)
    s.write((flow:gsub("x %* 2", "x * 3")))
    local result, ran = rerun(s, "--only fit#1")
    expect(result).to_equal{9, {1, 2}, 10}
    expect(ran).to_equal{"fit2"}
    expect(s.show(1).tasks[2].result).to_equal(6)
    -- What was left behind is made anew by the next whole rerun.
    result, ran = rerun(s, "--from item")
    expect(result).to_equal{11, {1, 2}, 10}
    expect(ran).to_equal{"item1", "item2", "report"}
  end)

  it("--param runs what gets other arguments, and a later rerun keeps it", function()
    local s = script(flow)
    local result, ran = rerun(s, "--param n=7")
    expect(result).to_equal{19, {1, 2}, 10}
    expect(ran).to_equal{"fit7", "load", "report"}
    expect((rerun(s, "--from item"))).to_equal{19, {1, 2}, 10}
    local _, _, code, err = rerun(s, "--param m=7")
    expect(code).to_equal(2)
    expect(err).to_match("%-%-m: unknown; did you mean 'n'")
  end)

  it("--from a task also runs failures that nobody handled", function()
    local s = script((flow:gsub("return a %+ b", "error('no') return a + b")))
    expect(s.code).to_equal(1)
    s.write(flow)
    local result, ran = rerun(s, "--from side#1")
    expect(result).to_equal{9, {1, 2}, 10}
    expect(ran).to_equal{"fit5", "item1", "item2", "report", "side", "side"}
  end)

  it("shows all attempts", function()
    local s = script(flow)
    rerun(s, "--from fit#1")
    rerun(s, "--only fit#1 --param n=3")
    local list = json.decode((s.run("show HOME --json 1 fit#1 --attempts")))
    local fits, reruns = 0, {}
    for _, e in ipairs(list) do
      if e.type == "rerun" then
        reruns[#reruns + 1] = e
      else
        fits = fits + 1
        expect(e.rerun).to_equal(fits - 1)
      end
    end
    expect(fits).to_equal(3)
    expect(#reruns).to_equal(2)
    expect(reruns[2].only).to_be_true()
    expect(reruns[2].params.n).to_equal(3)
    expect((s.run("show HOME 1 --attempts"))).to_match("rerun %-%-only")
  end)

  it("says what it cannot do", function()
    local s = script(flow)
    local function refused(words, text)
      local _, code, err = s.run("rerun HOME " .. words)
      expect(code).to_equal(2)
      expect(err).to_match(text)
    end
    refused("1", "say what to run again")
    refused("1 --failed", "nothing failed in it")
    refused("1 --from fit --only fit", "exclude each other")
    refused("1 --from fitt", "no task 'fitt'; did you mean 'fit'")
    refused("1 --param n", "expected name=value")
    refused("9 --from fit", "there is no run 9")
    expect(s.ran()).to_equal{}
  end)
end)

describe("fork", function()
  it("makes a run with the results before a task", function()
    local s = script(flow)
    local out = s.run("fork HOME --quiet 1 --at report")
    expect(json.decode(out)).to_equal{9, {1, 2}, 10}
    expect(s.ran()).to_equal{"fit5", "item1", "item2", "report", "side"}
    local forked = s.show(2)
    expect(forked.forked_from).to_equal(1)
    expect(forked.state).to_equal("SUCCESS")
    expect(#forked.tasks).to_equal(#s.show(1).tasks)
    expect(s.show(1).attempt).to_equal(1)
    expect((s.run("show HOME 2"))).to_match("from run 1 at report")
  end)

  it("takes new code and parameters, and what a rerun made", function()
    local s = script(flow)
    rerun(s, "--param n=7")
    s.write((flow:gsub("a %+ b", "a - b")))
    local out = s.run("fork HOME --quiet 1 --at report")
    expect(json.decode(out)).to_equal{9, {1, 2}, 10}
    expect(s.ran()).to_equal{"report"}
    out = s.run("fork HOME --quiet 1 --at report --param n=1")
    expect(json.decode(out)).to_equal{-3, {1, 2}, 10}
    expect(s.ran()).to_equal{"fit1", "load", "report"}
    out = s.run("rerun HOME --quiet 2 --from report")
    expect(json.decode(out)).to_equal{9, {1, 2}, 10}
    local _, code, err = s.run("fork HOME 1")
    expect(code).to_equal(2)
    expect(err).to_match("fork 1 %-%-at TASK")
  end)
end)
