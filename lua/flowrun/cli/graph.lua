--- `flowrun graph FILE|RUN`: the calls of a flow and what they wait for, as text, mermaid or dot.
--- Nothing is executed: of a FILE the flow body runs as far as it can without results, of a RUN
--- as far as its record carries it.
local bundle = require "flowrun.bundle"
local cli = require "flowrun.cli"
local drive = require "flowrun.cli._drive"
local error_class = require "flowrun.core.error"
local look = require "flowrun.cli._look"
local params = require "flowrun.params"
local session = require "flowrun.session"
local text = require "flowrun.cli._text"

local function plan(script, f, p, id, seed)
  local run = session.start(script, f, p, {plan = true, resume = id, seed = seed or 0})
  local engine = session.engine()
  while not run:ended() do engine:turn() end
  local nodes = {}
  for i = 0, run:count() - 1 do
    local n = run:info(i)
    if n.kind ~= "spawn" then
      n.id = i
      nodes[#nodes + 1] = n
    end
  end
  return nodes, run:outcome()
end

local function label(n)
  local name = text.short(n.name)
  if n.kind == "map" then
    return n.items > 0 and ("%s × %d"):format(name, n.items) or name .. " ×"
  end
  return name
end

local function waits_for(n)
  local seen, list = {}, {}
  for _, d in ipairs(n.deps) do
    if not seen[d] then seen[d], list[#list + 1] = true, d end
  end
  return list
end

local draw = {}

function draw.mermaid(nodes)
  local out = {"flowchart LR"}
  for _, n in ipairs(nodes) do
    out[#out + 1] = ('  n%d["%s"]'):format(n.id, label(n):gsub('"', "'"))
  end
  for _, n in ipairs(nodes) do
    for _, d in ipairs(waits_for(n)) do out[#out + 1] = ("  n%d --> n%d"):format(d, n.id) end
  end
  return table.concat(out, "\n")
end

function draw.dot(nodes)
  local out = {"digraph flow {", "  rankdir = LR;", "  node [shape = box, fontname = sans];"}
  for _, n in ipairs(nodes) do
    out[#out + 1] = ('  n%d [label = "%s"];'):format(n.id, label(n):gsub('"', '\\"'))
  end
  for _, n in ipairs(nodes) do
    for _, d in ipairs(waits_for(n)) do out[#out + 1] = ("  n%d -> n%d;"):format(d, n.id) end
  end
  out[#out + 1] = "}"
  return table.concat(out, "\n")
end

-- One line per call in the order of calling; what it waits for behind an arrow.
function draw.tree(nodes)
  local by_id, out, width = {}, {}, 0
  for _, n in ipairs(nodes) do
    by_id[n.id] = n
    width = math.max(width, utf8.len(label(n)))
  end
  for _, n in ipairs(nodes) do
    local names = {}
    for i, d in ipairs(waits_for(n)) do names[i] = by_id[d] and label(by_id[d]) or "?" end
    local state = n.state == "WAITING" and "" or n.recorded and n.state:lower() or ""
    out[#out + 1] = (("%s  %s%s"):format(text.pad(label(n), width),
      #names > 0 and "← " .. table.concat(names, ", ") or "", state ~= "" and "  " .. state or "")
      :gsub("%s+$", ""))
  end
  return table.concat(out, "\n")
end

local function as_json(nodes)
  local list = setmetatable({}, require("flowrun.json").array_mt)
  for i, n in ipairs(nodes) do
    list[i] = {id = n.id, name = n.name, kind = n.kind, key = n.key, state = n.state,
      waits_for = setmetatable(waits_for(n), require("flowrun.json").array_mt), where = n.where}
  end
  return list
end

local function of_run(o, word)
  local store, home = look.open(o)
  local run = look.run(store, word)
  local script = bundle.open(store:bundle(store:code(run)))
  store:close()
  session.engine{home = home, workers = 1}
  local given = run.params and run.params:unpack() or {}
  return plan(script, script:find(run.flow), given, run.id, run.seed)
end

local function of_file(o, file, rest)
  local script = bundle.load(file)
  local f = o.flow and script.flows[o.flow] or script.flow
  if not f then
    error_class.raise("invalid", ("%s has several flows; say which one: --flow NAME"):format(file))
  end
  session.engine{home = false, workers = 1}
  local given = params.from_args(f.name, f.params, rest)
  return plan(script, f, params.read(f.name, f.params, nil, given))
end

local known = {["--home"] = "DIR", ["--json"] = false, ["--format"] = "tree|mermaid|dot",
               ["--flow"] = "NAME"}

local function run(args)
  local o, rest = drive.parse(args, known)
  if not o then return cli.usage(rest .. "; see flowrun graph --help") end
  local target = table.remove(rest, 1)
  if not target then return cli.usage("graph: which FILE or RUN?") end
  if not target:find("%.lua$") and #rest > 0 then        -- options behind RUN
    local more = drive.parse(rest, known)
    for k, v in pairs(more or {}) do o[k] = v end
  end
  local format = o.format or "tree"
  if not draw[format] then
    return cli.usage(("graph: --format: expected tree, mermaid or dot, got '%s'"):format(format))
  end
  local code = drive.guard(function()
    local nodes
    if target:find("%.lua$") then
      nodes = of_file(o, target, rest)
    else
      nodes = of_run(o, target)
    end
    if o.json then look.json(as_json(nodes)) else print(draw[format](nodes)) end
    return cli.exit.ok
  end)
  session.close()
  return code
end

return {
  summary = "draw the calls of a flow or run: tree, mermaid or dot",
  args = "[--format tree|mermaid|dot] [--json] FILE|RUN",
  help = "Nothing is executed. Of a FILE the flow body runs as far as it can without results\n"
    .. "(what stands behind a :get() is not known yet); of a RUN all recorded calls are shown.\n"
    .. "--json prints an array of {id, name, kind, key, state, waits_for, where}.",
  run = run,
}
