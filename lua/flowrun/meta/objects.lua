---@meta flowrun
-- Made by docs/make_stubs.lua (`make reference`).

---@class flowrun.Frame
local Frame = {}

--- Some columns, in the order given.
---@param names string|string[]
---@return flowrun.Frame
function Frame:select(names) end

--- All columns but these.
---@param names string|string[]
---@return flowrun.Frame
function Frame:drop(names) end

--- Columns under other names: `df:rename{old = "new"}`.
---@param names table<string, string>
---@return flowrun.Frame
function Frame:rename(names) end

--- Rows first to last, 1-based, both included; beyond the end is cut.
---@param first integer
---@param last? integer
---@return flowrun.Frame
function Frame:slice(first, last) end

--- The first rows, 10 unless told.
---@param n? integer
---@return flowrun.Frame
function Frame:head(n) end

--- The last rows, 10 unless told.
---@param n? integer
---@return flowrun.Frame
function Frame:tail(n) end

--- Rows in order of columns: `{"feeder", {"kw", desc = true, nulls = "first"}}`. Stable;
--- nulls come last unless told, NaN after all numbers. `nulls` in the options holds for all.
---@param keys string|table
---@param options? {nulls: "last"|"first", desc: boolean}
---@return flowrun.Frame
function Frame:sort(keys, options) end

--- All values as `{name = list}`, missing ones as frame.null.
---@return table<string, any[]>
function Frame:to_table() end

--- Missing values per column: `{kw = 3, …}`.
---@return table<string, integer>
function Frame:null_count() end

--- Quantiles of a numeric column, linear between neighbours.
---@param name string
---@param q number|number[] between 0 and 1
---@return number|number[]|nil
function Frame:quantile(name, q) end

--- The types of the columns: `{kw = "float64", …}`.
---@return table<string, string>
function Frame:types() end

--- The rows for which an expression is true; null counts as false. `$name` in it is a
--- parameter. A bool array works too.
---
---     df:filter("amount > $lo and zone in ('N', 'S') and not is_null(kw)", {lo = 3})
---@param condition string|flowrun.Array
---@param params? table<string, any>
---@return flowrun.Frame
function Frame:filter(condition, params) end

--- New or replaced columns. A string is an expression, `frame.lit(v)` a constant, an array or
--- a list a column. All expressions see the frame as it was.
---
---     df:with({{"hour", "hour(when)"}, {"loading", "load_kw / rated_kw * $f"}}, {f = 1.1})
---@param columns table {{name, value}, …} or {name = value}
---@param params? table<string, any>
---@return flowrun.Frame
function Frame:with(columns, params) end

--- Groups rows with equal keys, for `:agg`. Nulls are a group of their own, the last.
---
---     df:group{"feeder"}:agg{{"kw_mean", "mean(kw)"}, {"n", "count()"}}
---@param names string|string[] empty: all rows are one group
---@return flowrun.Group
function Frame:group(names) end

--- Rows of two frames with equal keys, in left order. `how`: "inner" (default), "left",
--- "right", "full", "semi" (left rows with a match), "anti" (without). Null keys match nothing.
--- A right column whose name is taken gets `suffix` ("_right").
---@param other flowrun.Frame
---@param options {on: string|table, how: string, suffix: string}
---@return flowrun.Frame
function Frame:join(other, options) end

--- Every row with the nearest earlier row of another frame: sensor readings with the weather
--- that held. `by` keys must be equal, `tolerance` is the longest distance ("15min", seconds,
--- or a number in the unit of a numeric `on`), `direction` "backward" (default), "forward" or
--- "nearest". The other frame's `on` column stays, as `when_right`.
---@param other flowrun.Frame
---@param options {on: string|table, by: string|table, tolerance: any, direction: string}
---@return flowrun.Frame
function Frame:join_asof(other, options) end

--- The first row of each different key (of whole rows when no names are given), in row order.
---@param names? string|string[]
---@return flowrun.Frame
function Frame:unique(names) end

