local t = require "flowrun.test"
local backoff = require "flowrun.backoff"
local options = require "flowrun.options"
local describe, it, expect = t.describe, t.it, t.expect

describe("a backoff curve", function()
  it("gives the waits of its kind", function()
    local function waits(curve)
      local list = {}
      for i = 1, 5 do list[i] = curve(i) end
      return list
    end
    expect(waits(backoff.fixed("2s"))).to_equal{2, 2, 2, 2, 2}
    expect(waits(backoff.linear(3, {cap = "10s"}))).to_equal{3, 6, 9, 10, 10}
    expect(waits(backoff.exponential("1s"))).to_equal{1, 2, 4, 8, 16}
    expect(waits(backoff.exponential("1s", {factor = 3, cap = 20}))).to_equal{1, 3, 9, 20, 20}
    expect(backoff.decorrelated(1, {cap = 9})(4)).to_equal(9)
  end)

  it("is plain data that prints well", function()
    local curve = backoff.exponential("2s", {cap = "5m"})
    expect(curve.kind).to_equal("exponential")
    expect(curve.base).to_equal(2)
    expect(tostring(curve)).to_equal("exponential(2s, factor 2, cap 5m)")
    expect(backoff.is_curve(curve)).to_be_true()
    expect(backoff.is_curve({})).to_be_false()
  end)

  it("refuses wrong arguments", function()
    expect(function() backoff.exponential("x") end).to_fail("backoff.exponential: base: 'x'")
    expect(function() backoff.linear(1, {factor = 2}) end).to_fail("unknown option 'factor'")
    expect(function() backoff.exponential(1, {factor = 0.5}) end).to_fail("at least 1")
    expect(function() backoff.exponential(1, {cap = -1}) end).to_fail("cap")
  end)
end)

describe("a time of 0", function()
  it("is refused where it would mean no limit or never", function()
    for _, name in ipairs{"timeout", "deadline", "queue_timeout"} do
      expect(function() options.check("task", "x", {[name] = "0s"}) end)
        .to_fail("option '" .. name .. "': expected a duration above 0")
    end
    expect(function() options.check("flow", "x", {timeout = 0}) end).to_fail("a duration above 0")
    expect(function() options.check("group", "x", {deadline = 0}) end).to_fail("a duration above 0")
    expect(function() options.check("task", "x", {cache = "0s"}) end).to_fail("option 'cache.expires'")
    expect(options.check("task", "x", {delay = 0, timeout = 0.001}).delay).to_equal(0)
  end)
end)

describe("the option table", function()
  it("is complete", function()
    local names = {}
    for _, row in ipairs(options.list()) do names[row.name] = names[row.name] or row end
    for name in ([[retries delay backoff jitter timeout cache fallback outputs resources params
      schedule after key tags effect durable description when trigger_rule limit priority isolate
      deadline queue_timeout retry_if infra_retries undo store executor on on_start on_success
      on_failure on_retry on_skip on_cancel cpu]]):gmatch("%S+") do
      expect(names[name] and name).to_equal(name)
    end
    for name in ([[retries delay backoff jitter timeout outputs after key tags effect durable
      fallback cpu description params retry_if infra_retries when skip_if
      trigger_rule teardown deadline fail_fast defaults schedule]]):gmatch("%S+") do
      expect(names[name].built).to_be_true()
    end
  end)

  it("documents every row in one sentence", function()
    for _, row in ipairs(options.list()) do
      expect(row.doc).to_match("%.$")
      expect(row.task or row.flow or row.with).to_be_true()
    end
  end)
end)

