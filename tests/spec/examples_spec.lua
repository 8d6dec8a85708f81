-- Each example runs and prints what its last comment says.
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect

local program = os.getenv("FLOWRUN") or "build/flowrun"

local function read(path)
  local f = assert(io.open(path))
  local text = f:read("a")
  f:close()
  return text
end

local function expected(text)
  local lines = {}
  for line in text:match("%-%- Output:\n(.*)$"):gmatch("%-%- ?([^\n]*)\n") do lines[#lines + 1] = line end
  return table.concat(lines, "\n") .. "\n"
end

local examples = {"01_hello", "02_fan_out", "03_retries", "04_branches", "05_forecast"}

describe("the examples", function()
  for _, name in ipairs(examples) do
    it(name .. " runs and prints what it says", function()
      local home = t.temp_dir()
      local path = "examples/" .. name .. ".lua"
      local pipe = assert(io.popen(("'%s' --home '%s' --quiet %s 2>&1"):format(program, home, path)))
      local said = pipe:read("a")
      local _, _, code = pipe:close()
      expect(said).to_equal(expected(read(path)))
      expect(code).to_equal(0)
    end)
  end
end)
