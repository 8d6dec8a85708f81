-- fr.collect over the items of a running map: in the order in which they end, again after a crash.
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect
local scripted = dofile "tests/spec/scripted.lua"
local json = require "flowrun.json"

local head = [[
local frame = require "flowrun.frame"
local function there(name)
  local f = io.open(name)
  if f then f:close() end
  return f ~= nil
end
local function die_once()
  if there("died") then return end
  io.open("died", "w"):close()
  local stat = io.open("/proc/self/stat")
  local pid = stat:read("n")
  stat:close()
  fr.sh{argv = {"kill", "-9", tostring(pid)}}
end
local function say(line)
  local f = io.open("ledger", "a")
  f:write(line, "\n")
  f:close()
end
-- The first item waits until the flow has seen another.
local item = fr.task("item", function(i)
  if i == 1 then while not there("seen") do fr.sleep(0.002) end end
  if i == 3 then error("three") end
  return i * 10
end)
]]

local function result(text)
  local s = scripted(head .. text)
  local out, code, err = s.run("--quiet --json FILE")
  return out ~= "" and json.decode(out) or nil, code, s, err
end

describe("fr.collect over a map", function()
  it("gives items while others run; a failed one comes with its error and is handled", function()
    local v, code, s = result [[
      local saw = fr.task("saw", function() local f = io.open("seen", "w") f:close() end)
      return fr.flow("f", function()
        local out = {}
        for i, value, err in fr.collect(item:map{1, 2, 3}) do
          if #out == 0 then saw() end
          out[#out + 1] = i .. "=" .. (value or err.message:match("three"))
        end
        local first = out[1]
        table.sort(out)
        return {first, out}
      end)]]
    expect(code).to_equal(0)
    expect(v[1] == "2=20" or v[1] == "3=three").to_be_true()    -- item 1 waits for that
    expect(v[2]).to_equal{"1=10", "2=20", "3=three"}
    expect(s.task("item").state).to_equal("FAILED")
    expect(s.show().state).to_equal("SUCCESS")
  end)

  it("sees the same order after a crash in the middle", function()
    local s = scripted(head .. [[
      local saw = fr.task("saw", {effect = true}, function(i, order)
        say(i .. " after " .. order)
        io.open("seen", "w"):close()
        die_once()
      end)
      return fr.flow("f", function()
        local order = {}
        for i in fr.collect(item:map{1, 2, 3, 4}) do
          order[#order + 1] = i
          saw(i, table.concat(order, " ")):get()
        end
        return table.concat(order, " ")
      end)]])
    local _, code = s.run("--quiet --json FILE")
    expect(code).to_equal(137)
    local before = s.read("ledger")
    local out, again = s.run("resume 1 --quiet --json")
    expect(again).to_equal(0)
    local order = json.decode(out)
    expect(s.read("ledger"):sub(1, #before)).to_equal(before)
    expect(before:match("after (%d)")).to_equal(order:sub(1, 1))
    expect(#order).to_equal(7)
  end)

  it("raises what stopped the map as a whole", function()
    local v, code = result [[
      return fr.flow("f", function()
        local out = {}
        local ok, e = pcall(function()
          for i in fr.collect(item:with{deadline = 0.3}:map{1, 2}) do out[#out + 1] = i end
        end)
        local none = {}
        for i in fr.collect(item:map{}) do none[#none + 1] = i end
        return {out, ok, e.code, #none}
      end)]]
    expect(code).to_equal(0)
    expect(v).to_equal{{2}, false, "timeout", 0}
  end)

  it("gives frames", function()
    local v, code = result [[
      local rows = fr.task("rows", function(n) return frame.from{{"a", n == 1 and {1} or {1, 2}}} end)
      return fr.flow("f", function()
        local n = 0
        for i, df in fr.collect(rows:map{1, 2}) do n = n + 10 ^ i * #df end
        return n
      end)]]
    expect(code).to_equal(0)
    expect(v).to_equal(210)
  end)

  it("wants the handle of a map", function()
    local _, code, _, err = result [[
      return fr.flow("f", function() for i in fr.collect(item(2)) do return i end end)]]
    expect(code).to_equal(1)
    expect(err).to_contain("handle of f:item, which is no map")
  end)
end)

describe("a finished map of frames", function()
  it("has them after a crash", function()
    local s = scripted(head .. [[
      local rows = fr.task("rows", function(n) return frame.from{{"a", n == 1 and {1} or {1, 2}}} end)
      local count = fr.task("count", function(list) return #list[1] + 10 * #list[2] end)
      local die = fr.task("die", die_once)
      return fr.flow("f", function()
        local list = rows:map{1, 2}
        list:get()
        die():get()
        return {#list:get()[1] + 10 * #list:get()[2], count(list):get()}
      end)]])
    local _, code = s.run("--quiet --json FILE")
    expect(code).to_equal(137)
    local out, again = s.run("resume 1 --quiet --json")
    expect(again).to_equal(0)
    expect(json.decode(out)).to_equal{21, 21}
    expect(s.task("rows").attempt).to_equal(1)
  end)
end)
