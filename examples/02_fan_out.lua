--- One idea: map runs a task once per item, in parallel; handles as arguments are the edges of
--- the graph.
local fr = require "flowrun"

local read_meter = fr.task("read_meter", function(meter, hours)
  local kwh = 0
  for hour = 1, hours do kwh = kwh + (meter * 7 + hour * 3) % 5 end
  return kwh
end)

local total = fr.task("total", function(readings)
  local sum = 0
  for _, kwh in ipairs(readings) do sum = sum + kwh end
  return sum
end)

return fr.flow("fan_out", {params = {meters = {type = "integer", default = 8, min = 1}}},
  function(p)
  local meters = {}
  for i = 1, p.meters do meters[i] = i end
  local readings = read_meter:map(meters, 24)      -- a handle of the list of results
  return {readings = readings, total = total(readings)}
end)

-- Output:
-- {
--   "readings": [
--     48,
--     46,
--     49,
--     47,
--     50,
--     48,
--     46,
--     49
--   ],
--   "total": 383
-- }
