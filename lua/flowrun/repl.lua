--- The read-eval-print loop. Input is Lua in an environment of its own; definitions of tasks
--- and flows that are typed form the session's script (engine.md C6), from which workers load
--- them like any other.
local bundle = require "flowrun.bundle"
local core = require "flowrun.core.engine"
local error_class = require "flowrun.core.error"
local line_core = require "flowrun.core.line"
local look = require "flowrun.cli._look"
local pretty = require "flowrun.pretty"
local registry = require "flowrun.registry"
local session = require "flowrun.session"
local text = require "flowrun.cli._text"
local tty = require "flowrun.core.tty"

---@class flowrun.Repl
local Repl = {}
Repl.__index = Repl

local late = {frame = "flowrun.frame", ml = "flowrun.ml", ts = "flowrun.ts",
              json = "flowrun.json", random = "flowrun.random", fr = "flowrun"}

local TICK_MS = 100

--- A session; file is loaded if given.
---@param file string?
---@param help string
function Repl.new(file, help)
  local self = setmetatable({file = file, help = help, runs = {}, chunks = {}, pending = nil}, Repl)
  self.env = setmetatable({}, {__index = function(_, name)
    if late[name] then
      local ok, module = pcall(require, late[name])
      if ok then return module end
    end
    return _G[name]
  end})
  self.paint = text.painter(text.colours("stdout"))
  self:hook_runs()
  if file then self:load(file) end
  return self
end

