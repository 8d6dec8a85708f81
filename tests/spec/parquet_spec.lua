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
