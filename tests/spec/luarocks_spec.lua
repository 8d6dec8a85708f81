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

local tree = t.temp_dir()
local install = "CMAKE_GENERATOR=Ninja luarocks --lua-version 5.4 make --tree '%s'"
local log, installed = output_of(install:format(tree))
if not installed then error(log, 0) end

local function stock(script)
  local path = tree .. "/script.lua"
  local file = assert(io.open(path, "w"))
  file:write(script)
  file:close()
  return output_of(("LUA_PATH='%s/share/lua/5.4/?.lua;%s/share/lua/5.4/?/init.lua' "
    .. "LUA_CPATH='%s/lib/lua/5.4/?.so' lua5.4 %s"):format(tree, tree, tree, path))
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
end)
