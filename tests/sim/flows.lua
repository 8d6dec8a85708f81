--- Random flows for the simulation. A flow is a tree of operations made from a seed; its body
--- below runs the tree on the shipped handle, key and replay code.
local core = require "flowrun.core.flow"
require "flowrun.core.error"

local sim = {}

-- Kinds of tasks; the world (sim.c) knows them by name and decides how their bodies end.
local kinds = {
  plain   = {},
  retried = {retries = 2, base = 3, backoff = "exponential", jitter = 0.5},
  timed   = {retries = 1, base = 1, timeout = 20},
  effect  = {effect = true, retries = 1, base = 1},
  failing = {},
  backed  = {has_fallback = true, fallback = "fallback"},
  helped  = {fallback_fn = true, retries = 1, base = 2},
  item    = {retries = 1, base = 2},
  slow_item = {timeout = 30, retries = 1, base = 1},
  inner   = {},
}
local class = {__call = core.call}
local tasks = {}
for name, o in pairs(kinds) do
  tasks[name] = setmetatable({"sim:" .. name, core.options(o), function() end}, class)
end

-- --- making a tree ---

local state
local function below(n)                          -- xorshift64*: 0 .. n - 1
  state = state ~ (state >> 12)
  state = state ~ (state << 25)
  state = state ~ (state >> 27)
  return (state * 0x2545F4914F6CDD1D >> 33) % n
end

local simple = {"plain", "plain", "retried", "timed", "effect", "effect", "backed", "helped"}
local budget

local make_ops

local function make_op(depth)
  local r = below(100)
  budget = budget - 1
  if r < 40 then
    return {op = "task", kind = simple[below(#simple) + 1], wait = below(2) == 0,
            uses = below(3), after = below(5) == 0}
  elseif r < 48 then
    return {op = "fail", how = below(3)}
  elseif r < 58 then
    budget = budget - 3
    return {op = "map", n = 1 + below(6), kind = below(4) == 0 and "slow_item" or "item",
            dup = below(3) == 0, wait = below(2) == 0}
  elseif r < 70 and depth < 3 then
    local branches = {}
    for i = 1, 2 + below(2) do branches[i] = make_ops(depth + 1, 1 + below(3)) end
    return {op = "spawn", branches = branches}
  elseif r < 78 then
    budget = budget - 2
    return {op = "race", n = 2 + below(2)}
  elseif r < 84 then
    return {op = "sleep", s = 1 + below(50)}
  elseif r < 90 then
    return {op = "value", what = below(2)}
  elseif r < 95 and depth < 2 then
    return {op = "flow", ops = make_ops(depth + 1, 1 + below(3))}
  end
  return {op = "state"}
end

function make_ops(depth, n)
  local ops = {}
  for i = 1, n do
    if budget <= 0 and i > 1 then break end
    ops[i] = make_op(depth)
  end
  return ops
end

--- The flow of a seed.
function sim.make(seed)
  state = seed * 0x9E3779B97F4A7C15 ~ 0x1234567
  if state == 0 then state = 1 end
  for _ = 1, 4 do below(2) end
  budget = 5 + below(50)
  local ops = {}
  while budget > 0 do ops[#ops + 1] = make_op(0) end
  return ops
end

-- --- running it: an ordinary flow body ---

local run_ops

local function take(h, out)
  local ok, v = h:try()
  if ok and type(v) == "table" then v = "[" .. table.concat(v, " ") .. "]" end
  out[#out + 1] = ok and tostring(v) or "!" .. tostring(v.code)
  return ok and v or 0
end

local act = {}

function act.task(o, s)
  local args = {s.n}
  s.n = s.n + 1
  if o.uses >= 1 then args[2] = s.last end       -- a handle or a value
  if o.uses == 2 then args[3] = {seen = #s.shared, order = table.concat(s.shared, ",")} end
  local t = tasks[o.kind]
  if o.after and s.handle then
    t = setmetatable({t[1], t[2], t[3], nil, {s.handle}}, class)
  end
  local h = t(args[1], args[2], args[3])
  s.handle = h
  if o.wait then s.last = take(h, s.out) else s.last = h; s.open[#s.open + 1] = h end
end

function act.fail(o, s)
  local h = tasks.failing(s.n)
  s.n = s.n + 1
  if o.how == 0 then
    local ok = pcall(h.get, h)
    s.out[#s.out + 1] = tostring(ok)
  elseif o.how == 1 then
    take(h, s.out)
  else
    take(tasks.plain(h), s.out)                  -- fails upstream
    h:try()
  end
end

function act.map(o, s)
  local list = {}
  for i = 1, o.n do list[i] = o.dup and i % 2 or i * 10 + s.n end
  s.n = s.n + 1
  local h = core.map(tasks[o.kind], list, s.n)
  if o.wait then
    local ok, v = h:try()
    s.out[#s.out + 1] = ok and "map" .. #v .. ":" .. tostring(v[1]) or "!map"
  else
    s.open[#s.open + 1] = h
  end
end

function act.spawn(o, s)
  local hs = {}
  for i, ops in ipairs(o.branches) do
    hs[i] = core.spawn(function(name)
      local out = run_ops(ops, s.shared)
      s.shared[#s.shared + 1] = name             -- who came first is an observation
      return out
    end, "b" .. i)
  end
  for _, h in ipairs(hs) do take(h, s.out) end
  tasks.effect(table.concat(s.shared, ",")):try()
end

function act.race(o, s)
  local hs = {}
  for i = 1, o.n do hs[i] = tasks.plain("race", i, s.n) end
  s.n = s.n + 1
  core.wait(hs, true)
  for i, h in ipairs(hs) do
    if core.peek(h) ~= nil then
      s.out[#s.out + 1] = "won" .. i
      tasks.effect("winner", i, s.n):try()
      break
    end
  end
  for _, h in ipairs(hs) do s.open[#s.open + 1] = h end
end

function act.sleep(o)
  core.sleep(o.s)
end

function act.value(o, s)
  if o.what == 0 then
    local t = core.record("now", simnow())
    s.out[#s.out + 1] = tostring(t)
    tasks.effect("at", t):try()
  else
    s.out[#s.out + 1] = tostring((core.draw("random")))
  end
end

function act.flow(o, s)
  local self = setmetatable({"sim:inner", tasks.inner[2], act.flow}, class)
  local h = core.subflow(self, function(p) return run_ops(o.ops, {}, p) end, s.n)
  s.n = s.n + 1
  take(h, s.out)
end

function act.state(_, s)
  if s.handle then s.out[#s.out + 1] = s.handle:state() end
end

function run_ops(ops, shared, n)
  local s = {out = {}, open = {}, shared = shared, last = 7, n = n or 1}
  for _, o in ipairs(ops) do act[o.op](o, s) end
  for _, h in ipairs(s.open) do take(h, s.out) end
  return table.concat(s.out, " ")
end

--- The flow body of a tree.
function sim.body(ops)
  return function() return run_ops(ops, {}) end
end

return sim
