-- "Per-task overhead makes small tasks impossible": 100 files take 50 s instead of 7 (P#5977), .map
-- floods the server (P#18883), 1,000 items hang (P#8770). Here a map is a few rows, not N.
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect
local scripted = dofile "tests/spec/scripted.lua"
local store = require "flowrun.store"

describe("complaint 1: 20,000 small items", function()
  it("are a few records, found one by one all the same", function()
    local s = scripted [[
      local double = fr.task("double", function(i) return 2 * i end)
      local total = fr.task("total", function(list)
        local n = 0
        for _, v in ipairs(list) do n = n + v end
        return n
      end)
      return fr.flow("f", function()
        local items = {}
        for i = 1, 20000 do items[i] = i end
        return total(double:map(items)):get()
      end)]]
    local out, code = s.run("--quiet FILE")
    expect(code).to_equal(0)
    expect(out).to_equal("400020000\n")
    local db = store.open(s.dir .. "/home", {read_only = true})
    local records, items = 0, 0
    for _ in db:journal(1) do records = records + 1 end
    expect(records < 1000).to_be_true()          -- 20,000 rows would be 20,000
    for _, task in ipairs(s.show(1).tasks) do items = items + #(task.items or {}) end
    expect(items).to_equal(20000)
  end)
end)
