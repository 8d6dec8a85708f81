--- JSON, exactly: integers stay integers (64 bits), doubles come back with the same bits, names
--- are written in order, so that equal values give equal text.
---
---     local json = require "flowrun.json"
---     json.decode '{"id": 9007199254740993, "p": 0.1}'   --> {id = 9007199254740993, p = 0.1}
---     json.encode({1, 2.0, "x"})                          --> [1,2.0,"x"]
---
--- A table with the keys 1 … n is a list, also the empty one; any other is an object (whole
--- numbers as keys become names). JSON's null is json.null, which keeps its place in lists and
--- objects and may be passed between tasks. Text is UTF-8.
local core = require "flowrun.core.json"
local error_class = require "flowrun.core.error"

local json = {}

--- JSON's null.
json.null = core.null

--- Writes a value as JSON. Raises `type` with the path of what JSON cannot say. A table or
--- userdata may have a metafield __json, a function that returns plain data for it.
---@param value any
---@param opts? {pretty: boolean|integer, nan: "null"} pretty: indent by 2, or so many, spaces;
---nan = "null" writes NaN and infinities as null
---@return string
function json.encode(value, opts)
  local indent, nan_null = 0, false
  for name, v in pairs(opts or {}) do
    if name == "pretty" then
      indent = v == true and 2 or math.tointeger(v) or 0
    elseif name == "nan" and v == "null" then
      nan_null = true
    else
      error_class.raise("invalid", ("json.encode: unknown option %s = %s; it knows pretty, "
        .. "nan = \"null\""):format(tostring(name), tostring(v)))
    end
  end
  return core.encode(value, indent, nan_null)
end

--- Reads JSON text (RFC 8259). Raises `parse` with line and column.
---@param text string
---@return any
function json.decode(text)
  return core.decode(text)
end

--- As json.decode, but returns nil and the error.
---@param text string
---@return any? value
---@return flowrun.Error? err
function json.try_decode(text)
  local ok, result = pcall(core.decode, text)
  if ok then return result end
  return nil, error_class.from(result)
end

return json
