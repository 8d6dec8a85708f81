--- `flowrun version`: versions of flowrun and of every library it finds.
local version = require "flowrun.core.version"

local function run()
  print("flowrun " .. version.flowrun)
  print(("  %-10s %s"):format("Lua", (version.lua:gsub("^Lua ", ""))))
  for _, lib in ipairs(version.libraries()) do
    local text = lib.version or ("not installed (%s)"):format(lib.file)
    print(("  %-10s %s"):format(lib.name, (text:match("%d[%d.]*") or text)))
  end
  local found, cjson = pcall(require, "cjson")
  if found then print(("  %-10s %s"):format("lua-cjson", cjson._VERSION)) end
  return 0
end

return {summary = "print the versions of flowrun and its libraries", args = "", run = run}
