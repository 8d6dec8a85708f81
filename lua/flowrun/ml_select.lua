--- Splits into folds, cross-validation and search of options. All are functions of `flowrun.ml`.
local args = require "flowrun.ml_args"
local array_core = require "flowrun.core.array"
local flow_core = require "flowrun.core.flow"
local frame_core = require "flowrun.core.frame"
local ml_prepare = require "flowrun.ml_prepare"
local random = require "flowrun.random"

local invalid = args.invalid

local ml_select = {}

-- --- folds ---
-- A splitter is a plain value, so that tasks can take it: {how = "kfold", n = 5, …}.

local function folds_of(what, options, known)
  if type(options) == "number" then options = {options} end
  local o = {}
  for k, v in pairs(options or {}) do o[k == 1 and "n" or k] = v end
  o = args.renamed(what, o, known)
  o.n = args.whole(what .. ": how many folds", o.n or 5, 2)
  return o
end

--- k folds: each is the test rows once. In the order of the rows, unless shuffled or stratified.
---@param options? integer|{[1]: integer, shuffle: boolean, stratify: boolean, seed: integer} 5
---  folds (n_splits, random_state)
---@return table splitter for ml.cross_validate, ml.search, ml.folds
function ml_select.kfold(options)
  local o = folds_of("ml.kfold", options, {n = "n", n_splits = "n", shuffle = "shuffle",
    stratify = "stratify", seed = "seed", random_state = "seed"})
  return {how = o.stratify and "stratified" or "kfold", n = o.n, shuffle = o.shuffle or false,
    seed = o.seed or 0}
end

--- k folds with the shares of the classes of all rows in each (StratifiedKFold).
---@param options? integer|{[1]: integer, shuffle: boolean, seed: integer}
---@return table
function ml_select.stratified_kfold(options)
  local o = folds_of("ml.stratified_kfold", options, {n = "n", n_splits = "n",
    shuffle = "shuffle", seed = "seed", random_state = "seed"})
  return {how = "stratified", n = o.n, shuffle = o.shuffle or false, seed = o.seed or 0}
end

--- k folds that keep the rows of a group together (GroupKFold): no feeder is in training and test.
---@param options {[1]: integer, group: string} group: a column, which then is no feature
---@return table
function ml_select.group_kfold(options)
  local o = folds_of("ml.group_kfold", options, {n = "n", n_splits = "n", group = "group"})
  if type(o.group) ~= "string" then
    invalid('ml.group_kfold: group = "column" is missing: which rows belong together?')
  end
  return {how = "group", n = o.n, group = o.group}
end

--- Folds in time: tested on rows after those trained on, with a gap between if asked
--- (TimeSeriesSplit).
---@param options? integer|{[1]: integer, gap: integer, test_size: integer, max_train_size: integer}
---@return table
function ml_select.time_kfold(options)
  local what = "ml.time_kfold"
  local o = folds_of(what, options, {n = "n", n_splits = "n", gap = "gap",
    test_size = "test_size", max_train_size = "max_train_size"})
  return {how = "time", n = o.n, gap = args.whole(what .. ": gap", o.gap or 0, 0),
    test_size = o.test_size and args.whole(what .. ": test_size", o.test_size, 1),
    max_train_size = o.max_train_size
      and args.whole(what .. ": max_train_size", o.max_train_size, 1)}
end

local folders = {}                               -- fold of each row, 1 .. n

function folders.kfold(cv, rows)
  local fold, order = {}, nil
  if cv.shuffle then order = random.new(cv.seed):permutation(rows) end
  local at = 0
  for k = 1, cv.n do
    for _ = 1, rows // cv.n + (k <= rows % cv.n and 1 or 0) do
      at = at + 1
      fold[order and order[at] or at] = k
    end
  end
  return fold
end

