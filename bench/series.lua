--- Time series beside statsmodels, and the 414 hourly series of the M4 competition.
local kit = require "bench.kit"
local peers = require "bench.peers"

local series = {}

-- {name, series, model, what bench/peers/arima.py is told, floors against default and best path}
local cases = {
  {"ARIMA(2,1,2), 8,760 hours", "load", "arima", {2, 1, 2, 0, 0, 0, 0}, 180, 35},
  {"SARIMA(1,0,1)(1,0,0)24, 8,760 hours", "sload", "sarima", {1, 0, 1, 1, 0, 0, 24}, 1000, 300},
}

local function arima_words(case, path)
  local words = {"bench/peers/arima.py", case[2], 8760}
  if path == "best" then words[4] = "best" end
  return table.move(case[4], 1, #case[4], #words + 1, words)
end

local function fits(case)
  local ours, default, best = {}, {}, {}
  for i = 1, kit.rounds do
    ours[i] = kit.flow("bench/flows/series.lua", {"--name", case[2], "--model", case[3]},
      {cores = peers.core})
    best[i] = peers.run(arima_words(case, "best"))
    if i == 1 or case[6] < 100 then default[#default + 1] = peers.run(arima_words(case)) end
  end
  local mine = kit.median(peers.alone(ours))
  kit.figure{name = case[1] .. ", default", value = kit.median(peers.alone(default)) / mine,
    unit = "x", floor = case[5], more = true, cpu = mine}
  kit.figure{name = case[1] .. ", best path", value = kit.median(peers.alone(best)) / mine,
    unit = "x", floor = case[6], more = true}
  kit.figure{name = case[1] .. ", llf less the peer's", more = true, floor = -1e-6,
    value = ours[1].value.llf - default[1].value.llf}
  kit.figure{name = case[1] .. ", memory", value = kit.median(kit.field(ours, "memory")) / 2 ^ 20,
    unit = "MiB", floor = 20}
  kit.say("%.5f s beside %.3f s and %.3f s of %s", mine, kit.median(peers.alone(default)),
    kit.median(peers.alone(best)), default[1].value.version)
end

function series.fits()
  for _, case in ipairs(cases) do fits(case) end
end

function series.holt_winters()
  local ours, theirs = {}, {}
  for i = 1, kit.rounds do
    ours[i] = kit.flow("bench/flows/series.lua", {"--model", "holt_winters"}, {cores = peers.core})
    theirs[i] = peers.run{"bench/peers/arima.py", "load", 8760, "holt_winters", 24}
  end
  local mine, other = kit.median(peers.alone(ours)), kit.median(peers.alone(theirs))
  kit.figure{name = "Holt-Winters 24, 8,760 hours", value = other / mine, unit = "x", floor = 50,
    more = true, cpu = mine}
  kit.figure{name = "Holt-Winters, squared errors / the peer's", floor = 1,
    value = ours[1].value.sse / theirs[1].value.sse}
  kit.say("%.5f s beside %.3f s of %s", mine, other, theirs[1].value.version)
end

-- Published results: naive 43.003, seasonal naive 13.912, R's auto.arima 13.980 (M4 competition).
local m4_cases = {
  {"naive", 43.0035, 43.0025}, {"naive24", 13.9125, 13.9115}, {"naive168", 12.6955, 12.6945},
  {"ets"}, {"theta"}, {"mstl"}, {"auto_arima", 14.0, nil, 120}, {"auto", 12.5},
}

function series.m4()
  local dir = (os.getenv("FLOWRUN_SHARED") or "../shared") .. "/data/m4_hourly"
  if not kit.read(dir .. "/Hourly-test.csv") then
    kit.say("skipped: no %s", dir)
    return
  end
  for _, case in ipairs(m4_cases) do
    local p = kit.flow("bench/flows/m4.lua", {"--dir", dir, "--model", case[1]})
    kit.figure{name = "M4 hourly, " .. case[1] .. ", sMAPE", value = p.value.smape, unit = "%",
      floor = case[2], cpu = p.cpu}
    if case[3] and p.value.smape < case[3] then
      kit.missed = kit.missed + 1
      kit.say("%.4f is not the published value", p.value.smape)
    end
    if case[4] then
      kit.figure{name = "M4 hourly, " .. case[1] .. ", all series", value = p.wall, unit = "s",
        floor = case[4], cores = true}
    end
    kit.say("MASE %.3f, %.1f s, %.1f s of CPU", p.value.mase, p.wall, p.cpu)
  end
end

return series
