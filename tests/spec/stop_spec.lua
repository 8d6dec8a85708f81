-- Ctrl-Z: a stopped process holds no lock of the store, and goes on where it was.
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect

local program = os.getenv("FLOWRUN") or "build/flowrun"
local absolute = program:sub(1, 1) == "/" and program or os.getenv("PWD") .. "/" .. program

local function write(path, text)
  local f = assert(io.open(path, "w"))
  f:write(text)
  f:close()
end

describe("SIGTSTP in the middle of a commit", function()
  it("stops the process behind it, so that others use the store meanwhile", function()
    local dir = t.temp_dir()
    write(dir .. "/f.lua", [[
      local fr = require "flowrun"
      local inc = fr.task("inc", {effect = true}, function(x) return x + 1 end)   -- a commit each
      return fr.flow("f", function()
        local x = 0
        for _ = 1, 5 do x = inc(x):get() end
        return x
      end)]])
    -- `wait` of a shell with job control returns when the job stops: 128 + SIGTSTP. Without
    -- the handler the process would stop inside of the commit, with the lock, and the second
    -- run would wait for ever; `timeout` ends it then.
    write(dir .. "/go.sh", [[
      set -m
      cd "$1" || exit 9
      "$2" --home home --quiet f.lua >zero 2>err         # the database is there now
      FLOWRUN_FAULT='store.commit.before:4=stop' "$2" --home home --quiet f.lua >first 2>err &
      wait $!
      echo "stopped $?" >said
      timeout 60 "$2" --home home --quiet f.lua >second 2>>err
      echo "other $?" >>said
      kill -CONT %1
      wait %1
      echo "ended $?" >>said
    ]])
    os.execute(("bash '%s/go.sh' '%s' '%s' 2>/dev/null"):format(dir, dir, absolute))
    local function read(name) return assert(io.open(dir .. "/" .. name)):read("a") end
    expect(read("said")).to_equal("stopped 148\nother 0\nended 0\n")
    expect(read("first")).to_equal("5\n")
    expect(read("second")).to_equal("5\n")
  end)
end)
