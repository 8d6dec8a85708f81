local t = require "flowrun.test"
local bare_handles = require "flowrun.bare_handles"
local script = require "flowrun.core.script"
local describe, it, expect = t.describe, t.it, t.expect

local tasks = {["check"] = "task", ["split"] = "task", ["m.load"] = "task", ["fr.spawn"] = "maker"}

local function find(code)
  local texts, lines = script.tokens("function(p)\n" .. code .. "\nend")
  local line, name = bare_handles.find(texts, lines, function(path)
    return tasks[table.concat(path, ".")]
  end)
  return line and name .. ":" .. line - 1
end

describe("a handle as a condition", function()
  local found = {
    {"local ok = check(p)\nif ok then end", "ok:2"},
    {"local ok = check(p)\nif not ok then end", "ok:2"},
    {"local ok = check(p)\nwhile ok do end", "ok:2"},
    {"local ok = check(p) repeat until ok", "ok:1"},
    {"repeat local ok = check(p)\nuntil not ok", "ok:2"},
    {"local ok = check(p)\nlocal x = ok and 1 or 2", "ok:2"},
    {"local ok = check(p)\nreturn ok or nil", "ok:2"},
    {"local ok = check(p)\nreturn x and ok", "ok:2"},
    {"local ok = check(p)\nif ok == true then end", "ok:2"},
    {"local ok = check(p)\nif 5 ~= ok then end", "ok:2"},
    {"local ok = check(p)\nif p then elseif ok then end", "ok:2"},
    {"local ok = check(p)\nif (ok) then end", "ok:2"},
    {"local ok = check(p)\nif ((not (ok))) then end", "ok:2"},
    {"local ok\nok = check(p)\nif ok then end", "ok:3"},
    {"ok = check(p)\nif ok then end", "ok:2"},
    {"local a, b = split(p)\nif b then end", "b:2"},
    {"local a, b = 1, check(p)\nif b then end", "b:2"},
    {"local h = m.load(p)\nif h then end", "h:2"},
    {"local h = check:map(p)\nif h then end", "h:2"},
    {"local h = check:with{retries = 2}(p)\nif h then end", "h:2"},
    {"local again = check:with{retries = 2}\nlocal h = again(p)\nif h then end", "h:3"},
    {"local c = check\nlocal h = c(p)\nif h then end", "h:3"},
    {"local h = check{p}\nif h then end", "h:2"},
    {"local h = check'p'\nif h then end", "h:2"},
    {"local h = fr.spawn(function() local x = 1 return x end)\nif h then end", "h:2"},
    {"fr.spawn(function()\nlocal h = check(p)\nif h then end\nend)", "h:3"},
    {"local h = check(p)\nfr.spawn(function() return h and 1 end)", "h:2"},
    {"local f = function() local h = check(1)\nreturn not h end", "h:2"},
    {"local h <const> = check(p)\nif h then end", "h:2"},
    {"local h = check(function() local q = 1 q = 2 return {q = 3} end)\nif h then end", "h:2"},
    {"for i = 1, 3 do local h = check(i)\nif h then end end", "h:2"},
    {"if p then local h = 1 end local h = check(p)\nif h then end", "h:2"},
    {"local h = check(p)\nlocal h2 = {x = 1, y = check(p)}\nif h then end", "h:3"},
    {"local h = check(p)\ndo local h = 5 if h then end end\nif h then end", "h:3"},
    {"if check(p) then end", "check(…):1"},
    {"if p then\nelseif check(p) then end", "check(…):2"},
    {"while not m.load(p) do end", "m.load(…):1"},
    {"repeat local x = 1\nuntil check(p)", "check(…):2"},
    {"if ((check{p})) then end", "check(…):1"},
    {"return check'p' or 5", "check(…):1"},
    {"local x = check:map({1, 2}) and 1", "check:map(…):1"},
    {"if p ~= check(p) then end", "check(…):1"},
    {"if check:with{retries = 2}(p) then end", "check:with(…):1"},
    {"other(p, not check(p))", "check(…):1"},
  }
  for _, case in ipairs(found) do
    it("is found: " .. case[1]:gsub("\n", " ⏎ "), function()
      expect(find(case[1])).to_equal(case[2])
    end)
  end

  local fine = {
    "local ok = check(p):get()\nif ok then end",
    "local ok = check(p)\nif ok:get() then end",
    "local ok = check(p)\nok = ok:get()\nif ok then end",
    "local ok = check(p)\nlocal ok = ok:get()\nif ok then end",
    "local ok = check(p)\nfor _, ok in ipairs(p) do if ok then end end",
    "local ok = check(p)\nfr.spawn(function(ok) if ok then end end)",
    "local ok = check(p)\nif p.ok then end",
    "local ok = check(p)\nif p == nil then return {ok = 1, x = ok} end",
    "local ok = check(p)\nif other(ok) and p then end",
    "local a, b = check(1), check(2)\nif a == b then end",
    "local a, b = split(p)\na, b = a:get(), b:get()\nif a and b then end",
    "local ok = check(p) + 1\nif ok then end",
    "local ok = check\nif ok then end",
    "do local ok = check(p) end\nif ok then end",
    "local x, h = 1, check(p)\nif x then end",
    "local s, v = check(p):try()\nif s then end",
    "local h = check(p)\nlocal t = {h}\nif #t > 0 then end",
    "local h = unknown(p)\nif h then end",
    "local check = function() return true end\nlocal ok = check(p)\nif ok then end",
    "local h = check(p)\ngoto done\n::done::\nreturn h",
    "local t = {ok = check(p)}\nif t.ok then end",
    "p.ok = check(p)\nif ok then end",
    "if check(p):get() then end",
    "if other(check(p)) then end",
    "if p.check(p) or p:check(p) then end",
    "local check = function() return true end\nif check(p) then end",
    "local x = p and other(1, check(p))",
    "if #check:map(p):get() > 0 then end",
    "local a = check(1) == check(2)",
    "local function check(x) return not x end\nif check(p) then end",
  }
  for _, code in ipairs(fine) do
    it("is not seen where there is none: " .. code:gsub("\n", " ⏎ "), function()
      expect(find(code)).to_be_nil()
    end)
  end
end)