--- One frame per key, in key order: a list of `{key = value, frame = rows}`; with several
--- columns `key` is `{name = value}`.
---@param names string|string[]
---@return {key: any, frame: flowrun.Frame}[]
function Frame:partition(names) end

--- Two frames, rows drawn at random: `local train, test = df:split{test = 0.2, seed = 42}`.
--- `test` is a share or a number of rows, `stratify` a column (or array) whose classes are
--- represented alike in both. Rows keep their order.
---@param options {test: number, stratify: string|flowrun.Array, seed: integer}
---@return flowrun.Frame train
---@return flowrun.Frame test
function Frame:split(options) end

--- Rows drawn at random without replacement, in row order: `n` of them or a `share`.
---@param options {n: integer, share: number, seed: integer}
---@return flowrun.Frame
function Frame:sample(options) end

--- Only rows without missing values in the columns (all, when none are given). NaN is an
--- ordinary number unless `nan = true`.
---@param names? string|table {"kw", nan = true}
---@return flowrun.Frame
function Frame:dropna(names) end

--- Missing values replaced: `df:fill{kw = 0}`; a single value fills every column that can
--- hold it.
---@param values table<string, any>|number|string|boolean
---@return flowrun.Frame
function Frame:fill(values) end

--- One row per column: type, values, nulls, distinct values, and for numbers mean, std, min,
--- quartiles, max.
---@return flowrun.Frame
function Frame:describe() end

---@class flowrun.Group
local Group = {}

--- One row per group, in key order: the keys, then the aggregates. Functions: count sum mean
--- min max std var median quantile first last nunique.
---@param columns table {{name, expression}, …} or {name = expression}
---@param params? table<string, any>
---@return flowrun.Frame
function Group:agg(columns, params) end

---@class flowrun.Array
local Array = {}

--- Absolute values, of the same type.
---@return flowrun.Array
function Array:abs() end

--- Rounded to so many decimals (0 unless told), halves away from zero.
---@param digits? integer
---@return flowrun.Array
function Array:round(digits) end

---@return flowrun.Array
function Array:floor() end

---@return flowrun.Array
function Array:ceil() end

--- True where the value is missing.
---@return flowrun.Array bool, without nulls
function Array:is_null() end

---@class flowrun.Random
local Random = {}

--- Uniform in [lo, hi).
---@param lo? fr.parameter default 0
---@param hi? fr.parameter default 1
---@param n? integer
---@return flowrun.Array|number
function Random:uniform(lo, hi, n) end

--- Normal with a mean and a standard deviation.
---@param mean? fr.parameter default 0
---@param sd? fr.parameter default 1
---@param n? integer
---@return flowrun.Array|number
function Random:normal(mean, sd, n) end

