-- Fits of ml.search as tasks of a flow: counted, cached, and equal to those outside.
local t = require "flowrun.test"
local json = require "flowrun.json"
local ml = require "flowrun.ml"
local frame = require "flowrun.frame"
local random = require "flowrun.random"
local describe, it, expect = t.describe, t.it, t.expect

local program = os.getenv("FLOWRUN") or "build/flowrun"

local script = [[
local fr = require "flowrun"
local frame = require "flowrun.frame"
local ml = require "flowrun.ml"
local random = require "flowrun.random"

local fits = ml.task("fits", {cache = true})
local load_rows = fr.task("load_rows", function()
  local rng = random.new(4)
  local a, e, y = rng:normal(0, 1, 60), rng:normal(0, 1, 60), {}
  for i = 1, 60 do y[i] = a[i] + e[i] end
  return frame.from{{"a", a}, {"b", rng:normal(0, 1, 60)}, {"y", y}}
end)
local score = fr.task("score", function(model, rows) return model:score(rows).r2 end)

return fr.flow("tune", {params = {least = 0.01}}, function(p)
  local rows = load_rows()
  local pipe = ml.pipeline{ml.scaler(), ml.lasso{}}
  local best = ml.search(pipe, {["lasso.alpha"] = {p.least, 0.3, 2}},
    {on = rows, target = "y", cv = 3, score = "rmse", task = fits})
  return {params = best.params, mean = best.mean, r2 = score(best.model, rows)}
end)
]]

local function run(folder, arguments)
  local command = "FLOWRUN_HOME='%s/home' '%s' --json %s '%s/f.lua' %s 2>'%s/errors'"
  local pipe = assert(io.popen(command:format(folder, program, "", folder, arguments, folder)))
  local text = pipe:read("a")
  local _, _, code = pipe:close()
  return text, code, io.open(folder .. "/errors"):read("a")
end

local function write(folder, text)
  local file = assert(io.open(folder .. "/f.lua", "w"))
  file:write(text)
  file:close()
end

describe("ml.search in a flow", function()
  it("finds what it finds outside, each fit a call", function()
    local folder = t.temp_dir()
    write(folder, script)
    local text, code, errors = run(folder, "")
    expect(errors).never.to_contain("error[")
    expect(code).to_be(0)
    local value = json.decode(text:match("%b{}"))
    value = value.result or value
    local rng = random.new(4)
    local a, e, y = rng:normal(0, 1, 60), rng:normal(0, 1, 60), {}
    for i = 1, 60 do y[i] = a[i] + e[i] end
    local rows = frame.from{{"a", a}, {"b", rng:normal(0, 1, 60)}, {"y", y}}
    local best = ml.search(ml.pipeline{ml.scaler(), ml.lasso{}}, {["lasso.alpha"] = {0.01, 0.3, 2}},
      {on = rows, target = "y", cv = 3, score = "rmse"})
    expect(value.params["lasso.alpha"]).to_be(best.params["lasso.alpha"])
    expect(value.mean).to_be(best.mean)
    expect(value.r2).to_be(best.model:score(rows).r2)
    local again = io.popen(("FLOWRUN_HOME='%s/home' '%s' '%s/f.lua' --least 0.02 2>&1"):format(folder,
      program, folder)):read("a")
    expect(again).to_contain("6 from the cache")  -- 0.3 and 2 on three folds
  end)

  it("asks for a task", function()
    local folder = t.temp_dir()
    write(folder, (script:gsub(", task = fits", "")))
    local _, code, errors = run(folder, "")
    expect(code).to_be(1)
    expect(errors).to_contain('local fits = ml.task("fits")')
  end)
end)
