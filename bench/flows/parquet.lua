--- A Parquet file of ten mixed columns, read and written. bench/peers/parquet.py does the same.
--- Each is done twice and the faster counts, as the peers' are.
local fr = require "flowrun"
local frame = require "flowrun.frame"

local function timed(what)
  local least, last = math.huge, {}
  for _ = 1, 2 do
    last.value = nil
    collectgarbage()
    local began = os.clock()
    last.value = what()
    least = math.min(least, os.clock() - began)
  end
  return least, last.value
end

local read = fr.task("read_parquet", function(path)
  local took, df = timed(function() return frame.read_parquet(path) end)
  return {cpu_s = took, rows = #df, assets = df.asset_id:sum(), failures = df.failure:sum(),
    load = df.load_kw:sum(), first = tostring(df.timestamp[1]), last = tostring(df.timestamp[#df])}
end)

local write = fr.task("write_parquet", function(path, out)
  local df = frame.read_parquet(path)
  local took = timed(function() df:write_parquet(out) end)
  local file <close> = assert(io.open(out, "rb"))
  return {cpu_s = took, bytes = file:seek("end")}
end)

return {
  fr.flow("read", {params = {path = ""}}, function(p) return read(p.path):get() end),
  fr.flow("write", {params = {path = "", out = ""}}, function(p)
    return write(p.path, p.out):get()
  end),
}
