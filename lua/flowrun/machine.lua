--- What the machine has that tasks ask for with `resources`: its memory. It is a limit as others
--- are, named "memory", with a slot for each MiB, so it holds across all runs of one store.
local error_class = require "flowrun.core.error"
local options = require "flowrun.options"

local machine = {}

local MIB = 1 << 20

--- The name of the limit that stands for the machine's memory.
machine.MEMORY = "memory"

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

---@package
--- What one attempt takes of the limit.
---@param o table normalised options
---@return {name: string, n: integer}?
function machine.need(o)
  local bytes = o.resources and o.resources.memory
  return bytes and {name = machine.MEMORY, n = (bytes + MIB - 1) // MIB} or nil
end

---@package
--- The machine's limits for a script that declares memory anywhere; raises when one of its tasks
--- declares more than there is.
---@param script flowrun.Script
---@return {name: string, slots: integer}[]
function machine.limits(script)
  if not script.sources:find("memory", 1, true) then return {} end
  local bytes = machine.memory()
  if not bytes then return {} end
  for _, task in pairs(script.registry.tasks) do
    local wants = task.options.resources and task.options.resources.memory
    if wants and wants > bytes then
      error_class.raise("invalid", ("%s: task '%s': resources.memory = %s, but tasks have %s here; "
        .. "ask for less, or say how much there is: FLOWRUN_MEMORY=%dMiB"):format(task.where,
        task.name, size_text(wants), size_text(bytes), (wants + MIB - 1) // MIB))
    end
  end
  return {{name = machine.MEMORY, slots = bytes // MIB}}
end

return machine
