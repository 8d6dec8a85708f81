--- Models and metrics. A specification (`ml.random_forest{…}`) says what to fit; fitting it on
--- a frame gives a model, a value like any other: it never changes, passes between tasks,
--- and is saved as one file without code in it.
---
---     local ml = require "flowrun.ml"
---     local model = ml.random_forest{trees = 100, seed = 42}:fit(train, "failure")
---     print(model:report(test))                      -- precision, recall, … per class
---     print(model:score(test).roc_auc)
---     local risk = model:predict_proba(test)["1"]    -- the column of class 1
local core = require "flowrun.core.ml"
local frame = require "flowrun.frame"
local ml_args = require "flowrun.ml_args"
local ml_draw = require "flowrun.ml_draw"
local ml_import = require "flowrun.ml_import"
local ml_metrics = require "flowrun.ml_metrics"
local ml_prepare = require "flowrun.ml_prepare"
local ml_responses = require "flowrun.ml_responses"
local ml_select = require "flowrun.ml_select"
local ml_shape = require "flowrun.ml_shape"
local ml_stream = require "flowrun.ml_stream"
local ml_trees = require "flowrun.ml_trees"

local linear_core = require "flowrun.core.linear"

local ml = {}
local methods = core.methods

---@class flowrun.Model
---@class flowrun.ModelSpec
---@field kind string
---@field options table every option by its own name

local invalid, array_of = ml_args.invalid, ml_args.array_of
local check_frame, check_names = ml_args.check_frame, ml_args.check_names

-- --- specifications ---

local Spec, Alone = {}, {}
Spec.__index = Spec
Spec.__name = "flowrun.ModelSpec"

