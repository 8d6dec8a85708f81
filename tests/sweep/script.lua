local sandbox = require "flowrun.core.sandbox"
local script = require "flowrun.core.script"

return function()
  local text = "local x = function(a)\n return a + 1 end"
  assert(#script.tokens(text) == 12 and #script.code(text, 1, 2) > 10 and #script.hash(text) == 32)
  local outer = 0
  local seen = script.inspect(function() outer = outer + 1 return print end)
  assert(seen.assigns[1].name == "outer" and #seen.reads == 1)
  assert(script.read_file("/proc/self/comm") and not script.read_file("/nowhere"))
  assert(#script.list_dir("/proc/self") > 5 and not script.list_dir("/nowhere"))
  assert(script.real_path("/proc/..") == "/")

  local gate = sandbox.gate("flow")
  local fns = sandbox.functions(gate)
  local keys = {}
  for k in fns.pairs({b = 1, a = 2, [3] = 4, [true] = 5}) do keys[#keys + 1] = k end
  for k in fns.pairs({1, 2}) do keys[#keys + 1] = k end
  for k in fns.next, {y = 1, x = 2} do keys[#keys + 1] = k end
  assert(#keys == 8 and keys[1] == 3 and keys[7] == "x")
  local list = {3, 1, 2, 9, 8, 7, 6}
  fns.sort(list, function(a, b) return a < b end)
  assert(list[7] == 9 and fns.tostring({}) == "table: (no address)" and fns.format("%s", {}))
  assert(gate:mode("task") == "flow" and gate:mode() == "task")
  assert(sandbox.gated(gate, function() return 7 end, "f", "hint", "task")() == 7)
end
