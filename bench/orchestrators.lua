--- flowrun beside orchestrators: a chain of 40 tasks of 10 ms, a map of tasks that do nothing, a
--- whole process with one task, and memory; each peer in its own environment, in turn.
---
--- $FLOWRUN_ORCHESTRATORS (build/orchestrators) is a folder with the environments `prefect`,
--- `airflow` and `orchestrators`; bench/peers/orchestrators/README.md says how they are made.
local json = require "flowrun.json"
local kit = require "bench.kit"
local testing = require "flowrun.core.testing"
local tty = require "flowrun.core.tty"

local file <const> = "bench/flows/steps.lua"
local scripts <const> = "bench/peers/orchestrators/"
local environments = os.getenv("FLOWRUN_ORCHESTRATORS") or "build/orchestrators"

local orchestrators = {here = kit.output("pwd"):match("[^\n]+")}

local function shown(home)
  return json.decode((kit.output(("%s show --home %s --json @last"):format(kit.flowrun, home))))
end

-- The chain's run less what its bodies took in the workers, in ms.
local function chain_added()
  local p = kit.flow(file, {}, {flow = "chain"})
  local run, bodies = shown(p.home), 0
  for _, task in ipairs(run.tasks) do bodies = bodies + task.ended - task.started end
  return 1e3 * (run.ended - run.started - bodies), run.ended - run.started, bodies
end

--- 40 tasks of 10 ms in sequence: what the engine adds to the bodies.
function orchestrators.chain()
  local added, whole = {}, {}
  for i = 1, kit.rounds do added[i], whole[i] = chain_added() end
  kit.figure{name = "40 tasks of 10 ms, added", value = kit.median(added), unit = "ms", floor = 2,
    wall = true}
  return {chain_s = kit.median(whole), added_ms = kit.median(added)}
end

--- Results that are on disk before anything uses them, 256 calls in flight.
function orchestrators.strict()
  local n = 100000
  local base = kit.flows(file, {}, {flow = "hello"})
  local m = kit.flows(file, {"--n", n}, {flow = "strict"})
  kit.figure{name = "strict, 256 in flight, rate", value = n / (m.wall - base.wall),
    unit = "tasks/s", floor = 120000, more = true, wall = true, cpu = m.cpu}
end

-- Seconds from Ctrl-C to the end of a run of 10,000 tasks.
local function cancel_s(flow)
  local home, path = kit.dir .. "/cancel", kit.dir .. "/cancel_reached"
  testing.remove_tree(home)
  os.remove(path)
  local text = kit.output(([[
    "%s" --home "%s" --quiet --flow %s "%s" --path "%s" >/dev/null 2>&1 &
    pid=$!
    while [ ! -e "%s" ]; do sleep .05; done
    sleep 1
    from=$(date +%%s%%N)
    kill -INT $pid
    wait $pid
    code=$?
    to=$(date +%%s%%N)
    echo $code $((to - from))]]):format(kit.flowrun, home, flow, file, path, path))
  local code, ns = text:match("(%d+) (%d+)")
  if code ~= "130" then error("cancel: exit code " .. tostring(code), 0) end
  return tonumber(ns) / 1e9
end

--- Cancel of 10,000 running and waiting tasks, from the signal to the end of the process.
function orchestrators.cancel()
  for _, case in ipairs{{"cancel_waiting", "cancel of 10,000 tasks", 200},
    {"cancel_stubborn", "cancel of 10,000 that catch errors", 2200}} do
    local times = {}
    for i = 1, math.min(kit.rounds, 3) do times[i] = cancel_s(case[1]) end
    kit.figure{name = case[2], value = 1e3 * kit.median(times), unit = "ms", floor = case[3],
      wall = true}
  end
end

-- --- the table ---

local function ours(chain)
  local hello = kit.flows(file, {}, {flow = "hello"})
  local n = 200000
  local fan = kit.flows(file, {"--n", n}, {flow = "fan"})
  return {name = "flowrun", durable = "every task", start_s = hello.wall, chain_s = chain.chain_s,
    added_ms = chain.added_ms, map_n = n, map_s = fan.wall - hello.wall,
    memory_mb = fan.memory / 1e6}
end

local list = {
  {"prefect", "prefect", "run states, in the background"},
  {"airflow", "airflow", "every task"},
  {"dbos", "orchestrators", "every step"},
  {"dagster", "orchestrators", "every step"},
  {"dask", "orchestrators", "nothing"},
  {"ray", "orchestrators", "nothing"},
}

-- One peer's process prints one JSON line; its folder is empty before.
local function peer(name, environment)
  local python = ("%s/%s/bin/python"):format(environments, environment)
  python = python:sub(1, 1) == "/" and python or orchestrators.here .. "/" .. python
  if not tty.stat(python) then
    kit.say("skipped %s: no %s; see %sREADME.md", name, python, scripts)
    return nil
  end
  local dir = kit.dir .. "/" .. name
  testing.remove_tree(dir)
  tty.make_directory(dir)
  local command = ("cd '%s' && HOME='%s' '%s' '%s%s.py' 2>'%s/stderr'"):format(dir, dir,
    python, orchestrators.here .. "/" .. scripts, name, dir)
  local text = kit.output(command)
  local line
  for l in text:gmatch("[^\n]+") do line = l:sub(1, 1) == "{" and l or line end
  if not line then
    kit.say("skipped %s: it failed, see what it says:", name)
    kit.say("%s", (kit.read(dir .. "/stderr") or ""):sub(-400):gsub("\n", " "))
    return nil
  end
  local row = json.decode(line)
  row.name = name
  return row
end

local function print_row(row)
  local each = row.map_s and 1e6 * row.map_s / row.map_n
  print(("  %-9s %-29s %9.3f %8.3f %10.1f %12s %8.0f"):format(row.name, row.durable, row.start_s,
    row.chain_s, row.added_ms, each and ("%.1f"):format(each) or "-", row.memory_mb))
end

--- All of them in turn: one process each.
function orchestrators.table(chain)
  print(("  %-9s %-29s %9s %8s %10s %12s %8s"):format("", "durable", "start s", "chain s",
    "added ms", "no-op us", "MB"))
  print_row(ours(chain))
  for _, p in ipairs(list) do
    local row = peer(p[1], p[2])
    if row then
      row.durable, row.added_ms = p[3], 1e3 * (row.chain_s - 0.4)
      print_row(row)
    end
  end
  kit.say("start: a process until its first task's result; chain: 40 tasks of 10 ms; no-op: each")
  kit.say("of a map; MB: all processes of the peer. Peers' bodies are taken as 40 x 10 ms.")
end

return orchestrators
