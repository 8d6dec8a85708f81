--- Random flows for the simulation. A flow is a tree of operations made from a seed; its body
--- below runs the tree on the shipped handle, key and replay code.
local core = require "flowrun.core.flow"
local wait = require "flowrun.core.wait"
require "flowrun.core.error"
-- now(): the clock; saw(v): flow code has v; check(ok, what): else the simulation has found a fault
local world = ...

local sim = {}

-- Kinds of tasks; the world (world.c) knows them by name and decides how their bodies end.
local kinds = {
  plain     = {},
  retried   = {retries = 2, base = 3, backoff = "exponential", jitter = 0.5},
  timed     = {retries = 1, base = 1, timeout = 20},
  effect    = {effect = true, retries = 1, base = 1},
  mailer    = {retries = 1, base = 1},             -- its effect is inside the body
  failing   = {},
  backed    = {has_fallback = true, fallback = "fallback"},
  helped    = {functions = {"fallback"}, retries = 1, base = 2},
  asked     = {functions = {"retry_if", "delay"}, retries = 2, base = 2},
  shared    = {cache = {scope = 3}, has_fallback = true, fallback = "fallback"},
  shared_item = {cache = {scope = 3}},
  goody     = {fallbacks = {{kind = "last_good"}, {kind = "value", value = "fallback"}}},
  pair      = {outputs = 2},
  lister    = {},                                  -- returns a list
  poison    = {},                                  -- may take its process down
  item      = {retries = 1, base = 2},
  slow_item = {timeout = 30, retries = 1, base = 1},
  backed_item = {has_fallback = true, fallback = "fallback"},
  helped_item = {functions = {"fallback"}, retries = 1, base = 2},
  asked_item = {functions = {"retry_if", "delay"}, retries = 2, base = 1},
  poison_item = {},
  keeper    = {retries = 2, base = 1},             -- keeps checkpoints
  keeper_item = {retries = 1, base = 1},
  posted    = {retries = 1, base = 1},             -- leaves a message with its result
  posted_item = {retries = 1, base = 1},
  limited   = {limits = {{name = "a", n = 1}}, retries = 1, base = 1},
  greedy    = {limits = {{name = "a", n = 2}, {name = "b", n = 1}}, retries = 1, base = 1,
               priority = 2},
  rated     = {limits = {{name = "r", n = 1}}},
  hurried   = {limits = {{name = "b", n = 1}}, queue_timeout = 15},
  hurried_backed = {limits = {{name = "b", n = 1}}, queue_timeout = 5, has_fallback = true,
                    fallback = "fallback"},
  limited_item = {limits = {{name = "a", n = 1}}, retries = 1, base = 1},
  inner     = {},
  hooked    = {retries = 1, base = 1, functions = {"on_start", "on_success", "on_failure",
               "on_retry", "on_cancel", "undo"}},
  sensor    = {retries = 1, base = 1},
  sensor_asked = {functions = {"retry_if", "delay"}, retries = 2, base = 1},
  skipper   = {},                                  -- skips itself now and then
  skip_item = {},
  teller    = {},                                  -- says true or false
  gated     = {},                                  -- runs when a teller says so
  setup     = {},                                  -- succeeds, fails or skips
  teardown  = {retries = 1, base = 1},
}
core.sources(function() return ("5"):rep(32) end)
local scopes = {
  again = {retries = 2, base = 3},
  timed_group = {retries = 1, base = 2, timeout = 40},
  fast = {fail_fast = true},
  due = {deadline = 60},
}
for name, o in pairs(scopes) do kinds[name] = o end
kinds.dated = {deadline = 30, retries = 2, base = 8}
kinds.dated_backed = {deadline = 30, retries = 2, base = 8, has_fallback = true,
                      fallback = "fallback"}
kinds.dated_good = {deadline = 30, retries = 2, base = 8,
                    fallbacks = {{kind = "last_good"}, {kind = "value", value = "fallback"}}}
kinds.dated_item = {deadline = 30, retries = 2, base = 8, has_fallback = true,
                    fallback = "fallback"}
