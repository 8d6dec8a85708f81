--- Half-space trees on a stream of 78 columns, and forests fitted side by side.
local fr = require "flowrun"
local frame = require "flowrun.frame"
local ml = require "flowrun.ml"
local random = require "flowrun.random"

local draw = fr.task("draw", function(seed, rows, columns)
  local rng, list = random.new(seed), {}
  for j = 1, columns do list[j] = {"x" .. j, rng:normal(0, 1, rows)} end
  return frame.from(list)
end)

local learn = fr.task("learn", function(df)
  local detector = ml.half_space_trees{seed = 1}:fit(df:head(1000))
  local began = os.clock()
  local scores = detector:learn(df)
  return {events_per_s = #df / (os.clock() - began), mean = scores:mean()}
end)

local fit = fr.task("fit_model", {resources = {cpu = 1}}, function(df, seed)
  local y = df:with{{"y", "if_else(x1 * x2 + x3 > 0, 1, 0)"}}
  return ml.random_forest{seed = seed}:fit(y, "y"):size()
end)

return {
  fr.flow("stream", {params = {rows = {default = 100000}}}, function(p)
    return learn(draw(3, p.rows, 78))
  end),
  fr.flow("fits", {params = {count = {default = 1}, rows = {default = 10000}}}, function(p)
    local df, models = draw(4, p.rows, 20), {}
    for i = 1, p.count do models[i] = fit(df, i) end
    return models
  end),
}
