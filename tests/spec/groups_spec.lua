-- Parts of a flow as wholes: retries, timeouts, fail_fast, deadlines, defaults; maps over several
-- lists.
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect
local json = require "flowrun.json"
local options = require "flowrun.options"
local scripted = dofile("tests/spec/scripted.lua")

local function result(text)
  local s = scripted(text)
  local out, code, err = s.run("--json FILE")
  return out ~= "" and json.decode(out) or nil, code, s, err
end

-- first(name): true the first time in the script's folder.
local helpers = [[
  local function first(name)
    local f = io.open(name)
    if f then f:close() return false end
    io.open(name, "w"):close()
    return true
  end
  local count = fr.task("count", function(x)
    local f = io.open("calls", "a") f:write(x, "\n") f:close()
    return x
  end)
  local shaky = fr.task("shaky", function(x)
    if first("shaky") then error("the first time fails") end
    return x
  end)
  local stuck = fr.task("stuck", function() fr.sleep("1h") end)
]]

describe("a group", function()
  it("is tried again as a whole, in a branch of its own each time", function()
    local v, code, s = result(helpers .. [[
      return fr.flow("f", function()
        local tries = 0
        local h = fr.group("load", {retries = 1, delay = 0}, function()
          tries = tries + 1
          return {count(tries):get(), shaky(7)}
        end)
        return {h:get(), tries}
      end)]])
    expect(code).to_equal(0)
    expect(v).to_equal{{2, 7}, 2}
    expect(s.read("calls")).to_equal("1\n2\n")
    expect(s.task("load").state).to_equal("SUCCESS")
    expect(s.task("load").attempt).to_equal(2)
  end)

  it("fails when its retries are used up, and says why", function()
    local _, code, s, err = result [[
      local bad = fr.task("bad", function() error("no pump") end)
      return fr.flow("f", function()
        fr.group("g", {retries = 2, delay = 0}, function() bad() end)
      end)]]
    expect(code).to_equal(1)
    expect(err).to_contain("no pump")
    expect(s.task("g").attempt).to_equal(3)
  end)

  it("stops all of it when its timeout is over", function()
    local v, code, s = result(helpers .. [[
      return fr.flow("f", function()
        local ok, err = fr.group("g", {timeout = 0.05}, function() stuck():get() end):try()
        return {ok == nil, err.code, err.message}
      end)]])
    expect(code).to_equal(0)
    expect(v[1]).to_be_true()
    expect(v[2]).to_equal("timeout")
    expect(v[3]).to_contain("the timeout of group:g is over")
    expect(s.task("stuck").state).to_equal("STOPPED")
    expect(s.task("g").reason).to_equal("timeout")
  end)

  it("with fail_fast stops the others at the first failure", function()
    local v, _, s = result(helpers .. [[
      return fr.flow("f", function()
        local _, err = fr.group("g", {fail_fast = true}, function()
          local a, b = stuck(), shaky(1)
          return {a, b}
        end):try()
        return err.message
      end)]])
    expect(v).to_contain("the first time fails")
    expect(s.task("stuck").state).to_equal("STOPPED")
    expect(s.task("g").reason).to_equal("fail_fast")
  end)

  it("checks its options and where it is called", function()
    expect(function() options.check("group", "g", {retrys = 1}) end).to_fail("did you mean 'retries'?")
    expect(function() options.check("group", "g", {delay = print}) end)
      .to_fail("cannot be a function in a group")
    expect(function() require("flowrun").group("g", function() end) end).to_fail("body of a flow")
  end)
end)

describe("a subflow", function()
  it("is tried again and has a timeout, as its options say", function()
    local v, code, s = result(helpers .. [[
      local inner = fr.flow("inner", {retries = 1, delay = 0, params = {x = 1}},
        function(p) return shaky(p.x):get() end)
      local slow = fr.flow("slow", {timeout = 0.05}, function() stuck():get() end)
      return fr.flow("f", function()
        local _, err = slow():try()
        return {inner{x = 5}, err.code}
      end)]])
    expect(code).to_equal(0)
    expect(v).to_equal{5, "timeout"}
    expect(s.task("inner").attempt).to_equal(2)
  end)
end)

describe("fail_fast of a flow", function()
  it("fails the run at its first failure and stops what runs", function()
    local _, code, s, err = result(helpers .. [[
      return fr.flow("f", {fail_fast = true}, function()
        stuck()
        shaky(1)
      end)]])
    expect(code).to_equal(1)
    expect(err).to_contain("the first time fails")
    expect(s.task("stuck").state).to_equal("STOPPED")
    expect(s.show().state).to_equal("FAILED")
  end)
end)

describe("a deadline", function()
  it("counts from the call, waits and retries included", function()
    local v, _, s = result(helpers .. [[
      local bad = fr.task("bad", {retries = 9, delay = "1h", deadline = 0.05}, function() error("x") end)
      return fr.flow("f", function()
        local _, a = bad():try()
        local _, b = stuck:with{deadline = 0.05}():try()
        local first = stuck:with{deadline = 0.1}()
        local _, c = stuck:with{deadline = 0.05, after = {first}}():try()
        first:try()
        local _, d = stuck:with{deadline = 0.05}():try()
        return {a.code, b.code, c.code, d.message}
      end)]])
    expect({v[1], v[2], v[3]}).to_equal{"timeout", "timeout", "timeout"}
    expect(v[4]).to_contain("the deadline of f:stuck is over")
    expect(s.task("bad").reason).to_equal("deadline")
  end)
end)

