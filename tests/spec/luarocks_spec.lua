-- labels: slow
-- `luarocks make` installs flowrun for a stock lua5.4.
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect

local function output_of(command)
  local pipe = assert(io.popen(command .. " 2>&1"))
  local text = pipe:read("a")
  return text, pipe:close() == true
end

if not select(2, output_of("luarocks --version")) then t.skip("luarocks is not installed") end

-- The project's rockspec, but without optimisation and built by Ninja: that takes a quarter of
-- the time, and what is tested here is what gets installed.
local tree = t.temp_dir()

local function write(name, text)
  local file = assert(io.open(tree .. "/" .. name, "w"))
  file:write(text)
  file:close()
end

local rockspec <close> = assert(io.open("flowrun-dev-1.rockspec"))
local plain, found = rockspec:read("a"):gsub('CMAKE_BUILD_TYPE = "Release"',
  'CMAKE_BUILD_TYPE = "Plain"')
assert(found == 1)
write("flowrun-dev-1.rockspec", plain)
write("config.lua", 'cmake_generator = "Ninja"\n')
local install = "LUAROCKS_CONFIG='%s/config.lua' luarocks --lua-version 5.4 make --tree '%s' "
  .. "'%s/flowrun-dev-1.rockspec'"
local log, installed = output_of(install:format(tree, tree, tree))
if not installed then error(log, 0) end

local function stock(script)
  write("script.lua", script)
  return output_of(("LUA_PATH='%s/?.lua;%s/share/lua/5.4/?.lua;%s/share/lua/5.4/?/init.lua' "
    .. "LUA_CPATH='%s/lib/lua/5.4/?.so' FLOWRUN_HOME='%s/home' lua5.4 %s/script.lua")
    :format(tree, tree, tree, tree, tree, tree))
end

describe("flowrun in a stock lua5.4", function()
  it("is found and raises its own errors", function()
    local said, ok = stock [[
      local error_class = require "flowrun.core.error"
      local version = require "flowrun.core.version"
      print(version.flowrun, error_class.new("io", "gone").code)]]
    expect(said).to_match("^%d+%.%d+%.%d+\tio\n$")
    expect(ok).to_be_true()
    said = stock [[
      local t = require "flowrun.test"
      print(select(2, pcall(function() t.expect(1).to_equal(2) end)))]]
    expect(said).to_match("to_equal: got 1, expected 2\n$")
  end)

  it("runs a flow and leaves signal handlers as it found them", function()
    write("sums.lua", [[
      local fr = require "flowrun"
      local frame = require "flowrun.frame"
      local load = fr.task("load", function(n) return frame.from{{"kw", {n, 2 * n}}} end)
      local total = fr.task("total", function(df) return df.kw:sum() end)
      return fr.flow("sum", {params = {n = 20}}, function(p) return total(load(p.n)):get() end)]])
    local said, ok = stock [[
      local function handlers()
        for line in io.lines("/proc/self/status") do
          local mask = line:match("^SigCgt:%s*(%x+)")
          -- without the two signals that the C library keeps for itself (32, 33)
          if mask then return tonumber(mask, 16) & ~(3 << 31) end
        end
      end
      local before = handlers()
      local sum = require "sums"
      print(sum:run{n = 14}:get())
      print(handlers() == before and "same handlers" or before .. " became " .. handlers())]]
    expect(said).to_equal("42\nsame handlers\n")
    expect(ok).to_be_true()
  end)
end)
