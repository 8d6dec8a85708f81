--- Parquet files. Everything here is also `flowrun.frame`'s: `frame.read_parquet`,
--- `df:write_parquet(path)`.
local core = require "flowrun.core.frame"
local parquet = require "flowrun.core.parquet"
local args = require "flowrun.frame_args"

local frame_parquet = {}
local choice, invalid = args.choice, args.invalid

local function whole_numbers(what, name, list)
  if list == nil then return nil end
  if math.type(list) == "integer" then list = {list} end
  if type(list) ~= "table" then
    invalid("%s: %s: expected numbers such as {1, 2}, got a %s", what, name, type(list))
  end
  for i, n in ipairs(list) do
    if math.type(n) ~= "integer" then
      invalid("%s: %s: item %d is %s, expected a whole number", what, name, i, tostring(n))
    end
  end
  return list
end

local read_options = {columns = "table", row_groups = "table", filter = "text", params = "table",
  decimals = "text", binary = "text", int96 = "ns"}
local units = {s = 0, ms = 1, us = 2, ns = 3}

--- Reads Parquet files: one file, several, or a pattern (one table). All encodings of flat
--- columns are known, compressed with zstd, snappy, gzip, lz4, brotli or not at all; checksums
--- of pages are compared where they are written. Only the bytes of the wanted columns and row
--- groups are read.
---
--- Integers and floats keep their size, decimals are exact text (`"12.50"`), UUIDs text, times
--- and timestamps keep their unit; those marked as UTC have the zone `UTC`. Lists, maps and
--- structs do not exist in frames: the error names the column, `columns` chooses others.
---
--- Options: `columns` (only these, in this order), `filter` (an expression: only rows for which
--- it is true; row groups whose bounds rule it out are not read) with `params` for its `$names`,
--- `row_groups` (their numbers from 1),
--- `decimals` ("text", or "scaled": int64 in units of the last digit), `binary` ("text", or
--- "hex" for bytes that are not UTF-8), `int96` ("ns"; the unit of timestamps of old writers:
--- "us" for years that nanoseconds do not reach).
---
---     local df = frame.read_parquet("meters/*.parquet", {columns = {"meter", "kw"},
---       filter = "when >= $from and kw > 0", params = {from = "2024-01-01"}})
---@param paths string|string[]
---@param options? table
---@return flowrun.Frame
function frame_parquet.read_parquet(paths, options)
  local what = "read_parquet"
  options = args.check_options(what, options, read_options)
  local wanted = {
    columns = options.columns and args.names_of(what, options.columns),
    row_groups = whole_numbers(what, "row_groups", options.row_groups),
    scaled = choice(what, options, "decimals", {"text", "scaled"}) == "scaled",
    hex = choice(what, options, "binary", {"text", "hex"}) == "hex",
    int96 = units[choice(what, options, "int96", {"ns", "us", "ms", "s"})],
  }
  if options.filter ~= nil and type(options.filter) ~= "string" then
    invalid("%s: filter: expected an expression such as \"kw > 5\", got a %s", what,
      type(options.filter))
  end
  wanted.filter, wanted.params = options.filter, options.params
  local parts = {}
  for i, path in ipairs(args.files_of(what, paths)) do parts[i] = parquet.read(path, wanted) end
  return #parts == 1 and parts[1] or core.concat(parts)
end

local write_options = {compression = "zstd", level = 1, dictionary = true, row_group = 262144}

local function whole_between(what, options, name, least, most)
  local v = options[name]
  if v ~= nil and (math.type(v) ~= "integer" or v < least or v > most) then
    invalid("%s: %s is %s: expected a whole number from %d to %d", what, name, tostring(v), least,
      most)
  end
  return v
end

--- Writes a frame as a Parquet file that pandas, polars, DuckDB and Spark read. Every type comes
--- back as it was, also categories, zones and durations. The file appears complete or not at
--- all.
---
--- Options: `compression` ("zstd", "snappy", "gzip" or "none"), `level` (of zstd, 1 to 19, or
--- gzip, 1 to 9: higher is smaller and slower), `dictionary` (true: texts that repeat are stored
--- once per row group), `row_group` (rows per group: 262144; readers skip whole groups).
---@param frame flowrun.Frame
---@param path string
---@param options? table
function frame_parquet.write_parquet(frame, path, options)
  local what = "write_parquet"
  options = args.check_options(what, options, write_options)
  local codec = choice(what, options, "compression", {"zstd", "snappy", "gzip", "none"})
  if options.dictionary ~= nil and type(options.dictionary) ~= "boolean" then
    invalid("%s: dictionary is %s: expected true or false", what, tostring(options.dictionary))
  end
  parquet.write(frame, args.path_of(what, path), {
    compression = codec,
    level = whole_between(what, options, "level", 1, codec == "gzip" and 9 or 19),
    dictionary = options.dictionary,
    row_group = whole_between(what, options, "row_group", 1, 1 << 31),
  })
end

return frame_parquet
