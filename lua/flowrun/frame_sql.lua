--- SQL over frames and SQLite files, by the SQLite inside flowrun. `frame.sql` and
--- `frame.read_sqlite` are these functions.
local array = require "flowrun.core.array"
local core = require "flowrun.core.frame"
local error_class = require "flowrun.core.error"
local sql = require "flowrun.core.sql"
local args = require "flowrun.frame_args"

local frame_sql = {}

local invalid, check_options = args.invalid, args.check_options

local function run(what, ...)
  local ok, result = pcall(sql.run, ...)
  if ok then return result end
  if error_class.is(result) then error_class.raise(result.code, what .. ": " .. result.message) end
  error(result, 0)
end

-- Columns of the result read as other types: {when = "timestamp[s]"}.
local function typed(what, df, types)
  if types == nil then return df end
  if type(types) ~= "table" then invalid("%s: types is a table {column = \"type\"}", what) end
  local names, arrays, at = df.columns, {}, {}
  for i, name in ipairs(names) do
    arrays[i], at[name] = df:col(name), i
  end
  for name, kind in pairs(types) do
    local column = df:col(name)
    arrays[at[name]] = array.new(column:type() == "utf8" and column:to_table() or column:cast(kind),
      kind, ("%s: column \"%s\""):format(what, name))
  end
  return core.from(names, arrays)
end

--- The result of one SQL query over frames, which are its tables. `$name` is a parameter. Bools
--- are 1 and 0; dates and times are texts as they print (they compare and sort as such); `types`
--- reads columns of the result as other types.
---
---     frame.sql("select feeder, max(kw) as peak from load where kw > $lo group by feeder",
---       {load = df}, {params = {lo = 3}})
---@param text string
---@param tables table<string, flowrun.Frame>
---@param options? {params: table, types: table<string, string>}
---@return flowrun.Frame
function frame_sql.sql(text, tables, options)
  options = check_options("sql", options, {params = 1, types = 1})
  if type(text) ~= "string" then invalid("sql: expected a query, got a %s", type(text)) end
  if type(tables) ~= "table" then
    invalid("sql: expected {name = frame}, got a %s", type(tables))
  end
  local names, frames = {}, {}
  for name, table_frame in pairs(tables) do
    if type(name) ~= "string" or not core.is(table_frame) then
      invalid("sql: expected {name = frame}, found %s = %s", tostring(name), type(table_frame))
    end
    names[#names + 1] = name
  end
  table.sort(names)
  for i, name in ipairs(names) do frames[i] = tables[name] end
  return typed("sql", run("sql", text, nil, names, frames, options.params or {}), options.types)
end

--- The result of a query on an SQLite file, opened for reading; a bare table name gives the
--- whole table.
---
---     frame.read_sqlite("oms.db", "select * from outages where start >= $day",
---       {params = {day = d}})
---@param path string
---@param query string
---@param options? {params: table, types: table<string, string>}
---@return flowrun.Frame
function frame_sql.read_sqlite(path, query, options)
  options = check_options("read_sqlite", options, {params = 1, types = 1})
  if type(path) ~= "string" or type(query) ~= "string" then
    invalid("read_sqlite: expected a path and a query or a table's name")
  end
  if query:find("^[%a_][%w_]*$") then query = "select * from \"" .. query .. "\"" end
  local what = ("read_sqlite: %s"):format(path)
  return typed(what, run(what, query, path, {}, {}, options.params or {}), options.types)
end

return frame_sql
