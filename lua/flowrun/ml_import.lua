--- Models of other libraries, read for predicting: XGBoost's JSON, LightGBM's text. Used by ml.lua;
--- nothing here is called by scripts.
local args = require "flowrun.ml_args"
local core = require "flowrun.core.imported"
local error_class = require "flowrun.core.error"
local json = require "flowrun.json"

local ml_import = {}

local LEFT, NAN, ZERO, BELOW, SET, SET_RIGHT = 1, 2, 4, 8, 16, 32
local IDENTITY, LOGISTIC, SOFTMAX, EXP = 0, 1, 2, 3

local function fail(code, what, path, format, ...)
  error_class.raise(code, ("%s: %s: "):format(what, path) .. format:format(...))
end

local function read_file(what, path)
  if type(path) ~= "string" then
    args.invalid("%s: a path is expected, got a %s", what, type(path))
  end
  local file <close>, message = io.open(path, "rb")
  if not file then error_class.raise("io", ("%s: %s"):format(what, message)) end
  local text, problem = file:read("a")      -- of a directory: nil
  if not text then error_class.raise("io", ("%s: %s: %s"):format(what, path, problem)) end
  return text
end

-- What a damaged file may ask for before anything else refuses it: lists are made of these.
local most_features <const>, most_classes <const>, most_codes <const> = 1 << 20, 1 << 16, 1 << 24

local function count_of(name, value, most, broken)
  local n = math.tointeger(tonumber(value)) or broken("%s is missing", name)
  if n < 0 or n > most then broken("%s is %d, expected 0 to %d", name, n, most) end
  return n
end

-- The model of the parts; what they lack is the file's fault.
local function built_of(parts, classes, names, broken)
  local ok, model = pcall(core.new, parts, classes, names)
  if ok then return model end
  if error_class.is(model) then error(model, 0) end
  return broken("%s", tostring(model))
end

local function new_parts(link, base, scale)
  return {value = {}, feature = {}, left = {}, right = {}, flags = {}, set = {}, words = {},
    root = {}, output = {}, sets = {}, base = base, link = link, scale = scale or 1}
end

