local t = require "flowrun.test"
local value = require "flowrun.core.value"
local describe, it, expect = t.describe, t.it, t.expect

local function copy(v) return value.pack(v):unpack() end

-- The exact bytes that the format prescribes, written here a second time and slowly.
local function reference(v)
  local function varint(n)
    local out = {}
    repeat
      local low = n & 127
      n = n >> 7
      out[#out + 1] = string.char(n ~= 0 and low | 128 or low)
    until n == 0
    return table.concat(out)
  end
  local kind = math.type(v) or type(v)
  if v == nil then return "\0" end
  if kind == "boolean" then return v and "\2" or "\1" end
  if kind == "integer" then return "\3" .. varint((v << 1) ~ (v >> 63 == 0 and 0 or -1)) end
  if kind == "float" then
    return "\4" .. (v ~= v and "\0\0\0\0\0\0\xf8\x7f" or string.pack("<d", v))
  end
  if kind == "string" then return "\5" .. varint(#v) .. v end
  local n, keys = 0, {}
  while v[n + 1] ~= nil do n = n + 1 end
  local parts = {"\6", varint(n)}
  for i = 1, n do parts[#parts + 1] = reference(v[i]) end
  for k in pairs(v) do
    if math.type(k) ~= "integer" or k < 1 or k > n then keys[#keys + 1] = k end
  end
  local rank = {integer = 1, float = 2, string = 3, boolean = 4}
  table.sort(keys, function(a, b)
    local x, y = rank[math.type(a) or type(a)], rank[math.type(b) or type(b)]
    if x ~= y then return x < y end
    if x == 4 then return not a and b end
    return a < b
  end)
  parts[#parts + 1] = varint(#keys)
  for _, k in ipairs(keys) do
    parts[#parts + 1] = reference(k)
    parts[#parts + 1] = reference(v[k])
  end
  return table.concat(parts)
end

describe("a packed value", function()
  it("gives scalars back exactly", function()
    for _, v in ipairs{0, 1, -1, math.maxinteger, math.mininteger, 2^53 + 0.0, 1.0, 0.1, -0.0,
                       1e308, 5e-324, math.huge, -math.huge, "", "a\0b\xff", true, false} do
      expect(copy(v)).to_be_exactly(v)
    end
    expect(copy(nil)).to_be_nil()
    expect(copy(0 / 0) ~= copy(0 / 0)).to_be_true()
    expect(copy(value.null)).to_be(value.null)
  end)

  it("has the bytes that the format prescribes", function()
    local cases = {
      {}, {1, 2, 3}, {a = 1, b = {c = {}}}, {1, 2, nil, 4}, {nil, 2}, {[0] = 1, [-5] = 2, [1] = 3},
      {[2] = "b", [1] = "a", [4] = "d"}, {[1.5] = 1, [math.huge] = 2, [1e300] = 3, x = 4},
      {[true] = 1, [false] = 2, ["true"] = 3, [1] = 4}, {aa = 1, a = 2, ["a\0"] = 3, ["\xff"] = 4},
      {math.pi, "x", {y = 0 / 0}}, {{{{}}}},
    }
    for _, case in ipairs(cases) do
      expect(value.pack(case):bytes()).to_equal(reference(case))
      expect(value.parse(value.pack(case):bytes()):unpack()).to_equal(case)
    end
  end)

  it("does not depend on the order of insertion", function()
    math.randomseed(7)
    for size = 1, 60 do
      local keys = {}
      for i = 1, size do
        keys[i] = i % 3 == 0 and i // 3 or i % 3 == 1 and "k" .. i or i + 0.5
      end
      local one, two = {}, {}
      for _, k in ipairs(keys) do one[k] = tostring(k) end
      for i = size, 2, -1 do
        local j = math.random(i)
        keys[i], keys[j] = keys[j], keys[i]
      end
      for i = 1, size do two[i + 1000] = 1 end               -- another shape inside
      for _, k in ipairs(keys) do two[k] = tostring(k) end
      for i = 1, size do two[i + 1000] = nil end
      expect(value.pack(one):bytes()).to_equal(value.pack(two):bytes())
      expect(value.pack(one):bytes()).to_equal(reference(two))
    end
  end)

  it("keeps long arrays and the array part of mixed tables", function()
    for _, n in ipairs{127, 128, 129, 1000, 16384, 20000} do
      local list = {}
      for i = n, 1, -1 do list[i] = i * 3 end                -- filled backwards: a hash part
      expect(value.pack(list):bytes()).to_equal(reference(list))
      list.name = "x"
      expect(value.pack(list):bytes()).to_equal(reference(list))
      expect(#copy(list)).to_equal(n)
    end
  end)

  it("writes shared subtables out at each place", function()
    local shared = {1}
    local got = copy{a = shared, b = shared}
    expect(got).to_equal{a = {1}, b = {1}}
    expect(rawequal(got.a, got.b)).to_be_false()
  end)

  it("counts by content", function()
    expect(value.pack{a = 1} == value.pack{a = 1}).to_be_true()
    expect(value.pack{a = 1} == value.pack{a = 1.0}).to_be_false()
    expect(value.pack(1):hash()).never.to_equal(value.pack(2):hash())
  end)

  it("keeps nils of argument lists", function()
    local list = value.pack_list("argument", 1, nil, 3, nil)
    expect(table.pack(list:unpack_list())).to_equal{1, nil, 3, nil, n = 4}
    expect(select("#", value.pack_list("argument"):unpack_list())).to_equal(0)
  end)

  it("packs errors as plain tables", function()
    local err = require("flowrun.core.error").new("io", "gone")
    expect(copy(err).code).to_equal("io")
  end)
end)

describe("what cannot cross", function()
  local f, co = function() end, coroutine.create(function() end)
  local list = {}
  list.self = {deep = list}
  local deep = {}
  for _ = 1, 100 do deep = {deep} end
  local keyed = {[f] = 1}
  local cases = {
    {{"x", {rows = {1, 2, {cb = f}}}}, "argument 2 .rows[3].cb is a function: pass the data"},
    {{f}, "argument 1 is a function"},
    {{1, co}, "argument 2 is a thread"},
    {{io.stdout}, "argument 1 is a userdata (FILE*); pass the file's path"},
    {{{["not a word"] = {[true] = f}}}, 'argument 1 ["not a word"][true] is a function'},
    {{{[2.5] = f}}, "argument 1 [2.5] is a function"},
    {{list}, "argument 1 .self.deep is the same table as argument 1, which contains it"},
    {{{list}}, "argument 1 [1].self.deep is the same table as argument 1 [1], which"},
    {{deep}, "is nested deeper than 100 tables"},
    {{{x = keyed}}, "argument 1 .x has a key that is a function; keys are numbers"},
    {{setmetatable({}, {})}, "argument 1 is a table with a metatable; pass plain data"},
    {{{setmetatable({}, {__name = "Point"})}},
      "argument 1 [1] is a table with a metatable (Point)"},
  }
  for i, case in ipairs(cases) do
    it(("is refused with its path (%d): %s"):format(i, case[2]), function()
      expect(function() value.pack_list("argument", table.unpack(case[1])) end)
        .to_fail((case[2]:gsub("function: pass", "function; pass")))
    end)
  end

  it("has a code to branch on", function()
    local _, err = pcall(value.pack, f, "result")
    expect(err.code).to_equal("type")
    expect(err.message).to_match("^result is a function")
  end)

  it("may be nested exactly 100 deep", function()
    local just = {}
    for _ = 1, 99 do just = {just} end
    expect(copy(just)).to_equal(just)
  end)

  it("cuts a long path at the front", function()
    local long = {last = f}
    for _ = 1, 20 do long = {some_long_name = long} end
    expect(function() value.pack(long) end).to_fail(".some_long_name.last is a function")
  end)

  it("is refused by the parser when bytes are damaged", function()
    expect(function() value.parse("\6\255") end).to_fail("packed value", "corrupt")
    expect(function() value.parse("") end).to_fail("packed value", "corrupt")
  end)
end)
