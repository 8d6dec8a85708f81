--- Expectations about data. `quality.check` looks at all of them and gives a plain table that a
--- flow can branch on, return and keep; `quality.enforce` raises (code "quality") when one failed.
---
---     local quality = require "flowrun.quality"
---     local q = quality.check(df, {
---       quality.row_count{min = 1000},
---       quality.not_null("kw", {max = 0.01}),
---       quality.range("kw", {min = 0, max = 500}),
---       quality.unique{"feeder", "when"},
---     })
---     if not q.ok then return county_average(day) end
local args = require "flowrun.frame_args"
local duration = require "flowrun.duration"
local error_class = require "flowrun.core.error"
local frame = require "flowrun.frame"
local shape = require "flowrun.core.reshape"

local quality = {}

local invalid, check_options, names_of = args.invalid, args.check_options, args.names_of

---@class flowrun.Expectation
---@class flowrun.QualityResult
---@field ok boolean whether all held
---@field rows integer of the frame
---@field checks table[] {name, ok, value, limit, message, failing, rows}: `failing` counts the
--- offending rows, `rows` holds the first of them, with their numbers in the column `row_number`

local kinds = {}
local expectation_class = {__name = "flowrun.Expectation"}

local function expectation(kind, name, fields)
  fields.kind, fields.name = kind, fields.as or name
  return setmetatable(fields, expectation_class)
end

local function column_name(what, name)
  if type(name) ~= "string" then
    invalid("%s: expected a column name, got a %s", what, type(name))
  end
  return name
end

local function quoted(name) return "`" .. name:gsub("`", "``") .. "`" end

local function number(what, name, v, low, high)
  if v ~= nil and (type(v) ~= "number" or v ~= v or v < low or v > high) then
    invalid("%s: %s is %s, expected a number from %s to %s", what, name, tostring(v), low, high)
  end
  return v
end

-- The rows where `condition` is true, with their numbers.
local function offenders(df, condition, params)
  local name = "row_number"
  while df:has(name) do name = name .. "_" end
  local numbered = df:with{{name, "row()"}}
  local columns = {name, table.unpack(df.columns)}
  return numbered:filter(condition, params):select(columns)
end

