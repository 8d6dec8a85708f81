--- Random numbers that depend on a seed alone: equal on every machine, at any thread count.
---
---     local random = require "flowrun.random"
---     local rng = random.new(42)
---     local load = rng:normal(900, 30, 720)          -- an array of 720
---     local fails = rng:binomial(1, 0.3, 1000)
---     local hour = rng:integers(0, 23)               -- one number, both ends included
---
--- Parameters are numbers, or arrays with one value per draw. Without a count a single number
--- comes back, unless a parameter is an array.
local core = require "flowrun.core.random"
local error_class = require "flowrun.core.error"

local random = {}
local methods = core.methods
core.methods = nil

---@class flowrun.Random
---@alias fr.parameter number|flowrun.Array|number[]

local function invalid(format, ...) error_class.raise("invalid", format:format(...)) end

--- A generator (Philox4x32-10, Salmon et al. 2011). Streams of one seed are independent.
---@param seed integer
---@param stream? integer|string a number, or any text
---@return flowrun.Random
function random.new(seed, stream)
  if math.type(seed) ~= "integer" and not math.tointeger(seed) then
    invalid("random.new: a seed is a whole number, such as random.new(42); got %s", tostring(seed))
  end
  return core.new(seed, stream)
end

--- numpy's legacy stream, bit for bit: what `np.random.seed(seed)` and then
--- `np.random.normal` … draw. Methods are called as here (`n` for `size`); in addition
--- `randint(lo, hi, n)`, whose upper bound is excluded as in numpy.
---@param seed integer|integer[] 0 … 2^32 - 1
---@return flowrun.Random
function random.numpy(seed) return core.numpy(seed) end

--- Uniform in [lo, hi).
---@param lo? fr.parameter default 0
---@param hi? fr.parameter default 1
---@param n? integer
---@return flowrun.Array|number
function methods:uniform(lo, hi, n) return core.draw(self, "uniform", lo, hi, n) end

--- Normal with a mean and a standard deviation.
---@param mean? fr.parameter default 0
---@param sd? fr.parameter default 1
---@param n? integer
---@return flowrun.Array|number
function methods:normal(mean, sd, n) return core.draw(self, "normal", mean, sd, n) end

--- Exponential with a mean (numpy's scale).
---@param mean? fr.parameter default 1
---@param n? integer
---@return flowrun.Array|number
function methods:exponential(mean, n) return core.draw(self, "exponential", mean, n) end

--- The number of successes in `trials` tries.
---@param trials fr.parameter
---@param p fr.parameter probability of each, 0 … 1
---@param n? integer
---@return flowrun.Array|integer
function methods:binomial(trials, p, n) return core.draw(self, "binomial", trials, p, n) end

--- Poisson counts.
---@param mean fr.parameter
---@param n? integer
---@return flowrun.Array|integer
function methods:poisson(mean, n) return core.draw(self, "poisson", mean, n) end

--- Whole numbers from lo to hi, both included, as Lua counts.
---@param lo integer
---@param hi integer
---@param n? integer
---@return flowrun.Array|integer
function methods:integers(lo, hi, n)
  if core.is_numpy(self) then
    invalid("integers: numpy's stream has randint(lo, hi, n), whose upper bound is excluded")
  end
  return core.draw(self, "integers", lo, hi, n)
end

--- numpy's stream only: whole numbers from lo up to, but without, hi. `randint(hi)` starts at 0.
---@param lo integer
---@param hi? integer
---@param n? integer
---@return flowrun.Array|integer
function methods:randint(lo, hi, n)
  if not core.is_numpy(self) then
    invalid("randint: use integers(lo, hi, n), which includes both bounds, or random.numpy(seed)")
  end
  if hi == nil then lo, hi = 0, lo end
  return core.draw(self, "integers", lo, hi, n)
end

--- The numbers 1 … n in random order; with numpy's stream 0 … n - 1, as there.
---@param n integer
---@return flowrun.Array
function methods:permutation(n) return core.permutation(self, n) end

-- Places (1-based) of n draws from `size` things with probabilities p.
local function weighted(rng, size, n, p)
  local sums, sum = {}, 0
  for i = 1, size do
    local weight = p[i]
    if type(weight) ~= "number" or weight < 0 then
      invalid("choice: p[%d] is %s, expected a number >= 0", i, tostring(weight))
    end
    sum = sum + weight
    sums[i] = sum
  end
  if sum <= 0 then invalid("choice: the probabilities add up to %g", sum) end
  local places = {}
  for k, u in ipairs(rng:uniform(0, 1, n):to_table()) do
    local low, high = 1, size
    while low < high do                          -- the first sum above u
      local middle = (low + high) // 2
      if sums[middle] / sum > u then high = middle else low = middle + 1 end
    end
    places[k] = low
  end
  return places
end

--- Draws from a list: one item, or a list of n. Without replacement every item comes at most
--- once. With numpy's stream the items are those `np.random.choice` draws.
---@generic T
---@param list T[]|flowrun.Array
---@param n? integer
---@param options? {replace?: boolean, p?: number[]} default true; equal probabilities
---@return T|T[]
function methods:choice(list, n, options)
  if type(list) ~= "table" and type(list) ~= "userdata" then
    invalid("choice: expected a list or an array, got a %s", type(list))
  end
  options = options or {}
  for key in pairs(options) do
    if key ~= "replace" and key ~= "p" then
      invalid("choice: unknown option '%s'; it knows replace, p", tostring(key))
    end
  end
  local size, count = #list, n or 1
  if size == 0 then invalid("choice: the list is empty") end
  if options.replace == false and count > size then
    invalid("choice: %d items cannot be drawn from %d without replacement", count, size)
  end
  if options.replace == false and options.p then
    invalid("choice: weighted draws without replacement are not supported")
  end
  local places, base
  if options.p then
    if #options.p ~= size then invalid("choice: %d items, %d probabilities", size, #options.p) end
    places, base = weighted(self, size, count, options.p), 0
  elseif options.replace == false then
    places, base = self:permutation(size):to_table(), core.is_numpy(self) and 1 or 0
  else
    local first = core.is_numpy(self) and 0 or 1
    places, base = core.draw(self, "integers", first, size, count):to_table(), 1 - first
  end
  if not n then return list[places[1] + base] end
  local out = {}
  for i = 1, count do out[i] = list[places[i] + base] end
  return out
end

return random
