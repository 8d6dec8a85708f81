--- What the engine costs, as whole processes on empty homes (exec to exit).
--- CPU per task, bytes per task and memory always bind; wall figures on a quiet machine.
local json = require "flowrun.json"
local kit = require "bench.kit"
local testing = require "flowrun.core.testing"
local tty = require "flowrun.core.tty"

local file <const> = "bench/flows/tasks.lua"
local engine = {}
local base                                     -- medians of a flow with one task

local function measure(flow, words, rounds)
  return kit.flows(file, words, {flow = flow, rounds = rounds})
end

--- The machine's own times: what wall figures are judged by.
function engine.floors()
  local wall = {}
  for i = 1, 20 do wall[i] = kit.process{"/bin/true"}.wall end
  local text = kit.output("build/floors_bench " .. kit.dir)
  local sync, wake, two = text:match("^(%S+) (%S+) (%S+)")
  local f = {fdatasync_ms = tonumber(sync), wake_us = tonumber(wake),
    two_threads = tonumber(two), process_ms = 1e3 * kit.median(wall)}
  kit.floors, kit.quiet = f, f.fdatasync_ms and f.fdatasync_ms <= 0.3 and f.wake_us <= 60
  kit.say("fdatasync p50 %.3f ms, wake-up p50 %.1f us, bare process %.1f ms, two threads %.2fx one",
    f.fdatasync_ms or -1, f.wake_us or -1, f.process_ms, f.two_threads or -1)
  kit.free_cores = f.two_threads and f.two_threads >= 1.8
  kit.say(kit.quiet and "quiet by fdatasync (<= .3 ms) and wake-up (<= 60 us): wall figures bind"
    or "fdatasync or wake-up above .3 ms or 60 us: wall figures do not bind")
  if not kit.free_cores then
    kit.say("two bare threads reach less than 1.8x: figures of two threads do not bind")
  end
end

function engine.cold_start()
  local m = kit.flows("examples/01_hello.lua", {}, {rounds = 2 * kit.rounds})
  kit.figure{name = "cold start, wall", value = 1e3 * m.wall, unit = "ms", floor = 12, aim = 5,
    wall = true, cpu = m.cpu}
  kit.say("CPU %.1f ms, %d bytes of store", 1e3 * m.cpu, m.bytes)
end

-- Whole runs less a run of one task.
local function per_task(name, flow, n, f)
  local m = measure(flow)
  local cpu, rate = 1e6 * (m.cpu - base.cpu) / n, n / (m.wall - base.wall)
  kit.figure{name = name .. ", CPU", value = cpu, unit = "us/task", floor = f.cpu, aim = f.cpu_aim,
    cpu = m.cpu}
  if f.rate then
    kit.figure{name = name .. ", rate", value = rate, unit = "tasks/s", floor = f.rate,
      aim = f.rate_aim, more = true, wall = true}
  end
  if f.step then
    kit.figure{name = name .. ", step", value = 1e6 / rate, unit = "us", floor = f.step,
      aim = f.step_aim, wall = true}
  end
  kit.say("%.0f bytes per task on disk, %.0f MB resident, %.2f s", m.bytes / n, m.memory / 1e6,
    m.wall)
end

function engine.tasks()
  base = measure("hello", nil, 2 * kit.rounds)
  per_task("200,000 mapped", "mapped", 200000, {cpu = 5, cpu_aim = 3, rate = 250000,
    rate_aim = 500000})
  per_task("200,000 mapped, five fields", "tables", 200000, {rate = 150000, rate_aim = 250000})
  per_task("chain of 20,000", "chain", 20000, {step = 8, step_aim = 5})
  per_task("200,000 single calls", "calls", 200000, {})
end

