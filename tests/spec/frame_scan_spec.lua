-- Files in pieces: the same as reading them at once, in bounded memory.
local t = require "flowrun.test"
local frame = require "flowrun.frame"
local random = require "flowrun.random"
local testing = require "flowrun.core.testing"
local describe, it, expect = t.describe, t.it, t.expect

local function write(path, text)
  local f = assert(io.open(path, "wb"))
  f:write(text)
  f:close()
end

local tiny <const> = 100 / 2^20      -- pieces of 100 bytes

local function sample(n)
  local r = random.new(3)
  local df = frame.from{{"k", r:integers(0, 4, n)}, {"s", r:integers(0, 2, n)}, {"x", r:normal(5, 1, n)},
    {"i", r:integers(-5, 5, n)}}
  return df:with{{"x", "if_else(i = 0, null, x)"}, {"s", "if_else(s = 2, null, concat('a \"q\", ', text(s)))"},
    {"d", "duration(i, 'minute')"}}
end

-- Sanitizers keep freed memory.
local plain = not dofile("tests/spec/real_program.lua").sanitized()

describe("frame.scan_csv", function()
  it("gives what reading at once gives, for any size of pieces", function()
    local dir = t.temp_dir()
    local df = sample(300)
    for _, name in ipairs{"/a.csv", "/a.csv.gz"} do
      df:write_csv(dir .. name)
      local options = {types = {d = "duration[us]"}}
      local whole = frame.read_csv(dir .. name, options)
      for _, bytes in ipairs{1, 7, 100, 1000, 100000} do
        options.piece_mb = bytes / 2^20
        local scan = frame.scan_csv(dir .. name, options)
        expect(frame.hash(scan:collect())).to_equal(frame.hash(whole))
        expect(scan:count()).to_be(300)
      end
    end
  end)
  it("filters, computes and groups as frames do", function()
    local dir = t.temp_dir()
    sample(500):write_csv(dir .. "/a.csv")
    local options = {types = {d = "duration[us]"}, piece_mb = 10 * tiny}
    local whole = frame.read_csv(dir .. "/a.csv", {types = options.types})
    local columns = {{"n", "count()"}, {"c", "count(x)"}, {"m", "mean(x)"}, {"v", "var(x)"},
      {"sd", "std(x * 2 - (1))"}, {"lo", "min(x)"}, {"hi", "max(s)"}, {"f", "first(x)"}, {"l", "last(i)"},
      {"z", "sum(i) / count() + k"}, {"part", "mean(i > $lo)"}, {"wait", "mean(d)"}, {"long", "sum(d)"},
      {"w2", "sum(w)"}}
    for _, keys in ipairs{{"k", "s"}, {"k"}, {"s", "k"}} do
      local function of(frames)
        return frames:filter("i > $lo", {lo = -4}):with{{"w", "i * 2"}}:group(keys):agg(columns, {lo = 1})
      end
      local got, want = of(frame.scan_csv(dir .. "/a.csv", options)), of(whole)
      expect(got.columns).to_equal(want.columns)
      expect(got:types()).to_equal(want:types())
      for _, name in ipairs(want.columns) do
        if want[name]:type() == "float64" then
          for row = 1, #want do
            if want[name][row] then expect(got[name][row]).to_be_near(want[name][row], 1e-12)
            else expect(got[name][row]).to_be_nil() end
          end
        else
          expect({name, got[name]:to_table()}).to_equal{name, want[name]:to_table()}
        end
      end
    end
    local all = frame.scan_csv(dir .. "/a.csv", options):group{}:agg{{"n", "count()"}, {"v", "var(i)"}}
    expect(#all).to_be(1)
    expect(all.v[1]).to_be_near(whole:group{}:agg{{"v", "var(i)"}}.v[1], 1e-12)
  end)
  it("widens types as reading at once does", function()
    local dir = t.temp_dir()
    local rows = {"a,b,c,d,e"}
    for i = 1, 40 do rows[#rows + 1] = i .. "," .. i .. ",," .. i .. ",2024-01-31" end
    rows[#rows + 1] = "1.5,x,7,01,2024-01-31 10:00:00"
    write(dir .. "/a.csv", table.concat(rows, "\n") .. "\n")
    local whole = frame.read_csv(dir .. "/a.csv")
    expect(whole:types()).to_equal{a = "float64", b = "utf8", c = "int64", d = "utf8", e = "timestamp[us]"}
    local scan = frame.scan_csv(dir .. "/a.csv", {piece_mb = tiny})
    expect(frame.hash(scan:collect())).to_equal(frame.hash(whole))
    expect(scan:group{}:agg{{"n", "count()"}, {"s", "sum(a)"}}:row(1)).to_equal{n = 41, s = whole.a:sum()}
    expect(scan:write_csv(dir .. "/out.csv")).to_be(41)
    expect(frame.hash(frame.read_csv(dir .. "/out.csv"))).to_equal(frame.hash(whole))
  end)
  it("several files are one; columns by name, headers and marks once per file", function()
    local dir = t.temp_dir()
    write(dir .. "/a.csv", "\xef\xbb\xbfa title\nx,y\n1,p\n2,q\n")
    write(dir .. "/b.csv", "a title\r\ny,x\r\nr,3\r\n")
    write(dir .. "/c.csv", "a title\nx,y\n")
    local scan = frame.scan_csv(dir .. "/*.csv", {piece_mb = 1 / 2^20, skip = 1})
    expect(scan:collect():to_table()).to_equal{x = {1, 2, 3}, y = {"p", "q", "r"}}
    write(dir .. "/d.csv", "a title\nx\n1\n")
    expect(function() scan = frame.scan_csv(dir .. "/*.csv", {skip = 1}):count() end)
      .to_fail("d.csv: 1 columns, but", "invalid")
    expect(function() frame.scan_csv(dir .. "/none*.csv") end).to_fail("no file matches", "not_found")
    write(dir .. "/e.csv", "1;2\n3;4")
    scan = frame.scan_csv(dir .. "/e.csv", {sep = ";", header = false, names = {"a", "b"}, piece_mb = tiny})
    expect(scan:select{"b"}:collect():to_table()).to_equal{b = {2, 4}}
    expect(scan:drop{"b"}:filter("a > 5"):collect():types()).to_equal{a = "int64"}
    write(dir .. "/empty.csv", "a,b\n")
    expect({#frame.scan_csv(dir .. "/empty.csv"):collect(),
      #frame.scan_csv(dir .. "/empty.csv"):group{"a"}:agg{{"n", "count()"}}}).to_equal{0, 0}
  end)
  it("names the line of the file, not of the piece", function()
    local dir = t.temp_dir()
    local rows = {"id,kw"}
    for i = 1, 100 do rows[#rows + 1] = i .. ',"' .. i .. '"' end
    rows[78] = "77"
    write(dir .. "/a.csv", table.concat(rows, "\n"))
    expect(function() frame.scan_csv(dir .. "/a.csv", {piece_mb = tiny}):count() end)
      .to_fail("a.csv: line 78: 1 fields, expected 2", "parse")
    rows[78] = "x,1"
    write(dir .. "/a.csv", table.concat(rows, "\n"))
    expect(function() frame.scan_csv(dir .. "/a.csv", {piece_mb = tiny, types = {id = "int64"}}):count() end)
      .to_fail('a.csv: line 78, column "id": expected int64, got x', "parse")
    expect(function() frame.scan_csv(dir .. "/a.csv", {piece_mb = tiny, types = {id = "int64"}})
      :write_csv(dir .. "/out.csv") end).to_fail("line 78", "parse")
    expect(io.open(dir .. "/out.csv")).to_be_nil()
  end)
  it("refuses what needs all rows", function()
    local dir = t.temp_dir()
    write(dir .. "/a.csv", "a,b\n1,2\n")
    local scan = frame.scan_csv(dir .. "/a.csv")
    expect(function() scan:filter("lag(a) > 1"):count() end).to_fail("looks at other rows", "invalid")
    expect(function() scan:with{{"r", "row()"}}:count() end).to_fail("looks at other rows", "invalid")
    for op, text in pairs{median = "median(a)", quantile = "quantile(a, 0.5)", nunique = "1 + nunique(b)"} do
      expect(function() scan:group{"b"}:agg{{"m", text}} end).to_fail(op .. " needs all values", "invalid")
    end
    expect(function() scan:filter("aa > 1"):count() end).to_fail("did you mean")
    expect(function() frame.scan_csv(dir .. "/a.csv", {quarantine = true}):count() end)
      .to_fail("use read_csv", "unsupported")
    expect(function() frame.scan_csv(dir .. "/a.csv", {widths = {3}}):count() end)
      .to_fail("use read_csv", "unsupported")
    expect(function() frame.scan_csv(dir .. "/a.csv", {piece_mb = 0}) end).to_fail("piece_mb", "invalid")
    expect(function() frame.scan_csv(dir .. "/a.csv", {seperator = 1}):count() end).to_fail("sep")
    write(dir .. "/u.csv", "\xff\xfea\0\n\0")
    expect(function() frame.scan_csv(dir .. "/u.csv"):count() end).to_fail("UTF-16", "unsupported")
    write(dir .. "/z.csv", "\x1f\x8b\8\0nonsense")
    expect(function() frame.scan_csv(dir .. "/z.csv"):count() end).to_fail("damaged gzip", "corrupt")
  end)
  it("holds a piece in memory, not the file", function()
    local dir = t.temp_dir()
    local lines = {}
    for i = 1, 20000 do lines[i] = ("%d,feeder %d,%.3f,some more text in each row\n"):format(i, i % 50, i / 7) end
    local block = table.concat(lines)
    local f = assert(io.open(dir .. "/big.csv", "wb"))
    f:write("id,feeder,kw,note\n")
    for _ = 1, 64 do f:write(block) end      -- about 60 MB
    f:close()
    write(dir .. "/scan.lua", ([[
      local frame = require "flowrun.frame"
      local scan = frame.scan_csv("%s/big.csv", {piece_mb = 1}):filter("kw > 1000")
      local g = scan:group{"feeder"}:agg{{"n", "count()"}, {"m", "mean(kw)"}}
      print(#g, g.n:sum(), scan:select{"id", "kw"}:write_csv("%s/out.csv"))]]):format(dir, dir))
    local _, _, memory, code = testing.measure{os.getenv("FLOWRUN") or "build/flowrun", "lua",
      dir .. "/scan.lua", stdout = dir .. "/said"}
    local said = assert(io.open(dir .. "/said")):read("a")
    expect({code, said}).to_equal{0, ("50\t%d\t%d\n"):format(13000 * 64, 13000 * 64)}
    expect(memory < 40 * 2^20 or not plain).to_be_true()
  end)
  it("says what a fold needs", function()
    local scan = frame.scan_csv("none.csv")
    expect(function() scan:fold(1, print) end).to_fail("start is a function, got a number")
    expect(function() scan:fold(print, {}) end).to_fail("step is a function, got a table")
  end)
  it("writes only to a file that has a name, as all frames do", function()
    local df = frame.from{{"a", {1}}}
    for _, verb in ipairs{"write_csv", "write_jsonl", "write_parquet", "write_excel", "write_arrow"} do
      expect(function() df[verb](df, "") end).to_fail(verb .. ": the path is empty")
      expect(function() df[verb](df, "a\0b") end).to_fail("zero byte")
      expect(function() df[verb](df) end).to_fail(verb .. ": expected a path, got a nil")
      expect(function() df[verb](df, "/dev/full") end).to_fail("No space left")
    end
    expect(function() frame.scan_csv("none.csv"):write_csv() end).to_fail("expected a path")
    for _, verb in ipairs{"read_csv", "read_jsonl", "read_parquet", "read_arrow"} do
      expect(function() frame[verb]("") end).to_fail("path 1 is empty")
      expect(function() frame[verb]{"a\0b"} end).to_fail("zero byte")
    end
    expect(function() frame.parse_csv("a\n1\n", {null = "x"}) end).to_fail("null: expected a list of texts")
  end)
end)
