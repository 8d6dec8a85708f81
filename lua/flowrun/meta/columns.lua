---@meta flowrun
-- Methods of arrays and frames that are written in C; this describes them for editors and for
-- the reference. The others stand in objects.lua, which docs/make_stubs.lua writes.

---@class flowrun.Array
---@field [integer] any a value, nil where it is missing
---@operator len: integer
---@operator add(any): flowrun.Array
---@operator sub(any): flowrun.Array
---@operator mul(any): flowrun.Array
---@operator div(any): flowrun.Array
---@operator idiv(any): flowrun.Array
---@operator mod(any): flowrun.Array
---@operator pow(any): flowrun.Array
---@operator unm: flowrun.Array
local array = {}

--- The sum; missing values are left out, here and below.
---@return number
function array:sum() end

---@return number?
function array:mean() end

---@return any
function array:min() end

---@return any
function array:max() end

--- Standard deviation, and variance, of a sample (n - 1).
---@return number?
function array:std() end
---@return number?
function array:var() end

---@return number?
function array:median() end

--- The value below which that share of the values lies, between neighbours linearly.
---@param q number 0 to 1
---@return number?
function array:quantile(q) end

--- The first (last) value, nil when it is missing.
---@return any
function array:first() end
---@return any
function array:last() end

--- How many values are there; `null_count` those that are missing, `nunique` the different ones.
---@return integer
function array:count() end
---@return integer
function array:null_count() end
---@return integer
function array:nunique() end

--- "float64", "int64", "bool", "utf8", "category", "date", "timestamp[us]" …
---@return string
function array:type() end

--- A list; `frame.null` where a value is missing.
---@return any[]
function array:to_table() end

--- Iterates: `for i, value in column:items() do`.
---@return fun(): integer?, any
function array:items() end

--- Rows from `from` to `to`, both included; the memory is shared.
---@param from integer
---@param to? integer the last unless given
---@return flowrun.Array
function array:slice(from, to) end

--- The same values in another type.
---@param type_name string
---@return flowrun.Array
function array:cast(type_name) end

--- The rows where the mask is true.
---@param mask flowrun.Array of bool
---@return flowrun.Array
function array:filter(mask) end

---@param options? {desc: boolean, nulls: "first"|"last"}
---@return flowrun.Array
function array:sort(options) end

--- Row by row; likewise `log`, `sqrt`, `sin`, `cos`.
---@return flowrun.Array
function array:exp() end
---@return flowrun.Array
function array:log() end
---@return flowrun.Array
function array:sqrt() end
---@return flowrun.Array
function array:sin() end
---@return flowrun.Array
function array:cos() end

---@class flowrun.Frame
---@field [string] flowrun.Array a column
---@operator len: integer
local df = {}

--- A column; `df.kw` is short for `df:col("kw")` and refuses names of methods.
---@param name string
---@return flowrun.Array
function df:col(name) end

---@param name string
---@return boolean
function df:has(name) end

--- One row as a table; missing values are absent.
---@param i integer
---@return table<string, any>
function df:row(i) end

--- Iterates over the rows: `for row in df:rows() do print(row.kw) end`.
---@return fun(): table<string, any>?
function df:rows() end

--- The aligned text that `print(df)` shows, with more rows or columns of text.
---@param most? integer rows, 10 unless given
---@param width? integer characters, 100 unless given
---@return string
function df:show(most, width) end
