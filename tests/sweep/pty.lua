local pty = require "flowrun.core.pty"

return function()
  local t <close> = pty.open{"cat"}
  t:write("hello\n")
  local said = ""
  while not said:find("hello.*hello") do said = said .. t:read(10) end   -- echo, and cat's own
  t:write("\4")
  while t:read(10) do end
  assert(t:wait() == 0 and not pcall(t.wait, t))
  t:close()
  assert(not pcall(t.read, t, 0) and not pcall(pty.open, {"/nowhere/program"}))
end
