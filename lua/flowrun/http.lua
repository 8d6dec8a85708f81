--- fr.http: an HTTP request from a task body, without holding the worker.
---
---     local r = fr.http("https://api.weather.example/v1/points")
---     local forecast = r:json()
---     fr.http{url = "https://oms.example/crews", json = {crew = 7}, check = true}
---
--- Certificates are always verified. A request that may change something (not GET, HEAD or
--- OPTIONS) waits until all that the flow has consumed is durable, and carries the header
--- Idempotency-Key, the same in every attempt, so that a server can tell a repetition.
local core = require "flowrun.core.http"
local body = require "flowrun.core.body"
local duration = require "flowrun.duration"
local error_class = require "flowrun.core.error"
local flow_core = require "flowrun.core.flow"
local json = require "flowrun.json"

local known = {"url", "method", "headers", "body", "json", "timeout", "connect_timeout",
               "max_bytes", "ca", "follow", "check"}
local is_known = {}
for _, name in ipairs(known) do is_known[name] = true end

local harmless = {GET = true, HEAD = true, OPTIONS = true}

local function invalid(format, ...)
  error_class.raise("invalid", "fr.http: " .. format:format(...))
end

local function option(o, name, want)
  local v = o[name]
  if v ~= nil and type(v) ~= want then
    invalid("option '%s': expected a %s, got %s", name, want, type(v))
  end
  return v
end

local function check_options(o)
  if type(o) == "string" then o = {url = o} end
  if type(o) ~= "table" then invalid("expected a URL or a table, got %s", type(o)) end
  for name in pairs(o) do
    if not is_known[name] then
      local near = error_class.nearest(tostring(name), known)
      invalid("unknown option '%s'%s", tostring(name),
        near and ("; did you mean '%s'?"):format(near) or "")
    end
  end
  local url = option(o, "url", "string")
  if not url then invalid("option 'url' is missing") end
  if not url:lower():find("^https?://[^/]") or url:find("[%c ]") then
    invalid("option 'url': expected http://… or https://…, got '%s'", url)
  end
  if o.body ~= nil and o.json ~= nil then invalid("give body or json, not both") end
  option(o, "body", "string")
  return o
end

local function header_lines(o, method)
  local lines, has = {}, {}
  for name, v in pairs(option(o, "headers", "table") or {}) do
    if type(name) ~= "string" or not name:find("^[%w!#$%%&'*+%-.^_`|~]+$") then
      invalid("headers: '%s' is no name of a header", tostring(name))
    end
    v = tostring(v)
    if v:find("[%z\r\n]") then invalid("headers.%s has a line break", name) end
    has[name:lower()] = true
    lines[#lines + 1] = v == "" and name .. ";" or name .. ": " .. v
  end
  local function default(name, v)
    if not has[name:lower()] then lines[#lines + 1] = name .. ": " .. v end
  end
  if o.json ~= nil then
    default("Content-Type", "application/json")
    default("Accept", "application/json")
  elseif o.body ~= nil then
    default("Content-Type", "application/octet-stream")
  end
  if not harmless[method] and body.inside() then default("Idempotency-Key", body.effect_key()) end
  table.sort(lines)
  return lines
end

local function parse_headers(text)
  local headers = {}
  for name, v in text:gmatch("([^:\n]+):%s*([^\n]*)\n") do
    name = name:lower()
    headers[name] = headers[name] and headers[name] .. ", " .. v or v
  end
  return headers
end

---@class flowrun.HttpResponse
---@field status integer 200
---@field ok boolean status is 200 to 299
---@field headers table<string, string> by lower-case name
---@field body string
---@field url string after redirects
---@field took_s number seconds
local Response = {}
Response.__index = Response
Response.__name = "flowrun.HttpResponse"

function Response:__tostring()
  return ("HTTP %d from %s (%d bytes)"):format(self.status, self.url, #self.body)
end

--- The body as a Lua value; raises with code `parse` when it is not JSON.
function Response:json()
  return json.decode(self.body)
end

-- Statuses that another try may change.
local transient = {[408] = true, [425] = true, [429] = true}

local function status_error(o, r)
  local hint = r.body:match("^%s*([^\n]*)") or ""
  if #hint > 200 then hint = hint:sub(1, 197) .. "..." end
  local e = error_class.new("network", ("%s: HTTP %d%s"):format(o.url, r.status,
    hint ~= "" and ": " .. hint or ""))
  e.status = r.status
  if r.status < 500 and not transient[r.status] then e.retry = false end
  return e
end

---@class flowrun.HttpOptions
---@field url string http:// or https://
---@field method? string "GET", or "POST" when there is a body
---@field headers? table<string, string>
---@field body? string
---@field json? any sent as JSON
---@field timeout? fr.duration of the whole request; "30s" unless set
---@field connect_timeout? fr.duration "10s" unless set
---@field max_bytes? integer of the response's body; 64 MiB unless set
---@field ca? string PEM file of the authorities to trust instead of the system's
---@field follow? integer|false redirects followed at most; 10 unless set
---@field check? boolean raise when the status is 400 or more; a 4xx is not retried then

--- Makes a request. Raises with code `network`, `timeout`, `too_large`, or `invalid` for wrong
--- options.
---@param o flowrun.HttpOptions|string a string is the URL
---@return flowrun.HttpResponse
local function http(o)
  o = check_options(o)
  if flow_core.inside() then
    error_class.raise("state", "fr.http works in the body of a task; a flow body only calls tasks")
  end
  local data = o.json ~= nil and json.encode(o.json) or o.body
  local method = (option(o, "method", "string") or (data and "POST" or "GET")):upper()
  if not method:find("^%u+$") then invalid("option 'method': '%s' is none", method) end
  local follow = o.follow
  if follow == nil or follow == true then follow = 10 end
  local code, message, status, url, headers, text, took = core.request{
    method = method, url = o.url, body = data, headers = header_lines(o, method),
    timeout_ms = math.ceil(duration.seconds(o.timeout or 30, "fr.http: timeout") * 1000),
    connect_timeout_ms = math.ceil(1000 * duration.seconds(o.connect_timeout or 10,
      "fr.http: connect_timeout")),
    max_bytes = option(o, "max_bytes", "number") or 64 << 20, ca = option(o, "ca", "string"),
    redirects = follow or 0, effect = not harmless[method],
  }
  if code then
    local e = error_class.new(code, ("%s: %s"):format(o.url, message))
    if code == "too_large" or code == "invalid" then e.retry = false end
    error(e, 0)
  end
  local r = setmetatable({status = status, ok = status >= 200 and status < 300, url = url,
    headers = parse_headers(headers), body = text, took_s = took}, Response)
  if o.check and status >= 400 then error(status_error(o, r), 0) end
  return r
end

return http
