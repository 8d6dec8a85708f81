--- Verbs that change a frame's shape: wide and long tables, counts of values, intervals,
--- correlations, even time steps. Everything here is a method of frames.
local array = require "flowrun.core.array"
local core = require "flowrun.core.frame"
local error_class = require "flowrun.core.error"
local expr = require "flowrun.core.expr"
local shape = require "flowrun.core.reshape"
local args = require "flowrun.frame_args"

local invalid, check_options = args.invalid, args.check_options
local names_of, pairs_of, whole = args.names_of, args.pairs_of, args.whole

local frame_shape = {methods = {}}
local methods = frame_shape.methods

local function quoted(name) return "`" .. name:gsub("`", "``") .. "`" end

local function columns_of(self, names)
  local list = {}
  for i, name in ipairs(names) do list[i] = self:col(name) end
  return list
end

local function is_numeric(column)
  local kind = column:type()
  return kind:find("^u?int") ~= nil or kind:find("^float") ~= nil
end

-- --- wide and long ---

-- Runs f; what it raises gets a name in front.
local function named(what, f, ...)
  local results = table.pack(pcall(f, ...))
  if results[1] then return table.unpack(results, 2, results.n) end
  local e = results[2]
  if type(e) == "table" or type(e) == "userdata" then
    error_class.raise(e.code, what .. ": " .. e.message)
  end
  error(e, 0)
end

