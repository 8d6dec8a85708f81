--- Isolated attempts: how soon a death is noticed, what a call to a warm process costs.
local json = require "flowrun.json"
local kit = require "bench.kit"

local isolate = {}

local script = [[
local fr = require "flowrun"
local dies = fr.task("dies", {isolate = true, infra_retries = 0}, function(path)
  local f <close> = io.open("/proc/self/stat")
  fr.sh(("date +%%s%%N >>'%s'; kill -9 %d"):format(path, f:read("n")))
end)
local noop = fr.task("noop", {isolate = true}, function(i) return i end)
return fr.flow("f", function()
  for _ = 1, 20 do dies("PATH"):try() end
  for i = 1, 2000 do noop(i):get() end
end)]]

-- From just before `kill` to the end that the record has; an upper bound.
function isolate.deaths()
  local path, home, file = kit.dir .. "/deaths", kit.dir .. "/isolate", kit.dir .. "/isolate.lua"
  kit.write(file, (script:gsub("PATH", path)))
  local p = kit.process{kit.flowrun, "--home", home, "--quiet", file}
  local times, ms, i = {}, {}, 0
  for ns in kit.read(path):gmatch("%d+") do times[#times + 1] = tonumber(ns) * 1e-9 end
  local words = ("%s show 1 --json --home '%s'"):format(kit.flowrun, home)
  local shown = json.decode((kit.output(words)))
  local first, last
  for _, task in ipairs(shown.tasks) do
    if task.name:find("dies", 1, true) then
      i = i + 1
      ms[i] = 1e3 * (task.ended - times[i])
    else
      first, last = first or task.started, task.ended
    end
  end
  kit.figure{name = "death of a worker noticed, p50", value = kit.median(ms), unit = "ms",
    floor = 20, aim = 2, wall = true, cpu = p.cpu}
  kit.figure{name = "call to a warm process, step", value = 1e6 * (last - first) / 2000,
    unit = "us", floor = 1000, aim = 150, wall = true}
end

return isolate
