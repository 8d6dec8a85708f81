-- Rules of the house that no compiler checks: lua5.4 tests/tidy/tidy.lua ROOT [BUILD]
-- Prints path:line: what is wrong; exit code 1 when anything is. With BUILD it also looks for
-- writable globals in that build's libraries.
local here = arg[0]:match("^(.*)/") or "."
package.path = here .. "/?.lua;" .. package.path
local rules = require "rules"

local root, build = arg[1] or ".", arg[2]
local count = 0

local function complain(path, line, text, ...)
  count = count + 1
  print(("%s:%d: %s"):format(path, line, text:format(...)))
end

local function matches_any(path, patterns)
  for _, pattern in ipairs(patterns or {}) do
    if path:find(pattern) then return true end
  end
  return false
end

-- Replaces comments, strings and characters of C by spaces; newlines stay.
local function blank(text)
  local out, at = {}, 1
  local function cover(from, to)
    out[#out + 1] = text:sub(at, from - 1)
    out[#out + 1] = text:sub(from, to):gsub("[^\n]", " ")
    at = to + 1
  end
  while true do
    local from = text:find("[/\"']", at)
    if not from then break end
    local two, one = text:sub(from, from + 1), text:sub(from, from)
    local to
    if two == "//" then
      to = (text:find("\n", from, true) or #text + 1) - 1
    elseif two == "/*" then
      to = (select(2, text:find("*/", from + 2, true))) or #text
    elseif one ~= "/" then
      to = from + 1
      while to <= #text and text:sub(to, to) ~= one do
        to = to + (text:sub(to, to) == "\\" and 2 or 1)
      end
    end
    if to then
      cover(from, math.min(to, #text))
    else
      out[#out + 1] = text:sub(at, from)
      at = from + 1
    end
  end
  out[#out + 1] = text:sub(at)
  return table.concat(out)
end

local function lines_of(text)
  local lines = {}
  for line in text:gmatch("([^\n]*)\n") do lines[#lines + 1] = line end
  return lines
end

-- --- rules ---

local function check_text(path, text, lines)
  if text ~= "" and text:sub(-1) ~= "\n" then
    complain(path, #lines + 1, "no newline at the end")
  end
  if #lines > rules.most_lines then
    complain(path, #lines, "%d lines; a file has at most %d", #lines, rules.most_lines)
  end
  local most = path:find("^tests/") and rules.most_columns_of_tests or rules.most_columns
  for n, line in ipairs(lines) do
    if line:find("%s$") then complain(path, n, "trailing whitespace") end
    if line:find("\t", 1, true) then complain(path, n, "a tab; indent with spaces") end
    if (utf8.len(line) or #line) > most then
      complain(path, n, "%d columns; a line has at most %d", utf8.len(line) or #line, most)
    end
  end
end

local function check_words(path, lines)
  for n, line in ipairs(lines) do
    for _, word in ipairs {"TODO", "FIXME", "XXX"} do
      if line:find("%f[%w_]" .. word .. "%f[^%w_]") then
        complain(path, n, "%s; do it, or write down the limit where it bites", word)
      end
    end
    if line:find("%f[%w/]/work/") then complain(path, n, "a path of one machine") end
  end
end

local function layer_of(path)
  for _, layer in ipairs(rules.layers) do
    if path:sub(1, #layer[1]) == layer[1] then return layer[1], layer[2] end
  end
end

local function check_includes(path, lines)
  local mine, allowed = layer_of(path)
  for n, line in ipairs(lines) do
    local ours = line:match('^%s*#%s*include%s+"(.-)"')
    local theirs = line:match("^%s*#%s*include%s+<(.-)>")
    local other = ours and layer_of(ours)
    if mine and other and mine ~= other then
      local ok = false
      for _, layer in ipairs(allowed) do ok = ok or layer == other end
      if not ok then complain(path, n, "%s may not include %s", mine, ours) end
    end
    local address = rules.addresses[theirs or ours]
    if address and not matches_any(path, address) then
      complain(path, n, "<%s> belongs only in %s", theirs or ours, table.concat(address, ", "))
    end
  end
end

local function check_calls(path, n, line, banned)
  for name in line:gmatch("%f[%w_]([%a_][%w_]*)%s*%(") do
    local rule = banned[name]
    if rule and not matches_any(path, rule.except) then
      complain(path, n, "%s() is banned; use %s", name, rule.use)
    end
  end
end

local function is_pure(path)
  for _, prefix in ipairs(rules.pure_layers) do
    if path:sub(1, #prefix) == prefix then return true end
  end
end

-- Calls f(first line, last line) for each function; the style puts both braces in column 1.
local function each_function(lines, f)
  local opened
  for n, line in ipairs(lines) do
    if line == "{" then opened = n end
    if line == "}" and opened then
      f(opened, n)
      opened = nil
    end
  end
end

-- CALL("point", call) is the macro that puts both points around a call.
local function guarded(path, body, from, to, name)
  local line = body:sub(1, from):match("[^\n]*$")
  if line:find("%f[%w_]CALL%(") or (rules.fault_except[path] or {})[name] then return true end
  local after = rules.never_return[name] or body:find("FR_FAULT", to, true)
  return body:sub(1, from):find("FR_FAULT", 1, true) and after
end

local function check_faults(path, code)
  if not path:find("^core/") or matches_any(path, rules.fault_free) then return end
  local reaches = {}
  for _, name in ipairs(rules.fault_calls) do reaches[name] = true end
  each_function(code, function(first, last)
    local body = table.concat(code, "\n", first, last)
    local at = 1
    while true do
      local from, to, name = body:find("%f[%w_]([%a_][%w_]*)%s*%(", at)
      if not from then break end
      if reaches[name] and not guarded(path, body, from, to, name) then
        local line = first + select(2, body:sub(1, from):gsub("\n", ""))
        complain(path, line, "%s() needs a fault point before and after it", name)
      end
      at = to + 1
    end
  end)
end

-- Points in the list that no code has, and commits without points.
local function check_fault_list(sources)
  local header = sources["core/base/fault.h"]
  if not header then return end
  local all = {}
  for path, text in pairs(sources) do
    if path:find("^core/.*%.c$") and path ~= "core/base/fault.c" then all[#all + 1] = text end
    if path:find("^core/engine/store_.*%.c$") and text:find("COMMIT") and
      not (text:find('"store%.commit%.before"') and text:find('"store%.commit%.after"')) then
      complain(path, 1, "a COMMIT needs the fault points store.commit.before and .after")
    end
  end
  all = table.concat(all)
  for name in header:gmatch('X%("([%w_.]+)"%)') do
    local short = name:match("^(.*)%.%w+$")
    local there = all:find('"' .. name .. '"', 1, true)
      or all:find('CALL("' .. short .. '"', 1, true)
    if not there and (all:find("sqlite3_open", 1, true) or not name:find("^store")) then
      complain("core/base/fault.h", 1, "no code has the fault point %s", name)
    end
  end
end

local function check_c(path, text, lines)
  local code = lines_of(blank(text))
  if path:find("%.h$") then
    if lines[1] ~= "#pragma once" then complain(path, 1, "a header starts with #pragma once") end
    if not (lines[2] or ""):find("^// %S+ %-%- ") and not path:find("^tests/") then
      complain(path, 2, "a header says what it is, in its second line: // name -- ...")
    end
  end
  check_includes(path, lines)
  local pure = is_pure(path)
  for n, line in ipairs(code) do
    check_calls(path, n, line, rules.banned)
    if pure then check_calls(path, n, line, rules.pure_banned) end
  end
  each_function(code, function(first, last)
    if last - first - 1 > rules.most_function_lines then
      complain(path, first, "a function of %d lines; at most %d", last - first - 1,
        rules.most_function_lines)
    end
  end)
  check_faults(path, code)
end

local function check_lua(path, lines)
  local opened
  for n, line in ipairs(lines) do
    if line:find("^local function ") or line:find("^function ") then opened = n end
    if line == "end" and opened then
      if n - opened - 1 > rules.most_function_lines then
        complain(path, opened, "a function of %d lines; at most %d", n - opened - 1,
          rules.most_function_lines)
      end
      opened = nil
    end
  end
end

-- --- writable globals ---

-- Names in writable sections of a static library, as objdump -t prints them.
local function check_globals(library)
  local path = build .. "/" .. library
  local pipe = assert(io.popen(("objdump -t '%s' 2>&1"):format(path)))
  local object, seen = "?", 0
  for line in pipe:lines() do
    object = line:match("^(%S+)%.o:%s+file format") or object
    local section, size, name = line:match("^%x+ .......%s(%S+)\t(%x+)%s+(%S+)$")
    if section then
      seen = seen + 1
      local writable = section == "*COM*" or section:find("^%.bss")
        or (section:find("^%.data") and not section:find("^%.data%.rel%.ro"))
      local plain = name:gsub("%.%d+$", "")
      if writable and name ~= section and tonumber(size, 16) > 0
        and not (rules.writable[object] or {})[plain] then
        complain(library, 0, "%s: writable global %s (%s)", object, plain, section)
      end
    end
  end
  pipe:close()
  if seen == 0 then complain(library, 0, "objdump lists no symbols of %s", path) end
end

-- --- running ---

local kinds = {c = check_c, h = check_c}
local texts = {c = true, h = true, lua = true, cmake = true, sh = true, txt = true, md = true}

local sources = {}

local function check_file(path)
  local file = assert(io.open(root .. "/" .. path, "rb"))
  local text = file:read("a")
  file:close()
  local lines, extension = lines_of(text), path:match("%.(%w+)$")
  sources[path] = text
  if not path:find("^tests/.*tidy") then check_words(path, lines) end
  if extension ~= "md" then check_text(path, text, lines) end
  if kinds[extension] then kinds[extension](path, text, lines) end
  if extension == "lua" then check_lua(path, lines) end
end

local names = "find . \\( -name .git -o -path './build*' -o -path ./web/vendor -o -name fixtures "
  .. "-o -name corpus -o -name .cache \\) -prune -o -type f -print | sort"
local found = 0
local list = assert(io.popen(("cd '%s' && %s"):format(root, names)))
for path in list:lines() do
  path = path:sub(3)
  if texts[path:match("%.(%w+)$") or path:match("^(%w+)$") and "sh"] and path ~= "LICENSE" then
    found = found + 1
    check_file(path)
  end
end
list:close()
check_fault_list(sources)
if build then
  check_globals("libflowrun_core.a")
  check_globals("libflowrun_bind.a")
end
print(("tidy: %d files, %d complaints"):format(found, count))
os.exit(count == 0 and found > 0)
