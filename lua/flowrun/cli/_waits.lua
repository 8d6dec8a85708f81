--- What the commands signal, approve, reject and `runs --waiting` share: the waits of a run.
local error_class = require "flowrun.core.error"
local json = require "flowrun.json"
local look = require "flowrun.cli._look"

local waits = {}

---@class fr.cli.wait
---@field run integer
---@field kind "signal"|"approve"
---@field name string
---@field key string of the call
---@field since number seconds since 1970
---@field details table message, role, timeout, …

--- The wait that a record of the type start tells of; nil when it is no wait.
---@param r fr.store.record
---@return fr.cli.wait?
function waits.read(r)
  local kind, name = (r.name or ""):match("^(%a+):(.*)$")
  if r.kind ~= "signal" or r.state ~= "DEFERRED" or (kind ~= "signal" and kind ~= "approve") then
    return nil
  end
  local details = r.result and look.plain(r.result)
  return {kind = kind, name = name, key = r.key, since = look.seconds(r.queued),
    details = type(details) == "table" and details or {}}
end

--- What a run waits for from outside, oldest first.
---@param store fr.store
---@param id integer
---@return fr.cli.wait[]
function waits.of(store, id)
  local list = {}
  for r in store:records(id, "start") do
    local w = waits.read(r)
    if w then
      w.run = id
      list[#list + 1] = w
    end
  end
  table.sort(list, function(a, b)
    if a.since ~= b.since then return (a.since or 0) < (b.since or 0) end
    return a.name < b.name
  end)
  return list
end

--- One line that says what is waited for.
---@param w fr.cli.wait
---@return string
function waits.text(w)
  if w.kind == "signal" then return "signal " .. w.name end
  local role = w.details.role and (" (role %s)"):format(w.details.role) or ""
  return ("approval %s%s: %s"):format(w.name, role, tostring(w.details.message or ""))
end

--- What JSON shows of a wait.
function waits.json(w)
  return {run = w.run, kind = w.kind == "approve" and "approval" or w.kind, name = w.name,
    since = w.since, message = w.details.message, role = w.details.role,
    timeout = w.details.timeout}
end

local function names(list)
  local out = {}
  for i, w in ipairs(list) do out[i] = waits.text(w) end
  return #out > 0 and "it waits for: " .. table.concat(out, "; ") or "it waits for nobody"
end

--- The person who asks: --as NAME, else the user of the system.
---@param o table
---@return string
function waits.person(o)
  if o.as ~= nil and o.as == "" then error_class.raise("invalid", "--as needs a name") end
  return o.as or os.getenv("LOGNAME") or os.getenv("USER") or "unknown"
end

local function living(store, word)
  local run = look.run(store, word)
  if run.state ~= "RUNNING" and run.state ~= "SCHEDULED" and run.state ~= "PAUSED" then
    error_class.raise("invalid", ("run %d has ended already: %s"):format(run.id, run.state))
  end
  return run
end

local function say(run, o, done, asked)
  if o.json then
    asked.run, asked.alive = run.id, run.alive
    look.json(asked)
  else
    print(("run %d: %s%s"):format(run.id, done, run.alive and ""
      or ("; it has no process and hears it when it is resumed: flowrun resume %d")
        :format(run.id)))
  end
end

--- `flowrun signal RUN NAME [JSON]`.
function waits.signal(store, o, words)
  local run, name = living(store, words[1]), words[2]
  if not name then
    error_class.raise("invalid", ("which signal? give its NAME; run %d: %s"):format(run.id,
      names(waits.of(store, run.id))))
  end
  if not name:find("^[%w_][%w_%.%-]*$") or #name > 200 then
    error_class.raise("invalid", ("NAME: expected letters, digits, _, . and -, got '%s'")
      :format(name))
  end
  local value
  if words[3] then
    local v, err = json.try_decode(words[3])
    if err then
      error_class.raise("invalid", ("JSON: %s; a text needs its own quotes, as '\"yes\"'")
        :format(err.message))
    end
    value = v
  end
  store:request(run.id, "signal", json.encode{name = name, value = value, by = waits.person(o)})
  say(run, o, "signal " .. name .. " is on its way", {signal = name})
end

local function pick(store, run, name)
  local all, fits = waits.of(store, run.id), {}
  for _, w in ipairs(all) do
    if w.kind == "approve" and (not name or w.name == name) then fits[#fits + 1] = w end
  end
  if #fits == 0 then
    error_class.raise("not_found", ("run %d waits for no approval%s; %s"):format(run.id,
      name and " called " .. name or "", names(all)))
  end
  for _, w in ipairs(fits) do
    if w.name ~= fits[1].name then
      error_class.raise("invalid", ("which one? run %d: %s"):format(run.id, names(all)))
    end
  end
  return fits[1]
end

--- `flowrun approve|reject RUN [NAME]`. It is meant for that one wait: a second decision about
--- the same changes nothing, and no later wait takes it.
function waits.decide(store, o, words, kind)
  local run = living(store, words[1])
  local w = pick(store, run, words[2])
  local by = waits.person(o)
  store:request(run.id, kind, json.encode{name = w.name, key = w.key, by = by,
    value = {approved = kind == "approve", by = by, comment = o.comment,
             at = require("flowrun.core.body").now()}})
  say(run, o, ("%s %s by %s"):format(w.name, kind == "approve" and "approved" or "rejected", by),
    {name = w.name, decision = kind, by = by})
end

return waits
