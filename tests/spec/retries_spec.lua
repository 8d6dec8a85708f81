-- Which failures are tried again, after how long, and from which budget.
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect
local json = require "flowrun.json"
local options = require "flowrun.options"
local scripted = dofile("tests/spec/scripted.lua")

describe("retry_if", function()
  it("asks a function of the error, the attempt and the arguments", function()
    local s = scripted [[
      local shaky = fr.task("shaky", {retries = 5, delay = 0,
        retry_if = function(err, attempt, who)
          return err.code == "network" and attempt < 3 and who == "a"
        end},
        function() fr.fail{code = "network", message = "down"} end)
      return fr.flow("f", function()
        local _, a = shaky("a"):try()
        local _, b = shaky("b"):try()
        return {a.code, b.code}
      end)]]
    local out, code = s.run("--json FILE")
    expect(out).to_equal('["network","network"]\n')
    expect(code).to_equal(0)
    expect(s.task("shaky", 1).attempt).to_equal(3)
    expect(s.task("shaky", 2).attempt).to_equal(1)
  end)

  it("takes a list of codes, in with{} too, and no other failure is tried again", function()
    local s = scripted [[
      local bad = fr.task("bad", {retries = 2, delay = 0, retry_if = {"network", "io"}},
        function(code) fr.fail{code = code, message = "x"} end)
      return fr.flow("f", function()
        bad("network"):try()
        bad("quality"):try()
        bad:with{retry_if = "quality"}("quality"):try()
      end)]]
    s.run("FILE")
    expect(s.task("bad", 1).attempt).to_equal(3)
    expect(s.task("bad", 2).attempt).to_equal(1)
    expect(s.task("bad", 3).attempt).to_equal(3)
  end)

  it("decides about each item of a map, before a fallback", function()
    local s = scripted [[
      local item = fr.task("item", {retries = 3, delay = 0, fallback = function(err, i) return -i end,
        retry_if = function(err, attempt, i) return i ~= 2 end},
        function(i)
          local seen = io.open("seen" .. i)
          if seen then seen:close() return i end
          io.open("seen" .. i, "w"):close()
          error("the first time fails")
        end)
      return fr.flow("f", function() return item:map({1, 2, 3}) end)]]
    local out = s.run("--json FILE")
    expect(out).to_equal("[1,-2,3]\n")
  end)

  it("that fails ends the task and both errors are told", function()
    local s = scripted [[
      local bad = fr.task("bad", {retries = 2, delay = 0, retry_if = function() error("no idea") end},
        function() error("broken pump") end)
      return fr.flow("f", function() return bad() end)]]
    local _, code, err = s.run("FILE")
    expect(code).to_equal(1)
    expect(err).to_contain("broken pump")
    expect(err).to_contain("option 'retry_if'")
    expect(err).to_contain("no idea")
    expect(s.task("bad").attempt).to_equal(1)
  end)

  it("is refused when it is neither a function nor codes", function()
    expect(function() options.check("task", "x", {retry_if = 3}) end)
      .to_fail("option 'retry_if': expected an error code, a list of them, or a function, got 3")
    expect(function() options.check("task", "x", {retry_if = {"netwrk"}}) end)
      .to_fail("'netwrk' is none; did you mean 'network'?")
    expect(function() options.check("with", "x", {retry_if = print}) end)
      .to_fail("cannot be a function in with{}")
  end)
end)

describe("a delay function", function()
  it("is asked in a worker with the attempt and the error", function()
    local s = scripted [[
      local bad = fr.task("bad", {retries = 2,
        delay = function(attempt, err)
          local f = io.open("asked", "a")
          f:write(attempt, " ", err.message, "\n")
          f:close()
          return attempt == 1 and "0s" or 0
        end}, function() fr.fail("down") end)
      return fr.flow("f", function() bad():try() end)]]
    s.run("FILE")
    expect(s.read("asked")).to_equal("1 down\n2 down\n")
    expect(s.task("bad").attempt).to_equal(3)
  end)

  it("must return a duration", function()
    local s = scripted [[
      local bad = fr.task("bad", {retries = 2, delay = function() return "soon" end},
        function() fr.fail("down") end)
      return fr.flow("f", function() return bad() end)]]
    local _, _, err = s.run("FILE")
    expect(err).to_contain("down")
    expect(err).to_contain("must return a duration, got soon")
  end)
end)

describe("fr.fail", function()
  it("with retry = false is not tried again; its code and message stay", function()
    local s = scripted [[
      local bad = fr.task("bad", {retries = 9, delay = 0}, function(final)
        fr.fail{code = "quality", message = "nulls", retry = not final}
      end)
      return fr.flow("f", function()
        local _, e = bad(true):try()
        bad:with{retries = 1}(false):try()
        return {e.code, e.message}
      end)]]
    local out = s.run("--json FILE")
    expect(json.decode(out)).to_equal{"quality", "nulls"}
    expect(s.task("bad", 1).attempt).to_equal(1)
    expect(s.task("bad", 2).attempt).to_equal(2)
  end)
end)

describe("attempts lost with their process", function()
  it("have a budget of their own, infra_retries", function()
    local s = scripted [[
      local lost = fr.task("lost", {retries = 1, delay = 0, infra_retries = 2},
        function() fr.fail{code = "lost", message = "gone"} end)
      local once = fr.task("once", {delay = 0}, function()
        local seen = io.open("seen")
        if seen then seen:close() return "back" end
        io.open("seen", "w"):close()
        fr.fail{code = "lost", message = "gone"}
      end)
      return fr.flow("f", function()
        lost:with{infra_retries = 2}():try()
        return once()
      end)]]
    local out, code = s.run("FILE")
    expect(out).to_equal("back\n")
    expect(code).to_equal(0)
    local lost = s.task("lost")
    expect(lost.state).to_equal("FAILED")
    expect(lost.reason).to_equal("crashed")
    expect(s.task("once").attempt).to_equal(1)
  end)
end)
