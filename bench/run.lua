--- Every figure with a floor, beside its floor and aim; the exit code is 1 when one is missed or
--- when CPU time grew by more than 10 % since the last record.
---
---     build/flowrun lua bench/run.lua [--rounds N] [SECTION …]        or: make bench
---
--- Sections are listed below. Peers need Python packages, see bench/peers/requirements.txt
--- ($FLOWRUN_PEERS_PYTHON names the interpreter, python3) and bench/peers/orchestrators/README.md.
--- Records go to $FLOWRUN_BENCH_RECORD (build/bench/figures.jsonl).
local kit = require "bench.kit"
local dense = require "bench.dense"
local engine = require "bench.engine"
local frames = require "bench.frames"
local idle = require "bench.idle"
local isolate = require "bench.isolate"
local orchestrators = require "bench.orchestrators"
local parquet = require "bench.parquet"
local peers = require "bench.peers"
local series = require "bench.series"
local threads = require "bench.threads"
local trees = require "bench.trees"

local sections = {
  {"engine", "Engine", function()
    engine.cold_start()
    engine.tasks()
    engine.syncs()
    engine.million()
    engine.listing()
  end},
  {"isolate", "Processes of their own", isolate.deaths},
  {"two", "Two tasks", engine.two},
  {"idle", "A run that waits", idle.signal},
  {"pipeline", "The utility pipeline", engine.pipeline},
  {"steps", "Strict calls and cancels", function()
    orchestrators.strict()
    orchestrators.cancel()
  end},
  {"orchestrators", "Orchestrators, in turn", function()
    orchestrators.table(orchestrators.chain())
  end},
  {"threads", "Two threads", function()
    threads.forest()
    threads.two_fits()
    threads.read_csv()
  end},
  {"stream", "Streams, one core", trees.stream},
  {"trees", "Trees beside their peers", function()
    if peers.available() then trees.run() end
  end},
  {"peers", "Peers, one core, in turn", function()
    if not peers.available() then return end
    peers.forest()
    peers.boosting()
    peers.arima()
    peers.csv()
  end},
  {"dense", "Models of 1,000,000 x 20, one core, in turn", function()
    if peers.available() then dense.run() end
  end},
  {"parquet", "Parquet, one core, in turn", function()
    if peers.available() then parquet.run() end
  end},
  {"series", "Time series, one core, in turn", function()
    if not peers.available() then return end
    series.fits()
    series.holt_winters()
  end},
  {"frames", "Frames of 10,000,000 rows, one core, in turn", function()
    if peers.available() then frames.run() end
  end},
  {"m4", "The M4 competition's hourly series", series.m4},
}

local wanted, all, i = {}, true, 1
while arg and arg[i] do
  if arg[i] == "--rounds" then
    kit.rounds = tonumber(arg[i + 1]) or error("--rounds wants a number", 0)
    i = i + 2
  else
    wanted[arg[i]], all, i = true, false, i + 1
  end
end

kit.section("The machine")
engine.floors()
for _, section in ipairs(sections) do
  if all or wanted[section[1]] then
    kit.section(section[2])
    section[3]()
  end
  wanted[section[1]] = nil
end
if next(wanted) then
  local names = {}
  for k, section in ipairs(sections) do names[k] = section[1] end
  print(("no section %s; sections: %s"):format(next(wanted), table.concat(names, " ")))
  os.exit(2, true)
end
os.exit(kit.finish() and 0 or 1, true)
