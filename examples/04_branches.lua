--- One idea: :get() makes branches plain Lua, :try() looks at a failure, fr.any takes the first
--- success, fr.spawn runs a part of the flow concurrently. All of it is replayed exactly after
--- a crash.
local fr = require "flowrun"

local measure = fr.task("measure", function(feeder) return feeder == "F2" and 131 or 84 end)
local shed = fr.task("shed_load", function(feeder, kw)
  return ("%s: shed %d kW"):format(feeder, kw)
end)
local ask = fr.task("ask", function(source)
  if source == "primary" then error("primary is down") end
  return source
end)

return fr.flow("branches", function()
  local checks = {}
  for i, feeder in ipairs{"F1", "F2", "F3"} do
    checks[i] = fr.spawn(function()
      local kw = measure(feeder):get()
      if kw > 100 then return shed(feeder, kw - 100):get() end
      return feeder .. ": fine"
    end)
  end
  local answer = fr.any{ask("primary"), ask("backup")}
  local ok, err = ask("primary"):try()
  return {feeders = fr.all(checks), answered_by = answer, primary = ok or err.message}
end)

-- Output:
-- {
--   "answered_by": "backup",
--   "feeders": [
--     "F1: fine",
--     "F2: shed 31 kW",
--     "F3: fine"
--   ],
--   "primary": "primary is down"
-- }
