--- Durations from the real outages of PG&E, October to November 2019 (github.com/simonw/
--- pge-outages-pre-2024, Apache-2.0, as folded in the data folder): which outages last over
--- eight hours, from what was known when each was first seen and from outages that were over.
local frame = require "flowrun.frame"
local ml = require "flowrun.ml"

local pge = {}

pge.features = {"latitude", "longitude", "first_customers", "cause_first_id", "hour", "weekday",
  "seen_after_h", "promised_h", "has_promise", "hazard_flag", "open_outages", "customers_out",
  "region_over_8h", "region_outages"}

local function read(dir, name, options)
  return frame.read_csv(dir .. "/pge_outages_2019/" .. name, options)
end

-- Share of long outages per region among those that were over before a moment. Both lists are
-- in time order, so one pass does it and nothing later can leak in.
local function region_history(events)
  local by_end = events:sort{"ended_s"}
  local end_s, end_region, end_long = by_end.ended_s, by_end.region_id, by_end.over_8h
  local start_s, region = events.seen_s, events.region_id
  local counts, long, total, total_long, k = {}, {}, 0, 0, 1
  local share, known = {}, {}
  for i = 1, #events do
    while k <= #events and end_s[k] < start_s[i] do
      local r = end_region[k]
      counts[r] = (counts[r] or 0) + 1
      long[r] = (long[r] or 0) + end_long[k]
      total, total_long = total + 1, total_long + end_long[k]
      k = k + 1
    end
    local r, overall = region[i], total > 0 and total_long / total or 0.4
    known[i] = counts[r] or 0
    share[i] = ((long[r] or 0) + 5 * overall) / (known[i] + 5)
  end
  return share, known
end

--- Outages with the features above and `over_8h`, in the order in which they were first seen.
---@param dir string folder that holds pge_outages_2019/
---@return flowrun.Frame
function pge.events(dir)
  local events = read(dir, "pge_201910_events.csv")
  local totals = read(dir, "pge_201910_totals.csv")
    :rename{snapshot_utc = "first_seen_utc", outages = "open_outages"}
    :select{"first_seen_utc", "open_outages", "customers_out"}:sort{"first_seen_utc"}
  events = events:dropna{"outage_start_utc", "first_seen_utc", "last_seen_utc", "region_id"}
    :with{
      {"seen_s", "diff(first_seen_utc, '2019-10-01T00:00:00Z', 'second')"},
      {"ended_s", "diff(last_seen_utc, '2019-10-01T00:00:00Z', 'second')"},
      {"duration_h", "diff(last_seen_utc, outage_start_utc, 'second') / 3600"},
      {"seen_after_h", "diff(first_seen_utc, outage_start_utc, 'second') / 3600"},
      {"promised_h", "coalesce(diff(etor_first_utc, first_seen_utc, 'second') / 3600, -1)"},
      {"has_promise", "if_else(is_null(etor_first_utc), 0, 1)"},
      {"hour", "hour(first_seen_utc)"}, {"weekday", "weekday(first_seen_utc)"},
      {"cause_first_id", "coalesce(cause_first_id, 0)"},
      {"hazard_flag", "coalesce(hazard_flag, 0)"},
    }:with{{"over_8h", "if_else(duration_h > 8, 1, 0)"}}:sort{"first_seen_utc"}
  local share, known = region_history(events)
  return events:with{{"region_over_8h", share}, {"region_outages", known}}
    :join_asof(totals, {on = "first_seen_utc"})
    :fill{open_outages = 0, customers_out = 0}
end

--- Fits on outages first seen before 28 October, judged on the later ones.
---@param events flowrun.Frame
---@param seed integer
---@return table {auc, train, test, base_rate, by_region, model}
function pge.fit(events, seed)
  local before = events:filter("first_seen_utc < '2019-10-28T00:00:00Z'")
  local later = events:filter("first_seen_utc >= '2019-10-28T00:00:00Z'")
  local fitted = ml.random_forest{trees = 200, min_samples_leaf = 5, seed = seed}
    :fit(before, "over_8h", {features = pge.features})
  local score = fitted:score(later)
  return {auc = score.roc_auc, accuracy = score.accuracy, train = #before, test = #later,
    base_rate = later.over_8h:mean(), median_h = before:quantile("duration_h", 0.5),
    p90_h = before:quantile("duration_h", 0.9)}
end

--- Regions with most outages and their share of long ones, before the cut.
---@param dir string
---@param events flowrun.Frame
---@return flowrun.Frame region, outages, over_8h, median_h
function pge.regions(dir, events)
  local regions = read(dir, "pge_201910_region.csv")
  return events:filter("first_seen_utc < '2019-10-28T00:00:00Z'"):group{"region_id"}
    :agg{{"outages", "count()"}, {"over_8h", "mean(over_8h)"}, {"median_h", "median(duration_h)"}}
    :sort{{"outages", desc = true}}:head(12):join(regions, {on = "region_id", how = "left"})
    :select{"region", "outages", "over_8h", "median_h"}
end

return pge
