--- What the commands that look into a store share: opening it, naming runs, JSON.
local cli = require "flowrun.cli"
local drive = require "flowrun.cli._drive"
local error_class = require "flowrun.core.error"
local json = require "flowrun.json"
local session = require "flowrun.session"
local tty = require "flowrun.core.tty"

local look = {}

--- Opens the store of --home for looking; raises when there is none.
---@param o {home: string?}
---@param write? boolean to ask or change something
function look.open(o, write)
  local home = o.home or session.default_home()
  if not tty.stat(home .. "/flowrun.db") then
    error_class.raise("not_found", ("%s holds no runs yet; run a flow first, or name another "
      .. "folder with --home DIR"):format(home))
  end
  return require("flowrun.store").open(home, {read_only = not write}), home
end

--- The run that a word names: a number, "@last", "@failed" (the newest that failed).
---@return table run
function look.run(store, word)
  if not word then
    error_class.raise("invalid", "which RUN? give its number (see flowrun runs), @last or @failed")
  end
  if word == "@last" or word == "@failed" then
    for _, run in ipairs(store:runs{limit = word == "@last" and 1 or 1000}) do
      if word == "@last" or run.state == "FAILED" then return run end
    end
    error_class.raise("not_found", "no run matches " .. word)
  end
  local id = math.tointeger(tonumber(word))
  if not id then
    error_class.raise("invalid", ("RUN: expected a number, @last or @failed, got '%s'")
      :format(word))
  end
  return store:run(id)
    or error_class.raise("not_found", ("there is no run %d; see flowrun runs"):format(id))
end

--- Parses a command's words; known are its options besides --home and --json.
---@return table? options, string[]|string words
function look.parse(args, known, most)
  local all = {["--home"] = "DIR", ["--json"] = false}
  for k, v in pairs(known or {}) do all[k] = v end
  -- Options may stand before and behind the words.
  local flags, words, i = {}, {}, 1
  while args[i] do
    if args[i]:sub(1, 1) == "-" then
      local name = args[i]:match("^(%-%-[%w%-]+)") or args[i]
      flags[#flags + 1] = args[i]
      if all[name] and not args[i]:find("=", 1, true) then
        i = i + 1
        flags[#flags + 1] = args[i]
      end
    else
      words[#words + 1] = args[i]
    end
    i = i + 1
  end
  local o, why = drive.parse(flags, all)
  if not o then return nil, why end
  if #words > (most or 1) then return nil, ("unexpected '%s'"):format(words[(most or 1) + 1]) end
  return o, words
end

--- Runs a looking command: parses, opens the store, calls fn(store, o, words, home).
function look.command(args, known, most, fn, write)
  local o, words = look.parse(args, known, most)
  if not o then return cli.usage(words .. "; see flowrun --help") end
  return drive.guard(function()
    local store <close>, home = look.open(o, write)
    return fn(store, o, words, home) or cli.exit.ok
  end)
end

--- Seconds since 1970 with fractions, or nil: how JSON shows times.
function look.seconds(ns)
  if not ns or ns == 0 then return nil end
  return ns / 1e9
end

--- Writes a value as JSON on stdout.
function look.json(v)
  io.stdout:write(json.encode(v, {pretty = true}), "\n")
end

--- The value with texts in place of what JSON cannot say (frames, models), at any depth.
function look.sayable(v)
  if type(v) == "userdata" then return v ~= json.null and tostring(v) or v end
  if v ~= v or v == math.huge or v == -math.huge then return tostring(v) end
  if type(v) ~= "table" or getmetatable(v) then return v end
  local out = {}
  for k, item in pairs(v) do out[k] = look.sayable(item) end
  return out
end

--- A packed value as a Lua value that JSON can say.
function look.plain(v)
  if v == nil then return nil end
  local ok, lua = pcall(v.unpack, v)
  if not ok then return v:json() end
  return look.sayable(lua)
end

return look
