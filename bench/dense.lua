--- Models of dense columns, 1,000,000 x 20, beside scikit-learn in turn on one core, by CPU time of
--- the fit alone; what was fitted stands beside it and must agree.
local kit = require "bench.kit"
local peers = require "bench.peers"

local dense = {}

-- {case, what it is, floor, how far the value may be from the peer's, relatively}
local cases = {
  {"pca", "PCA, 5 components, 1M x 20", 1.4, 1e-9},
  {"linear", "linear regression, 1M x 20", 8, 1e-9},
  {"scaler", "scaler, fit and transform, 1M x 20", 3, 1e-6},
  {"kmeans", "k-means, 8 clusters, 1M x 20", 1.7, 5e-3},
  {"logistic", "logistic regression, 1M x 20", 1.2, 1e-3},
}

local function one(case)
  local ours, theirs = {}, {}
  local rounds = math.min(kit.rounds, 3)
  for i = 1, rounds do
    ours[i] = kit.flow("bench/flows/dense.lua", {"--case", case[1]}, {cores = peers.core})
    theirs[i] = peers.run{"bench/peers/dense.py", case[1]}
  end
  local value, expected = ours[1].value.value, theirs[1].value.value
  if math.abs(value - expected) > case[4] * math.abs(expected) then
    error(("%s: %.12g differs from the peer's %.12g"):format(case[2], value, expected), 0)
  end
  local mine, other = kit.median(peers.alone(ours)), kit.median(peers.alone(theirs))
  kit.figure{name = case[2], value = other / mine, unit = "x", floor = case[3], more = true,
    cpu = mine}
  kit.say("CPU %.4f s beside %.4f s of %s; medians of %d; processes %.0f and %.0f MiB; value %.9g",
    mine, other, theirs[1].value.version, rounds, ours[1].memory / 2 ^ 20,
    theirs[1].memory / 2 ^ 20, value)
end

function dense.run()
  for _, case in ipairs(cases) do one(case) end
end

return dense
