-- Control charts, drift detectors and online regression: the handbook's examples, river's answers
-- (tests/fixtures/make_streams.py), and that a stream in pieces is the stream.
local frame = require "flowrun.frame"
local ml = require "flowrun.ml"
local random = require "flowrun.random"
local test = require "flowrun.test"
local testing = require "flowrun.core.testing"

local describe, it, expect = test.describe, test.it, test.expect
local peer = dofile "tests/fixtures/streams.lua"

-- The rows, from 1, where a column is true.
local function alarms(said)
  local found = {}
  for i = 1, #said do
    if said.alarm[i] then found[#found + 1] = i end
  end
  return found
end

local function close(a, b, within) expect(a).to_be_near(b, within) end

describe("an EWMA chart", function()
  -- NIST/SEMATECH handbook 6.3.2.4.
  local x = {52.0, 47.0, 53.0, 49.3, 50.1, 47.0, 51.0, 50.1, 51.2, 50.5, 49.6, 47.6, 49.9, 51.3, 47.8,
    51.2, 52.6, 52.4, 53.6, 52.1}
  local z = {50.60, 49.52, 50.56, 50.18, 50.16, 49.21, 49.75, 49.85, 50.26, 50.33, 50.11, 49.36, 49.52,
    50.05, 49.38, 49.92, 50.73, 51.23, 51.94, 51.99}

  it("has the means and limits of the handbook's example", function()
    local said = ml.ewma{lambda = 0.3, asymptotic = true}:fit{mean = 50, sd = 2.0539}:update(x)
    for i = 1, #x do close(said.ewma[i], z[i], 0.0051) end
    close(said.upper[1], 52.5884, 1e-3)
    close(said.lower[20], 47.4115, 1e-3)
    expect(#alarms(said)).to_equal(0)
  end)

  it("has narrower limits at the start, by the exact variance", function()
    local said = ml.ewma{L = 2, alpha = 0.3}:fit{mean = 50, sd = 2}:update(x)
    for _, t in ipairs{1, 2, 9} do
      close(said.upper[t] - 50, 2 * 2 * (0.3 / 1.7 * (1 - 0.7 ^ (2 * t))) ^ 0.5, 1e-12)
    end
  end)

  it("takes mean and deviation from numbers in control", function()
    local a = ml.ewma{}:fit{1, 2, frame.null, 3, 6}:update{5}
    local b = ml.ewma{}:fit{mean = 3, sd = (14 / 3) ^ 0.5}:update{5}
    close(a.upper[1], b.upper[1], 1e-14)
    close(a.ewma[1], b.ewma[1], 1e-14)
  end)
end)

describe("a CUSUM chart", function()
  -- NIST/SEMATECH handbook 6.3.2.3: k = .3175, h = 4.1959, mean 325.
  local x = {324.925, 324.675, 324.725, 324.350, 325.350, 325.225, 324.125, 324.525, 325.225, 324.600,
    324.625, 325.150, 328.325, 327.250, 327.825, 328.500, 326.675, 327.775, 326.875, 328.350}
  local base = {mean = 325, sd = 0.635}

  it("has the sums and alarms of the handbook's example", function()
    local said = ml.cusum{k = 0.5, h = 4.1959 / 0.635}:fit(base):update(x)
    local up = {[5] = 0.03, [12] = 0, [13] = 3.01, [14] = 4.94, [15] = 7.45, [16] = 10.63, [17] = 11.99,
      [18] = 14.44, [19] = 16.00, [20] = 19.04}
    for i, v in pairs(up) do close(said.up[i], v, 0.0055) end
    expect(alarms(said)).to_equal{14, 15, 16, 17, 18, 19, 20}
    close(said.down[4], 0.34 + 0.0025 + 0.0075 - 0.0175 + 0.0075, 0.35)
  end)

  it("starts again after an alarm when told", function()
    local said = ml.cusum{threshold = 6, reset = true}:fit(base):update(x)
    expect(alarms(said)[1]).to_equal(14)
    close(said.up[15], 2.825 - 0.3175, 1e-9)
  end)
end)

describe("drift detectors", function()
  local x = {}
  local u = random.numpy(7):uniform(0, 1, 900)
  for i = 1, 900 do x[i] = u[i] + (i > 300 and i <= 600 and 0.4 or 0) end

  it("alarm where river's Page-Hinkley does", function()
    local up = ml.page_hinkley{min_instances = 20, delta = 0.02, threshold = 8, alpha = 0.999,
      mode = "up"}
    expect(alarms((up:update(x)))).to_equal(peer.page_up)
    expect(alarms((ml.page_hinkley{threshold = 12}:update(x)))).to_equal(peer.page_both)
    local down = ml.page_hinkley{threshold = 12, side = "down"}:update(x)
    expect(alarms(down)[1] > 600).to_be_true()
  end)

  it("keep and drop what river's ADWIN does", function()
    for name, options in pairs{adwin = {reset = true}, adwin_eager = {delta = 0.3, clock = 4,
      min_window_length = 8, grace_period = 20, reset = true}} do
      local said = ml.adwin(options):update(x)
      expect(alarms(said)).to_equal(peer[name].alarms)
      expect(said.width[900]).to_equal(peer[name].width)
      close(said.mean[900], peer[name].mean, 1e-12)
    end
  end)

  it("drop only the older part without reset: what is left differs by chance", function()
    local said = ml.adwin{}:update(x)
    local found = alarms(said)
    expect(found[1]).to_equal(peer.adwin.alarms[1])
    expect(said.width[found[1]] >= 5).to_be_true()
    -- Away from the changes the window holds one of the means.
    close(said.mean[550], 0.9, 0.06)
    close(said.mean[900], 0.5, 0.06)
    expect(said.width[300]).to_equal(300)
  end)
end)

describe("every stream model", function()
  local path = testing.temp_dir() .. "/monitor"
  local x = random.numpy(3):normal(0, 1, 500)
  local specs = {ml.ewma{}:fit{mean = 0, sd = 1}, ml.cusum{}:fit{mean = 0, sd = 1},
    ml.page_hinkley{threshold = 2}, ml.adwin{delta = 0.5}}

  it("says the same of a stream in pieces, across checkpoints and gaps", function()
    for _, spec in ipairs(specs) do
      local whole, last = spec:update(x)
      local now, at = spec, 0
      for _, n in ipairs{1, 200, 33, 266} do
        local said
        said, now = now:update(x:slice(at + 1, at + n))
        for i = 1, n, 13 do
          for _, name in ipairs(said.columns) do
            expect(said:col(name)[i]).to_equal(whole:col(name)[at + i])
          end
        end
        at = at + n
        now:save(path)
        now = ml.load(path)
        local gap, same = now:update{frame.null}
        expect(gap.alarm[1]).to_be_nil()
        expect(same == now).to_be_true()
      end
      expect(now == last).to_be_true()
      expect(last:info().rows).to_equal(500)
    end
  end)

  it("takes one number, and leaves the old model as it was", function()
    local chart = specs[2]
    local said, next_one = chart:update(9.5)
    expect(said.alarm).to_be_true()
    close(said.up, 9, 1e-12)
    expect(next_one == chart).to_be_false()
    expect(chart:update(9.5).up).to_equal(said.up)
    expect(tostring(chart):find("CUSUM chart") ~= nil).to_be_true()
  end)

  it("says what it cannot", function()
    expect(function() ml.ewma{}:update{1} end).to_fail("fit it first")
    expect(function() ml.cusum{}:fit{1, 1} end).to_fail("two different numbers")
    expect(function() ml.cusum{}:fit{mean = 1} end).to_fail("sd must be a number")
    expect(function() ml.cusum{}:fit{mean = 1, sd = 0} end).to_fail("positive standard deviation")
    expect(function() ml.adwin{}:update{1, 2, math.huge} end).to_fail("number 3 is infinite")
    expect(function() ml.adwin{detla = 1} end).to_fail("did you mean 'delta'")
    local two = frame.from{{"a", {1}}, {"b", {2}}}
    expect(function() ml.adwin{}:update(two) end).to_fail("watches one column, the frame has 2")
    expect(function() ml.linear{}:fit(two, "b"):update(two) end).to_fail("does not learn from streams")
  end)
end)

describe("online logistic regression", function()
  local a, b = random.numpy(11):uniform(0, 1, 200), random.numpy(12):uniform(0, 1, 200)
  local df = frame.from{{"a0", a}, {"b0", b}, {"u", random.numpy(13):uniform(0, 1, 200)}}
    :with{{"a", "3 * a0"}, {"b", "b0 - 5"}, {"y", "if_else(a0 + 0.5 * u > 0.8, 1, 0)"}}
    :select{"a", "b", "y"}
  -- Fitting needs both classes, so that the first rows are learnt by fit.
  local first = 40

  it("predicts what river's does, before each row it learns", function()
    for name, options in pairs{plain = {learning_rate = 0.05, scale = false},
      scaled = {eta0 = 0.05, l2 = 0.01}} do
      local model = ml.online_logistic(options):fit(df:slice(1, first), "y")
      local p, last = model:update(df:slice(first + 1, 200))
      for k, expected in ipairs(peer[name]) do
        close(p[51 + 30 * (k - 1) - first], expected, 1e-9)
      end
      expect(last:info().rows).to_equal(200)
      expect(last == ml.online_logistic(options):fit(df, "y")).to_be_false()   -- other training rows
      expect(last:predict_proba(df)["1"][7])
        .to_equal(ml.online_logistic(options):fit(df, "y"):predict_proba(df)["1"][7])
      expect(last:score(df).accuracy > 0.7).to_be_true()
    end
  end)

  it("learns the same from one batch as from many", function()
    local model = ml.online_logistic{}:fit(df:slice(1, first), "y")
    local _, once = model:update(df:slice(first + 1, 200))
    for i = first + 1, 200, 40 do
      local _
      _, model = model:update(df:slice(i, i + 39))
    end
    expect(model == once).to_be_true()
  end)

  it("says what it cannot", function()
    local model = ml.online_logistic{}:fit(df, "y")
    local odd = df:with{{"y", "y + 5"}}
    expect(function() model:update(odd) end).to_fail("5")
    expect(function() model:update(df:drop("y")) end).to_fail("lacks the target")
    expect(function() ml.online_logistic{}:fit(df:with{{"y", "1"}}, "y") end).to_fail("two classes")
    local wild = df:with{{"a", "a * 1e304"}}
    expect(function() ml.online_logistic{scale = false, learning_rate = 1e6}:fit(wild, "y") end)
      .to_fail("has diverged")
  end)
end)
