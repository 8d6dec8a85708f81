-- What lets a call run, and what becomes of calls behind one that was skipped or failed.
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect
local json = require "flowrun.json"
local options = require "flowrun.options"
local scripted = dofile("tests/spec/scripted.lua")

local function result(text)
  local s = scripted(text)
  local out, code, err = s.run("--json FILE")
  expect(err:match("lua: (.*)")).to_be_nil()
  return out ~= "" and json.decode(out) or nil, code, s, err
end

local tasks = [[
  local ok = fr.task("ok", function(x) return x or 1 end)
  local bad = fr.task("bad", function() error("broken") end)
  local skipped = fr.task("skipped", function() fr.skip("no storm today") end)
  local flag = fr.task("flag", function(x) return x end)
  local seen = fr.task("seen", function(...) return select("#", ...) end)
]]

describe("a skip", function()
  it("by fr.skip in a body gives nil, and what depends on it is skipped too", function()
    local v, code, s = result(tasks .. [[
      return fr.flow("f", function()
        local h = skipped()
        local behind = seen(h)
        local further = seen:with{after = {behind}}()
        return {h:get() == nil, h:state(), behind:state(), further:state()}
      end)]])
    expect(v[1]).to_be_true()
    expect(code).to_equal(0)
    expect(s.task("skipped").state).to_equal("SKIPPED")
    expect(s.task("skipped").reason).to_equal("itself")
    expect(s.task("skipped").error.message).to_equal("no storm today")
    expect(s.task("seen", 1).reason).to_equal("upstream_skipped")
    expect(s.task("seen", 1).error.message).to_contain("no storm today")
    expect(s.task("seen", 2).state).to_equal("SKIPPED")
  end)

  it("is no failure: it is neither tried again nor replaced by a fallback", function()
    local v, _, s = result([[
      local skip = fr.task("skip", {retries = 3, delay = 0, fallback = "f"}, function() fr.skip() end)
      return fr.flow("f", function() return {a = skip:with{retries = 4}()} end)]])
    expect(v).to_equal{}
    expect(s.task("skip").attempt).to_equal(1)
  end)

  it("can be decided by skip_if and when, about the arguments, in a worker", function()
    local v, _, s = result([[
      local even = fr.task("even", {skip_if = function(x) return x % 2 == 1 and "odd " .. x end},
        function(x) return x end)
      local odd = fr.task("odd", {when = function(x) return x % 2 == 1 end}, function(x) return x end)
      return fr.flow("f", function()
        local list = even:map({1, 2, 3, 4}):get()
        return {a = even(1), b = even(2), c = odd(1), d = odd(2), second = list[2], third = list[3]}
      end)]])
    expect(v).to_equal{b = 2, c = 1, second = 2}
    expect(s.task("even", 2).error.message).to_equal("odd 1")
    for _, item in ipairs(s.task("even", 1).items) do
      expect(item.state).to_equal(item.index % 2 == 1 and "SKIPPED" or "SUCCESS")
    end
  end)

  it("of a flow's body ends the run as SKIPPED with exit code 0", function()
    local s = scripted [[return fr.flow("f", function() fr.skip("nothing to do") end)]]
    local _, code = s.run("FILE")
    expect(code).to_equal(0)
    expect(json.decode((s.run("runs --json")))[1].state).to_equal("SKIPPED")
  end)

  it("of a subflow skips what depends on it", function()
    local v = result(tasks .. [[
      local inner = fr.flow("inner", function() fr.skip("nothing new") end)
      return fr.flow("f", function()
        local h = inner()
        local behind = seen(h)
        behind:try()
        return {h:state(), behind:state()}
      end)]])
    expect(v).to_equal{"SKIPPED", "SKIPPED"}
  end)
end)

