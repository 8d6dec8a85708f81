--- Frames: named columns of one length. A frame never changes; every verb returns a new one
--- that shares the columns it did not touch. Missing is `frame.null`, and nothing else.
---
---     local frame = require "flowrun.frame"
---     local df = frame.from{{"feeder", {"F1", "F2"}}, {"kw", {1.5, frame.null}}}
---     print(df:sort{"kw"}:head(5))
local core = require "flowrun.core.frame"
local array = require "flowrun.frame_array"
local args = require "flowrun.frame_args"
local frame_excel = require "flowrun.frame_excel"
local frame_io = require "flowrun.frame_io"
local frame_jsonl = require "flowrun.frame_jsonl"
local frame_parquet = require "flowrun.frame_parquet"
local frame_relate = require "flowrun.frame_relate"
local frame_scan = require "flowrun.frame_scan"
local frame_shape = require "flowrun.frame_shape"
local frame_sql = require "flowrun.frame_sql"
local frame_window = require "flowrun.frame_window"

local frame = {}
local methods = core.methods
core.methods, array.methods, array.meta = nil, nil, nil

---@class flowrun.Frame
---@field columns string[] names in order
---@class flowrun.Array
---@alias fr.column flowrun.Array|any[] an array, or a list with `frame.null` for missing values

--- The missing value in lists. Reading a missing value gives nil.
frame.null = core.null

local invalid, check_options = args.invalid, args.check_options
local names_of, pairs_of, whole = args.names_of, args.pairs_of, args.whole

-- --- making ---

--- A column from a list. Types are inferred (int64, float64, bool, utf8) or given: "int8" …,
--- "category", "date", "timestamp[us]", "timestamp[us, UTC]", "duration[s]", "time".
---@param values fr.column
---@param type_name? string
---@return flowrun.Array
function frame.array(values, type_name) return array.new(values, type_name, "frame.array") end

--- A frame from columns: `{{"name", list}, …}`, or `{name = list}` in byte order of the names.
--- A third item gives the type: `{"when", {"2024-01-31"}, "date"}`.
---@param columns table
---@return flowrun.Frame
function frame.from(columns)
  local names, arrays = {}, {}
  for i, pair in ipairs(pairs_of("frame.from", columns)) do
    names[i] = pair[1]
    arrays[i] = array.new(pair[2], pair[3], ("column \"%s\""):format(pair[1]))
  end
  return core.from(names, arrays)
end

--- True for a frame; `frame.is_array` likewise.
---@param v any
---@return boolean
function frame.is_frame(v) return core.is(v) end
function frame.is_array(v) return array.is(v) end

--- The hash of the content, 32 hexadecimal digits: equal values have equal hashes.
---@param v flowrun.Frame|flowrun.Array
---@return string
function frame.hash(v) return core.hash(v) end

--- A constant column in `with`: `df:with{{"source", frame.lit("scada")}}`.
---@param value any a string, number, boolean or frame.null
---@param type_name? string
function frame.lit(value, type_name) return args.lit(value, type_name) end

--- Frames with the same columns, end to end; columns of later ones are matched by name.
---@param parts flowrun.Frame[]
---@return flowrun.Frame
function frame.concat(parts)
  if type(parts) ~= "table" then
    invalid("frame.concat: expected a list of frames, got a %s", type(parts))
  end
  for i, part in ipairs(parts) do
    if not core.is(part) then
      invalid("frame.concat: item %d is a %s, expected a frame", i, type(part))
    end
  end
  return core.concat(parts)
end

-- --- columns ---

--- Some columns, in the order given.
---@param names string|string[]
---@return flowrun.Frame
function methods:select(names) return core.pick(self, names_of("select", names), nil, "select") end

