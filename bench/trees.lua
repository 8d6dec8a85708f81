--- Forests, boosting and isolation forests beside scikit-learn, LightGBM and XGBoost: CPU time on
--- one core, wall time on two, with the score of what was timed.
local json = require "flowrun.json"
local kit = require "bench.kit"

local trees = {}

local function peer(model, round, case, threads)
  local cores = threads == 1 and "0" or "0,1"
  -- What the environment says of OpenBLAS is for ours; the peers bring their own.
  local p = kit.process({"env", "-u", "OPENBLAS_CORETYPE", "-u", "OPENBLAS_L2_SIZE", kit.python,
    "bench/peers/trees.py", model, tostring(round), tostring(case.rows), tostring(case.trees),
    tostring(threads)}, cores)
  local v = json.decode(p.said)
  v.whole = p.cpu
  return v
end

local function ours(round, case, threads)
  local p = kit.flow("bench/flows/trees.lua", {"--model", case.model, "--round", round, "--rows",
    case.rows, "--trees", case.trees, "--threads", threads},
    {cores = threads == 1 and "0" or "0,1"})
  p.value.whole = p.cpu
  if threads > 1 then p.value.wall_s = kit.task_s(p.home, "fit_model") end
  return p.value
end

-- The peer with the least median of a field, and its rows.
local function best_of(rows, field)
  local best
  for name, list in pairs(rows) do
    local v = kit.median(kit.field(list, field))
    if not best or v < best.value then best = {name = name, value = v, rows = list} end
  end
  return best
end

local function agreement(mine, theirs, least)
  local a, sa = kit.mean_sd(kit.field(mine, "auc"))
  local b, sb = kit.mean_sd(kit.field(theirs, "auc"))
  local allowed = math.max(2 * (sa ^ 2 / #mine + sb ^ 2 / #theirs) ^ 0.5, least)
  local worse = b - a > allowed
  if worse then kit.missed = kit.missed + 1 end
  return ("auc %.4f beside %.4f (may be %.4f less)%s"):format(a, b, allowed,
    worse and " WORSE" or "")
end

-- One case: case.model, peers, rows, trees, rounds; floor of the fit and of predicting.
local function compare(case)
  local mine, theirs = {}, {}
  local rounds = case.rounds or kit.rounds
  for round = 0, rounds - 1 do
    mine[#mine + 1] = ours(round, case, 1)
    for _, name in ipairs(case.peers) do
      theirs[name] = theirs[name] or {}
      table.insert(theirs[name], peer(name, round, case, 1))
    end
  end
  local best, cpu = best_of(theirs, "cpu_s"), kit.median(kit.field(mine, "cpu_s"))
  kit.figure{name = case.name, value = best.value / cpu, unit = "x", floor = case.floor,
    more = true, cpu = cpu}
  kit.say("fit %.4f s beside %.4f s of %s; whole process %.3f s beside %.3f s; %s", cpu, best.value,
    best.rows[1].version, kit.median(kit.field(mine, "whole")),
    kit.median(kit.field(best.rows, "whole")), agreement(mine, best.rows, 0.005))
  if case.predict then
    local score = best_of(theirs, "predict_s").value
    local own = kit.median(kit.field(mine, "predict_s"))
    kit.figure{name = case.name .. ", scores", value = score / own, unit = "x",
      floor = case.predict, more = true, cpu = own}
  end
end

-- The same on two cores, by wall time.
local function on_two(case)
  local mine, theirs = {}, {}
  for round = 0, (case.rounds or kit.rounds) - 1 do
    mine[#mine + 1] = ours(round, case, 2)
    for _, name in ipairs(case.peers) do
      theirs[name] = theirs[name] or {}
      table.insert(theirs[name], peer(name, round, case, 2))
    end
  end
  local best, wall = best_of(theirs, "wall_s"), kit.least(kit.field(mine, "wall_s"))
  local other = kit.least(kit.field(best.rows, "wall_s"))
  kit.figure{name = case.name .. ", two threads", value = other / wall, unit = "x",
    floor = case.floor, more = true, wall = true, cores = true}
  kit.say("fit %.4f s beside %.4f s of %s, wall, least of %d", wall, other,
    best.rows[1].version, #mine)
end

--- Events per second that half-space trees score and learn; no peer.
function trees.stream()
  local v = {}
  for i = 1, kit.rounds do
    v[i] = kit.flow("bench/flows/stream.lua", {}, {flow = "stream", cores = "0"}).value.events_per_s
  end
  kit.figure{name = "half-space trees, 78 columns", value = kit.median(v), unit = "events/s",
    floor = 500000, more = true, cpu = 100000 / kit.median(v)}
end

function trees.run()
  local hist = {"lightgbm", "xgboost", "hist"}
  compare{name = "forest 10,000 x 20", model = "forest", peers = {"forest"}, rows = 10000,
    trees = 100, floor = 13, predict = 4}
  compare{name = "forest 10,000 x 20, 256 bins", model = "bins", peers = {"forest"}, rows = 10000,
    trees = 100, floor = 25}
  compare{name = "forest 100,000 x 20, 20 trees", model = "forest", peers = {"forest"},
    rows = 100000, trees = 20, floor = 12, rounds = math.min(kit.rounds, 3)}
  local boosting = {name = "boosting 100,000 x 20", model = "boosting", peers = hist,
    rows = 100000, trees = 100, floor = 3, rounds = math.min(kit.rounds, 3)}
  compare(boosting)
  on_two(boosting)
  compare{name = "boosting 10,000 x 20, compat", model = "compat", peers = {"compat"},
    rows = 10000, trees = 100, floor = 90}
  compare{name = "isolation forest 100,000 x 20", model = "isolation", peers = {"isolation"},
    rows = 100000, trees = 100, predict = 4}
end

return trees
