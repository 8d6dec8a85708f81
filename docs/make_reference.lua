-- Writes docs/reference/ from the LuaCATS comments of the Lua sources:
--   build/flowrun lua docs/make_reference.lua [ROOT [OUT]]
-- A comment block is a run of --- lines; it documents the function or field that follows.
local root = arg[1] or "."
local out = arg[2] or root .. "/docs/reference"

-- Modules whose functions are reached through another one, and the page they stand on.
local page_of = {
  ["flowrun.handle"] = "flowrun", ["flowrun.columns"] = "flowrun.frame",
  ["flowrun.frame_io"] = "flowrun.frame", ["flowrun.frame_relate"] = "flowrun.frame",
  ["flowrun.ts_models"] = "flowrun.ts", ["flowrun.ts_score"] = "flowrun.ts",
  ["flowrun.ts_explore"] = "flowrun.ts", ["flowrun.ts_auto"] = "flowrun.ts",
  ["flowrun.ml_metrics"] = "flowrun.ml", ["flowrun.ml_prepare"] = "flowrun.ml",
  ["flowrun.ml_select"] = "flowrun.ml", ["flowrun.ml_near"] = "flowrun.ml",
  ["flowrun.task"] = "flowrun", ["flowrun.flow"] = "flowrun",
}

-- Modules that scripts do not require.
local inner = {}
for name in ([[bare_handles bundle config frame_args ml_args options params pretty registry repl
  sandbox session source ts_args worker objects]]):gmatch("%S+") do
  inner["flowrun." .. name] = true
end

-- What an object is called in the documentation: by module, "methods" or a class name.
local receivers = {
  ["flowrun.frame"] = {methods = "df", frame_io = "frame", frame_relate = "frame",
    group_class = "group", array_methods = "array"},
  ["flowrun.random"] = {methods = "rng"},
  ["flowrun.ml"] = {methods = "model", Spec = "kind{…}", Prep = "prep", ml_metrics = "ml",
    ml_prepare = "ml", ml_select = "ml", ml_near = "ml"},
  ["flowrun.ts"] = {methods = "fit", spec_methods = "kind{…}", ts_models = "ts",
    ts_score = "ts", ts_explore = "ts", ts_auto = "ts"},
  ["flowrun.store"] = {Store = "home"},
  ["flowrun.report.html"] = {Page = "page"},
}
local receivers_of_file = {
  ["lua/flowrun/meta/handle.lua"] = {},
  ["lua/flowrun/meta/columns.lua"] = {array = "array", df = "df"},
  ["lua/flowrun/task.lua"] = {methods = "task",
    ["task.define"] = "fr.task"},
  ["lua/flowrun/flow.lua"] = {methods = "flow", ["flow.define"] = "fr.flow"},
}

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("a")
  file:close()
  return text
end

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
end

-- "flowrun.report.svg" for lua/flowrun/report/svg.lua, stdlib/report/svg.lua, meta stubs.
local function module_of(path)
  local name = path:gsub("%.lua$", ""):gsub("/init$", "")
  name = name:gsub("^lua/flowrun/meta/", "lua/flowrun/"):gsub("^lua/", "")
  name = name:gsub("^stdlib/", "flowrun/")
  return (name:gsub("/", "."))
end

-- "type text" -> both parts; types may hold spaces inside brackets and after colons.
local function take_type(text)
  local depth, at = 0, 1
  while at <= #text do
    local c = text:sub(at, at)
    if c:find("[%(%[{<]") then depth = depth + 1 end
    if c:find("[%)%]}>]") then depth = depth - 1 end
    if c == " " and depth == 0 and not text:sub(at - 1, at - 1):find("[:,|]")
      and not text:sub(at + 1, at + 1):find("|", 1, true) then
      break
    end
    at = at + 1
  end
  return text:sub(1, at - 1), text:sub(at + 1)
end

local function code(text) return "`" .. text:gsub("|", "\\|") .. "`" end

