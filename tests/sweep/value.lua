local value = require "flowrun.core.value"

return function()
  local v = value.pack({1, 2, a = {"some text that is longer than forty characters, surely", {}},
    [true] = 0.5})
  assert(value.parse(v:bytes()) == v and #v > 10 and #v:hash() == 32)
  assert(v:unpack()[true] == 0.5 and #tostring(v) > 5 and #v:json() > 5)
  assert(select("#", value.pack_list("argument", 1, nil):unpack_list()) == 2)
  local kept <close> = value.pack("x")
  assert(kept)
  local ok, err = pcall(value.pack, {f = print})
  if not ok and tostring(err) == "not enough memory" then error(err, 0) end
end
