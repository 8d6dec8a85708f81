--- The tasks of a recorded run, and those that a word names.
local error_class = require "flowrun.core.error"
local text = require "flowrun.cli._text"

local tasks = {}

--- The latest record of each call, by row.
---@param store fr.store
---@param id integer
---@return fr.store.record[]
function tasks.of_run(store, id)
  local by_row, list = {}, {}
  for t in store:tasks(id) do
    if not by_row[t.row] then list[#list + 1] = t end
    by_row[t.row] = t
  end
  for i, t in ipairs(list) do list[i] = by_row[t.row] end
  table.sort(list, function(a, b) return a.row < b.row end)
  return list
end

--- The tasks that a word names: a row, a name, a key, or the third call of fit ("fit#3").
---@param list fr.store.record[]
---@param word string
---@return fr.store.record[]
function tasks.named(list, word)
  local found, names, uses = {}, {}, {}
  for _, t in ipairs(list) do
    local name = text.short(t.name or "?")
    names[#names + 1] = name
    uses[name] = (uses[name] or 0) + 1
    if tostring(t.row) == word or name == word or t.name == word or t.label == word
      or ("%s#%d"):format(name, uses[name]) == word then
      found[#found + 1] = t
    end
  end
  if #found > 0 then return found end
  local near = error_class.nearest(word, names)
  error_class.raise("not_found", ("the run has no task '%s'%s"):format(word,
    near and ("; did you mean '%s'?"):format(near) or ""))
end

return tasks
