-- What a flow returns: handles in it count by their values.
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect

local program = os.getenv("FLOWRUN") or "build/flowrun"

local function run(body)
  local folder = t.temp_dir()
  local file = assert(io.open(folder .. "/f.lua", "w"))
  file:write([[
    local fr = require "flowrun"
    local one = fr.task("one", function(n) return n + 1 end)
    local bad = fr.task("bad", function() error("no luck") end)
    local sub = fr.flow("sub", {params = {n = 1}}, function(p) return one(p.n) end)
    local main = fr.flow("main", function() ]], body, [[ end)
    return {main, sub}]])
  file:close()
  local command = "FLOWRUN_HOME='%s/home' '%s' --flow main --json '%s/f.lua' 2>'%s/errors'"
  local pipe = assert(io.popen(command:format(folder, program, folder, folder)))
  local text = pipe:read("a")
  local _, _, code = pipe:close()
  local errors = io.open(folder .. "/errors"):read("a")
  return text, code, errors
end

local json = require "flowrun.json"

describe("the result of a flow", function()
  it("may be a handle", function()
    local text, code, errors = run "return one(41)"
    expect(errors).never.to_contain("error[")
    expect(text).to_match("42%s*$")
    expect(code).to_equal(0)
  end)

  it("may hold handles at any depth, of maps and subflows too", function()
    local text = run [[
      return {first = one(1), list = {one(one(1)), 5}, map = one:map{1, 2}, sub = sub{n = 4}}]]
    expect(text:match("%b{}") ~= nil).to_be_true()
    local value = json.decode(text)
    value = value.result or value
    expect(value.first).to_equal(2)
    expect(value.list).to_equal({3, 5})
    expect(value.map).to_equal({2, 3})
    expect(value.sub).to_equal(5)
  end)

  it("fails with the task's error when a handle in it failed", function()
    local _, code, errors = run "return {one(1), bad()}"
    expect(code).to_equal(1)
    expect(errors).to_contain("no luck")
  end)
end)
