--- Log lines of tasks and flows: fr.log.info("%d rows", n). They are kept with the run
--- (`flowrun logs RUN`) and shown while it runs.
local body = require "flowrun.core.body"
local flow_core = require "flowrun.core.flow"

local log = {}

log.levels = {debug = 10, info = 20, warn = 30, error = 40}

--- Called with (level, text) for lines of flow bodies; the command line shows them.
log.sink = nil

--- Writes one line. A flow body that is being replayed writes nothing: it did already.
---@param level integer
---@param text string
function log.write(level, text)
  if flow_core.inside() then
    if flow_core.log(level, text) and log.sink then log.sink(level, text) end
  elseif not body.log(level, text) then
    io.stderr:write(text, "\n")
  end
end

for name, level in pairs(log.levels) do
  log[name] = function(format, ...)
    local text = tostring(format)
    if select("#", ...) > 0 then text = text:format(...) end
    log.write(level, text)
  end
end

--- What `print` is in flow and task bodies.
function log.print(...)
  local parts = table.pack(...)
  for i = 1, parts.n do parts[i] = tostring(parts[i]) end
  log.write(log.levels.info, table.concat(parts, "\t"))
end

return log
