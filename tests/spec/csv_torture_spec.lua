-- The CSV test sets of others: what they expect, or why we differ.
local t = require "flowrun.test"
local frame = require "flowrun.frame"
local json = require "flowrun.json"
local describe, it, expect = t.describe, t.it, t.expect

local folder = (os.getenv("FLOWRUN_SHARED") or "../shared") .. "/data/torture/"

local function slurp(path)
  local f = io.open(path, "rb")
  if not f then return nil end
  local text = f:read("a")
  f:close()
  return text
end

local function need(path)
  local text = slurp(folder .. path)
  if not text then t.skip("no " .. folder .. path) end
  return text
end

-- All columns as text; nothing is null but "".
local function texts(path, options)
  local names, types = {}, {}
  for i = 1, options.n do names[i], types["c" .. i] = "c" .. i, "utf8" end
  return frame.read_csv(path, {names = names, types = types, null = {""}, sep = options.sep,
    quote = options.quote, escape = options.escape, comment = options.comment, skip = options.skip,
    header = options.header, encoding = options.encoding})
end

describe("csv_spectrum", function()
  for _, name in ipairs{"comma_in_quotes", "empty", "empty_crlf", "escaped_quotes", "json",
    "location_coordinates", "newlines", "newlines_crlf", "quotes_and_newlines", "simple",
    "simple_crlf", "utf8"} do
    it(name, function()
      local expected = json.decode(need("csv_spectrum/json/" .. name .. ".json"))
      if name == "location_coordinates" then      -- upstream's JSON has another number than its CSV
        expected["Contact Phone Number"] = "2095257564"
        expected = {expected}
      end
      local df = frame.read_csv(folder .. "csv_spectrum/csvs/" .. name .. ".csv", {null = {}})
      local types = {}
      for _, column in ipairs(df.columns) do types[column] = "utf8" end
      df = frame.read_csv(folder .. "csv_spectrum/csvs/" .. name .. ".csv", {null = {}, types = types})
      local rows = {}
      for row in df:rows() do rows[#rows + 1] = row end
      expect(rows).to_equal(expected)
    end)
  end
end)

describe("univocity", function()
  it("reads what its correctness test expects", function()
    need("univocity/correctness.csv")
    local df = frame.read_csv(folder .. "univocity/correctness.csv",
      {types = {Year = "utf8", Price = "utf8"}})
    local null = frame.null
    expect(df:to_table()).to_equal{
      Year = {"1997", "1999", "1996", "1999", null}, Make = {"Ford", "Chevy", "Jeep", "Chevy", null},
      Model = {"E350", 'Venture "Extended Edition"', "Grand Cherokee",
        'Venture "Extended Edition, Very Large"', 'Venture "Extended Edition"'},
      Description = {"ac, abs, moon", "", "MUST SELL!\nair, moon roof, loaded", null, ""},
      Price = {"3000.00", "4900.00", "4799.00", "5000.00", "4900.00"}}
  end)
end)

describe("rust_csv", function()
  local function read(name, options)
    need("rust_csv/" .. name)
    return frame.read_csv(folder .. "rust_csv/" .. name, options)
  end
  it("separators, headers, encodings", function()
    local plain = read("smallpop.csv")
    expect(#plain).to_be(10)
    expect(frame.hash(read("smallpop-colon.csv", {sep = ":"}))).to_equal(frame.hash(plain))
    expect(frame.hash(read("smallpop-no-headers.csv", {header = false, names = plain.columns})))
      .to_equal(frame.hash(plain))
    local us = read("uspop.csv")
    expect({#us, us:types().Population, us:null_count().Population}).to_equal{100, "int64", 50}
    expect(function() read("uspop-latin1.csv") end).to_fail('try encoding = "latin-1"', "parse")
    expect(#read("uspop-latin1.csv", {encoding = "latin-1"})).to_be(100)
    expect(#read("uspop-null.csv")).to_be(100)
  end)
  it("escapes, comments and short records", function()
    local df, bad = read("strange.csv", {sep = ";", escape = "\\", comment = "#", header = false,
      names = {"name", "year"}, quarantine = true})
    expect(df.name:to_table()).to_equal{'"Hacksaw" Jim Duggan', 'Bret "Hit Man" Hart',
      '"Big Cat" Ernie Ladd', '"Macho Man" Randy Savage', 'Jake "The Snake" Roberts'}
    expect(df.year:to_table()).to_equal{1987, 1984, 1964, 1985, 1986}
    expect(bad:select{"line", "reason", "text"}:row(1)).to_equal{line = 4,
      reason = "1 fields, expected 2", text = "Rafael Halperin"}
  end)
end)

describe("float_parse", function()
  for _, name in ipairs{"freetype-2-7", "lemire-fast-float", "more-test-cases", "tencent-rapidjson"} do
    it(name .. " to the last bit", function()
      local cells, want, narrow = {"x"}, {}, {}
      for line in need("float_parse/" .. name .. ".txt"):gmatch("[^\n]+") do
        narrow[#narrow + 1] = string.unpack("<f", string.pack("<I4", tonumber(line:sub(6, 13), 16)))
        want[#want + 1] = string.unpack("<d", string.pack("<I8", tonumber(line:sub(15, 30), 16)))
        cells[#cells + 1] = line:sub(32)
      end
      local text = table.concat(cells, "\n") .. "\n"
      local got = frame.parse_csv(text, {types = {x = "float64"}, null = {"-"}}).x:to_table()
      local got32 = frame.parse_csv(text, {types = {x = "float32"}, null = {"-"}}).x:to_table()
      local wrong = {}
      for i, x in ipairs(want) do
        if string.pack("<d", got[i]) ~= string.pack("<d", x) then wrong[#wrong + 1] = cells[i + 1] end
        if got32[i] ~= narrow[i] then wrong[#wrong + 1] = "float32 " .. cells[i + 1] end
      end
      expect({#want > 50, #got, wrong}).to_equal{true, #want, {}}
    end)
  end
end)

-- DuckDB's files, read with the dialect that DuckDB finds (tests/fixtures/make_duckdb_csv.py),
-- give DuckDB's cells; where not, the reason.
local because = {
  blank = "blank lines are skipped, also in a table of one column",
  ragged = "a record of another length is an error; `quarantine` sets it aside",
  zero = "a name with a zero byte is refused",
  mid = "comments are whole lines",
  open = "an open quote is an error; `quarantine` sets its line aside",
  unquoted = "escapes count inside quotes",
  inner = "a quote behind a blank is text, the blanks are kept",
}
local different = {
  ["blank_line.csv"] = because.blank,
  ["test/many_empty_lines.csv"] = because.blank,
  ["test/unterminated.csv"] = because.blank,
  ["rejects/multiple_errors/unquoted_less.csv"] = because.blank,
  ["rejects/multiple_errors/unquoted_more.csv"] = because.blank,
  ["unionbyname_21248_1.csv"] = because.blank,
  ["unionbyname_21248_2.csv"] = because.blank,
  ["bug_12596.csv"] = because.ragged,
  ["csv_quoted_newline_odd.csv"] = because.ragged,
  ["empty_space_start_value.csv"] = because.ragged,
  ["test_apple_financial.csv.gz"] = because.ragged,
  ["null_terminator.csv"] = because.zero,
  ["nullbyte_header.csv"] = because.zero,
  ["fuzzing/3.csv"] = because.zero,
  ["fuzzing/35.csv"] = because.zero,
  ["comments/empty_space.csv"] = because.mid,
  ["comments/invalid_rows.csv"] = because.ragged,
  ["comments/mid_line.csv"] = because.mid,
  ["comments/mid_line_header.csv"] = because.mid,
  ["comments/mid_line_null.csv"] = because.mid,
  ["comments/mid_line_quote.csv"] = because.mid,
  ["comments/midline_empty_space.csv"] = because.mid,
  ["comments/simple_mid_line.csv"] = because.mid,
  ["multidelimiter/unterminated_escape.csv"] = because.open,
  ["unquoted_escape/human_eval.csv"] = because.unquoted,
  ["unquoted_escape/human_eval.tsv"] = because.unquoted,
  ["validator/quoted_new_value.csv"] = because.inner,
}

local function digest(df)
  local h, columns = 7, {}
  for i, name in ipairs(df.columns) do columns[i] = df:col(name):to_table() end
  for r = 1, #df do
    for i = 1, #columns do
      local cell = columns[i][r]
      if cell ~= frame.null then
        for k = 1, #cell do h = (h * 31 + cell:byte(k)) & 0xffffffffffff end
      end
      h = (h * 31 + 256) & 0xffffffffffff
    end
    h = (h * 31 + 257) & 0xffffffffffff
  end
  return h
end

describe("duckdb_csv", function()
  it("gives DuckDB's cells, or there is a reason", function()
    need("duckdb_csv/customer.csv")
    local list = assert(slurp((t.root or ".") .. "/tests/fixtures/duckdb_csv.tsv"))
    local wrong, same, errors = {}, 0, 0
    for line in list:gmatch("[^\n]+") do
      local f = {}
      for field in (line .. "\t"):gmatch("([^\t]*)\t") do f[#f + 1] = field end
      local path = f[1]
      if f[2] == "error" then      -- DuckDB gives up, too; whatever we say, it is a sentence or a frame
        local ok, e = pcall(frame.read_csv, folder .. "duckdb_csv/" .. path:gsub("[%[%]]", "[%0]"))
        if not ok and not e.code then wrong[#wrong + 1] = path .. ": " .. tostring(e) end
        errors = errors + 1
      else
        local ok, df = pcall(texts, folder .. "duckdb_csv/" .. path:gsub("[%[%]]", "[%0]"), {
          n = math.tointeger(f[9]),
          sep = f[2] == "\\t" and "\t" or f[2] ~= "" and f[2] or ",", quote = f[3],
          escape = f[4] ~= f[3] and f[4] or "", comment = f[5], skip = math.tointeger(f[6]),
          header = f[7] == "yes", encoding = f[8]})
        local good = ok and #df == math.tointeger(f[10]) and digest(df) == math.tointeger(f[11])
        if good then same = same + 1 end
        if good == (different[path] ~= nil) then
          wrong[#wrong + 1] = ("%s: %s, DuckDB %s rows"):format(path,
            ok and #df .. " rows" or tostring(df), f[10])
        end
      end
    end
    expect(table.concat(wrong, "\n")).to_equal("")
    expect({same > 580, errors > 30}).to_equal{true, true}
  end)
end)
