--- Peers in turn with ours on the same core (taskset -c 0), by CPU time. Both do the same work on
--- the same data, and the scores of the timed mode stand beside the times.
---
--- "alone" is the fit or the read itself. "whole" is process against process, imports included.
local json = require "flowrun.json"
local kit = require "bench.kit"
local threads = require "bench.threads"

local peers = {}
local core <const> = "0"
peers.core = core

-- A peer's process: {cpu, memory, value}.
local function peer(words)
  local argv = table.move(words, 1, #words, 2, {kit.python})
  local p = kit.process(argv, core)
  return {cpu = p.cpu, memory = p.memory, value = json.decode(p.said)}
end

peers.run = peer

--- Whether the peers are there; says how to get them when not.
function peers.available()
  local needed = "sklearn, statsmodels, pandas, pyarrow, polars"
  local _, ok = kit.output(("%s -c 'import %s'"):format(kit.python, needed))
  if not ok then
    kit.say("skipped: %s lacks one of %s. Install them with", kit.python, needed)
    kit.say("  python3 -m venv build/peers")
    kit.say("  build/peers/bin/pip install -r bench/peers/requirements.txt")
    kit.say("  FLOWRUN_PEERS_PYTHON=build/peers/bin/python make bench")
  end
  return ok
end

local function alone(rows)
  local v = {}
  for i, row in ipairs(rows) do v[i] = row.value.cpu_s end
  return v
end

peers.alone = alone

-- Prints the ratio of the medians, alone and whole.
local function ratio(name, floor, ours, theirs)
  local mine, other = kit.median(alone(ours)), kit.median(alone(theirs))
  local my_whole = kit.median(kit.field(ours, "cpu"))
  local whole = kit.median(kit.field(theirs, "cpu"))
  kit.figure{name = name .. ", alone", value = other / mine, unit = "x", floor = floor, more = true,
    cpu = mine}
  kit.figure{name = name .. ", whole process", value = whole / my_whole, unit = "x", floor = floor,
    more = true, cpu = my_whole}
  kit.say("alone %.5f s beside %.4f s of %s; whole %.3f s beside %.2f s; CPU, median of %d", mine,
    other, theirs[1].value.version, my_whole, whole, #ours)
end

-- Scores over the rounds: equal within two standard errors of the difference, or `least`.
local function agreement(ours, theirs, name, least)
  local a, b = {}, {}
  for i, row in ipairs(ours) do a[i] = row.value[name] end
  for i, row in ipairs(theirs) do b[i] = row.value[name] end
  local mean_a, sd_a = kit.mean_sd(a)
  local mean_b, sd_b = kit.mean_sd(b)
  local allowed = math.max(2 * (sd_a ^ 2 / #a + sd_b ^ 2 / #b) ^ 0.5, least)
  if #a < 3 then return ("%s %.4f beside %.4f (3 rounds judge)"):format(name, mean_a, mean_b) end
  local ok = math.abs(mean_a - mean_b) <= allowed
  if not ok then kit.missed = kit.missed + 1 end
  return ("%s %.4f beside %.4f (may differ by %.4f) %s"):format(name, mean_a, mean_b, allowed,
    ok and "agrees" or "DIFFERS")
end

local function fits(name, model, peer_case, floor, rounds)
  local ours, theirs = {}, {}
  for k = 0, rounds - 1 do
    ours[k + 1] = kit.flow("bench/flows/fit.lua", {"--model", model, "--round", k}, {cores = core})
    theirs[k + 1] = peer{"bench/peers/ml.py", peer_case, k, 10000}
  end
  ratio(name, floor, ours, theirs)
  kit.say("on 40,000 new rows: %s; %s", agreement(ours, theirs, "auc", 0.005),
    agreement(ours, theirs, "f1", 0.01))
end

function peers.forest() fits("forest 10,000 x 4", "forest", "forest", 10, kit.rounds) end

function peers.boosting()
  fits("boosting 10,000 x 4, histograms", "boost_hist", "boost", 40, kit.rounds)
  fits("boosting 10,000 x 4, compat", "boost_compat", "boost", 40, kit.rounds)
end

function peers.arima()
  local ours, theirs = {}, {}
  for i = 1, kit.rounds do
    ours[i] = kit.flow("bench/flows/arima.lua", {}, {cores = core})
    theirs[i] = peer{"bench/peers/arima.py", "load", 8760, 1, 1, 1, 0, 0, 0, 0}
  end
  -- the peer's process repeats its fit and takes the fastest: only the fits compare
  local mine, other = kit.median(alone(ours)), kit.median(alone(theirs))
  kit.figure{name = "ARIMA(1,1,1), 8,760 hours, alone", value = other / mine, unit = "x",
    floor = 100, more = true, cpu = mine}
  local llf, peer_llf = ours[1].value.llf, theirs[1].value.llf
  kit.figure{name = "ARIMA(1,1,1), llf less the peer's", value = llf - peer_llf, unit = "",
    floor = -1e-6, more = true}
  kit.say("alone %.5f s (whole process %.3f s) beside %.3f s of %s; llf %.6f beside %.6f", mine,
    kit.median(kit.field(ours, "cpu")), other, theirs[1].value.version, llf, peer_llf)
end

function peers.csv()
  local path = threads.csv_file()
  local ours, theirs = {}, {}
  for i = 1, kit.rounds do
    ours[i] = kit.flow("bench/flows/csv.lua", {"--path", path}, {flow = "read", cores = core})
    theirs[i] = peer{"bench/peers/csv_read.py", path}
  end
  local a, b = ours[1].value, theirs[1].value
  for _, name in ipairs{"rows", "assets", "failures"} do
    if a[name] ~= b[name] then
      error(("CSV: %s differs: %s, %s"):format(name, a[name], b[name]), 0)
    end
  end
  if math.abs(a.load - b.load) > 1e-9 * b.load then error("CSV: the sums of load_kw differ", 0) end
  local mine, other = kit.median(alone(ours)), kit.median(alone(theirs))
  local whole = kit.median(kit.field(ours, "cpu"))
  kit.figure{name = "CSV 1,000,000 x 10, dates, alone", value = other / mine, unit = "x",
    floor = 1.2, more = true, cpu = mine}
  kit.figure{name = "CSV, our process against their read", value = other / whole, unit = "x",
    floor = 1.2, more = true, cpu = whole}
  kit.say("%.3f s (whole process %.3f s) beside %.3f s of %s; first and last %s, %s", mine, whole,
    other, b.version, b.first, b.last)
end

return peers
