--- What the benchmarks share: runs of the release program on empty homes, figures beside their
--- floors, and the record of earlier figures.
---
--- Numbers of CPU time, memory and bytes always bind. A wall figure binds when the machine was
--- quiet while it was taken, which kit.quiet says.
local json = require "flowrun.json"
local testing = require "flowrun.core.testing"
local tty = require "flowrun.core.tty"

local kit = {
  flowrun = os.getenv("FLOWRUN") or "build/flowrun",
  python = os.getenv("FLOWRUN_PEERS_PYTHON") or "python3",
  record = os.getenv("FLOWRUN_BENCH_RECORD") or "build/bench/figures.jsonl",
  rounds = 5,
  dir = testing.temp_dir(),
  missed = 0,
}

local figures, order = {}, {}
local colours = tty.is_terminal("stdout")

local function red(s) return colours and "\27[31m" .. s .. "\27[0m" or s end

-- --- numbers ---

function kit.median(list)
  local v = table.move(list, 1, #list, 1, {})
  table.sort(v)
  local n = #v
  return n % 2 == 1 and v[n // 2 + 1] or (v[n // 2] + v[n // 2 + 1]) / 2
end

function kit.least(list) return math.min(table.unpack(list)) end

function kit.mean_sd(v)
  local sum, squares = 0, 0
  for _, x in ipairs(v) do sum = sum + x end
  for _, x in ipairs(v) do squares = squares + (x - sum / #v) ^ 2 end
  return sum / #v, #v > 1 and (squares / (#v - 1)) ^ 0.5 or 0
end

--- The field of each row, as a list.
function kit.field(rows, name)
  local v = {}
  for i, row in ipairs(rows) do v[i] = row[name] end
  return v
end

-- --- processes ---

function kit.read(path)
  local file <close> = io.open(path, "rb")
  return file and file:read("a")
end

function kit.write(path, text)
  local file <close> = assert(io.open(path, "wb"))
  file:write(text)
end

--- What a command prints, without what it says on stderr.
function kit.output(command)
  local pipe = assert(io.popen(command .. " 2>/dev/null"))
  local text = pipe:read("a")
  return text, pipe:close() == true
end

function kit.size_of(path)
  return tonumber(kit.output(("du -sb '%s'"):format(path)):match("^%d+"))
end

--- One process, exec to exit: {wall, cpu, memory, code, said, sleeps}. cores: "0", "0,1" (taskset).
function kit.process(argv, cores)
  local words = table.move(argv, 1, #argv, 1, {})
  if cores then words = table.move(words, 1, #words, 4, {"taskset", "-c", cores}) end
  words.stdout = kit.dir .. "/stdout"
  local wall, cpu, memory, code, sleeps = testing.measure(words)
  local p = {wall = wall, cpu = cpu, memory = memory, code = code, sleeps = sleeps,
    said = kit.read(words.stdout)}
  if code ~= 0 then
    error(("exit code %d from: %s"):format(code, table.concat(argv, " ")), 0)
  end
  return p
end

--- The release program on a flow file and an empty home, exec to exit; `value` is the result of
--- the flow and `bytes` the size of the home afterwards, or with `keep` that stays there.
function kit.flow(file, words, options)
  options = options or {}
  local home = kit.dir .. "/home"
  testing.remove_tree(home)
  local argv = {kit.flowrun, "--home", home, "--quiet", "--json"}
  if options.flow then table.move({"--flow", options.flow}, 1, 2, #argv + 1, argv) end
  argv[#argv + 1] = file
  for _, word in ipairs(words or {}) do argv[#argv + 1] = tostring(word) end
  local p = kit.process(argv, options.cores)
  p.home = home
  p.value = json.decode(p.said)
  return p
end

--- Medians of `rounds` runs.
function kit.flows(file, words, options)
  local rows = {}
  for i = 1, options.rounds or kit.rounds do rows[i] = kit.flow(file, words, options) end
  return {wall = kit.median(kit.field(rows, "wall")), cpu = kit.median(kit.field(rows, "cpu")),
    memory = kit.median(kit.field(rows, "memory")), bytes = kit.size_of(rows[1].home),
    value = rows[1].value}
end

--- Seconds that the last attempt of a task took, as the store has them.
function kit.task_s(home, name)
  local run = json.decode((kit.output(("%s show --home %s --json @last"):format(kit.flowrun,
    home))))
  for _, task in ipairs(run.tasks) do
    if task.name:match("[^:]+$") == name then return task.ended - task.started end
  end
  error("no task " .. name)
end

--- Seconds from the first start to the last end of the tasks of that name.
function kit.span_s(home, name)
  local run = json.decode((kit.output(("%s show --home %s --json @last"):format(kit.flowrun,
    home))))
  local first, last = math.huge, -math.huge
  for _, task in ipairs(run.tasks) do
    if task.name:match("[^:]+$") == name then
      first, last = math.min(first, task.started), math.max(last, task.ended)
    end
  end
  return last - first
end

-- --- figures ---

--- Prints a heading.
function kit.section(title) print(("\n%s\n%s"):format(title, ("-"):rep(#title))) end

local function holds(value, bound, more)
  if more then return value >= bound end
  return value <= bound
end

--- One figure beside its floor and aim. f: name, value, unit, floor, aim, more (greater is
--- better), wall (binds on a quiet machine only), cores (binds when two cores are free), cpu
--- (seconds, kept in the record).
function kit.figure(f)
  local number = f.value >= 1000 and ("%.0f"):format(f.value) or ("%.4g"):format(f.value)
  local verdict = ""
  if f.floor and not holds(f.value, f.floor, f.more) then
    local binds = (not f.wall or kit.quiet) and (not f.cores or kit.free_cores)
    verdict = binds and red("MISSED") or red("over, on a busy machine")
    kit.missed = kit.missed + (binds and 1 or 0)
  elseif f.floor then
    verdict = f.aim and holds(f.value, f.aim, f.more) and "ok, aim met" or "ok"
  end
  local bounds = f.floor and ("%s%g"):format(f.more and ">= " or "<= ", f.floor) or ""
  if f.aim then bounds = bounds .. (" (aim %g)"):format(f.aim) end
  print(("  %-44s %9s %-8s %-24s %s"):format(f.name, number, f.unit or "", bounds, verdict))
  figures[f.name] = {value = f.value, unit = f.unit, cpu = f.cpu}
  order[#order + 1] = f.name
end

--- A line that is not a figure.
function kit.say(...) print("    " .. (...):format(select(2, ...))) end

-- --- the record ---

local function last_record()
  local last
  local file <close> = io.open(kit.record)
  if not file then return {} end
  local cpu = {}
  for line in file:lines() do
    last = json.try_decode(line)
    for name, f in pairs(last and last.figures or {}) do cpu[name] = f.cpu or cpu[name] end
  end
  return cpu
end

--- Compares CPU times with the last recorded ones, adds this run's to the record.
function kit.finish()
  local before, worse = last_record(), 0
  print("")
  for _, name in ipairs(order) do
    local now, was = figures[name].cpu, before[name]
    if now and was and now > 1.1 * was then
      worse = worse + 1
      local text = "slower: %s took %.3f s of CPU, %.0f %% more than the %.3f s recorded last"
      print(red(text:format(name, now, 100 * (now / was - 1), was)))
    end
  end
  tty.make_directory(kit.record:match("^(.*)/") or ".")
  local file <close> = assert(io.open(kit.record, "a"))
  file:write(json.encode{when = os.date("!%Y-%m-%dT%H:%M:%SZ"), floors = kit.floors,
    figures = figures}, "\n")
  print(("%d figures, %d floors missed, %d slower than before; recorded in %s"):format(#order,
    kit.missed, worse, kit.record))
  testing.remove_tree(kit.dir)
  return kit.missed == 0 and worse == 0
end

return kit
