local t = require "flowrun.test"
local frame = require "flowrun.frame"
local random = require "flowrun.random"
local describe, it, expect = t.describe, t.it, t.expect

describe("random.new", function()
  it("repeats with the seed and differs between streams", function()
    local a, b = random.new(7):normal(0, 1, 100), random.new(7):normal(0, 1, 100)
    expect(frame.hash(a)).to_be(frame.hash(b))
    expect(frame.hash(random.new(7, 1):normal(0, 1, 100))).never.to_be(frame.hash(a))
    expect(frame.hash(random.new(7, "weather"):normal(0, 1, 100)))
      .to_be(frame.hash(random.new(7, "weather"):normal(0, 1, 100)))
  end)

  it("gives numbers one by one and arrays by count, from one stream", function()
    local one, many = random.new(3), random.new(3):normal(10, 2, 5)
    for i = 1, 5 do expect(one:normal(10, 2)).to_be(many[i]) end
    expect(#random.new(1):uniform(0, 1, 0)).to_be(0)
    expect(math.type(random.new(1):binomial(10, 0.5))).to_be("integer")
  end)

  it("has the moments it should", function()
    local rng, n = random.new(11), 20000
    expect(rng:normal(60, 5, n):mean()).to_be_near(60, 0.15)
    expect(rng:normal(60, 5, n):std()).to_be_near(5, 0.1)
    expect(rng:uniform(-1, 3, n):mean()).to_be_near(1, 0.04)
    expect(rng:exponential(4, n):mean()).to_be_near(4, 0.12)
    expect(rng:poisson(2.5, n):mean()).to_be_near(2.5, 0.05)
    expect(rng:binomial(20, 0.3, n):mean()).to_be_near(6, 0.06)
  end)

  it("includes both bounds of integers", function()
    local v = random.new(5):integers(1, 6, 1000)
    expect(v:min()).to_be(1)
    expect(v:max()).to_be(6)
    expect(v:type()).to_be("int64")
  end)

  it("takes arrays and lists as parameters", function()
    local p = frame.array{0.0, 1.0, 0.0, 1.0}
    expect(random.new(1):binomial(1, p):to_table()).to_equal{0, 1, 0, 1}
    expect(random.new(1):normal({1, 100}, 0):to_table()).to_equal{1.0, 100.0}
    expect(function() random.new(1):normal({1, 2}, {1, 2, 3}) end).to_fail("3 values, 2 are")
    expect(function() random.new(1):normal({1, frame.null}, 1) end).to_fail("value 2 of the mean")
  end)

  it("draws from lists", function()
    local rng, list = random.new(2), {"a", "b", "c", "d"}
    expect(list).to_contain(rng:choice(list))
    local all = rng:choice(list, 4, {replace = false})
    table.sort(all)
    expect(all).to_equal(list)
    expect(rng:choice(list, 3, {p = {0, 0, 1, 0}})).to_equal{"c", "c", "c"}
    expect(function() rng:choice(list, 5, {replace = false}) end).to_fail("without replacement")
    local order = rng:permutation(10):to_table()
    table.sort(order)
    expect(order).to_equal{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
  end)

  it("says what is wrong", function()
    expect(function() random.new() end).to_fail("random.new(42)", "invalid")
    expect(function() random.new(1):normal(0, -1, 3) end).to_fail("standard deviation is -1")
    expect(function() random.new(1):binomial(1, 1.5, 3) end).to_fail("probability is 1.5")
    expect(function() random.new(1):binomial() end).to_fail("expected a number")
    expect(function() random.new(1):integers(1, 2.5) end).to_fail("whole number")
    expect(function() random.new(1):integers(3, 1) end).to_fail("above the second")
    expect(function() random.new(1):normal(0, 1, -1) end).to_fail("0 or more")
    expect(function() random.new(1):randint(1, 2) end).to_fail("integers(lo, hi, n)")
    expect(function() random.numpy(1):integers(1, 2) end).to_fail("randint(lo, hi, n)")
    expect(function() random.numpy(-1) end).to_fail("0 to 4294967295")
  end)
end)

describe("random.numpy", function()
  it("draws what numpy draws", function()
    local rng = random.numpy(42)                 -- np.random.seed(42)
    expect(rng:uniform()).to_be(0.3745401188473625)
    expect(rng:uniform(0, 1, 3):to_table())
      .to_equal{0.9507143064099162, 0.7319939418114051, 0.5986584841970366}
    rng = random.numpy(0)
    expect(rng:normal(0, 1, 3):to_table())
      .to_equal{1.764052345967664, 0.4001572083672233, 0.9787379841057392}
    expect(random.numpy(1):randint(1, 30, 5):to_table()).to_equal{6, 12, 13, 9, 10}
    expect(random.numpy(3):permutation(6):to_table()).to_equal{3, 5, 4, 1, 0, 2}
    rng = random.numpy(5)
    local letters = {"a", "b", "c", "d", "e", "f"}
    expect(rng:choice(letters, 4, {replace = false})).to_equal{"f", "c", "e", "b"}
    expect(rng:choice(letters, 4)).to_equal{"d", "a", "a", "e"}
    expect(rng:choice({"a", "b", "c"}, 4, {p = {0.2, 0.3, 0.5}})).to_equal{"a", "a", "c", "b"}
  end)

  -- The draws of the chapter's three tasks, in its order; tests/fixtures/make_numpy.py has the
  -- digests of numpy's own columns.
  it("makes the chapter's data", function()
    local want = {}
    for line in io.lines("tests/fixtures/numpy.txt") do
      local name, n, digest = line:match("^column (%S+) (%d+) .- (%d+)$")
      if name then want[name] = {tonumber(n), digest} end
    end
    local function check(name, values)
      local sum = 0
      for i, v in values:items() do
        local bits = math.type(v) == "integer" and v or string.unpack("<i8", string.pack("<d", v))
        sum = sum + bits * (2 * i - 1)
      end
      expect(#values).to_be(want[name][1])
      expect(string.pack("<i8", sum)).to_be(want[name][3])
    end
    for name, w in pairs(want) do
      -- Decimal text of an unsigned 64-bit number, as its bytes.
      local v = 0
      for digit in w[2]:gmatch("%d") do v = v * 10 + tonumber(digit) end
      want[name][3] = string.pack("<i8", v)
    end
    local function logistic(f)
      local p = {}
      for i = 1, 1000 do p[i] = 1 / (1 + math.exp(-f(i))) end
      return p
    end
    local rng, n = random.numpy(42), 1000
    local temp, vibration = rng:normal(60, 5, n), rng:normal(0.2, 0.05, n)
    local oil, age = rng:normal(70, 10, n), rng:randint(1, 30, n)
    local failure = rng:binomial(1, logistic(function(i)
      return 0.05 * (temp[i] - 65) + 8 * (vibration[i] - 0.25)
    end))
    local noise = rng:normal(0, 30, 720)
    local wind, trees, rainfall = rng:normal(20, 7, n), rng:uniform(0, 1, n), rng:normal(50, 15, n)
    local outage = rng:binomial(1, logistic(function(i)
      return 0.15 * (wind[i] - 25) + 2 * (trees[i] - 0.5)
    end))
    check("temp", temp)
    check("vibration", vibration)
    check("oil", oil)
    check("age", age)
    check("failure", failure)
    check("noise", noise)
    check("wind", wind)
    check("trees", trees)
    check("rainfall", rainfall)
    check("outage", outage)
  end)
end)
