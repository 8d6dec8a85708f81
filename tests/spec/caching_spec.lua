-- Caches through the program: what is found again, what is not and why, and when it is damaged.
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect
local json = require "flowrun.json"
local real = dofile "tests/spec/real_program.lua"
local program, read, write = real.program, real.read, real.write

-- A folder with f.lua in it. Bodies call note(word); s.ran() gives the words since the last
-- call, sorted.
local function script(text)
  local s = {dir = t.temp_dir()}
  function s.write(body)
    write(s.dir .. "/f.lua", ([[
local fr = require "flowrun"
local function note(word)
  local f = io.open(%q, "a")
  f:write(word, "\n")
  f:close()
end
]]):format(s.dir .. "/ran") .. body)
  end
  function s.run(words)
    local pipe = assert(io.popen(("cd '%s' && '%s' %s 2>err"):format(s.dir, program,
      words:gsub("HOME", "--home home"))))
    local out = pipe:read("a")
    local _, _, code = pipe:close()
    return out, code, read(s.dir .. "/err")
  end
  function s.flow(more) return s.run("HOME --quiet f.lua " .. (more or "")) end
  function s.ran()
    local words = {}
    for word in read(s.dir .. "/ran"):gmatch("[^\n]+") do words[#words + 1] = word end
    os.remove(s.dir .. "/ran")
    table.sort(words)
    return words
  end
  function s.show(id) return json.decode((s.run("show HOME --json " .. (id or "@last")))) end
  function s.why(task) return json.decode((s.run("show HOME --json --why @last " .. task))) end
  s.write(text)
  return s
end

local one = [[
local k = 3
local function helper(x) return x * k end
local work = fr.task("work", {cache = %s}, function(a, b) note("work") return helper(a) + b end)
return fr.flow("f", {params = {a = 1, b = 10}}, function(p) return work(p.a, p.b):get() end)
]]

describe("a cached task", function()
  it("is computed once for equal arguments and code, also in later runs", function()
    local s = script(one:format("true"))
    expect((s.flow())).to_equal("13\n")
    expect((s.flow())).to_equal("13\n")
    expect(s.ran()).to_equal{"work"}
    local task = s.show().tasks[1]
    expect(task.state).to_equal("SUCCESS")
    expect(task.reason).to_equal("cached")
    expect(task.result).to_equal(13)
    local why = s.why("work")[1]
    expect(why.verdict).to_equal("hit")
    expect(why.origin_run).to_equal(1)
  end)

  it("is computed anew for other arguments, and --why names them", function()
    local s = script(one:format("true"))
    s.flow()
    expect((s.flow("--b 11"))).to_equal("14\n")
    expect(s.ran()).to_equal{"work", "work"}
    expect(s.why("work")[1].differs).to_equal{"argument 2"}
  end)

  it("is found after a change of layout, not after one of a helper or a constant", function()
    local s = script(one:format("true"))
    s.flow()
    s.ran()
    s.write(one:format("true"):gsub("return x %* k", "-- a comment\n  return x * k"))
    s.flow()
    expect(s.ran()).to_equal{}
    s.write(one:format("true"):gsub("x %* k end", "k * x end"))
    s.flow()
    expect(s.ran()).to_equal{"work"}
    expect(s.why("work")[1].differs).to_equal{"the code: helper"}
    s.write(one:format("true"):gsub("k = 3", "k = 4"))
    expect((s.flow())).to_equal("14\n")
    expect(s.why("work")[1].differs[1]).to_match("the code: .*k")
  end)

  it("counts its version, its files and its scope", function()
    local s = script(one:format("{version = 1}"))
    s.flow()
    s.write(one:format("{version = 2}"))
    s.flow()
    expect(s.ran()).to_equal{"work", "work"}
    expect(s.why("work")[1].differs).to_equal{"the version"}
    s.write(one:format("{version = 2, scope = 'run'}"))
    s.flow()
    s.flow()
    expect(s.ran()).to_equal{"work", "work"}
    write(s.dir .. "/data.csv", "a")
    s.write(one:format("{files = {'data.csv'}}"))
    s.flow()
    s.flow()
    expect(s.ran()).to_equal{"work"}
    write(s.dir .. "/data.csv", "b")
    s.flow()
    expect(s.ran()).to_equal{"work"}
    expect(s.why("work")[1].differs).to_equal{"the content of file 1"}
    os.remove(s.dir .. "/data.csv")
    s.flow()
    expect(s.ran()).to_equal{"work"}
  end)

  it("expires, is refreshed and is left out when asked", function()
    local s = script(one:format("{expires = 0.000001}"))
    s.flow()
    s.flow()
    expect(s.ran()).to_equal{"work", "work"}
    expect(s.why("work")[1].verdict).to_equal("expired")
    s.write(one:format("{expires = '1h'}"))
    s.flow()
    expect(s.ran()).to_equal{}
    s.run("HOME --quiet --refresh f.lua")
    expect(s.why("work")[1].verdict).to_equal("refreshed")
    s.run("HOME --quiet --no-cache f.lua")
    expect(s.why("work")[1].verdict).to_equal("none")
    expect(s.ran()).to_equal{"work", "work"}
    s.flow()
    expect(s.ran()).to_equal{}
    s.write(one:format("{refresh = true}"))
    s.flow()
    expect(s.ran()).to_equal{"work"}
  end)

  it("is computed once when equal calls are made at the same time", function()
    local s = script [[
local slow = fr.task("slow", {cache = true}, function(x) note("slow") fr.sleep(0.02) return x end)
return fr.flow("f", function()
  local hs, sum = {}, 0
  for i = 1, 20 do hs[i] = slow(7) end
  for _, h in ipairs(hs) do sum = sum + h:get() end
  return sum
end)]]
    expect((s.flow())).to_equal("140\n")
    expect(s.ran()).to_equal{"slow"}
    expect(s.why("slow#7")[1].verdict).to_equal("same")
  end)

  it("is tried by the next when the first of equal calls fails", function()
    local s = script [[
local shaky = fr.task("shaky", {cache = true}, function(x)
  note("shaky")
  if not io.open(fr.run.params.dir .. "/seen") then
    io.open(fr.run.params.dir .. "/seen", "w"):close()
    error("the first time fails")
  end
  return x
end)
return fr.flow("f", {params = {dir = ""}}, function()
  local a, b, c = shaky(7), shaky(7), shaky(7)
  local ok = a:try()
  return {tostring(ok), b:get(), c:get()}
end)]]
    expect(json.decode((s.flow("--dir " .. s.dir)))).to_equal{"nil", 7, 7}
    expect(s.ran()).to_equal{"shaky", "shaky"}
  end)

  it("counts what handles stand for, frames by their content", function()
    local s = script [[
local frame = require "flowrun.frame"
local load = fr.task("load", function(n) return frame.from{x = {1, 2, n}} end)
local sum = fr.task("sum", {cache = true}, function(f) note("sum") return f.x:sum() end)
return fr.flow("f", {params = {n = 3}}, function(p) return sum(load(p.n)):get() end)]]
    expect((s.flow())).to_match("^6")
    expect((s.flow())).to_match("^6")
    expect(s.ran()).to_equal{"sum"}
    expect((s.flow("--n 4"))).to_match("^7")
    expect(s.ran()).to_equal{"sum"}
  end)

  it("keeps frames as results", function()
    local s = script [[
local frame = require "flowrun.frame"
local load = fr.task("load", {cache = true}, function()
  note("load")
  return frame.from{x = {1, 2, 3}}
end)
local sum = fr.task("sum", function(f) return f.x:sum() end)
return fr.flow("f", function() return sum(load()):get() end)]]
    expect((s.flow())).to_match("^6")
    expect((s.flow())).to_match("^6")
    expect(s.ran()).to_equal{"load"}
  end)

  it("maps by item: only new items are computed", function()
    local s = script [[
local sq = fr.task("sq", {cache = true}, function(x, k) note("sq" .. x) return x * x + k end)
return fr.flow("f", {params = {n = 3, k = 0}}, function(p)
  local list = {}
  for i = 1, p.n do list[i] = i end
  return sq:map(list, p.k):get()
end)]]
    expect(json.decode((s.flow()))).to_equal{1, 4, 9}
    s.ran()
    expect(json.decode((s.flow("--n 5")))).to_equal{1, 4, 9, 16, 25}
    expect(s.ran()).to_equal{"sq4", "sq5"}
    local items = s.show().tasks[1].items
    table.sort(items, function(a, b) return a.index < b.index end)
    expect(items[1].reason).to_equal("cached")
    expect(items[5].reason).never.to_equal("cached")
    s.flow("--k 1")
    expect(#s.ran()).to_equal(3)
  end)

  it("is computed with a line in the log when what was kept is damaged", function()
    local s = script [[
local big = fr.task("big", {cache = true}, function() note("big") return ("x"):rep(100000) end)
return fr.flow("f", function() return #big():get() end)]]
    expect((s.flow())).to_equal("100000\n")
    local pipe = io.popen(("find '%s/home/objects' -name '*.value'"):format(s.dir))
    local path = pipe:read("l")
    pipe:close()
    write(path, ("y"):rep(100000))
    expect((s.flow())).to_equal("100000\n")
    expect(s.ran()).to_equal{"big", "big"}
    expect((s.run("logs @last HOME"))).to_match("cached result of f:big cannot be used")
    expect(s.why("big")[1].verdict).to_equal("damaged")
    s.flow()                                     -- what was computed anew is whole
    expect(s.ran()).to_equal{}
  end)

  it("counts what its key function says in place of the arguments", function()
    local s = script [[
local work = fr.task("work", {cache = {key = function(day, note_) return day end}},
  function(day, text) note("work") return day .. text end)
return fr.flow("f", {params = {day = "mon", text = "a"}}, function(p)
  return work(p.day, p.text):get()
end)]]
    expect((s.flow())).to_equal("mona\n")
    expect((s.flow("--text b"))).to_equal("mona\n")
    expect(s.ran()).to_equal{"work"}
    expect((s.flow("--text b --day tue"))).to_equal("tueb\n")
    expect(s.ran()).to_equal{"work"}
    expect(s.why("work")[1].differs).to_equal{"what cache.key answers"}
    s.write [[
local work = fr.task("work", {cache = {key = function() error("no key") end}}, function() end)
return fr.flow("f", function() return work(1):get() end)]]
    local _, code, err = s.flow()
    expect(code).to_equal(1)
    expect(err).to_match("option 'cache.key' of f:work: no key")
    s.write [[
local work = fr.task("work", {cache = {key = function() return 1 end}}, function(i) return i end)
return fr.flow("f", {params = {keyless = false}}, function(p)
  return (p.keyless and work:with{cache = {}} or work):map{8}:get()[1]
end)]]
    _, code, err = s.flow()
    expect(code).to_equal(1)
    expect(err).to_match("cache.key serves single calls.*task:with{cache = {...}}")
    expect((s.flow("--keyless"))).to_equal("8\n")
  end)

  it("never takes the result of a task that failed", function()
    local s = script [[
local bad = fr.task("bad", {cache = true}, function() note("bad") error("no") end)
return fr.flow("f", function() return bad():get() end)]]
    expect(select(2, s.flow())).to_equal(1)
    expect(select(2, s.flow())).to_equal(1)
    expect(s.ran()).to_equal{"bad", "bad"}
  end)

  it("shows what was reused in progress and summary", function()
    local s = script(one:format("true"))
    s.flow()
    local _, _, err = s.run("HOME --plain f.lua")
    expect(err).to_match("work .* cached")
    expect(err).to_match("1 from the cache")
  end)

  it("refuses wrong options with the reason", function()
    local s = script(one:format("{scope = 'flows'}"))
    local _, code, err = s.flow()
    expect(code).to_equal(3)
    expect(err).to_match("cache.scope.*did you mean 'flow'")
    s.write(one:format("'soon'"))
    expect(select(3, s.flow())).to_match("option 'cache': expected true, false, a duration")
    s.write(one:format("{version = {}}"))
    expect(select(3, s.flow())).to_match("cache.version.*text or a number")
    s.write(one:format("{expire = 3}"))
    expect(select(3, s.flow())).to_match("did you mean 'expires'")
  end)

  it("can be left out for one call", function()
    local s = script((one:format("true"):gsub("work%(p.a", "work:with{cache = false}(p.a")))
    s.flow()
    s.flow()
    expect(s.ran()).to_equal{"work", "work"}
  end)
end)
