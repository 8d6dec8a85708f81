--- Frame kernels on 10,000,000 rows with bitmaps beside pandas, polars and DuckDB, in turn on one
--- core. A figure is the best peer's median over ours, by CPU time of the kernel alone.
local kit = require "bench.kit"
local peers = require "bench.peers"

local frames = {}

-- {case, what it is, floor, aim}
local cases = {
  {"group", "group-by int key, 5 aggregates, 10M", 3.3, 4},
  {"sort", "sort by int, 4 columns, 10M", 1.8, 2},
  {"join", "inner join 10M x 1M", 0.9, 1.2},
  {"filter", "filter, 2 predicates, 10M", 1.1, 1.4},
  {"quantile", "two quantiles, 10M", 1.1, 2},
  {"rolling", "rolling mean of 24, 10M", 4.5, 6},
}

local function one(case, path, rounds)
  local process = kit.flow("bench/flows/frames.lua", {"--path", path, "--case", case[1], "--rounds",
    rounds}, {flow = "run", cores = peers.core})
  local ours = process.value
  local theirs = peers.run{"bench/peers/frames.py", path, case[1], rounds}.value
  local best, name, walls = math.huge, nil, math.huge
  local said = {}
  for _, peer in ipairs{"pandas", "polars", "duckdb"} do
    if theirs[peer] then
      local cpu = kit.median(theirs[peer].cpu)
      said[#said + 1] = ("%s %.4f"):format(peer, cpu)
      walls = math.min(walls, kit.median(theirs[peer].wall))
      if cpu < best then best, name = cpu, peer end
    end
  end
  local mine, value = kit.median(ours.cpu), theirs.value
  if case[1] ~= "rolling" and math.abs(ours.value - value) > 1e-6 * math.abs(value) then
    error(("%s: %s differs from the peer's %s"):format(case[2], ours.value, value), 0)
  end
  kit.figure{name = case[2], value = best / mine, unit = "x", floor = case[3], aim = case[4],
    more = true, cpu = mine}
  kit.say("CPU %.4f s beside %s (best: %s, wall %.4f s); medians of %d; process %.0f MiB", mine,
    table.concat(said, ", "), name, walls, rounds, process.memory / 2 ^ 20)
  return theirs.version
end

--- All cases, or the one named.
function frames.run(only)
  local _, ok = kit.output(kit.python .. " -c 'import polars, duckdb'")
  if not ok then
    kit.say("skipped: %s lacks polars or duckdb (bench/peers/requirements.txt)", kit.python)
    return
  end
  local path = kit.dir .. "/frames.arrow"
  kit.flow("bench/flows/frames.lua", {"--path", path}, {flow = "make"})
  local version
  for _, case in ipairs(cases) do
    if not only or only == case[1] then version = one(case, path, math.max(kit.rounds, 3)) end
  end
  kit.say("%s", version)
  os.remove(path)
  os.remove(path .. ".small")
end

return frames