local rules = {"all_success", "all_failed", "all_done", "all_done_min_one_success", "all_skipped",
               "one_failed", "one_success", "one_done", "none_failed",
               "none_failed_min_one_success", "none_skipped", "always"}
for _, rule in ipairs(rules) do kinds["rule_" .. rule] = {rule = rule} end
local class = {__call = core.call}
local tasks = {}
for name, o in pairs(kinds) do
  tasks[name] = setmetatable({"sim:" .. name, core.options(o), function() end}, class)
end

--- The task with a key of the user's and handles to wait for.
local function with(name, key, after, when, setups)
  local t = tasks[name]
  return setmetatable({t[1], t[2], t[3], key, after, nil, when, setups}, class)
end

-- --- making a tree ---

local state
local function below(n)                          -- xorshift64*: 0 .. n - 1
  state = state ~ (state >> 12)
  state = state ~ (state << 25)
  state = state ~ (state >> 27)
  return (state * 0x2545F4914F6CDD1D >> 33) % n
end

-- Kinds whose end does not depend on time, and all.
local steady = {"plain", "plain", "retried", "effect", "effect", "mailer", "backed", "helped",
                "asked", "limited", "greedy", "hooked", "skipper", "posted", "keeper"}
local simple = {"plain", "plain", "retried", "timed", "effect", "effect", "mailer", "backed",
                "helped", "poison", "asked", "limited", "limited", "greedy", "rated", "hurried",
                "hurried_backed", "hooked", "skipper", "dated", "dated_backed", "dated_good",
                "posted", "keeper"}
local steady_items = {"item", "item", "backed_item", "helped_item", "asked_item",
                      "limited_item", "skip_item", "posted_item", "keeper_item"}
local items = {"item", "item", "slow_item", "backed_item", "helped_item", "poison_item",
               "asked_item", "limited_item", "limited_item", "skip_item", "dated_item",
               "posted_item", "posted_item", "keeper_item", "shared_item", "shared_item"}
local budget, whole, pure

local make_ops

