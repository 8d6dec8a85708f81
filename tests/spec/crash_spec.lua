-- kill -9 of a real run, again and again: ledger and store agree in the end.
--
-- The flow's effects append to a ledger and then say so through a named pipe; the driver kills
-- the process after a number of such lines, so that every kill lands at a known place of the
-- work without waiting for time to pass.
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect
local json = require "flowrun.json"
local real = dofile "tests/spec/real_program.lua"
local program, read, write = real.program, real.read, real.write

local flow = [[
local fr = require "flowrun"
local function say(line)
  local f = io.open("ledger", "a")
  f:write(line, "\n")
  f:close()
  f = io.open("pipe", "a")
  f:write(line, "\n")
  f:close()
end
local note = fr.task("note", {effect = true}, function(i) say("note " .. i) return i end)
local shaky = fr.task("shaky", {retries = 3, delay = 0, effect = true}, function(i)
  say("shaky " .. i)
  local f = io.open("seen" .. i)
  if f then f:close() return i end
  io.open("seen" .. i, "w"):close()
  error("the first time fails")
end)
local item = fr.task("item", function(i) say("item " .. i) return i * i end)
return fr.flow("f", function()
  local sum = 0
  for i = 1, 12 do sum = sum + note(i):get() end
  for i = 1, 3 do sum = sum + shaky(i):get() end
  local list = {}
  for i = 1, 20 do list[i] = i end
  for _, v in ipairs(item:map(list):get()) do sum = sum + v end
  local branch = fr.spawn(function() return note(100):get() end)
  sum = sum + branch:get() + note(101):get()
  return sum
end)]]

local expected = 12 * 13 // 2 + 6 + 20 * 21 * 41 // 6 + 201

-- Runs `words` and kills the process after `lines` lines on the pipe. Exit code 0: it ended
-- before that. The pipe is held open, so that the program never waits for the reader.
local driver = [[
cd "$1" || exit 9
exec 3<>pipe
"$2" $3 >out 2>err &
pid=$!
( wait_for=$4; while [ "$wait_for" -gt 0 ]; do read -r _ <&3; wait_for=$((wait_for - 1)); done
  kill -9 $pid ) 2>/dev/null &
killer=$!
wait $pid
code=$?
kill $killer 2>/dev/null
wait $killer 2>/dev/null
exit $code
]]

local function run(dir, words, lines)
  local _, _, code = os.execute(("sh '%s/driver.sh' '%s' '%s' '%s' %d"):format(dir, dir, program, words,
    lines))
  return code
end

local function shown(dir)
  local pipe = assert(io.popen(("'%s' show @last --json --home '%s/home' 2>/dev/null"):format(program, dir)))
  local value = json.decode(pipe:read("a"))
  pipe:close()
  return value
end