--- All columns but these.
---@param names string|string[]
---@return flowrun.Frame
function methods:drop(names)
  local gone, kept = {}, {}
  for _, name in ipairs(names_of("drop", names)) do
    if not self:has(name) then core.pick(self, {name}, nil, "drop") end
    gone[name] = true
  end
  for _, name in ipairs(self.columns) do
    if not gone[name] then kept[#kept + 1] = name end
  end
  return core.pick(self, kept, nil, "drop")
end

--- Columns under other names: `df:rename{old = "new"}`.
---@param names table<string, string>
---@return flowrun.Frame
function methods:rename(names)
  if type(names) ~= "table" then invalid("rename: expected {old = \"new\"}") end
  local old = self.columns
  local new = table.move(old, 1, #old, 1, {})
  local at = {}
  for i, name in ipairs(old) do at[name] = i end
  for from, to in pairs(names) do
    if type(to) ~= "string" then invalid("rename: the new name of '%s' is a %s", from, type(to)) end
    if not at[from] then core.pick(self, {tostring(from)}, nil, "rename") end
    new[at[from]] = to
  end
  return core.pick(self, old, new, "rename")
end

-- --- rows ---

--- Rows first to last, 1-based, both included; beyond the end is cut.
---@param first integer
---@param last? integer
---@return flowrun.Frame
function methods:slice(first, last)
  first, last = whole("slice", first), last and whole("slice", last) or #self
  if first < 1 then invalid("slice: rows start at 1, got %d", first) end
  last = math.min(last, #self)
  if last < first then return core.slice(self, 0, 0) end
  return core.slice(self, first - 1, last - first + 1)
end

--- The first rows, 10 unless told.
---@param n? integer
---@return flowrun.Frame
function methods:head(n)
  n = whole("head", n or 10)
  return core.slice(self, 0, math.max(0, math.min(n, #self)))
end

--- The last rows, 10 unless told.
---@param n? integer
---@return flowrun.Frame
function methods:tail(n)
  n = math.max(0, math.min(whole("tail", n or 10), #self))
  return core.slice(self, #self - n, n)
end

--- Rows in order of columns: `{"feeder", {"kw", desc = true, nulls = "first"}}`. Stable;
--- nulls come last unless told, NaN after all numbers. `nulls` in the options holds for all.
---@param keys string|table
---@param options? {nulls: "last"|"first", desc: boolean}
---@return flowrun.Frame
function methods:sort(keys, options)
  options = check_options("sort", options, {nulls = "last", desc = false})
  local names, desc, first = args.sort_keys("sort", keys, options)
  return core.sort(self, names, desc, first)
end

--- All values as `{name = list}`, missing ones as frame.null.
---@return table<string, any[]>
function methods:to_table()
  local out = {}
  for _, name in ipairs(self.columns) do out[name] = self:col(name):to_table(name) end
  return out
end

--- Missing values per column: `{kw = 3, …}`.
---@return table<string, integer>
function methods:null_count()
  local out = {}
  for _, name in ipairs(self.columns) do out[name] = self:col(name):null_count() end
  return out
end

--- Quantiles of a numeric column, linear between neighbours.
---@param name string
---@param q number|number[] between 0 and 1
---@return number|number[]|nil
function methods:quantile(name, q)
  local column = self:col(name)
  if type(q) ~= "table" or not column:type():find("^duration") then return column:quantile(q) end
  local out = {}
  for i, each in ipairs(q) do out[i] = column:quantile(each) end
  return out
end

--- The types of the columns: `{kw = "float64", …}`.
---@return table<string, string>
function methods:types()
  local out = {}
  for _, name in ipairs(self.columns) do out[name] = self:col(name):type() end
  return out
end

-- --- rows in relation to each other: documented in flowrun.frame_relate ---

for name, verb in pairs(frame_relate.methods) do methods[name] = verb end
frame.date_range, frame.threads = frame_relate.date_range, frame_relate.threads

for name, verb in pairs(frame_shape.methods) do methods[name] = verb end
for name, verb in pairs(frame_window.methods) do methods[name] = verb end

-- --- files: documented in flowrun.frame_io ---

frame.read_csv, frame.parse_csv = frame_io.read_csv, frame_io.parse_csv
frame.read_arrow = frame_io.read_arrow
frame.read_parquet = frame_parquet.read_parquet
frame.sql, frame.read_sqlite = frame_sql.sql, frame_sql.read_sqlite   -- flowrun.frame_sql
methods.write_csv, methods.to_csv = frame_io.write_csv, frame_io.to_csv
methods.write_arrow = frame_io.write_arrow
frame.scan_csv = frame_scan.scan_csv                                  -- flowrun.frame_scan
frame.read_excel, frame.excel_sheets = frame_excel.read_excel, frame_excel.excel_sheets
frame.write_excel, methods.write_excel = frame_excel.write_excel, frame_excel.write_one
methods.write_parquet = frame_parquet.write_parquet
frame.read_jsonl, frame.parse_jsonl = frame_jsonl.read_jsonl, frame_jsonl.parse_jsonl
methods.write_jsonl, methods.to_jsonl = frame_jsonl.write_jsonl, frame_jsonl.to_jsonl

return frame
