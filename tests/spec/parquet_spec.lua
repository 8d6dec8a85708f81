local t = require "flowrun.test"
local frame = require "flowrun.frame"
local describe, it, expect = t.describe, t.it, t.expect

local fixtures = (t.root and t.root .. "/" or "") .. "tests/fixtures/parquet"
local torture = (os.getenv("FLOWRUN_SHARED") or "../shared") .. "/data/torture/parquet_testing/data"

local function failure(f, ...)
  local ok, err = pcall(f, ...)
  return not ok and tostring(err) or "no error"
end

local function exists(path)
  local f = io.open(path)
  return f ~= nil and f:close()
end

local function fnv(text)
  local h = 0xcbf29ce484222325
  for at = 1, #text, 4096 do
    local bytes = {text:byte(at, at + 4095)}
    for i = 1, #bytes do h = (h ~ bytes[i]) * 0x100000001b3 end
  end
  return ("%016x"):format(h)
end

-- Lines of a table that tests/fixtures/make_parquet.py made, by file.
local function told(name)
  local files, order = {}, {}
  for line in io.lines(fixtures .. "/" .. name) do
    local file, option, column, kind, rows, hash =
      line:match("^([^\t]*)\t([^\t]*)\t([^\t]*)\t([^\t]*)\t([^\t]*)\t([^\t]*)$")
    if not files[file] then
      files[file] = {columns = {}}
      order[#order + 1] = file
    end
    local f = files[file]
    f.columns[#f.columns + 1] = column
    f[column] = {kind = kind, rows = tonumber(rows), hash = hash}
    if option == "hex" then f.binary = "hex" end
    if option == "us" then f.int96 = "us" end
  end
  return files, order
end

-- Reads a file and gives the columns that differ from what is told.
local function differences(path, f)
  local df = frame.read_parquet(path, {columns = f.columns, binary = f.binary, int96 = f.int96})
  local types, wrong = df:types(), {}
  for _, name in ipairs(f.columns) do
    local want = f[name]
    local text = df:select{name}:to_csv{header = false, null = "~"}
    local got = ("%s %d %s"):format(types[name], #df, fnv(text))
    if got ~= ("%s %d %s"):format(want.kind, want.rows, want.hash) then
      wrong[#wrong + 1] = ("%s %s: %s"):format(path, name, got)
    end
  end
  return table.concat(wrong, "\n")
end

describe("frame.read_parquet", function()
  it("reads what pyarrow, polars and duckdb write, value by value", function()
    local files, order = told("peers.tsv")
    for _, name in ipairs(order) do
      expect(differences(fixtures .. "/" .. name, files[name])).to_equal("")
    end
    expect(#order).to_equal(9)
  end)
  it("reads chosen columns and row groups, in the order asked for", function()
    local path = fixtures .. "/tall.parquet"
    local df = frame.read_parquet(path, {columns = {"kw", "id"}, row_groups = {3, 1}})
    expect(df.columns).to_equal{"kw", "id"}
    expect(#df).to_equal(400)
    expect({df:col("id")[1], df:col("id")[100], df:col("id")[101]}).to_equal{600, 699, 0}
    expect(#frame.read_parquet(path, {row_groups = {}})).to_equal(0)
    expect(failure(frame.read_parquet, path, {row_groups = {4}})).to_contain("the file has 3")
    expect(failure(frame.read_parquet, path, {row_groups = {2, 2}})).to_contain("asked for twice")
    expect(failure(frame.read_parquet, path, {columns = {"kwh"}})).to_contain('did you mean "kw"')
    expect(failure(frame.read_parquet, path, {columns = {"kw", "kw"}})).to_contain("named twice")
    expect(failure(frame.read_parquet, path, {row_group = 1})).to_contain("row_groups")
    expect(failure(frame.read_parquet, path, {decimals = "float"})).to_contain('"scaled"')
  end)
  it("gives decimals as exact text or scaled integers", function()
    local path = fixtures .. "/tall.parquet"
    expect(frame.read_parquet(path):col("price")[1]).to_equal("-50.00")
    local df = frame.read_parquet(path, {decimals = "scaled"})
    expect(df:types().price).to_equal("int64")
    expect(df:col("price")[2]).to_equal(-4963)
  end)
  it("names the file that it cannot read", function()
    expect(failure(frame.read_parquet, fixtures .. "/none.parquet")).to_contain("none.parquet")
    expect(failure(frame.read_parquet, fixtures .. "/peers.tsv")).to_contain("does not end as a Parquet file")
  end)
  it("joins files of a pattern", function()
    expect(#frame.read_parquet(fixtures .. "/tall{,_lz4}.parquet", {columns = {"id", "zone"}})).to_equal(1400)
  end)
end)

describe("write_parquet", function()
  it("writes what reads back as it was, types included", function()
    local path = t.temp_dir() .. "/a.parquet"
    for _, name in ipairs{"types", "tall", "empty"} do
      local df = frame.read_parquet(fixtures .. "/" .. name .. ".parquet")
      for _, way in ipairs{{}, {compression = "snappy", row_group = 100}, {compression = "none"},
        {compression = "gzip", level = 9, dictionary = false}, {level = 9, row_group = 5}} do
        df:write_parquet(path, way)
        local back = frame.read_parquet(path)
        expect(back:types()).to_equal(df:types())
        expect(frame.hash(back)).to_equal(frame.hash(df))
      end
    end
  end)
  it("keeps the order of ordered categories", function()
    local path = t.temp_dir() .. "/a.parquet"
    local df = frame.from{{"size", {"M", "S", "L"}, "category"}}
    df:write_parquet(path)
    expect(frame.read_parquet(path):sort{"size"}:col("size"):to_table()).to_equal{"L", "M", "S"}
  end)
  it("says what is wrong with options", function()
    local df = frame.from{{"a", {1}}}
    expect(failure(df.write_parquet, df, "x", {compression = "lzo"})).to_contain('"zstd"')
    expect(failure(df.write_parquet, df, "x", {row_group = 0})).to_contain("from 1")
    expect(failure(df.write_parquet, df, "x", {level = 20})).to_contain("from 1 to 19")
    expect(failure(df.write_parquet, df, "x", {dictionary = "a"})).to_contain("true or false")
    expect(failure(df.write_parquet, df, "x", {rowgroup = 5})).to_contain("row_group")
    expect(failure(df.write_parquet, df, "/none/x.parquet")).to_contain("/none/x.parquet")
  end)
end)

describe("a filter of read_parquet", function()
  local core = require "flowrun.core.parquet"
  local path = t.temp_dir() .. "/f.parquet"
  local n, null = 1000, frame.null
  local id, zone, kw, half, tens = {}, {}, {}, {}, {}
  for i = 1, n do
    id[i], half[i], tens[i] = i, i * 0.5, i // 10
    zone[i] = (i <= 500 and "A" or "B") .. i % 3
    kw[i] = i <= 100 and null or i / 4
  end
  local df = frame.from{{"id", id}, {"zone", zone}, {"cat", zone, "category"}, {"kw", kw},
    {"half", half, "float32"}, {"tens", tens, "int8"},
    {"at", frame.date_range{start = "2024-01-01", periods = n, freq = "1h", tz = "Europe/Berlin"}},
    {"day", frame.date_range{start = "2024-01-01", periods = n, freq = "1h"}}}
  df:write_parquet(path, {row_group = 100})
  it("gives the rows that df:filter gives and skips groups by their bounds", function()
    for filter, groups in pairs{["id > 950"] = 1, ["id = 5"] = 1, ["5 = id"] = 1, ["zone = 'B1'"] = 5,
      ["id between 201 and 300"] = 1, ["zone in ('A0', 'C')"] = 5, ["cat = 'A1'"] = 5,
      ["kw is null"] = 1, ["kw > 200.5"] = 2, ["id > 900 and zone = 'A1'"] = 0,
      ["id < 50 or id > 990"] = 2, ["not (id < 900)"] = 10, ["half <= 25"] = 1, ["tens = 3"] = 1,
      ["at >= '2024-01-20'"] = 6, ["day < '2024-01-03'"] = 1, ["id in (5, 995)"] = 2,
      ["id ~= 3"] = 10, ["kw + 1 > 200"] = 10, ["id > 2.5 and id < 7.5"] = 1, ["true"] = 10,
      ["is_null(kw) and id > 500"] = 0, ["id in (2000)"] = 0, ["id < 1"] = 0, ["id <= 1"] = 1} do
      local got, read = core.read(path, {filter = filter})
      expect({filter, read}).to_equal{filter, groups}
      expect(frame.hash(got)).to_equal(frame.hash(df:filter(filter)))
    end
  end)
  it("may use columns that are not asked for, and parameters", function()
    local got = frame.read_parquet(path, {filter = "id > $x", params = {x = 998}, columns = {"zone"}})
    expect(got:to_table()).to_equal{zone = {"B0", "B1"}}
  end)
  it("says what it cannot do", function()
    expect(failure(frame.read_parquet, path, {filter = "idd > 3"})).to_contain('did you mean "id"')
    expect(failure(frame.read_parquet, path, {filter = "id + 3"})).to_contain("not true or false")
    expect(failure(frame.read_parquet, path, {filter = "lag(id) > 3"})).to_contain("other rows")
    expect(failure(frame.read_parquet, path, {filter = "row() > 3"})).to_contain("other rows")
    expect(failure(frame.read_parquet, path, {filter = 3})).to_contain("expected an expression")
  end)
end)

-- Files of parquet-testing that are not read whole, and why.
local refused = {
  ["binary_truncated_min_max.parquet"] = {"hex", "bytes that are no text, unless asked for as hex"},
  ["fixed_length_byte_array.parquet"] = {"hex", "bytes that are no text, unless asked for as hex"},
  ["int96_from_spark.parquet"] = {'int96 = "us"', "years that nanoseconds do not reach"},
  ["datapage_v1-corrupt-checksum.parquet"] = {"checksum", "damaged on purpose"},
  ["rle-dict-uncompressed-corrupt-checksum.parquet"] = {"checksum", "damaged on purpose"},
  ["datapage_v2.snappy.parquet"] = {'"e" is a list', "nested"},
  ["incorrect_map_schema.parquet"] = {'"my_map" is a map', "nested"},
  ["large_string_map.brotli.parquet"] = {'"arr" is a map', "nested"},
  ["list_columns.parquet"] = {'"int64_list" is a list', "nested"},
  ["map_no_value.parquet"] = {'"my_map" is a map', "nested"},
  ["nested_lists.snappy.parquet"] = {'"a" is a list', "nested"},
  ["nested_maps.snappy.parquet"] = {'"a" is a map', "nested"},
  ["nested_structs.rust.parquet"] = {'"roll_num" is a struct', "nested"},
  ["nonnullable.impala.parquet"] = {'"Int_Array" is a list', "nested"},
  ["null_list.parquet"] = {'"emptylist" is a list', "nested"},
  ["nullable.impala.parquet"] = {'"int_array" is a list', "nested"},
  ["nulls.snappy.parquet"] = {'"b_struct" is a struct', "nested"},
  ["old_list_structure.parquet"] = {'"a" is a list', "nested"},
  ["repeated_no_annotation.parquet"] = {'"phoneNumbers" is a struct', "nested"},
  ["repeated_primitive_no_list.parquet"] = {'"Int32_list" is a list', "nested"},
}
for name in ("crs-arbitrary-value crs-default crs-geography crs-projjson crs-srid geography-lines "
  .. "geography-points geography-polygons geospatial-with-nan geospatial"):gmatch("%S+") do
  refused["geospatial/" .. name .. ".parquet"] = {"hex", "geometries are bytes"}
end

describe("parquet-testing", function()
  if not exists(torture .. "/alltypes_plain.parquet") then
    print("skipped: " .. torture .. " is not there")
    return
  end
  local list = {}
  for _, folder in ipairs{"", "geospatial/"} do
    for _, path in ipairs(require("flowrun.core.csv").glob(torture .. "/" .. folder .. "*.parquet")) do
      list[#list + 1] = folder .. path:match("[^/]+$")
    end
  end
  it("is read whole or refused for a known reason", function()
    expect(#list > 60).to_equal(true)
    for _, name in ipairs(list) do
      local why = failure(frame.read_parquet, torture .. "/" .. name)
      if refused[name] then
        expect(why).to_contain(refused[name][1])
        expect(why).to_contain(name)
      else
        expect({name, why}).to_equal{name, "no error"}
      end
    end
  end)
  it("has the values that pyarrow reads", function()
    local files = told("torture.tsv")
    for _, name in ipairs(list) do
      if files[name] and not (refused[name] or {""})[1]:find("checksum") then
        expect(differences(torture .. "/" .. name, files[name])).to_equal("")
      end
    end
  end)
end)
