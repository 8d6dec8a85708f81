--- What the machine has that tasks ask for with `resources`: memory and graphics processors.
--- They are limits as others are, "memory" with a slot for each MiB and "gpu", so they hold across
--- all runs of one store.
local error_class = require "flowrun.core.error"
local options = require "flowrun.options"

local machine = {}

local MIB = 1 << 20

local function size_text(bytes)
  if bytes >= 1 << 30 then return ("%.4g GiB"):format(bytes / (1 << 30)) end
  return ("%.4g MiB"):format(bytes / MIB)
end

--- Bytes that tasks may declare at once: $FLOWRUN_MEMORY ("16GiB"), else what the machine has.
---@return integer? bytes nil: it cannot be known
function machine.memory()
  local said = os.getenv("FLOWRUN_MEMORY")
  if said and said ~= "" then
    local bytes = options.size(tonumber(said) or said)
    if not bytes or bytes < MIB then
      error_class.raise("invalid", ("FLOWRUN_MEMORY: expected a size from 1MiB on, such as "
        .. "\"16GiB\", got '%s'"):format(said))
    end
    return bytes
  end
  local f = io.open("/proc/meminfo")
  local kib = f and f:read("a"):match("MemTotal:%s*(%d+) kB")
  if f then f:close() end
  return kib and math.tointeger(tonumber(kib)) * 1024 or nil
end

--- How many graphics processors tasks may have: $FLOWRUN_GPUS, else those of the NVIDIA driver.
---@return integer
function machine.gpus()
  local said = os.getenv("FLOWRUN_GPUS")
  if said and said ~= "" then
    local n = math.tointeger(tonumber(said))
    if not n or n < 0 or n > 64 then
      error_class.raise("invalid", ("FLOWRUN_GPUS: expected a number from 0 to 64, got '%s'")
        :format(said))
    end
    return n
  end
  local found = require("flowrun.core.script").list_dir("/proc/driver/nvidia/gpus")
  return math.min(found and #found or 0, 64)
end

---@package
--- What one attempt takes of the limits.
---@param o table normalised options
---@return {name: string, n: integer}[]
function machine.needs(o)
  local list, resources = {}, o.resources or {}
  if resources.memory then
    list[1] = {name = "memory", n = (resources.memory + MIB - 1) // MIB}
  end
  if resources.gpu and resources.gpu > 0 then
    list[#list + 1] = {name = "gpu", n = resources.gpu}
  end
  return list
end

-- Raises when a task of the script wants more of a resource than there is.
local function check(script, name, there, text, remedy)
  for _, task in pairs(script.registry.tasks) do
    local wants = task.options.resources and task.options.resources[name]
    if wants and wants > there then
      error_class.raise("invalid", ("%s: task '%s': resources.%s = %s, but tasks have %s here; ask "
        .. "for less, or say how much there is: %s"):format(task.where, task.name, name,
        text(wants), text(there), remedy(wants)))
    end
  end
end

---@package
--- The machine's limits for a script that declares such resources anywhere; raises when one of
--- its tasks declares more than there is.
---@param script flowrun.Script
---@return {name: string, slots: integer}[]
function machine.limits(script)
  local list = {}
  local bytes = script.sources:find("memory", 1, true) and machine.memory()
  if bytes then
    check(script, "memory", bytes, size_text, function(wants)
      return ("FLOWRUN_MEMORY=%dMiB"):format((wants + MIB - 1) // MIB)
    end)
    list[1] = {name = "memory", slots = bytes // MIB}
  end
  if script.sources:find("gpu", 1, true) then
    local n = machine.gpus()
    check(script, "gpu", n, tostring, function(wants) return "FLOWRUN_GPUS=" .. wants end)
    list[#list + 1] = {name = "gpu", slots = n}
  end
  return list
end

return machine
