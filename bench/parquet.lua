--- Parquet, zstd, 1,000,000 rows of ten mixed columns, beside the better of pyarrow and polars, in
--- turn on one core, by CPU time. All read the file that pyarrow wrote.
local kit = require "bench.kit"
local peers = require "bench.peers"
local threads = require "bench.threads"

local parquet = {}

local function compare(name, floor, ours, theirs)
  local mine, other = kit.median(peers.alone(ours)), kit.median(peers.alone(theirs))
  kit.figure{name = name, value = other / mine, unit = "x", floor = floor, more = true, cpu = mine}
  kit.say("%.4f s beside %.4f s of %s; CPU, median of %d", mine, other, theirs[1].value.version,
    #ours)
end

function parquet.run()
  local path, out = kit.dir .. "/mixed.parquet", kit.dir .. "/out.parquet"
  peers.run{"bench/peers/parquet.py", "make", threads.csv_file(), path}
  local read, their_read, write, their_write = {}, {}, {}, {}
  for i = 1, kit.rounds do
    read[i] = kit.flow("bench/flows/parquet.lua", {"--path", path},
      {flow = "read", cores = peers.core})
    their_read[i] = peers.run{"bench/peers/parquet.py", "read", path}
    write[i] = kit.flow("bench/flows/parquet.lua", {"--path", path, "--out", out},
      {flow = "write", cores = peers.core})
    their_write[i] = peers.run{"bench/peers/parquet.py", "write", path, out}
  end
  local a, b = read[1].value, their_read[1].value
  for _, name in ipairs{"rows", "assets", "failures"} do
    if a[name] ~= b[name] then
      error(("Parquet: %s differs: %s, %s"):format(name, a[name], b[name]), 0)
    end
  end
  if math.abs(a.load - b.load) > 1e-9 * b.load then error("Parquet: the sums differ", 0) end
  compare("Parquet 1,000,000 x 10, zstd, read", 1.0, read, their_read)
  compare("Parquet 1,000,000 x 10, zstd, write", 1.1, write, their_write)
  kit.say("%d bytes written beside %d", write[1].value.bytes, their_write[1].value.bytes)
end

return parquet
