-- "Waits proportional to passed data" (P#9934), limits on the size of what tasks hand over and of
-- parameters (512 KB), "a server outage kills flows" (P#14810). Here a frame is handed over as it
-- is, kept once, and nothing but the process is needed.
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect
local scripted = dofile "tests/spec/scripted.lua"
local testing = require "flowrun.core.testing"

local program = os.getenv("FLOWRUN") or "build/flowrun"
if program:sub(1, 1) ~= "/" then program = os.getenv("PWD") .. "/" .. program end

-- Sanitizers keep freed memory.
local plain = not os.getenv("ASAN_OPTIONS") and not os.getenv("TSAN_OPTIONS")

local script <const> = [[
local frame = require "flowrun.frame"
local make = fr.task("make", function(rows)
  local x = {}
  for i = 1, rows do x[i] = i + 0.5 end
  return frame.from{{"x", x}}
end)
local pass = fr.task("pass", function(df) return df end)
local count = fr.task("count", function(df, text) return #df + #text end)
return fr.flow("f", {params = {text = "", passes = 0}}, function(p)
  local df = make(300000)
  for _ = 1, p.passes do df = pass(df) end
  return count(df, p.text):get()
end)]]

describe("complaint 25: data passed between tasks", function()
  it("costs neither memory nor disk for each task it goes through", function()
    local s, peaks = scripted(script), {}
    for i, passes in ipairs{0, 100} do
      local home = s.dir .. "/home" .. i
      local _, _, peak, code = testing.measure{program, "--home", home, "--quiet", s.file, "--passes",
        tostring(passes)}
      expect(code).to_equal(0)
      peaks[i] = peak
      local files = io.popen(("find '%s/objects' -type f | wc -l"):format(home))
      expect(files:read("n")).to_equal(1)        -- of 2.4 MB, named by what it holds
      files:close()
    end
    expect(not plain or peaks[2] < peaks[1] + (24 << 20)).to_be_true()   -- 100 copies are 240 MB
  end)

  it("has no limit of its own: a parameter of 3 MB goes through", function()
    local s = scripted(script)
    s.write("params.json", '{"text": "' .. ("x"):rep(3000000) .. '"}')
    local out, code = s.run("--quiet --params params.json FILE")
    expect(code).to_equal(0)
    expect(out).to_equal("3300000\n")
  end)
end)
