local random = require "flowrun.random"

return function()
  local rng = random.new(42, "stream")
  assert(tostring(rng) and rng:uniform(0, 1, 3) and rng:normal(0, 1) and rng:integers(1, 6, 2))
  assert(rng:permutation(4) and rng:choice({1, 2, 3}, 2, {replace = false}))
  local old = random.numpy(42)
  assert(old:randint(0, 5, 3) and old:normal(0, 1, 2) and old:binomial(1, 0.5, 2))
end
