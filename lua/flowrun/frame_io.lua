--- Frames from files and to files. Everything here is also `flowrun.frame`'s:
--- `frame.read_csv`, `frame.read_arrow`, `df:write_csv(path)`, `df:write_arrow(path)`.
local arrow = require "flowrun.core.arrow"
local csv = require "flowrun.core.csv"
local core = require "flowrun.core.frame"
local error_class = require "flowrun.core.error"
local args = require "flowrun.frame_args"

local frame_io = {}
local files_of = args.files_of

frame_io.files_of = files_of

local function with_notes(frame, bad, notes)
  for note in (notes or ""):gmatch("[^\n]+") do
    require("flowrun.log").warn("%s", note) -- not at load time: frames work without an engine
  end
  return frame, bad
end

--- Reads delimited text: one file, several, or a pattern (`"scada/*.csv"`: one table, columns
--- matched by name). gzip and zstd are recognised by content, a byte order mark and `\r\n` do
--- not matter, blank lines are skipped.
---
--- Types are inferred: int64, float64, bool, date, timestamp (ISO 8601), else utf8. A value
--- that does not fit widens its column; nothing becomes null silently. A column of integers in
--- which any has a leading zero is text (`01001` is an identifier). Null is `""`, `NA`, `N/A`,
--- `NaN`, `nan`, `null`, `NULL` unless `null` lists other spellings; a quoted field of a text
--- column is never null.
---
--- Options: `sep` (","), `quote` ("\"", "" for none), `header` (true), `names` (a list, instead
--- of the header's), `skip` (lines before the header), `encoding` ("utf-8", "latin-1",
--- "windows-1252", "utf-16"), `null` (a list), `types` (`{meter = "utf8"}`), `formats`
--- (`{when = "%d/%m/%Y %H:%M"}`), `columns` (only these). Errors name file, line and column.
--- `escape = "\\"`: inside quotes, what follows it is meant as it stands. `comment = "#"`: lines
--- that start with it do not count. `widths = {8, 10, 6}`: fields of fixed widths in characters,
--- without the blanks around them.
---
--- `quarantine = true` reads what can be read and gives a second frame with the other records:
--- `file`, `line`, `reason`, `text`. Bad are records with another number of fields, open quotes or
--- text behind a closing one, bytes that are not UTF-8, values that do not fit a type asked for.
---
---     local df = frame.read_csv("scada/*.csv", {formats = {when = "%m/%d/%y %H:%M"}})
---     local good, bad = frame.read_csv("m.csv", {types = {kw = "float64"}, quarantine = true})
---@param paths string|string[]
---@param options? table
---@return flowrun.Frame
---@return flowrun.Frame? bad with `quarantine`
function frame_io.read_csv(paths, options)
  return with_notes(csv.read(files_of("read_csv", paths), options, "read_csv"))
end

--- As `read_csv`, from a string.
---@param text string
---@param options? table
---@return flowrun.Frame
function frame_io.parse_csv(text, options)
  return with_notes(csv.parse(text, options, "parse_csv"))
end

--- Writes a frame as delimited text; a path that ends in .gz is compressed. Doubles are
--- written with the fewest digits that read back as the same number. The file appears complete
--- or not at all.
---
--- Options: `sep` (","), `header` (true), `null` (how null is written: ""), `crlf` (false),
--- `bom` (false; some spreadsheets want it).
---@param frame flowrun.Frame
---@param path string
---@param options? table
function frame_io.write_csv(frame, path, options)
  csv.write(frame, args.path_of("write_csv", path), options)
end

--- The text that `write_csv` would write.
---@param frame flowrun.Frame
---@param options? table
---@return string
function frame_io.to_csv(frame, options)
  return csv.format(frame, options)
end

--- Reads Arrow IPC files and streams (Feather version 2; `df.to_feather` of pandas,
--- `df.write_ipc` of polars), lz4 or zstd compressed or not: one file, several, or a pattern
--- (one table). Lists, structs, decimals and binary columns do not exist in frames: the error
--- names the column, `columns` chooses others.
---@param paths string|string[]
---@param options? {columns: string[]} only these, in this order
---@return flowrun.Frame
function frame_io.read_arrow(paths, options)
  local columns
  if options ~= nil then
    if type(options) ~= "table" then
      error_class.raise("invalid", "read_arrow: options are a table such as {columns = {\"kw\"}}")
    end
    for key in pairs(options) do
      if key ~= "columns" then
        error_class.raise("invalid", ("read_arrow: unknown option '%s'; it knows columns")
          :format(tostring(key)))
      end
    end
    columns = options.columns
  end
  local parts = {}
  for i, path in ipairs(files_of("read_arrow", paths)) do parts[i] = arrow.read(path, columns) end
  return #parts == 1 and parts[1] or core.concat(parts)
end

--- Writes a frame as an Arrow IPC file that pandas, polars, R and DuckDB open. The file appears
--- complete or not at all.
---@param frame flowrun.Frame
---@param path string
function frame_io.write_arrow(frame, path)
  arrow.write(frame, args.path_of("write_arrow", path))
end

return frame_io
