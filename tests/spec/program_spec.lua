-- The program as users meet it: one file, few libraries, errors with exit codes.
local t = require "flowrun.test"
local real = dofile "tests/spec/real_program.lua"
local describe, it, expect = t.describe, t.it, t.expect

local program = os.getenv("FLOWRUN") or "build/flowrun"

local function run(command)
  local pipe = assert(io.popen(command .. " 2>&1"))
  local text = pipe:read("a")
  local _, _, code = pipe:close()
  return text, code
end

local libraries = {}
for name in run(("readelf -d '%s'"):format(program)):gmatch("%(NEEDED%)[^\n]*%[(.-)%.so") do
  libraries[#libraries + 1] = name
end
local sanitized = real.sanitized()

describe("the program", function()
  it("needs only small libraries; curl and BLAS are opened at first use", function()
    if sanitized then t.skip("a sanitizer's build") end
    local allowed = {libuv = 1, libsqlite3 = 1, libcrypto = 1, libxxhash = 1, libzstd = 1,
      liblz4 = 1, libz = 1, libedit = 1, libc = 1, libm = 1, libdl = 1, libpthread = 1,
      ["ld-linux-x86-64"] = 1, ["ld-linux-aarch64"] = 1}
    expect(#libraries > 0).to_be_true()
    for _, name in ipairs(libraries) do
      expect(name .. " " .. tostring(allowed[name])).to_equal(name .. " 1")
    end
  end)

  it("is one file that runs anywhere with an empty environment", function()
    local folder = t.temp_dir()
    run(("cp '%s' '%s/fr'"):format(program, folder))
    local said, code = run(("cd '%s' && env -i ./fr help"):format(folder))
    expect(said).to_contain("usage: flowrun [OPTIONS] FILE")
    expect(said).to_match("\n  version +print the versions")
    expect(code).to_equal(0)
  end)

  it("prints the version of itself and of every library", function()
    local said, code = run(program .. " --version")
    expect(said).to_match("^flowrun %d+%.%d+%.%d+\n")
    for _, name in ipairs {"Lua", "libuv", "SQLite", "OpenSSL", "xxHash", "zstd", "lz4", "zlib",
      "libcurl", "OpenBLAS", "lua%-cjson"} do
      expect(said).to_match("\n  " .. name .. " +%S+")
    end
    expect(said).to_match("libcurl +%d+%.%d+")
    expect(said).to_match("OpenBLAS +%d+%.%d+")
    expect(code).to_equal(0)
  end)

  it("explains wrong commands and exits with 2", function()
    local said, code = run(program .. " versoin")
    expect(said).to_contain("did you mean 'version'?")
    expect(code).to_equal(2)
    said, code = run(program .. " --colour")
    expect(said).to_contain("--colour")
    expect(code).to_equal(2)
    said, code = run(program .. " help nothing")
    expect(said).to_contain("no command 'nothing'")
    expect(code).to_equal(2)
    said, code = run(program)
    expect(said).to_contain("usage: flowrun")
    expect(code).to_equal(2)
  end)

  it("helps with each command", function()
    local list = run(program .. " help")
    local n = 0
    for name in list:gmatch("\n  (%l[%l_]*) +%S") do
      n = n + 1
      local said, code = run(program .. " help " .. name)
      expect(said).to_contain("usage: flowrun " .. name)
      expect(code).to_equal(0)
    end
    expect(n >= 4).to_be_true()
  end)

  it("runs plain scripts with arguments and tells their errors", function()
    local path = t.temp_dir() .. "/s.lua"
    local function script(text, rest)
      local file = assert(io.open(path, "w"))
      file:write(text)
      file:close()
      return run(("%s lua '%s' %s"):format(program, path, rest or ""))
    end
    local said, code = script("print(arg[1], ...)", "a b")
    expect(said).to_equal("a\ta\tb\n")
    expect(code).to_equal(0)
    said, code = script("local x\nprint(x.y)")
    expect(said).to_match("s%.lua:2: attempt to index a nil value")
    expect(said).to_contain("stack traceback")
    expect(code).to_equal(1)
    said, code = script("print(")
    expect(said).to_contain("s.lua:1:")
    expect(code).to_equal(3)
    said, code = run(program .. " lua /nowhere.lua")
    expect(said).to_contain("/nowhere.lua")
    expect(code).to_equal(3)
  end)

  it("explains a command that is asked for --help, whatever stands beside it", function()
    for name in run(program .. " help"):gmatch("\n  (%l+)  ") do
      local want = run(program .. " help " .. name)
      for _, words in ipairs{name .. " --help", name .. " -h", name .. " 3 --help"} do
        local said, code = run(program .. " " .. words .. " </dev/null")
        expect(said).to_equal(name == "help" and run(program .. " help") or want)
        expect(code).to_equal(0)
      end
    end
    expect(run(program .. " --home /nowhere --help")).to_equal(run(program .. " help run"))
    expect(run(program .. " --help")).to_equal(run(program .. " help"))
    local said, code = run(program .. " examples/01_hello.lua --help")
    expect(said).to_contain("flowrun examples/01_hello.lua [parameters]")
    expect(code).to_equal(0)
  end)

  it("syncs to the disk as often as it must, for one task and for ten thousand of a map", function()
    local shim = os.getenv("FLOWRUN_SYNC_SHIM")
    if sanitized or not shim then t.skip("needs a shim in front of the C library") end
    local dir = t.temp_dir()
    local file <close> = assert(io.open(dir .. "/f.lua", "w"))
    file:write([[
      local fr = require "flowrun"
      local inc = fr.task("inc", function(x) return x + 1 end)
      return fr.flow("f", {params = {n = 1}}, function(p)
        local list = {}
        for i = 1, p.n do list[i] = i end
        return #inc:map(list):get()
      end)]])
    file:flush()
    local function syncs(n)
      local counted = ("%s/%d"):format(dir, n)
      local said, code = run((": >'%s' && SYNC_SHIM='%s' LD_PRELOAD='%s' '%s' --home '%s.home' "
        .. "--quiet '%s/f.lua' --n %d && wc -c <'%s'"):format(counted, counted, shim, program,
        counted, dir, n, counted))
      expect(code).to_equal(0)
      return tonumber(said:match("(%d+)%s*$"))
    end
    expect(syncs(1)).to_be_between(2, 20)        -- the new store, the run, its end
    expect(syncs(10000)).to_be_between(2, 200)   -- by groups, never one for each task
  end)

  it("has a main of fewer than 150 lines", function()
    local n = 0
    for _ in io.lines("lua/main.c") do n = n + 1 end
    expect(n).to_be_between(20, 149)
  end)
end)