function Spec:__tostring()
  local shown = {}
  for name, value in pairs(self.options) do
    shown[#shown + 1] = ("%s = %s"):format(name, tostring(value))
  end
  table.sort(shown)
  return ("ml.%s{%s}"):format(self.kind, table.concat(shown, ", "))
end

local fit_names = {features = true, weights = true, sample_weight = true, monotone = true,
  categorical = true}

local function feature_names(what, df, target, given, weights)
  if given ~= nil then
    if type(given) ~= "table" then
      invalid("%s: features is a list of column names, got a %s", what, type(given))
    end
    for _, name in ipairs(given) do
      if name == target then invalid("%s: the target `%s` is among the features", what, target) end
    end
    return given
  end
  local names = {}
  for _, name in ipairs(df.columns) do
    if name ~= target and name ~= weights then names[#names + 1] = name end
  end
  return names
end

-- A target given as an array must not be among the features it is to be predicted from.
local function refuse_leak(what, df, names, y)
  for _, name in ipairs(names) do
    if df:col(name) == y then
      invalid("%s: column `%s` is the target itself; write :fit(frame, \"%s\")", what, name, name)
    end
  end
end

--- Fits on a frame. Trees, boosting, `ml.linear` of one target and `ml.logistic` of two classes
--- take `weights` (sample_weight): a column's name, which then is no feature, or one number per
--- row. Boosting also takes `monotone = {age = 1}` (its
--- predictions never fall when age grows; -1: never rise) and `categorical = {"zone"}` (whole
--- numbers without an order). `ml.linear` fits several targets at once, thousands if need be,
--- `fit(df, {"kw1", "kw2"})`; with `missing = "skip"` each leaves out the rows where it is null.
---@param df flowrun.Frame
---@param target string|string[]|fr.column the name of a column, or one value per row
---@param options? {missing: "error"|"skip", features: string[], weights: string|fr.column,
---  monotone: table<string, integer>, categorical: string[]} features: all columns but the target
---@return flowrun.Model
function Spec:fit(df, target, options)
  local what = ("ml.%s:fit"):format(self.kind)
  check_frame(df, what)
  if type(target) == "table" and type(target[1]) == "string" and #target > 1
    and df:has(target[1]) then
    return ml_responses.fit(self, df, target, options)
  end
  options = check_names(what, options, fit_names)
  local name, y = "y"
  if type(target) == "string" then
    name, y = target, df:col(target)
  elseif type(target) == "table" and type(target[1]) == "string" and df:has(target[1]) then
    name, y = target[1], df:col(target[1])
  else
    y = array_of(target, what .. ": the target")
  end
  local weights = options.weights or options.sample_weight
  local names = feature_names(what, df, name, options.features, weights)
  if y and type(target) ~= "string" then refuse_leak(what, df, names, y) end
  if type(weights) == "string" then weights = df:col(weights) end
  if weights ~= nil then weights = array_of(weights, what .. ": weights") end
  if self.class_weight then
    weights = ml_trees.class_weights(what, self.class_weight, y, weights, name)
  end
  return core.fit(self.kind, self.options, df:select(names), name, y, weights,
    ml_trees.monotone(what, names, options.monotone),
    ml_trees.categorical(what, names, options.categorical))
end

-- Specifications that are fitted without a target.
Alone.__index = Alone
Alone.__name = "flowrun.ModelSpec"
Alone.__tostring = Spec.__tostring

--- Fits on a frame.
---@param df flowrun.Frame
---@param options? {features: string[]} default: all columns
---@return flowrun.Model
function Alone:fit(df, options)
  local what = ("ml.%s:fit"):format(self.kind)
  check_frame(df, what)
  options = check_names(what, options, {features = true})
  local names = feature_names(what, df, nil, options.features)
  return core.fit(self.kind, self.options, df:select(names), "", nil)
end

--- Fits a kind that transforms, and transforms the same frame.
---@param df flowrun.Frame
---@return flowrun.Frame transformed, flowrun.Model fitted
function Alone:fit_transform(df)
  local fitted = self:fit(df)
  return fitted:transform(df), fitted
end

local function alone(kind)
  return function(options)
    return setmetatable({kind = kind, options = core.check(kind, options)}, Alone)
  end
end

local function maker(kind)
  return function(options)
    local weights = type(options) == "table" and options.class_weight
    if type(weights) == "table" then     -- by class; the model only ever sees weights of rows
      local others = {}
      for name, value in pairs(options) do
        if name ~= "class_weight" then others[name] = value end
      end
      core.check(kind, {class_weight = "none"})      -- whether it takes them
      options = others
    else
      weights = nil
    end
    if options ~= nil and type(options) ~= "table" then
      invalid("ml.%s: options are a table, got a %s", kind, type(options))
    end
    return setmetatable({kind = kind, options = core.check(kind, options),
      class_weight = weights}, Spec)
  end
end

---@class flowrun.decision_tree.Options
---@field max_depth? integer greatest number of splits above a leaf: no limit
---@field min_samples_split? integer fewest rows of a node that is split: 2
---@field min_samples_leaf? integer fewest rows of a leaf: 1
---@field max_features? number|string tried per node: "sqrt", "log2", "all", a number,
---  a share below 1
---@field min_impurity_decrease? number least decrease of impurity, by the node's share of rows: 0
---@field bins? integer most different values of a feature: exact (max_bins)
---@field seed? integer equal seeds give equal models: 0 (random_state)
---@field threads? integer most threads: what the task may use (n_jobs)
---@field criterion? "gini"|"entropy" impurity of a node
---@field class_weight? "none"|"balanced"|table weights by class

--- A single tree for classes: easy to read (`model:text()`, `model:svg()`), and exactly the splits
--- of scikit-learn's DecisionTreeClassifier.
---@param options? flowrun.decision_tree.Options
---@return flowrun.ModelSpec
ml.decision_tree = maker("decision_tree")

--- A single tree for numbers; options as for decision_tree, without criterion and class_weight.
---@param options? table
---@return flowrun.ModelSpec
ml.decision_tree_regressor = maker("decision_tree_regressor")

---@class flowrun.random_forest.Options
---@field trees? integer how many trees: 100 (n_estimators)
---@field max_depth? integer greatest number of splits above a leaf: no limit
---@field min_samples_split? integer fewest rows of a node that is split: 2
---@field min_samples_leaf? integer fewest rows of a leaf: 1
---@field max_features? number|string tried per node: "sqrt", "log2", "all", a number,
---  a share below 1
---@field bootstrap? boolean each tree draws its rows with replacement: true
---@field max_samples? number rows that a tree draws, or a share up to 1: as many as there are
---@field min_impurity_decrease? number least decrease of impurity, by the node's share of rows: 0
---@field bins? integer most different values of a feature, the others are grouped: exact;
---  256 is faster on many rows (max_bins)
---@field seed? integer equal seeds give equal models: 0 (random_state)
---@field threads? integer most threads: what the task may use (n_jobs)
---@field criterion? "gini"|"entropy" impurity of a node
---@field class_weight? "none"|"balanced"|table weights by class: {no = 1, yes = 10}

--- A random forest: trees on bootstrap samples, exact splits, probabilities averaged
--- (Breiman 2001; the rules are scikit-learn's RandomForestClassifier's).
---@param options? flowrun.random_forest.Options
---@return flowrun.ModelSpec
ml.random_forest = maker("random_forest")

--- A random forest for numbers; options as for random_forest, without criterion and class_weight;
--- all features are tried per node unless max_features says otherwise.
---@param options? table
---@return flowrun.ModelSpec
ml.random_forest_regressor = maker("random_forest_regressor")

--- Extra trees: a random cut per feature tried, all rows in every tree (Geurts 2006; the rules of
--- scikit-learn's ExtraTreesClassifier). Options as for random_forest.
---@param options? flowrun.random_forest.Options
---@return flowrun.ModelSpec
ml.extra_trees = maker("extra_trees")

--- Extra trees for numbers.
---@param options? table
---@return flowrun.ModelSpec
ml.extra_trees_regressor = maker("extra_trees_regressor")

---@class flowrun.gradient_boosting.Options
---@field rounds? integer how many trees, or sets of a tree per class: 100 (n_estimators)
---@field leaves? integer most leaves of a tree: 31, no limit when depth is given (max_leaf_nodes)
---@field depth? integer greatest number of splits above a leaf: no limit, 3 with compat (max_depth)
---@field learning_rate? number how much of each tree's step is taken: 0.1
---@field min_samples_leaf? integer fewest rows of a leaf: 20, 1 with compat
---@field l2? number pulls the leaves' steps towards 0: 0
---@field subsample? number share of the rows that each round draws: 1 (bagging_fraction)
---@field colsample? number share of the features that each tree may use: 1 (colsample_bytree)
---@field early_stopping? integer stops when the loss on held-out rows has not fallen for so many
---  rounds, and keeps the best: not unless given (n_iter_no_change)
---@field validation? number share of the rows that early stopping holds out: 0.1
---@field compat? "none"|"sklearn" grow the trees of its GradientBoostingClassifier
---@field seed? integer of subsample, colsample, early_stopping: 0 (random_state)
---@field threads? integer most threads: what the task may use (n_jobs)
---@field class_weight? "none"|"balanced"|table weights by class

--- Gradient boosting of classes: histograms and leaf-wise trees (as LightGBM), or with
--- `compat = "sklearn"` the trees of scikit-learn's GradientBoostingClassifier. `fit` takes
--- `weights`, `monotone` and `categorical`.
---@param options? flowrun.gradient_boosting.Options
---@return flowrun.ModelSpec
ml.gradient_boosting = maker("gradient_boosting")

---@class flowrun.gradient_boosting_regressor.Options
---@field rounds? integer how many trees: 100 (n_estimators)
---@field leaves? integer most leaves of a tree: 31, no limit when depth is given (max_leaf_nodes)
---@field depth? integer greatest number of splits above a leaf: no limit, 3 with compat (max_depth)
---@field learning_rate? number how much of each tree's step is taken: 0.1
---@field min_samples_leaf? integer fewest rows of a leaf: 20, 1 with compat
---@field l2? number pulls the leaves' steps towards 0: 0
---@field subsample? number share of the rows that each round draws: 1 (bagging_fraction)
---@field colsample? number share of the features that each tree may use: 1 (colsample_bytree)
---@field early_stopping? integer stops when the loss on held-out rows has not fallen for so many
---  rounds, and keeps the best: not unless given (n_iter_no_change)
---@field validation? number share of the rows that early stopping holds out: 0.1
---@field compat? "none"|"sklearn" grow the trees of its GradientBoostingRegressor
---@field seed? integer of subsample, colsample, early_stopping: 0 (random_state)
---@field threads? integer most threads: what the task may use (n_jobs)
---@field loss? "squared_error"|"absolute_error"|"quantile"|"poisson"|"tweedie" what is made small
---@field quantile? number which one loss = "quantile" predicts: 0.5 (alpha)
---@field tweedie_power? number of the mean that the variance grows with, for loss = "tweedie":
---  near 1 as counts, near 2 as amounts: 1.5 (tweedie_variance_power)

--- Gradient boosting of numbers: their mean, median, any quantile, counts, or amounts that are
--- often 0 (`loss = "tweedie"`: minutes without power, costs).
---@param options? flowrun.gradient_boosting_regressor.Options
---@return flowrun.ModelSpec
ml.gradient_boosting_regressor = maker("gradient_boosting_regressor")

---@class flowrun.isolation_forest.Options
---@field trees? integer how many trees: 100 (n_estimators)
---@field max_samples? number rows that a tree draws, or a share up to 1: 256
---@field contamination? number|string share of rows that are anomalies; "auto": those that score
---  above 0.5
---@field seed? integer equal seeds give equal models: 0 (random_state)
---@field threads? integer most threads: what the task may use (n_jobs)

--- An isolation forest finds rows unlike the others, without a target (Liu 2008; the rules are
--- scikit-learn's IsolationForest's).
---
---     local model = ml.isolation_forest{seed = 1}:fit(df, {features = {"kw", "temp"}})
---     local odd = df:with{{"score", model:anomaly(df)}}:filter("score > 0.6")
---@param options? flowrun.isolation_forest.Options
---@return table with fit(frame, {features = …})
ml.isolation_forest = alone("isolation_forest")

---@class flowrun.half_space_trees.Options
---@field trees? integer how many trees: 25 (n_trees)
---@field depth? integer cuts above a leaf: 8 (height)
---@field window? integer rows after which what was counted becomes the reference: 250
---@field seed? integer equal seeds give equal cuts: 0 (random_state)

--- Half-space trees find anomalies in a stream without keeping rows (Tan, Ting, Liu 2011). `fit`
--- takes the features' ranges from the first rows and counts them; `learn` goes on from there.
--- The detector is a value: save it as a checkpoint, or return it from a task.
---
---     local detector = ml.half_space_trees{seed = 1}:fit(first)
---     for batch in batches do
---       local score
---       score, detector = detector:learn(batch)        -- near 1: unlike the last window
---     end
---@param options? flowrun.half_space_trees.Options
---@return table with fit(frame, {features = …})
function ml.half_space_trees(options)
  return setmetatable({kind = "half_space_trees", options = core.check("half_space_trees",
    options)}, Alone)
end

---@class flowrun.ewma.Options
---@field lambda? number weight of the latest number: 0.2 (alpha)
---@field limit? number distance of the limits from the mean, in the chart's standard
---  deviations: 3 (L)
---@field asymptotic? boolean the limits are wide from the start: false

--- A control chart of exponentially weighted means, for small lasting shifts (Roberts 1959).
--- `fit` takes the mean and the standard deviation from numbers in control, or `{mean =, sd =}`;
--- `update` takes the next numbers (or one) and gives ewma, lower, upper, alarm for each, and the
--- chart that has seen them: a value, to return from a task or to keep as a checkpoint.
---
---     local chart = ml.ewma{lambda = 0.3}:fit(calm.kw)
---     local seen
---     seen, chart = chart:update(today.kw)
---     print(seen:filter("alarm"))
---@param options? flowrun.ewma.Options
---@return table with fit(numbers | {mean =, sd =})
ml.ewma = ml_stream.maker("ewma")

---@class flowrun.cusum.Options
---@field k? number what is taken off each deviation, in standard deviations: half the shift to be
---  found: 0.5 (slack)
---@field h? number sum that is an alarm, in standard deviations: 5 (threshold)
---@field reset? boolean the sums start again after an alarm: false

--- A control chart of cumulative sums (tabular CUSUM, Page 1954): up, down, alarm for each number.
--- Used as `ml.ewma`.
---@param options? flowrun.cusum.Options
---@return table with fit(numbers | {mean =, sd =})
ml.cusum = ml_stream.maker("cusum")

---@class flowrun.page_hinkley.Options
---@field delta? number change of the mean that does not matter, in the column's units: 0.005
---@field threshold? number sum above which the mean has drifted, in the column's units: 50 (lambda)
---@field alpha? number what each number leaves of the sums before it: 0.9999 (forgetting)
---@field min_instances? integer numbers before the first alarm, and after each: 30 (min_rows)
---@field mode? "both"|"up"|"down" which changes of the mean count: both (side)

--- Finds when the mean of a stream has drifted (Page-Hinkley test; the rules are river's):
--- mean, up, down, alarm for each number. It needs no fit and starts again after an alarm.
---
---     local detector, seen = ml.page_hinkley{threshold = 20}
---     for batch in batches do
---       seen, detector = detector:update(batch.kw)
---     end
---@param options? flowrun.page_hinkley.Options
---@return table with update(numbers)
ml.page_hinkley = ml_stream.maker("page_hinkley")

---@class flowrun.adwin.Options
---@field delta? number probability of an alarm without a change: 0.002
---@field clock? integer numbers between two looks for a change: 32
---@field min_window_length? integer fewest numbers of a part that is compared: 5 (min_window)
---@field grace_period? integer no look before the window holds more numbers: 10
---@field reset? boolean an alarm drops the whole window, as river's does: false

--- A window that grows while the mean of a stream stays and drops its oldest part when it does not
--- (ADWIN: Bifet, Gavaldà 2007): mean, width, alarm for each number. Used as `ml.page_hinkley`.
---@param options? flowrun.adwin.Options
---@return table with update(numbers)
ml.adwin = ml_stream.maker("adwin")

---@class flowrun.online_logistic.Options
---@field learning_rate? number length of the step that each row causes: 0.01 (eta0)
---@field l2? number pulls the coefficients towards 0 with each row: 0 (alpha)
---@field intercept? boolean a constant is learnt too: true (fit_intercept)
---@field scale? boolean columns are scaled by the rows learnt so far: true

--- Logistic regression of two classes that learns row by row (stochastic gradient descent). `fit`
--- learns the first rows, which must have both classes; `update` predicts the next ones, each
--- before it learns it, so that the predictions are an honest score.
---
---     local model = ml.online_logistic{}:fit(first, "failed")
---     local p
---     p, model = model:update(batch)           -- probability of the last class, beforehand
---@param options? flowrun.online_logistic.Options
---@return flowrun.ModelSpec
ml.online_logistic = maker("online_logistic")

---@class flowrun.linear.Options
---@field l2? number makes it a ridge regression: 0 (alpha)
---@field intercept? boolean a constant is fitted too: true (fit_intercept)
---@field threads? integer most threads: what the task may use (n_jobs)

--- Linear regression by least squares; `l2` makes it a ridge regression. Columns that the
--- others explain get the coefficient 0.
---@param options? flowrun.linear.Options
---@return flowrun.ModelSpec
ml.linear = maker("linear")

---@class flowrun.logistic.Options
---@field l2? number 1 / C of scikit-learn
---@field intercept? boolean a constant is fitted too: true (fit_intercept)
---@field max_iterations? integer most steps: 1000 (max_iter)
---@field threads? integer most threads: what the task may use (n_jobs)

--- Logistic regression: of two classes by Newton's method, of more (multinomial) by L-BFGS.
---@param options? flowrun.logistic.Options
---@return flowrun.ModelSpec
ml.logistic = maker("logistic")

---@class flowrun.lasso.Options
---@field alpha? number weight of the penalty: 1
---@field intercept? boolean a constant is fitted too: true (fit_intercept)
---@field max_iterations? integer most passes over the coefficients: 10000 (max_iter)
---@field threads? integer most threads: what the task may use (n_jobs)

--- Least squares with a penalty on the absolute coefficients, which sets many of them to 0
--- (scikit-learn's Lasso: alpha * |b| beside half the mean squared error).
---@param options? flowrun.lasso.Options
---@return flowrun.ModelSpec
ml.lasso = maker("lasso")

---@class flowrun.elastic_net.Options
---@field alpha? number weight of the penalty: 1
---@field intercept? boolean a constant is fitted too: true (fit_intercept)
---@field max_iterations? integer most passes over the coefficients: 10000 (max_iter)
---@field threads? integer most threads: what the task may use (n_jobs)
---@field l1_ratio? number share of it on absolute values; the rest is on squares: 0.5

--- Least squares with both penalties, of the lasso and of ridge regression (ElasticNet).
---@param options? flowrun.elastic_net.Options
---@return flowrun.ModelSpec
ml.elastic_net = maker("elastic_net")

---@class flowrun.poisson.Options
---@field alpha? number weight of half the squared coefficients beside the mean loss: 0 (l2)
---@field intercept? boolean a constant is fitted too: true (fit_intercept)
---@field max_iterations? integer most Newton steps: 100 (max_iter)
---@field threads? integer most threads: what the task may use (n_jobs)

--- Regression of counts: the logarithm of their mean is linear in the features (scikit-learn's
--- PoissonRegressor; its preset of alpha is 1, ours 0).
---
---     local model = ml.poisson{}:fit(train, "outages", {features = {"wind", "lightning"}})
---@param options? flowrun.poisson.Options
---@return flowrun.ModelSpec
ml.poisson = maker("poisson")

---@class flowrun.kmeans.Options
---@field clusters? integer how many groups: 8 (n_clusters)
---@field runs? integer starts, of which the best is kept: 1 (n_init)
---@field max_iterations? integer most steps of a run: 300 (max_iter)
---@field tolerance? number ends when centres move less, squared, by the mean variance: 1e-4 (tol)
---@field seed? integer equal seeds give equal models: 0 (random_state)
---@field threads? integer most threads: what the task may use (n_jobs)

--- Groups of rows around centres: k-means with greedy k-means++ starts. `predict` numbers the
--- clusters from 1; `model:clusters()` has the centres.
---
---     local model = ml.kmeans{clusters = 4, seed = 1}:fit(df, {features = {"kw", "temp"}})
---     local df2 = df:with{{"cluster", model:predict(df)}}
---@param options? flowrun.kmeans.Options
---@return table with fit(frame, {features = …})
ml.kmeans = alone("kmeans")

---@class flowrun.pca.Options
---@field components? number how many; below 1: as many as explain that share of the variance: all
---  (n_components)
---@field whiten? boolean divides each by its standard deviation: false
---@field threads? integer most threads: what the task may use (n_jobs)

--- Principal components: `transform` replaces the fitted columns by pc1, pc2, …;
--- `model:components()` tells variances and directions. Needs OpenBLAS.
---@param options? flowrun.pca.Options
---@return table with fit(frame, {features = …})
ml.pca = alone("pca")

---@class flowrun.nearest.Options
---@field neighbours? integer how many rows are asked: 5 (n_neighbors)
---@field weights? "uniform"|"distance" whether closer rows count more: uniform
---@field metric? "euclidean"|"manhattan" how far apart two rows are: euclidean

--- The classes of the most similar rows. Scale the features first: ml.pipeline{ml.scaler(), …}.
---@param options? flowrun.nearest.Options
---@return flowrun.ModelSpec
ml.nearest = maker("nearest")

--- The mean number of the most similar rows; options as for nearest.
---@param options? table
---@return flowrun.ModelSpec
ml.nearest_regressor = maker("nearest_regressor")

--- The kinds of models with their options, as rows of documentation.
---@return {name: string, title: string, options: table[]}[]
function ml.kinds() return core.kinds() end

--- A model from a file that `model:save` wrote. Damaged files and files of newer versions
--- are refused.
---@param path string
---@return flowrun.Model
function ml.load(path) return core.load(path) end

--- A model that XGBoost saved as JSON (`booster.save_model("model.json")`), for predicting: trees
--- (gbtree) of one target, also with categories; predictions are XGBoost's to about 1e-6, as it
--- adds in float32. Classes are 0, 1, … as in the file.
---@param path string
---@param options? {features: string[]} names of the columns, when the file has none: f0, f1, …
---@return flowrun.Model
function ml.read_xgboost(path, options) return ml_import.xgboost(path, options) end

--- A model that LightGBM saved as text (`booster.save_model("model.txt")`), for predicting, with
--- its rules for missing values and categories. Columns of pandas categories are given as codes.
---
---     local model = ml.read_lightgbm("model.txt")
---     local p = model:predict_proba(df)["1"]
---@param path string
---@param options? {features: string[]} names of the columns in place of the file's
---@return flowrun.Model
function ml.read_lightgbm(path, options) return ml_import.lightgbm(path, options) end

-- --- models ---

local raw_score, raw_predict = methods.score, methods.predict
local raw_proba, raw_importances = methods.predict_proba, methods.importances
local raw_in_sample = methods.in_sample
local raw_threshold, raw_explain = methods.threshold, methods.explain
local raw_learn = methods.learn

-- The target column of the frame, or the one given.
local function target_of(model, what, df, y)
  check_frame(df, what)
  if y ~= nil then return array_of(y, what .. ": the target") end
  local name = model:info().target
  if name == "" then invalid("%s: the model has no target", what) end
  if not df:has(name) then
    invalid("%s: the frame lacks the target `%s`; give it as second argument", what, name)
  end
  return df:col(name)
end

--- The most probable class of each row, of the target's type, or a number. An isolation forest
--- says -1 for anomalies and 1 for the others. Columns are matched by name. A model of several
--- targets gives a frame with a column for each.
---@param df flowrun.Frame
---@return flowrun.Array|flowrun.Frame
function methods:predict(df)
  check_frame(df, "model:predict")
  if ml_responses.is(self) then return ml_responses.predict(self, df) end
  local p = raw_predict(self, df)
  if self:info().kind ~= "isolation_forest" then return ml_shape.labels(self, p) end
  return frame.from{{"score", p}}:with({{"side", "if_else(score > $t, -1, 1)"}},
    {t = raw_threshold(self)}):col("side")
end

--- How odd each row is to an isolation forest, from 0 to 1: about 0.5 for most, near 1 for
--- anomalies (minus scikit-learn's score_samples).
---@param df flowrun.Frame
---@return flowrun.Array
function methods:anomaly(df)
  raw_threshold(self)
  return raw_predict(self, check_frame(df, "model:anomaly"))
end

--- Scores the next rows of a stream, each before it is counted, and returns the detector that has
--- counted them. The old one does not change.
---@param df flowrun.Frame
---@return flowrun.Array scores from 0 to 1, near 1 for anomalies
---@return flowrun.Model detector
function methods:learn(df) return raw_learn(self, check_frame(df, "model:learn")) end

--- Takes the next numbers or rows of a stream and returns what they say and the model that has seen
--- them; the old one does not change. Charts and drift detectors take numbers (an array, a list,
--- one number, a frame of one column) and give a frame with a row for each, or for one number a
--- table; nulls are passed over. `online_logistic` takes a frame and gives the probability of the
--- last class of each row before it learnt it; half-space trees take a frame and give scores.
---@param data any
---@param y? fr.column the classes: the target's column
---@return flowrun.Frame|flowrun.Array|table said
---@return flowrun.Model next
function methods:update(data, y)
  local kind = self:info().kind
  if ml_stream.watches(kind) then return ml_stream.update(self, data) end
  if kind == "online_logistic" then
    return ml_stream.learn(self, data, target_of(self, "model:update", data, y))
  end
  return raw_learn(self, check_frame(data, "model:update"))
end

--- A tree of a forest or of boosting as indented text, as scikit-learn's `export_text` has it.
---@param options? {tree: integer, max_depth: integer, decimals: integer} 1, 10, 2
---@return string
function methods:text(options) return ml_draw.text(self, options) end

--- A tree of a forest or of boosting as a drawing.
---@param options? {tree: integer, max_depth: integer, decimals: integer} 1, 4, 2
---@return string svg
function methods:svg(options) return ml_draw.svg(self, options) end

--- What each feature adds to each prediction (SHAP values: Lundberg 2018, exact for trees).
--- `base` plus a row's values is what the trees predict: the probability of a class for forests,
--- its log-odds for boosting (logarithm of the mean for Poisson), else the number.
---@param df flowrun.Frame
---@param options? {class: any} of more than two classes, which one: the last
---@return flowrun.Frame values one column per feature
---@return number base
function methods:explain(df, options)
  check_frame(df, "model:explain")
  options = check_names("model:explain", options, {class = true})
  local info = self:info()
  local classes, number = info.classes, nil
  if classes and #classes > 2 then
    number = #classes
    if options.class ~= nil then number = nil end
    for i = 1, #classes do
      if classes[i] == options.class then number = i end
    end
    if not number then
      invalid("model:explain: no class is %s", tostring(options.class))
    end
  elseif options.class ~= nil then
    invalid("model:explain: class is for more than two classes; values are of the last one")
  end
  local base, values = raw_explain(self, df, number)
  local columns = {}
  for i, name in ipairs(info.features) do columns[i] = {name, values[i]} end
  return frame.from(columns), base
end

--- The probability of each class, in columns named by the classes.
---@param df flowrun.Frame
---@return flowrun.Frame
function methods:predict_proba(df)
  return raw_proba(self, check_frame(df, "model:predict_proba"))
end

--- Scores on rows whose classes are known. With two classes precision, recall, f1 and roc_auc
--- are those of the second; with more they are means over the classes (roc_auc: each against
--- the rest). roc_auc is nil when a class does not occur. A model of several targets gives a frame
--- (target, r2, rmse, n), without `df` of the rows fitted on.
---@param df flowrun.Frame
---@param y? fr.column default: the target's column
---@return {accuracy: number, precision: number, recall: number, f1: number, roc_auc: number?,
---  log_loss: number, rows: integer}
function methods:score(df, y)
  if ml_responses.is(self) then return ml_responses.score(self, df, core.errors) end
  if not self:info().classes then                  -- numbers: r2, rmse, mae
    y = target_of(self, "model:score", df, y)
    local e = core.errors(y, raw_predict(self, df))
    return {r2 = e.r2, rmse = e.rmse, mae = e.mae, rows = #df}
  end
  return raw_score(self, df, target_of(self, "model:score", df, y))
end

--- The table of `ml.report` for the model's own predictions. On the rows it was fitted on, the
--- first line says IN-SAMPLE: such scores say nothing about new rows.
---@param df flowrun.Frame
---@param y? fr.column default: the target's column
---@return string
function methods:report(df, y)
  y = target_of(self, "model:report", df, y)
  local text = core.report(y, raw_predict(self, df))
  if raw_in_sample(self, df, y) then
    text = "IN-SAMPLE: scores on the rows that the model was fitted on\n" .. text
  end
  return text
end

--- How much each feature contributed, greatest first. Trees: the decrease of impurity (or loss)
--- by its splits, as shares of 1. With `kind = "permutation"`: how much the score (accuracy or r2)
--- on `data` falls when the feature's values are shuffled, mean over `repeats`; this can be asked
--- of every model, and on rows it was not fitted on.
---@param options? {kind: "impurity"|"permutation", data: flowrun.Frame, y: fr.column,
---  repeats: integer, seed: integer}
---@return flowrun.Frame columns feature, importance; by permutation also std
function methods:importances(options)
  options = check_names("model:importances", options, {kind = true, data = true, y = true,
    repeats = true, seed = true})
  if options.kind == "permutation" then return ml_trees.permutation(self, options) end
  if options.kind ~= nil and options.kind ~= "impurity" then
    invalid('model:importances: kind is "impurity" or "permutation", got %s',
      tostring(options.kind))
  end
  local values, rows = raw_importances(self), {}
  for i, name in ipairs(self:info().features) do rows[i] = {name, values[i]} end
  table.sort(rows, function(a, b)
    return a[2] > b[2] or a[2] == b[2] and a[1] < b[1]
  end)
  local names, shares = {}, {}
  for i, row in ipairs(rows) do names[i], shares[i] = row[1], row[2] end
  return frame.from{{"feature", names, "utf8"}, {"importance", shares, "float64"}}
end

--- Transforms the columns that a scaler or coder was fitted on; others pass through.
---@param df flowrun.Frame
---@return flowrun.Frame
local raw_transform = methods.transform
function methods:transform(df) return raw_transform(self, check_frame(df, "model:transform")) end

--- Predictions for the rows a forest was fitted on, each by the trees that did not draw it: an
--- honest score without a test set. Null where every tree drew the row. Needs bootstrap.
---@param df flowrun.Frame the frame fitted on
---@param y? fr.column default: the target's column
---@return {predicted: flowrun.Array|flowrun.Frame, rows: integer, accuracy: number?, r2: number?}
---  predicted: numbers, or the probabilities of the classes
function methods:oob(df, y)
  y = target_of(self, "model:oob", df, y)
  if not raw_in_sample(self, df, y) then
    invalid("model:oob: expected the frame that the model was fitted on")
  end
  return ml_trees.oob(self, df, y)
end

-- --- preparing columns ---

local Prep = {}
Prep.__index = Prep
Prep.__name = "flowrun.Transformer"

function Prep:__tostring() return ("ml.%s, not fitted"):format(self.kind) end

--- Learns from a frame what transforming needs: for a scaler the columns are all numbers
--- unless named.
---@param df flowrun.Frame
---@param columns? string[]
---@return flowrun.Model
function Prep:fit(df, columns)
  local what = ("ml.%s:fit"):format(self.kind)
  check_frame(df, what)
  if self.kind ~= "scaler" then
    return core.coder(self.kind, self.options, df, self.names, self.categories)
  end
  if columns == nil then
    columns = {}
    for _, name in ipairs(df.columns) do
      local kind = df:col(name):type()
      if kind:find("^u?int") or kind:find("^float") then
        columns[#columns + 1] = name
      end
    end
  end
  return core.scaler(self.options, df:select(columns))
end

--- Fits and transforms the same frame.
---@param df flowrun.Frame
---@return flowrun.Frame transformed, flowrun.Model fitted
function Prep:fit_transform(df)
  local fitted = self:fit(df)
  return fitted:transform(df), fitted
end

function Prep:transform()
  invalid("ml.%s: fit it first, on training rows: local fitted = ml.%s{…}:fit(train)", self.kind,
    self.kind)
end

---@class flowrun.scaler.Options
---@field mean? boolean takes the mean away: true
---@field std? boolean divides by the standard deviation: true

--- (x - mean) / standard deviation, of n as scikit-learn's StandardScaler; nulls stay null.
---
---     local scaler = ml.scaler():fit(train)
---     local x = scaler:transform(test)
---@param options? flowrun.scaler.Options
---@return table with fit(frame, columns?)
function ml.scaler(options)
  return setmetatable({kind = "scaler", options = core.check("scaler", options)}, Prep)
end

-- {Type = {"L", "M", "H"}} gives a coder at once, {"Type"} one that learns its categories.
local function coder(kind)
  return function(columns)
    local what = "ml." .. kind
    if type(columns) ~= "table" then
      invalid("%s: expected {Column = {\"first\", \"second\"}} or {\"Column\"}, got a %s", what,
        type(columns))
    end
    local names, categories, options, learns = {}, {}, {}, false
    for key, value in pairs(columns) do
      if key == "unknown" or key == "handle_unknown" then
        options.unknown = value
      elseif math.type(key) == "integer" and type(value) == "string" then
        names[#names + 1] = value
      elseif type(key) == "string" and type(value) ~= "string" then
        names[#names + 1] = key
      else
        invalid("%s: %s should be a column name or a list of categories", what, tostring(value))
      end
    end
    table.sort(names)
    for i, name in ipairs(names) do
      local given = columns[name]
      learns = learns or given == nil
      local says = ("%s: the categories of `%s`"):format(what, name)
      categories[i] = given ~= nil and array_of(given, says) or false
    end
    if #names == 0 then invalid("%s: no columns are named", what) end
    options = core.check(kind, options)
    if not learns then return core.coder(kind, options, nil, names, categories) end
    return setmetatable({kind = kind, options = options, names = names, categories = categories},
      Prep)
  end
end

--- Codes categories as 0, 1, … in the order given: `ml.ordinal{Type = {"L", "M", "H"}}`, or
--- sorted, learnt from a frame: `ml.ordinal{"Type"}:fit(train)`. Other values are errors, or null
--- with `unknown = "ignore"`.
---@param columns table
---@return flowrun.Model|table
ml.ordinal = coder("ordinal")

--- A column of 0 and 1 per category, named `Type_L`: `ml.one_hot{Type = {"L", "M", "H"}}` or
--- `ml.one_hot{"Type"}:fit(train)`. Other values are errors, or 0 in all with
--- `unknown = "ignore"`.
---@param columns table
---@return flowrun.Model|table
ml.one_hot = coder("one_hot")

-- --- splitting ---

local split_names = {test = "test", test_size = "test", stratify = "stratify", seed = "seed",
  random_state = "seed", shuffle = "shuffle"}

--- Parts rows at random into training and test rows, as `frame:split`. Given {X, y}, returns
--- train and test of X, then of y.
---@param what flowrun.Frame|{[1]: flowrun.Frame, [2]: fr.column}
---@param options? {test: number, stratify: string|fr.column, seed: integer} `test_size`,
---`random_state` too
function ml.split(what, options)
  options = check_names("ml.split", options, split_names)
  local o = {}
  for name, value in pairs(options) do o[split_names[name]] = value end
  if frame.is_frame(what) then return what:split(o) end
  if type(what) ~= "table" or not frame.is_frame(what[1]) or what[2] == nil then
    invalid("ml.split: expected a frame or {X, y}, got a %s", type(what))
  end
  local x, name = what[1], "y"
  while x:has(name) do name = name .. "_" end
  local columns = {}
  for i, column in ipairs(x.columns) do columns[i] = {column, x:col(column)} end
  columns[#columns + 1] = {name, array_of(what[2], "ml.split: y")}
  if o.stratify ~= nil and type(o.stratify) ~= "string" then o.stratify = name end
  local train, test = frame.from(columns):split(o)
  return train:drop(name), test:drop(name), train:col(name), test:col(name)
end

--- The coefficients of a regression: name ("intercept" first), value, std_error (null where a
--- column was left out, and for lasso and elastic net), z = value / std_error. Of logistic
--- regression with more than two classes: name and a column per class.
--- A model of several targets: name and a column per target.
---@return flowrun.Frame
function methods:coefficients()
  if ml_responses.is(self) then return ml_responses.coefficients(self) end
  local by_class = linear_core.classes(self)
  if not by_class then return frame.from(linear_core.coefficients(self, frame.null)) end
  local info = self:info()
  local columns = {{"name", {"intercept", table.unpack(info.features)}}}
  for k, values in ipairs(by_class) do
    columns[k + 1] = {tostring(info.classes[k]), values, "float64"}
  end
  return frame.from(columns)
end

-- --- metrics ---

local function pair_of(what, y, p)
  return array_of(y, what .. ": the true classes"), array_of(p, what .. ": the predictions")
end

-- The positive scores among p: an array, or the last column of probabilities.
local function positive_scores(what, p)
  if frame.is_frame(p) then
    local names = p.columns
    if #names > 2 then invalid("%s: needs two classes, the frame has %d columns", what, #names) end
    return p:col(names[#names])
  end
  return array_of(p, what .. ": the scores")
end

local function score_of(name)
  return function(y, p, options)
    local what = "ml." .. name
    options = check_names(what, options, {average = true, positive = true})
    y, p = pair_of(what, y, p)
    local positive = options.positive
    if positive ~= nil then positive = array_of({positive}, what .. ": positive") end
    return core.scores(y, p, options.average, positive)[name]
  end
end

--- The share of rows whose class was predicted.
---@param y fr.column true classes
---@param p fr.column predicted classes
---@return number
function ml.accuracy(y, p)
  y, p = pair_of("ml.accuracy", y, p)
  return core.scores(y, p, "micro").accuracy
end

--- Of the rows predicted positive, the share that is; 0 when there are none.
---@param y fr.column
---@param p fr.column
--- binary: of the last class, or `positive`.
---@param options? {average: "binary"|"macro"|"weighted"|"micro", positive: any}
---@return number
ml.precision = score_of("precision")

--- Of the positive rows, the share predicted so; 0 when there are none.
---@param y fr.column
---@param p fr.column
---@param options? {average: "binary"|"macro"|"weighted"|"micro", positive: any}
---@return number
ml.recall = score_of("recall")

--- The harmonic mean of precision and recall.
---@param y fr.column
---@param p fr.column
---@param options? {average: "binary"|"macro"|"weighted"|"micro", positive: any}
---@return number
ml.f1 = score_of("f1")

--- The text of scikit-learn's `classification_report(y, p)`, byte for byte.
---@param y fr.column
---@param p fr.column
---@return string
function ml.report(y, p)
  y, p = pair_of("ml.report", y, p)
  return core.report(y, p)
end

--- Counts of true (rows) against predicted (columns) classes.
---@param y fr.column
---@param p fr.column
---@return flowrun.Frame
function ml.confusion(y, p)
  y, p = pair_of("ml.confusion", y, p)
  local labels, counts = core.confusion(y, p)
  local columns = {{"true", labels, "utf8"}}
  for j, label in ipairs(labels) do
    local column = {}
    for i = 1, #labels do column[i] = counts[i][j] end
    columns[#columns + 1] = {"predicted " .. label, column, "int64"}
  end
  return frame.from(columns)
end

local function ranking_of(name)
  return function(y, p)
    local what = "ml." .. name
    return core.ranking(array_of(y, what .. ": the true classes"), positive_scores(what, p), name)
  end
end

local roc_auc, log_loss = ranking_of("roc_auc"), ranking_of("log_loss")

--- Area under the ROC curve: the chance that a positive row scores above a negative one. The
--- second of the two sorted classes is the positive one; of more classes it is the mean of each
--- against the rest.
---@param y fr.column
---@param p fr.column|flowrun.Frame scores, or the frame of predict_proba
---@return number
function ml.roc_auc(y, p)
  if frame.is_frame(p) and #p.columns > 2 then return ml_metrics.roc_auc_of_classes(y, p) end
  return roc_auc(y, p)
end

--- Mean squared error of the positive class's probability (Brier 1950).
---@param y fr.column
---@param p fr.column|flowrun.Frame
---@return number
ml.brier = ranking_of("brier")

--- Mean of -log(probability of the true class).
---@param y fr.column
---@param p fr.column|flowrun.Frame
---@return number
function ml.log_loss(y, p)
  if frame.is_frame(p) and #p.columns > 2 then return ml_metrics.log_loss_of_classes(y, p) end
  return log_loss(y, p)
end

local function error_of(name)
  return function(y, p)
    local what = "ml." .. name
    return core.errors(array_of(y, what .. ": the true values"),
      array_of(p, what .. ": the predictions"))[name]
  end
end

--- Mean absolute error.
---@type fun(y: fr.column, p: fr.column): number
ml.mae = error_of("mae")
--- Mean squared error.
---@type fun(y: fr.column, p: fr.column): number
ml.mse = error_of("mse")
--- Root of the mean squared error.
---@type fun(y: fr.column, p: fr.column): number
ml.rmse = error_of("rmse")
--- Mean absolute percentage error, as a fraction: 0.05 is 5 %.
---@type fun(y: fr.column, p: fr.column): number
ml.mape = error_of("mape")
--- Symmetric MAPE, mean of 2 |y - p| / (|y| + |p|), as a fraction.
---@type fun(y: fr.column, p: fr.column): number
ml.smape = error_of("smape")
--- Coefficient of determination: 1 - residual / total sum of squares.
---@type fun(y: fr.column, p: fr.column): number
ml.r2 = error_of("r2")

ml_prepare.know("spec", Spec)
ml_prepare.know("alone", Alone)
ml_prepare.know("prep", Prep)
ml_prepare.extend(methods)
ml_shape.extend(methods)

for _, name in ipairs{"imputer", "minmax", "robust", "pipeline"} do ml[name] = ml_prepare[name] end
for _, name in ipairs{"kfold", "stratified_kfold", "group_kfold", "time_kfold", "folds", "task",
  "cross_validate", "search"} do
  ml[name] = ml_select[name]
end
for _, name in ipairs{"roc_curve", "precision_recall_curve", "average_precision",
  "calibration_curve", "balanced_accuracy", "mcc", "kappa", "hamming", "jaccard", "fbeta", "top_k",
  "median_ae", "max_error", "explained_variance", "msle", "pinball", "poisson_deviance"} do
  ml[name] = ml_metrics[name]
end

return ml
