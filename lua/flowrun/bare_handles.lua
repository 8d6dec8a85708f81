--- Finds handles used as conditions: `if quality_ok then` is always true, because a handle is
--- a table, not the value it stands for (engine.md C8). Works on the tokens of a flow body: a
--- name is a handle from where a task call is assigned to it until it is assigned again.
---
---     local line, name = bare_handles.find(texts, lines, is_task, makes_handle)
---
--- A call that stands as the condition itself, `if check(p) then`, is the same mistake.
local bare_handles = {}

local opens = {["("] = true, ["["] = true, ["{"] = true}
local closes = {[")"] = true, ["]"] = true, ["}"] = true}
local keyword = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat
  return then true until while]]):gmatch("%a+") do keyword[word] = true end
-- An expression cannot go on behind these.
local stops = {["break"] = true, ["do"] = true, ["else"] = true, ["elseif"] = true,
  ["end"] = true, ["for"] = true, ["goto"] = true, ["if"] = true, ["in"] = true,
  ["local"] = true, ["repeat"] = true, ["return"] = true, ["then"] = true, ["until"] = true,
  ["while"] = true, [";"] = true, ["="] = true, ["::"] = true}
local asks_before = {["if"] = true, ["elseif"] = true, ["while"] = true, ["until"] = true,
  ["not"] = true, ["and"] = true, ["or"] = true, ["=="] = true, ["~="] = true}
local asks_after = {["and"] = true, ["or"] = true, ["=="] = true, ["~="] = true}

local function is_name(text) return text and text:find("^[%a_]") and not keyword[text] end
local function is_string(text)
  return text and (text:find("^[\"']") or text:find("^%[=*%["))
end

-- Whether a value ends with this token, so that a following name begins a new statement.
local function ends_value(text)
  return text and (closes[text] or is_name(text) or is_string(text) or text:find("^%d")
    or text:find("^%.%d") or text == "end" or text == "nil" or text == "true" or text == "false"
    or text == "...")
end

-- The index behind the bracket or block that begins at i.
local function skip_balanced(texts, i)
  local depth = 0
  while texts[i] do
    local x = texts[i]
    if opens[x] or x == "function" or x == "do" or x == "if" or x == "repeat" then
      depth = depth + 1
    elseif closes[x] or x == "end" or x == "until" then
      depth = depth - 1
      if depth == 0 then return i + 1 end
    end
    i = i + 1
  end
  return i
end

-- The index behind the expression that begins at i.
local function skip_expression(texts, i)
  local start = i
  while texts[i] do
    local x, before = texts[i], i > start and texts[i - 1]
    if x == "," or stops[x] or closes[x] then return i end
    if x == "function" then
      i = skip_balanced(texts, i)
    elseif ends_value(before) and ends_value(x) and not is_string(x) and not opens[x] then
      return i
    elseif opens[x] then
      i = skip_balanced(texts, i)
    else
      i = i + 1
    end
  end
  return i
end

local Finder = {}
Finder.__index = Finder

function Finder:lookup(name)
  for s = #self.scopes, 1, -1 do
    local kind = self.scopes[s].names[name]
    if kind ~= nil then return kind end
  end
end

