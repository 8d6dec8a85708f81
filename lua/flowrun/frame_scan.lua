--- Files larger than memory: rows pass through in pieces, and what comes out fits. Everything here
--- hangs on `frame.scan_csv(paths)`.
---
---     local kw = frame.scan_csv("scada/*.csv.gz")
---       :filter("kw > $lo", {lo = 0})
---       :group{"feeder"}:agg{{"mean_kw", "mean(kw)"}, {"n", "count()"}}
local core = require "flowrun.core.frame"
local csv = require "flowrun.core.csv"
local expr = require "flowrun.core.expr"
local args = require "flowrun.frame_args"
local frame_io = require "flowrun.frame_io"

local frame_scan = {}
local invalid = args.invalid

---@class flowrun.Scan
local scan_class = {__name = "flowrun.Scan"}
scan_class.__index = scan_class
function scan_class:__tostring()
  return ("scan of %d file%s: call :group{…}:agg{…}, :write_csv(path), :collect() or :count()")
    :format(#self.files, #self.files == 1 and "" or "s")
end

--- Delimited files as a stream of rows, with the options of `read_csv` (without `quarantine`,
--- `widths`, `escape`, `comment` and UTF-16). Nothing is read before the end of the chain is
--- called. `piece_mb` (16) is how much text is in memory at a time. Types are those that `read_csv`
--- finds: when a later value does not fit, reading starts again with a wider type.
---@param paths string|string[]
---@param options? table
---@return flowrun.Scan
function frame_scan.scan_csv(paths, options)
  local own, piece = {}, 0
  if options ~= nil and type(options) ~= "table" then
    invalid("scan_csv: options are a table, got a %s", type(options))
  end
  for key, v in pairs(options or {}) do
    if key == "piece_mb" then
      if math.type(v) == nil or not (v > 0 and v <= 1024) then
        invalid("scan_csv: piece_mb is a number up to 1024, got %s", tostring(v))
      end
      piece = math.max(1, math.floor(v * 2^20))
    else
      own[key] = v
    end
  end
  return setmetatable({files = frame_io.files_of("scan_csv", paths), options = own, piece = piece,
    steps = {}}, scan_class)
end

-- A scan with one more step; a step takes a piece and whether it is the first one.
local function add(self, step)
  local steps = table.move(self.steps, 1, #self.steps, 1, {})
  steps[#steps + 1] = step
  return setmetatable({files = self.files, options = self.options, piece = self.piece,
    steps = steps}, scan_class)
end

-- Only what each row says by itself can be computed in pieces.
local function check_local(what, piece, text, params)
  if not expr.inspect(piece, text, params).own then
    invalid("%s: %s looks at other rows, which a scan does not have: collect() first", what, text)
  end
end

--- The rows for which an expression is true, as `df:filter`.
---@param condition string
---@param params? table<string, any>
---@return flowrun.Scan
function scan_class:filter(condition, params)
  if type(condition) ~= "string" then
    invalid("scan: filter: expected an expression such as \"kw > 5\", got a %s", type(condition))
  end
  return add(self, function(piece, first)
    if first then check_local("scan: filter", piece, condition, params) end
    return piece:filter(condition, params)
  end)
end

--- New or replaced columns by expressions, as `df:with`.
---@param columns table {{name, expression}, …} or {name = expression}
---@param params? table<string, any>
---@return flowrun.Scan
function scan_class:with(columns, params)
  local pairs_list = args.pairs_of("scan: with", columns)
  for _, pair in ipairs(pairs_list) do
    if type(pair[2]) ~= "string" and not args.is_lit(pair[2]) then
      invalid("scan: with: column \"%s\" is a %s, expected an expression or frame.lit(value)",
        pair[1], type(pair[2]))
    end
  end
  return add(self, function(piece, first)
    for _, pair in ipairs(first and pairs_list or {}) do
      if type(pair[2]) == "string" then check_local("scan: with", piece, pair[2], params) end
    end
    return piece:with(pairs_list, params)
  end)
end

--- Some columns, in the order given. A scan that needs few columns says so first in
--- `scan_csv(path, {columns = {…}})`: others are not even parsed.
---@param names string|string[]
---@return flowrun.Scan
function scan_class:select(names)
  return add(self, function(piece) return piece:select(names) end)
end

--- All columns but these.
---@param names string|string[]
---@return flowrun.Scan
function scan_class:drop(names)
  return add(self, function(piece) return piece:drop(names) end)
end

--- Folds the pieces: `start()` gives a state (again when reading starts anew), `step(state, piece)`
--- the next one. The other ends of a chain are made of this.
---@param start fun(): any
---@param step fun(state: any, piece: flowrun.Frame): any
---@return any state
function scan_class:fold(start, step)
  for name, f in pairs{start = start, step = step} do
    if type(f) ~= "function" then
      args.invalid("scan: fold: %s is a function, got a %s", name, type(f))
    end
  end
  local state, first = start(), true
  local stream <close> = csv.stream(self.files, self.options, "scan_csv", self.piece)
  while true do
    local piece, again = stream:next()
    if again then
      state, first = start(), true
    elseif piece then
      for _, apply in ipairs(self.steps) do piece = apply(piece, first) end
      state, first = step(state, piece), false
    else
      return state
    end
  end
end

--- What is left, as one frame.
---@return flowrun.Frame
function scan_class:collect()
  return core.concat(self:fold(function() return {} end, function(parts, piece)
    if #parts == 1 and #parts[1] == 0 then parts[1] = nil end
    if #piece > 0 or #parts == 0 then parts[#parts + 1] = piece end
    return parts
  end))
end

--- How many rows are left.
---@return integer
function scan_class:count()
  return self:fold(function() return 0 end, function(n, piece) return n + #piece end)
end

--- Writes what is left as delimited text, as `df:write_csv`; returns the number of rows. The file
--- appears complete or not at all.
---@param path string
---@param options? table
---@return integer rows
function scan_class:write_csv(path, options)
  args.path_of("write_csv", path)
  local out
  local _ <close> = setmetatable({}, {__close = function()
    if out then out:close(false) end      -- an error on its way: nothing stays
  end})
  local rows = self:fold(function()
    if out then out:close(false) end
    out = csv.out(path, options)
    return 0
  end, function(n, piece)
    out:put(piece)
    return n + #piece
  end)
  local done = out
  out = nil
  done:close(true)
  return rows
end

-- --- groups ---

-- Per aggregate: what each piece gives, how two states become one, what comes out. %a is the
-- argument; names in braces are columns of the state.
local sums = {n = "sum({n})", s = "sum({s})"}
local moments = {
  parts = {n = "count(%a)", m = "mean(%a)", q = "var(%a)"},
  -- before merging: a variance becomes a sum of squares about the piece's mean
  state = {n = "{n}", m = "coalesce({m}, 0.0)", q = "coalesce({q}, 0.0) * ({n} - 1)"},
  merge = {n = "sum({n})", m = "if_else(sum({n}) > 0, sum({m} * {n}) / sum({n}), 0.0)",
    q = "sum({q}) + if_else(count() = 2 and sum({n}) > 0, (last({m}) - first({m})) ^ 2"
      .. " * first({n}) * last({n}) / sum({n}), 0.0)"},
}
local ways = {
  rows = {parts = {n = "count()"}, merge = sums, result = "{n}"},
  count = {parts = {n = "count(%a)"}, merge = sums, result = "{n}"},
  sum = {parts = {s = "sum(%a)"}, merge = sums, result = "{s}"},
  mean = {parts = {s = "sum(%a)", n = "count(%a)"}, merge = sums,
    result = "if_else({n} > 0, {s} / {n}, null)"},
  var = {parts = moments.parts, state = moments.state, merge = moments.merge,
    result = "if_else({n} > 1, {q} / ({n} - 1), null)"},
  std = {parts = moments.parts, state = moments.state, merge = moments.merge,
    result = "if_else({n} > 1, sqrt({q} / ({n} - 1)), null)"},
}
for _, op in ipairs{"min", "max", "first", "last"} do
  ways[op] = {parts = {v = op .. "(%a)"}, merge = {v = op .. "({v})"}, result = "{v}"}
end

local function named(text, i)
  return (text:gsub("{(%a)}", function(part) return ("`#%d %s`"):format(i, part) end))
end

-- The plan of one agg: partial columns, their state, the merge, the results.
local function plan_of(piece, keys, names, texts, params)
  local plan = {parts = {}, state = {}, merge = {}, results = {}}
  local n = 0
  for k, text in ipairs(texts) do
    local pieces, at = {}, 1
    for _, call in ipairs(expr.inspect(piece, text, params, keys).calls) do
      n = n + 1
      local way = ways[call.op]
      if not way or way.state and call.type:find("^duration") then
        invalid("scan: agg: column \"%s\": %s needs all values at once: collect() first", names[k],
          call.type:find("^duration") and call.op .. " of durations" or call.op)
      end
      local argument = text:sub(call.from, call.to):match("%((.*)%)$")
      for part, partial in pairs(way.parts) do
        local name = ("#%d %s"):format(n, part)
        plan.parts[#plan.parts + 1] = {name, (partial:gsub("%%a", function() return argument end))}
        if way.state then plan.state[#plan.state + 1] = {name, named(way.state[part], n)} end
        plan.merge[#plan.merge + 1] = {name, named(way.merge[part], n)}
      end
      pieces[#pieces + 1] = text:sub(at, call.from - 1) .. "(" .. named(way.result, n) .. ")"
      at = call.to + 1
    end
    plan.results[k] = {names[k], table.concat(pieces) .. text:sub(at)}
  end
  for _, list in pairs(plan) do
    if list ~= plan.results then table.sort(list, function(a, b) return a[1] < b[1] end) end
  end
  return plan
end

---@class flowrun.ScanGroup
local group_class = {__name = "flowrun.ScanGroup"}
group_class.__index = group_class

--- Groups rows with equal keys, for `:agg`.
---@param names string|string[] empty: all rows are one group
---@return flowrun.ScanGroup
function scan_class:group(names)
  return setmetatable({scan = self, names = args.names_of("scan: group", names)}, group_class)
end

--- One row per group, in key order, as `df:group{…}:agg{…}`: count sum mean min max std var first
--- last. Only the groups are in memory. Sums of floats are added piece by piece, so their last
--- digits may differ from those of one frame; they do not depend on threads.
---@param columns table {{name, expression}, …} or {name = expression}
---@param params? table<string, any>
---@return flowrun.Frame
function group_class:agg(columns, params)
  local names, texts, keys = {}, {}, self.names
  for i, pair in ipairs(args.pairs_of("scan: agg", columns)) do
    if type(pair[2]) ~= "string" then
      invalid("scan: agg: column \"%s\" is a %s, expected an expression such as \"mean(kw)\"",
        pair[1], type(pair[2]))
    end
    names[i], texts[i] = pair[1], pair[2]
  end
  local plan
  local state = self.scan:fold(function() plan = nil end, function(state, piece)
    plan = plan or plan_of(piece, keys, names, texts, params)
    local part = piece:group(keys):agg(plan.parts, params)
    if #plan.state > 0 then part = part:with(plan.state) end
    return state and core.concat{state, part}:group(keys):agg(plan.merge) or part
  end)
  local wanted = table.move(keys, 1, #keys, 1, {})
  table.move(names, 1, #names, #wanted + 1, wanted)
  return state:with(plan.results, params):select(wanted)
end

return frame_scan
