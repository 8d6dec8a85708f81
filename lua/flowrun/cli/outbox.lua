--- `flowrun outbox`: messages that tasks left for other systems.
local bundle = require "flowrun.bundle"
local cli = require "flowrun.cli"
local drive = require "flowrun.cli._drive"
local error_class = require "flowrun.core.error"
local look = require "flowrun.cli._look"
local session = require "flowrun.session"
local text = require "flowrun.cli._text"

local function number(word, verb)
  local id = math.tointeger(tonumber(word))
  if not id or id < 1 then
    error_class.raise("invalid", ("which message? flowrun outbox %s ID, from flowrun outbox list%s")
      :format(verb, word and "; got '" .. word .. "'" or ""))
  end
  return id
end

local function plain(m)
  return {id = m.id, run = m.run, record = m.seq, state = m.state, name = m.name, key = m.key,
    task = m.task ~= "flowrun:outbox" and m.task or nil, attempts = m.attempts,
    retries = m.retries, made = look.seconds(m.made), changed = look.seconds(m.changed),
    due = m.state == "pending" and look.seconds(m.due) or nil, error = m.error,
    owner = m.state == "pending" and m.owner or nil, args = look.plain(m.args)}
end

local function list(store, o)
  local all = o.all and store:outbox{} or store:outbox{"pending", "dead"}
  if o.json then
    local out = {}
    for i, m in ipairs(all) do out[i] = plain(m) end
    return look.json(out)
  end
  if #all == 0 then
    return print(o.all and "no messages" or "no message is pending or dead (--all lists all)")
  end
  local rows = {}
  for i, m in ipairs(all) do
    rows[i] = {tostring(m.id), tostring(m.run), m.state, ("%d/%d"):format(m.attempts,
      (m.retries or 0) + 1), text.time(m.made), text.cut(m.name, 50), text.cut(m.error or "", 60)}
  end
  print(text.table({"ID", "RUN", "STATE", "TRIED", "MADE", "MESSAGE", "LATEST ERROR"}, rows,
    {true, true, false, true, false, false, false}))
end

local function one(store, id)
  return store:outbox{id = id}[1]
    or error_class.raise("not_found", ("there is no message %d; see flowrun outbox list --all")
      :format(id))
end

local function show(store, o, id)
  local m = one(store, id)
  if o.json then return look.json(plain(m)) end
  print(("message %d  %s  %s"):format(m.id, m.name, m.state))
  print(("from     run %d, record %d   made %s"):format(m.run, m.seq, text.time(m.made)))
  print(("tried    %d of %d   changed %s"):format(m.attempts, (m.retries or 0) + 1,
    text.time(m.changed)))
  print("key      " .. m.key)
  if m.state == "pending" then
    local alive = store:alive(m.owner)
    print("due      " .. (m.due and text.time(m.due) or "now") .. (alive
      and ("   by run %d"):format(m.owner) or "   by the next run: flowrun outbox deliver"))
  end
  if m.error then print("error    " .. m.error) end
  if m.args then print("args     " .. text.cut(m.args:json(), 2000)) end
end

-- What delivers is a run like any other, so it holds a lock, and other runs leave it alone.
local source = [[
local fr = require "flowrun"
return fr.flow("outbox-deliver", function() end)
]]

local function deliver(o)
  local store, home = look.open(o, true)
  store:outbox_change(0, "now")
  local before = #store:outbox{"pending", limit = 100000}
  store:close()
  if before == 0 then
    if o.json then look.json{pending = 0, tried = 0} else print("nothing is pending") end
    return cli.exit.ok
  end
  session.engine{home = home}
  local script = bundle.load_text(source, "outbox-deliver")
  local f = script:find("outbox-deliver")
  local run = session.start(script, f, {}, {outbox_wait = -1})
  local code = drive.run(run, {script = script, flow = f, params = {}}, {quiet = true})
  session.close()
  local after <close> = look.open(o)
  local counts = {pending = #after:outbox{"pending", limit = 100000}, tried = before}
  if o.json then
    look.json(counts)
  else
    print(("%d of %d delivered or given up; %d still pending; see flowrun outbox list")
      :format(before - counts.pending, before, counts.pending))
  end
  return code
end

return {
  summary = "list, retry, drop or deliver messages of fr.outbox",
  args = "[list [--all] | show ID | retry ID | drop ID | deliver] [--json]",
  help = [[
list     what is pending or dead; --all: also what is delivered or dropped
show     one message with its arguments, key and latest error
retry    tries a message again from the start, also a dead or dropped one
drop     a pending or dead message is not delivered any more
deliver  tries everything that is pending now, once, unless a living run owns it. Messages with a
         sender task need their flow: they are delivered by its next run.
--json prints id, run, record, state, name, key, task, attempts, retries, made, changed, due, error,
owner, args.]],
  run = function(args)
    local o, words = look.parse(args, {["--all"] = false}, 2)
    if not o then return cli.usage(words .. "; see flowrun --help") end
    local verb = words[1] or "list"
    return drive.guard(function()
      if verb == "deliver" then return deliver(o) end
      local write = verb == "retry" or verb == "drop"
      if not write and verb ~= "list" and verb ~= "show" then
        return cli.usage(("outbox: expected list, show, retry, drop or deliver, got '%s'")
          :format(verb))
      end
      local store <close> = look.open(o, write)
      if verb == "list" then
        list(store, o)
      elseif verb == "show" then
        show(store, o, number(words[2], verb))
      else
        local id = number(words[2], verb)
        local m = one(store, id)
        store:outbox_change(id, verb)
        if o.json then
          look.json(plain(one(store, id)))
        elseif verb == "drop" then
          print(("message %d is dropped"):format(id))
        else
          print(("message %d is tried again%s"):format(id, store:alive(m.owner) and ""
            or " by the next run, or now: flowrun outbox deliver"))
        end
      end
      return cli.exit.ok
    end)
  end,
}
