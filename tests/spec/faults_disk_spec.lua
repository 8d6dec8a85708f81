-- labels: slow
-- The disk is full, read-only, or gives back something else than was written.
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect
local real = dofile "tests/spec/real_program.lua"

-- Runs f.lua with its home on a tmpfs of `size`, waits until it says that the disk is full, makes
-- room, and waits for its end. Returns the exit code.
local function run_on_small_disk(dir, size)
  return real.shell(dir, ([[
    mkdir home && mount -t tmpfs -o size=%s tmpfs home || exit 99
    trap 'umount home' EXIT
    $flowrun --home home --quiet f.lua >run.out 2>run.err &
    run=$!
    until grep -q 'the disk is full' run.err; do kill -0 $run || break; done
    $flowrun runs --home home >while.out 2>&1
    mount -o remount,size=64m tmpfs home
    touch space
    wait $run
    code=$?
    $flowrun show 1 --json --home home >show.out
    $flowrun logs 1 --home home >logs.out
    exit $code
  ]]):format(size))
end

-- The run has not ended before there is space.
local until_space = [[
local more = fr.task("more", function() while not there("space") do fr.sleep(0.01) end end)
]]

describe("a full disk", function()
  local cases = {
    {"records", "600k", [[
      local t = fr.task("t", function(i) return ("r"):rep(1500) .. i end)
      return fr.flow("f", function()
        local n = 0
        for i = 1, 2000 do n = n + #t(i):get() end
        more():get()
        return n
      end)]], 2000 * 1500 + 6893},
    {"results", "3m", [[
      local t = fr.task("t", function(i) return ("x"):rep(200000) .. i end)
      return fr.flow("f", function()
        local n = 0
        for i = 1, 30 do n = n + #t(i):get() end
        more():get()
        return n
      end)]], 30 * 200000 + 51},
    {"logs", "1500k", [[
      local t = fr.task("t", function(i)
        for k = 1, 200 do print(("line %d %d "):format(i, k) .. ("y"):rep(100)) end
        return 1
      end)
      return fr.flow("f", function()
        local n = 0
        for i = 1, 50 do n = n + t(i):get() end
        more():get()
        return n
      end)]], 50},
  }
  for _, case in ipairs(cases) do
    it("pauses a run that writes " .. case[1] .. "; it goes on when there is space", function()
      if not real.can_mount() then return end
      local dir = real.folder(until_space .. case[3])
      local code = run_on_small_disk(dir, case[2])
      expect(real.read(dir .. "/run.err")):to_contain("the disk is full")
      expect(real.read(dir .. "/run.err")):to_contain("the run waits until there is space")
      expect(real.read(dir .. "/while.out")):to_contain("RUNNING")
      expect(code).to_equal(0)
      local shown = require("flowrun.json").decode(real.read(dir .. "/show.out"))
      expect(shown.state).to_equal("SUCCESS")
      expect(shown.result).to_equal(case[4])
      if case[1] == "logs" then
        local lines = 0
        for _ in real.read(dir .. "/logs.out"):gmatch("line %d+ %d+ y") do lines = lines + 1 end
        expect(lines).to_equal(50 * 200)
      end
    end)
  end
end)

local plain = [[
  local t = fr.task("t", function(i) return i end)
  return fr.flow("f", function() return t(20):get() + t(22):get() end)]]

describe("a home that is read-only", function()
  it("is looked at all the same; a run says what to do", function()
    if not real.can_mount() then return end
    local dir = real.folder(plain)
    local code = real.shell(dir, [[
      mkdir home && mount -t tmpfs -o size=8m tmpfs home || exit 99
      trap 'umount home' EXIT
      $flowrun --home home --quiet f.lua || exit 98
      mount -o remount,ro tmpfs home
      $flowrun --home home --quiet f.lua 2>run.err
      echo "code $?"
      $flowrun --home home/new --quiet f.lua 2>new.err
      echo "code $?"
      $flowrun show 1 --home home >show.out 2>&1 || exit 97
      $flowrun runs --home home >runs.out 2>&1 || exit 96
    ]])
    expect(code).to_equal(0)
    expect(real.out(dir)).to_equal("42\ncode 1\ncode 1\n")
    for _, name in ipairs{"run", "new"} do
      local err = real.read(dir .. "/" .. name .. ".err")
      expect(err):to_contain("Read-only file system")
      expect(err):to_contain("use another folder with --home DIR")
    end
    expect(real.read(dir .. "/show.out")):to_contain("SUCCESS")
    expect(real.read(dir .. "/runs.out")):to_contain("SUCCESS")
  end)
end)

