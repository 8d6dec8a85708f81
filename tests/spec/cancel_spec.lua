-- `flowrun cancel` and Ctrl-C: what runs has stopped when the program ends, and its exit code says
-- which of the two it was.
local t = require "flowrun.test"
local real = dofile "tests/spec/real_program.lua"
local describe, it, expect = t.describe, t.it, t.expect

local script = [[
local wait = fr.task("wait", function() say("started") fr.sleep(10000) end)
local spin = fr.task("spin", function()
  say("started")
  while true do pcall(function() while true do end end) end
end)
local child = fr.task("child", function()
  fr.sh{cmd = "echo $$ >child; echo started >pipe; sleep 10000 & sleep 10000"}
end)
local tasks = {wait = wait, spin = spin, child = child}
local done = fr.task("done", function() return 1 end)
return fr.flow("f", {params = {what = "wait"}}, function(p)
  done():get()
  return tasks[p.what]():get()
end)]]

-- Starts the flow, waits until its body runs, then acts. Returns what the shell said.
local function stopped(what, act)
  local dir = real.folder(script)
  local code = real.shell(dir, ([[
    "$flowrun" --home home --plain f.lua --what %s >result 2>progress &
    pid=$!
    read started <&3
    %s
    wait $pid
    echo "run $?"
    if [ -f child ] && kill -0 "$(cat child)" 2>/dev/null; then echo "the child lives"; fi]])
      :format(what, act))
  expect(code).to_equal(0)
  return dir, real.out(dir)
end

for _, what in ipairs{"wait", "spin", "child"} do
  describe("a run whose body is in " .. what, function()
    it("ends with 4 when it is cancelled", function()
      local dir, said = stopped(what, '"$flowrun" cancel --home home @last; echo "cancel $?"')
      expect(said).to_match("\ncancel 0\nrun 4\n$")
      local shown = real.shown(dir)
      expect(shown.state).to_equal("STOPPED")
      expect(shown.reason).to_equal("cancelled")
      for _, task in ipairs(shown.tasks) do
        expect(task.state).to_equal(task.name:find(":done$") and "SUCCESS" or "STOPPED")
      end
    end)

    it("ends with 130 at Ctrl-C", function()
      local dir, said = stopped(what, "kill -INT $pid")
      expect(said).to_match("run 130\n$")
      expect(real.read(dir .. "/progress")).to_match("next: flowrun .*rerun 1")
      expect(real.shown(dir).state).to_equal("STOPPED")
    end)
  end)
end

describe("cancel", function()
  it("says what cannot be cancelled, with 2", function()
    local dir = real.folder('return fr.flow("f", function() return 1 end)')
    real.shell(dir, [["$flowrun" --home home f.lua
      for run in 1 99 x; do "$flowrun" cancel --home home $run; echo "$?"; done]])
    expect(real.out(dir)).to_match("2\n2\n2\n$")
    expect(real.err(dir)).to_contain("run 1 has ended already: SUCCESS")
    expect(real.err(dir)).to_contain("there is no run 99; see flowrun runs")
    expect(real.err(dir)).to_contain("RUN: expected a number, @last or @failed, got 'x'")
  end)
end)
