-- tests/tidy finds what it is made to find: one broken rule per case.
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect

local header = "#pragma once\n// x -- a thing.\n\n"

local function tidy(files)
  local root = t.temp_dir()
  for path, text in pairs(files) do
    assert(os.execute(("mkdir -p '%s/%s'"):format(root, path:match("^(.*)/") or "")))
    local file = assert(io.open(root .. "/" .. path, "w"))
    file:write(text)
    file:close()
  end
  local pipe = assert(io.popen(("lua5.4 tests/tidy/tidy.lua '%s'"):format(root)))
  local said = pipe:read("a")
  return said, pipe:close() == true
end

local function finds(path, text, what)
  local said, ok = tidy {[path] = text}
  expect(said).to_contain(path .. ":" .. what)
  expect(ok).to_be_false()
end

local function accepts(path, text)
  local said, ok = tidy {[path] = text}
  expect(said).to_equal("tidy: 1 files, 0 complaints\n")
  expect(ok).to_be_true()
end

describe("tidy", function()
  it("keeps the layers apart", function()
    finds("core/base/x.c", '#include "core/data/frame.h"\n', "1: core/base/ may not include")
    finds("core/ml/x.c", '#include "core/engine/store.h"\n', "1: core/ml/ may not include")
    finds("core/engine/x.c", '#include "core/ml/linalg.h"\n', "1: core/engine/ may not include")
    finds("core/data/x.c", '#include "lua/bind/bind.h"\n', "1: core/data/ may not include")
    accepts("core/net/x.c", '#include "core/engine/store.h"\n')
  end)

  it("knows the addresses of libraries", function()
    finds("core/data/x.c", "#include <lua.h>\n", "1: <lua.h> belongs only in")
    finds("core/engine/engine.c", "#include <sqlite3.h>\n", "1: <sqlite3.h> belongs")
    finds("core/ml/forest.c", "#include <cblas.h>\n", "1: <cblas.h> belongs")
    accepts("core/engine/store_sqlite_read.c", "#include <sqlite3.h>\n")
  end)

  it("finds banned calls, but not in comments, strings and longer names", function()
    finds("core/engine/x.c", "int f(void)\n{\n    return atoi (s);\n}\n", "3: atoi() is banned")
    finds("lua/bind/x.c", "    sprintf(a, b);\n", "1: sprintf() is banned; use snprintf")
    finds("core/data/x.c", "    printf(a);\n", "1: printf() is banned; use a return code")
    finds("core/ml/x.c", "    time(NULL);\n", "1: time() is banned; use a time argument")
    accepts("core/data/x.c", '// atoi(x)\n/* rand()\n gets() */ char *s = "system(\\"a\\")";\n')
    accepts("core/data/x.c", "int a = fr_rand(x) + my_time(y), q = '\"', r = 1 / 2; // '\n")
    accepts("core/engine/x.c", "    printf(a);\n")
  end)

  it("limits lines, functions and files", function()
    finds("core/base/x.c", "// " .. ("x"):rep(98) .. "\n", "1: 101 columns")
    accepts("core/base/x.c", "// " .. ("é"):rep(97) .. "\n")
    local body = ("    x();\n"):rep(71)
    finds("core/base/x.c", "void f(void)\n{\n" .. body .. "}\n", "2: a function of 71 lines")
    accepts("core/base/x.c", "void f(void)\n{\n" .. body:sub(10) .. "}\n")
    finds("core/base/x.c", ("int x;\n"):rep(1201), "1201: 1201 lines")
    finds("lua/x.lua", "local function f()\n" .. ("  f()\n"):rep(71) .. "end\n", "1: a function")
  end)

  it("sees white space where it should not be", function()
    finds("a.lua", "local x \n", "1: trailing whitespace")
    finds("a.lua", "\tlocal x\n", "1: a tab")
    finds("a.lua", "local x", "1: no newline at the end")
  end)

  it("wants headers to say what they are", function()
    finds("core/base/x.h", "// x -- a thing.\n", "1: a header starts with #pragma once")
    finds("core/base/x.h", "#pragma once\n\nint x;\n", "2: a header says what it is")
    accepts("core/base/x.h", header)
  end)

  it("finds work left over and paths of one machine", function()
    finds("core/base/x.c", "// TO" .. "DO: later\n", "1: TODO")
    finds("README.md", "see /wo" .. "rk/main\n", "1: a path of one machine")
    accepts("core/base/x.c", 'char name[] = "flowrun-XXXXXX";\n')
  end)

  it("wants fault points around what reaches the disk", function()
    local function f(before, after)
      return "int f(void)\n{\n" .. (before and "    FR_FAULT(a);\n" or "")
        .. "    if (fsync(fd) != 0) {\n        return 1;\n    }\n"
        .. (after and "    FR_FAULT(b);\n" or "") .. "}\n"
    end
    finds("core/base/sys.c", f(true, false), "4: fsync() needs a fault point")
    finds("core/base/sys.c", f(false, true), "3: fsync() needs a fault point")
    accepts("core/base/sys.c", f(true, true))
    accepts("core/base/sys.c", 'int f(void)\n{\n    CALL("sys.sync", fsync(fd));\n}\n')
    local said = tidy {["core/base/fault.h"] = header .. 'X("a.before") X("b.after")\n',
      ["core/base/x.c"] = 'int f(void)\n{\n    CALL("b", g());\n}\n'}
    expect(said).to_contain("no code has the fault point a.before")
    expect(said).never.to_contain("b.after")
    said = tidy {["core/engine/store_x.c"] = 'const char *s = "COMMIT";\n',
      ["core/base/fault.h"] = header}
    expect(said).to_contain("core/engine/store_x.c:1: a COMMIT needs")
  end)
end)
