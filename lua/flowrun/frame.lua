--- Frames: named columns of one length. A frame never changes; every verb returns a new one
--- that shares the columns it did not touch. Missing is `frame.null`, and nothing else.
---
---     local frame = require "flowrun.frame"
---     local df = frame.from{{"feeder", {"F1", "F2"}}, {"kw", {1.5, frame.null}}}
---     print(df:sort{"kw"}:head(5))
local core = require "flowrun.core.frame"
local array = require "flowrun.core.array"
local error_class = require "flowrun.core.error"
local frame_io = require "flowrun.frame_io"

local frame = {}
local methods, array_methods = core.methods, array.methods
core.methods, array.methods = nil, nil

---@class flowrun.Frame
---@field columns string[] names in order
---@class flowrun.Array
---@alias fr.column flowrun.Array|any[] an array, or a list with `frame.null` for missing values

--- The missing value in lists. Reading a missing value gives nil.
frame.null = core.null

local function invalid(format, ...) error_class.raise("invalid", format:format(...)) end

-- --- arguments ---

-- The name nearest to `name` among the keys of `known`, for messages.
local function suggest(name, known)
  local best, least = nil, #name // 3 + 2
  for other in pairs(known) do
    local row = {}
    for j = 0, #other do row[j] = j end
    for i = 1, #name do
      local diagonal = row[0]
      row[0] = i
      for j = 1, #other do
        local above = row[j]
        local same = name:byte(i) == other:byte(j) and 0 or 1
        row[j] = math.min(above + 1, row[j - 1] + 1, diagonal + same)
        diagonal = above
      end
    end
    if row[#other] < least or row[#other] == least and best and other < best then
      best, least = other, row[#other]
    end
  end
  return best
end

-- Refuses options that `known` (name -> default or type, as documentation) does not have.
local function check_options(what, options, known)
  if options == nil then return {} end
  if type(options) ~= "table" then
    invalid("%s: options are a table, got a %s", what, type(options))
  end
  local keys = {}
  for key in pairs(options) do keys[#keys + 1] = tostring(key) end
  table.sort(keys)
  for _, key in ipairs(keys) do
    if known[key] == nil then
      local near = suggest(key, known)
      local names = {}
      for name in pairs(known) do names[#names + 1] = name end
      table.sort(names)
      invalid("%s: unknown option '%s'; %s", what, key, near and ("did you mean '%s'?"):format(near)
        or "it knows " .. table.concat(names, ", "))
    end
  end
  return options
end

-- "a", or {"a", "b"}, as a list of names.
local function names_of(what, v)
  if type(v) == "string" then return {v} end
  if type(v) ~= "table" then
    invalid("%s: expected column names such as {\"kw\", \"zone\"}, got a %s", what, type(v))
  end
  for key, name in pairs(v) do
    if math.type(key) ~= "integer" then
      invalid("%s: expected a list of column names, found the key '%s'", what, tostring(key))
    end
    if type(name) ~= "string" then
      invalid("%s: item %d is a %s, expected a column name", what, key, type(name))
    end
  end
  return v
end

-- {{"a", x}, {"b", y}} in order, or {a = x, b = y} in byte order of the names.
local function pairs_of(what, v)
  if type(v) ~= "table" then
    invalid("%s: expected {{\"name\", value}, …} or {name = value}, got a %s", what, type(v))
  end
  local list, keyed = {}, {}
  for key in pairs(v) do
    if type(key) == "string" then
      keyed[#keyed + 1] = key
    elseif math.type(key) ~= "integer" then
      invalid("%s: a column name is a string, got the key %s", what, tostring(key))
    end
  end
  if #keyed > 0 then
    if #v > 0 then invalid("%s: either {{name, value}, …} or {name = value}, not both", what) end
    table.sort(keyed)
    for i, key in ipairs(keyed) do list[i] = {key, v[key]} end
    return list
  end
  for i, pair in ipairs(v) do
    if type(pair) ~= "table" or type(pair[1]) ~= "string" or pair[2] == nil then
      invalid("%s: item %d should be {\"name\", value}", what, i)
    end
    list[i] = pair
  end
  return list
end

local function whole(what, v)
  local n = math.tointeger(v)
  if not n then invalid("%s: expected a whole number, got %s", what, tostring(v)) end
  return n
end

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

local lit_class = {__name = "flowrun.Lit"}

--- A constant column in `with`: `df:with{{"source", frame.lit("scada")}}`.
---@param value any a string, number, boolean or frame.null
---@param type_name? string
function frame.lit(value, type_name)
  return setmetatable({value = value, type = type_name}, lit_class)
end

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
  if type(keys) == "string" then keys = {keys} end
  if type(keys) ~= "table" or #keys == 0 then
    invalid("sort: expected columns such as {\"feeder\", {\"kw\", desc = true}}")
  end
  if keys.desc ~= nil or keys.nulls ~= nil then    -- {"kw", desc = true}
    if #keys > 1 then
      invalid('sort: write {"a", {"b", desc = true}} or sort(keys, {desc = true})')
    end
    keys = {keys}
  end
  local names, desc, first = {}, {}, {}
  for i, key in ipairs(keys) do
    local own = type(key) == "table" and key or {key}
    if type(own[1]) ~= "string" then
      invalid("sort: item %d is a %s, expected a column name", i, type(own[1]))
    end
    local known = {desc = false, nulls = "last"}
    for option in pairs(own) do
      if option ~= 1 and known[option] == nil then
        check_options("sort: column '" .. own[1] .. "'", {[tostring(option)] = true}, known)
      end
    end
    local nulls = own.nulls or options.nulls or "last"
    if nulls ~= "last" and nulls ~= "first" then
      invalid("sort: nulls is \"last\" or \"first\", got %s", tostring(nulls))
    end
    names[i] = own[1]
    desc[i] = own.desc == nil and options.desc or own.desc or false
    first[i] = nulls == "first"
  end
  return core.sort(self, names, desc, first)
end

--- All values as `{name = list}`, missing ones as frame.null.
---@return table<string, any[]>
function methods:to_table()
  local out = {}
  for _, name in ipairs(self.columns) do out[name] = self:col(name):to_table() end
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
  if type(q) ~= "table" then return column:quantile(q) end
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

-- --- files: documented in flowrun.frame_io ---

frame.read_csv, frame.parse_csv = frame_io.read_csv, frame_io.parse_csv
methods.write_csv, methods.to_csv = frame_io.write_csv, frame_io.to_csv

return frame