-- The rows of each class are dealt to the folds as if all were sorted by class (as scikit-learn
-- does), classes numbered by first appearance.
function folders.stratified(cv, rows, y)
  local place, count, code = {}, {}, {}
  for i = 1, rows do
    local v = y[i]
    if v == nil then invalid("stratified folds: the target is null in row %d", i) end
    if not place[v] then
      count[#count + 1] = 0
      place[v] = #count
    end
    code[i] = place[v]
    count[code[i]] = count[code[i]] + 1
  end
  local most = math.max(table.unpack(count))
  if most < cv.n then invalid("%d folds: no class has so many rows", cv.n) end
  local share, at = {}, 0
  for k = 1, #count do share[k] = {} end
  for k = 1, #count do
    for _ = 1, count[k] do
      at = at + 1
      local f = (at - 1) % cv.n + 1
      share[k][f] = (share[k][f] or 0) + 1
    end
  end
  local fold = {}
  for k = 1, #count do
    local list = {}
    for f = 1, cv.n do
      for _ = 1, share[k][f] or 0 do list[#list + 1] = f end
    end
    local order = cv.shuffle and random.new(cv.seed, k):permutation(#list)
    local next_of = 0
    for i = 1, rows do
      if code[i] == k then
        next_of = next_of + 1
        fold[i] = list[order and order[next_of] or next_of]
      end
    end
  end
  return fold
end

-- The largest group goes to the fold with the fewest rows, and so on.
function folders.group(cv, rows, _, df)
  local column, size, names = df:col(cv.group), {}, {}
  for i = 1, rows do
    local v = column[i]
    if v == nil then invalid("group folds: `%s` is null in row %d", cv.group, i) end
    if not size[v] then
      size[v] = 0
      names[#names + 1] = v
    end
    size[v] = size[v] + 1
  end
  if #names < cv.n then invalid("%d folds: `%s` has %d groups", cv.n, cv.group, #names) end
  table.sort(names)
  local rank = {}
  for i, name in ipairs(names) do rank[name] = i end
  table.sort(names, function(a, b)               -- as numpy's argsort reversed: later names first
    return size[a] > size[b] or size[a] == size[b] and rank[a] > rank[b]
  end)
  local filled, of = {}, {}
  for f = 1, cv.n do filled[f] = 0 end
  for _, name in ipairs(names) do
    local least = 1
    for f = 2, cv.n do
      if filled[f] < filled[least] then least = f end
    end
    filled[least], of[name] = filled[least] + size[name], least
  end
  local fold = {}
  for i = 1, rows do fold[i] = of[column[i]] end
  return fold
end

local function time_bounds(cv, rows)
  local size = cv.test_size or rows // (cv.n + 1)
  if size < 1 or rows - size * cv.n - cv.gap < 1 then
    invalid("%d folds in time with gap %d need more rows than %d", cv.n, cv.gap, rows)
  end
  return size
end

-- Whether each row is trained on (1), tested (2) or neither (0), in fold k.
local function roles(cv, k, df, y)
  local rows, out = #df, {}
  if #df < cv.n then invalid("%d folds of %d rows", cv.n, rows) end
  if cv.how == "time" then
    local size = time_bounds(cv, rows)
    local first = rows - size * (cv.n - k + 1) + 1
    local last = first - 1 - cv.gap
    local from = cv.max_train_size and math.max(1, last - cv.max_train_size + 1) or 1
    for i = 1, rows do
      out[i] = i >= from and i <= last and 1 or i >= first and i < first + size and 2 or 0
    end
    return out
  end
  local fold = folders[cv.how](cv, rows, y, df)
  for i = 1, rows do out[i] = fold[i] == k and 2 or 1 end
  return out
end

local function check_cv(what, cv)
  if cv == nil then return ml_select.kfold() end
  if type(cv) == "number" then return ml_select.kfold(cv) end
  if type(cv) ~= "table" or not (folders[cv.how] or cv.how == "time") then
    invalid("%s: cv is a number or ml.kfold{…}, ml.group_kfold{…}, ml.time_kfold{…}", what)
  end
  return cv
end

--- The row numbers of each fold: {{train = {…}, test = {…}}, …}.
---@param df flowrun.Frame
---@param cv? integer|table
---@param target? string that stratified folds look at
---@return {train: integer[], test: integer[]}[]
function ml_select.folds(df, cv, target)
  args.check_frame(df, "ml.folds")
  cv = check_cv("ml.folds", cv)
  local out, y = {}, target and df:col(target)
  if cv.how == "stratified" and not y then
    invalid("ml.folds: stratified folds need the name of the target")
  end
  for k = 1, cv.n do
    local fold = {train = {}, test = {}}
    for i, role in ipairs(roles(cv, k, df, y)) do
      local list = role == 1 and fold.train or role == 2 and fold.test
      if list then list[#list + 1] = i end
    end
    out[k] = fold
  end
  return out
end

-- --- one fit ---

local function pick(df, role, which)
  local keep = {}
  for i, r in ipairs(role) do keep[i] = r == which end
  return frame_core.mask(df, array_core.new(keep, "bool", "folds"))
end

-- The first rows of a shuffle, in the order of the frame.
local function sampled(df, rows, seed)
  if not rows or rows >= #df then return df end
  local keep, order = {}, random.new(seed):permutation(#df)
  for i = 1, #df do keep[i] = false end
  for i = 1, rows do keep[order[i]] = true end
  return frame_core.mask(df, array_core.new(keep, "bool", "folds"))
end

local lower_is_better = {rmse = true, mae = true, log_loss = true}

-- {score = …, all = {…}} of one specification on one fold.
local function fit_fold(item, df, job)
  df = sampled(df, item.rows, job.seed)
  local spec = ml_prepare.revive(item.spec)
  local role = roles(job.cv, item.fold, df, df:col(job.target))
  local train, test = pick(df, role, 1), pick(df, role, 2)
  local model = spec:fit(train, job.target, {features = job.features, weights = job.weights})
  local out = {}
  for name, v in pairs(model:score(test)) do
    if type(v) == "number" then out[name] = v + 0.0 end
  end
  return out
end

local function fit_all(plain, df, job)
  return ml_prepare.revive(plain):fit(df, job.target,
    {features = job.features, weights = job.weights})
end

-- What a task of ml.task does: a fold's scores, or the model of all rows.
local function work(item, df, job)
  if item.fold then return fit_fold(item, df, job) end
  return fit_all(item.spec, df, job)
end

--- Defines the task in which cross-validation and search fit, when they are called in a flow: each
--- fit then is a call of its own, parallel, retried, cached and cancelled like others. At the top
--- of a script:
---
---     local fits = ml.task("fits", {cache = true})
---     return fr.flow("tune", {}, function()
---       local train = load()
---       return ml.search(spec, grid, {on = train, target = "failure", task = fits}).params
---     end)
---@param name string
---@param options? table of the task
---@return flowrun.Task
function ml_select.task(name, options)
  return require("flowrun.task").define(name, options or {}, function(item, df, job)
    return work(item, df, job)
  end)
end

-- Calls `work` for every item; in a flow through the task, all at once.
local function run(items, df, job, task)
  if task then
    local out = task:map(items, df, job)
    return flow_core.inside() and out:get() or out
  end
  local out = {}
  for i, item in ipairs(items) do out[i] = work(item, df, job) end
  return out
end

-- --- cross-validation ---

local common = {cv = "cv", on = "on", target = "target", features = "features",
  weights = "weights", sample_weight = "weights", task = "task", seed = "seed"}

local function job_of(what, options)
  if type(options.target) ~= "string" then
    invalid("%s: target = \"column\" is missing", what)
  end
  local cv = check_cv(what, options.cv)
  if flow_core.inside() and not options.task then
    invalid("%s: in a flow, fits are calls of a task: at the top of the script write "
      .. "local fits = ml.task(\"fits\"), and here task = fits", what)
  end
  if not options.task then args.check_frame(options.on, what .. ": on") end
  if options.features == nil and (cv.how == "group") then
    invalid("%s: with group folds say which features: `%s` should not be one", what, cv.group)
  end
  return {cv = cv, target = options.target, features = options.features,
    weights = options.weights, seed = options.seed or 0}
end

local function mean_std(values)
  local sum, squares = 0.0, 0.0
  for _, v in ipairs(values) do sum = sum + v end
  local mean = sum / #values
  for _, v in ipairs(values) do squares = squares + (v - mean) ^ 2 end
  return mean, (squares / #values) ^ 0.5
end

--- Scores of a kind of model or a pipeline on folds that it was not fitted on.
---
---     local cv = ml.cross_validate(ml.logistic{}, {on = df, target = "failed",
---       cv = ml.kfold{5, stratify = true}})
---     print(cv.mean.roc_auc, cv.std.roc_auc)
---@param spec table
---@param options {on: flowrun.Frame, target: string, cv: integer|table, features: string[],
---  weights: string, task: flowrun.Task} cv: 5; task: needed in a flow, see ml.task
---@return {folds: table[], mean: table<string, number>, std: table<string, number>}
function ml_select.cross_validate(spec, options)
  local what = "ml.cross_validate"
  options = args.renamed(what, options, common)
  local job, items = job_of(what, options), {}
  local plain = ml_prepare.plain(spec)
  for k = 1, job.cv.n do items[k] = {spec = plain, fold = k} end
  local folds = run(items, options.on, job, options.task)
  local out = {folds = folds, mean = {}, std = {}}
  for name in pairs(folds[1]) do
    local values = {}
    for _, fold in ipairs(folds) do values[#values + 1] = fold[name] end
    if #values == #folds then out.mean[name], out.std[name] = mean_std(values) end
  end
  return out
end

-- --- search ---

local function sorted_keys(grid)
  local keys = {}
  for key, values in pairs(grid) do
    if type(key) ~= "string" or type(values) ~= "table" then
      invalid("ml.search: %s: expected option = {values}, or a range {lo, hi, log = true} for "
        .. "random search", tostring(key))
    end
    keys[#keys + 1] = key
  end
  if #keys == 0 then invalid("ml.search: the grid names no options") end
  table.sort(keys)
  return keys
end

local function all_of(grid, keys)
  local out = {{}}
  for _, key in ipairs(keys) do
    if grid[key].from then
      invalid("ml.search: %s: a range is for random search: set tries = how many", key)
    end
    local longer = {}
    for _, base in ipairs(out) do
      for _, value in ipairs(grid[key]) do
        local params = {}
        for k, v in pairs(base) do params[k] = v end
        params[key] = value
        longer[#longer + 1] = params
      end
    end
    out = longer
  end
  return out
end

local function drawn(rng, values)
  if not values.from then return values[rng:integers(1, #values)] end
  local lo, hi = values.from, values.to
  if type(lo) ~= "number" or type(hi) ~= "number" or lo >= hi or values.log and lo <= 0 then
    invalid("ml.search: a range is {from = least, to = greatest}, positive with log = true")
  end
  if values.log then return math.exp(rng:uniform(math.log(lo), math.log(hi))) end
  if math.type(lo) == "integer" and math.type(hi) == "integer" then return rng:integers(lo, hi) end
  return rng:uniform(lo, hi)
end

local function some_of(grid, keys, tries, seed)
  local rng, out = random.new(seed), {}
  for i = 1, tries do
    out[i] = {}
    for _, key in ipairs(keys) do out[i][key] = drawn(rng, grid[key]) end
  end
  return out
end

-- Scores every candidate on all folds; `rows` of the frame if given.
local function round(candidates, df, job, task, rows, score)
  local items = {}
  for _, c in ipairs(candidates) do
    for k = 1, job.cv.n do items[#items + 1] = {spec = c.spec, fold = k, rows = rows} end
  end
  local results = run(items, df, job, task)
  for i, c in ipairs(candidates) do
    local values = {}
    for k = 1, job.cv.n do
      local v = results[(i - 1) * job.cv.n + k][score]
      if not v then invalid("ml.search: there is no score '%s' on fold %d", score, k) end
      values[k] = v
    end
    c.mean, c.std = mean_std(values)
    c.rows = rows
  end
  local sign = lower_is_better[score] and 1 or -1
  local order = {table.unpack(candidates)}
  for i, c in ipairs(order) do c.place = i end
  table.sort(order, function(a, b)
    return sign * a.mean < sign * b.mean or a.mean == b.mean and a.place < b.place
  end)
  return order
end

-- Successive halving (Jamieson 2016): many candidates on few rows, the best third on three times
-- as many.
local function halve(candidates, job, options, score)
  local factor, rows, history = options.factor or 3, options.min_rows, {}
  while true do
    local most = #candidates <= 1 or rows >= options.max_rows
    local order = round(candidates, options.on, job, options.task,
      rows < options.max_rows and rows or nil, score)
    for _, c in ipairs(order) do
      history[#history + 1] = {params = c.params, mean = c.mean, std = c.std, rows = rows}
    end
    if most then return order, history end
    candidates = {table.unpack(order, 1, math.max(1, #order // factor))}
    rows = math.min(options.max_rows, rows * factor)
  end
end

local function candidates_of(spec, grid, options)
  local keys = sorted_keys(grid)
  local list = options.tries and some_of(grid, keys, args.whole("ml.search: tries",
    options.tries, 1), options.seed or 0) or all_of(grid, keys)
  local out = {}
  for i, params in ipairs(list) do
    out[i] = {params = params, spec = ml_prepare.plain(ml_prepare.with(spec, params))}
  end
  return out
end

--- Finds the options with the best mean score over folds. A grid of values is tried in full; with
--- `tries` so many are drawn at random (then `{from = 0.01, to = 10, log = true}` is a range);
--- `halving` starts with few rows and goes on with the best third.
---
---     local best = ml.search(pipe, {["logistic.l2"] = {0.1, 1, 10}},
---       {on = train, target = "failed", cv = ml.kfold{5, stratify = true}, score = "f1"})
---     print(best.params["logistic.l2"], best.mean)
---     print(best.model:score(test).f1)
---@param spec table a kind of model, or a pipeline whose options are named "step.option"
---@param grid table<string, any[]>
---@param options {on: flowrun.Frame, target: string, cv: integer|table, score: string,
---  tries: integer, halving: boolean, min_rows: integer, max_rows: integer, factor: integer,
---  seed: integer, refit: boolean, features: string[], weights: string, task: flowrun.Task}
---  score: roc_auc, accuracy, f1, log_loss, r2, rmse, …; min_rows and max_rows are of halving
---@return {params: table, mean: number, std: number, model: flowrun.Model|flowrun.Handle,
---  tried: table[]} model: fitted on all rows; in a flow a handle of it
function ml_select.search(spec, grid, options)
  local what, known = "ml.search", {score = "score", scoring = "score", tries = "tries",
    n_iter = "tries", halving = "halving", min_rows = "min_rows", max_rows = "max_rows",
    factor = "factor", refit = "refit", random_state = "seed"}
  for name, own in pairs(common) do known[name] = own end
  options = args.renamed(what, options, known)
  if type(options.score) ~= "string" then
    invalid('%s: score = "roc_auc", "accuracy", "r2", … is missing', what)
  end
  if type(grid) ~= "table" then invalid("%s: the grid is a table, got a %s", what, type(grid)) end
  local job, candidates = job_of(what, options), candidates_of(spec, grid, options)
  local order, tried
  if options.halving then
    options.min_rows = args.whole(what .. ": min_rows", options.min_rows, 2 * job.cv.n)
    options.max_rows = args.whole(what .. ": max_rows", options.max_rows, options.min_rows)
    order, tried = halve(candidates, job, options, options.score)
  else
    order, tried = round(candidates, options.on, job, options.task, nil, options.score), {}
    for i, c in ipairs(candidates) do
      tried[i] = {params = c.params, mean = c.mean, std = c.std}
    end
  end
  local best, model = order[1], nil
  if options.refit ~= false then
    local item = {spec = best.spec}
    if options.task then
      model = options.task(item, options.on, job)
    else
      model = work(item, options.on, job)
    end
  end
  return {params = best.params, mean = best.mean, std = best.std, model = model, tried = tried}
end

return ml_select