--- A column's values side by side: one row per `index` key, in key order, and one column per
--- value of `columns`. Cells without a row are missing. Rows that fall into one cell need
--- `agg`, an aggregate such as "sum". With several `values` the columns are `kw_F1`, ….
---
---     df:pivot{index = "when", columns = "feeder", values = "kw", agg = "mean"}
---@param options {index: string|string[], columns: string, values: string|string[], agg: string}
---@return flowrun.Frame
function methods:pivot(options)
  options = check_options("pivot", options, {index = 1, columns = 1, values = 1, agg = 1})
  local index = names_of("pivot: index", options.index or {})
  if type(options.columns) ~= "string" then
    invalid("pivot: columns is a column name, got a %s", type(options.columns))
  end
  if options.values == nil then invalid("pivot: values is missing: the column to spread") end
  local values = names_of("pivot: values", options.values)
  local source = self
  if options.agg ~= nil then
    if type(options.agg) ~= "string" then
      invalid("pivot: agg is the name of an aggregate, got a %s", type(options.agg))
    end
    local keys, columns = table.move(index, 1, #index, 1, {}), {}
    keys[#keys + 1] = options.columns
    for i, name in ipairs(values) do
      columns[i] = {"value " .. i, options.agg .. "(" .. quoted(name) .. ")"}
    end
    source = named("pivot", function() return self:group(keys):agg(columns) end)
  end
  local names, arrays = table.move(index, 1, #index, 1, {}), nil
  for i, name in ipairs(values) do
    local lines, keys, spread = named("pivot", shape.spread, columns_of(source, index),
      source:col(options.columns), source:col(options.agg and "value " .. i or name))
    arrays = arrays or lines
    for k, column in ipairs(spread) do
      local key = keys[k] == nil and "null" or tostring(keys[k])
      names[#names + 1] = #values > 1 and name .. "_" .. key or key
      arrays[#arrays + 1] = column
    end
  end
  return named("pivot", core.from, names, arrays)
end

--- The opposite of pivot: one row per cell. `id` columns are repeated, the names of the
--- `values` columns (all others, unless told) go to the column `name`, their values to `value`.
---
---     wide:melt{id = "when", name = "feeder", value = "kw"}
---@param options {id: string|string[], values: string|string[], name: string, value: string}
---@return flowrun.Frame
function methods:melt(options)
  options = check_options("melt", options, {id = 1, values = 1, name = 1, value = 1})
  local id = names_of("melt: id", options.id or {})
  local is_id = {}
  for _, name in ipairs(id) do
    self:col(name)
    is_id[name] = true
  end
  local values = options.values and names_of("melt: values", options.values)
  if not values then
    values = {}
    for _, name in ipairs(self.columns) do
      if not is_id[name] then values[#values + 1] = name end
    end
  end
  if #values == 0 then invalid("melt: no columns to melt") end
  local name_column, value_column = options.name or "variable", options.value or "value"
  local names = table.move(id, 1, #id, 1, {})
  names[#names + 1], names[#names + 2] = name_column, value_column
  local parts = {}
  for i, name in ipairs(values) do
    local arrays = columns_of(self, id)
    arrays[#arrays + 1] = array.repeat_value(name, #self, "utf8")
    arrays[#arrays + 1] = self:col(name)
    parts[i] = named("melt", core.from, names, arrays)
  end
  return named("melt", core.concat, parts)
end

-- --- counts and intervals ---

--- How often each value (or combination) occurs, the most frequent first, equal counts in key
--- order. `share = true` adds the share of all rows; `nulls = false` leaves missing ones out.
---@param names string|string[]
---@param options? {share: boolean, nulls: boolean, sort: boolean}
---@return flowrun.Frame keys, count, share
function methods:value_counts(names, options)
  names = names_of("value_counts", names)
  if #names == 0 then invalid("value_counts: no columns") end
  options = check_options("value_counts", options, {share = false, nulls = true, sort = true})
  local source = options.nulls == false and self:dropna(names) or self
  local counts = source:group(names):agg{{"count", "count()"}}
  if options.share then
    counts = counts:with({{"share", "count / $n"}}, {n = math.max(#source, 1)})
  end
  if options.sort == false then return counts end
  return counts:sort{{"count", desc = true}}
end

-- Texts for edges, with as many digits as make them differ.
local function edge_texts(edges)
  for _, format in ipairs{"%.6g", "%.9g", "%.17g"} do
    local texts, seen, twice = {}, {}, false
    for i, edge in ipairs(edges) do
      texts[i] = format:format(edge)
      twice = twice or seen[texts[i]]
      seen[texts[i]] = true
    end
    if not twice or format == "%.17g" then return texts end
  end
end

local function intervals(self, what, name, edges, lowest, options)
  local left = options.right == false
  local labels = options.labels
  if labels == nil then
    labels = {}
    local texts = edge_texts(edges)
    for i = 1, #edges - 1 do
      local first = lowest and not left and i == 1
      local last = lowest and left and i == #edges - 1
      labels[i] = (left or first) and "[" .. texts[i] .. ", " or "(" .. texts[i] .. ", "
      labels[i] = labels[i] .. texts[i + 1] .. ((left and not last) and ")" or "]")
    end
  end
  labels = names_of(what .. ": labels", labels)
  if #labels ~= #edges - 1 then
    invalid("%s: %d labels for %d intervals", what, #labels, #edges - 1)
  end
  local column = named(("%s: column \"%s\""):format(what, name), shape.cut, self:col(name), edges,
    labels, left, lowest)
  return self:with{{options.as or name .. "_" .. what, column}}
end

local function edge_list(what, list)
  for i, edge in ipairs(list) do
    if type(edge) ~= "number" or edge ~= edge then
      invalid("%s: edge %d is %s, expected a number", what, i, tostring(edge))
    end
  end
  if #list < 2 then invalid("%s: at least two edges", what) end
  return list
end

--- A new column with the interval of each number, an ordered category: `edges` such as
--- `{0, 10, 20}` make (0, 10] and (10, 20]; a number makes so many of equal width between the
--- least and the greatest value. Numbers outside are missing; `math.huge` leaves an end open.
---
---     df:cut("kw", {0, 100, 500, math.huge}, {labels = {"low", "mid", "high"}, as = "band"})
---@param name string
---@param edges number[]|integer
---@param options? {labels: string[], right: boolean, lowest: boolean, as: string}
---@return flowrun.Frame
function methods:cut(name, edges, options)
  options = check_options("cut", options, {labels = 1, right = true, lowest = false, as = 1})
  if type(edges) == "table" then
    return intervals(self, "cut", name, edge_list("cut", edges), options.lowest or false, options)
  end
  local n = whole("cut: intervals", edges)
  if n < 1 or n > 10000 then invalid("cut: 1 to 10000 intervals, got %d", n) end
  local column = self:col(name)
  if not is_numeric(column) then
    error_class.raise("type", ("cut: column \"%s\": expected numbers, got %s"):format(name,
      column:type()))
  end
  local least, most = column:min(), column:max()
  if not least or least == most or least - most ~= least - most then
    invalid("cut: column \"%s\" has no two different numbers: give edges", name)
  end
  local list = {}
  for i = 0, n do list[i + 1] = least + (most - least) * (i / n) end
  list[n + 1] = most + 0.0
  return intervals(self, "cut", name, list, true, options)
end

--- As cut, with edges at quantiles: `4` makes quarters, `{0, 0.9, 1}` a large and a small part.
--- Edges that fall together are an error, unless `drop = true` drops them.
---@param name string
---@param q number[]|integer
---@param options? {labels: string[], as: string, drop: boolean}
---@return flowrun.Frame
function methods:qcut(name, q, options)
  options = check_options("qcut", options, {labels = 1, as = 1, drop = false})
  local list = {}
  if type(q) == "table" then
    list = edge_list("qcut", q)
  else
    local n = whole("qcut: parts", q)
    if n < 1 or n > 10000 then invalid("qcut: 1 to 10000 parts, got %d", n) end
    for i = 0, n do list[i + 1] = i / n end
  end
  local edges = {}
  for _, edge in ipairs(self:quantile(name, list)) do
    if not (options.drop and edges[#edges] == edge) then edges[#edges + 1] = edge end
  end
  if #edges < 2 then invalid("qcut: column \"%s\" has no two different numbers", name) end
  return intervals(self, "qcut", name, edges, true, options)
end

--- Correlations of numeric columns (all, unless told), each pair over the rows where both are
--- there: a frame with `column` and one column per name. `method` "pearson" or "spearman".
---@param names? string|string[]
---@param options? {method: string}
---@return flowrun.Frame
function methods:corr(names, options)
  options = check_options("corr", options, {method = "pearson"})
  local method = options.method or "pearson"
  if method ~= "pearson" and method ~= "spearman" then
    invalid("corr: method is \"pearson\" or \"spearman\", got %s", tostring(method))
  end
  if names then names = names_of("corr", names) else
    names = {}
    for _, name in ipairs(self.columns) do
      if is_numeric(self:col(name)) then names[#names + 1] = name end
    end
  end
  local columns = columns_of(self, names)
  for i, column in ipairs(columns) do
    if not is_numeric(column) then
      error_class.raise("type", ("corr: column \"%s\" is %s, expected numbers"):format(names[i],
        column:type()))
    end
  end
  local function of(a, b)
    if method == "spearman" then
      local both = core.from({"a", "b"}, {a, b}):dropna()
      a, b = expr.eval(both, "rank(a, 'average')"), expr.eval(both, "rank(b, 'average')")
    end
    return shape.corr(a, b) or core.null
  end
  local rows = {}
  for i = 1, #names do
    rows[i] = rows[i] or {}
    for j = i, #names do
      rows[j] = rows[j] or {}
      rows[i][j] = of(columns[i], columns[j])
      rows[j][i] = rows[i][j]
    end
  end
  local out, arrays = {"column"}, {array.new(names, "utf8", "corr")}
  for i, name in ipairs(names) do
    out[i + 1], arrays[i + 1] = name, array.new(rows[i], "float64", "corr")
  end
  return named("corr", core.from, out, arrays)
end

-- --- even time steps ---

-- What the aggregates are of no rows: 0 for sums and counts, else missing.
local function of_none(self, columns, params)
  local ok, row = pcall(function() return self:head(0):group({}):agg(columns, params) end)
  return ok and row or nil
end

--- Rows brought to even time steps: one row per step (and `by` key) with aggregates, steps
--- without rows too, from the first to the last one of each key (`gaps = false`: only steps
--- that have rows). "15min", "1h" are elapsed time; "6h", "1d", "1w" (from Monday), "1mo", "1q",
--- "1y" follow the local clock and calendar of the column's zone, so a day is 23 or 25 hours
--- long where the clock changes. Rows without a time are left out.
---
---     df:resample("when", "1h", {{"kw", "mean(kw)"}, {"n", "count()"}}, {by = "feeder"})
---@param name string a date or timestamp column: the start of the step in the result
---@param freq string
---@param columns table {{name, expression}, …}
---@param options? {by: string|string[], gaps: boolean, params: table}
---@return flowrun.Frame by columns, the time, aggregates
function methods:resample(name, freq, columns, options)
  options = check_options("resample", options, {by = 1, gaps = true, params = 1})
  local by = names_of("resample: by", options.by or {})
  if type(freq) ~= "string" then
    invalid("resample: expected a step such as \"1h\", got a %s", type(freq))
  end
  local wanted = pairs_of("resample", columns)
  local starts = shape.floor(self:col(name), freq)
  local stepped = self:with{{name, starts}}:dropna{name}
  local keys = table.move(by, 1, #by, 1, {})
  keys[#keys + 1] = name
  local out = stepped:group(keys):agg(wanted, options.params)
  if options.gaps == false or #out == 0 then return out end
  local by_missing, missing = shape.gaps(columns_of(out, by), out:col(name), freq)
  if #missing == 0 then return out end
  local none = of_none(self, wanted, options.params)
  by_missing[#by_missing + 1] = missing
  for _, pair in ipairs(wanted) do
    local value = none and none:col(pair[1])[1]
    if value == nil then value = core.null end
    by_missing[#by_missing + 1] = array.repeat_value(value, #missing, out:col(pair[1]):type())
  end
  return core.concat{out, core.from(out.columns, by_missing)}:sort(keys)
end

return frame_shape
