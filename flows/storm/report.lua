--- The report a manager reads: what is coming, where, how many crews, how sure we are.
local html = require "flowrun.report.html"
local svg = require "flowrun.report.svg"

local report = {}

local function column(df, name)
  local out, col = {}, df:col(name)
  for i = 1, #df do out[i] = col[i] end
  return out
end

local function thousands(v)
  local s = ("%.0f"):format(v):reverse():gsub("(%d%d%d)", "%1,"):reverse():gsub("^,", "")
  return s
end

local function circuit_map(ranked)
  local expected, gust = column(ranked, "expected"), column(ranked, "gust_ms")
  local size, shade, labels = {}, {}, {}
  local names = column(ranked, "circuit")
  local most = math.max(expected[1] or 1, 0.1)
  for i = 1, #ranked do
    size[i] = 2.5 + 9 * math.sqrt(math.max(expected[i], 0) / most)
    shade[i] = (gust[i] - 10) / 25
    labels[i] = ("%s: gust %.0f m/s, %.1f outages expected"):format(names[i], gust[i], expected[i])
  end
  return svg.map{x = column(ranked, "x_km"), y = column(ranked, "y_km"), size = size, shade = shade,
    labels = labels, shade_names = {"gust 10 m/s", "35 m/s"},
    title = "Circuits by gust and expected outages"}
end

local function percent(v) return ("%.4g %%"):format(100 * v) end

-- What the centres together have over: a manager moves crews before asking others for some.
local function spare_crews(plan)
  local n = 0
  for _, c in ipairs(plan.centers) do n = n + math.max(0, c.have - c.line_crews_needed) end
  return n
end

local function add_degraded(page, d)
  for _, why in ipairs(d.degraded) do page:note("Degraded: " .. why, "warn") end
  page:note(d.real and "Durations, regions and crew times come from PG&E's outages of October and "
    .. "November 2019. Wind, assets and vegetation are generated."
    or "All data on this page are generated, with a planted truth, so that the ranking can be "
      .. "scored.")
end

local function add_quality(page, d)
  page:heading("How far to trust it")
  page:cards{{"held-out AUC, any outage", ("%.3f"):format(d.model.auc)},
    {"capture of the first tenth", ("%.2f"):format(d.model.capture)},
    {"the same with weather shuffled", ("%.2f"):format(d.model.shuffled)},
    {"storms it was judged on", tostring(d.model.storms)}}
  page:text("Capture: of the outages that the truly worst tenth of the circuits had, the share "
    .. "that the first tenth of our ranking had, over storms that no model was fitted on. 1 is as "
    .. "good as knowing; with the weather shuffled between circuits the ranking must lose its "
    .. "value.")
  if d.real then
    local r = d.real
    page:heading("How long outages last (PG&E 2019)")
    page:cards{{"AUC, over 8 hours", ("%.3f"):format(r.auc)},
      {"published for these data", "0.785 – 0.788"}, {"fitted on outages", thousands(r.train)},
      {"judged on later ones", thousands(r.test)}, {"median, hours", ("%.1f"):format(r.median_h)}}
    page:table(d.regions, {columns = {{"region", "Region"}, {"outages", "Outages"},
      {"over_8h", "Over 8 h", function(v) return ("%.0f %%"):format(100 * v) end},
      {"median_h", "Median, h", "%.1f"}}, caption = "Regions with most outages before 28 October"})
  end
end

--- Builds the page. d: run, ranked, plan, gate, model, degraded, real?, regions?, storm.
---@param d table
---@return flowrun.Page
function report.page(d)
  local plan, ranked = d.plan, d.ranked
  local page = html.page{title = "Storm preparation: " .. d.storm.region,
    subtitle = ("Run %d · storm %d · %d circuits · weather: %s"):format(d.run, d.storm.number,
      #ranked,
      d.storm.source), footer = "Made by flowrun. Expected values, not promises: "
      .. "crews should keep a reserve for what no forecast shows."}
  page:cards{{"outages expected", ("%.0f"):format(plan.total.expected)},
    {"customers affected", thousands(plan.total.customers)},
    {"line crews needed", tostring(plan.total.needed)},
      {"crews at hand", tostring(plan.total.have)},
    {"crews to request", tostring(plan.total.request)},
    {"strongest gust", ("%.0f m/s"):format(plan.total.gust)}}
  add_degraded(page, d)
  page:heading("Where")
  local names, needed, have = {}, {}, {}
  for i, c in ipairs(plan.centers) do
    names[i], needed[i], have[i] = c.id, c.line_crews_needed, c.have
  end
  page:plots{{circuit_map(ranked),
    "Each dot is a circuit: colour by gust, size by expected outages"},
    {svg.bars{labels = names, values = needed, second = have, unit = "line crews",
      names = {"needed", "at hand"}, title = "Crews by operating centre"},
      "Line crews needed to restore within " .. plan.total.target_h .. " hours"}}
  page:heading("First circuits")
  page:text("In order of expected outages, which count half as much again on circuits with a "
    .. "hospital, water works or the like (critical).")
  page:table(ranked, {most = 20, columns = {{"rank", "#"}, {"circuit", "Circuit"},
    {"district", "Centre"},
    {"expected", "Outages", "%.1f"}, {"p_any", "P(any)", "%.2f"}, {"customers", "Customers"},
    {"critical", "Critical", function(v) return (v == 1 or v == true) and "yes" or "" end},
    {"gust_ms", "Gust m/s", "%.0f"}, {"tree_density", "Trees", "%.2f"},
    {"years_since_trim", "Trim age, y", "%.1f"}, {"drivers", "Mostly because of"}}})
  page:heading("Crews")
  page:table(d.crews, {columns = {{"center", "Centre"}, {"expected", "Outages", "%.0f"},
    {"crew_hours", "Crew hours", "%.0f"}, {"needed", "Needed"}, {"have", "At hand"},
    {"request", "Request"}, {"etr_h", "All restored after, h", "%.0f"}}})
  if plan.total.request > 0 then
    local spare = spare_crews(plan)
    page:text(("%d crews are short in some centres while others have %d to spare: move %d, ask "
      .. "other utilities for %d."):format(plan.total.request, spare,
        math.min(spare, plan.total.request), math.max(0, plan.total.request - spare)))
  end
  page:heading("Data quality")
  page:table(d.gate, {columns = {{"check", "Check"}, {"value", "Found", percent},
    {"limit", "Allowed", percent},
    {"ok", "Result", function(v) return v and "ok" or "refused" end}}})
  add_quality(page, d)
  return page
end

return report
