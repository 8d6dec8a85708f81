--- Trees as text and as drawings: `model:text()`, `model:svg()`. Used by ml.lua.
local core = require "flowrun.core.ml"
local error_class = require "flowrun.core.error"

local ml_draw = {}
local raw_tree = core.methods.tree

local function invalid(format, ...) error_class.raise("invalid", format:format(...)) end

-- The nodes of a tree and what its leaves say.
local function load_tree(model, what, options, known)
  options = options or {}
  for name in pairs(options) do
    if not known[name] then
      local names = {}
      for k in pairs(known) do names[#names + 1] = k end
      table.sort(names)
      invalid("%s: unknown option '%s'; it knows %s", what, tostring(name),
        table.concat(names, ", "))
    end
  end
  for _, name in ipairs{"tree", "max_depth", "decimals"} do
    local v = options[name]
    if v ~= nil and (math.type(v) ~= "integer" or v < 0) then
      invalid("%s: %s should be a whole number, got %s", what, name, tostring(v))
    end
  end
  return raw_tree(model, options.tree or 1), options
end

-- Text of a class as reports print it.
local function class_text(model, leaf)
  local info = model:info()
  local classes = info.classes
  if not classes or info.kind:find("boosting") then return nil end
  local best = 1
  if #leaf.value == 1 then
    best = leaf.value[1] > 0.5 and 2 or 1
  else
    for k, share in ipairs(leaf.value) do
      if share > leaf.value[best] then best = k end
    end
  end
  return tostring(classes[best])
end

local function condition(node, decimals, right)
  if node.codes then
    return ("%s %s {%s}"):format(node.feature, right and "not in" or "in",
      table.concat(node.codes, ", "))
  end
  local sign = right and "> " or "<="
  return ("%s %s %." .. decimals .. "f"):format(node.feature, sign, node.cut)
end

local function depth_below(nodes, k)
  local node = nodes[k]
  if not node.left then return 1 end
  return 1 + math.max(depth_below(nodes, node.left), depth_below(nodes, node.left + 1))
end

--- A tree as indented text, byte for byte that of scikit-learn's `export_text`.
---@param model flowrun.Model
---@param options? {tree: integer, max_depth: integer, decimals: integer}
---@return string
function ml_draw.text(model, options)
  local nodes, o = load_tree(model, "model:text", options, {tree = true, max_depth = true,
    decimals = true})
  local most, decimals, lines = o.max_depth or 10, o.decimals or 2, {}
  local function walk(k, depth)
    local node, indent = nodes[k], ("|   "):rep(depth) .. "|--- "
    if depth > most then
      local below = depth_below(nodes, k)
      if below > 1 or node.left then
        lines[#lines + 1] = ("%struncated branch of depth %d"):format(indent, below)
        return
      end
    end
    if node.left then
      lines[#lines + 1] = indent .. condition(node, decimals, false)
      walk(node.left, depth + 1)
      lines[#lines + 1] = indent .. condition(node, decimals, true)
      walk(node.left + 1, depth + 1)
      return
    end
    local class = class_text(model, node)
    lines[#lines + 1] = indent .. (class and "class: " .. class
      or ("value: [%." .. decimals .. "f]"):format(node.value[1]))
  end
  walk(1, 0)
  return table.concat(lines, "\n") .. "\n"
end

local function escape(text)
  return (text:gsub("[&<>\"]", {["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;",
    ['"'] = "&quot;"}))
end

-- What a node predicts: its own value, or the mean of its leaves by their rows.
local function mean_values(nodes)
  local means = {}
  for k = #nodes, 1, -1 do
    local node = nodes[k]
    if not node.left then
      means[k] = node.value
    else
      local a, b = nodes[node.left], nodes[node.left + 1]
      local share = a.rows / (a.rows + b.rows)
      means[k] = {}
      for i, v in ipairs(means[node.left]) do
        means[k][i] = share * v + (1 - share) * means[node.left + 1][i]
      end
    end
  end
  return means
end

local width, height, gap, step = 132, 52, 12, 92

-- Places the leaves shown side by side, and each parent above the middle of its children.
local function lay_out(nodes, most)
  local place, next_x, deepest = {}, 0, 0
  local function walk(k, depth)
    local node = nodes[k]
    local x
    deepest = math.max(deepest, depth)
    if node.left and depth < most then
      x = (walk(node.left, depth + 1) + walk(node.left + 1, depth + 1)) / 2
    else
      x = next_x
      next_x = next_x + width + gap
    end
    place[k] = {x = x, y = depth * step, cut = node.left ~= nil and depth >= most}
    return x
  end
  walk(1, 0)
  return place, next_x + gap, (deepest + 1) * step
end

local function box(out, node, at, says)
  local x, y = at.x + gap, at.y + gap
  out[#out + 1] = ('<rect x="%.1f" y="%.1f" width="%d" height="%d" rx="4" fill="%s" '
    .. 'stroke="#555"/>'):format(x, y, width, height, node.left and "#fff" or "#eef4ea")
  for i, line in ipairs(says) do
    out[#out + 1] = ('<text x="%.1f" y="%.1f" text-anchor="middle">%s</text>'):format(
      x + width / 2, y + 2 + 15 * i, escape(line))
  end
end

--- A tree as a drawing: conditions, rows, predictions; the left branch is where the condition
--- holds.
---@param model flowrun.Model
---@param options? {tree: integer, max_depth: integer, decimals: integer}
---@return string svg
function ml_draw.svg(model, options)
  local nodes, o = load_tree(model, "model:svg", options, {tree = true, max_depth = true,
    decimals = true})
  local decimals, means = o.decimals or 2, mean_values(nodes)
  local place, w, h = lay_out(nodes, o.max_depth or 4)
  local out = {('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" '
    .. 'height="%d" font-family="sans-serif" font-size="11">'):format(w, h, w, h)}
  for k, node in ipairs(nodes) do
    local at = place[k]
    for child = node.left or 1, at and node.left and not at.cut and node.left + 1 or 0 do
      local to = place[child]
      out[#out + 1] = ('<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#999"/>'):format(
        at.x + gap + width / 2, at.y + gap + height, to.x + gap + width / 2, to.y + gap)
    end
  end
  for k, node in ipairs(nodes) do
    if place[k] then
      local values = {}
      for i, v in ipairs(means[k]) do values[i] = ("%." .. decimals .. "f"):format(v) end
      local class = class_text(model, {value = means[k]})
      local shown = #values > 4 and ("class %s"):format(class) or table.concat(values, ", ")
      box(out, node, place[k], {node.left and condition(node, decimals, false)
        or class and "class " .. class or "leaf", node.rows .. " rows", shown})
    end
  end
  out[#out + 1] = "</svg>\n"
  return table.concat(out, "\n")
end

return ml_draw
