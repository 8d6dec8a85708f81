--- Verbs that relate rows to each other: with, filter, group, join, unique, partition, split,
--- missing values. Everything here is also a method of frames or `flowrun.frame`'s.
local core = require "flowrun.core.frame"
local array = require "flowrun.core.array"
local expr = require "flowrun.core.expr"
local relate = require "flowrun.core.relate"
local args = require "flowrun.frame_args"

local invalid, check_options = args.invalid, args.check_options
local names_of, pairs_of, whole = args.names_of, args.pairs_of, args.whole

local frame_relate = {methods = {}}
local methods = frame_relate.methods

-- --- expressions ---

--- The rows for which an expression is true; null counts as false. `$name` in it is a
--- parameter. A bool array works too.
---
---     df:filter("amount > $lo and zone in ('N', 'S') and not is_null(kw)", {lo = 3})
---@param condition string|flowrun.Array
---@param params? table<string, any>
---@return flowrun.Frame
function methods:filter(condition, params)
  if type(condition) == "string" then
    return expr.filter(self, condition, params)
  end
  if array.is(condition) then return core.mask(self, condition) end
  invalid("filter: expected an expression such as \"kw > 5\", got a %s", type(condition))
end

-- The columns that `with` and `window` make.
local function with_columns(self, verb, columns, params, window)
  local names = self.columns
  local arrays, at = {}, {}
  for i, name in ipairs(names) do
    arrays[i] = self:col(name)
    at[name] = i
  end
  local seen = {}
  for _, pair in ipairs(pairs_of(verb, columns)) do
    local name, value = pair[1], pair[2]
    local what = ("%s: column \"%s\""):format(verb, name)
    if seen[name] then invalid("%s is there twice", what) end
    seen[name] = true
    local column
    if type(value) == "string" then
      column = expr.eval(self, value, params, what, window)
    elseif args.is_lit(value) then
      column = array.repeat_value(value.value, #self, value.type)
    elseif array.is(value) or type(value) == "table" then
      column = array.new(value, nil, what)
      if #column ~= #self and #names > 0 then
        invalid("%s has %d rows, the frame %d", what, #column, #self)
      end
    else
      invalid("%s is a %s; expected an expression, a list, an array or frame.lit(value)", what,
        type(value))
    end
    local i = at[name] or #names + 1
    names[i], arrays[i], at[name] = name, column, i
  end
  return core.from(names, arrays)
end

--- New or replaced columns. A string is an expression, `frame.lit(v)` a constant, an array or
--- a list a column. All expressions see the frame as it was.
---
---     df:with({{"hour", "hour(when)"}, {"loading", "load_kw / rated_kw * $f"}}, {f = 1.1})
---@param columns table {{name, value}, …} or {name = value}
---@param params? table<string, any>
---@return flowrun.Frame
function methods:with(columns, params) return with_columns(self, "with", columns, params) end

--- As `with`, for expressions whose functions look at other rows: they see the rows with equal
--- `by` columns, in the order of `order` (as `sort` takes it; without it, as they stand). The
--- frame keeps its order. Functions: lag lead row_number rank cum_sum cum_min cum_max cum_count
--- rolling_sum rolling_mean rolling_min rolling_max rolling_std rolling_var rolling_count
--- ewm_mean fill_forward fill_backward interpolate.
---
---     df:window({by = {"feeder"}, order = {"when"}}, {{"prev", "lag(kw, 1)"},
---       {"day", "rolling_mean(kw, 24)"}})
---@param over {by: string|string[], order: string|table}
---@param columns table {{name, value}, …} or {name = value}
---@param params? table<string, any>
---@return flowrun.Frame
function methods:window(over, columns, params)
  if type(over) ~= "table" then
    invalid("window: expected {by = {\"feeder\"}, order = {\"when\"}}, got a %s", type(over))
  end
  check_options("window", over, {by = 1, order = 1})
  local by = names_of("window: by", over.by or {})
  local names, desc, first = {}, {}, {}
  if over.order ~= nil then
    names, desc, first = args.sort_keys("window: order", over.order, {})
  end
  return with_columns(self, "window", columns, params,
    expr.window(self, by, names, desc, first))
end

---@class flowrun.Group
local group_class = {__name = "flowrun.Group"}
group_class.__index = group_class
function group_class:__tostring()
  return ("group by %s of %d rows: call :agg{{\"name\", \"mean(column)\"}}"):format(
    table.concat(self.names, ", "), #self.frame)
end

--- Groups rows with equal keys, for `:agg`. Nulls are a group of their own, the last.
---
---     df:group{"feeder"}:agg{{"kw_mean", "mean(kw)"}, {"n", "count()"}}
---@param names string|string[] empty: all rows are one group
---@return flowrun.Group
function methods:group(names)
  return setmetatable({frame = self, names = names_of("group", names)}, group_class)
end

--- One row per group, in key order: the keys, then the aggregates. Functions: count sum mean
--- min max std var median quantile first last nunique.
---@param columns table {{name, expression}, …} or {name = expression}
---@param params? table<string, any>
---@return flowrun.Frame
function group_class:agg(columns, params)
  local names, texts = {}, {}
  for i, pair in ipairs(pairs_of("agg", columns)) do
    if type(pair[2]) ~= "string" then
      invalid("agg: column \"%s\" is a %s, expected an expression such as \"mean(kw)\"", pair[1],
        type(pair[2]))
    end
    names[i], texts[i] = pair[1], pair[2]
  end
  return expr.agg(self.frame, self.names, names, texts, params)
end

-- --- joins ---

-- on = "a", {"a", "b"}, or {{"left", "right"}, "b"} where the names differ.
local function keys_of(what, on)
  local left, right = {}, {}
  if type(on) == "string" then on = {on} end
  if type(on) ~= "table" then
    invalid("%s: on is a column name or a list of them, got a %s", what, type(on))
  end
  for i, key in ipairs(on) do
    local pair = type(key) == "table" and key or {key, key}
    if type(pair[1]) ~= "string" or type(pair[2]) ~= "string" then
      invalid("%s: key %d should be a column name or {\"left\", \"right\"}", what, i)
    end
    left[i], right[i] = pair[1], pair[2]
  end
  return left, right
end

local function check_frame(what, v)
  if not core.is(v) then invalid("%s: expected a frame, got a %s", what, type(v)) end
end

local hows = {inner = "inner", left = "left", right = "right", full = "full", outer = "full",
  semi = "semi", anti = "anti", cross = "cross"}

-- One of the keys of `choices`, or its default.
local function choice(what, name, v, choices, default)
  if v == nil then return default end
  if choices[v] then return choices[v] end
  local known = {}
  for key in pairs(choices) do known[#known + 1] = key end
  table.sort(known)
  invalid("%s: %s is one of %s, got %s", what, name, table.concat(known, ", "), tostring(v))
end

--- Rows of two frames with equal keys, in left order. `how`: "inner" (default), "left",
--- "right", "full", "semi" (left rows with a match), "anti" (without), "cross" (every pair, without
--- `on`). Null keys match nothing.
--- A right column whose name is taken gets `suffix` ("_right").
---@param other flowrun.Frame
---@param options {on: string|table, how: string, suffix: string}
---@return flowrun.Frame
function methods:join(other, options)
  check_frame("join", other)
  if type(options) == "string" then options = {on = options} end
  options = check_options("join", options, {on = 1, how = 1, suffix = 1})
  local cross = options.how == "cross"
  if cross and options.on ~= nil then invalid("join: a cross join pairs all rows: it has no on") end
  if options.on == nil and not cross then invalid("join: on is missing: {on = \"feeder\"}") end
  local left, right = keys_of("join", options.on or {})
  if #left == 0 and not cross then invalid("join: on is empty") end
  return relate.join(self, other, left, right,
    choice("join", "how", options.how, hows, "inner"), options.suffix or "_right")
end

local ways = {backward = "backward", forward = "forward", nearest = "nearest"}

--- Every row with the nearest earlier row of another frame: sensor readings with the weather
--- that held. `by` keys must be equal, `tolerance` is the longest distance ("15min", seconds,
--- or a number in the unit of a numeric `on`), `direction` "backward" (default), "forward" or
--- "nearest". The other frame's `on` column stays, as `when_right`.
---@param other flowrun.Frame
---@param options {on: string|table, by: string|table, tolerance: any, direction: string}
---@return flowrun.Frame
function methods:join_asof(other, options)
  check_frame("join_asof", other)
  options = check_options("join_asof", options,
    {on = 1, by = 1, tolerance = 1, suffix = 1, direction = 1})
  local left, right = keys_of("join_asof", options.on)
  if #left ~= 1 then invalid("join_asof: on is one column") end
  local by_left, by_right = keys_of("join_asof", options.by or {})
  local tolerance = -1.0
  if options.tolerance ~= nil then
    local kind = self:col(left[1]):type()
    local times = kind:find("^timestamp") or kind == "date" or kind == "time"
      or kind:find("^duration")
    tolerance = options.tolerance
    if type(tolerance) == "number" then
      if tolerance < 0 then invalid("join_asof: tolerance is negative") end
      tolerance = times and tolerance * 1e9 or tolerance + 0.0
    elseif type(tolerance) ~= "string" or not times then
      invalid("join_asof: tolerance is %s for \"%s\", which is %s",
        times and "a duration such as \"15min\"" or "a number", left[1], kind)
    end
  end
  return relate.join_asof(self, other, left[1], right[1], by_left, by_right,
    choice("join_asof", "direction", options.direction, ways, "backward"), tolerance,
    options.suffix or "_right")
end

-- --- some rows ---

--- The first row of each different key (of whole rows when no names are given), in row order.
---@param names? string|string[]
---@return flowrun.Frame
function methods:unique(names)
  return relate.unique(self, names and names_of("unique", names) or self.columns)
end

--- One frame per key, in key order: a list of `{key = value, frame = rows}`; with several
--- columns `key` is `{name = value}`.
---@param names string|string[]
---@return {key: any, frame: flowrun.Frame}[]
function methods:partition(names)
  names = names_of("partition", names)
  if #names == 0 then invalid("partition: no columns") end
  local parts, keys = relate.partition(self, names)
  for i, part in ipairs(parts) do
    local row = keys:row(i)
    local key = row
    if #names == 1 then key = row[names[1]] else
      for name in pairs(row) do
        local asked = false
        for _, wanted in ipairs(names) do asked = asked or wanted == name end
        if not asked then row[name] = nil end
      end
    end
    parts[i] = {key = key, frame = part}
  end
  return parts
end

local function seed_of(what, options)
  return whole(what .. ": seed", options.seed or options.random_state or 0)
end

--- Two frames, rows drawn at random: `local train, test = df:split{test = 0.2, seed = 42}`.
--- `test` is a share or a number of rows, `stratify` a column (or array) whose classes are
--- represented alike in both. Rows keep their order.
---@param options {test: number, stratify: string|flowrun.Array, seed: integer}
---@return flowrun.Frame train
---@return flowrun.Frame test
function methods:split(options)
  options = check_options("split", options,
    {test = 1, stratify = 1, seed = 1, test_size = 1, random_state = 1})
  local test = options.test or options.test_size or 0.25
  if type(test) ~= "number" then invalid("split: test is a number, got %s", tostring(test)) end
  local by = options.stratify
  if type(by) == "string" then by = self:col(by) end
  if by ~= nil and not array.is(by) then
    invalid("split: stratify is a column name or an array, got a %s", type(by))
  end
  return relate.split(self, by, test, seed_of("split", options))
end

--- Rows drawn at random without replacement, in row order: `n` of them or a `share`.
---@param options {n: integer, share: number, seed: integer}
---@return flowrun.Frame
function methods:sample(options)
  if type(options) == "number" then options = {n = options} end
  options = check_options("sample", options, {n = 1, share = 1, seed = 1, random_state = 1})
  local n = options.n
  if options.share then n = math.floor(options.share * #self + 0.5) end
  if not n then invalid("sample: n or share is missing") end
  return relate.sample(self, whole("sample: n", n), seed_of("sample", options))
end

-- --- missing values ---

--- Only rows without missing values in the columns (all, when none are given). NaN is an
--- ordinary number unless `nan = true`.
---@param names? string|table {"kw", nan = true}
---@return flowrun.Frame
function methods:dropna(names)
  local nan = false
  if type(names) == "table" then
    local list = {}
    for key, value in pairs(names) do
      if key == "nan" then nan = value
      elseif type(key) == "string" then check_options("dropna", {[key] = value}, {nan = false})
      else list[key] = value end
    end
    names = #list > 0 and list or nil
  end
  return relate.dropna(self, names and names_of("dropna", names) or self.columns, nan)
end

--- Missing values replaced: `df:fill{kw = 0}`; a single value fills every column that can
--- hold it.
---@param values table<string, any>|number|string|boolean
---@return flowrun.Frame
function methods:fill(values)
  local names, arrays, at = self.columns, {}, {}
  for i, name in ipairs(names) do
    arrays[i] = self:col(name)
    at[name] = i
  end
  if type(values) == "table" then
    for _, pair in ipairs(pairs_of("fill", values)) do
      local name = pair[1]
      local column = self:col(name)
      arrays[at[name]] = relate.fill(column, pair[2], ("fill: column \"%s\""):format(name))
    end
  else
    local fits = {number = {int = 1, uint = 1, float = 1}, string = {utf = 1, category = 1},
      boolean = {bool = 1}}
    local kinds = fits[type(values)] or {}
    for i, column in ipairs(arrays) do
      if kinds[column:type():match("^%a+")] and column:null_count() > 0 then
        arrays[i] = relate.fill(column, values, ("fill: column \"%s\""):format(names[i]))
      end
    end
  end
  return core.from(names, arrays)
end

-- --- summaries ---

--- One row per column: type, values, nulls, distinct values, and for numbers mean, std, min,
--- quantiles (quarters unless told), max.
---
---     df:describe({"kw"}, {quantiles = {0.05, 0.5, 0.95}})
---@param names? string|string[] all columns unless told
---@param options? {quantiles: number[]}
---@return flowrun.Frame
function methods:describe(names, options)
  names = names and names_of("describe", names) or self.columns
  options = check_options("describe", options, {quantiles = 1})
  local fields = {{"mean", "mean"}, {"std", "std"}, {"min", "min"}}
  for i, q in ipairs(options.quantiles or {0.25, 0.5, 0.75}) do
    if type(q) ~= "number" or not (q >= 0 and q <= 1) then
      invalid("describe: quantile %d is %s, expected a number from 0 to 1", i, tostring(q))
    end
    fields[#fields + 1] = {("p%.10g"):format(q * 100), "quantile", q}
  end
  fields[#fields + 1] = {"max", "max"}
  local rows = {column = {}, type = {}, count = {}, nulls = {}, unique = {}}
  for _, field in ipairs(fields) do rows[field[1]] = {} end
  for i, name in ipairs(names) do
    local column = self:col(name)
    local kind = column:type()
    rows.column[i], rows.type[i] = name, kind
    rows.count[i], rows.nulls[i] = column:count(), column:null_count()
    rows.unique[i] = column:nunique()
    local numeric = kind:find("^u?int") or kind:find("^float")
    for _, field in ipairs(fields) do
      local value = numeric and column[field[2]](column, field[3])
      rows[field[1]][i] = value and value + 0.0 or core.null
    end
  end
  local order = {"column", "type", "count", "nulls", "unique"}
  for _, field in ipairs(fields) do order[#order + 1] = field[1] end
  local arrays = {}
  for i, name in ipairs(order) do
    local kind = i <= 2 and "utf8" or i <= 5 and "int64" or "float64"
    arrays[i] = array.new(rows[name], kind, "describe")
  end
  return core.from(order, arrays)
end

-- --- making ---

--- Evenly spaced times, an array: `start` and either `periods` or `["end"]` (the last time that
--- may be in). `freq`: "15min", "1h" are elapsed time; "1d", "1w" keep the local time of day;
--- "1mo", "1q", "1y" the day of the month. `tz` is "UTC" or an IANA name; without it the times
--- are naive. `unit` is "us" unless told.
---
---     frame.date_range{start = "2023-01-01", periods = 24, freq = "1h", tz = "UTC"}
---@param options table
---@return flowrun.Array
function frame_relate.date_range(options)
  options = check_options("date_range", options,
    {start = 1, periods = 1, ["end"] = 1, stop = 1, freq = 1, tz = 1, unit = 1})
  local last = options["end"] or options.stop
  if type(options.start) ~= "string" then
    invalid("date_range: start is a text such as \"2023-01-01\", got %s", tostring(options.start))
  end
  if (options.periods == nil) == (last == nil) then
    invalid("date_range: give either periods or [\"end\"]")
  end
  local periods = options.periods and whole("date_range: periods", options.periods) or -1
  if options.periods and periods < 0 then invalid("date_range: periods is negative") end
  return relate.date_range(options.start, last, periods, options.freq or "1d", options.tz or "",
    options.unit or "us")
end

--- The most threads that verbs called from here use; with a number sets it (0: all cores).
--- Results do not depend on it.
---@param n? integer
---@return integer before
function frame_relate.threads(n) return relate.threads(n) end

return frame_relate
