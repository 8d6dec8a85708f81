-- labels: slow
-- "Timeouts and cancel do not stop the work" (Prefect 15760, 18133, 17482, 17563, 18840): when the
-- state says so nothing of it runs any more, neither the body nor what it started.
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect
local real = dofile "tests/spec/real_program.lua"

local tasks = [[
  local function work()
    fr.sh("echo $$ >pipe; sh -c 'echo $$ >pipe; exec sleep 1000'; exec sleep 1000")
  end
  local stubborn = fr.task("stubborn", {isolate = ISOLATE, timeout = 0.5}, function()
    while true do pcall(work) end
  end)
  local sleeper = fr.task("sleeper", {isolate = ISOLATE}, work)
]]

local gone = [[
  gone() { for p in "$@"; do if kill -0 $p 2>/dev/null; then
    grep -q '^State:.Z' /proc/$p/status 2>/dev/null || echo "$p lives: $(cat /proc/$p/cmdline | tr '\0' ' ')"; fi
  done; }
]]

for _, isolate in ipairs{"false", "true"} do
  describe("work, isolate = " .. isolate, function()
    it("has stopped when a timeout is reported", function()
      local dir = real.folder((tasks:gsub("ISOLATE", isolate)) .. [[
        local tell = fr.task("tell", function() io.open("told", "w"):close() end)
        return fr.flow("f", function()
          local _, err = stubborn():try()
          tell():get()
          return err.code
        end)]])
      local code = real.shell(dir, gone .. [[
        $flowrun --home home --quiet f.lua &
        run=$!
        read -r a <&3; read -r b <&3
        until [ -e told ]; do kill -0 $run || break; done
        gone $a $b
        wait $run]])
      expect(code).to_equal(0)
      expect(real.out(dir)).to_equal("timeout\n")
    end)

    it("has stopped when a cancel is reported", function()
      local dir = real.folder((tasks:gsub("ISOLATE", isolate)) .. [[
        return fr.flow("f", function() return sleeper():get() end)]])
      local code = real.shell(dir, gone .. [[
        $flowrun --home home --quiet f.lua 2>run.err &
        run=$!
        read -r a <&3; read -r b <&3
        $flowrun cancel 1 --home home >cancel.out 2>&1
        wait $run
        gone $a $b
        true]])
      expect(code).to_equal(0)
      expect(real.out(dir)).to_equal("")
      expect(real.shown(dir, "1").state).to_equal("STOPPED")
    end)
  end)
end
