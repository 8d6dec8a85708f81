--- `flowrun lua FILE`: runs a plain Lua script with flowrun's modules, outside of any run.
local cli = require "flowrun.cli"

local function run(args)
  local path = args[1]
  if not path then return cli.usage("lua: no file; flowrun lua FILE [ARGUMENT…]") end
  local chunk, problem = loadfile(path, "t")
  if not chunk then
    io.stderr:write("flowrun: ", problem, "\n")
    return cli.exit.load
  end
  _G.arg = table.move(args, 1, #args, 0, {})
  local ok, err = xpcall(chunk, function(e)
    return type(e) == "string" and debug.traceback(e, 2) or e
  end, table.unpack(args, 2))
  if ok then return cli.exit.ok end
  io.stderr:write("flowrun: ", tostring(err), "\n")
  return cli.exit.failed
end

return {
  summary = "run a plain Lua script with flowrun's modules",
  args = "FILE [ARGUMENT…]",
  run = run,
}
