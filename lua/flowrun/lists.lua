--- Lists of argument tuples for maps over several lists: `t:map(fr.zip(a, b))` calls t(a[i], b[i]).
local error_class = require "flowrun.core.error"
local flow_core = require "flowrun.core.flow"
local options = require "flowrun.options"

local lists = {}

local Tuples = {__name = "flowrun.Tuples"}
local MOST = 10000000                            -- tuples of one product

-- The given lists; a handle is waited for.
local function read(what, ...)
  local all = table.pack(...)
  if all.n < 2 then
    error_class.raise("invalid", what .. ": expected two lists or more, as in " .. what .. "(a, b)")
  end
  for i = 1, all.n do
    local v = all[i]
    if options.is_handle(v) and flow_core.inside() then v = v:get() end
    if type(v) ~= "table" then
      error_class.raise("type", ("%s: list %d: expected a list, got %s"):format(what, i,
        type(v)))
    end
    for k = 1, #v do
      if v[k] == nil then
        error_class.raise("invalid", ("%s: list %d has no item %d"):format(what, i, k))
      end
    end
    all[i] = v
  end
  return all
end

--- Pairs the items of lists of the same length: {{a[1], b[1]}, {a[2], b[2]}, ...}. In a map each
--- item becomes an argument of its own.
---@param ... any[]|flowrun.Handle
---@return table
function lists.zip(...)
  local all = read("fr.zip", ...)
  for i = 2, all.n do
    if #all[i] ~= #all[1] then
      error_class.raise("invalid", ("fr.zip: the lists must have the same length; list 1 has %d "
        .. "items, list %d has %d"):format(#all[1], i, #all[i]))
    end
  end
  local out = {}
  for k = 1, #all[1] do
    local tuple = {}
    for i = 1, all.n do tuple[i] = all[i][k] end
    out[k] = tuple
  end
  return setmetatable(out, Tuples)
end

--- Every item of each list with every item of the others; the last list runs fastest.
---@param ... any[]|flowrun.Handle
---@return table
function lists.product(...)
  local all = read("fr.product", ...)
  local out, count = {{}}, 1
  for i = 1, all.n do
    count = count * #all[i]
    if count > MOST then
      error_class.raise("too_large", ("fr.product: more than %d combinations"):format(MOST))
    end
    local longer = {}
    for _, tuple in ipairs(out) do
      for _, item in ipairs(all[i]) do
        local copy = table.move(tuple, 1, #tuple, 1, {})
        copy[i] = item
        longer[#longer + 1] = copy
      end
    end
    out = longer
  end
  return setmetatable(out, Tuples)
end

---@package
function lists.is_tuples(v)
  return type(v) == "table" and getmetatable(v) == Tuples
end

---@package
--- The same list without its class, to be packed.
function lists.plain(v)
  return table.move(v, 1, #v, 1, {})
end

---@package
--- The items of a tuple as arguments, and further ones.
function lists.spread(tuple, ...)
  local all = table.move(tuple, 1, #tuple, 1, {})
  local n = #tuple
  for i = 1, select("#", ...) do all[n + i] = (select(i, ...)) end
  return table.unpack(all, 1, n + select("#", ...))
end

return lists
