--- What the engine costs, as whole processes on empty homes (exec to exit), medians over rounds:
---
---     build/flowrun lua bench/engine.lua [ROUNDS] [CASE]
---
--- CPU per task, bytes per task and memory always count. Wall figures depend on the machine, so
--- fdatasync, a wake-up of a sleeping thread and a bare process are measured beside them.
local testing = require "flowrun.core.testing"

local flowrun = os.getenv("FLOWRUN") or "build/flowrun"
local rounds = tonumber(arg and arg[1]) or 5
local only = arg and arg[2]

local scripts = [[
local fr = require "flowrun"
local inc = fr.task("inc", function(x) return x + 1 end)
local row = fr.task("row", function(t)
  return {run = t.run, task = t.task, i = t.i + 1, ok = true, score = t.score * 0.5}
end)
local spin = fr.task("spin", function(ms)
  local x, n = 0.5, ms * 26000
  for i = 1, n do x = x * 1.0000001 + 1e-9 end
  return x
end)
local function list(n) local l = {} for i = 1, n do l[i] = i end return l end
return {
  fr.flow("hello", function() return inc(1):get() end),
  fr.flow("mapped", {params = {n = 200000}}, function(p)
    local sum = 0
    for _, v in ipairs(inc:map(list(p.n)):get()) do sum = sum + v end
    if sum ~= p.n * (p.n + 3) // 2 then error("wrong sum " .. sum) end
    return sum
  end),
  fr.flow("tables", {params = {n = 200000}}, function(p)
    local l = {}
    for i = 1, p.n do l[i] = {run = 7, task = "load_forecast", i = i, ok = true, score = 0.97} end
    return #row:map(l):get()
  end),
  fr.flow("chain", {params = {n = 20000}}, function(p)
    local x = 0
    for _ = 1, p.n do x = inc(x):get() end
    if x ~= p.n then error("wrong end " .. x) end
    return x
  end),
  fr.flow("calls", {params = {n = 200000}}, function(p)
    local h, sum = {}, 0
    for i = 1, p.n do h[i] = inc(i) end
    for i = 1, p.n do sum = sum + h[i]:get() end
    return sum
  end),
  fr.flow("two", function() return #spin:map{1000, 1000}:get() end),
  fr.flow("one", function() return #spin:map{1000}:get() end),
}
]]

local dir = testing.temp_dir()
local script = dir .. "/bench.lua"
local f = assert(io.open(script, "w"))
f:write(scripts)
f:close()

local function median(list)
  table.sort(list)
  return list[(#list + 1) // 2]
end

local function size_of(path)
  local pipe = assert(io.popen(("du -sb '%s' | cut -f1"):format(path)))
  local n = pipe:read("n")
  pipe:close()
  return n
end

-- Runs a flow `rounds` times; medians of wall, CPU, memory, and the bytes of the last home.
local function measure(flow, words)
  local wall, cpu, memory, bytes = {}, {}, {}, 0
  for i = 1, rounds do
    local home = dir .. "/home"
    testing.remove_tree(home)
    local argv = {flowrun, "--home", home, "--quiet", "--flow", flow, script}
    for _, w in ipairs(words or {}) do argv[#argv + 1] = w end
    local code
    wall[i], cpu[i], memory[i], code = testing.measure(argv)
    if code ~= 0 then error(("%s ended with exit code %d"):format(flow, code)) end
    bytes = size_of(home)
  end
  return {wall = median(wall), cpu = median(cpu), memory = median(memory), bytes = bytes}
end

local function line(name, format, ...)
  print(("%-34s %s"):format(name, format:format(...)))
end

local function floors()
  local wall = {}
  for i = 1, rounds * 2 do wall[i] = testing.measure{"/bin/true"} end
  line("bare process (/bin/true)", "%.1f ms wall", 1e3 * median(wall))
  local pipe = io.popen("build/store_bench --floors 2>/dev/null")
  local text = pipe and pipe:read("a") or ""
  if pipe then pipe:close() end
  for name, value in text:gmatch("([%w ]*fdatasync[%w ]*):?%s+([%d%.]+)") do
    line(name, "%s", value)
  end
end

local cases = {
  {"hello", function(m) line("cold start, durable store", "%.1f ms wall (floor 12), %.1f ms CPU",
    1e3 * m.wall, 1e3 * m.cpu) end},
  {"mapped", function(m, base)
    local n = 200000
    line("200,000 mapped, integer argument",
      "%.2f us CPU/task (floor 6), %.0f tasks/s (floor 200,000), "
      .. "%.0f B/task, %.0f MB", 1e6 * (m.cpu - base.cpu) / n, n / (m.wall - base.wall),
        m.bytes / n,
      m.memory / 1e6)
  end},
  {"tables", function(m, base)
    local n = 200000
    line("200,000 mapped, five-field tables",
      "%.2f us CPU/task, %.0f tasks/s (floor 100,000), %.0f B/task",
      1e6 * (m.cpu - base.cpu) / n, n / (m.wall - base.wall), m.bytes / n)
  end},
  {"chain", function(m, base)
    local n = 20000
    line("chain of 20,000", "%.1f us wall/step (floor 12), %.1f us CPU/step",
      1e6 * (m.wall - base.wall) / n,
      1e6 * (m.cpu - base.cpu) / n)
  end},
  {"calls", function(m, base)
    local n = 200000
    line("200,000 single calls", "%.2f us CPU/task, %.0f tasks/s, %.0f B/task (floor 150), %.0f MB",
      1e6 * (m.cpu - base.cpu) / n, n / (m.wall - base.wall), m.bytes / n, m.memory / 1e6)
  end},
}

if not only then floors() end
local base = measure("hello")
for _, case in ipairs(cases) do
  if not only or only == case[1] then
    case[2](case[1] == "hello" and base or measure(case[1]), base)
  end
end

if not only or only == "million" then
  rounds = math.min(rounds, 3)
  local m = measure("mapped", {"--n", "1000000"})
  line("1,000,000 as one map", "%.2f s, %.0f MB (floor 600), %.0f B/task (floor 150)", m.wall,
    m.memory / 1e6, m.bytes / 1e6)
  local c = measure("calls", {"--n", "1000000"})
  line("1,000,000 single calls", "%.2f s, %.0f MB, %.0f B/task (floor 150)", c.wall, c.memory / 1e6,
    c.bytes / 1e6)
end

if not only or only == "pipeline" then
  local wall, cpu = {}, {}
  for i = 1, rounds * 2 do
    testing.remove_tree(dir .. "/home")
    local w, c, _, code = testing.measure{flowrun, "--home", dir .. "/home", "--quiet",
      "flows/utility_ml_pipeline.lua"}
    wall[i], cpu[i] = w, c
    if code ~= 0 then error("utility_ml_pipeline ended with exit code " .. code) end
  end
  line("utility_ml_pipeline, whole process", "%.1f ms wall (floor 100), %.1f ms CPU",
    1e3 * median(wall), 1e3 * median(cpu))
end

if not only or only == "two" then
  local one, two = measure("one"), measure("two")
  line("two tasks of 1 s side by side", "%.2f x one (floor 1.15)", two.wall / one.wall)
end
testing.remove_tree(dir)
