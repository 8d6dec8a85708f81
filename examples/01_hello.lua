--- One idea: a task is a function, a flow calls tasks; a call gives a handle at once, and
--- :get() waits for its value.
---
---     flowrun examples/01_hello.lua --name Ann
local fr = require "flowrun"

local greet = fr.task("greet", function(name)
  return ("Hello, %s!"):format(name)
end)

return fr.flow("hello", {params = {name = "world"}}, function(p)
  return greet(p.name):get()
end)

-- Output:
-- Hello, world!
