local error_class = require "flowrun.core.error"

return function()
  local inner = error_class.new("io", "cannot read a.csv")
  local outer = error_class.new("quality", "no rows", inner)
  assert(tostring(outer):find("because") and ("x" .. outer) and outer .. "x")
  assert(error_class.is(outer, "quality") and error_class.from("text").code == "error")
  assert(error_class.codes().io and error_class.nearest("rain", {"wind"}) == nil)
  local ok, err = pcall(error_class.raise, "io", "gone")
  if not ok and type(err) == "string" then error(err, 0) end
  ok, err = pcall(error_class.new, "nonsense", "x")
  if not ok and tostring(err) == "not enough memory" then error(err, 0) end
end
