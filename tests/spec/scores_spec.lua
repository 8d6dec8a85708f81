-- labels: slow
-- Scores over ten seeds agree with scikit-learn's on the same features, imputation and split:
-- |our mean - its mean| <= max(2 standard errors of the difference, .005 for AUC, .01 for F1).
local t = require "flowrun.test"
local frame = require "flowrun.frame"
local ml = require "flowrun.ml"
local random = require "flowrun.random"
local describe, it, expect = t.describe, t.it, t.expect

local data = os.getenv("FLOWRUN_SHARED")
data = data and data .. "/data" or "../shared/data"

local function exists(path)
  local file = io.open(path)
  if file then file:close() end
  return file ~= nil
end

local function need(path)
  if not exists(data .. "/" .. path) then t.skip("no file " .. data .. "/" .. path) end
  return data .. "/" .. path
end

-- case .. model -> {f1, auc, sd_f1, sd_auc, seeds}, and the number of training rows in the case.
local function expected()
  local rows = {}
  for line in io.lines(need("expected/scores.tsv")) do
    local v = {}
    for field in (line .. "\t"):gmatch("([^\t]*)\t") do v[#v + 1] = field end
    if v[2] and v[2]:find("Classifier$") then
      rows[v[1] .. " " .. v[2] .. " " .. v[4]] = {f1 = tonumber(v[7]), roc_auc = tonumber(v[8]),
        sd_f1 = tonumber(v[10]), sd_roc_auc = tonumber(v[11]), seeds = tonumber(v[3])}
    end
  end
  return rows
end

local function mean_sd(values)
  local sum, squares, n = 0, 0, #values
  for _, v in ipairs(values) do sum = sum + v end
  local mean = sum / n
  for _, v in ipairs(values) do squares = squares + (v - mean) ^ 2 end
  return mean, n > 1 and (squares / (n - 1)) ^ 0.5 or 0
end

local function agrees(key, scores)
  local want = expected()[key]
  if not want then error("scores.tsv has no case " .. key) end
  for name, least in pairs{roc_auc = 0.005, f1 = 0.01} do
    local values = {}
    for i, s in ipairs(scores) do values[i] = s[name] end
    local mean, sd = mean_sd(values)
    local allowed = math.max(2 * (sd ^ 2 / #values + want["sd_" .. name] ^ 2 / want.seeds) ^ 0.5, least)
    if math.abs(mean - want[name]) > allowed then
      error(("%s: %s is %.4f, expected %.4f within %.4f"):format(key, name, mean, want[name], allowed))
    end
    expect(mean).to_be_near(want[name], allowed)
  end
end

local function forests(train, test, target, options)
  local scores = {}
  for seed = 0, 9 do
    scores[seed + 1] = ml.random_forest{trees = 100, seed = seed}:fit(train, target, options):score(test)
  end
  return scores
end

-- Nothing in it is random, so one fit is the mean of ten.
local function boosted(train, test, target, options)
  return {ml.gradient_boosting{compat = "sklearn"}:fit(train, target, options):score(test)}
end

-- Every fifth row is a test row.
local function by_fifths(df)
  local train, test = {}, {}
  for i = 1, #df do train[i], test[i] = i % 5 ~= 0, i % 5 == 0 end
  return df:filter(frame.array(train)), df:filter(frame.array(test))
end

local function map(a, fn)
  local v = {}
  for i = 1, #a do
    v[i] = fn(a[i])
    if v[i] == nil then v[i] = frame.null end
  end
  return v
end

describe("predictive maintenance, AI4I 2020", function()
  local name = "ai4i2020: Machine failure"
  local options = {features = {"Type", "Air temperature [K]", "Process temperature [K]",
    "Rotational speed [rpm]", "Torque [Nm]", "Tool wear [min]"}}

  local function rows()
    local df = frame.read_csv(need("ai4i2020/ai4i2020.csv"))
    return by_fifths(ml.ordinal{Type = {"L", "M", "H"}}:transform(df))
  end

  it("scores as scikit-learn's forest", function()
    local train, test = rows()
    agrees(name .. " RandomForestClassifier 8000", forests(train, test, "Machine failure", options))
  end)

  it("scores as scikit-learn's boosting", function()
    local train, test = rows()
    agrees(name .. " GradientBoostingClassifier 8000", boosted(train, test, "Machine failure", options))
  end)
end)

describe("causes of major outages", function()
  local name = "us_major_outages: CAUSE.CATEGORY == severe weather"
  local numbers = {"YEAR", "MONTH", "ANOMALY.LEVEL", "TOTAL.PRICE", "TOTAL.SALES",
    "TOTAL.CUSTOMERS", "POPULATION", "POPPCT_URBAN", "POPDEN_URBAN"}
  local texts = {"NERC.REGION", "CLIMATE.REGION", "CLIMATE.CATEGORY"}

  -- Numbers: null is the median of the training rows. Texts: null is '?', coded in byte order.
  local function rows()
    local df = frame.read_csv(need("us_major_outages/us_major_outages.csv"))
    local fill, names = {}, {}
    local train = by_fifths(df)
    for _, c in ipairs(numbers) do
      if df:has(c) then
        fill[c] = train:quantile(c, 0.5)
        names[#names + 1] = c
      end
    end
    for _, c in ipairs(texts) do
      fill[c] = "?"
      names[#names + 1] = c
    end
    local weather = map(df:col("CAUSE.CATEGORY"), function(v) return v == "severe weather" and 1 or 0 end)
    df = df:with{{"weather", weather}}
    for _, c in ipairs(names) do                     -- a median may not be a whole number
      if fill[c] ~= "?" then
        df = df:with{{c, map(df:col(c), function(v) return v and v * 1.0 end)}}
      end
    end
    df = ml.ordinal(texts):fit(df:fill(fill)):transform(df:fill(fill))
    local a, b = by_fifths(df)
    return a, b, {features = names}
  end

  it("scores as scikit-learn's forest", function()
    local train, test, options = rows()
    agrees(name .. " RandomForestClassifier 1228", forests(train, test, "weather", options))
  end)

  it("scores as scikit-learn's boosting", function()
    local train, test, options = rows()
    agrees(name .. " GradientBoostingClassifier 1228", boosted(train, test, "weather", options))
  end)
end)

-- The chapter's generators, columns in the order of drawing.
local function maintenance(seed, n)
  local r = random.numpy(seed)
  local temp, vib, oil = r:normal(60, 5, n), r:normal(0.2, 0.05, n), r:normal(70, 10, n)
  local age = r:randint(1, 30, n)
  local p = {}
  for i = 1, n do p[i] = 1 / (1 + math.exp(-(0.05 * (temp[i] - 65) + 8 * (vib[i] - 0.25)))) end
  return frame.from{{"temp", temp}, {"vib", vib}, {"oil", oil}, {"age", age}, {"y", r:binomial(1, p)}}
end

local function outages(seed, n)
  local r = random.numpy(seed)
  local wind, trees, rain = r:normal(20, 7, n), r:uniform(0, 1, n), r:normal(50, 15, n)
  local p = {}
  for i = 1, n do p[i] = 1 / (1 + math.exp(-(0.15 * (wind[i] - 25) + 2 * (trees[i] - 0.5)))) end
  return frame.from{{"wind", wind}, {"trees", trees}, {"rain", rain}, {"y", r:binomial(1, p)}}
end

describe("the chapter's own data, new each time", function()
  local cases = {
    {"maintenance", "RandomForestClassifier", maintenance, function(k)
      return ml.random_forest{trees = 100, seed = k}
    end},
    {"outage", "GradientBoostingClassifier", outages, function()
      return ml.gradient_boosting{compat = "sklearn"}
    end},
    {"outage", "GradientBoostingClassifier", outages, function()
      return ml.gradient_boosting{depth = 3, min_samples_leaf = 1}
    end, " by histogram"},
  }
  for _, n in ipairs{1000, 10000} do
    for _, case in ipairs(cases) do
      it(("scores %s of %d rows as %s%s"):format(case[1], n, case[2], case[5] or ""), function()
        need("expected/scores.tsv")
        local scores = {}
        for k = 0, 9 do
          scores[k + 1] = case[4](k):fit(case[3](100 + k, n), "y"):score(case[3](900 + k, 40000))
        end
        agrees(("chapter %s: new data and seed each time %s %d"):format(case[1], case[2], n), scores)
      end)
    end
  end
end)
