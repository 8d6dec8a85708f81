--- How many outages a circuit must expect, from what is known before the storm.
---
--- Four classifiers ask "at least 1, 2, 4, 8 outages?"; the expected number is put together
--- from their probabilities: P1 + P2 + 2 P4 + 4 P8, a lower bound in steps of the true sum over
--- all k of P(outages >= k). Trees need no scaling and find that wind matters where trees are.
local ml = require "flowrun.ml"

local model = {}

model.thresholds = {1, 2, 4, 8}
model.weights = {1, 1, 2, 4}
model.features = {"gust_ms", "rain_mm", "overhead_km", "tree_density", "years_since_trim",
  "pole_age",
  "wind_on_trees"}

--- The features of circuits under a weather: one row per row of `weather`.
---@param weather flowrun.Frame circuit, gust_ms, rain_mm (and more)
---@param assets flowrun.Frame
---@param vegetation flowrun.Frame
---@return flowrun.Frame
function model.exposure(weather, assets, vegetation)
  return weather:join(assets, {on = "circuit"}):join(vegetation, {on = "circuit"})
    :with{{"wind_on_trees", "max(0, gust_ms - 12) * overhead_km * (0.3 + tree_density)"}}
end

--- Fits the classifier of one threshold.
---@param threshold integer
---@param rows flowrun.Frame from model.exposure, with `outages`
---@return flowrun.Model
function model.fit(threshold, rows)
  local labelled = rows:with({{"hit", "if_else(outages >= $k, 1, 0)"}}, {k = threshold})
  return ml.gradient_boosting{rounds = 120, leaves = 15, learning_rate = 0.08, seed = 7}
    :fit(labelled, "hit", {features = model.features})
end

--- Adds `expected` outages and `p_any`, the probability of at least one.
---@param models flowrun.Model[] in the order of model.thresholds
---@param features flowrun.Frame
---@return flowrun.Frame
function model.expect(models, features)
  local columns, terms = {}, {}
  for i, m in ipairs(models) do
    columns[i] = {"p" .. i, m:predict_proba(features):col("1")}
    terms[i] = ("%d * p%d"):format(model.weights[i], i)
  end
  local names = {}
  for i = 1, #models do names[i] = "p" .. i end
  return features:with(columns):with{{"expected", table.concat(terms, " + ")}, {"p_any", "p1 + 0"}}
    :drop(names)
end

--- The share of outages in the first tenth by `order`, relative to what the first tenth by the
--- truth holds: 1 is as good as knowing.
---@param rows flowrun.Frame with `truth`, `outages` and the column to order by
---@param by string
---@return number
function model.capture(rows, by)
  local k = math.max(1, #rows // 10)
  local function held(column)
    local top = rows:sort{{column, desc = true}}:head(k).outages
    return top:sum()
  end
  local best = held("truth")
  return best > 0 and held(by) / best or 1
end

--- AUC of "any outage" on rows the models have not seen.
---@param rows flowrun.Frame with p_any and outages
---@return number?
function model.auc(rows)
  return ml.roc_auc(rows:with{{"hit", "if_else(outages >= 1, 1, 0)"}}.hit, rows.p_any)
end

return model