-- Adds a tree: node(k) gives {value =} of a leaf or {feature, cut, left, right, flags, bits} of the
-- library's node k. Nodes are numbered again, parents before children, so that a walk ends.
local function add_tree(parts, output, first, node, broken)
  local base, order, seen = #parts.value, {first}, {[first] = 0}
  parts.root[#parts.root + 1] = base
  parts.output[#parts.output + 1] = output
  local at = 1
  while order[at] do
    local n = node(order[at])
    local k = base + at
    parts.set[k], parts.words[k], parts.left[k], parts.right[k], parts.flags[k] = 0, 0, 0, 0, 0
    if n.feature then
      for _, side in ipairs{"left", "right"} do
        if seen[n[side]] then broken("a node has two parents") end
        order[#order + 1] = n[side]
        seen[n[side]] = #order - 1
        parts[side][k] = #order - 1
      end
      parts.value[k], parts.feature[k], parts.flags[k] = n.cut, n.feature, n.flags
      if n.bits then
        parts.set[k], parts.words[k] = #parts.sets, #n.bits
        table.move(n.bits, 1, #n.bits, #parts.sets + 1, parts.sets)
      end
    else
      parts.value[k], parts.feature[k] = n.value, -1
    end
    at = at + 1
  end
end

local function names_of(what, options, count, own, stem)
  options = args.check_names(what, options, {features = true})
  local names = options.features
  if names == nil then
    if type(own) == "table" and #own == count then return own end
    names = {}
    for i = 1, count do names[i] = stem .. (i - 1) end
  elseif type(names) ~= "table" or #names ~= count then
    args.invalid("%s: features: the model has %d, %s given", what, count,
      type(names) == "table" and #names .. " are" or "a " .. type(names) .. " is")
  end
  return names
end

-- --- XGBoost ---

local xgboost_links = {
  ["binary:logistic"] = {LOGISTIC, 2}, ["multi:softprob"] = {SOFTMAX},
  ["multi:softmax"] = {SOFTMAX},
  ["reg:squarederror"] = {IDENTITY}, ["reg:absoluteerror"] = {IDENTITY},
  ["reg:pseudohubererror"] = {IDENTITY}, ["reg:squaredlogerror"] = {IDENTITY},
  ["reg:quantileerror"] = {IDENTITY}, ["reg:logistic"] = {LOGISTIC, 0}, ["count:poisson"] = {EXP},
  ["reg:gamma"] = {EXP}, ["reg:tweedie"] = {EXP},
}

local function known(links)
  local list = {}
  for name in pairs(links) do list[#list + 1] = name end
  table.sort(list)
  return table.concat(list, ", ")
end

-- What predictions start with: written as numbers of the predictions' own scale.
local function xgboost_base(text, link, outputs)
  local base = {}
  for number in tostring(text):gmatch("[^%[%],%s]+") do
    local v = tonumber(number)
    if not v then return nil end
    if link == LOGISTIC then v = math.log(v / (1 - v)) end
    base[#base + 1] = link == EXP and math.log(v) or v
  end
  while #base > 0 and #base < outputs do base[#base + 1] = base[1] end
  return #base == outputs and base or nil
end

local function xgboost_sets(tree, broken)
  local sets = {}
  for i, node in ipairs(tree.categories_nodes or {}) do
    local from, bits = tree.categories_segments[i], {}
    for k = from + 1, from + tree.categories_sizes[i] do
      local code = count_of("a category", tree.categories[k], most_codes, broken)
      while #bits <= code // 32 do bits[#bits + 1] = 0 end
      bits[code // 32 + 1] = bits[code // 32 + 1] | 1 << code % 32
    end
    sets[node] = bits
  end
  return sets
end

local function single(x) return (string.unpack("f", string.pack("f", x))) end

local function xgboost_tree(parts, output, tree, broken)
  local sets = xgboost_sets(tree, broken)
  add_tree(parts, output, 0, function(k)
    local i = k + 1
    local left, value = tree.left_children[i], tree.split_conditions[i]
    if not left or not value then broken("a tree has no node %d", k) end
    if left < 0 then return {value = single(value)} end
    local flags = NAN | ((tree.default_left[i] == 1 or tree.default_left[i] == true) and LEFT or 0)
    local categorical = tree.split_type and tree.split_type[i] == 1
    return {feature = tree.split_indices[i], cut = categorical and 0 or single(value), left = left,
      right = tree.right_children[i], flags = flags | (categorical and SET_RIGHT or BELOW),
      bits = categorical and (sets[k] or {}) or nil}
  end, broken)
end

--- A model that XGBoost saved as JSON.
---@param path string
---@param options? {features: string[]}
---@return flowrun.Model
function ml_import.xgboost(path, options)
  local what = "ml.read_xgboost"
  local text = read_file(what, path)
  if not text:find("^%s*{%s*\"") then
    fail("unsupported", what, path, "is not XGBoost's JSON (UBJSON and the old binary format are "
      .. "not read): save it with a name that ends with .json")
  end
  local ok, file = pcall(json.decode, text)
  if not ok then fail("corrupt", what, path, "is damaged: %s", tostring(file)) end
  local function broken(format, ...) fail("corrupt", what, path, "is damaged: " .. format, ...) end
  local learner = type(file.learner) == "table" and file.learner or broken("it has no learner")
  local booster, param = learner.gradient_booster or {}, learner.learner_model_param or {}
  if booster.name ~= "gbtree" then
    fail("unsupported", what, path, "booster %s is not read, gbtree is", tostring(booster.name))
  end
  local objective = (learner.objective or {}).name
  local rule = xgboost_links[objective]
  if not rule then
    fail("unsupported", what, path, "objective %s is not read; these are: %s", tostring(objective),
      known(xgboost_links))
  end
  if (tonumber(param.num_target) or 1) > 1 then
    fail("unsupported", what, path, "it has %s targets; models of one are read", param.num_target)
  end
  local outputs = rule[1] == SOFTMAX
    and count_of("num_class", param.num_class, most_classes, broken) or 1
  local base = xgboost_base(param.base_score, rule[1], outputs)
  if not base then broken("base_score is %s", tostring(param.base_score)) end
  local parts, model = new_parts(rule[1], base), booster.model or {}
  for t, tree in ipairs(model.trees or {}) do
    local output = (model.tree_info or {})[t] or 0
    local built, problem = pcall(xgboost_tree, parts, output, tree, broken)
    if not built then
      if error_class.is(problem) then error(problem, 0) end
      broken("tree %d: %s", t - 1, tostring(problem))
    end
  end
  local features = count_of("num_feature", param.num_feature, most_features, broken)
  return built_of(parts, rule[1] == SOFTMAX and outputs or rule[2] or 0,
    names_of(what, options, features, learner.feature_names, "f"), broken)
end

-- --- LightGBM ---

local lightgbm_links = {
  binary = {LOGISTIC, 2}, multiclass = {SOFTMAX}, cross_entropy = {LOGISTIC, 0},
  regression = {IDENTITY}, regression_l1 = {IDENTITY}, huber = {IDENTITY}, fair = {IDENTITY},
  quantile = {IDENTITY}, mape = {IDENTITY}, poisson = {EXP}, gamma = {EXP}, tweedie = {EXP},
}

local function list_of(text, convert)
  local list = {}
  for word in (text or ""):gmatch("%S+") do list[#list + 1] = convert(word) end
  return list
end

-- name=value lines of one block.
local function fields_of(block)
  local fields = {}
  for name, value in block:gmatch("([%w_]+)=([^\n]*)") do fields[name] = value end
  return fields
end

local function lightgbm_tree(parts, output, block, broken)
  local f = fields_of(block)
  if f.is_linear == "1" then
    return "trees with linear leaves (linear_tree) are not read"
  end
  local values = list_of(f.leaf_value, tonumber)
  local feature, cut = list_of(f.split_feature, math.tointeger), list_of(f.threshold, tonumber)
  local kind = list_of(f.decision_type, math.tointeger)
  local left, right = list_of(f.left_child, math.tointeger), list_of(f.right_child, math.tointeger)
  local edges, words = list_of(f.cat_boundaries, math.tointeger), list_of(f.cat_threshold,
    math.tointeger)
  local inner = #feature
  if #values ~= inner + 1 or #cut ~= inner or #kind ~= inner or #left ~= inner
    or #right ~= inner then
    broken("a tree's lists differ in length")
  end
  add_tree(parts, output, inner > 0 and 0 or -1, function(k)
    if k < 0 then
      return {value = values[-k] or broken("a tree has no leaf %d", -k - 1)}
    end
    local d = kind[k + 1] or broken("a tree has no node %d", k)
    local n = {feature = feature[k + 1], cut = cut[k + 1], left = left[k + 1], right = right[k + 1]}
    local missing = d >> 2 & 3
    n.flags = (d & 2 ~= 0 and LEFT or 0) | (missing == 1 and ZERO or missing == 2 and NAN or 0)
    if d & 1 ~= 0 then
      local at = math.tointeger(n.cut)
      if not at or not edges[at + 2] or edges[at + 2] > #words then
        broken("a tree has no set %s", tostring(n.cut))
      end
      n.bits = table.move(words, edges[at + 1] + 1, edges[at + 2], 1, {})
      n.flags, n.cut = SET, 0
    end
    return n
  end, broken)
end

--- A model that LightGBM saved as text.
---@param path string
---@param options? {features: string[]}
---@return flowrun.Model
function ml_import.lightgbm(path, options)
  local what = "ml.read_lightgbm"
  local text = read_file(what, path):gsub("\r\n", "\n")
  local function broken(format, ...) fail("corrupt", what, path, "is damaged: " .. format, ...) end
  if not text:find("^tree\n") then
    fail("unsupported", what, path, "is not LightGBM's text: booster.save_model writes it")
  end
  local head = text:match("^(.-\n)\n") or broken("it ends early")
  local f = fields_of(head)
  if f.version ~= "v4" and f.version ~= "v3" then
    local newer = tonumber((f.version or ""):match("^v(%d+)$") or 0) > 4
    fail(newer and "version" or "unsupported", what, path, "format %s is not read, v3 and v4 are",
      tostring(f.version))
  end
  local words = list_of(f.objective, tostring)
  local rule = lightgbm_links[words[1]]
  if not rule or table.concat(words, " "):find("sqrt") then
    fail("unsupported", what, path, "objective %s is not read; these are: %s",
      tostring(f.objective), known(lightgbm_links))
  end
  local sigmoid = tonumber((f.objective or ""):match("sigmoid:([%d.eE+-]+)")) or 1
  local outputs = count_of("num_tree_per_iteration", f.num_tree_per_iteration, most_classes, broken)
  if outputs == 0 or (rule[1] == SOFTMAX) ~= (outputs > 1) then
    broken("num_class is %s", tostring(f.num_class))
  end
  local base = {}
  for k = 1, outputs do base[k] = 0 end
  local parts = new_parts(rule[1], base, sigmoid)
  local t = 0
  for block in text:gmatch("\nTree=%d+\n(.-)\n\n") do
    local built, refused = pcall(lightgbm_tree, parts, t % outputs, block, broken)
    if not built then
      if error_class.is(refused) then error(refused, 0) end
      broken("tree %d: %s", t, tostring(refused))
    end
    if refused then fail("unsupported", what, path, "%s", refused) end
    t = t + 1
  end
  if not text:find("\nend of trees", 1, true) then broken("it ends before `end of trees`") end
  if ("\n" .. head):find("\naverage_output\n") and t > 0 then
    parts.scale = sigmoid / (t // outputs)
  end
  local features = count_of("max_feature_idx", f.max_feature_idx, most_features, broken)
  return built_of(parts, rule[1] == SOFTMAX and outputs or rule[2] or 0,
    names_of(what, options, features + 1, list_of(f.feature_names, tostring), "Column_"), broken)
end

return ml_import