-- What a check of rows found: bad rows, and whether their share is allowed.
local function judged(df, bad, allow, what)
  local share = #df == 0 and 0 or #bad / #df
  return {ok = share <= allow, value = share, limit = allow, bad = bad,
    message = ("%d of %d rows %s"):format(#bad, #df, what)}
end

-- --- rows ---

--- The number of rows is between min and max.
---@param options {min: integer, max: integer, as: string}
---@return flowrun.Expectation
function quality.row_count(options)
  options = check_options("quality.row_count", options, {min = 1, max = 1, as = 1})
  number("quality.row_count", "min", options.min, 0, math.huge)
  number("quality.row_count", "max", options.max, 0, math.huge)
  if not options.min and not options.max then
    invalid("quality.row_count: min or max is missing")
  end
  return expectation("row_count", "row_count", {min = options.min, max = options.max,
    as = options.as})
end

function kinds.row_count(self, df)
  local low, high = self.min or 0, self.max or math.huge
  return {ok = #df >= low and #df <= high, value = #df, limit = self.min or self.max,
    message = ("%d rows, expected %s"):format(#df, self.min and self.max and
      ("%d to %d"):format(low, high) or self.min and "at least " .. low or "at most " .. high)}
end

--- At most a share `max` (0 unless told) of the column is missing; `nan = true` counts NaN too.
---@param name string
---@param options? {max: number, nan: boolean, as: string}
---@return flowrun.Expectation
function quality.not_null(name, options)
  options = check_options("quality.not_null", options, {max = 0, nan = false, as = 1})
  return expectation("not_null", "not_null(" .. column_name("quality.not_null", name) .. ")",
    {column = name, nan = options.nan, as = options.as,
     allow = number("quality.not_null", "max", options.max, 0, 1) or 0})
end

function kinds.not_null(self, df)
  local floats = df:col(self.column):type():find("^float") and self.nan
  local name = quoted(self.column)
  local bad = offenders(df, floats and ("is_null(%s) or is_nan(%s)"):format(name, name)
    or ("is_null(%s)"):format(name))
  return judged(df, bad, self.allow, "are missing")
end

--- Values lie between min and max, both included (numbers, or times as text). Missing values
--- pass; NaN does not. A share `allow` of the rows may fail.
---@param name string
---@param options {min: any, max: any, allow: number, as: string}
---@return flowrun.Expectation
function quality.range(name, options)
  options = check_options("quality.range", options, {min = 1, max = 1, allow = 0, as = 1})
  if options.min == nil and options.max == nil then
    invalid("quality.range: min or max is missing")
  end
  for _, bound in ipairs{"min", "max"} do
    local v = options[bound]
    if v ~= nil and type(v) ~= "number" and type(v) ~= "string" then
      invalid("quality.range: %s is a %s, expected a number or a time", bound, type(v))
    end
  end
  return expectation("range", "range(" .. column_name("quality.range", name) .. ")",
    {column = name, min = options.min, max = options.max, as = options.as,
     allow = number("quality.range", "allow", options.allow, 0, 1) or 0})
end

function kinds.range(self, df)
  local name, parts = quoted(self.column), {}
  if self.min ~= nil then parts[#parts + 1] = name .. " < $min" end
  if self.max ~= nil then parts[#parts + 1] = name .. " > $max" end
  if df:col(self.column):type():find("^float") then parts[#parts + 1] = "is_nan(" .. name .. ")" end
  local bad = offenders(df, table.concat(parts, " or "), {min = self.min, max = self.max})
  return judged(df, bad, self.allow, ("lie outside %s to %s"):format(tostring(self.min or "any"),
    tostring(self.max or "any")))
end

--- No two rows have equal keys. Missing keys count as equal.
---@param names string|string[]
---@param options? {as: string}
---@return flowrun.Expectation
function quality.unique(names, options)
  options = check_options("quality.unique", options, {as = 1})
  names = names_of("quality.unique", names)
  if #names == 0 then invalid("quality.unique: no columns") end
  return expectation("unique", "unique(" .. table.concat(names, ", ") .. ")",
    {columns = names, as = options.as})
end

function kinds.unique(self, df)
  local place, later = "place among equal keys", "a later one"
  local counted = df:window({by = self.columns}, {{place, "row_number()"},
    {later, "lead(row_number())"}})
  local bad = offenders(counted, ("`%s` > 1 or not is_null(`%s`)"):format(place, later))
    :drop{place, later}
  return judged(df, bad, 0, "share their key with another")
end

--- Texts match a Lua pattern as a whole. Missing values pass.
---@param name string
---@param pattern string such as "%d%d%d%d%d"
---@param options? {allow: number, as: string}
---@return flowrun.Expectation
function quality.matches(name, pattern, options)
  options = check_options("quality.matches", options, {allow = 0, as = 1})
  if type(pattern) ~= "string" then
    invalid("quality.matches: expected a Lua pattern such as \"%%d+\", got a %s", type(pattern))
  end
  return expectation("matches", "matches(" .. column_name("quality.matches", name) .. ")",
    {column = name, pattern = "^" .. pattern:gsub("^%^", ""):gsub("%$$", "") .. "$",
     as = options.as, allow = number("quality.matches", "allow", options.allow, 0, 1) or 0})
end

-- The rows whose value is one that `wrong` refuses; looks at each different value once.
local function bad_values(df, name, wrong)
  local bad = {}
  for _, value in ipairs(df:select{name}:dropna():unique{name}:col(name):to_table()) do
    if wrong(value) then bad[#bad + 1] = value end
  end
  if #bad == 0 then return offenders(df:head(0), "true") end
  return offenders(df, quoted(name) .. " in $bad", {bad = bad})
end

local function want_text(df, name, what)
  local kind = df:col(name):type()
  if not kind:find("^utf8") and not kind:find("^category") then
    error_class.raise("type", ("%s: column \"%s\" is %s, expected text"):format(what, name, kind))
  end
end

function kinds.matches(self, df)
  want_text(df, self.column, self.name)
  local bad = bad_values(df, self.column, function(v)
    local fine, found = pcall(string.find, v, self.pattern)
    if not fine then invalid("the pattern \"%s\": %s", self.pattern, found) end
    return not found
  end)
  return judged(df, bad, self.allow, "do not match " .. self.pattern)
end

--- Values are among a list. Missing values pass.
---@param name string
---@param values any[]
---@param options? {allow: number, as: string}
---@return flowrun.Expectation
function quality.one_of(name, values, options)
  options = check_options("quality.one_of", options, {allow = 0, as = 1})
  if type(values) ~= "table" or #values == 0 then
    invalid("quality.one_of: expected a list of values")
  end
  return expectation("one_of", "one_of(" .. column_name("quality.one_of", name) .. ")",
    {column = name, values = values, as = options.as,
     allow = number("quality.one_of", "allow", options.allow, 0, 1) or 0})
end

function kinds.one_of(self, df)
  local known = {}
  for _, v in ipairs(self.values) do known[v] = true end
  local bad = bad_values(df, self.column, function(v) return not known[v] end)
  return judged(df, bad, self.allow, ("are none of the %d values"):format(#self.values))
end

--- An expression is true for every row; a row for which it is null passes.
---
---     quality.holds("kw <= rated_kw * $f", {params = {f = 1.2}})
---@param condition string
---@param options? {params: table, allow: number, as: string}
---@return flowrun.Expectation
function quality.holds(condition, options)
  options = check_options("quality.holds", options, {params = 1, allow = 0, as = 1})
  if type(condition) ~= "string" then
    invalid("quality.holds: expected an expression, got a %s", type(condition))
  end
  return expectation("holds", condition, {condition = condition, params = options.params,
    as = options.as, allow = number("quality.holds", "allow", options.allow, 0, 1) or 0})
end

function kinds.holds(self, df)
  local bad = offenders(df, "not (" .. self.condition .. ")", self.params)
  return judged(df, bad, self.allow, "do not satisfy " .. self.condition)
end

-- --- the whole column ---

--- The latest time is at most `max_age` old ("2h"). Times without a zone are taken as UTC; `now`
--- is seconds since 1970 (the clock unless told).
---@param name string
---@param options {max_age: fr.duration, now: number, as: string}
---@return flowrun.Expectation
function quality.fresh(name, options)
  options = check_options("quality.fresh", options, {max_age = 1, now = 1, as = 1})
  return expectation("fresh", "fresh(" .. column_name("quality.fresh", name) .. ")",
    {column = name, as = options.as, now = options.now,
     max_age = duration.seconds(options.max_age, "quality.fresh: max_age")})
end

function kinds.fresh(self, df)
  local kind = df:col(self.column):type()
  if kind ~= "date" and not kind:find("^timestamp") then
    error_class.raise("type", ("%s: the column is %s, expected times"):format(self.name, kind))
  end
  local latest = df:group({}):agg{{"latest", "max(" .. quoted(self.column) .. ")"}}
  if latest.latest[1] == nil then
    return {ok = false, limit = self.max_age, message = "no time at all"}
  end
  local now = os.date("!%Y-%m-%d %H:%M:%S", math.floor(self.now or os.time()))
  if kind:find(",") then now = now .. "Z" end
  if kind == "date" then latest = latest:with{{"latest", "timestamp(latest)"}} end
  local age = latest:with{{"age", ("diff('%s', latest, 'second')"):format(now)}}.age[1]
  return {ok = age <= self.max_age, value = age, limit = self.max_age,
    message = ("the latest time is %s, %d s old"):format(latest.latest[1], age)}
end

--- The columns have these types: `{kw = "float64", feeder = "utf8"}`. Missing columns and other
--- types fail; columns beyond them only with `exact = true`.
---@param types table<string, string>
---@param options? {exact: boolean, as: string}
---@return flowrun.Expectation
function quality.schema(types, options)
  options = check_options("quality.schema", options, {exact = false, as = 1})
  if type(types) ~= "table" or next(types) == nil then
    invalid("quality.schema: expected {column = \"type\"}, as df:types() gives")
  end
  return expectation("schema", "schema", {types = types, exact = options.exact, as = options.as})
end

function kinds.schema(self, df)
  local have, problems = df:types(), {}
  for name, kind in pairs(self.types) do
    if not have[name] then problems[#problems + 1] = ("\"%s\" is missing"):format(name)
    elseif have[name] ~= kind then
      problems[#problems + 1] = ("\"%s\" is %s, expected %s"):format(name, have[name], kind)
    end
  end
  for name in pairs(have) do
    if self.exact and not self.types[name] then
      problems[#problems + 1] = ("\"%s\" is new"):format(name)
    end
  end
  table.sort(problems)
  return {ok = #problems == 0, value = #problems, limit = 0,
    message = #problems == 0 and "as expected" or table.concat(problems, "; ")}
end

-- --- distributions ---

local function column_of(what, reference, name)
  if frame.is_frame(reference) then return reference:col(name) end
  if frame.is_array(reference) then return reference end
  invalid("%s: the reference is a frame, an array or a profile, got a %s", what, type(reference))
end

local function is_text(kind)
  return kind:find("^utf8") or kind:find("^category") or kind == "bool"
end

-- How many values fall into each bin of a profile, the last one for what has no bin.
local function counts_of(profile, column)
  local counts = {}
  for i = 1, #profile.shares + 1 do counts[i] = 0 end
  local values = frame.from{{"x", column}}
  if profile.edges then
    local labels = {}
    for i = 1, #profile.shares do labels[i] = tostring(i) end
    values = values:cut("x", profile.edges, {labels = labels, as = "x"})
  end
  local at = {}
  for i = 1, #profile.shares do at[profile.values and profile.values[i] or tostring(i)] = i end
  local total = 0
  for row in values:dropna{"x"}:group{"x"}:agg{{"n", "count()"}}:rows() do
    local i = at[row.x] or #counts
    counts[i] = counts[i] + row.n
    total = total + row.n
  end
  return counts, total
end

--- What a column looks like, as a plain table to keep: shares of values between quantiles
--- (numbers) or per value (text). For `quality.psi` on later data.
---@param column flowrun.Array
---@param options? {bins: integer}
---@return table
function quality.profile(column, options)
  options = check_options("quality.profile", options, {bins = 10})
  if not frame.is_array(column) then
    invalid("quality.profile: expected an array, got a %s", type(column))
  end
  local bins = args.whole("quality.profile: bins", options.bins or 10)
  if bins < 2 or bins > 1000 then invalid("quality.profile: 2 to 1000 bins, got %d", bins) end
  local profile = {shares = {}}
  if is_text(column:type()) then
    profile.values = frame.from{{"x", column}}:dropna():unique{"x"}:sort{"x"}.x:to_table()
    if #profile.values > 1000 then
      invalid("quality.profile: %d different values, at most 1000", #profile.values)
    end
  else
    local edges = {-math.huge}
    for i = 1, bins - 1 do
      local edge = column:quantile(i / bins)
      if edge and edge > edges[#edges] then edges[#edges + 1] = edge end
    end
    edges[#edges + 1] = math.huge
    profile.edges = edges
  end
  local n = profile.values and #profile.values or #profile.edges - 1
  for i = 1, n do profile.shares[i] = 0 end
  local counts, total = counts_of(profile, column)
  if total == 0 then invalid("quality.profile: the column has no values") end
  for i = 1, n do profile.shares[i] = counts[i] / total end
  return profile
end

--- The population stability index against a reference is at most `max` (0.2 unless told): 0 is
--- no change, from 0.25 on it is a different population. The reference is a frame with the same
--- column, an array, or a profile. Shares below 0.0001 count as that.
---@param name string
---@param reference flowrun.Frame|flowrun.Array|table
---@param options? {max: number, bins: integer, as: string}
---@return flowrun.Expectation
function quality.psi(name, reference, options)
  options = check_options("quality.psi", options, {max = 0.2, bins = 10, as = 1})
  column_name("quality.psi", name)
  local profile = reference
  if type(reference) ~= "table" or not reference.shares then
    profile = quality.profile(column_of("quality.psi", reference, name), {bins = options.bins})
  end
  return expectation("psi", "psi(" .. name .. ")", {column = name, profile = profile,
    as = options.as, max = number("quality.psi", "max", options.max, 0, math.huge) or 0.2})
end

function kinds.psi(self, df)
  local counts, total = counts_of(self.profile, df:col(self.column))
  if total == 0 then return {ok = false, limit = self.max, message = "the column has no values"} end
  local index = 0.0
  for i, count in ipairs(counts) do
    local expected = math.max(self.profile.shares[i] or 0, 1e-4)
    local actual = math.max(count / total, 1e-4)
    index = index + (actual - expected) * math.log(actual / expected)
  end
  return {ok = index <= self.max, value = index, limit = self.max,
    message = ("the population stability index is %.4f"):format(index)}
end

-- Kolmogorov's distribution: the chance of a larger distance when nothing changed.
local function chance(d, n_a, n_b)
  local x = d * math.sqrt(n_a * n_b / (n_a + n_b))
  if x < 0.2 then return 1.0 end
  local sum = 0.0
  for k = 1, 100 do
    local term = 2 * (k % 2 == 1 and 1 or -1) * math.exp(-2 * k * k * x * x)
    sum = sum + term
    if math.abs(term) < 1e-17 then break end
  end
  return math.min(1.0, math.max(0.0, sum))
end

--- The Kolmogorov-Smirnov distance to a reference (a frame with the same column or an array) is
--- at most `max` (0.1 unless told), or with `p` its chance is at least that.
---@param name string
---@param reference flowrun.Frame|flowrun.Array
---@param options? {max: number, p: number, as: string}
---@return flowrun.Expectation
function quality.ks(name, reference, options)
  options = check_options("quality.ks", options, {max = 0.1, p = 1, as = 1})
  column_name("quality.ks", name)
  local p = number("quality.ks", "p", options.p, 0, 1)
  return expectation("ks", "ks(" .. name .. ")", {column = name, p = p, as = options.as,
    reference = column_of("quality.ks", reference, name),
    max = number("quality.ks", "max", options.max, 0, 1) or 0.1})
end

function kinds.ks(self, df)
  local d, n_a, n_b = shape.ks(df:col(self.column), self.reference)
  if not d then return {ok = false, message = "there are no values to compare"} end
  local p = chance(d, n_a, n_b)
  local ok = d <= self.max
  if self.p then ok = p >= self.p end
  return {ok = ok, value = self.p and p or d, limit = self.p or self.max,
    message = ("the distance is %.4f (chance %.2g)"):format(d, p)}
end

-- --- results ---

--- Looks at all expectations; raises only for mistakes in them (a column that is not there).
--- `keep` is how many offending rows a result holds per check (100 unless told).
---@param df flowrun.Frame
---@param expectations flowrun.Expectation[]
---@param options? {keep: integer}
---@return flowrun.QualityResult
function quality.check(df, expectations, options)
  options = check_options("quality.check", options, {keep = 100})
  if not frame.is_frame(df) then
    invalid("quality.check: expected a frame, got a %s", type(df))
  end
  if type(expectations) ~= "table" or #expectations == 0 then
    invalid("quality.check: expected a list such as {quality.not_null(\"kw\")}")
  end
  local keep = args.whole("quality.check: keep", options.keep or 100)
  local result = {ok = true, rows = #df, checks = {}}
  for i, item in ipairs(expectations) do
    if getmetatable(item) ~= expectation_class then
      invalid("quality.check: item %d is a %s, expected one such as quality.range(…)", i,
        type(item))
    end
    local ok, found = pcall(kinds[item.kind], item, df)
    if not ok then
      if error_class.is(found) then
        error_class.raise(found.code, ("quality.check: %s: %s"):format(item.name, found.message))
      end
      error(found, 0)
    end
    local bad = found.bad
    result.checks[i] = {name = item.name, ok = found.ok, value = found.value, limit = found.limit,
      message = found.message, failing = bad and #bad or nil,
      rows = bad and #bad > 0 and bad:head(math.max(keep, 0)) or nil}
    result.ok = result.ok and found.ok
  end
  return result
end

--- One line per check that failed.
---@param result flowrun.QualityResult
---@return string
function quality.text(result)
  local lines = {}
  for _, check in ipairs(result.checks) do
    if not check.ok then
      local where = ""
      if check.rows then
        where = ("; first: row %d"):format(check.rows:col(check.rows.columns[1])[1])
      end
      lines[#lines + 1] = ("%s: %s%s"):format(check.name, check.message, where)
    end
  end
  return table.concat(lines, "\n")
end

--- The checks as a frame: name, ok, value, limit, failing, message.
---@param result flowrun.QualityResult
---@return flowrun.Frame
function quality.summary(result)
  local columns = {name = {}, ok = {}, value = {}, limit = {}, failing = {}, message = {}}
  for i, check in ipairs(result.checks) do
    for field, list in pairs(columns) do
      local v = check[field]
      if v == nil then v = frame.null end
      list[i] = (field == "value" or field == "limit") and v ~= frame.null and v + 0.0 or v
    end
  end
  return frame.from{{"name", columns.name, "utf8"}, {"ok", columns.ok, "bool"},
    {"value", columns.value, "float64"}, {"limit", columns.limit, "float64"},
    {"failing", columns.failing, "int64"}, {"message", columns.message, "utf8"}}
end

--- Raises an error with code "quality" that lists what failed; else returns the result. Takes a
--- result, or a frame and expectations.
---@param result flowrun.QualityResult|flowrun.Frame
---@param expectations? flowrun.Expectation[]
---@return flowrun.QualityResult
function quality.enforce(result, expectations)
  if frame.is_frame(result) then result = quality.check(result, expectations) end
  if type(result) ~= "table" or type(result.checks) ~= "table" then
    invalid("quality.enforce: expected a result of quality.check, got a %s", type(result))
  end
  if not result.ok then
    local failed = 0
    for _, check in ipairs(result.checks) do failed = failed + (check.ok and 0 or 1) end
    error_class.raise("quality", ("%d of %d checks failed\n%s"):format(failed, #result.checks,
      quality.text(result)))
  end
  return result
end

return quality
