--- Scores of predictions beyond those of ml.lua. All are functions of `flowrun.ml`; definitions
--- are scikit-learn's.
local args = require "flowrun.ml_args"
local core = require "flowrun.core.ml"
local frame = require "flowrun.frame"

local invalid, array_of = args.invalid, args.array_of

local ml_metrics = {}

-- --- two classes and a score ---

local function less(a, b)
  if type(a) == "boolean" then return not a and b end
  return a < b
end

-- The distinct values in order. Nulls are errors.
local function labels_of(what, y)
  local seen, labels = {}, {}
  for i = 1, #y do
    local v = y[i]
    if v == nil then invalid("%s: the true class is null in row %d", what, i) end
    if not seen[v] then
      seen[v] = true
      labels[#labels + 1] = v
    end
  end
  table.sort(labels, less)
  return labels
end

local function codes_of(what, y)
  local labels = labels_of(what, y)
  if #labels ~= 2 then invalid("%s: y has %d classes, two are needed", what, #labels) end
  local codes = {}
  for i = 1, #y do codes[i] = y[i] == labels[2] and 1 or 0 end
  return codes
end

-- The scores of the positive class: an array, or the last column of probabilities.
local function scores_of(what, p)
  if frame.is_frame(p) then
    local names = p.columns
    if #names > 2 then invalid("%s: needs two classes, the frame has %d columns", what, #names) end
    p = p:col(names[#names])
  end
  return array_of(p, what .. ": the scores")
end

-- Rows and positives of each distinct score, ascending: three lists, and the sums.
local function by_score(what, y, p)
  y, p = array_of(y, what .. ": the true classes"), scores_of(what, p)
  if #y ~= #p then invalid("%s: %d true classes, but %d scores", what, #y, #p) end
  local df = frame.from{{"y", codes_of(what, y), "int64"}, {"s", p}}
  if df:null_count().s > 0 then invalid("%s: a score is null", what) end
  local g = df:group{"s"}:agg{{"n", "count()"}, {"pos", "sum(y)"}}
  local positives = 0
  for i = 1, #g do positives = positives + g.pos[i] end
  return g.s, g.n, g.pos, #y, positives
end

--- The ROC curve: every threshold from above all scores down to the least, with the share of
--- negative (fpr) and positive (tpr) rows that score at least it. The first threshold is infinite.
---
---     local curve = ml.roc_curve(test.failed, model:predict_proba(test))
---@param y fr.column
---@param p fr.column|flowrun.Frame scores, or the frame of predict_proba
---@return flowrun.Frame columns fpr, tpr, threshold
function ml_metrics.roc_curve(y, p)
  local s, n, pos, rows, positives = by_score("ml.roc_curve", y, p)
  local fpr, tpr, cut, above, hit = {0.0}, {0.0}, {math.huge}, 0, 0
  for i = #s, 1, -1 do
    above, hit = above + n[i], hit + pos[i]
    local k = #cut + 1
    fpr[k], tpr[k], cut[k] = (above - hit) / (rows - positives), hit / positives, s[i]
  end
  return frame.from{{"fpr", fpr, "float64"}, {"tpr", tpr, "float64"},
    {"threshold", cut, "float64"}}
end

--- Precision and recall of every threshold, from the least score upwards; then the point (1, 0),
--- without a threshold.
---@param y fr.column
---@param p fr.column|flowrun.Frame
---@return flowrun.Frame columns precision, recall, threshold
function ml_metrics.precision_recall_curve(y, p)
  local s, n, pos, rows, positives = by_score("ml.precision_recall_curve", y, p)
  local precision, recall, cut, above, hit = {}, {}, {}, rows, positives
  for i = 1, #s do
    precision[i], recall[i], cut[i] = hit / above, hit / positives, s[i]
    above, hit = above - n[i], hit - pos[i]
  end
  precision[#s + 1], recall[#s + 1], cut[#s + 1] = 1.0, 0.0, frame.null
  return frame.from{{"precision", precision, "float64"}, {"recall", recall, "float64"},
    {"threshold", cut, "float64"}}
end

--- Average precision: the mean of the precisions at each threshold, weighted by the gain of recall.
---@param y fr.column
---@param p fr.column|flowrun.Frame
---@return number
function ml_metrics.average_precision(y, p)
  local s, n, pos, _, positives = by_score("ml.average_precision", y, p)
  local sum, above, hit = 0, 0, 0
  for i = #s, 1, -1 do
    above, hit = above + n[i], hit + pos[i]
    sum = sum + pos[i] / positives * (hit / above)
  end
  return sum
end

-- The edges of bins: equal widths, or equal numbers of rows.
local function edges_of(p, bins, strategy)
  local edges = {}
  for i = 0, bins do
    edges[i + 1] = strategy == "quantile" and p:quantile(i / bins) or i / bins
  end
  return edges
end

--- Whether probabilities mean what they say: in each bin of predictions, their mean beside the
--- share of rows that are positive. Empty bins are left out.
---@param y fr.column
---@param p fr.column|flowrun.Frame probabilities
---@param options? {bins: integer, strategy: "uniform"|"quantile"} 5 (n_bins), uniform
---@return flowrun.Frame columns predicted, observed, n
function ml_metrics.calibration_curve(y, p, options)
  local what = "ml.calibration_curve"
  options = args.renamed(what, options, {bins = "bins", n_bins = "bins", strategy = "strategy"})
  local bins = args.whole(what .. ": bins", options.bins or 5, 1)
  local strategy = args.choice(what .. ": strategy", options.strategy or "uniform",
    {"uniform", "quantile"})
  y, p = array_of(y, what .. ": the true classes"), scores_of(what, p)
  local codes, edges = codes_of(what, y), edges_of(p, bins, strategy)
  local sum, hit, rows = {}, {}, {}
  for i = 1, bins do sum[i], hit[i], rows[i] = 0, 0, 0 end
  for i = 1, #p do
    local v = args.number(("%s: the probability in row %d"):format(what, i), p[i], 0, 1)
    local lo, hi = 1, bins                      -- the first bin whose upper edge is not below v
    while lo < hi do
      local mid = (lo + hi) // 2
      if v > edges[mid + 1] then lo = mid + 1 else hi = mid end
    end
    sum[lo], hit[lo], rows[lo] = sum[lo] + v, hit[lo] + codes[i], rows[lo] + 1
  end
  local predicted, observed, count = {}, {}, {}
  for i = 1, bins do
    if rows[i] > 0 then
      local k = #count + 1
      predicted[k], observed[k], count[k] = sum[i] / rows[i], hit[i] / rows[i], rows[i]
    end
  end
  return frame.from{{"predicted", predicted, "float64"}, {"observed", observed, "float64"},
    {"n", count, "int64"}}
end

-- --- classes against classes ---

local function confusion_of(what, y, p)
  local labels, count = core.confusion(array_of(y, what .. ": the true classes"),
    array_of(p, what .. ": the predictions"))
  local k, total, truth, said, right = #labels, 0, {}, {}, 0
  for i = 1, k do truth[i], said[i] = 0, 0 end
  for i = 1, k do
    right = right + count[i][i]
    for j = 1, k do
      total = total + count[i][j]
      truth[i], said[j] = truth[i] + count[i][j], said[j] + count[i][j]
    end
  end
  return {k = k, count = count, total = total, truth = truth, said = said, right = right}
end

--- Mean over the classes of the share of each that was predicted (its recall).
---@param y fr.column true classes
---@param p fr.column predicted classes
---@return number
function ml_metrics.balanced_accuracy(y, p)
  local c, sum, classes = confusion_of("ml.balanced_accuracy", y, p), 0, 0
  for i = 1, c.k do
    if c.truth[i] > 0 then sum, classes = sum + c.count[i][i] / c.truth[i], classes + 1 end
  end
  return sum / classes
end

--- Matthews' correlation of true and predicted classes: 1 is perfect, 0 no better than chance.
---@param y fr.column
---@param p fr.column
---@return number
function ml_metrics.mcc(y, p)
  local c = confusion_of("ml.mcc", y, p)
  local n, both, tt, pp = c.total, 0, 0, 0
  for i = 1, c.k do
    both, tt, pp = both + c.truth[i] * c.said[i], tt + c.truth[i] ^ 2, pp + c.said[i] ^ 2
  end
  local below = (n * n - tt) * (n * n - pp)
  return below == 0 and 0.0 or (c.right * n - both) / below ^ 0.5
end

--- Cohen's kappa: agreement beyond chance. `weights` counts the distance of ordered classes.
---@param y fr.column
---@param p fr.column
---@param options? {weights: "none"|"linear"|"quadratic"}
---@return number
function ml_metrics.kappa(y, p, options)
  options = args.check_names("ml.kappa", options, {weights = true})
  local how = args.choice("ml.kappa: weights", options.weights or "none",
    {"none", "linear", "quadratic"})
  local c, seen, chance = confusion_of("ml.kappa", y, p), 0, 0
  for i = 1, c.k do
    for j = 1, c.k do
      local w = i == j and 0 or 1
      if how == "linear" then w = math.abs(i - j) elseif how == "quadratic" then w = (i - j) ^ 2 end
      seen, chance = seen + w * c.count[i][j], chance + w * c.truth[i] * c.said[j] / c.total
    end
  end
  return chance == 0 and 1.0 or 1 - seen / chance
end

--- The share of rows whose class was not predicted.
---@param y fr.column
---@param p fr.column
---@return number
function ml_metrics.hamming(y, p)
  local c = confusion_of("ml.hamming", y, p)
  return 1 - c.right / c.total
end

local function positive_of(what, c)
  if c.k > 2 then invalid("%s: needs two classes, there are %d", what, c.k) end
  local k = c.k
  return c.count[k][k], c.truth[k], c.said[k]
end

--- Of the rows that are or were predicted positive, the share that is both.
---@param y fr.column
---@param p fr.column
---@return number
function ml_metrics.jaccard(y, p)
  local hit, truth, said = positive_of("ml.jaccard", confusion_of("ml.jaccard", y, p))
  local either = truth + said - hit
  return either == 0 and 0.0 or hit / either
end

--- F measure that weighs recall `beta` times as much as precision, of the last class.
---@param y fr.column
---@param p fr.column
---@param beta number
---@return number
function ml_metrics.fbeta(y, p, beta)
  args.number("ml.fbeta: beta", beta, 0, math.huge)
  local hit, truth, said = positive_of("ml.fbeta", confusion_of("ml.fbeta", y, p))
  local below = beta * beta * truth + said
  return below == 0 and 0.0 or (1 + beta * beta) * hit / below
end

-- --- probabilities of many classes ---

-- For each row, the place of its class among the columns of probabilities.
local function places_of(what, y, p)
  y = array_of(y, what .. ": the true classes")
  if not frame.is_frame(p) then
    invalid("%s: expected the frame of predict_proba, got a %s", what, type(p))
  end
  if #y ~= #p then invalid("%s: %d true classes, but %d rows of probabilities", what, #y, #p) end
  local place, out = {}, {}
  for k, name in ipairs(p.columns) do place[name] = k end
  for i = 1, #y do
    out[i] = place[tostring(y[i])]
    if not out[i] then
      invalid("%s: row %d has class %s, and no column is named so", what, i, tostring(y[i]))
    end
  end
  return out
end

--- Mean of -log(probability of the true class), with a column of probabilities per class.
---@param y fr.column
---@param p flowrun.Frame
---@return number
function ml_metrics.log_loss_of_classes(y, p)
  local places, columns, sum = places_of("ml.log_loss", y, p), {}, 0
  for k, name in ipairs(p.columns) do columns[k] = p:col(name) end
  for i, k in ipairs(places) do
    sum = sum - math.log(math.min(1 - 2 ^ -52, math.max(2 ^ -52, columns[k][i])))
  end
  return sum / #places
end

--- Mean over the classes of the area under the ROC curve of each against the rest.
---@param y fr.column
---@param p flowrun.Frame
---@return number
function ml_metrics.roc_auc_of_classes(y, p)
  local places, sum = places_of("ml.roc_auc", y, p), 0
  for k, name in ipairs(p.columns) do
    local one = {}
    for i, place in ipairs(places) do one[i] = place == k and 1 or 0 end
    sum = sum + core.ranking(array_of(one), p:col(name), "roc_auc")
  end
  return sum / #p.columns
end

--- The share of rows whose class is among the k most probable ones. Of equal probabilities the
--- later class counts as more probable, as scikit-learn has it.
---@param y fr.column
---@param p flowrun.Frame of predict_proba
---@param k? integer 2
---@return number
function ml_metrics.top_k(y, p, k)
  k = args.whole("ml.top_k: k", k or 2, 1)
  local places, columns, hit = places_of("ml.top_k", y, p), {}, 0
  for j, name in ipairs(p.columns) do columns[j] = p:col(name) end
  for i, place in ipairs(places) do
    local own, better = columns[place][i], 0
    for j, column in ipairs(columns) do
      if column[i] > own or column[i] == own and j > place then better = better + 1 end
    end
    if better < k then hit = hit + 1 end
  end
  return hit / #places
end

-- --- numbers ---

local function numbers_of(what, y, p)
  y, p = array_of(y, what .. ": the true values"), array_of(p, what .. ": the predictions")
  if #y ~= #p then invalid("%s: %d true values, but %d predictions", what, #y, #p) end
  if #y == 0 then invalid("%s: no rows to score", what) end
  for i = 1, #y do
    if type(y[i]) ~= "number" or type(p[i]) ~= "number" then
      invalid("%s: row %d has %s and %s, expected two numbers", what, i, tostring(y[i]),
        tostring(p[i]))
    end
  end
  return y, p
end

local function mean_of(what, y, p, loss)
  y, p = numbers_of(what, y, p)
  local sum = 0
  for i = 1, #y do sum = sum + loss(y[i], p[i], i) end
  return sum / #y
end

--- Median of the absolute errors.
---@param y fr.column
---@param p fr.column
---@return number
function ml_metrics.median_ae(y, p)
  y, p = numbers_of("ml.median_ae", y, p)
  return ((y - p):abs()):quantile(0.5)
end

--- The greatest absolute error.
---@param y fr.column
---@param p fr.column
---@return number
function ml_metrics.max_error(y, p)
  y, p = numbers_of("ml.max_error", y, p)
  return ((y - p):abs()):max() + 0.0
end

--- 1 - variance of the errors / variance of y: as r2, but a constant error does not count.
---@param y fr.column
---@param p fr.column
---@return number
function ml_metrics.explained_variance(y, p)
  y, p = numbers_of("ml.explained_variance", y, p)
  local n, mean, error_mean = #y, y:mean(), (y - p):mean()
  local all, left = 0, 0
  for i = 1, n do
    all, left = all + (y[i] - mean) ^ 2, left + (y[i] - p[i] - error_mean) ^ 2
  end
  return all == 0 and (left == 0 and 1.0 or 0.0) or 1 - left / all
end

--- Mean squared difference of log(1 + value).
---@param y fr.column
---@param p fr.column
---@return number
function ml_metrics.msle(y, p)
  return mean_of("ml.msle", y, p, function(a, b, i)
    if a <= -1 or b <= -1 then invalid("ml.msle: row %d has a value of -1 or below", i) end
    return (math.log(1 + a) - math.log(1 + b)) ^ 2
  end)
end

--- Mean pinball loss of predictions of the q-quantile.
---@param y fr.column
---@param p fr.column
---@param q number from 0 to 1
---@return number
function ml_metrics.pinball(y, p, q)
  args.number("ml.pinball: q", q, 0, 1)
  return mean_of("ml.pinball", y, p, function(a, b)
    return a >= b and q * (a - b) or (1 - q) * (b - a)
  end)
end

--- Mean Poisson deviance of predicted means of counts.
---@param y fr.column
---@param p fr.column positive
---@return number
function ml_metrics.poisson_deviance(y, p)
  return mean_of("ml.poisson_deviance", y, p, function(a, b, i)
    if a < 0 or b <= 0 then
      invalid("ml.poisson_deviance: row %d has count %g and mean %g; 0 or more, and more than 0 "
        .. "are expected", i, a, b)
    end
    return 2 * ((a > 0 and a * math.log(a / b) or 0) - a + b)
  end)
end

return ml_metrics
