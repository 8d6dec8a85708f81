--- Two threads against one, in one process: forest fit and CSV read. Medians and ratios:
---
---     build/flowrun lua bench/threads.lua [ROUNDS]
local body = require "flowrun.core.body"
local frame = require "flowrun.frame"
local ml = require "flowrun.ml"
local random = require "flowrun.random"
local testing = require "flowrun.core.testing"

local rounds = tonumber(arg and arg[1]) or 7

local function median(fn)
  fn()                                           -- memory and threads are there afterwards
  local list = {}
  for i = 1, rounds do
    local began = body.now()
    fn()
    list[i] = body.now() - began
  end
  table.sort(list)
  return list[(#list + 1) // 2]
end

local function compare(name, fn)
  frame.threads(1)
  local one = median(fn)
  frame.threads(2)
  local two = median(fn)
  print(("%-28s %7.1f ms on one thread, %7.1f ms on two: %.2fx (floor 1.6)"):format(name, 1e3 * one,
    1e3 * two, one / two))
end

local n, rng = 10000, random.numpy(1)
local df = frame.from{{"t", rng:normal(60, 5, n)}, {"v", rng:normal(0.2, 0.05, n)},
  {"o", rng:normal(70, 10, n)}, {"a", rng:uniform(1, 30, n)}}
local p = df:with{{"p", "1 / (1 + exp(-(0.05 * (t - 65) + 8 * (v - 0.25))))"}}.p
df = df:with{{"y", rng:binomial(1, p)}}
local spec = ml.random_forest{trees = 100, seed = 1}
compare("forest fit 10,000 x 4", function() spec:fit(df, "y") end)

local dir, rows, wide = testing.temp_dir(), 1000000, random.new(3)
frame.from{{"a", wide:normal(0, 1, rows)}, {"b", wide:normal(0, 1, rows)},
  {"c", wide:integers(0, 1000000, rows)}, {"d", wide:uniform(0, 1, rows)}}
  :write_csv(dir .. "/x.csv")
compare("CSV read 1,000,000 x 4", function() frame.read_csv(dir .. "/x.csv") end)
testing.remove_tree(dir)