describe("options", function()
  it("are normalised", function()
    local key = function() end
    expect(options.check("task", "t", {retries = 3.0, delay = "2s", timeout = "1m", tags = "a",
      outputs = {"x", "y"}, resources = {cpu = 2}, effect = true, key = key, durable = "strict",
      fallback = {1}, description = "d"})).to_equal{retries = 3, delay = 2, timeout = 60,
      tags = {"a"}, outputs = {"x", "y"}, resources = {cpu = 2}, effect = true, key = key,
      durable = "strict", fallback = {1}, description = "d"}
    expect(options.check("flow", "f", nil)).to_equal{}
    local size = {["512MB"] = 512000000, ["1.5 GiB"] = 3 << 29, ["7b"] = 7, [4096] = 4096}
    for given, bytes in pairs(size) do
      expect(options.check("task", "t", {resources = {memory = given}}).resources.memory).to_equal(bytes)
    end
    expect(options.check("task", "t", {fallback = false}).fallback).to_be_false()
  end)

  local wrong = {
    {"task", {retrys = 1}, "task 'x': unknown option 'retrys'; did you mean 'retries'?"},
    {"task", {zzz = 1}, "unknown option 'zzz'; task{} knows description"},
    {"task", {after = {}}, "option 'after' belongs to with{}, not to task{}"},
    {"flow", {outputs = {"a"}}, "option 'outputs' belongs to task{}, not to flow{}"},
    {"task", {resources = {cpus = 1}}, "unknown option 'resources.cpus'; did you mean 'cpu'?"},
    {"task", {resources = {gpu = 65}}, "'resources.gpu': expected a whole number from 0 to 64"},
    {"task", {cache = "soon"}, "option 'cache': expected true, false, a duration"},
    {"task", {cache = {expire = "1h"}}, "unknown option 'cache.expire'; did you mean 'expires'?"},
    {"task", {cache = {scope = "runs"}}, "did you mean 'run'?"},
    {"task", {cache = {version = {}}}, "'cache.version': expected text or a number, got a table"},
    {"with", {cache = {key = print}}, "option 'cache.key' belongs to task{}, not to with{}"},
    {"task", {retries = -1}, "option 'retries': expected a whole number from 0 to 1000, got -1"},
    {"task", {retries = 1.5}, "expected a whole number"},
    {"task", {retries = "3"}, "got '3'"},
    {"task", {jitter = 2}, "expected a number from 0 to 1, got 2"},
    {"task", {jitter = 0 / 0}, "expected a number from 0 to 1"},
    {"task", {timeout = "5 min"}, "option 'timeout': expected a duration"},
    {"task", {timeout = "5 min"}, "did you mean 'm'?"},
    {"task", {delay = {}}, "a list of 1 to 16 durations"},
    {"task", {delay = {1, "x"}}, "item 2 is 'x'"},
    {"task", {backoff = "exponentially"}, "did you mean 'exponential'?"},
    {"task", {backoff = backoff.fixed(1), delay = 1}, "give one of them"},
    {"task", {backoff = "linear", delay = {1, 2}}, "'delay' is a list"},
    {"task", {durable = "srict"}, "one of pipelined, strict; did you mean 'strict'?, got 'srict'"},
    {"task", {tags = {"a", 1}}, "item 2 is 1"},
    {"task", {tags = {"a", "a"}}, "'a' is there twice"},
    {"task", {tags = {a = 1}}, "without gaps"},
    {"task", {outputs = {}}, "'outputs' is an empty list"},
    {"task", {outputs = {"no name"}}, "'no name' is not a name"},
    {"task", {"retries"}, "options are named, but there is 'retries' at [1]"},
    {"task", "retries", "options are a table, got 'retries'"},
    {"task", {fallback = coroutine.create(print)}, "expected a value that can cross"},
    {"task", {effect = "yes"}, "option 'effect': expected true or false, got 'yes'"},
    {"task", {isolate = true, executor = "thread"}, "'isolate' asks for a process"},
    {"task", {executor = "proces"}, "one of thread, process; did you mean 'process'?"},
    {"task", {resources = {memory = "4 apples"}}, "'resources.memory': expected a size such as"},
    {"task", {resources = {memory = 0}}, "expected a size"},
    {"with", {fallback = function() end}, "with{} of 'x': option 'fallback' cannot be a function"},
    {"with", {after = 1}, "a handle or a list of handles"},
    {"with", {after = {1}}, "item 1 is 1"},
  }
  for _, case in ipairs(wrong) do
    it("are refused: " .. case[3], function()
      expect(function() options.check(case[1], "x", case[2]) end).to_fail(case[3], "invalid")
    end)
  end

  it("name the line of the script", function()
    local _, err = pcall(options.check, "task", "x", {zzz = 1})
    expect(err.where).to_match("options_spec%.lua:%d+$")
  end)

  it("merge: what with{} sets wins", function()
    local base = options.check("task", "x", {retries = 1, backoff = backoff.exponential("2s"),
      resources = {cpu = 2}})
    local merged = options.merge(base, options.check("with", "x", {retries = 8, delay = 5}))
    expect(merged).to_equal{retries = 8, delay = 5, resources = {cpu = 2}}
    expect(base.retries).to_equal(1)
    local listed = options.check("task", "x", {delay = {1, 2}})
    local with = options.check("with", "x", {backoff = "linear"})
    expect(options.merge(listed, with).delay).to_be_nil()
  end)

  it("give a retry plan", function()
    local function plan(o) return options.retry_plan(options.check("task", "x", o)) end
    expect(plan{}).to_equal{retries = 0, jitter = 0, backoff = "fixed", base = 1}
    expect(plan{retries = 2, delay = "3s", backoff = "exponential", jitter = 0.3})
      .to_equal{retries = 2, jitter = 0.3, backoff = "exponential", base = 3, factor = 2}
    expect(plan{delay = {1, "2s"}})
      .to_equal{retries = 0, jitter = 0, backoff = "list", base = 1, list = {1, 2}}
    expect(plan{backoff = backoff.linear(2, {cap = 9})})
      .to_equal{retries = 0, jitter = 0, backoff = "linear", base = 2, cap = 9}
    expect(plan{delay = print}.fn).to_be(print)
  end)
end)