-- The lines of one comment block as markdown, and its title when it is a class or alias.
local function render(lines)
  local text, params, returns, fields, title = {}, {}, {}, {}, nil
  for _, line in ipairs(lines) do
    local tag, rest = line:match("^@(%a+)%s*(.*)$")
    if tag == "param" or tag == "field" then
      local name, more = rest:match("^(%S+)%s+(.*)$")
      local kind, about = take_type(more or "any")
      local list = tag == "param" and params or fields
      list[#list + 1] = ("- `%s` %s %s"):format(name or rest, code(kind), about)
    elseif tag == "return" then
      local kind, about = take_type(rest)
      returns[#returns + 1] = ("- %s %s"):format(code(kind), about)
    elseif tag == "package" or tag == "private" then
      return nil
    elseif tag == "class" or tag == "alias" then
      title = ("### %s %s"):format(tag, rest)
    elseif tag == "overload" then
      returns[#returns + 1] = "- also " .. code(rest)
    elseif not tag then
      text[#text + 1] = line
    end
  end
  local function add(name, list)
    if #list == 0 then return end
    text[#text + 1] = "\n" .. name
    for _, item in ipairs(list) do text[#text + 1] = (item:gsub("%s+$", "")) end
  end
  add("Arguments:", params)
  add("Fields:", fields)
  add("Returns:", returns)
  return (table.concat(text, "\n"):gsub("\n\n\n+", "\n\n")), title
end

-- What a line of code defines: "test.expect(got)", "frame.null" or nil.
local function definition(line)
  local name, args = line:match("^function ([%w_.:]+)(%b())")
  name = name or line:match("^([%a_][%w_]*%.[%w_.]+) = ")
  if name and not name:find("[.:]_") then return name .. (args or "") end
end

-- Reads one source: the description of the module and the list of documented things.
local function parse(text, names)
  local about, entries, block = nil, {}, nil
  for line in (text .. "\n"):gmatch("([^\n]*)\n") do
    local comment = line:match("^%-%-%- ?(.*)$") or line:match("^%-%-%-(@.*)$")
    if comment and not comment:find("^@meta") and not comment:find("^@diagnostic") then
      block = block or {}
      block[#block + 1] = comment
    elseif not comment and block then
      local body, class = render(block)
      local defined = definition(line)
      if defined then
        defined = (names[defined:match("^[%w_.]+")] or ""):match("^fr%..+")
          and defined:gsub("^[%w_.]+", names)
          or defined:gsub("^[%a_]+", function(object) return names[object] end)
      end
      if body and (defined or class) then        -- else it is documented for us alone
        entries[#entries + 1] = {title = class or "### " .. defined, body = body}
      elseif not about and #entries == 0 then
        about = body
      end
      block = nil
    end
  end
  return about, entries
end

local modules = {}
local find = "cd '%s' && find lua/flowrun stdlib -name '*.lua' 2>/dev/null | LC_ALL=C sort"
local list = assert(io.popen(find:format(root)))
for path in list:lines() do
  local own = module_of(path)
  if not path:find("/cli/") and not path:find("/_") and not inner[own] then
    local name = page_of[own] or own
    local about, entries = parse(read(root .. "/" .. path),
      receivers_of_file[path] or receivers[name] or {})
    if page_of[own] then about = nil end
    local module = modules[name]
    if not module then
      module = {name = name, entries = {}}
      modules[name], modules[#modules + 1] = module, module
    end
    module.about = module.about or about
    table.move(entries, 1, #entries, #module.entries + 1, module.entries)
  end
end
list:close()
table.sort(modules, function(a, b) return a.name < b.name end)

-- The option table of core/engine/option.c.
local function options_page()
  local page = {"# Options of tasks and flows\n",
    "`fr.task(name, {…}, fn)`, `fr.flow(name, {…}, fn)` and `task:with{…}` take these options. "
      .. "Durations are seconds or text such as \"90s\", \"5m\", \"1h30m\".\n",
    "| option | of | type | default | |", "|---|---|---|---|---|"}
  for _, o in ipairs(require("flowrun.core.option").list()) do
    local scopes = {}
    for _, scope in ipairs {"task", "flow", "with"} do
      if o[scope] then scopes[#scopes + 1] = scope end
    end
    local kind = o.choices and table.concat(o.choices, ", ") or o.type
    local name = o.within and o.within .. "." .. o.name or o.name
    page[#page + 1] = ("| `%s` | %s | %s | %s | %s%s |"):format(name, table.concat(scopes, ", "),
      kind, o.preset or "", o.doc:gsub("|", "\\|"), o.built and "" or " *Not built yet.*")
  end
  return table.concat(page, "\n") .. "\n"
end

write(out .. "/options.md", options_page())
local index = {"# Reference\n",
  "Made by docs/make_reference.lua from the comments in the sources.\n",
  "- [Options of tasks and flows](options.md)"}
for _, module in ipairs(modules) do
  if module.about or #module.entries > 0 then
    local page = {"# " .. module.name .. "\n", module.about or ""}
    for _, entry in ipairs(module.entries) do
      page[#page + 1] = "\n" .. entry.title .. "\n"
      page[#page + 1] = entry.body
    end
    local text = table.concat(page, "\n"):gsub("[ \n]+$", "")
    write(("%s/%s.md"):format(out, module.name), text .. "\n")
    local first = (module.about or ""):gsub("\n\n.*", ""):gsub("\n", " "):gsub("%. .*", ".")
    index[#index + 1] = ("- [%s](%s.md): %s"):format(module.name, module.name, first)
  end
end
write(out .. "/README.md", table.concat(index, "\n") .. "\n")
