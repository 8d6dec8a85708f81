--- Checks that the modules of time series share. Not for scripts.
local core = require "flowrun.core.ts"
local error_class = require "flowrun.core.error"
local frame = require "flowrun.frame"

local ts_args = {}

function ts_args.invalid(format, ...) error_class.raise("invalid", format:format(...)) end
local invalid = ts_args.invalid

--- An integer, or an error that names `what`.
function ts_args.whole(what, v)
  local n = type(v) == "number" and math.tointeger(v)
  if not n then invalid("%s must be a whole number, got %s", what, tostring(v)) end
  return n
end

--- The options, a table that has none but the known ones.
function ts_args.options_of(what, options, known)
  if options == nil then return {} end
  if type(options) ~= "table" then
    invalid("%s: options are a table, got a %s", what, type(options))
  end
  core.check(options, what, known)
  return options
end

--- The arrays to fit on, from (frame, target, options) or (array, options).
function ts_args.take_data(what, data, target, options)
  if frame.is_frame(data) then
    if type(target) ~= "string" then
      invalid("%s: which column? fit(frame, \"kw\", {time = \"when\"})", what)
    end
    local o = ts_args.options_of(what, options, {"time", "exog"})
    local exog = o.exog
    if type(exog) == "string" then exog = {exog} end
    if exog and not frame.is_frame(exog) then exog = data:select(exog) end
    return data:col(target), target, o.time and data:col(o.time), o.time, exog
  end
  local o = ts_args.options_of(what, target, {"exog"})
  if type(data) ~= "table" and not frame.is_array(data) then
    invalid("%s: expected a frame or an array, got a %s", what, type(data))
  end
  if o.exog and not frame.is_frame(o.exog) then
    invalid("%s: exog beside an array is a frame of as many rows", what)
  end
  return frame.is_array(data) and data or frame.array(data), "", nil, nil, o.exog
end

return ts_args