--- How often a run syncs to the disk (counted by a shim in front of the C library) and how often
--- its threads sleep and are woken.
function engine.syncs()
  local shim, counted = "build/libsync_shim.so", kit.dir .. "/syncs"
  for _, case in ipairs{{"one task", "hello"}, {"200,000 mapped", "mapped"},
    {"chain of 20,000", "chain"}} do
    kit.write(counted, "")
    testing.setenv("SYNC_SHIM", counted)
    testing.setenv("LD_PRELOAD", shim)
    local p = kit.flow(file, {}, {flow = case[2]})
    testing.setenv("LD_PRELOAD", nil)
    kit.figure{name = case[1] .. ", fsyncs", value = #kit.read(counted), unit = ""}
    kit.figure{name = case[1] .. ", wake-ups", value = p.sleeps, unit = ""}
  end
end

-- Kills a run between its last record and its end; the wall time of the resume that follows.
local function resume_s(flow, n)
  local home, dir = kit.dir .. "/killed", kit.dir .. "/gate"
  testing.remove_tree(home)
  testing.remove_tree(dir)
  tty.make_directory(dir)
  local command = "%s --home %s --quiet --flow %s %s --n %d --dir %s >%s/said 2>&1 & echo $!"
  local pid = kit.output(command:format(kit.flowrun, home, flow, file, n, dir, dir)):match("%d+")
  while not tty.stat(dir .. "/reached") do
    if not tty.stat("/proc/" .. pid) then error(kit.read(dir .. "/said"), 0) end
    os.execute("sleep 0.02")
  end
  os.execute("kill -9 " .. pid)
  while tty.stat("/proc/" .. pid) do os.execute("sleep 0.02") end
  kit.write(dir .. "/released", "")
  local p = kit.process{kit.flowrun, "resume", "--home", home, "--quiet", "--json", "1"}
  if json.decode(p.said) ~= n * (n + 3) // 2 then error("resume: wrong sum " .. p.said) end
  testing.remove_tree(home)
  return p
end

local function million(name, flow, f)
  local n = 1000000
  local m = measure(flow, {"--n", n}, math.min(kit.rounds, 3))
  kit.figure{name = name .. ", memory", value = m.memory / 1e6, unit = "MB", floor = f.memory,
    cpu = m.cpu}
  if f.wall then
    kit.figure{name = name .. ", wall", value = m.wall, unit = "s", floor = f.wall, wall = true}
  end
  kit.figure{name = name .. ", disk", value = m.bytes / n, unit = "B/task", floor = 150}
  local p = resume_s(flow, n)
  kit.figure{name = name .. ", resume after kill -9", value = p.wall, unit = "s", floor = 2,
    wall = true, cpu = p.cpu}
  kit.say("the run: %.2f s wall, %.2f s CPU; the resume: %.2f s CPU, %.0f MB", m.wall, m.cpu, p.cpu,
    p.memory / 1e6)
end

function engine.million()
  million("1,000,000 as one map", "mapped", {memory = 300, wall = 5})
  million("1,000,000 single calls", "calls", {})
end

--- Every item of a map is listed afterwards, with key, attempt, times and result.
function engine.listing()
  local p = kit.flow(file, {}, {flow = "mapped"})
  local run = json.decode((kit.output(("%s show --home %s --json @last"):format(kit.flowrun,
    p.home))))
  local items, bad = run.tasks[1].items or {}, 0
  for _, item in ipairs(items) do
    local whole = item.key and item.attempt and item.started and item.ended
      and item.result == item.index + 1
    bad = bad + (whole and 0 or 1)
  end
  kit.figure{name = "items that show --json lists whole", value = #items - bad, unit = "",
    floor = 200000, more = true}
end

--- Two tasks of about 1 s of arithmetic against one.
function engine.two()
  local rounds = 30000000
  local function best(tasks)
    local rows = {}
    for i = 1, kit.rounds do
      rows[i] = kit.flow(file, {"--tasks", tasks, "--rounds", rounds}, {flow = "spin"})
    end
    return kit.least(kit.field(rows, "wall"))
  end
  local one, two = best(1), best(2)
  kit.figure{name = "two tasks side by side", value = two / one, unit = "x one", floor = 1.15,
    wall = true, cores = true}
  kit.say("%.2f s beside %.2f s (least of %d each); two bare threads give %.2fx", two, one,
    kit.rounds, kit.floors.two_threads)
end

function engine.pipeline()
  local m = kit.flows("flows/utility_ml_pipeline.lua", {}, {rounds = 2 * kit.rounds})
  kit.figure{name = "utility_ml_pipeline, whole process", value = 1e3 * m.wall, unit = "ms",
    floor = 100, aim = 40, wall = true, cpu = m.cpu}
  local v = m.value
  kit.say("CPU %.1f ms; held out: maintenance AUC %.3f, outages AUC %.3f, llf %.2f; "
    .. "the same under Prefect 3.8.8: 8.4 s", 1e3 * m.cpu, v.maintenance.roc_auc, v.outages.roc_auc,
    v.load.llf)
end

return engine