describe("a map", function()
  it("over an empty list is skipped, and so is what depends on it", function()
    local v, _, s = result(tasks .. [[
      return fr.flow("f", function()
        local m = ok:map({})
        local behind = seen(m)
        return {#m:get(), behind:get() == nil, m:state(), behind:state()}
      end)]])
    expect(v).to_equal{0, true, "SKIPPED", "SKIPPED"}
    expect(s.task("ok").reason).to_equal("empty_map")
  end)
end)

describe("when in with{}", function()
  it("takes a handle: false or nil means skipped", function()
    local v, _, s = result(tasks .. [[
      return fr.flow("f", function()
        local yes, no = flag(true), flag(false)
        return {a = seen:with{when = yes}(1), b = seen:with{when = skipped()}(2),
                c = seen:with{when = no}(3)}
      end)]])
    expect(v).to_equal{a = 1}
    expect(s.task("seen", 2).reason).to_equal("upstream_skipped")
    expect(s.task("seen", 3).reason).to_equal("condition")
  end)

  it("takes a pure function of the arguments, which runs at the call", function()
    local v, _, s = result(tasks .. [[
      return fr.flow("f", function()
        local big = ok:with{when = function(x) return x > 10 end}
        return {a = big(5), b = big(50)}
      end)]])
    expect(v).to_equal{b = 50}
    expect(s.task("ok", 1).reason).to_equal("condition")
  end)
end)

describe("a trigger rule", function()
  it("that ran has handled the failures before it; they come as nil", function()
    local v, code, s = result(tasks .. [[
      local after = fr.task("after", {trigger_rule = "all_done"}, function(a, b)
        return {a == nil, b}
      end)
      return fr.flow("f", function() return after(bad(), ok(7)) end)]])
    expect(v).to_equal{true, 7}
    expect(code).to_equal(0)
    expect(s.task("bad").state).to_equal("FAILED")
  end)

  it("that was not met skips, and the failure stays unhandled", function()
    local _, code, s = result(tasks .. [[
      local alarm = fr.task("alarm", {trigger_rule = "one_failed"}, function() return "!" end)
      local last = fr.task("last", {trigger_rule = "all_failed"}, function() return "!" end)
      return fr.flow("f", function()
        alarm:with{after = {ok(), ok(2)}}()
        last:with{after = {ok(3), bad()}}()
      end)]])
    expect(code).to_equal(1)
    expect(s.task("alarm").state).to_equal("SKIPPED")
    expect(s.task("alarm").reason).to_equal("trigger_rule")
    expect(s.task("last").error.message).to_contain("all_failed")
  end)

  it("one_success runs as soon as one has succeeded", function()
    local v = result(tasks .. [[
      local first = fr.task("first", {trigger_rule = "one_success"}, function(a, b) return a or b end)
      local slow = fr.task("slow", function() fr.sleep(0.01) return 2 end)
      return fr.flow("f", function() return {first(bad(), ok(5)), slow()} end)]])
    expect(v).to_equal{5, 2}
  end)

  it("is one of twelve names", function()
    expect(function() options.check("task", "x", {trigger_rule = "all_sucess"}) end)
      .to_fail("did you mean 'all_success'?")
  end)
end)

describe("teardown", function()
  it("runs when its setup succeeded although the work failed; the run still fails", function()
    local _, code, s = result(tasks .. [[
      local stop = fr.task("stop", function(cluster) return "stopped " .. cluster end)
      return fr.flow("f", function()
        local cluster = ok("c1")
        local work = bad(cluster)
        stop:with{teardown = cluster, after = {work}}(cluster)
      end)]])
    expect(code).to_equal(1)
    expect(s.task("stop").state).to_equal("SUCCESS")
  end)

  it("is one call, not a map", function()
    local _, code, _, err = result(tasks .. [[
      return fr.flow("f", function() ok:with{teardown = ok(1)}:map{1, 2}:get() end)]])
    expect(code).to_equal(1)
    expect(err).to_contain("not a map: give one task the list")
  end)

  it("is skipped or fails with its setup", function()
    local _, _, s = result(tasks .. [[
      return fr.flow("f", function()
        ok:with{teardown = skipped()}(1)
        local h = bad()
        ok:with{teardown = h}(2):try()
      end)]])
    expect(s.task("ok", 1).state).to_equal("SKIPPED")
    expect(s.task("ok", 2).reason).to_equal("upstream")
  end)
end)

describe("key on a task", function()
  it("names each of its calls, from the arguments", function()
    local _, _, s = result([[
      local t = fr.task("t", {key = function(x) return "k" .. x end}, function(x) return x end)
      return fr.flow("f", function() return {t(1), t(2)} end)]])
    expect(s.task("t", 2).label or s.task("t", 2).key).to_contain("k2")
  end)
end)
