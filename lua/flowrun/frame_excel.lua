--- Excel files (.xlsx). Everything here is also `flowrun.frame`'s: `frame.read_excel(path)`,
--- `frame.excel_sheets(path)`, `frame.write_excel(path, sheets)`, `df:write_excel(path)`.
---
--- Reading needs libminizip1 and libexpat1, writing libxlsxwriter4 (Debian's packages); they are
--- opened at first use.
local core = require "flowrun.core.frame"
local excel = require "flowrun.core.excel"
local args = require "flowrun.frame_args"

local frame_excel = {}
local invalid, path_of = args.invalid, args.path_of

--- Reads one sheet. Cells say what they are: numbers (int64 when all are whole), text, true and
--- false, dates and times by their style; an empty cell and `#N/A` are missing, another error of a
--- formula is an error that names sheet and cell. Text stays text, also when it looks like a
--- number. A column of several kinds is text. Times have milliseconds, as in Excel.
---
--- Options: `sheet` (a name or a number; the first one), `range` ("B3:F20", "B3", "B:F"; all that
--- has values), `header` (true: the first row has the names), `types` (`{meter = "utf8"}`).
---
---     local df = frame.read_excel("assets.xlsx", {sheet = "2024", types = {id = "utf8"}})
---@param path string
---@param options? {sheet: string|integer, range: string, header: boolean, types: table}
---@return flowrun.Frame
function frame_excel.read_excel(path, options)
  options = args.check_options("read_excel", options,
    {sheet = 1, range = "", header = true, types = {}})
  local sheet, range = options.sheet, options.range
  if sheet ~= nil and type(sheet) ~= "string" and math.type(sheet) ~= "integer" then
    invalid("read_excel: sheet is a name or a number from 1, got %s", tostring(sheet))
  end
  if range ~= nil and type(range) ~= "string" then
    invalid("read_excel: range is text such as \"B3:F20\", got a %s", type(range))
  end
  if options.header ~= nil and type(options.header) ~= "boolean" then
    invalid("read_excel: header is true or false, got a %s", type(options.header))
  end
  local types = {}
  if options.types ~= nil and type(options.types) ~= "table" then
    invalid("read_excel: types: expected {column = \"type\"}, got a %s", type(options.types))
  end
  for name, type_name in pairs(options.types or {}) do
    if type(name) ~= "string" or type(type_name) ~= "string" then
      invalid("read_excel: types: expected {column = \"type\"}, found a %s for a %s key",
        type(type_name), type(name))
    end
    types[#types + 1] = {name, type_name}
  end
  local df, notes = excel.read(path_of("read_excel", path), sheet, range, options.header ~= false,
    types)
  for note in (notes or ""):gmatch("[^\n]+") do
    require("flowrun.log").warn("%s", note) -- not at load time: frames work without an engine
  end
  return df
end

--- The names of a file's sheets, in order.
---@param path string
---@return string[]
function frame_excel.excel_sheets(path) return excel.sheets(path_of("excel_sheets", path)) end

--- Writes several sheets into one file: `{{"Feeders", df}, {"Meters", other}}` or `{name = df}`
--- in byte order of the names. The file appears complete or not at all; the same frames give the
--- same bytes.
---
---     frame.write_excel("report.xlsx", {{"Feeders", feeders}, {"Worst", worst:head(20)}})
---@param path string
---@param sheets table
function frame_excel.write_excel(path, sheets)
  local names, frames = {}, {}
  for i, pair in ipairs(args.pairs_of("write_excel", sheets)) do
    if not core.is(pair[2]) then
      invalid("write_excel: sheet \"%s\": expected a frame, got a %s", pair[1], type(pair[2]))
    end
    names[i], frames[i] = pair[1], pair[2]
  end
  excel.write(path_of("write_excel", path), names, frames)
end

--- Writes a frame as a sheet of an Excel file ("Sheet1" unless `sheet` names it). Dates and times
--- become Excel's, zoned ones in local time; NaN, "" and missing values are empty cells. What Excel
--- cannot hold (infinities, integers beyond 2^53, days before 1900, texts over 32,767 characters)
--- is an error that names sheet, cell and column.
---@param frame flowrun.Frame
---@param path string
---@param options? {sheet: string}
function frame_excel.write_one(frame, path, options)
  options = args.check_options("write_excel", options, {sheet = "Sheet1"})
  local name = options.sheet or "Sheet1"
  if type(name) ~= "string" then
    invalid("write_excel: sheet is a name, got a %s", type(name))
  end
  excel.write(path_of("write_excel", path), {name}, {frame})
end

return frame_excel
