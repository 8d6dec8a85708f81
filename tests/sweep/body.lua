local body = require "flowrun.core.body"
local flow = require "flowrun.core.flow"

-- Outside of a run: what needs one says so, the rest answers.
return function()
  assert(not body.inside() and not flow.inside() and body.now() > 0)
  for _, name in ipairs{"sleep", "log", "draw", "stream", "effect_key", "run_info", "barrier",
    "checkpoint", "outbox_key", "outbox"} do
    pcall(body[name], 0, "text")
  end
  assert(body.late("module") == nil)
  assert(body.late("module", "module.lua", "return 1") == "return 1")
  for _, name in ipairs{"call", "map", "map_tuples", "subflow", "group", "spawn", "wait", "peek", "item",
    "forgive", "sleep", "record", "draw", "replaying", "log", "run_info"} do
    pcall(flow[name], {}, "text", {})
  end
end
