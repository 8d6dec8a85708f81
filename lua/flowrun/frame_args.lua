--- Arguments of frame verbs: lists of names, lists of {name, value} pairs, options. Errors name
--- the verb, what was found and what was expected.
local csv = require "flowrun.core.csv"
local error_class = require "flowrun.core.error"

local args = {}

function args.invalid(format, ...) error_class.raise("invalid", format:format(...)) end
local invalid = args.invalid

-- The name nearest to `name` among the keys of `known`, for messages.
local function suggest(name, known)
  local best, least = nil, #name // 3 + 2
  for other in pairs(known) do
    local row = {}
    for j = 0, #other do row[j] = j end
    for i = 1, #name do
      local diagonal = row[0]
      row[0] = i
      for j = 1, #other do
        local above = row[j]
        local same = name:byte(i) == other:byte(j) and 0 or 1
        row[j] = math.min(above + 1, row[j - 1] + 1, diagonal + same)
        diagonal = above
      end
    end
    if row[#other] < least or row[#other] == least and best and other < best then
      best, least = other, row[#other]
    end
  end
  return best
end

-- Refuses options that `known` (name -> default or type, as documentation) does not have.
function args.check_options(what, options, known)
  if options == nil then return {} end
  if type(options) ~= "table" then
    invalid("%s: options are a table, got a %s", what, type(options))
  end
  local keys = {}
  for key in pairs(options) do keys[#keys + 1] = tostring(key) end
  table.sort(keys)
  for _, key in ipairs(keys) do
    if known[key] == nil then
      local near = suggest(key, known)
      local names = {}
      for name in pairs(known) do names[#names + 1] = name end
      table.sort(names)
      invalid("%s: unknown option '%s'; %s", what, key, near and ("did you mean '%s'?"):format(near)
        or "it knows " .. table.concat(names, ", "))
    end
  end
  return options
end

-- "a", or {"a", "b"}, as a list of names.
function args.names_of(what, v)
  if type(v) == "string" then return {v} end
  if type(v) ~= "table" then
    invalid("%s: expected column names such as {\"kw\", \"zone\"}, got a %s", what, type(v))
  end
  for key, name in pairs(v) do
    if math.type(key) ~= "integer" then
      invalid("%s: expected a list of column names, found the key '%s'", what, tostring(key))
    end
    if type(name) ~= "string" then
      invalid("%s: item %d is a %s, expected a column name", what, key, type(name))
    end
  end
  return v
end

-- {{"a", x}, {"b", y}} in order, or {a = x, b = y} in byte order of the names.
function args.pairs_of(what, v)
  if type(v) ~= "table" then
    invalid("%s: expected {{\"name\", value}, …} or {name = value}, got a %s", what, type(v))
  end
  local list, keyed = {}, {}
  for key in pairs(v) do
    if type(key) == "string" then
      keyed[#keyed + 1] = key
    elseif math.type(key) ~= "integer" then
      invalid("%s: a column name is a string, got the key %s", what, tostring(key))
    end
  end
  if #keyed > 0 then
    if #v > 0 then invalid("%s: either {{name, value}, …} or {name = value}, not both", what) end
    table.sort(keyed)
    for i, key in ipairs(keyed) do list[i] = {key, v[key]} end
    return list
  end
  for i, pair in ipairs(v) do
    if type(pair) ~= "table" or type(pair[1]) ~= "string" or pair[2] == nil then
      invalid("%s: item %d should be {\"name\", value}", what, i)
    end
    list[i] = pair
  end
  return list
end

function args.whole(what, v)
  local n = math.tointeger(v)
  if not n then invalid("%s: expected a whole number, got %s", what, tostring(v)) end
  return n
end

-- "a", {"a", {"b", desc = true, nulls = "first"}}: three lists, for core.sort.
function args.sort_keys(what, keys, options)
  if type(keys) == "string" then keys = {keys} end
  if type(keys) ~= "table" or #keys == 0 then
    invalid(what .. ": expected columns such as {\"feeder\", {\"kw\", desc = true}}")
  end
  if keys.desc ~= nil or keys.nulls ~= nil then    -- {"kw", desc = true}
    if #keys > 1 then
      invalid('%s: write {"a", {"b", desc = true}} or give {desc = true} for all', what)
    end
    keys = {keys}
  end
  local names, desc, first = {}, {}, {}
  for i, key in ipairs(keys) do
    local own = type(key) == "table" and key or {key}
    if type(own[1]) ~= "string" then
      invalid(what .. ": item %d is a %s, expected a column name", i, type(own[1]))
    end
    local known = {desc = false, nulls = "last"}
    for option in pairs(own) do
      if option ~= 1 and known[option] == nil then
        args.check_options(("%s: column '%s'"):format(what, own[1]), {[tostring(option)] = true},
          known)
      end
    end
    local nulls = own.nulls or options.nulls or "last"
    if nulls ~= "last" and nulls ~= "first" then
      invalid(what .. ": nulls is \"last\" or \"first\", got %s", tostring(nulls))
    end
    names[i] = own[1]
    desc[i] = own.desc == nil and options.desc or own.desc or false
    first[i] = nulls == "first"
  end
  return names, desc, first
end

local lit_class = {__name = "flowrun.Lit"}

-- A constant among expressions.
function args.lit(value, type_name)
  return setmetatable({value = value, type = type_name}, lit_class)
end

function args.is_lit(v) return getmetatable(v) == lit_class end

-- One of several words; the first is what nil means.
function args.choice(what, options, name, words)
  local v = options[name]
  if v == nil then return words[1] end
  for _, word in ipairs(words) do
    if v == word then return v end
  end
  return invalid("%s: %s is \"%s\": expected \"%s\"", what, name, tostring(v),
    table.concat(words, "\", \""))
end

-- The file to write, or to read as it is named.
function args.path_of(what, path)
  if type(path) ~= "string" then invalid("%s: expected a path, got a %s", what, type(path)) end
  if path == "" or path:find("\0", 1, true) then
    invalid("%s: the path is %s: expected a file's name", what,
      path == "" and "empty" or "a text with a zero byte")
  end
  return path
end

-- Paths and patterns as a list of files, in order, each pattern's files by name.
function args.files_of(what, paths)
  if type(paths) == "string" then paths = {paths} end
  if type(paths) ~= "table" or #paths == 0 then
    error_class.raise("invalid", ("%s: expected a path, a pattern such as \"scada/*.csv\", or "
      .. "a list of them"):format(what))
  end
  local files = {}
  for i, path in ipairs(paths) do
    if type(path) ~= "string" then
      error_class.raise("invalid", ("%s: path %d is a %s"):format(what, i, type(path)))
    end
    if path == "" or path:find("\0", 1, true) then
      error_class.raise("invalid", ("%s: path %d is %s: expected a file's name"):format(what, i,
        path == "" and "empty" or "a text with a zero byte"))
    end
    local found = csv.glob(path)
    if #found == 0 then
      if not path:find("[*?%[{~]") then found = {path} else
        error_class.raise("not_found", ("%s: no file matches %s"):format(what, path))
      end
    end
    table.move(found, 1, #found, #files + 1, files)
  end
  return files
end

return args
