--- Writes core/base/decimal_table.c: the top 128 bits of 10^k for k in [-342, 324].
-- usage: lua5.4 tools/make_decimal_table.lua > core/base/decimal_table.c

local LIMB = 1 << 24 -- little-endian limbs, so that products stay below 2^53

local function mul_small(a, m)
  local carry = 0
  for i = 1, #a do
    local v = a[i] * m + carry
    a[i], carry = v % LIMB, v // LIMB
  end
  while carry > 0 do
    a[#a + 1], carry = carry % LIMB, carry // LIMB
  end
end

local function bit(a, i)
  local limb = a[i // 24 + 1]
  return limb and (limb >> (i % 24)) & 1 or 0
end

local function bits(a)
  local top, n = a[#a], (#a - 1) * 24
  while top > 0 do
    top, n = top >> 1, n + 1
  end
  return n
end

local function pow5(k)
  local a = {1}
  for _ = 1, k do
    mul_small(a, 5)
  end
  return a
end

-- Top 128 bits of a as hi, lo, and whether anything was cut.
local function top128(a)
  local n = bits(a)
  local hi, lo, cut = 0, 0, false
  for i = 0, 127 do
    local at = n - 1 - i
    local b = at >= 0 and bit(a, at) or 0
    if i < 64 then hi = (hi << 1) | b else lo = (lo << 1) | b end
  end
  for at = n - 129, 0, -1 do
    if bit(a, at) == 1 then
      cut = true
      break
    end
  end
  return hi, lo, cut
end

local function increment(hi, lo)
  lo = lo + 1
  return lo == 0 and hi + 1 or hi, lo
end

local function less(a, b)
  if #a ~= #b then return #a < #b end
  for i = #a, 1, -1 do
    if a[i] ~= b[i] then return a[i] < b[i] end
  end
  return false
end

local function double_in_place(a)
  local carry = 0
  for i = 1, #a do
    local v = a[i] * 2 + carry
    a[i], carry = v % LIMB, v // LIMB
  end
  if carry > 0 then a[#a + 1] = carry end
end

local function subtract_in_place(a, b)
  local borrow = 0
  for i = 1, #a do
    local v = a[i] - (b[i] or 0) - borrow
    borrow = v < 0 and 1 or 0
    a[i] = v % LIMB
  end
  while #a > 1 and a[#a] == 0 do
    a[#a] = nil
  end
end

-- Top 128 bits of 1 / 5^k, rounded up: long division of a power of two.
local function reciprocal(k)
  local d = pow5(k)
  local r = {1}
  for _ = 1, bits(d) do
    double_in_place(r)
  end
  -- now 2^(bits - 1) <= d < r = 2^bits: the first quotient bit is 1
  local hi, lo = 0, 0
  for i = 0, 127 do
    local b = 0
    if not less(r, d) then
      subtract_in_place(r, d)
      b = 1
    end
    double_in_place(r)
    if i < 64 then hi = (hi << 1) | b else lo = (lo << 1) | b end
  end
  return increment(hi, lo)
end

print("// Made by tools/make_decimal_table.lua: the top 128 bits of 10^k, k from -342 to 324.")
print("// Negative powers are rounded up, positive ones cut.")
print('#include "core/base/decimal.h"\n')
print("// clang-format off")
print("const uint64_t fr_decimal_powers[667][2] = {")
for k = -342, 324 do
  local hi, lo
  if k < 0 then
    hi, lo = reciprocal(-k)
  else
    hi, lo = top128(pow5(k))
  end
  print(("    {0x%016x, 0x%016x},"):format(hi, lo))
end
print("};")
