-- fr.outbox in the real program, against an HTTP server and with senders of its own. Runs are
-- killed by a sender at a known place; nothing depends on time.
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect
local json = require "flowrun.json"
local real = dofile "tests/spec/real_program.lua"
local program, read, write = real.program, real.read, real.write
local server = os.getenv("FLOWRUN_HTTP_SERVER")

local head = [[
local fr = require "flowrun"
local function say(line)
  local f = io.open("ledger", "a")
  f:write(line, "\n")
  f:close()
end
local function die_once()
  local f = io.open("died")
  if f then f:close() return end
  io.open("died", "w"):close()
  local stat = io.open("/proc/self/stat")
  local pid = stat:read("n")
  stat:close()
  fr.sh{argv = {"kill", "-9", tostring(pid)}}
end
]]

local function place(body)
  local dir = t.temp_dir()
  write(dir .. "/f.lua", head .. body)
  return function(words)
    local _, _, code = os.execute(("cd '%s' && FLOWRUN_HOME=home timeout 60 '%s' %s >out 2>err")
      :format(dir, program, words))
    return code, read(dir .. "/out"), read(dir .. "/err")
  end, dir
end

local function ok(run, words)
  local code, out, err = run(words)
  if code ~= 0 then error(("%s: code %s\n%s%s"):format(words, code, out, err), 2) end
  return out, err
end

-- The messages there are: {state, state, …} and the whole list.
local function states(run)
  local list, out = json.decode((ok(run, "outbox --all --json"))), {}
  for i, m in ipairs(list) do out[i] = m.state end
  return out, list
end

