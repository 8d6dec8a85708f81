--- JSON lines: one object per line. Everything here is also `flowrun.frame`'s:
--- `frame.read_jsonl`, `frame.parse_jsonl`, `df:write_jsonl(path)`, `df:to_jsonl()`.
local jsonl = require "flowrun.core.jsonl"
local args = require "flowrun.frame_args"

local frame_jsonl = {}
local choice, invalid = args.choice, args.invalid

local known = {columns = "table", types = "table", nested = "error"}

local function read_options(what, options)
  options = args.check_options(what, options, known)
  if options.types ~= nil and type(options.types) ~= "table" then
    invalid("%s: types: expected {column = \"type\"}, got a %s", what, type(options.types))
  end
  return {
    columns = options.columns and args.names_of(what, options.columns),
    types = options.types,
    nested = choice(what, options, "nested", {"error", "text"}) == "text",
  }
end

--- Reads JSON lines: one object per line, a column per key, in the order in which keys first
--- appear. One file, several, or a pattern (one table); gzip and zstd are recognised by content.
---
--- Types are inferred from all lines: bool, int64, float64, else utf8; a column that holds several
--- kinds, or whole numbers that a double would round, is text as it stands in the file. A key that
--- is missing is null. Strings stay text unless `types` says what they are.
---
--- Options: `types` (`{when = "timestamp[us]", meter = "category"}`), `columns` (only these, in
--- this order), `nested` ("error", or "text": objects and lists as their JSON text). Errors name
--- file, line and column.
---
---     local df = frame.read_jsonl("events/*.jsonl.gz", {types = {when = "timestamp[us, UTC]"}})
---@param paths string|string[]
---@param options? table
---@return flowrun.Frame
function frame_jsonl.read_jsonl(paths, options)
  return jsonl.read(args.files_of("read_jsonl", paths), read_options("read_jsonl", options))
end

--- As `read_jsonl`, from a string.
---@param text string
---@param options? table
---@return flowrun.Frame
function frame_jsonl.parse_jsonl(text, options)
  return jsonl.parse(text, read_options("parse_jsonl", options))
end

local function write_options(what, options)
  options = args.check_options(what, options, {null = "null", nan = "error"})
  return {
    omit = choice(what, options, "null", {"null", "omit"}) == "omit",
    nan_null = choice(what, options, "nan", {"error", "null"}) == "null",
  }
end

--- Writes a frame as JSON lines; a path that ends in .gz is compressed. Times are ISO 8601 text.
--- The file appears complete or not at all.
---
--- Options: `null` ("null", or "omit" to leave such keys out), `nan` ("error", or "null": JSON has
--- no NaN and no infinities).
---@param frame flowrun.Frame
---@param path string
---@param options? table
function frame_jsonl.write_jsonl(frame, path, options)
  jsonl.write(frame, args.path_of("write_jsonl", path), write_options("write_jsonl", options))
end

--- The text that `write_jsonl` would write.
---@param frame flowrun.Frame
---@param options? table
---@return string
function frame_jsonl.to_jsonl(frame, options)
  return jsonl.format(frame, write_options("to_jsonl", options))
end

return frame_jsonl
