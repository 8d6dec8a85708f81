--- Checks that the modules of models share. Not for scripts.
local array_core = require "flowrun.core.array"
local error_class = require "flowrun.core.error"
local frame = require "flowrun.frame"

local ml_args = {}

function ml_args.invalid(format, ...) error_class.raise("invalid", format:format(...)) end
local invalid = ml_args.invalid

--- One column from an array or a list.
function ml_args.array_of(v, what)
  if v == nil then invalid("%s is missing: an array or a list is expected", what) end
  return array_core.new(v, nil, what)
end

function ml_args.check_frame(v, what)
  if not frame.is_frame(v) then
    invalid("%s: expected a frame, got a %s", what, type(v))
  end
  return v
end

--- Refuses option names that are not in `known`.
function ml_args.check_names(what, options, known)
  if options == nil then return {} end
  if type(options) ~= "table" then
    invalid("%s: options are a table, got a %s", what, type(options))
  end
  for name in pairs(options) do
    if not known[name] then
      local names = {}
      for k in pairs(known) do names[#names + 1] = k end
      table.sort(names)
      invalid("%s: unknown option '%s'; it knows %s", what, tostring(name),
        table.concat(names, ", "))
    end
  end
  return options
end

--- Options under their own names: `known[name]` is the name itself or the one it stands for.
function ml_args.renamed(what, options, known)
  local out = {}
  for name, value in pairs(ml_args.check_names(what, options, known)) do
    if out[known[name]] ~= nil then
      invalid("%s: '%s' is given twice, by two of its names", what, known[name])
    end
    out[known[name]] = value
  end
  return out
end

--- A whole number from `least`, or an error that names `what`.
function ml_args.whole(what, v, least)
  local n = type(v) == "number" and math.tointeger(v)
  if not n or n < least then
    invalid("%s must be a whole number from %d, got %s", what, least, tostring(v))
  end
  return n
end

--- A number within bounds, or an error that names `what`.
function ml_args.number(what, v, least, most)
  if type(v) ~= "number" or not (v >= least and v <= most) then
    invalid("%s must be a number from %g to %g, got %s", what, least, most, tostring(v))
  end
  return v
end

--- The choice among names, or an error that lists them.
function ml_args.choice(what, v, names)
  for _, name in ipairs(names) do
    if v == name then return v end
  end
  invalid("%s must be one of %s, got %s", what, table.concat(names, ", "), tostring(v))
end

return ml_args
