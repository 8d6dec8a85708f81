--- Arrays: one column as a value. Arithmetic goes row by row and makes a new array; null stays
--- null. `/` and `^` give floats, `//` and `%` floor as in Lua; integers never wrap: overflow
--- and division by zero are errors that name the row.
---
---     local z = (-y + 2 * y ^ 2):exp()
local array = require "flowrun.core.array"
local core = require "flowrun.core.frame"
local error_class = require "flowrun.core.error"
local expr = require "flowrun.core.expr"

local meta, methods = array.meta, array.methods

-- An operand as a column or as a parameter.
local function operand(side, v, names, arrays, params, symbol)
  if array.is(v) then
    names[#names + 1], arrays[#arrays + 1] = side, v
    return "`" .. side .. "`"
  end
  if type(v) ~= "number" then
    error_class.raise("type", ("array %s: expected an array or a number, got a %s"):format(
      symbol, type(v)))
  end
  params[side] = v
  return "$" .. side
end

local function binary(symbol)
  return function(a, b)
    local names, arrays, params = {}, {}, {}
    local text = operand("left", a, names, arrays, params, symbol) .. " " .. symbol .. " "
      .. operand("right", b, names, arrays, params, symbol)
    if #arrays == 2 and #arrays[1] ~= #arrays[2] then
      error_class.raise("invalid", ("array %s: %d rows and %d rows"):format(symbol, #a, #b))
    end
    return expr.eval(core.from(names, arrays), text, params, "array " .. symbol)
  end
end

meta.__add, meta.__sub, meta.__mul = binary "+", binary "-", binary "*"
meta.__div, meta.__idiv, meta.__mod, meta.__pow = binary "/", binary "//", binary "%", binary "^"

local function unary(self, text, what, params)
  return expr.eval(core.from({"array"}, {self}), text, params, what)
end

function meta:__unm() return unary(self, "-array", "array -") end

--- Absolute values, of the same type.
---@return flowrun.Array
function methods:abs() return unary(self, "abs(array)", "abs") end

--- Rounded to so many decimals (0 unless told), halves away from zero.
---@param digits? integer
---@return flowrun.Array
function methods:round(digits)
  return unary(self, "round(array, $n)", "round", {n = digits or 0})
end

---@return flowrun.Array
function methods:floor() return unary(self, "floor(array)", "floor") end

---@return flowrun.Array
function methods:ceil() return unary(self, "ceil(array)", "ceil") end

--- True where the value is missing.
---@return flowrun.Array bool, without nulls
function methods:is_null() return unary(self, "is_null(array)", "is_null") end

return array