local function lines(path)
  local out = {}
  for line in read(path):gmatch("[^\n]+") do out[#out + 1] = line end
  return out
end

local Server = {}
Server.__close = function(self)
  os.execute(("'%s' lua -e 'require(\"flowrun.http\")(\"%s/quit\")' >/dev/null 2>&1")
    :format(program, self.url))
end

local function serve(dir, answers)
  if answers then write(dir .. "/answers", answers) end
  assert(os.execute(("'%s' '%s'"):format(server, dir)))
  return setmetatable({url = "http://127.0.0.1:" .. read(dir .. "/port"), log = dir .. "/requests",
    answers = function(text) write(dir .. "/answers", text) end}, Server)
end

local order = [[
local order = fr.task("order", {retries = 1, delay = 0}, function(url, n, fails)
  fr.outbox{url = url .. "/orders", json = {n = n}, name = "order " .. n, retries = 3, delay = 0}
  if fails then error("no crew") end
  return n
end)
]]

describe("fr.outbox to an HTTP server", function()
  if not server then
    it("needs FLOWRUN_HTTP_SERVER (run it by ctest)", function() end)
    return
  end

  it("delivers what a success has left, and nothing of an attempt that failed", function()
    local run, dir = place(order .. [[
return fr.flow("f", {params = {url = ""}}, function(p)
  order(p.url, 1):get()
  return order(p.url, 2, true):try() == nil
end)]])
    local s <close> = serve(dir)
    ok(run, "--quiet f.lua --url " .. s.url)
    local got = lines(s.log)
    expect(#got).to_equal(1)
    expect(got[1]:find('^POST /orders %x+%-o1 {"n":1}$') ~= nil).to_be_true()
    expect((states(run))).to_equal{"delivered"}
  end)

  it("tries again with an equal key until the server takes it", function()
    local run, dir = place(order .. [[
return fr.flow("f", {params = {url = ""}}, function(p) return order(p.url, 1):get() end)]])
    local s <close> = serve(dir, "503 429 200")
    ok(run, "--quiet f.lua --url " .. s.url)
    local got = lines(s.log)
    expect(#got).to_equal(3)
    expect(got[1] == got[2] and got[2] == got[3]).to_be_true()
    local _, list = states(run)
    expect(list[1].state).to_equal("delivered")
    expect(list[1].attempts).to_equal(3)
  end)

  it("keeps what is refused for people, who can try it again or drop it", function()
    local run, dir = place(order .. [[
return fr.flow("f", {params = {url = ""}}, function(p)
  return order(p.url, 1):get() + order(p.url, 2):get()
end)]])
    local s <close> = serve(dir, "404")
    ok(run, "f.lua --url " .. s.url)
    expect((states(run))).to_equal{"dead", "dead"}
    expect(#lines(s.log)).to_equal(2)              -- a 404 is not tried again
    local shown = ok(run, "show @last")
    expect(shown:find("dead message 1: order 1 (", 1, true) ~= nil).to_be_true()
    expect(ok(run, "outbox show 2"):find("HTTP 404", 1, true) ~= nil).to_be_true()
    s.answers("200")
    ok(run, "outbox retry 1")
    ok(run, "outbox drop 2")
    local out = ok(run, "outbox deliver")
    expect(out:find("1 of 1 delivered or given up; 0 still pending", 1, true) ~= nil).to_be_true()
    expect((states(run))).to_equal{"delivered", "dropped"}
    local got = lines(s.log)
    expect(#got).to_equal(3)
    expect(got[3] == got[1] or got[3] == got[2]).to_be_true()
    expect((run("outbox retry 1"))).to_equal(2)    -- it is delivered
  end)

  it("gives up when no retries are left", function()
    local run, dir = place(order .. [[
return fr.flow("f", {params = {url = ""}}, function(p) return order(p.url, 1):get() end)]])
    local s <close> = serve(dir, "500")
    ok(run, "--quiet f.lua --url " .. s.url)
    expect(#lines(s.log)).to_equal(4)
    expect((states(run))).to_equal{"dead"}
    expect(ok(run, "logs @last"):find("is given up after 4 attempts", 1, true) ~= nil).to_be_true()
  end)

  it("leaves what is due later to the next run of the store, and says so", function()
    local run, dir = place [[
local order = fr.task("order", function(url)
  fr.outbox{url = url .. "/late", delay = "1h", body = "x"}
end)
return fr.flow("f", {params = {url = ""}}, function(p) order(p.url):get() end)]]
    write(dir .. "/other.lua", [[
local fr = require "flowrun"
return fr.flow("other", function() return 1 end)]])
    local s <close> = serve(dir, "503 503 200")
    local _, err = ok(run, "f.lua --url " .. s.url)
    expect(err:find("1 message not delivered yet", 1, true) ~= nil).to_be_true()
    expect((states(run))).to_equal{"pending"}
    ok(run, "other.lua")                           -- it is not due
    expect(#lines(s.log)).to_equal(1)
    local out = ok(run, "outbox deliver")          -- now, once
    expect(out:find("0 of 1 delivered", 1, true) ~= nil).to_be_true()
    expect(#lines(s.log)).to_equal(2)
    ok(run, "outbox retry 1")                      -- due at once, by whoever comes next
    ok(run, "--quiet other.lua")
    expect((states(run))).to_equal{"delivered"}
    local got = lines(s.log)
    expect(#got).to_equal(3)
    expect(got[1] == got[2] and got[2] == got[3]).to_be_true()
  end)

  it("works in items of maps, in hooks and in tasks with a process of their own", function()
    local run, dir = place [[
local item = fr.task("item", function(i, url)
  fr.outbox{url = url .. "/item", json = {i = i}}
  if i == 2 then fr.fail{message = "no", retry = false} end
  return i
end)
local alone = fr.task("alone", {isolate = true, on_success = function(v, url)
  fr.outbox{url = url .. "/hook", body = tostring(v)}
end}, function(url)
  fr.outbox{url = url .. "/alone", body = "a"}
  fr.outbox{url = url .. "/alone", body = "b"}
  return 7
end)
local items = fr.task("items", {isolate = true}, function(i, url)
  fr.outbox{url = url .. "/isolated", json = {i = i}}
  return {i}
end)
return fr.flow("f", {params = {url = ""}}, function(p)
  local h = item:map({1, 2, 3}, p.url):try()
  return {alone(p.url):get(), items:map({1, 2}, p.url):get()}
end)]]
    local s <close> = serve(dir)
    local out = ok(run, "--quiet --json f.lua --url " .. s.url)
    expect(json.decode(out)).to_equal{7, {{1}, {2}}}
    local got, keys = {}, {}
    for _, line in ipairs(lines(s.log)) do
      local path, key, body = line:match("^POST (%S+) (%S+) (.*)$")
      got[#got + 1] = path .. " " .. body
      expect(keys[key]).to_equal(nil)
      keys[key] = true
    end
    table.sort(got)
    expect(got).to_equal{"/alone a", "/alone b", "/hook 7", "/isolated {\"i\":1}",
      "/isolated {\"i\":2}", "/item {\"i\":1}", "/item {\"i\":3}"}
  end)
end)

describe("fr.outbox with a task as sender", function()
  it("is delivered again after a death, with an equal key, and not after that", function()
    local run, dir = place [[
local send = fr.task("send", function(what) say("send " .. what .. " " .. fr.task_key()) die_once() end)
local work = fr.task("work", function() say("work") fr.outbox{task = send, args = {"x"}} return 1 end)
return fr.flow("f", function() return work():get() end)]]
    expect((run("--quiet f.lua"))).to_equal(137)
    ok(run, "resume 1 --quiet")
    local got = lines(dir .. "/ledger")
    expect(#got).to_equal(3)
    expect(got[1]).to_equal("work")                -- once
    expect(got[2]).to_equal(got[3])
    expect((states(run))).to_equal{"delivered"}
    ok(run, "--quiet f.lua")                       -- another run: another message
    expect(#lines(dir .. "/ledger")).to_equal(5)
  end)

  it("is delivered by the next run of its flow when its own has ended", function()
    local run, dir = place [[
local send = fr.task("send", function() if not io.open("open") then error("closed") end say("sent") end)
local work = fr.task("work", function() fr.outbox{task = send, delay = "1h"} end)
return fr.flow("f", {params = {work = true}}, function(p) if p.work then work():get() end end)]]
    ok(run, "--quiet f.lua")
    write(dir .. "/open", "")
    ok(run, "outbox deliver")                      -- it does not have the sender
    expect((states(run))).to_equal{"pending"}
    ok(run, "outbox retry 1")
    ok(run, "--quiet f.lua --work false")
    expect(lines(dir .. "/ledger")).to_equal{"sent"}
    expect((states(run))).to_equal{"delivered"}
  end)

  it("is stopped and left when the run's end does not wait, which says so", function()
    local run = place [[
local send = fr.task("send", function() fr.sleep("1h") end)
local work = fr.task("work", function() fr.outbox{task = send} end)
return fr.flow("f", {outbox_wait = 0}, function() work():get() end)]]
    for i = 1, 2 do                                -- the second takes over what the first left
      local _, err = ok(run, "f.lua")
      expect(err:find(i .. " message", 1, true) ~= nil).to_be_true()
    end
    expect((states(run))).to_equal{"pending", "pending"}
  end)

  it("is dead at once when the sender's error says that it is final", function()
    local run = place [[
local send = fr.task("send", function() fr.fail{message = "no such crew", retry = false} end)
local work = fr.task("work", function() fr.outbox{task = send} end)
return fr.flow("f", function() work():get() end)]]
    ok(run, "--quiet f.lua")
    local s, list = states(run)
    expect(s).to_equal{"dead"}
    expect(list[1].error).to_equal("no such crew")
  end)
end)

describe("a message", function()
  local body = [[
local send = fr.task("send", function(what) say(what .. " " .. fr.task_key()) end)
local work = fr.task("work", function(what) fr.outbox{task = send, args = {what}} return what end)
return fr.flow("f", function() return work("a"):get() .. work("b"):get() end)]]

  local function killed_at(point, hit)
    local run, dir = place(body)
    local _, _, code = os.execute(
      ("cd '%s' && FLOWRUN_FAULT='%s:%d=kill' FLOWRUN_HOME=home timeout 60 '%s' --quiet f.lua >out 2>err")
        :format(dir, point, hit, program))
    if code == 0 then return false end
    expect(code).to_equal(137)
    if (run("resume 1 --quiet")) ~= 0 then         -- it had begun nothing, or had ended
      local list = read(dir .. "/err")
      if not (list:find("there is no run 1", 1, true) or list:find("has ended", 1, true)
        or list:find("holds no runs yet", 1, true) or list:find("has no runs yet", 1, true)) then
        error(point .. ":" .. hit .. ": " .. list)
      end
      if not list:find("has ended", 1, true) then return true end
      ok(run, "outbox deliver")
    end
    expect((states(run))).to_equal{"delivered", "delivered"}
    local seen, n = {}, 0
    for _, line in ipairs(lines(dir .. "/ledger")) do
      n = n + (seen[line] and 0 or 1)
      seen[line] = true
    end
    expect(n).to_equal(2)                          -- each once, or again with the same key
    return true
  end

  for _, point in ipairs{"store.commit.before", "store.commit.after", "store.durable.before"} do
    it("is neither lost nor doubled when the process is killed at " .. point, function()
      local hit = 1
      while killed_at(point, hit) do hit = hit + 1 end
      expect(hit > 4).to_be_true()                 -- it was killed in the middle, too
    end)
  end

  it("of the same call and number of run in another home has another key", function()
    local run, dir = place(body)
    ok(run, "--quiet f.lua")
    ok(run, "--home elsewhere --quiet f.lua")
    local seen = {}
    for _, line in ipairs(lines(dir .. "/ledger")) do
      expect(seen[line]).to_equal(nil)
      seen[line] = true
    end
    expect(#lines(dir .. "/ledger")).to_equal(4)
  end)

  it("of a sensor comes from the poke that said something", function()
    local run, dir = place [[
local send = fr.task("send", function(n) say("poke " .. n) end)
local poke = fr.task("poke", function()
  say("poked")
  local n = 0
  for _ in io.lines("ledger") do n = n + 1 end
  fr.outbox{task = send, args = {n}}
  return n >= 3 and n
end)
return fr.flow("f", function() return fr.wait_for(poke, {every = 0}) end)]]
    ok(run, "--quiet f.lua")
    expect(lines(dir .. "/ledger")).to_equal{"poked", "poked", "poked", "poke 3"}
    expect((states(run))).to_equal{"delivered"}
  end)
end)

describe("fr.outbox", function()
  local function refused(body, what)
    local run = place(body)
    local code, _, err = run("--quiet f.lua")
    expect(code).to_equal(1)
    if not err:find(what, 1, true) then error(err) end
  end
  local function task(options)
    return ('local x = fr.task("x", function() fr.outbox%s end)\n'):format(options)
      .. 'return fr.flow("f", function() x():get() end)'
  end

  it("says what is wrong with its options", function()
    refused(task '{ulr = "http://a"}', "unknown option 'ulr'; did you mean 'url'?")
    refused(task '{url = "a.example"}', "expected http://… or https://…, got 'a.example'")
    refused(task '{url = "http://a", args = {}}', "option 'args' does not go with 'url'")
    refused(task '{url = "http://a", body = "x", json = 1}', "give body or json, not both")
    refused(task '{task = "send"}', "option 'task': expected a task of the script, got a string")
    refused(task '{url = "http://a", retries = -1}', "retries")
    refused(task '{url = "http://a", delay = function() return 1 end}', "a function cannot be kept")
    refused(task '{url = "http://a", headers = {["a b"] = 1}}', "'a b' is no name of a header")
  end)

  it("is refused where no result could take the message along", function()
    refused([[return fr.flow("f", function() fr.outbox{url = "http://a"} end)]],
      "fr.outbox works only in the body of a task")
  end)
end)