describe("defaults of a flow", function()
  it("are the options of its tasks that do not say otherwise", function()
    local _, _, s = result [[
      local bad = fr.task("bad", function() error("x") end)
      local own = fr.task("own", {retries = 0}, function() error("x") end)
      return fr.flow("f", {defaults = {retries = 2, delay = 0}}, function()
        bad():try()
        own():try()
        bad:with{retries = 1}():try()
        fr.spawn(function() bad():try() end):get()
      end)]]
    expect(s.task("bad", 1).attempt).to_equal(3)
    expect(s.task("own").attempt).to_equal(1)
    expect(s.task("bad", 2).attempt).to_equal(2)
    expect(s.task("bad", 3).attempt).to_equal(3)
  end)

  it("are checked as options of a task", function()
    expect(function() options.check("flow", "f", {defaults = {retrys = 1}}) end)
      .to_fail("did you mean 'retries'?")
    expect(function() options.check("flow", "f", {defaults = {key = "x"}}) end)
      .to_fail("belongs to one call")
  end)
end)

describe("schedule", function()
  it("is data that is checked when the script loads", function()
    local o = options.check("flow", "f", {schedule = {cron = "0 6,18 * * *", tz = "UTC",
      missed = "latest"}})
    expect(o.schedule).to_equal{{cron = "0 6,18 * * *", tz = "UTC", missed = "latest"}}
    for _, case in ipairs{
      {{cron = "0 6 * *"}, "expected 5 fields"},
      {{corn = "0 6 * * *"}, "did you mean 'cron'?"},
      {{cron = "@daily", every = "1h"}, "there are 2"},
      {{cron = "@daily", tz = "Mars/North"}, "no time zone of this machine"},
      {{cron = "@daily", missed = "lastest"}, "did you mean 'latest'?"},
      {{every = 0}, "a duration above 0"},
    } do
      expect(function() options.check("flow", "f", {schedule = case[1]}) end).to_fail(case[2])
    end
  end)
end)

describe("maps over several lists", function()
  it("zip pairs items, product combines them, each item an argument", function()
    local v = result [[
      local show = fr.task("show", function(a, b, k) return a .. b .. k end)
      local letters = fr.task("letters", function() return {"a", "b"} end)
      return fr.flow("f", function()
        return {show:map(fr.zip(letters(), {1, 2}), "!"), show:map(fr.product({"a", "b"}, {1, 2}), "?")}
      end)]]
    expect(v).to_equal{{"a1!", "b2!"}, {"a1?", "a2?", "b1?", "b2?"}}
  end)

  it("refuse lists of other lengths; an empty one is skipped", function()
    local _, code, s, err = result [[
      local t = fr.task("t", function(a, b) return a + b end)
      return fr.flow("f", function()
        local e = t:map(fr.product({}, {1, 2}))
        e:get()
        return t:map(fr.zip({1, 2}, {1}))
      end)]]
    expect(code).to_equal(1)
    expect(err).to_contain("list 1 has 2 items, list 2 has 1")
    expect(s.task("t").state).to_equal("SKIPPED")
  end)

  it("work as plain calls outside of a flow", function()
    local fr = require "flowrun"
    local add = fr.task("add_for_groups_spec", function(a, b, c) return a + b + c end)
    expect(add:map(fr.zip({1, 2}, {10, 20}), 100)).to_equal{111, 122}
  end)
end)

describe("maps of maps", function()
  it("nest: the list of one is made from the results of another", function()
    local v = result [[
      local parts = fr.task("parts", function(n) local l = {} for i = 1, n do l[i] = n * 10 + i end return l end)
      local double = fr.task("double", function(x) return 2 * x end)
      return fr.flow("f", function()
        local out = {}
        for i, list in ipairs(parts:map({1, 2}):get()) do out[i] = double:map(list) end
        return out
      end)]]
    expect(v).to_equal{{22}, {42, 44}}
  end)
end)

describe("fr.collect", function()
  it("goes over handles as they end; a failure comes with its error and is handled", function()
    local v, code = result [[
      local ok = fr.task("ok", {trigger_rule = "all_done"}, function(x) return x end)
      local bad = fr.task("bad", function() error("broken") end)
      return fr.flow("f", function()
        local out, first = {}, bad()
        local second = ok:with{after = {first}}(2)
        for i, value, err in fr.collect{ok:with{after = {second}}(1), second, first} do
          out[#out + 1] = {i, value or err.message:match("broken")}
        end
        return out
      end)]]
    expect(code).to_equal(0)
    expect(v).to_equal{{3, "broken"}, {2, 2}, {1, 1}}
  end)

  it("wants a list of handles", function()
    expect(function() require("flowrun").collect("x") end).to_fail("or a list of handles")
  end)
end)
