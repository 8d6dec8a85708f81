local json = require "flowrun.core.json"

return function()
  local v = json.decode('{"a": [1, 2.5, null, "text \\u00e9 \\n"], "b": {"c": true}}')
  local text = json.encode(v, 2, true)
  assert(json.encode(json.decode(text), 0, false) == json.encode(v, 0, false))
  local ok, err = pcall(json.decode, "[1,")
  if not ok and tostring(err) == "not enough memory" then error(err, 0) end
end