function Finder:declare(name, kind) self.scopes[#self.scopes].names[name] = kind or false end

function Finder:assign(name, kind)
  for s = #self.scopes, 1, -1 do
    if self.scopes[s].names[name] ~= nil then
      self.scopes[s].names[name] = kind or false
      return
    end
  end
  self.scopes[1].names[name] = kind or false
end

function Finder:push(what) self.scopes[#self.scopes + 1] = {what = what, names = {}} end

function Finder:pop(what)
  if #self.scopes > 1 and (what == nil or self.scopes[#self.scopes].what == what) then
    self.scopes[#self.scopes] = nil
  end
end

-- What the expression at i is when it is nothing but a task, or a call of one: "task",
-- "handle" or nil; and the index behind it.
function Finder:task_expression(i)
  local texts = self.texts
  if not is_name(texts[i]) then return nil, i end
  local path, kind = {texts[i]}
  local known = self:lookup(texts[i])
  i = i + 1
  while texts[i] == "." and is_name(texts[i + 1]) do
    path[#path + 1] = texts[i + 1]
    i = i + 2
  end
  if known ~= nil then
    kind = #path == 1 and known == "task" and "task" or nil
  else
    kind = self.resolve(path)
  end
  while kind do
    local x = texts[i]
    if x == ":" and kind == "task" and (texts[i + 1] == "map" or texts[i + 1] == "with") then
      kind = texts[i + 1] == "map" and "handle" or "task"
      i = opens[texts[i + 2]] and skip_balanced(texts, i + 2) or i + 3
    elseif (x == "(" or x == "{" or is_string(x)) and (kind == "task" or kind == "maker") then
      kind = "handle"
      i = opens[x] and skip_balanced(texts, i) or i + 1
    elseif x == "(" or x == "{" or x == ":" or x == "." or x == "[" or is_string(x) then
      return nil, i
    else
      break
    end
  end
  return kind ~= "maker" and kind or nil, i
end

-- The kinds of what the expressions from i on give to `count` names; the index behind them.
function Finder:kinds(i, count)
  local kinds, n = {}, 0
  while true do
    local kind, behind = self:task_expression(i)
    local stop = skip_expression(self.texts, i)
    n = n + 1
    kinds[n] = behind == stop and kind or false
    if self.texts[stop] ~= "," then
      for k = n + 1, count do kinds[k] = kinds[n] == "handle" and "handle" or false end
      return kinds, stop
    end
    i = stop + 1
  end
end

-- An assignment that begins at i (behind `local` when it has one): it takes effect behind its
-- expressions, which the walk still has to look at. Returns the index behind the names.
function Finder:assignment(i, is_local)
  local texts, names, j = self.texts, {}, i
  while is_name(texts[j]) do
    names[#names + 1] = texts[j]
    j = j + 1
    if texts[j] == "<" and texts[j + 2] == ">" then j = j + 3 end
    if texts[j] ~= "," then break end
    j = j + 1
  end
  if texts[j] ~= "=" then
    if is_local then
      for _, name in ipairs(names) do self:declare(name, false) end
    end
    return j
  end
  local kinds, behind = self:kinds(j + 1, #names)
  self.pending[#self.pending + 1] = {at = behind, names = names, kinds = kinds,
    is_local = is_local}
  return j
end

function Finder:settle(i)
  local last = self.pending[#self.pending]
  while last and i >= last.at do
    self.pending[#self.pending] = nil
    for k, name in ipairs(last.names) do
      if last.is_local then
        self:declare(name, last.kinds[k])
      else
        self:assign(name, last.kinds[k])
      end
    end
    last = self.pending[#self.pending]
  end
end

local suffixes = {["."] = true, [":"] = true, ["("] = true, ["["] = true, ["{"] = true}

function Finder:is_plain_handle(i)
  local texts = self.texts
  return is_name(texts[i]) and self:lookup(texts[i]) == "handle" and not suffixes[texts[i + 1]]
    and not is_string(texts[i + 1]) and texts[i - 1] ~= "." and texts[i - 1] ~= ":"
end

-- Whether the handle from first to last is asked for its truth. Comparing two handles is fine.
function Finder:is_asked(first, last)
  local texts, before, after = self.texts, first - 1, last + 1
  while texts[before] == "(" and texts[after] == ")" and not ends_value(texts[before - 1]) do
    before, after = before - 1, after + 1
  end
  local b, a = texts[before], texts[after]
  if (b == "==" or b == "~=") and (self:is_plain_handle(before - 1)
    or last > first and closes[texts[before - 1]]) then return false end
  if (a == "==" or a == "~=") and (self:is_plain_handle(after + 1)
    or self:task_expression(after + 1) == "handle") then return false end
  return asks_before[b] or asks_after[a] or false
end

-- The index of the last token of a task call that begins at i and is asked for its truth.
function Finder:asked_call(i)
  local before = self.texts[i - 1]
  if not is_name(self.texts[i]) or before == "." or before == ":" or before == "function" then
    return nil
  end
  local kind, behind = self:task_expression(i)
  if kind ~= "handle" or behind == i + 1 or not self:is_asked(i, behind - 1) then return nil end
  return behind - 1
end

function Finder:functions_head(i)
  local texts, names = self.texts, {}
  if is_name(texts[i + 1]) and texts[i + 2] == "(" then
    self[texts[i - 1] == "local" and "declare" or "assign"](self, texts[i + 1], false)
  end
  while texts[i] and texts[i] ~= "(" do i = i + 1 end
  i = i + 1
  while texts[i] and texts[i] ~= ")" do
    if is_name(texts[i]) then names[#names + 1] = texts[i] end
    i = i + 1
  end
  self:push("block")
  for _, name in ipairs(names) do self:declare(name, false) end
  return i + 1
end

-- Keywords and brackets that open and close scopes. Returns the next index.
function Finder:structure(i)
  local x = self.texts[i]
  if x == "function" then return self:functions_head(i) end
  if x == "for" then
    self.loop = {}
    i = i + 1
    while is_name(self.texts[i]) or self.texts[i] == "," do
      if self.texts[i] ~= "," then table.insert(self.loop, self.texts[i]) end
      i = i + 1
    end
    return i
  end
  if x == "do" or x == "then" or x == "repeat" then
    self:push("block")
    for _, name in ipairs(x == "do" and self.loop or {}) do self:declare(name, false) end
    if x == "do" then self.loop = nil end
  elseif x == "else" then
    self:pop("block")
    self:push("block")
  elseif x == "elseif" or x == "end" then
    self:pop("block")
  elseif opens[x] then
    self:push("bracket")
  elseif closes[x] then
    self:pop("bracket")
  end
  return i + 1
end

-- The last token of what stands at i, when that is a handle which is asked for its truth.
function Finder:asked(i)
  if self:is_plain_handle(i) then return self:is_asked(i, i) and i or nil end
  return self:asked_call(i)
end

function Finder:step(i)
  local texts = self.texts
  local x = texts[i]
  local last = self:asked(i)
  if last then return nil, i, last end
  if x == "until" then                           -- sees the names of its block
    local j = i + 1
    while texts[j] == "(" or texts[j] == "not" do j = j + 1 end
    last = self:asked(j)
    if last then return nil, j, last end
    self:pop("block")
    return i + 1
  end
  if x == "local" and texts[i + 1] ~= "function" then
    return self:assignment(i + 1, true)
  end
  local in_block = self.scopes[#self.scopes].what == "block"
  if is_name(x) and in_block and (texts[i + 1] == "=" or texts[i + 1] == ",")
    and texts[i - 1] ~= "." and texts[i - 1] ~= ":" and texts[i - 1] ~= "," then
    self:assignment(i, false)
  end
  return self:structure(i)
end

-- How a message names it: `ok`, or `check(…)` for a call.
local function called(texts, first, last)
  local i = first
  while i <= last and not opens[texts[i]] and not is_string(texts[i]) do i = i + 1 end
  return table.concat(texts, "", first, i - 1) .. (i <= last and "(…)" or "")
end

--- The first handle that is used as a condition, or nil.
---@param texts string[] tokens of one function
---@param lines integer[] their lines
---@param resolve fun(path: string[]): "task"|"maker"|nil what a name of the script, with its
---fields, is: a task, or a function that returns a handle
---@return integer? line
---@return string? text the handle's name, or a call that makes one
function bare_handles.find(texts, lines, resolve)
  local self = setmetatable({texts = texts, resolve = resolve, pending = {},
    scopes = {{what = "block", names = {}}}}, Finder)
  local i = 1
  while texts[i] do
    self:settle(i)
    local next_i, found, last = self:step(i)
    if found then return lines[found], called(texts, found, last) end
    i = next_i
  end
end

return bare_handles
