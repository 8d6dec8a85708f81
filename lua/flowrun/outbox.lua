--- fr.outbox: a call to another system that is made because a task has succeeded, and only then.
---
---     fr.outbox{url = "https://oms.example/orders", json = order}
---     fr.outbox{task = send_mail, args = {"crew 7", text}, retries = 3}
---
--- The message is kept in the transaction that records the task's result: not at all when the
--- attempt fails. Then it is delivered at least once, with the same idempotency key every time.
local backoff = require "flowrun.backoff"
local body = require "flowrun.core.body"
local duration = require "flowrun.duration"
local error_class = require "flowrun.core.error"
local json = require "flowrun.json"
local options = require "flowrun.options"
local task = require "flowrun.task"

local outbox = {}

local what = "fr.outbox"
local of_http = {"url", "method", "headers", "body", "json", "timeout"}
local of_task = {"task", "args"}
local of_both = {"name", "key", "retries", "delay", "backoff", "jitter"}
local kind_of = {}
for _, k in ipairs(of_http) do kind_of[k] = "url" end
for _, k in ipairs(of_task) do kind_of[k] = "task" end
for _, k in ipairs(of_both) do kind_of[k] = "both" end

local function invalid(format, ...)
  error_class.raise("invalid", what .. ": " .. format:format(...))
end

local function text_of(o, name, most)
  local v = o[name]
  if v == nil then return nil end
  if type(v) ~= "string" or v == "" or #v > most or v:find("[%c]") then
    invalid("option '%s': expected a text of one line, at most %d bytes, got %s", name, most,
      type(v) == "string" and ("'%s'"):format(v:sub(1, 40)) or "a " .. type(v))
  end
  return v
end

local function check_known(o)
  if type(o) ~= "table" then invalid("expected a table of options, got a %s", type(o)) end
  local sends = o.task ~= nil and "task" or "url"
  for name in pairs(o) do
    local kind = kind_of[name]
    if not kind then
      local names = {}
      for k in pairs(kind_of) do names[#names + 1] = k end
      table.sort(names)
      local near = error_class.nearest(tostring(name), names)
      invalid("unknown option '%s'%s", tostring(name),
        near and ("; did you mean '%s'?"):format(near) or "")
    end
    if kind ~= "both" and kind ~= sends then
      invalid("option '%s' does not go with '%s': give a url, or a task with args", name, sends)
    end
  end
  return sends
end

-- Retries are many and slow unless said otherwise: systems are down for hours.
local function retry_of(o)
  local given = options.check("task", what, {retries = o.retries == nil and 12 or o.retries,
    delay = o.delay, backoff = o.backoff, jitter = o.jitter == nil and 0.2 or o.jitter})
  if type(given.delay) == "function" then
    invalid("option 'delay': a function cannot be kept; give a duration, a list or a backoff")
  end
  if type(given.delay) == "table" and #given.delay > 16 then
    invalid("option 'delay': at most 16 durations, got %d", #given.delay)
  end
  if not given.delay and not given.backoff then
    given.backoff = backoff.exponential("2s", {cap = "1h"})
  end
  return task.scheduler_options(given)
end

local function http_args(o, key)
  local url = text_of(o, "url", 8000)
  if not url then invalid("option 'url' is missing") end
  if not url:lower():find("^https?://[^/]") or url:find(" ") then
    invalid("option 'url': expected http://… or https://…, got '%s'", url)
  end
  if o.body ~= nil and o.json ~= nil then invalid("give body or json, not both") end
  if o.body ~= nil and type(o.body) ~= "string" then
    invalid("option 'body': expected a string, got a %s; use json = for tables", type(o.body))
  end
  local method = (text_of(o, "method", 20) or "POST"):upper()
  if not method:find("^%u+$") then invalid("option 'method': '%s' is none", method) end
  local headers, has = {}, {}
  if o.headers ~= nil and type(o.headers) ~= "table" then
    invalid("option 'headers': expected a table, got a %s", type(o.headers))
  end
  for name, v in pairs(o.headers or {}) do
    if type(name) ~= "string" or not name:find("^[%w!#$%%&'*+%-.^_`|~]+$") then
      invalid("headers: '%s' is no name of a header", tostring(name))
    end
    if tostring(v):find("[%z\r\n]") then invalid("headers.%s has a line break", name) end
    headers[name], has[name:lower()] = tostring(v), true
  end
  if o.json ~= nil and not has["content-type"] then headers["Content-Type"] = "application/json" end
  if not has["idempotency-key"] then headers["Idempotency-Key"] = key end
  local timeout = duration.seconds(o.timeout == nil and 30 or o.timeout, what .. ": timeout")
  return {{method = method, url = url, headers = headers, timeout = timeout,
    body = o.json ~= nil and json.encode(o.json) or o.body}}, method .. " " .. url
end

local function task_args(o)
  if getmetatable(o.task) ~= task.class then
    invalid("option 'task': expected a task of the script, got a %s", type(o.task))
  end
  if o.args ~= nil and type(o.args) ~= "table" then
    invalid("option 'args': expected a list, got a %s", type(o.args))
  end
  return o.args or {}, o.task.name
end

---@class flowrun.OutboxOptions
---@field url? string http:// or https://
---@field method? string "POST" unless set
---@field headers? table<string, string>
---@field body? string
---@field json? any sent as JSON
---@field timeout? fr.duration of one request; "30s" unless set
---@field task? flowrun.Task who delivers instead: its error with retry = false is final
---@field args? any[] of that task
---@field name? string for people; method and URL unless set
---@field key? string idempotency key; run, call and number of the message unless set
---@field retries? integer 12 unless set
---@field delay? fr.duration|fr.duration[] wait before a retry
---@field backoff? string|table exponential from "2s" to "1h" unless set
---@field jitter? number 0.2 unless set

--- In a task body: leaves a message that is delivered when the task has succeeded and that is on
--- disk. Returns its idempotency key.
---@param o flowrun.OutboxOptions
---@return string
function outbox.outbox(o)
  local sends = check_known(o)
  local key = text_of(o, "key", 200) or body.outbox_key()
  local args, name
  if sends == "task" then args, name = task_args(o) else args, name = http_args(o, key) end
  name = text_of(o, "name", 200) or name
  if #name > 200 then name = name:sub(1, 197) .. "..." end
  body.outbox(retry_of(o), sends == "task" and o.task[1] or "flowrun:outbox", name, key, args)
  return key
end

--- What a worker runs to deliver an HTTP message.
---@package
function outbox.send(o)
  o.check = true
  require("flowrun.http")(o)
end

return outbox
