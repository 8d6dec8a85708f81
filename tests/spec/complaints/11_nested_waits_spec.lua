-- "Deadlocks with thread pools and nested submit" (P#14194, P#14143, P#13874, P#17060, P#18121): a
-- waiting parent holds the worker that its child needs. Here waiting never holds a worker.
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect
local scripted = dofile("tests/spec/scripted.lua")

describe("complaint 11: waits inside of waits", function()
  it("go on with a single worker, however deep they nest", function()
    local s = scripted [[
      local leaf = fr.task("leaf", function(x) fr.sleep(0) return x end)
      local inner = fr.flow("inner", {params = {depth = 1}}, function(p)
        return leaf(p.depth):get() + leaf(1):get()
      end)
      return fr.flow("f", function()
        local hs = {}
        for i = 1, 20 do
          hs[i] = fr.spawn(function()
            return fr.group("g", function() return inner{depth = i}:get() end):get()
          end)
        end
        local sum = 0
        for _, v in ipairs(fr.all(hs)) do sum = sum + v end
        return sum
      end)]]
    local out, code = s.run("--workers 1 FILE")
    expect(out).to_equal("230\n")
    expect(code).to_equal(0)
  end)

  it("that wait for each other are told, not waited out", function()
    local s = scripted [[
      return fr.flow("f", function()
        local a, b
        a = fr.spawn(function() return b:get() end)
        b = fr.spawn(function() return a:get() end)
        return a:get()
      end)]]
    local _, code, err = s.run("FILE")
    expect(code ~= 0).to_be_true()
    expect(err).to_contain("deadlock")
  end)
end)
