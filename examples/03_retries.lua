--- One idea: a task that fails is tried again, and when all attempts have failed a fallback
--- stands in. The run then says that it is degraded.
local fr = require "flowrun"

local fetch = fr.task("fetch", {
  retries = 2, delay = "10ms", backoff = "exponential", jitter = 0.2,
  fallback = function(err, source)
    return {source = source, temperature = 11.5, note = "climatology, because " .. err.message}
  end,
}, function(source)
  if source == "north" then return {source = source, temperature = 7.25} end
  fr.fail{code = "network", message = source .. " does not answer"}
end)

return fr.flow("retries", function()
  return {fetch("north"), fetch("south")}
end)

-- Output:
-- [
--   {
--     "source": "north",
--     "temperature": 7.25
--   },
--   {
--     "note": "climatology, because south does not answer",
--     "source": "south",
--     "temperature": 11.5
--   }
-- ]
