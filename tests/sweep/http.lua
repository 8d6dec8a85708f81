-- steps: 60
local http = require "flowrun.http"

-- Nobody listens on port 1 of this machine.
return function()
  assert(not pcall(http, {url = "http://127.0.0.1:1/", timeout = 5, headers = {["X-A"] = "b"}}))
  assert(not pcall(http, {url = "nonsense://x"}))
end
