--- What the engine costs: many small tasks. `flowrun --flow NAME bench/flows/tasks.lua`
local fr = require "flowrun"

local inc = fr.task("inc", function(x) return x + 1 end)
local row = fr.task("row", function(t)
  return {run = t.run, task = t.task, i = t.i + 1, ok = true, score = t.score * 0.5}
end)

local arithmetic = fr.task("arithmetic", function(rounds)
  local x = 0.5
  for _ = 1, rounds do x = x * 1.0000001 + 1e-9 end
  return x
end)

-- Waits until somebody releases it, so that a run can be killed before its end.
local gate = fr.task("gate", function(dir)
  assert(io.open(dir .. "/reached", "w")):close()
  while true do
    local released <close> = io.open(dir .. "/released")
    if released then return true end
    fr.sleep(0.005)
  end
end)

local function list(n)
  local l = {}
  for i = 1, n do l[i] = i end
  return l
end

local function checked(sum, n)
  if sum ~= n * (n + 3) // 2 then error("wrong sum " .. sum) end
  return sum
end

local params = {n = 200000, dir = ""}

return {
  fr.flow("hello", function() return inc(1):get() end),
  fr.flow("mapped", {params = params}, function(p)
    local sum = 0
    for _, v in ipairs(inc:map(list(p.n)):get()) do sum = sum + v end
    if p.dir ~= "" then gate(p.dir):get() end
    return checked(sum, p.n)
  end),
  fr.flow("tables", {params = params}, function(p)
    local l = {}
    for i = 1, p.n do l[i] = {run = 7, task = "load_forecast", i = i, ok = true, score = 0.97} end
    local last = row:map(l):get()[p.n]
    if last.i ~= p.n + 1 then error("wrong item") end
    return last.i
  end),
  fr.flow("chain", {params = {n = 20000}}, function(p)
    local x = 0
    for _ = 1, p.n do x = inc(x):get() end
    if x ~= p.n then error("wrong end " .. x) end
    return x
  end),
  fr.flow("calls", {params = params}, function(p)
    local h, sum = {}, 0
    for i = 1, p.n do h[i] = inc(i) end
    for i = 1, p.n do sum = sum + h[i]:get() end
    if p.dir ~= "" then gate(p.dir):get() end
    return checked(sum, p.n)
  end),
  fr.flow("spin", {params = {tasks = 1, rounds = 1000}}, function(p)
    local l = {}
    for i = 1, p.tasks do l[i] = p.rounds end
    return #arithmetic:map(l):get()
  end),
}