--- Exponential with a mean (numpy's scale).
---@param mean? fr.parameter default 1
---@param n? integer
---@return flowrun.Array|number
function Random:exponential(mean, n) end

--- The number of successes in `trials` tries.
---@param trials fr.parameter
---@param p fr.parameter probability of each, 0 … 1
---@param n? integer
---@return flowrun.Array|integer
function Random:binomial(trials, p, n) end

--- Poisson counts.
---@param mean fr.parameter
---@param n? integer
---@return flowrun.Array|integer
function Random:poisson(mean, n) end

--- Whole numbers from lo to hi, both included, as Lua counts.
---@param lo integer
---@param hi integer
---@param n? integer
---@return flowrun.Array|integer
function Random:integers(lo, hi, n) end

--- numpy's stream only: whole numbers from lo up to, but without, hi. `randint(hi)` starts at 0.
---@param lo integer
---@param hi? integer
---@param n? integer
---@return flowrun.Array|integer
function Random:randint(lo, hi, n) end

--- The numbers 1 … n in random order; with numpy's stream 0 … n - 1, as there.
---@param n integer
---@return flowrun.Array
function Random:permutation(n) end

--- Draws from a list: one item, or a list of n. Without replacement every item comes at most
--- once. With numpy's stream the items are those `np.random.choice` draws.
---@generic T
---@param list T[]|flowrun.Array
---@param n? integer
---@param options? {replace?: boolean, p?: number[]} default true; equal probabilities
---@return T|T[]
function Random:choice(list, n, options) end

---@class flowrun.ModelSpec
local Spec = {}

--- Fits on a frame. Trees and boosting take `weights` (sample_weight): a column's name, which
--- then is no feature, or one number per row. Boosting also takes `monotone = {age = 1}` (its
--- predictions never fall when age grows; -1: never rise) and `categorical = {"zone"}` (whole
--- numbers without an order).
---@param df flowrun.Frame
---@param target string|fr.column the name of a column, or one value per row
---@param options? {features: string[], weights: string|fr.column, monotone: table<string, integer>,
---  categorical: string[]} features: all columns but the target
---@return flowrun.Model
function Spec:fit(df, target, options) end

---@class flowrun.Model
local Model = {}

--- The most probable class of each row, of the target's type, or a number. An isolation forest
--- says -1 for anomalies and 1 for the others. Columns are matched by name.
---@param df flowrun.Frame
---@return flowrun.Array
function Model:predict(df) end

--- How odd each row is to an isolation forest, from 0 to 1: about 0.5 for most, near 1 for
--- anomalies (minus scikit-learn's score_samples).
---@param df flowrun.Frame
---@return flowrun.Array
function Model:anomaly(df) end

--- A tree of a forest or of boosting as indented text, as scikit-learn's `export_text` has it.
---@param options? {tree: integer, max_depth: integer, decimals: integer} 1, 10, 2
---@return string
function Model:text(options) end

--- A tree of a forest or of boosting as a drawing.
---@param options? {tree: integer, max_depth: integer, decimals: integer} 1, 4, 2
---@return string svg
function Model:svg(options) end

--- What each feature adds to each prediction (SHAP values: Lundberg 2018, exact for trees).
--- `base` plus a row's values is what the trees predict: the probability of a class for forests,
--- its log-odds for boosting (logarithm of the mean for Poisson), else the number.
---@param df flowrun.Frame
---@param options? {class: any} of more than two classes, which one: the last
---@return flowrun.Frame values one column per feature
---@return number base
function Model:explain(df, options) end

--- The probability of each class, in columns named by the classes.
---@param df flowrun.Frame
---@return flowrun.Frame
function Model:predict_proba(df) end

--- Scores on rows whose classes are known. With two classes precision, recall, f1 and roc_auc
--- are those of the second; with more they are means over the classes (roc_auc: each against
--- the rest). roc_auc is nil when a class does not occur.
---@param df flowrun.Frame
---@param y? fr.column default: the target's column
---@return {accuracy: number, precision: number, recall: number, f1: number, roc_auc: number?,
---  log_loss: number, rows: integer}
function Model:score(df, y) end

--- The table of `ml.report` for the model's own predictions. On the rows it was fitted on, the
--- first line says IN-SAMPLE: such scores say nothing about new rows.
---@param df flowrun.Frame
---@param y? fr.column default: the target's column
---@return string
function Model:report(df, y) end

--- How much each feature contributed, greatest first. Trees: the decrease of impurity (or loss)
--- by its splits, as shares of 1. With `kind = "permutation"`: how much the score (accuracy or r2)
--- on `data` falls when the feature's values are shuffled, mean over `repeats`; this can be asked
--- of every model, and on rows it was not fitted on.
---@param options? {kind: "impurity"|"permutation", data: flowrun.Frame, y: fr.column,
---  repeats: integer, seed: integer}
---@return flowrun.Frame columns feature, importance; by permutation also std
function Model:importances(options) end

--- Predictions for the rows a forest was fitted on, each by the trees that did not draw it: an
--- honest score without a test set. Null where every tree drew the row. Needs bootstrap.
---@param df flowrun.Frame the frame fitted on
---@param y? fr.column default: the target's column
---@return {predicted: flowrun.Array|flowrun.Frame, rows: integer, accuracy: number?, r2: number?}
---  predicted: numbers, or the probabilities of the classes
function Model:oob(df, y) end

--- The coefficients of a linear or logistic regression: name ("intercept" first), value,
--- std_error (null where a column was left out), z = value / std_error.
---@return flowrun.Frame
function Model:coefficients() end

---@class flowrun.Prep
local Prep = {}

--- Learns from a frame what transforming needs: for a scaler the columns are all numbers
--- unless named.
---@param df flowrun.Frame
---@param columns? string[]
---@return flowrun.Model
function Prep:fit(df, columns) end

--- Fits and transforms the same frame.
---@param df flowrun.Frame
---@return flowrun.Frame transformed, flowrun.Model fitted
function Prep:fit_transform(df) end

---@class flowrun.Forecaster
local Forecaster = {}

--- The values after the last row: the time column (or `step`), `mean`, and per level `lo80`,
--- `hi80` …: bounds between which that percentage of values is expected. `forecast(24)` is
--- short for `forecast{steps = 24}`.
---@param options integer|{steps: integer, levels?: number[], exog?: flowrun.Frame} levels {80, 95}
---@return flowrun.Frame
function Forecaster:forecast(options) end

--- One-step errors on the rows fitted on: the time column (or `step`) and `residual`.
---@return flowrun.Frame
function Forecaster:residuals() end

--- Writes the model to a file that `ts.load` reads.
---@param path string
function Forecaster:save(path) end

--- What was fitted, as text: coefficients with standard errors, criteria, warnings.
---@return string
function Forecaster:summary() end

---@class flowrun.Store
local Store = {}

--- Closes it; further calls are errors.
function Store:close() end

--- Runs, newest first.
---@param options? {limit?: integer} default 1000
---@return fr.store.run[]
function Store:runs(options) end

--- One run, or nil when there is none of that number.
---@param id integer
---@return fr.store.run?
function Store:run(id) end

--- Records of a run in log order; what is running now comes last.
---@param id integer
---@param ... string only these types: "task", "retry"; none = all
---@return fun(): fr.store.record?
function Store:records(id, ...) end

--- Tasks that have ended, in the order in which they did, then those that are running. Of a
--- task that ran again the later record counts.
---@param id integer
---@return fun(): fr.store.record?
function Store:tasks(id) end

--- What columns cannot say: retries, recorded values, timers, requests, late requires.
---@param id integer
---@return fun(): fr.store.record?
function Store:journal(id) end

--- Finished items of a map, in the order in which they were recorded. Of an item that ran
--- again the later one counts.
---@param id integer
---@param task integer|fr.store.record its record (or row alone: then without key, times from 0)
---@return fun(): fr.store.item?
function Store:items(id, task) end

--- How calls of cached tasks came by their results: those of a run in log order; or those of
--- a task before record `before` of the run, newest first.
---@param id integer
---@param task? string "module:name"
---@param before? integer
---@param limit? integer default 1000
---@return fr.store.kept[]
function Store:cache(id, task, before, limit) end

--- Lines of a run's log, in order of writing.
---@param id integer
---@param options? {row?: integer, item?: integer, from?: integer, limit?: integer}
---@return fr.store.line[] lines at most `limit` (default 1000) are looked at
---@return integer next offset to go on from, also when the log grows later
---@return boolean more there are further lines now
function Store:logs(id, options) end

--- Asks a run for something: a row first, then its process is told to look.
---@param id integer
---@param kind string "cancel", "signal", …
---@param payload? string JSON
function Store:request(id, kind, payload) end

--- The process that works on a run, or nil.
---@param id integer
---@return integer? pid
function Store:alive(id) end

--- The packed sources of a run, by its field `bundle`.
---@param hash string
---@return string
function Store:bundle(hash) end

--- Raises an error when a record of the run, or the end of any run, is not as it was
--- recorded: recomputes the audit chain, SHA-256 over all columns.
---@param id integer
function Store:audit(id) end

--- Removes files of values that no row names and that are older than an hour.
---@return {files: integer, bytes: integer, kept: integer}
function Store:gc() end

--- Counts of rows, sizes in bytes.
---@return table<string, integer>
function Store:stats() end

---@class flowrun.HttpResponse
local Response = {}

--- The body as a Lua value; raises with code `parse` when it is not JSON.
function Response:json() end
