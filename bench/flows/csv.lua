--- A CSV file of ten mixed columns, made and read. bench/peers/csv_read.py reads the same file.
local fr = require "flowrun"
local frame = require "flowrun.frame"
local random = require "flowrun.random"

local make = fr.task("make_csv", function(path, n)
  local rng = random.new(5)
  local df = frame.from{
    {"timestamp", frame.date_range{start = "2015-01-01", periods = n, freq = "1min"}},
    {"feeder_id", rng:integers(0, 199, n)}, {"asset_id", rng:integers(100000, 999999, n)},
    {"load_kw", rng:normal(900, 120, n)}, {"temp_c", rng:normal(15, 9, n)},
    {"wind", rng:normal(20, 7, n)}, {"rain", rng:normal(-3, 4, n)},
    {"vibration", rng:normal(0.2, 0.05, n)}, {"oil", rng:normal(70, 10, n)},
    {"failure", rng:integers(0, 1, n)}}
  df = df:with{{"feeder", "concat('FDR-', text(feeder_id))"}, {"load_kw", "round(load_kw, 3)"},
    {"temp_c", "round(temp_c, 2)"}, {"wind", "round(abs(wind), 2)"},
    {"rain", "round(max(rain, 0.0), 2)"}, {"oil", "round(oil, 1)"}}
  df:select{"timestamp", "feeder", "asset_id", "load_kw", "temp_c", "wind", "rain", "vibration",
    "oil", "failure"}:write_csv(path)
  return true
end)

-- What was read, in numbers that the peer prints too.
local read = fr.task("read_csv", function(path, hash)
  local began = os.clock()
  local df = frame.read_csv(path)
  local out = {cpu_s = os.clock() - began, rows = #df, assets = df.asset_id:sum(),
    failures = df.failure:sum(), load = df.load_kw:sum(),
    first = tostring(df.timestamp[1]), last = tostring(df.timestamp[#df])}
  if hash then out.hash = frame.hash(df) end
  return out
end)

return {
  fr.flow("make", {params = {path = "", rows = 1000000}}, function(p)
    return make(p.path, p.rows):get()
  end),
  fr.flow("read", {params = {path = "", threads = 1, hash = false}}, function(p)
    return read:with{resources = {cpu = p.threads}}(p.path, p.hash):get()
  end),
}
