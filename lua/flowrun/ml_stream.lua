--- What watches and learns from streams: control charts, drift detectors, online regression. Used
--- by ml.lua; nothing here is called by scripts.
local args = require "flowrun.ml_args"
local core = require "flowrun.core.monitor"
local core_ml = require "flowrun.core.ml"
local frame = require "flowrun.frame"

local ml_stream = {}
local invalid = args.invalid

--- Whether models of a kind watch a column of numbers.
---@param kind string
---@return boolean
function ml_stream.watches(kind) return (core.watches(kind)) end

--- The next numbers of a stream to a chart or detector.
---@param model flowrun.Model
---@param data any a number, a list, an array, a frame of one column
---@return flowrun.Frame|table said, flowrun.Model next
function ml_stream.update(model, data)
  local what, one = "model:update", type(data) == "number"
  if one then
    data = {data}
  elseif frame.is_frame(data) then
    if #data.columns ~= 1 then
      invalid("%s: a %s watches one column, the frame has %d: give it one of them, as df.kw", what,
        model:info().title, #data.columns)
    end
    data = data:col(data.columns[1])
  end
  local columns, next_one = core.update(model, args.array_of(data, what .. ": the numbers"))
  if not one then return frame.from(columns), next_one end
  local said = {}
  for _, column in ipairs(columns) do said[column[1]] = column[2][1] end
  return said, next_one
end

--- The next rows of a stream to a classifier.
---@param model flowrun.Model
---@param df flowrun.Frame
---@param y flowrun.Array
---@return flowrun.Array said, flowrun.Model next
function ml_stream.learn(model, df, y) return core.learn(model, df, y) end

local Monitor = {}
Monitor.__index = Monitor
Monitor.__name = "flowrun.ModelSpec"

function Monitor:__tostring() return ("ml.%s, nothing seen yet"):format(self.kind) end

local function base_of(what, given)
  if type(given) == "table" and (given.mean ~= nil or given.sd ~= nil) then
    args.check_names(what, given, {mean = true, sd = true})
    args.number(what .. ": mean", given.mean, -math.huge, math.huge)
    args.number(what .. ": sd", given.sd, 0, math.huge)
    return given.mean, given.sd
  end
  return core.base(args.array_of(given, what .. ": the numbers in control"))
end

--- A chart around the mean and standard deviation of numbers in control. Detectors need none:
--- they start with what is given here.
---@param given fr.column|{mean: number, sd: number}
---@return flowrun.Model
function Monitor:fit(given)
  local what = ("ml.%s:fit"):format(self.kind)
  local _, charts = core.watches(self.kind)
  if charts then return core.new(self.kind, self.options, base_of(what, given)) end
  local _, model = ml_stream.update(core.new(self.kind, self.options), given)
  return model
end

--- The first numbers of a stream to a detector that needs no fit.
---@param data any
---@return flowrun.Frame|table said, flowrun.Model next
function Monitor:update(data)
  local _, charts = core.watches(self.kind)
  if charts then
    invalid("ml.%s: fit it first, on numbers in control or on {mean =, sd =}: "
      .. "ml.%s{…}:fit(calm.kw)", self.kind, self.kind)
  end
  return ml_stream.update(core.new(self.kind, self.options), data)
end

--- A constructor of specifications.
---@param kind string
---@return fun(options?: table): table
function ml_stream.maker(kind)
  return function(options)
    return setmetatable({kind = kind, options = core_ml.check(kind, options)}, Monitor)
  end
end

return ml_stream
