-- PapaParse's inline cases, read from its JavaScript: the same cells, or a reason. Cases with
-- functions, several characters as delimiter, previews and typed values are not of our kind.
local t = require "flowrun.test"
local frame = require "flowrun.frame"
local describe, it, expect = t.describe, t.it, t.expect

local path = (os.getenv("FLOWRUN_SHARED") or "../shared") .. "/data/torture/papaparse/test-cases.js.txt"
local null = frame.null

-- Literals of JavaScript at `at`: strings joined by +, numbers, lists, objects. nil: not a literal.
local constants = {RECORD_SEP = "\30", UNIT_SEP = "\31", ["true"] = true, ["false"] = false,
  null = null, undefined = null}
local escapes = {n = "\n", r = "\r", t = "\t", b = "\b", f = "\f", v = "\v", ["0"] = "\0"}
local value

local function skip_blank(s, at)
  while true do
    local to = s:match("^%s+()", at) or s:match("^//[^\n]*()", at)
    if not to then return at end
    at = to
  end
end

local function string_at(s, at)
  local quote, out = s:sub(at, at), {}
  at = at + 1
  while s:sub(at, at) ~= quote do
    local c = s:sub(at, at)
    if c == "" then return nil end
    if c == "\\" then
      at = at + 1
      c = s:sub(at, at)
      local hex = c == "u" and s:match("^%x%x%x%x", at + 1) or c == "x" and s:match("^%x%x", at + 1)
      if hex then
        c, at = utf8.char(tonumber(hex, 16)), at + #hex
      else
        c = escapes[c] or c
      end
    end
    out[#out + 1] = c
    at = at + 1
  end
  return table.concat(out), at + 1
end

local function members(s, at, close, one)
  at = skip_blank(s, at + 1)
  while s:sub(at, at) ~= close do
    at = one(at)
    if not at then return nil end
    at = skip_blank(s, at)
    if s:sub(at, at) == "," then at = skip_blank(s, at + 1)
    elseif s:sub(at, at) ~= close then return nil end
  end
  return at + 1
end

local function single(s, at)
  local c = s:sub(at, at)
  if c == "'" or c == '"' then return string_at(s, at) end
  if c == "[" then
    local list = {}
    local to = members(s, at, "]", function(i)
      local v, after = value(s, i)
      list[#list + 1] = v
      return after
    end)
    return to and list, to
  end
  if c == "{" then
    local object = {}
    local to = members(s, at, "}", function(i)
      local key, after = s:match("^([%w_]+)()", i)
      if not key then key, after = string_at(s, i) end
      after = key and s:match("^%s*:()", after)
      if not after then return nil end
      local v, last = value(s, after)
      object[key] = v
      return last
    end)
    return to and object, to
  end
  local word, after = s:match("^([%w_.+-]+)()", at)
  if not word then return nil end
  local v = constants[word]
  if v == nil then v = tonumber(word) end
  if v == nil then return nil end
  return v, after
end

function value(s, at)
  at = skip_blank(s, at)
  local v, after = single(s, at)
  while after do
    local plus = s:match("^%s*%+()", after)
    if not plus then break end
    local more, last = value(s, plus)
    if type(v) ~= "string" or type(more) ~= "string" then return nil end
    v, after = v .. more, last
  end
  if after and s:match("^%s*[%.%(%?]", after) then return nil end      -- a method, a choice
  return v, after
end

-- The cases of one list that are literals.
local function cases(text, name)
  local from = assert(text:find("var " .. name .. " = [", 1, true))
  local to = assert(text:find("\n];", from, true))
  local body, out = text:sub(from, to) .. "\n\t{", {}
  for at in body:gmatch("\n\t()%{") do
    local case, after = value(body, at)
    if after and case.expected and type(case.expected.data) == "table" then out[#out + 1] = case end
  end
  return out
end

local ours = {delimiter = true, newline = true, quoteChar = true, escapeChar = true, comments = true,
  header = true, skipEmptyLines = true, skipFirstNLines = true, fastMode = true}

-- Our options for a case's, or nil.
local function options_of(config)
  for key in pairs(config) do if not ours[key] then return nil end end
  local one = function(v) return type(v) ~= "string" or #v == 1 end
  if not (one(config.delimiter) and one(config.quoteChar) and one(config.escapeChar) and one(config.comments))
    or config.newline == "$" or config.skipEmptyLines == "greedy" then
    return nil
  end
  local quote = config.quoteChar
  if quote == null or quote == false or config.fastMode == true then quote = "" end
  return {sep = type(config.delimiter) == "string" and config.delimiter or ",", quote = quote, null = {},
    escape = config.escapeChar ~= quote and config.escapeChar or nil,
    comment = config.comments == true and "#" or config.comments or nil,
    skip = config.skipFirstNLines, header = config.header == true}
end

-- Rows as lists without blank lines; nil when they are of several lengths.
local function rectangle(data)
  local rows = {}
  for _, row in ipairs(data) do
    if not (#row == 1 and row[1] == "") then rows[#rows + 1] = row end
  end
  for _, row in ipairs(rows) do if #row ~= #rows[1] then return nil, rows end end
  return rows
end

local function read(text, options)
  local ok, df = pcall(frame.parse_csv, text, options)
  if not ok then return nil, tostring(df) end
  options.types = {}
  for _, name in ipairs(df.columns) do options.types[name] = "utf8" end
  df = frame.parse_csv(text, options)
  local rows = {}
  for i = 1, #df do
    rows[i] = {}
    for k, name in ipairs(df.columns) do rows[i][k] = df:col(name)[i] end
  end
  return rows, df
end

local function same(a, b)
  return pcall(function() expect(a).to_equal(b) end)
end

local because = {
  guess = "the separator is given, not guessed",
  quote = "text behind a closing quote is an error; quarantine sets the record aside",
  options = "an option that means nothing is an error",
  escape = "a backslash stands for what follows it, as in DuckDB and Python",
  lines = "with line ends of both kinds, each ends a line",
}
local different = {
  ["Quoted field has no closing quote"] = because.quote,
  ["Quoted field has invalid trailing quote after delimiter"] = because.quote,
  ["Quoted field has invalid trailing quote before delimiter"] = because.quote,
  ["Quoted field has invalid trailing quote after new line"] = because.quote,
  ["Bad comments value specified"] = because.options,
  ["Bad delimiter (\\n)"] = because.options,
  ["Skip First N number of lines , with header false and skipFirstNLines as negative value"] =
    because.options,
  ["Mixed slash n and slash r should choose first as precident"] = because.lines,
  ["Pipe delimiter is guessed correctly when mixed with comas"] = because.guess,
  ["Pipe delimiter is guessed correctly when first field are enclosed in quotes and contain "
    .. "delimiter characters"] = because.guess,
  ["Pipe delimiter is guessed correctly when some fields are enclosed in quotes and contain "
    .. "delimiter characters and escaoped quotes"] = because.guess,
  ["Custom escape character not used for escaping"] = because.escape,
}

describe("papaparse", function()
  it("gives the same cells, or there is a reason", function()
    local f = io.open(path, "rb")
    if not f then t.skip("no " .. path) end
    local text = f:read("a")
    f:close()
    local wrong, agreed, ragged = {}, 0, 0
    for _, name in ipairs{"CORE_PARSER_TESTS", "PARSE_TESTS"} do
      for _, case in ipairs(cases(text, name)) do
        local options = options_of(case.config or {})
        if options and type(case.input) == "string" and not options.header then
          local rows = rectangle(case.expected.data)
          local got, why = read(case.input, options)
          local good
          if rows then
            good = got and same(got, rows) or #rows == 0 and why:find("no columns")
            agreed = agreed + (good and 1 or 0)
          else
            good = not got and why:find("fields, expected") ~= nil
            ragged = ragged + (good and 1 or 0)
          end
          if (not good) == (different[case.description] == nil) then
            wrong[#wrong + 1] = name .. ": " .. case.description .. ": " .. (got and "other cells" or why)
          end
        end
      end
    end
    expect(table.concat(wrong, "\n")).to_equal("")
    expect({agreed >= 97, ragged >= 4}).to_equal{true, true}
  end)
end)