-- The chunks that define things as one script, which requires the modules that it names.
function Repl:text()
  local typed = table.concat(self.chunks, "\n")
  local head = {}
  for name, module in pairs(late) do
    if typed:find("%f[%w_]" .. name .. "%f[^%w_]") then
      head[#head + 1] = ("local %s = require %q "):format(name, module)
    end
  end
  table.sort(head)
  return table.concat(head) .. typed
end

-- What is typed is a script too: a flow of it is loaded from that text.
function Repl:hook_runs()
  local from_file, start = session.script_of, session.start
  function session.script_of(f)
    if self.script and self.script.registry.flows[f[1]] == f then
      return bundle.open(self.script.sources)  -- as it was loaded, whatever the file says now
    end
    if debug.getinfo(f.fn, "S").source:sub(1, 1) == "@" then return from_file(f) end
    return bundle.load_text(self:text(), "session")
  end
  function session.start(script, f, p, o)
    o = o or {}
    o.moments = not o.plan
    local run = start(script, f, p, o)
    if not o.plan then
      self.runs[#self.runs + 1] = {run = run, name = f.name, id = run:id()}
      self:above(("[%d] %s started"):format(run:id(), f.name))
    end
    return run
  end
end

function Repl:above(s)
  if self.line then self.line:above(s) else print(s) end
end

-- --- background runs ---

function Repl:show_moment(r, m)
  local what, node = m[1], m[2]
  if what == "items" or what == "started" then return end
  local n = r.run:info(node)
  if n.recorded then return end
  local name = text.short(n.name)
  if what == "retry" then
    self:above(("[%d] ↻ %s attempt %d failed: %s"):format(r.id, name, n.attempt,
      n.error and n.error.message or "?"))
  elseif n.state == "SUCCESS" then
    self:above(("[%d] %s %s %s"):format(r.id, self.paint("green", "✔"), name,
      n.started ~= 0 and text.duration(n.ended - n.started) or ""))
  else
    self:above(("[%d] %s %s %s"):format(r.id, self.paint("red", "✘"), name,
      n.error and text.cut((n.error.message:gsub("\n.*", "")), 100) or n.state))
  end
end

function Repl:tick()
  for i = #self.runs, 1, -1 do
    local r = self.runs[i]
    local moments, lost = r.run:moments()
    for k, m in ipairs(moments or {}) do
      if k <= 20 then self:show_moment(r, m) end
    end
    if lost and lost > 0 then self:above(("[%d] … %d more"):format(r.id, lost)) end
    if r.run:ended() then
      local o = r.run:outcome()
      self:above(("[%d] %s %s%s"):format(r.id, r.name, o.state,
        o.error and ": " .. tostring(o.error.message) or ""))
      table.remove(self.runs, i)
    end
  end
  self:watch()
end

-- --- the file ---

local function changed_tasks(before, after)
  local changed, same = {}, 0
  for id, hash in pairs(after) do
    if before[id] ~= hash then changed[#changed + 1] = text.short(id) else same = same + 1 end
  end
  table.sort(changed)
  return changed, same
end

function Repl:load(file)
  local _, mtime = tty.stat(file)
  self.mtime = mtime
  local ok, script = pcall(bundle.load, file, {mode = "free"})
  if not ok then
    self:above(("%s: %s%s"):format(self.paint("red", "not loaded"), tostring(script),
      self.script and "; the old one stays" or ""))
    return false
  end
  local prints = script:fingerprints()
  if self.script then
    local changed, same = changed_tasks(self.prints, prints)
    self:above(("reloaded %s: %s changed, %d unchanged"):format(file,
      #changed > 0 and table.concat(changed, ", ") or "nothing", same))
  end
  self.script, self.prints = script, prints
  for _, object in ipairs(script.registry.order) do self.env[object.name] = object end
  return true
end

function Repl:watch()
  if not self.file then return end
  local _, mtime = tty.stat(self.file)
  if mtime and mtime ~= self.mtime then self:load(self.file) end
end

-- --- commands ---

local commands = {}

function commands.help(self) print(self.help) end
function commands.quit() return "quit" end
function commands.reload(self)
  if not self.file then error_class.raise("state", "no FILE was given to flowrun repl") end
  self:load(self.file)
end

-- Opens a recorded run: its flow is replayed without executing anything.
function commands.load(self, id)
  local store <close>, _ = look.open{home = session.home()}
  local run = look.run(store, id)
  local script = bundle.open(store:bundle(store:code(run)))
  local planned = session.start(script, script:find(run.flow),
    run.params and run.params:unpack() or {}, {plan = true, resume = run.id, seed = run.seed})
  while not planned:ended() do session.engine():turn() end
  self.loaded = {run = planned, script = script, id = run.id}
  local tasks = {}
  for t in store:tasks(run.id) do
    local name = text.short(t.name or "?")
    tasks[name] = tasks[name] or {state = t.state, attempt = t.attempt, name = name,
      result = t.result and t.result:unpack(), error = t.error and t.error:unpack()}
  end
  self.env.run = {id = run.id, flow = run.flow, state = run.state, tasks = tasks,
    params = run.params and run.params:unpack(), result = run.result and run.result:unpack()}
  print(("run %d of %s, %s: `run` has its tasks; :rerun TASK calls one again"):format(run.id,
    run.flow, run.state))
end

function commands.rerun(self, name)
  local l = self.loaded
  if not l then
    error_class.raise("state", ":load RUN first; :rerun calls one of its tasks again")
  end
  if not name then error_class.raise("invalid", ":rerun TASK: which task?") end
  local names = {}
  for i = 0, l.run:count() - 1 do
    local n = l.run:info(i)
    names[#names + 1] = text.short(n.name)
    if text.short(n.name) == name and n.kind == "task" then
      local task = self.script and self.script:find(name) or l.script:find(name)
      return task.fn(l.run:arguments(i))
    end
  end
  local near = error_class.nearest(name, names)
  error_class.raise("not_found", ("run %d has no task '%s'%s"):format(l.id, name,
    near and "; did you mean '" .. near .. "'?" or ""))
end

for _, name in ipairs{"runs", "show", "logs"} do
  commands[name] = function(_, word)
    local words = name == "runs" and {"--limit", word or "10"} or {word or "@last"}
    require("flowrun.cli").command(name).run{"--home", session.home(), table.unpack(words)}
  end
end

function Repl:command(input)
  local name, word = input:match("^:(%l+)%s*(%S*)")
  if name == "q" then name = "quit" end
  local fn = commands[name or ""]
  if not fn then
    local names = {"help", "quit", "runs", "show", "logs", "load", "rerun", "reload"}
    local near = name and error_class.nearest(name, names)
    error_class.raise("not_found", ("no command %s%s; :help lists them"):format(input:match("^%S+"),
      near and ", did you mean :" .. near .. "?" or ""))
  end
  return fn(self, word ~= "" and word or nil)
end

-- --- evaluation ---

-- A function for the input, or nil and whether more lines are needed (or the error).
function Repl:compile(input)
  local fn = load("return " .. input, "=repl", "t", self.env)
  if fn then return fn, true end
  local err
  fn, err = load(input, "=repl", "t", self.env)
  if fn then return fn, false end
  if err:find("<eof>$") then return nil, "more" end
  return nil, nil, err
end

local function show_values(n, values)
  for i = 1, n do print("= " .. pretty.show(values[i])) end
end

-- As pcall; Ctrl-C ends it, never the session.
local function interruptible(fn, ...)
  local engine = session.engine()
  engine:signals(true, true)
  local results = table.pack(core.call(fn, ...))
  engine:signals(false)
  return table.unpack(results, 1, results.n)
end

function Repl:evaluate(input)
  local fn, is_expression, err = self:compile(input)
  if not fn then
    print(self.paint("red", err))
    return
  end
  local before = #registry.current().order
  local results = table.pack(interruptible(fn))
  if #registry.current().order > before or input:find("require") then
    self.chunks[#self.chunks + 1] = input
  end
  if not results[1] then
    print(self.paint("red", tostring(results[2])))
  elseif is_expression and results.n > 1 then
    show_values(results.n - 1, table.pack(table.unpack(results, 2, results.n)))
  end
end

-- --- completion ---

local function names_of(t, prefix, out, method)
  local seen = {}
  for _ = 1, 4 do
    if type(t) ~= "table" then break end
    for k, v in pairs(t) do
      if type(k) == "string" and k:sub(1, #prefix) == prefix and not seen[k]
        and (not method or type(v) == "function") then
        seen[k] = true
        out[#out + 1] = k
      end
    end
    local mt = debug.getmetatable(t)
    t = mt and rawget(mt, "__index")
  end
end

function Repl:complete(line)
  local path, word = line:match("([%a_][%w_%.:]*[%.:])([%w_]*)$")
  if not path then path, word = "", line:match("[%w_:]*$") end
  local out = {}
  if line:sub(1, 1) == ":" then
    names_of(commands, line:sub(2), out)
    word = line:sub(2)
  elseif path == "" then
    names_of(self.env, word, out)
    names_of(late, word, out)
    names_of(_G, word, out)
  else
    local v = self.env
    for name in path:gmatch("[%w_]+") do
      local ok, next_v = pcall(function() return v[name] end)
      if not ok then return {}, 0 end
      v = next_v
    end
    if type(v) == "userdata" or type(v) == "string" then
      local mt = debug.getmetatable(v)
      v = mt and mt.__index
    end
    names_of(v, word, out, path:sub(-1) == ":")
  end
  table.sort(out)
  return out, #word
end

-- --- the loop ---

--- Reads and evaluates until the end of input. Returns the exit code.
function Repl:loop()
  local engine = session.engine()
  local history = session.home() and session.home() .. "/history"
  self.line = line_core.open(engine, history, function(s) return self:complete(s) end)
  engine:tick(TICK_MS, function() self:tick() end)
  if tty.is_terminal("stdin") then
    print(("flowrun %s · Lua 5.4%s · :help · Tab completes · Ctrl-D leaves"):format(
      require("flowrun.core.version").flowrun, self.file and " · " .. self.file or ""))
  end
  local input
  while true do
    local s, interrupted = self.line:read(input and "......> " or "flowrun> ")
    if not s then break end
    if interrupted then
      input = nil
    elseif not input and s:find("^%s*:") then
      local ok, what = interruptible(self.command, self, s:match("^%s*(.-)%s*$"))
      self.line:remember(s)
      if what == "quit" and ok then break end
      if not ok then print(self.paint("red", tostring(what))) end
      if ok and what ~= nil then print("= " .. pretty.show(what)) end
    elseif input or s:find("%S") then
      input = input and input .. "\n" .. s or s
      local _, more = self:compile(input)
      if more ~= "more" then
        self.line:remember(input)
        self:evaluate(input)
        input = nil
      end
    end
  end
  engine:tick(0)
  self.line:close()
  self.line = nil
  return self:leave()
end

-- Runs that still go on are cancelled; they can be continued by `flowrun rerun`.
function Repl:leave()
  local engine = session.engine()
  for _, r in ipairs(self.runs) do
    if not r.run:ended() then
      print(("cancelling run %d"):format(r.id))
      r.run:cancel("cancelled", "the session ended")
    end
  end
  for _, r in ipairs(self.runs) do
    while not r.run:ended() do engine:turn() end
  end
  return 0
end

return Repl
