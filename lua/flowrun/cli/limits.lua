--- `flowrun limits`: named limits, who holds and who waits; set and rm change them.
local cli = require "flowrun.cli"
local error_class = require "flowrun.core.error"
local limits = require "flowrun.limits"
local look = require "flowrun.cli._look"
local session = require "flowrun.session"
local text = require "flowrun.cli._text"

local sources = {"the script", "flowrun limits set"}

local function rate_text(l)
  if not l.rate then return "-" end
  local names = {[1] = "s", [60] = "min", [3600] = "h", [86400] = "d"}
  local seconds = l.period / 1e9
  return ("%d/%s"):format(l.rate, names[seconds] or ("%gs"):format(seconds))
end

local function slots_text(l)
  if l.slots then return tostring(l.slots) end
  return l.rate and "-" or "1 (not set)"
end

local function holder_json(s)
  return {run = s.run, row = s.row, task = s.name, slots = s.slots, priority = s.priority,
    since = look.seconds(s.granted or s.since), alive = s.alive}
end

local function show_json(all, slots)
  local array = require("flowrun.json").array_mt
  local out, by_name = setmetatable({}, array), {}
  for i, l in ipairs(all) do
    out[i] = {name = l.name, slots = l.slots, rate = l.rate, period = look.seconds(l.period),
      set_by = sources[l.source], used = l.used, waiting = l.waiting,
      holders = setmetatable({}, array), waiters = setmetatable({}, array)}
    by_name[l.name] = out[i]
  end
  for _, s in ipairs(slots) do
    local list = s.granted and by_name[s.limit].holders or by_name[s.limit].waiters
    list[#list + 1] = holder_json(s)
  end
  look.json(out)
end

local MOST = 20

local function slot_row(s, now)
  local what = s.row == 0 and "the run itself" or text.short(s.name)
  return {s.limit, s.granted and "holds" or "waits", tostring(s.slots),
    ("run %d%s"):format(s.run, s.alive and "" or " (dead: makes room)"), what,
    tostring(s.priority), text.duration(math.max(0, now - (s.granted or s.since)))}
end

local function show(all, slots)
  if #all == 0 then
    print("no limits yet; a task names one with limit = \"oms\", and flowrun limits set oms 4 "
      .. "says how many slots it has")
    return
  end
  local rows = {}
  for i, l in ipairs(all) do
    rows[i] = {l.name, slots_text(l), tostring(l.used), tostring(l.waiting), rate_text(l),
      sources[l.source] or "-"}
  end
  print(text.table({"LIMIT", "SLOTS", "USED", "WAITING", "RATE", "SET BY"}, rows,
    {false, true, true, true, true, false}))
  local lines, now = {}, require("flowrun.core.body").now() * 1e9 // 1 | 0
  for i, s in ipairs(slots) do
    if i <= MOST then lines[i] = slot_row(s, now) end
  end
  if #lines > 0 then
    print("\n" .. text.table({"LIMIT", "", "SLOTS", "RUN", "TASK", "PRIORITY", "FOR"}, lines,
      {false, false, true, false, false, true, true}))
  end
  if #slots > MOST then
    print(("… and %s more; flowrun limits --json lists all"):format(text.count(#slots - MOST)))
  end
end

-- "4", "100/min", or both words.
local function read_setting(words)
  local o = {}
  for i = 3, #words do
    local n = math.tointeger(tonumber(words[i]))
    local starts, seconds = limits.rate(words[i])
    if n and n >= 0 and not o.slots then
      o.slots = n
    elseif starts and not o.rate then
      o.rate, o.period = starts, seconds * 1e9 // 1 | 0
    else
      error_class.raise("invalid", ("flowrun limits set: expected a number of slots (0 closes the "
        .. "limit) or a rate such as 100/min, got '%s'"):format(words[i]))
    end
  end
  if not o.slots and not o.rate then
    error_class.raise("invalid", "flowrun limits set NAME N: how many slots, or which rate?")
  end
  return o
end

local function change(store, words)
  local name = words[2]
  if not name then
    error_class.raise("invalid", ("flowrun limits %s NAME: which limit?"):format(words[1]))
  end
  if words[1] == "rm" then
    store:remove_limit(name)
    print(("limit %s is not set any more"):format(name))
    return
  end
  limits.check_name("flowrun limits set", name)
  local o = read_setting(words)
  store:set_limit(name, o)
  print(("limit %s: %s"):format(name, o.slots == 0 and "closed; what needs it waits"
    or (o.slots and text.plural(o.slots, "slot") or "")
      .. (o.rate and (o.slots and ", " or "") .. rate_text(o) or "")))
end

return {
  summary = "named limits: who holds slots, who waits; set and rm",
  args = "[set NAME N|RATE | rm NAME] [--json]",
  help = [[
limits               lists limits, who holds their slots and who waits, in the order of service
limits set NAME 4    at most 4 slots are held at a time, in all runs of the store; 0 closes it
limits set NAME 100/min      at most 100 starts in any minute (4 100/min: both)
limits rm NAME       what scripts say counts again; a limit nobody set has one slot
--json               an array of objects with name, slots, rate, period (seconds), set_by, used,
                     waiting, holders and waiters: run, row, task, slots, priority, since, alive]],
  run = function(args)
    local o, words = look.parse(args, nil, 4)
    if not o then return cli.usage(words .. "; see flowrun limits --help") end
    local verb = words[1]
    if verb and verb ~= "set" and verb ~= "rm" then
      return cli.usage(("unknown word '%s'; flowrun limits knows set and rm"):format(verb))
    end
    return require("flowrun.cli._drive").guard(function()
      if verb == "set" then                      -- limits may be set before there is a run
        local home = o.home or session.default_home()
        local store <close> = require("flowrun.store").open(home)
        change(store, words)
        return cli.exit.ok
      end
      local store <close> = look.open(o, verb ~= nil)
      if verb then
        change(store, words)
      elseif o.json then
        show_json(store:limits(), store:slots())
      else
        show(store:limits(), store:slots())
      end
      return cli.exit.ok
    end)
  end,
}
