--- What orchestrators are compared by: a chain of tasks of 10 ms, a map of tasks that do nothing,
--- calls whose results are on disk before anything uses them, and 10,000 tasks to be cancelled.
local fr = require "flowrun"

local nop = fr.task("nop", function(x) return x end)
local ten = fr.task("ten", function(x) fr.sleep(0.010) return x end)
local reached = fr.task("reached", function(path) assert(io.open(path, "w")):close() end)

local waits = fr.task("waits", function() fr.sleep(3600) end)
local stubborn = fr.task("stubborn", function()
  while true do pcall(function() while true do end end) end
end)

local function list(n)
  local l = {}
  for i = 1, n do l[i] = i end
  return l
end

-- Some run, the others wait for a worker.
local function many(task)
  return function(p)
    reached(p.path):get()
    return task:map(list(p.n)):get()
  end
end

local cancelled = {params = {n = 10000, path = ""}}

return {
  fr.flow("hello", function() return nop(1):get() end),
  fr.flow("chain", {params = {n = 40}}, function(p)
    local x = 0
    for _ = 1, p.n do x = ten(x):get() end
    return x
  end),
  fr.flow("fan", {params = {n = 10000}}, function(p) return #nop:map(list(p.n)):get() end),
  fr.flow("strict", {params = {n = 100000, window = 256}, durable = "strict"}, function(p)
    local h, sum = {}, 0
    for i = 1, p.n + p.window do
      if i <= p.n then h[i] = nop(i) end
      local k = i - p.window
      if k >= 1 then sum, h[k] = sum + h[k]:get(), nil end
    end
    if sum ~= p.n * (p.n + 1) // 2 then error("wrong sum " .. sum) end
    return sum
  end),
  fr.flow("cancel_waiting", cancelled, many(waits)),
  fr.flow("cancel_stubborn", cancelled, many(stubborn)),
}
