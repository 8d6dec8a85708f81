--- Tests for flows and for flowrun itself: describe, it, expect.
---
---     local t = require "flowrun.test"
---     local describe, it, expect = t.describe, t.it, t.expect
---
---     describe("a risk score", function()
---       it("is between 0 and 1", function()
---         expect(score{age = 30}).to_be_between(0, 1)
---       end)
---     end)
---
--- `flowrun test my_spec.lua` runs it. A task called in a test is a plain function call.
--- A test that expects nothing fails: it could not have failed otherwise.
local testing = require "flowrun.core.testing"

local test = {}

local suite                                    -- the file that is being collected or run
local skip_mark = {}                           -- error value of test.skip
-- the class of failed expectations
local expectation = {__tostring = function(self) return self.text end}

---@class flowrun.Expect
---@field never flowrun.Expect the same checks, negated

-- --- printing values ---

local function quote(s)
  if #s > 200 then s = s:sub(1, 197) .. "…" end
  return '"' .. s:gsub('[%c"\\]', function(c)
    local known = {["\n"] = "\\n", ["\t"] = "\\t", ["\r"] = "\\r", ['"'] = '\\"', ["\\"] = "\\\\"}
    return known[c] or ("\\%d"):format(c:byte())
  end) .. '"'
end

local function sorted_keys(t)
  local keys = {}
  for k in pairs(t) do keys[#keys + 1] = k end
  table.sort(keys, function(a, b)
    if type(a) == type(b) and (type(a) == "number" or type(a) == "string") then return a < b end
    return type(a) < type(b) or (type(a) == type(b) and tostring(a) < tostring(b))
  end)
  return keys
end

local function is_plain(v)
  return type(v) == "table" and not (getmetatable(v) and getmetatable(v).__tostring)
end

--- Writes a value so that one can read it in a message; long tables are cut.
---@param v any
---@return string
function test.show(v, depth)
  depth = depth or 0
  if type(v) == "string" then return quote(v) end
  if math.type(v) == "float" then return ("%.17g"):format(v):gsub("^(-?%d+)$", "%1.0") end
  if not is_plain(v) then return tostring(v) end
  if depth > 3 then return "{…}" end
  local parts, n = {}, #v
  for i = 1, math.min(n, 20) do parts[i] = test.show(v[i], depth + 1) end
  if n > 20 then parts[21] = ("… (%d items)"):format(n) end
  for _, k in ipairs(sorted_keys(v)) do
    if math.type(k) ~= "integer" or k < 1 or k > n then
      local name = type(k) == "string" and k:find("^[%a_][%w_]*$") and k
        or "[" .. test.show(k, depth + 1) .. "]"
      parts[#parts + 1] = name .. " = " .. test.show(v[k], depth + 1)
    end
    if #parts > 40 then parts[#parts + 1] = "…" break end
  end
  return "{" .. table.concat(parts, ", ") .. "}"
end

-- --- comparing ---

local function same_scalar(a, b, exact)
  if a ~= a and b ~= b then return true end
  if not exact then return a == b end
  return a == b and math.type(a) == math.type(b) and (a ~= 0 or 1 / a == 1 / b)
end

-- Returns nil when equal, else the path and the two values that differ there.
local function difference(a, b, exact, path, seen)
  if not (is_plain(a) and is_plain(b)) then
    if same_scalar(a, b, exact) then return nil end
    return path, a, b
  end
  if rawequal(a, b) or seen[a] == b then return nil end
  seen[a] = b
  for _, k in ipairs(sorted_keys(a)) do
    local step = type(k) == "string" and k:find("^[%a_][%w_]*$") and "." .. k
      or "[" .. test.show(k) .. "]"
    local where, x, y = difference(a[k], b[k], exact, path .. step, seen)
    if where then return where, x, y end
  end
  for _, k in ipairs(sorted_keys(b)) do
    if a[k] == nil then return path .. "[" .. test.show(k) .. "]", nil, b[k] end
  end
end

local function first_line_difference(a, b)
  local n, next_b = 0, b:gmatch("([^\n]*)\n?")
  for line in a:gmatch("([^\n]*)\n?") do
    n = n + 1
    local other = next_b()
    if line ~= other then
      return ("first difference in line %d:\n  got      %s\n  expected %s"):format(n, quote(line),
        other and quote(other) or "(the end)")
    end
  end
  return "the expected text is longer"
end

local function describe_difference(got, want, exact)
  local path, x, y = difference(got, want, exact, "", {})
  if not path then return nil end
  if type(got) == "string" and type(want) == "string" and (got .. want):find("\n") then
    return first_line_difference(got, want)
  end
  if path == "" then return ("got %s, expected %s"):format(test.show(got), test.show(want)) end
  return ("differs at %s: got %s, expected %s\n  whole value: %s"):format(path, test.show(x),
    test.show(y), test.show(got))
end

-- --- expectations ---

-- Each check returns whether it holds and the sentence for when it does not.
local checks = {}

function checks.to_equal(got, want)
  local text = describe_difference(got, want, false)
  return text == nil, text or "both are " .. test.show(got)
end

function checks.to_be_exactly(got, want)
  local text = describe_difference(got, want, true)
  return text == nil, text or "both are " .. test.show(got)
end

function checks.to_be(got, want)
  return rawequal(got, want), ("got %s, expected %s"):format(test.show(got), test.show(want))
end

function checks.to_be_near(got, want, tolerance)
  tolerance = tolerance or 1e-9 * math.max(1, math.abs(want))
  local ok = type(got) == "number" and math.abs(got - want) <= tolerance
  return ok, ("got %s, expected %s ± %g"):format(test.show(got), test.show(want), tolerance)
end

function checks.to_be_between(got, low, high)
  local ok = type(got) == "number" and got >= low and got <= high
  return ok, ("got %s, expected %s to %s"):format(test.show(got), test.show(low), test.show(high))
end

function checks.to_be_true(got) return got == true, "got " .. test.show(got) end
function checks.to_be_false(got) return got == false, "got " .. test.show(got) end
function checks.to_be_truthy(got) return not not got, "got " .. test.show(got) end
function checks.to_be_nil(got) return got == nil, "got " .. test.show(got) end

function checks.to_be_a(got, kind)
  local name = math.type(got) == kind and kind or type(got)
  return name == kind, ("got a %s (%s), expected a %s"):format(name, test.show(got), kind)
end

function checks.to_match(got, pattern)
  local ok = type(got) == "string" and got:find(pattern) ~= nil
  return ok, ("got %s, expected a match of %s"):format(test.show(got), quote(pattern))
end

function checks.to_contain(got, item)
  if type(got) == "string" then
    return got:find(item, 1, true) ~= nil,
      ("got %s, expected it to contain %s"):format(test.show(got), quote(item))
  end
  for _, v in ipairs(got) do
    if not difference(v, item, false, "", {}) then
      return true, "it contains " .. test.show(item)
    end
  end
  return false, ("%s does not contain %s"):format(test.show(got), test.show(item))
end

function checks.to_have_length(got, n)
  return #got == n, ("got length %d, expected %d: %s"):format(#got, n, test.show(got))
end

-- The function raises an error whose text contains `text` (plain) and, when given, has `code`.
function checks.to_fail(got, text, code)
  local ok, err = pcall(got)
  if ok then return false, "it did not fail" end
  local said = tostring(err)
  if text and not said:find(text, 1, true) then
    return false, ("failed with %s,\n  expected it to say %s"):format(quote(said), quote(text))
  end
  if code and not (type(err) == "table" and err.code == code) then
    return false, ("failed with code %s, expected %s: %s"):format(
      test.show(type(err) == "table" and err.code or nil), code, said)
  end
  return true, "it failed with " .. quote(said)
end

local function fail(text)
  error(setmetatable({text = text, where = testing.where()}, expectation), 0)
end

--- Starts a check: `expect(x).to_equal(y)`, `expect(f).never.to_fail()`.
---@param got any
---@return flowrun.Expect
function test.expect(got)
  local function bind(negate)
    local self = {}
    return setmetatable(self, {__index = function(_, name)
      if name == "never" and not negate then return bind(true) end
      local check = checks[name]
      if not check then
        local names = sorted_keys(checks)
        error(("expect has no check '%s'; it has %s"):format(name, table.concat(names, ", ")), 2)
      end
      return function(first, ...)
        if suite then suite.expected = suite.expected + 1 end
        local ok, text
        if rawequal(first, self) then         -- written with a colon
          ok, text = check(got, ...)
        else
          ok, text = check(got, first, ...)
        end
        if ok == negate then
          fail((negate and "never." or "") .. name .. ": " .. text)
        end
      end
    end})
  end
  return bind(false)
end

-- --- collecting and running ---

--- Groups tests; names of groups and tests read as one sentence.
---@param name string
---@param body fun()
function test.describe(name, body)
  local outer = suite.group
  suite.group = {name = outer.name .. name .. " ", before = {}, after = {}, outer = outer}
  body()
  suite.group = outer
end

--- Defines one test.
---@param name string
---@param body fun()
function test.it(name, body)
  local group = suite.group
  suite.tests[#suite.tests + 1] = {name = group.name .. name, body = body, group = group}
end

--- Runs before (after) each test of the group, also when the test failed.
function test.before(body) table.insert(suite.group.before, body) end
function test.after(body) table.insert(suite.group.after, body) end

--- Ends the running test (or, outside of a test, its file) as skipped.
---@param reason string shown in the output
function test.skip(reason) error(setmetatable({reason = reason}, skip_mark), 0) end

--- A fresh directory, removed when the test (or, outside of a test, its file) ends.
---@return string path
function test.temp_dir()
  local path = testing.temp_dir()
  table.insert(suite.cleanup, path)
  return path
end

local function traceback(err)
  local class = getmetatable(err)
  if class == skip_mark or class == expectation then return err end
  return {text = debug.traceback(tostring(err), 2):gsub("\n%s+%[C%]: in function 'xpcall'.*", "")}
end

local function hooks(group, kind, list)
  if group.outer then hooks(group.outer, kind, list) end
  for _, body in ipairs(group[kind]) do list[#list + 1] = body end
  return list
end

-- Returns "passed", "failed" or "skipped" and a text.
local function outcome(ok, err)
  if ok then return "passed" end
  if getmetatable(err) == skip_mark then return "skipped", err.reason end
  return "failed", (err.where and err.where .. ": " or "") .. err.text
end

local function run_one(case)
  collectgarbage()
  suite.expected, suite.cleanup = 0, {}
  local ok, err = xpcall(function()
    for _, body in ipairs(hooks(case.group, "before", {})) do body() end
    case.body()
  end, traceback)
  for _, body in ipairs(hooks(case.group, "after", {})) do
    local done, problem = xpcall(body, traceback)
    if ok and not done then ok, err = done, problem end
  end
  collectgarbage()                             -- finalizers run here, not in a later test
  for _, path in ipairs(suite.cleanup) do testing.remove_tree(path) end
  if ok and suite.expected == 0 then
    return "failed", "it expects nothing, so it cannot fail"
  end
  return outcome(ok, err)
end

local function load_file(path)
  local globals = setmetatable({}, {__index = _G, __newindex = function(_, name)
    error(("assigns the global '%s'; write local"):format(tostring(name)), 2)
  end})
  local chunk, problem = loadfile(path, "t", globals)
  if not chunk then return "failed", problem end
  return outcome(xpcall(chunk, traceback))
end

--- Runs one file of tests.
---@param path string
---@param options? {filter: string?, report: fun(state: string, name: string, text: string?)}
---@return {passed: integer, failed: integer, skipped: integer}
function test.run_file(path, options)
  local counts = {passed = 0, failed = 0, skipped = 0}
  local report = options and options.report or function() end
  local function count(name, state, text)
    counts[state] = counts[state] + 1
    report(state, name, text)
  end
  local outer, search = suite, package.path
  local at_end = {}
  suite = {tests = {}, expected = 0, cleanup = at_end, group = {name = "", before = {}, after = {}}}
  package.path = (path:match("^(.*)/") or ".") .. "/?.lua;" .. search
  local state, text = load_file(path)
  if state ~= "passed" then
    count(path, state, text)
  else
    for _, case in ipairs(suite.tests) do
      if not (options and options.filter) or case.name:find(options.filter, 1, true) then
        count(case.name, run_one(case))
      end
    end
  end
  for _, dir in ipairs(at_end) do testing.remove_tree(dir) end
  suite, package.path = outer, search
  return counts
end

return test
