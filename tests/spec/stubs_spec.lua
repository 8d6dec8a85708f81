-- What editors are told exists: every method of the stubs is one of a real object.
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect
local frame = require "flowrun.frame"
local json = require "flowrun.json"
local ml = require "flowrun.ml"
local random = require "flowrun.random"
local ts = require "flowrun.ts"

local function text_of(path)
  local file <close> = assert(io.open(path))
  return file:read("a")
end

local function objects()
  local n = 60
  local df = frame.from{{"x", random.numpy(1):normal(0, 1, n)}, {"y", random.numpy(2):randint(0, 2, n)}}
  local spec = ml.random_forest{trees = 2}
  return {df = df, Frame = df, array = df.x, Array = df.x, Group = df:group{"y"}, Spec = spec,
    Random = random.numpy(1), Model = spec:fit(df, "y"),
    Forecaster = ts.arima{order = {1, 0, 0}}:fit(df.x)}
end

describe("the stubs for editors", function()
  for _, name in ipairs{"columns", "objects"} do
    it("name methods that exist: " .. name, function()
      local real, text, checked = objects(), text_of("lua/flowrun/meta/" .. name .. ".lua"), 0
      expect((load(text))).to_be_truthy()
      for object, method in text:gmatch("\nfunction ([%w_]+):([%w_]+)%(") do
        if real[object] then
          checked = checked + 1
          local found = real[object][method]
          if type(found) ~= "function" then error(("%s has no method %s"):format(object, method)) end
        end
      end
      expect(checked >= 25).to_be_true()
    end)
  end

  it("are where .luarc.json tells an editor to look", function()
    local settings = json.decode(text_of(".luarc.json"))
    expect(settings["runtime.version"]).to_equal("Lua 5.4")
    expect(settings["workspace.library"]).to_contain("lua")
  end)
end)
