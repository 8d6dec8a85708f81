-- steps: 120
local bundle = require "flowrun.bundle"
local core = require "flowrun.core.engine"
local flow = require "flowrun.flow"
local flow_core = require "flowrun.core.flow"
local line = require "flowrun.core.line"
local session = require "flowrun.session"

local text = [[
local fr = require "flowrun"
local add = fr.task("add", {outputs = {"sum", "more"}}, function(a, b)
  return a + b, fr.sh{argv = {"cat"}, stdin = "x"}.out
end)
local fail = fr.task("fail", function() error("on purpose") end)
local sub = fr.flow("sub", {params = {x = 1}}, function(p) return p.x + 1 end)
return fr.flow("main", {params = {n = 2}}, function(p)
  local sum, more = add(p.n, 1)
  fr.log.info("%s %s", sum, fr.run.flow)
  fr.sleep(0)
  local items = fail:with{retries = 0}:map{1, 2}
  local branch = fr.spawn(function() return fr.random() end)
  -- A handle says what to write instead, whatever one does with it.
  for _, use in ipairs{function() return sum + 1 end, function() return sum - 1 end,
    function() return sum * 1 end, function() return sum / 1 end, function() return sum % 1 end,
    function() return sum ^ 1 end, function() return sum // 1 end, function() return -sum end,
    function() return sum .. "" end, function() return sum < more end,
    function() return sum <= more end, function() return #sum end, function() sum.x = 1 end,
    function() return sum() end, function() return pairs(sum) end} do
    if pcall(use) then error("a handle was used as a value") end
  end
  local ok = items:try()
  return {sum:get(), more:get(), sum:state(), ok, branch:get() < 1, sub{x = 3}:get(), fr.now() > 0,
    sum == more, tostring(sum)}
end)]]

return function()
  local script = bundle.load_text(text, "sweep")
  local main = script:find("main")
  local engine <close> = core.open{workers = 1}
  local run, started
  -- A run that an error leaves behind is stopped first, as a session does when it ends.
  local _ <close> = setmetatable({}, {__close = function()
    if started and not run:ended() then
      run:cancel("cancelled", "the sweep goes on")
      while not run:ended() do engine:turn() end
    end
  end})
  engine:signals(true, true)
  engine:tick(50, function() end)
  run = engine:run({flow = "main", file = "sweep", bundle = script.hash,
    sources = script.sources, params = {n = 2}, seed = 7, moments = true}, flow.body(main.fn))
  run:start()
  started = true
  while not run:ended() do engine:turn() end
  engine:tick(0)
  engine:signals(false)
  local prompt = line.open(engine, nil, function() return {}, 0 end)
  prompt:above("a line above")
  prompt:remember("an old line")
  assert(prompt:read("> ") == nil)             -- the end of /dev/null
  prompt:close()
  assert(engine:interrupts() == 0 and engine:trouble() == nil and run:seed() == 7)
  local o = run:outcome()
  if o.state ~= "SUCCESS" then error(tostring(o.error)) end
  assert(o.result[1] == 3 and o.result[5], "wrong result")
  for i = 0, run:count() - 1 do
    run:info(i)
    run:arguments(i)
  end
  run:moments()
  run:stats()
  run:tasks()
  run:running()
  assert(not run:waits())
  run:cancel("cancelled", "too late")
  assert(run:id() == 0 and session.new_seed() >= 0 and flow_core.inside() == false)
  started = false
  run:close()
  engine:close()
  assert(core.call(function() return 1 end))   -- it ends the hook that counts rows, so: last
end