describe("a database that is not what was written", function()
  it("cut off anywhere: says so or is right, never wrong", function()
    local dir = real.folder(plain)
    expect(real.shell(dir, "$flowrun --home home --quiet f.lua")).to_equal(0)
    local told = 0
    for _, size in ipairs{0, 1, 100, 4096, 5000, 20000, 40000} do
      real.shell(dir, ([[
        rm -rf h && cp -r home h && rm -f h/flowrun.db-wal h/flowrun.db-shm
        truncate -s %d h/flowrun.db
        $flowrun show 1 --json --home h >show.out 2>show.err
        echo "code $?"
        $flowrun --home h --quiet f.lua >run.out 2>run.err
        echo "code $?"
      ]]):format(size))
      local show, run = real.out(dir):match("code (%d+)\ncode (%d+)")
      if show ~= "0" then
        told = told + 1
        expect(real.read(dir .. "/show.err")):to_match("is damaged")
      end
      if run ~= "0" then
        expect(real.read(dir .. "/run.err")):to_match("is damaged")
        expect(real.read(dir .. "/run.err")):to_match("put back a copy, or move it away")
      end
      expect(tonumber(show) < 128 and tonumber(run) < 128).to_be_true()
    end
    expect(told >= 6).to_be_true()
  end)

  it("with flipped bits: every answer is right or an error", function()
    local dir = real.folder(plain)
    expect(real.shell(dir, [[
      $flowrun --home home --quiet f.lua && $flowrun lua -e '' 2>/dev/null
      true]])).to_equal(0)
    local bytes = real.read(dir .. "/home/flowrun.db")
    local wal = real.read(dir .. "/home/flowrun.db-wal")
    local wrong, errors = 0, 0
    local function try(name, text, at)
      real.write(dir .. "/home/flowrun.db", name == "db" and text or bytes)
      real.write(dir .. "/home/flowrun.db-wal", name == "wal" and text or wal)
      os.remove(dir .. "/home/flowrun.db-shm")
      local code = real.shell(dir, "$flowrun show 1 --json --home home >show.out")
      expect(code < 128).to_be_true()
      if code ~= 0 then
        errors = errors + 1
        expect(#real.err(dir) > 0).to_be_true()
        return
      end
      local shown = require("flowrun.json").decode(real.read(dir .. "/show.out"))
      if shown.state == "SUCCESS" and shown.result ~= 42 then
        wrong = wrong + 1
        print("  wrong answer with a bit flipped in " .. name .. " at " .. at)
      end
    end
    for _, where in ipairs{{"db", bytes}, {"wal", wal}} do
      local text = where[2]
      for i = 1, 20 do
        local at = 1 + (i * 7919 + 13) % math.max(#text, 1)
        if at <= #text then
          local flipped = string.char(text:byte(at) ~ (1 << i % 8))
          try(where[1], text:sub(1, at - 1) .. flipped .. text:sub(at + 1), at)
        end
      end
    end
    expect(wrong).to_equal(0)
    expect(errors > 0).to_be_true()
  end)

  it("of a newer version: names both versions and the ways out", function()
    local dir = real.folder(plain)
    expect(real.shell(dir, "$flowrun --home home --quiet f.lua")).to_equal(0)
    -- PRAGMA user_version is 4 bytes at offset 60 of the file; the WAL must not hide them.
    local text = real.read(dir .. "/home/flowrun.db")
    os.remove(dir .. "/home/flowrun.db-wal")
    os.remove(dir .. "/home/flowrun.db-shm")
    real.write(dir .. "/home/flowrun.db", text:sub(1, 60) .. "\0\0\3\231" .. text:sub(65))
    for _, words in ipairs{"--home home --quiet f.lua", "show 1 --home home", "resume 1 --home home"} do
      expect(real.shell(dir, "$flowrun " .. words) > 0).to_be_true()
      expect(real.err(dir)):to_contain("newer flowrun (format 999, this one knows")
      expect(real.err(dir)):to_contain("--home DIR")
    end
  end)
end)
