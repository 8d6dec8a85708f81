--- What k-means and principal components found. Used by ml.lua; scripts reach it through models.
local core = require "flowrun.core.shape"
local error_class = require "flowrun.core.error"
local frame = require "flowrun.frame"

local ml_shape = {}

local function wrong(model, what)
  error_class.raise("unsupported", ("a %s has no %s"):format(model:info().title, what))
end

--- Adds methods to models.
---@param methods table
function ml_shape.extend(methods)
  --- The centres of k-means: a row per cluster, a column per feature.
  ---@return flowrun.Frame centres
  ---@return {inertia: number, iterations: integer} fit sum of squared distances to the centres
  function methods:clusters()
    local inertia, iterations, centres = core.kmeans(self)
    if not inertia then wrong(self, "clusters") end
    local columns = {}
    for j, name in ipairs(self:info().features) do columns[j] = {name, centres[j], "float64"} end
    return frame.from(columns), {inertia = inertia, iterations = iterations}
  end

  --- Principal components, greatest first: variance, its share of the whole, and the direction as
  --- a column per feature.
  ---@return flowrun.Frame
  function methods:components()
    local variance, share, elements = core.pca(self)
    if not variance then wrong(self, "components") end
    local names = {}
    for k = 1, #variance do names[k] = "pc" .. k end
    local columns = {{"component", names}, {"variance", variance, "float64"},
      {"share", share, "float64"}}
    for j, name in ipairs(self:info().features) do
      columns[j + 3] = {name, elements[j], "float64"}
    end
    return frame.from(columns)
  end
end

--- The cluster of each row, as whole numbers.
---@param model flowrun.Model
---@param numbers flowrun.Array
---@return flowrun.Array
function ml_shape.labels(model, numbers)
  if model:info().kind ~= "kmeans" then return numbers end
  return numbers:cast("int64")
end

return ml_shape
