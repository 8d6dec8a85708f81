--- Fitting times and scores of forests and boosting beside scikit-learn's, in turn:
---
---     FLOWRUN_PYTHON=venv/bin/python build/flowrun lua bench/ml.lua [ROUNDS] [CASE]
---
--- Every fit is a process of its own on one core (taskset -c 0); medians of CPU time over the
--- rounds, each with its own data and seed. Beside them stand ROC AUC and F1 on 40,000 new rows,
--- means over the rounds, which must differ by no more than two standard errors of the
--- difference (or .005, .01). Without python or scikit-learn only our half is printed.
local flowrun = os.getenv("FLOWRUN") or "build/flowrun"
local python = os.getenv("FLOWRUN_PYTHON") or "python3"

local cases = {
  {name = "forest, exact", peer = "forest", rows = 10000, floor = 10},
  {name = "boosting, histograms, depth 3", ours = "boost_hist", peer = "boost", rows = 10000,
    floor = 40},
  {name = "boosting, compat = \"sklearn\"", ours = "boost_compat", peer = "boost", rows = 10000,
    floor = 40},
}

-- --- one fit, as a process: bench/ml.lua fit CASE ROUND ROWS THREADS ---

local function wall_s()
  local pipe = assert(io.popen("date +%s%N"))
  local ns = pipe:read("n")
  pipe:close()
  return ns / 1e9
end

local function transformers(seed, n)
  local frame, random = require "flowrun.frame", require "flowrun.random"
  local r, p = random.numpy(seed), {}
  local temp, vib, oil = r:normal(60, 5, n), r:normal(0.2, 0.05, n), r:normal(70, 10, n)
  local age = r:randint(1, 30, n)
  for i = 1, n do p[i] = 1 / (1 + math.exp(-(0.05 * (temp[i] - 65) + 8 * (vib[i] - 0.25)))) end
  return frame.from{{"temp", temp}, {"vib", vib}, {"oil", oil}, {"age", age},
    {"y", r:binomial(1, p)}}
end

local function fit(case, round, rows, threads)
  local ml = require "flowrun.ml"
  local specs = {
    forest = ml.random_forest{trees = 100, seed = round, threads = threads},
    boost_hist = ml.gradient_boosting{depth = 3, min_samples_leaf = 1, threads = threads},
    boost_compat = ml.gradient_boosting{compat = "sklearn", threads = threads},
  }
  local train, test = transformers(100 + round, rows), transformers(900 + round, 40000)
  collectgarbage()
  local start, cpu = wall_s(), os.clock()
  local model = specs[case]:fit(train, "y")
  cpu = os.clock() - cpu
  local wall = wall_s() - start
  local predict = os.clock()
  local p = model:predict_proba(test)["1"]
  predict = os.clock() - predict
  print(cpu, wall, predict, ml.roc_auc(test.y, p), ml.f1(test.y, model:predict(test)), "flowrun")
end

if arg and arg[1] == "fit" then
  return fit(arg[2], tonumber(arg[3]), tonumber(arg[4]), tonumber(arg[5]))
end

-- --- all of them ---

local function run(command)
  local pipe = assert(io.popen(command .. " 2>/dev/null"))
  local cpu, wall, predict, auc, f1 = pipe:read("n", "n", "n", "n", "n")
  local version = pipe:read("l")
  pipe:close()
  return cpu and {cpu = cpu, wall = wall, predict = predict, auc = auc, f1 = f1,
    version = version:match("%S+")}
end

local function field(list, name)
  local v = {}
  for i, row in ipairs(list) do v[i] = row[name] end
  return v
end

local function median(v)
  table.sort(v)
  local n = #v
  return n % 2 == 1 and v[n // 2 + 1] or (v[n // 2] + v[n // 2 + 1]) / 2
end

local function mean_sd(v)
  local sum, squares = 0, 0
  for _, x in ipairs(v) do sum = sum + x end
  for _, x in ipairs(v) do squares = squares + (x - sum / #v) ^ 2 end
  return sum / #v, #v > 1 and (squares / (#v - 1)) ^ 0.5 or 0
end

local function score(ours, theirs, name, least)
  local a, sa = mean_sd(field(ours, name))
  if #theirs == 0 then return ("%s %.4f"):format(name, a) end
  local b, sb = mean_sd(field(theirs, name))
  local allowed = math.max(2 * (sa ^ 2 / #ours + sb ^ 2 / #theirs) ^ 0.5, least)
  return ("%s %.4f (%.4f) %s"):format(name, a, b, math.abs(a - b) <= allowed and "agrees"
    or "DIFFERS")
end

local rounds, only = tonumber(arg and arg[1]) or 10, arg and arg[2]
print("case                            rows   ours s  peer s  ratio  floor  2 threads  "
  .. "scores: ours (peer)")
for _, case in ipairs(cases) do
  local ours, theirs, two = {}, {}, {}
  local name = case.ours or case.peer
  if not only or only == name then
    for k = 0, rounds - 1 do
      local fmt = "%s lua bench/ml.lua fit %s %d %d %d"
      ours[#ours + 1] = assert(run("taskset -c 0 " .. fmt:format(flowrun, name, k, case.rows, 1)),
        "no result")
      theirs[#theirs + 1] = run(("taskset -c 0 %s bench/peers/ml.py %s %d %d"):format(python,
        case.peer, k, case.rows))
      two[#two + 1] = run(fmt:format(flowrun, name, k, case.rows, 2))
    end
    local mine = median(field(ours, "cpu"))
    local peer = #theirs > 0 and median(field(theirs, "cpu"))
    local speed = median(field(ours, "wall")) / median(field(two, "wall"))
    print(("%-30s %5d  %7.4f %7s %6s %5dx %9s   %s   %s"):format(case.name, case.rows, mine,
      peer and ("%.3f"):format(peer) or "-", peer and ("%.1fx"):format(peer / mine) or "-",
        case.floor,
      ("%.2fx"):format(speed), score(ours, theirs, "auc", 0.005), score(ours, theirs, "f1", 0.01)))
    print(("%-30s predict 40,000 rows  %7.4f %7s %6s"):format("", median(field(ours, "predict")),
      peer and ("%.3f"):format(median(field(theirs, "predict"))) or "-",
      peer and ("%.1fx"):format(median(field(theirs, "predict")) / median(field(ours, "predict")))
        or "-"))
  end
end
