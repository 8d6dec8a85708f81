--- Values as people read them: tables in a few lines, frames aligned, long ones cut.
local pretty = {}

local function key_text(k)
  if type(k) == "string" and k:find("^[%a_][%w_]*$") then return k end
  return "[" .. (type(k) == "string" and ("%q"):format(k) or tostring(k)) .. "]"
end

local function sorted_keys(t)
  local keys = {}
  for k in next, t do
    if not (math.type(k) == "integer" and k >= 1 and k <= #t) then keys[#keys + 1] = k end
  end
  table.sort(keys, function(a, b)
    if type(a) == type(b) and (type(a) == "string" or type(a) == "number") then return a < b end
    return type(a) < type(b)
  end)
  return keys
end

local show

local function parts_of(t, depth, seen)
  local parts = {}
  for i, v in ipairs(t) do
    if i > 50 then
      parts[#parts + 1] = ("… %d more"):format(#t - 50)
      break
    end
    parts[#parts + 1] = show(v, depth + 1, seen)
  end
  for i, k in ipairs(sorted_keys(t)) do
    if i > 50 then
      parts[#parts + 1] = "…"
      break
    end
    parts[#parts + 1] = key_text(k) .. " = " .. show(t[k], depth + 1, seen)
  end
  return parts
end

function show(v, depth, seen)
  if type(v) == "string" then
    if #v > 2000 then v = v:sub(1, 2000) .. "…" end
    return depth == 0 and ('"%s"'):format(v) or ("%q"):format(v):gsub("\\\n", "\\n")
  end
  if type(v) ~= "table" then return tostring(v) end
  local mt = getmetatable(v)
  if type(mt) == "table" and mt.__tostring then return tostring(v) end
  if seen[v] then return "{… itself}" end
  if depth > 6 then return "{…}" end
  seen[v] = true
  local parts = parts_of(v, depth, seen)
  seen[v] = nil
  local one = "{" .. table.concat(parts, ", ") .. "}"
  if #one <= 90 and not one:find("\n") then return one end
  local indent = ("  "):rep(depth + 1)
  return "{\n" .. indent .. table.concat(parts, ",\n" .. indent) .. "\n" .. ("  "):rep(depth) .. "}"
end

--- Text for a value.
---@param v any
---@return string
function pretty.show(v)
  return (show(v, 0, {}))
end

return pretty
