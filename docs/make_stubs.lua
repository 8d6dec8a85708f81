-- Writes lua/flowrun/meta/objects.lua: what editors know of the methods of frames, arrays, models,
-- generators and stores, from the comments in the sources.
--   build/flowrun lua docs/make_stubs.lua [ROOT]
local root = arg[1] or "."

-- Source, the local name that holds the methods, their class, and its name in the stub.
local holders = {
  {"frame", "methods", "flowrun.Frame", "Frame"},
  {"frame_relate", "methods", "flowrun.Frame", "Frame"},
  {"frame_relate", "group_class", "flowrun.Group", "Group"},
  {"frame_array", "methods", "flowrun.Array", "Array"},
  {"random", "methods", "flowrun.Random", "Random"},
  {"ml", "Spec", "flowrun.ModelSpec", "Spec"},
  {"ml", "methods", "flowrun.Model", "Model"},
  {"ml", "Prep", "flowrun.Prep", "Prep"},
  {"ts", "methods", "flowrun.Forecaster", "Forecaster"},
  {"store", "Store", "flowrun.Store", "Store"},
  {"http", "Response", "flowrun.HttpResponse", "Response"},
}

-- The documented functions NAME:method(…) of a source, as stubs.
local function stubs(text, holder, name, out)
  local block = {}
  for line in (text .. "\n"):gmatch("([^\n]*)\n") do
    local method, args = line:match("^function " .. holder .. ":([%w_]+)(%b())")
    if line:find("^%-%-%-") then
      block[#block + 1] = line
    else
      if method and #block > 0 and not method:find("^_") then
        table.move(block, 1, #block, #out + 1, out)
        out[#out + 1] = ("function %s:%s%s end\n"):format(name, method, args)
      end
      block = {}
    end
  end
end

local out = {"---@meta flowrun", "-- Made by docs/make_stubs.lua (`make reference`).\n"}
local classes = {}
for _, h in ipairs(holders) do
  local file, holder, class, name = table.unpack(h)
  if not classes[name] then
    classes[name] = true
    out[#out + 1] = ("---@class %s\nlocal %s = {}\n"):format(class, name)
  end
  local source <close> = assert(io.open(("%s/lua/flowrun/%s.lua"):format(root, file)))
  stubs(source:read("a"), holder, name, out)
end
local stub <close> = assert(io.open(root .. "/lua/flowrun/meta/objects.lua", "w"))
stub:write((table.concat(out, "\n"):gsub("\n+$", "\n")))
