-- `flowrun watch`: a save runs the flow again, and only what has changed is computed.
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect

local program = os.getenv("FLOWRUN") or "build/flowrun"
local absolute = program:sub(1, 1) == "/" and program or os.getenv("PWD") .. "/" .. program

local script = [[
local fr = require "flowrun"
local limits = require "limits"
local slow = fr.task("slow", function(x) print("slow ran") return x * 10 end)
local last = fr.task("last", {effect = true}, function(x) print("last ran") return x + 1 end)
local item = fr.task("item", function(x) print("item ran") return x end)
return fr.flow("f", function()
  item:map({1, limits.n}):get()
  return last(slow(4)):get()
end)
]]

local function write(path, text)
  local f = assert(io.open(path .. ".new", "w"))
  f:write(text)
  f:close()
  assert(os.rename(path .. ".new", path))      -- as editors save: whole or not at all
end

-- The watching program; next_run() gives what it said up to where it waits again.
local function watch(dir)
  local command = "cd '%s' && sh -c 'echo $$; exec %s watch --home home --plain f.lua' 2>&1"
  local pipe = assert(io.popen(command:format(dir, absolute)))
  local pid = pipe:read("l")
  local self = {
    next_run = function()
      local lines = {}
      for line in pipe:lines() do
        lines[#lines + 1] = line
        if line:find("watch: waiting", 1, true) then break end
      end
      return table.concat(lines, "\n")
    end,
    stop = function()
      os.execute("kill -INT " .. pid)
      pipe:read("a")
      local _, _, code = pipe:close()
      return code
    end,
  }
  return setmetatable(self, {__close = function()
    if io.type(pipe) == "file" then self.stop() end
  end})
end

describe("watch", function()
  it("computes what a save has changed", function()
    local dir = t.temp_dir()
    write(dir .. "/f.lua", script)
    write(dir .. "/limits.lua", "return {n = 2}")
    local w <close> = watch(dir)
    local said = w.next_run()
    expect(said).to_match("slow ran")
    expect(said).to_match("last ran")
    expect(said).to_match("%f[%d]41%f[^%d]")
    expect(said).to_match("0 of 4 calls from the cache")
    write(dir .. "/f.lua", (script:gsub("x %+ 1", "x + 2")))
    said = w.next_run()
    expect(said).never.to_match("slow ran")
    expect(said).to_match("last ran")
    expect(said).to_match("%f[%d]42%f[^%d]")
    expect(said).to_match("3 of 4 calls from the cache")
    write(dir .. "/limits.lua", "return {n = 3}")   -- a module
    said = w.next_run()
    expect(said).never.to_match("last ran")
    expect(said).to_match("item ran")
    write(dir .. "/f.lua", "return 1 +")
    said = w.next_run()
    expect(said).to_match("f.lua:1")
    write(dir .. "/f.lua", script)
    expect(w.next_run()).to_match("%f[%d]41%f[^%d]")
    expect((w.stop())).to_equal(0)
  end)

  it("shares nothing with other runs", function()
    local dir = t.temp_dir()
    write(dir .. "/f.lua", script)
    write(dir .. "/limits.lua", "return {n = 2}")
    local w <close> = watch(dir)
    expect(w.next_run()).to_match("0 of 4 calls")
    w.stop()
    local again <close> = watch(dir)
    expect(again.next_run()).to_match("0 of 4 calls")
  end)
end)
