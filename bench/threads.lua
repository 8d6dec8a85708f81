--- Two threads against one: forest fit and CSV read, on the same cores and with the same bytes.
---
--- One and two threads take turns, and the least time of each counts: another process can only
--- add to it. What two bare threads reach on this machine at this moment stands beside the ratio.
local kit = require "bench.kit"

local threads = {}

-- run(n) -> seconds, digest; the ratio of the least times.
local function compare(name, rounds, run)
  local least, digest = {math.huge, math.huge}, {}
  for _ = 1, rounds do
    for n = 1, 2 do
      local s, bytes = run(n)
      least[n] = math.min(least[n], s)
      digest[n] = bytes or digest[n]
    end
  end
  if not digest[1] or digest[1] ~= digest[2] then
    error(name .. ": one and two threads gave different bytes", 0)
  end
  kit.figure{name = name .. ", two threads", value = least[1] / least[2], unit = "x one",
    floor = 1.6, more = true, wall = true, cores = true}
  kit.say("%.1f ms on one, %.1f ms on two (least of %d, in turn), same bytes; bare threads: %.2fx",
    1e3 * least[1], 1e3 * least[2], rounds, kit.floors.two_threads)
end

function threads.forest()
  local out = kit.dir .. "/model"
  compare("forest fit 10,000 x 4", 3 * kit.rounds, function(n)
    local p = kit.flow("bench/flows/fit.lua", {"--threads", n, "--test", 100, "--out", out})
    return kit.task_s(p.home, "fit_model"), kit.read(out)
  end)
end

--- Two fits on two cores beside one fit: neither may be in the other's way.
function threads.two_fits()
  local least = {math.huge, math.huge}
  for _ = 1, 3 * kit.rounds do
    for n = 1, 2 do
      local p = kit.flow("bench/flows/stream.lua", {"--count", n}, {flow = "fits", cores = "0,1"})
      least[n] = math.min(least[n], kit.span_s(p.home, "fit_model"))
    end
  end
  kit.figure{name = "two fits at once, 10,000 x 20", value = least[2] / least[1], unit = "x one",
    floor = 1.15, wall = true, cores = true}
  kit.say("%.1f ms for one, %.1f ms for both (least of %d, in turn); bare threads: %.2fx",
    1e3 * least[1], 1e3 * least[2], 3 * kit.rounds, kit.floors.two_threads)
end

--- The file for CSV figures, made once.
function threads.csv_file()
  local path = kit.dir .. "/mixed.csv"
  if not threads.csv then
    kit.flow("bench/flows/csv.lua", {"--path", path}, {flow = "make"})
    threads.csv = path
  end
  return path
end

function threads.read_csv()
  local path = threads.csv_file()
  local hash = {}
  for n = 1, 2 do
    hash[n] = kit.flow("bench/flows/csv.lua", {"--path", path, "--threads", n, "--hash", "true"},
      {flow = "read"}).value.hash
  end
  compare("CSV read 1,000,000 x 10", 3 * kit.rounds, function(n)
    local p = kit.flow("bench/flows/csv.lua", {"--path", path, "--threads", n}, {flow = "read"})
    return kit.task_s(p.home, "read_csv"), hash[n]
  end)
end

return threads
