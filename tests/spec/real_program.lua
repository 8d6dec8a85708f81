--- Runs the real program for specs about faults: scripts in a folder of their own, a shell that acts
--- while a run goes on, and what `show` says afterwards. Use: `dofile "tests/spec/real_program.lua"`.
local t = require "flowrun.test"
local json = require "flowrun.json"

local real = {}

local program = os.getenv("FLOWRUN") or "build/flowrun"
--- Path of the program.
real.program = program:sub(1, 1) == "/" and program or os.getenv("PWD") .. "/" .. program

--- What every script begins with: the number of its process, a line to the test's pipe.
local prelude = [[
local fr = require "flowrun"
local function me()
  local f <close> = io.open("/proc/self/stat")
  return f:read("n")
end
local function there(name)
  local f = io.open(name)
  if f then f:close() end
  return f ~= nil
end
local function say(line)
  local f <close> = io.open("pipe", "a")
  f:write(line, "\n")
end
]]

function real.write(path, text)
  local f = assert(io.open(path, "w"))
  f:write(text)
  f:close()
end

--- Whether the program is a sanitizer's build, whose memory and libraries are others.
function real.sanitized()
  local f <close> = assert(io.open(real.program, "rb"))
  local bytes = f:read("a")
  return (bytes:find("__asan_init", 1, true) or bytes:find("__tsan_init", 1, true)) ~= nil
end

function real.read(path)
  local f = io.open(path)
  if not f then return "" end
  local text = f:read("a")
  f:close()
  return text
end

--- A folder with f.lua and a named pipe `pipe`.
function real.folder(script)
  local dir = t.temp_dir()
  real.write(dir .. "/f.lua", prelude .. (script or ""))
  os.execute(("mkfifo '%s/pipe'"):format(dir))
  return dir
end

--- Shell lines in the folder: $flowrun is the program, descriptor 3 the pipe, files `out`, `err`
--- what was printed. Bounded by a minute. Returns the exit code.
function real.shell(dir, lines)
  real.write(dir .. "/lines.sh", ("cd '%s' && exec 3<>pipe\nflowrun='%s'\n%s\n"):format(dir, real.program,
    lines))
  local _, how, code = os.execute(("timeout 60 sh '%s/lines.sh' >'%s/out' 2>'%s/err'"):format(dir, dir, dir))
  return how == "exit" and code or 128 + code
end

function real.out(dir) return real.read(dir .. "/out") end
function real.err(dir) return real.read(dir .. "/err") end

--- What `show RUN --json` says.
function real.shown(dir, run)
  local pipe = assert(io.popen(("cd '%s' && '%s' show %s --json --home home 2>&1"):format(dir, real.program,
    run or "@last")))
  local text = pipe:read("a")
  pipe:close()
  local ok, shown = pcall(json.decode, text)
  return ok and shown or {text = text}
end

--- True where this test may mount file systems; says so where not.
function real.can_mount()
  local dir = t.temp_dir()
  local ok = os.execute(("mkdir '%s/m' && mount -t tmpfs -o size=64k tmpfs '%s/m' 2>/dev/null && umount '%s/m'")
    :format(dir, dir, dir))
  if not ok then print("skipped: mounting a tmpfs is refused here (needs root)") end
  return ok
end

return real