describe("kill -9 of a run", function()
  it("after a subflow has ended: its body is not run again", function()
    local dir = t.temp_dir()
    write(dir .. "/f.lua", [[
      local fr = require "flowrun"
      local one = fr.task("one", function(x) return x + 1 end)
      local once = fr.task("once", function(dir)
        if io.open(dir .. "/died") then return 10 end
        io.open(dir .. "/died", "w"):close()
        fr.sh("kill -9 " .. io.open("/proc/self/stat"):read("n"))
      end)
      local inner = fr.flow("inner", function() return one(one(1):get()) end)
      local outer = fr.flow("outer", {params = {dir = ""}}, function(p)
        return inner():get() + once(p.dir):get()
      end)
      return {inner = inner, outer = outer}
    ]])
    local program_in = ("cd '%s' && '%s' --home home"):format(dir, program)
    os.execute(("%s --flow outer f.lua --dir '%s' >out 2>err"):format(program_in, dir))
    local _, _, code = os.execute(("cd '%s' && '%s' resume 1 --home home >out 2>err")
      :format(dir, program))
    expect(read(dir .. "/err")).never.to_match("diverged")
    expect(code).to_equal(0)
    expect(read(dir .. "/out")).to_equal("13\n")
  end)

  it("at many places loses nothing that was recorded and repeats only what was not", function()
    local kills = 0
    for place = 1, 7 do
      local dir = t.temp_dir()
      write(dir .. "/driver.sh", driver)
      write(dir .. "/f.lua", flow)
      os.execute(("mkfifo '%s/pipe'"):format(dir))
      local code, deaths = run(dir, "--home home --quiet f.lua", place), 0
      while code ~= 0 and deaths < 60 do
        if code ~= 137 then print(read(dir .. "/err"):sub(1, 600)) end
        expect(code).to_equal(137)
        deaths = deaths + 1
        if shown(dir).state == "SUCCESS" then break end   -- it died behind its last record
        code = run(dir, "resume 1 --home home --quiet", 1 + (place + deaths * 3) % 7)
      end
      kills = kills + deaths
      local run_shown = shown(dir)
      expect(run_shown.state).to_equal("SUCCESS")
      expect(run_shown.result).to_equal(expected)
      local times = {}
      for line in read(dir .. "/ledger"):gmatch("[^\n]+") do times[line] = (times[line] or 0) + 1 end
      for i = 1, 12 do expect((times["note " .. i] or 0) >= 1).to_be_true() end
      for i = 1, 20 do expect((times["item " .. i] or 0) >= 1).to_be_true() end
      local extra = 0
      for name, n in pairs(times) do
        extra = extra + n - (name:find("shaky") and 2 or 1)
      end
      -- A death can lose at most what was running or not yet on disk: one effect, or the items
      -- of one chunk.
      expect(extra <= deaths * 21).to_be_true()
      local keys = {}
      for _, task in ipairs(run_shown.tasks) do
        expect(keys[task.key]).to_be_nil()
        keys[task.key] = true
        expect(task.state).to_equal("SUCCESS")
      end
    end
    expect(kills >= 20).to_be_true()
  end)

  it("at every fault point: the next start finishes the run", function()
    local points = {}
    for name in read("core/base/fault.h"):gmatch('X%("([%w%.]+)"%)') do points[#points + 1] = name end
    expect(#points >= 26).to_be_true()
    local deaths = 0
    for _, point in ipairs(points) do
      for _, hit in ipairs{1, 2, 5} do
        local dir = t.temp_dir()
        write(dir .. "/f.lua", flow)
        os.execute(("mkfifo '%s/pipe'"):format(dir))
        local command = "cd '%s' && exec 3<>pipe && %s '%s' %s >out 2>err"
        local _, _, code = os.execute(command:format(dir,
          ("FLOWRUN_FAULT='%s:%d=kill'"):format(point, hit), program, "--home home --quiet f.lua"))
        if code ~= 0 then
          expect(code).to_equal(137)
          deaths = deaths + 1
          local ok, row = pcall(shown, dir)
          if not ok then                         -- it died before the run had a row
            _, _, code = os.execute(command:format(dir, "", program, "--home home --quiet f.lua"))
            expect(code).to_equal(0)
          elseif row.state ~= "SUCCESS" then
            _, _, code = os.execute(command:format(dir, "", program, "resume 1 --home home --quiet"))
            expect(code).to_equal(0)
          end
        end
        local row = shown(dir)
        expect(row.state).to_equal("SUCCESS")
        expect(row.result).to_equal(expected)
      end
    end
    expect(deaths >= 30).to_be_true()
  end)

  it("an input/output error at every fault point never gives a wrong result", function()
    local points, failures = {}, 0
    for name in read("core/base/fault.h"):gmatch('X%("([%w%.]+)"%)') do points[#points + 1] = name end
    for _, point in ipairs(points) do
      for _, kind in ipairs{"EIO", "ENOSPC"} do
        local dir = t.temp_dir()
        write(dir .. "/f.lua", flow)
        os.execute(("mkfifo '%s/pipe'"):format(dir))
        local command = "cd '%s' && exec 3<>pipe && %s '%s' %s >out 2>err"
        local _, how, code = os.execute(command:format(dir,
          ("FLOWRUN_FAULT='%s:2=error=%s'"):format(point, kind), program, "--home home --quiet f.lua"))
        expect(how).to_equal("exit")
        expect(code < 128).to_be_true()
        if code ~= 0 then
          failures = failures + 1
          expect(#read(dir .. "/err") > 0).to_be_true()
          local ok, row = pcall(shown, dir)
          local words = ok and row.state == "RUNNING" and "resume 1 --home home --quiet"
            or ok and row.state == "FAILED" and "rerun 1 --failed --home home --quiet"
            or "--home home --quiet f.lua"
          _, _, code = os.execute(command:format(dir, "", program, words))
          expect(code).to_equal(0)
        end
        expect(point .. " " .. tostring(shown(dir).result)).to_equal(point .. " " .. expected)
      end
    end
    expect(failures >= 3).to_be_true()
  end)
end)