local function any_of(list) return list[below(#list) + 1] end

local function make_op(depth)
  local r = below(100)
  budget = budget - 1
  if r < 7 and not pure then
    return {op = "again", kind = below(3) == 0 and "goody" or "shared", k = below(3),
            dep = below(2) == 0, wait = below(2) == 0}
  elseif r < 38 then
    return {op = "task", kind = any_of(pure and steady or simple), wait = below(2) == 0,
            uses = below(pure and 2 or 3), after = below(5) == 0 and 1 + below(3),
            key = below(12) == 0}
  elseif r < 44 then
    return {op = "fail", how = below(5)}
  elseif r < 45 and depth < 2 and whole - budget > 7 then
    return {op = "die"}
  elseif r < 49 then
    return {op = "rule", rule = any_of(rules), wait = below(2) == 0, kinds = {below(4), below(4)},
            more = below(3)}
  elseif r < 50 and depth < 3 and below(2) == 0 then
    return {op = "group", kind = pure and "again" or any_of{"again", "timed_group", "fast", "due"},
            ops = make_ops(depth + 1, 1 + below(3)), wait = below(3) > 0, flow = below(3) == 0}
  elseif r < 50 and not pure then
    return {op = "teardown", fails = below(2) == 0}
  elseif r < 51 then
    return {op = "gate", wait = below(2) == 0, no = below(8) == 0}
  elseif r < 54 then
    return {op = "pair", wait = below(2) == 0}
  elseif r < 61 then
    budget = budget - 3
    return {op = "map", n = below(7), kind = any_of(pure and steady_items or items),
            dup = below(3) == 0, wait = below(2) == 0, from = below(4), constant = below(4) == 0,
            after = below(6) == 0 and 1, collect = below(3) == 0}
  elseif r < 72 and depth < 3 then
    local branches = {}
    for i = 1, 2 + below(2) do branches[i] = make_ops(depth + 1, 1 + below(3)) end
    return {op = "spawn", branches = branches}
  elseif r < 78 and not pure then
    budget = budget - 2
    return {op = "race", n = 2 + below(2)}
  elseif r < 80 then
    return {op = "sleep", s = 1 + below(50)}
  elseif r < 83 then
    if pure or below(4) == 0 then return {op = "at", s = below(40)} end
    local roll, seconds = below(900), below(60)
    return {op = ({"signal", "signal", "approve", "sensor", "sensor"})[1 + below(5)],
            name = roll % 3, timeout = roll < 600 and seconds or nil, late = roll < 300}
  elseif r < 88 then
    return {op = "value", what = pure and 1 or below(2)}
  elseif r < 95 and depth < 3 then
    return {op = "flow", ops = make_ops(depth + 1, 1 + below(3)), wait = below(3) > 0}
  elseif not pure then
    return {op = "state"}
  end
  return {op = "all"}
end

function make_ops(depth, n)
  local ops = {}
  for i = 1, n do
    if budget <= 0 and i > 1 then break end
    ops[i] = make_op(depth)
  end
  return ops
end

local function start(seed)
  state = seed * 0x9E3779B97F4A7C15 ~ 0x1234567
  if state == 0 then state = 1 end
  for _ = 1, 4 do below(2) end
end

--- The flow of a seed. is_pure: what it returns depends on nothing but its tasks' results.
--- change: 0, or the number of an edit of its code.
local function make(seed, is_pure, change)
  start(seed)
  pure = is_pure
  budget = 7 + below(40)
  whole = budget
  local ops = {}
  while budget > 0 do ops[#ops + 1] = make_op(0) end
  if change > 0 then
    start(seed + change)
    local at, how = 1 + below(#ops), below(3)
    if how == 0 then
      table.remove(ops, at)
    elseif how == 1 then
      table.insert(ops, at, make_op(0))
    else
      ops[at] = make_op(0)
    end
  end
  return ops
end

-- --- running it: an ordinary flow body ---

local run_ops

local function take(h, out)
  local ok, v = h:try()
  world.saw(v)                                    -- what a flow sees is on record
  if ok and type(v) == "table" then v = "[" .. table.concat(v, " ") .. "]" end
  out[#out + 1] = ok and tostring(v) or "!" .. tostring(v.code)
  return ok and v or 0
end

local function opened(s, h)
  s.last, s.open[#s.open + 1], s.handles[#s.handles + 1] = h, h, h
end

local function some(s, n)                        -- the latest handles
  local list = {}
  for i = #s.handles, math.max(1, #s.handles - n + 1), -1 do list[#list + 1] = s.handles[i] end
  return #list > 0 and list or nil
end

local function next_n(s)
  s.n = s.n + 1
  return s.n
end

local act = {}

function act.task(o, s)
  local n, second, third = next_n(s), nil, nil
  if o.uses >= 1 then second = s.last end        -- a handle or a value
  if o.uses == 2 then third = {seen = #s.shared, order = table.concat(s.shared, ","), h = s.last} end
  local t = tasks[o.kind]
  if o.key or o.after then
    t = with(o.kind, o.key and ("%s/%s/%d"):format(s.name, o.kind, n) or nil,
      o.after and some(s, o.after))
  end
  local h = t(n, second, third)
  opened(s, h)
  if o.wait then s.last = take(h, s.out) end
end

function act.pair(o, s)
  local a, b = tasks.pair(next_n(s))
  opened(s, a)
  opened(s, b)
  if o.wait then
    take(a, s.out)
    take(tasks.effect(b, s.n), s.out)
  end
end

function act.fail(o, s)
  local h = tasks.failing(next_n(s))
  if o.how == 0 then
    local ok = pcall(h.get, h)
    s.out[#s.out + 1] = tostring(ok)
  elseif o.how == 1 then
    take(h, s.out)
  elseif o.how == 2 then
    take(tasks.plain(h), s.out)                  -- fails upstream
    h:try()
  elseif o.how == 3 then
    take(with("plain", nil, {h})(s.n), s.out)
  else
    s.handles[#s.handles + 1] = h                -- nobody looks at it, unless as a dependency
  end
end

function act.die(_, s)
  s.out[#s.out + 1] = tostring(tasks.failing(next_n(s)):get())   -- nobody catches it
end

-- A call behind others that succeed, fail, or are skipped, with a rule for which ends let it run.
local behind = {"plain", "failing", "skipper", "retried"}

function act.rule(o, s)
  local after = some(s, o.more) or {}
  for _, k in ipairs(o.kinds) do after[#after + 1] = tasks[behind[k + 1]](next_n(s)) end
  local h = with("rule_" .. o.rule, nil, after)(s.n)
  opened(s, h)
  if o.wait then take(h, s.out) end
  for _, d in ipairs(after) do s.open[#s.open + 1] = d end
end

function act.gate(o, s)
  local h
  if o.no then
    h = with("gated", nil, nil, function() return false end)(next_n(s))
  else
    local says = tasks.teller(next_n(s))
    h = with("gated", nil, nil, says)(says)
  end
  opened(s, h)
  if o.wait then take(h, s.out) end
end

function act.teardown(o, s)
  local up = tasks.setup(next_n(s))
  local work = tasks[o.fails and "failing" or "plain"](up)
  opened(s, with("teardown", nil, {work}, nil, {up})(s.n))
  s.open[#s.open + 1], s.open[#s.open + 2] = work, up
end

local function list_of(o, s)
  local list = {}
  if o.from == 0 then return tasks.lister(next_n(s)) end
  for i = 1, o.n do list[i] = o.dup and i % 2 or i * 10 + s.n end
  if o.from == 1 and s.handles[1] and o.n > 0 and not o.constant then
    list[o.n] = s.handles[#s.handles]            -- an item that is a handle
  end
  return list
end

-- Goes over the items of a map as they end; what it does with each depends on the order.
local function collect(h, s)
  local at, seen, values = 0, {}, {}
  while true do
    local ok, next_at, i, good, v = pcall(core.item, h, at)
    if not ok then
      seen[#seen + 1] = "!" .. tostring(next_at.code)
      break
    elseif not next_at then
      break
    end
    at = next_at
    world.saw(v)
    world.check(values[i] == nil, "an item is collected twice")
    values[i] = good and v ~= nil and v or false
    seen[#seen + 1] = i .. (good and "=" .. tostring(v) or "!" .. tostring(v.code))
    if not s.pure and #seen <= 2 then
      s.open[#s.open + 1] = tasks.effect("item", i, s.n, values[i], #s.shared)
      s.shared[#s.shared + 1] = i
    end
  end
  if s.pure then table.sort(seen) end
  s.out[#s.out + 1] = table.concat(seen, ",")
  local ok, v = h:try()
  for i, given in pairs(ok and type(v) == "table" and values or {}) do
    world.check((v[i] or false) == given, "an item is collected with another value than the map's")
  end
end

function act.map(o, s)
  local list, constant = list_of(o, s), o.constant and s.last or next_n(s)
  if o.kind == "shared_item" and type(list) == "table" and not getmetatable(list) then
    -- Equal items of several maps.
    for i = 1, o.n do list[i] = o.dup and 1 + i % 2 or i end
    constant = o.constant and s.last or 1
  end
  local t = o.after and with(o.kind, nil, some(s, o.after)) or tasks[o.kind]
  local h = core.map(t, list, constant)
  opened(s, h)
  if o.collect then
    s.last = 7
    collect(h, s)
  elseif o.wait then
    s.last = 7
    take(h, s.out)
  end
end

function act.spawn(o, s)
  local hs = {}
  for i, ops in ipairs(o.branches) do
    hs[i] = core.spawn(function(name)
      local out = run_ops(ops, s.shared, s.name .. "/" .. name .. next_n(s), 1)
      if not s.pure then s.shared[#s.shared + 1] = name end   -- who came first is an observation
      return out
    end, "b" .. i)
  end
  for _, h in ipairs(hs) do take(h, s.out) end
  if not s.pure then take(tasks.effect(table.concat(s.shared, ",")), s.out) end
end

function act.race(o, s)
  local hs = {}
  for i = 1, o.n do hs[i] = tasks.plain("race", i, next_n(s)) end
  hs[#hs + 1] = s.handles[#s.handles]
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

-- The same call as others make, or as one makes that has another value behind its handle.
function act.again(o, s)
  local h = tasks[o.kind](o.k, o.dep and s.handles[#s.handles] or nil)
  opened(s, h)
  if o.wait then s.last = take(h, s.out) end
end

function act.sleep(o)
  core.sleep(o.s)
end

function act.at(o, s)
  local at = 1600001000 + o.s * 20
  take(wait.start{kind = "at", name = "at", at = at, details = {at = at}}, s.out)
end

function act.signal(o, s)
  take(wait.start{kind = "signal", name = "signal:s" .. o.name, timeout = o.timeout,
    has_late = o.late, late = "late", details = {timeout = o.timeout}}, s.out)
end

function act.approve(o, s)
  take(wait.start{kind = "approve", name = "approve:a", timeout = o.timeout, has_late = o.late,
    late = "late", late_code = "rejected", details = {timeout = o.timeout}}, s.out)
end

function act.sensor(o, s)
  local t = tasks[o.name == 0 and "sensor_asked" or "sensor"]
  local every = wait.every{plan = core.options{base = 1 + o.name}, timeout = o.timeout,
    has_late = o.late, late = "late"}
  take(setmetatable({t[1], t[2], t[3], nil, nil, every}, class)(next_n(s), s.last), s.out)
end

function act.value(o, s)
  if o.what == 0 then
    local t = core.record("now", world.now())
    s.out[#s.out + 1] = tostring(t)
    tasks.effect("at", t):try()
  else
    s.out[#s.out + 1] = tostring((core.draw("random")))
  end
end

function act.flow(o, s)
  local self = setmetatable({"sim:inner", tasks.inner[2], act.flow}, class)
  local name, from = s.name .. "/f" .. next_n(s), s.n
  local h = core.subflow(self, function(p) return run_ops(o.ops, {}, name, p) end, from)
  if o.wait then take(h, s.out) else opened(s, h) end
end

-- A part that is tried again as a whole, stopped as a whole. Its body may change what is around.
function act.group(o, s)
  local name, from, t = s.name .. "/g" .. next_n(s), s.n, tasks[o.kind]
  local self = setmetatable({(o.flow and "sim:" or "group:") .. o.kind, t[2], t[3]}, class)
  local function body()
    if not o.flow and not s.pure then s.shared[#s.shared + 1] = name end
    local out = run_ops(o.ops, o.flow and {} or s.shared, name, from)
    local h = tasks.plain(from, out)
    s.tail = h
    h:get()
    if o.kind ~= "due" then tasks.retried(from, out):get() end
    return out
  end
  local h = (o.flow and core.subflow or core.group)(self, body, from)
  if o.wait then take(h, s.out) else opened(s, h) end
end

function act.state(_, s)
  local h = s.handles[#s.handles]
  if h then s.out[#s.out + 1] = h:state() end
end

function act.all(_, s)
  local hs = some(s, 3)
  if hs then core.wait(hs, false) end
end

function run_ops(ops, shared, name, n)
  local s = {out = {}, open = {}, handles = {}, shared = shared, last = 7, n = n, name = name,
             pure = sim.pure}
  for _, o in ipairs(ops) do act[o.op](o, s) end
  for _, h in ipairs(s.open) do take(h, s.out) end
  return table.concat(s.out, " ")
end

-- The tree of the seed that is simulated now is kept: it boots several times.
local kept, ops_of = nil, nil

--- The flow body of a seed.
function sim.body(seed, is_pure, change)
  local what = ("%d %s %d"):format(seed, is_pure, change)
  if kept ~= what then
    kept, ops_of = what, make(seed, is_pure, change)
  end
  sim.pure = is_pure
  local ops = ops_of
  return function() return run_ops(ops, {}, "", 1) end
end

return sim
