--- Makes flows/data/network_sample.csv: summaries of network connections, ordinary ones and
--- four kinds of attack, as a flow monitor in front of a control network would export them.
---
---     flowrun flows/data/make_network_sample.lua
local fr = require "flowrun"
local frame = require "flowrun.frame"
local random = require "flowrun.random"

-- Share, then mean of: seconds, packets, bytes per packet, ports touched, failed log-ins, share of
-- half-open connections. Kinds overlap on purpose: a quiet scan looks like polling.
local kinds = {
  {"benign",       0.72, 20.0, 60,  420, 2,  0.05, 0.03},
  {"brute_force",  0.08, 9.0,  45,  140, 1,  6.0,  0.05},
  {"denial",       0.08, 4.0,  900, 80,  1,  0.02, 0.75},
  {"port_scan",    0.08, 2.5,  30,  62,  16, 0.10, 0.55},
  {"exfiltration", 0.04, 55.0, 420, 980, 2,  0.10, 0.03},
}

local make = fr.task("make", function(path)
  local rng, columns = random.new(20261121), {{}, {}, {}, {}, {}, {}, {}}
  for _ = 1, 1600 do
    local u, k = rng:uniform(0, 1), 1
    while k < #kinds and u > kinds[k][2] do
      u = u - kinds[k][2]
      k = k + 1
    end
    local m = kinds[k]
    local function around(mean, spread) return mean * math.exp(rng:normal(0, spread)) end
    local row = {around(m[3], 0.9), math.max(1, around(m[4], 0.8)), around(m[5], 0.35),
      1 + rng:poisson(m[6] * math.exp(rng:normal(0, 0.5))), rng:poisson(m[7]),
      math.min(1, math.max(0, m[8] + rng:normal(0, 0.12)))}
    for i = 1, 6 do
      local digits = i == 2 and 0 or 3
      columns[i][#columns[i] + 1] = i >= 4 and i <= 5 and row[i]
        or tonumber(("%." .. digits .. "f"):format(row[i]))
    end
    columns[7][#columns[7] + 1] = m[1]
  end
  local df = frame.from{{"seconds", columns[1]}, {"packets", columns[2]},
    {"bytes_per_packet", columns[3]}, {"ports", columns[4]}, {"failed_logins", columns[5]},
    {"half_open", columns[6]}, {"label", columns[7]}}
  df:write_csv(path)
  return #df
end)

return fr.flow("make_network_sample", {params = {path = "flows/data/network_sample.csv"}},
  function(p)
  return make(p.path):get()
end)
