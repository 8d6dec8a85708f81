--- fr.sh: runs a program from a task body and waits for it without holding the worker.
---
---     fr.sh{cmd = "gzip -9 readings.csv"}
---     local r = fr.sh{argv = {"git", "rev-parse", "HEAD"}, cwd = dir}
---     print(r.out)
---
--- The program starts when all that the flow has consumed is durable, in a process group of
--- its own. Its output goes line by line to the task's log as it comes. Cancelling the task,
--- or its timeout, ends the whole group: SIGTERM, after `grace` SIGKILL. What the program
--- leaves running in its group when it ends is killed.
local core = require "flowrun.core.sh"
local duration = require "flowrun.duration"
local error_class = require "flowrun.core.error"
local flow_core = require "flowrun.core.flow"

local known = {"cmd", "argv", "cwd", "env", "stdin", "timeout", "grace", "capture", "log",
               "check", "max_bytes"}
local is_known = {}
for _, name in ipairs(known) do is_known[name] = true end

local function invalid(format, ...)
  error_class.raise("invalid", "fr.sh: " .. format:format(...))
end

local function check_options(o)
  if type(o) == "string" then o = {cmd = o} end
  if type(o) ~= "table" then
    invalid("expected a table as in fr.sh{cmd = \"…\"}, got %s", type(o))
  end
  for name in pairs(o) do
    if name == 1 then invalid("write the program and its arguments as argv = {\"%s\", …}", o[1]) end
    if not is_known[name] then
      local near = error_class.nearest(tostring(name), known)
      invalid("unknown option '%s'%s", tostring(name),
        near and ("; did you mean '%s'?"):format(near) or "")
    end
  end
  if (o.cmd == nil) == (o.argv == nil) then
    invalid("give either cmd = \"a shell line\" or argv = {\"program\", \"argument\", …}")
  end
  return o
end

local function check_type(o, name, want)
  local v = o[name]
  if v ~= nil and type(v) ~= want then
    invalid("option '%s': expected a %s, got %s", name, want, type(v))
  end
  return v
end

local function check_text(what, v)
  if type(v) == "number" then v = tostring(v) end
  if type(v) ~= "string" then invalid("%s: expected a string, got %s", what, type(v)) end
  if v:find("\0", 1, true) then invalid("%s has a NUL byte", what) end
  return v
end

local function words_of(o)
  if o.cmd then return {"/bin/sh", "-c", check_text("option 'cmd'", o.cmd)} end
  check_type(o, "argv", "table")
  local argv = {}
  for i, word in ipairs(o.argv) do argv[i] = check_text(("argv[%d]"):format(i), word) end
  if not argv[1] then invalid("option 'argv' is empty") end
  return argv
end

-- The run's environment with changes; false removes a name.
local function environment_of(o)
  local env, devices = check_type(o, "env", "table"), core.devices()
  if devices and not (env and env.CUDA_VISIBLE_DEVICES ~= nil) then
    local with = {CUDA_VISIBLE_DEVICES = devices}
    for name, v in pairs(env or {}) do with[name] = v end
    env = with
  end
  if not env then return nil end
  local list = {}
  for name, v in pairs(env) do
    if type(name) ~= "string" or name == "" or name:find("[=%z]") then
      invalid("env: '%s' is no name of a variable", tostring(name))
    end
    if v ~= false then list[#list + 1] = name .. "=" .. check_text("env." .. name, v) end
  end
  for _, pair in ipairs(core.environment()) do
    local name = pair:match("^([^=]*)=")
    if name and env[name] == nil then list[#list + 1] = pair end
  end
  if #list == 0 then list[1] = "_=" end          -- an empty list would mean the run's own
  table.sort(list)
  return list
end

local function describe(o)
  local text = o.cmd or table.concat(o.argv, " ")
  if #text > 120 then text = text:sub(1, 117) .. "..." end
  return text
end

local function last_line(text)
  return text:match("([^\n]+)\n*$") or ""
end

-- What is wrong with a result, as an error; nil when all is well.
local function failure(o, r)
  local what = describe(o)
  local e
  if r.failed then
    e = error_class.new("not_found", ("%s: cannot be started: %s"):format(what, r.failed))
  elseif r.lost then
    e = error_class.new("lost", ("%s: the process that watched it died"):format(what))
  elseif r.timed_out then
    e = error_class.new("timeout", ("%s: took longer than %s"):format(what, tostring(o.timeout)))
  elseif o.check ~= false and r.code ~= 0 then
    local how = r.signal and "ended by SIG" .. tostring(r.signal_name or r.signal)
      or "exit code " .. r.code
    local line = last_line(r.err ~= "" and r.err or r.out)
    e = error_class.new("error", ("%s: %s%s"):format(what, how, line ~= "" and ": " .. line or ""))
    e.exit_code, e.signal = r.code, r.signal
  end
  return e
end

---@class flowrun.ShellOptions
---@field cmd? string a line for /bin/sh -c
---@field argv? string[] or program and arguments, without a shell
---@field cwd? string folder to run in
---@field env? table<string, string|false> changes to the environment; false removes
---@field stdin? string its input; without it the input is empty
---@field timeout? fr.duration then it is stopped and the error has code `timeout`
---@field grace? fr.duration between SIGTERM and SIGKILL; "5s" unless set
---@field capture? boolean keep the output in the result; true unless set
---@field max_bytes? integer kept of each stream; 16 MiB unless set; the rest is only logged
---@field log? boolean write output lines to the task's log; true unless set
---@field check? boolean raise when the exit code is not 0; true unless set

---@class flowrun.ShellResult
---@field code integer exit code; -1 when a signal ended it
---@field signal integer? the signal
---@field out string standard output
---@field err string standard error
---@field cut boolean? more came than max_bytes
---@field cpu_s number CPU seconds of the program and the children it waited for
---@field max_rss_bytes integer its largest memory

--- Runs a program. Raises with code `error` when it fails (fields exit_code, signal),
--- `timeout`, `not_found` when it cannot be started.
---@param o flowrun.ShellOptions|string a string is `cmd`
---@return flowrun.ShellResult
local function sh(o)
  o = check_options(o)
  if flow_core.inside() then
    error_class.raise("state", "fr.sh works in the body of a task; a flow body only calls tasks")
  end
  local seconds = o.timeout and duration.seconds(o.timeout, "fr.sh: timeout") or 0
  local grace = duration.seconds(o.grace or "5s", "fr.sh: grace")
  local r = core.run{
    argv = words_of(o), env = environment_of(o), cwd = check_type(o, "cwd", "string"),
    stdin = check_type(o, "stdin", "string"), timeout_ms = math.ceil(seconds * 1000),
    grace_ms = math.ceil(grace * 1000), capture = o.capture ~= false, log = o.log ~= false,
    max_bytes = o.max_bytes or 16 << 20,
  }
  local e = failure(o, r)
  if e then error(e, 0) end
  r.lost, r.timed_out, r.signal_name = nil, nil, nil
  return r
end

return sh
