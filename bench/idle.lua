--- A run that waits for a signal: its memory, and how often it wakes.
local kit = require "bench.kit"

local idle = {}

local function status(pid)
  local rss, wakes = 0, 0
  local list = io.popen(("cat /proc/%d/task/*/status 2>/dev/null"):format(pid))
  for line in list:lines() do
    rss = math.max(rss, tonumber(line:match("^VmRSS:%s+(%d+)")) or 0)
    wakes = wakes + (tonumber(line:match("ctxt_switches:%s+(%d+)")) or 0)
  end
  list:close()
  return rss / 1024, wakes
end

--- Context switches of all threads stand for wake-ups: what sleeps makes none.
function idle.signal()
  local home, script = kit.dir .. "/idle", kit.dir .. "/idle.lua"
  kit.write(script, [[
local fr = require "flowrun"
return fr.flow("idle", function() return fr.signal("go") end)]])
  local pid = tonumber((kit.output(("'%s' --home '%s' --quiet '%s' >/dev/null 2>&1 & echo $!")
    :format(kit.flowrun, home, script))))
  os.execute("sleep 1")
  local rss, before = status(pid)
  local seconds = 5
  os.execute("sleep " .. seconds)
  local _, after = status(pid)
  kit.output(("'%s' signal 1 go --home '%s'"):format(kit.flowrun, home))
  kit.figure{name = "idle run, memory", value = rss, unit = "MB", floor = 12}
  kit.figure{name = "idle run, wake-ups", value = (after - before) / seconds, unit = "/s",
    floor = 0}
end

return idle
