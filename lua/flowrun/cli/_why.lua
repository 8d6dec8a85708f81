--- `flowrun show RUN TASK --why`: why a cached task was computed, or where its result came from.
local cache = require "flowrun.cache"
local look = require "flowrun.cli._look"
local text = require "flowrun.cli._text"

local why = {}

local CANDIDATES = 50                            -- earlier calls that are compared
local scopes = {"run", "flow", "global", "watch"}

local function hex(bytes)
  return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

local function which(list)
  return (#list == 1 and "" or "s") .. " " .. table.concat(list, ", ")
end

local function lists_differ(a, b)
  local out = {}
  for i = 1, math.max(#a, #b) do
    if a[i] ~= b[i] then out[#out + 1] = tostring(i) end
  end
  return out
end

-- What of the code has changed, when both versions are still known.
local function code_differs(store, now, before)
  local function parts_of(hash)
    local ok, bytes = pcall(store.bundle, store, hex(hash))
    if not ok then return nil end
    return require("flowrun.core.value").parse(bytes):unpack()
  end
  local a, b = parts_of(now), parts_of(before)
  local names = a and b and cache.changed(a, b) or {}
  return #names > 0 and "the code: " .. table.concat(names, ", ") or "the code"
end

--- The parts in which two keys differ, as texts.
---@param store fr.store
---@param now table parts of the later call
---@param before table
---@return string[]
function why.differences(store, now, before)
  local out = {}
  local args = lists_differ(now.args, before.args)
  if #args > 0 then out[#out + 1] = "argument" .. which(args) end
  if now.code ~= before.code then out[#out + 1] = code_differs(store, now.code, before.code) end
  if now.key ~= before.key then out[#out + 1] = "what cache.key answers" end
  if now.version ~= before.version then out[#out + 1] = "the version" end
  if now.scope ~= before.scope then
    out[#out + 1] = ("the scope (%s, before %s)"):format(scopes[now.scope] or "?",
      scopes[before.scope] or "?")
  end
  local files = lists_differ(now.files or {}, before.files or {})
  if #files > 0 then out[#out + 1] = "the content of file" .. which(files) end
  return out
end

-- The earlier call that is most like this one.
local function nearest(store, row, parts)
  local best, least
  for _, earlier in ipairs(store:cache(row.run, row.name, row.seq, CANDIDATES)) do
    if earlier.parts and earlier.verdict ~= "good" and earlier.verdict ~= "last_good" then
      local differs = why.differences(store, parts, earlier.parts:unpack())
      if not least or #differs < #least then best, least = earlier, differs end
      if #least == 0 then break end
    end
  end
  return best, least
end

local function age(row)
  return text.duration(math.max(0, math.floor(require("flowrun.core.body").now() * 1e9) - row.at))
end

local function explain(store, row)
  if row.verdict == "hit" or row.verdict == "same" then
    local from = row.verdict == "same" and "an equal call of this run"
      or ("run %d"):format(row.origin_run)
    return {verdict = row.verdict, origin_run = row.origin_run,
            text = ("from the cache: the result of %s, computed %s ago"):format(from, age(row))}
  end
  if row.verdict == "last_good" then
    return {verdict = row.verdict, origin_run = row.origin_run,
            text = ("degraded: the last good result, of run %d, computed %s ago")
              :format(row.origin_run, age(row))}
  end
  if row.verdict == "expired" then
    return {verdict = row.verdict, text = "computed: the cached result had expired"}
  end
  if row.verdict == "refreshed" then
    return {verdict = row.verdict, text = "computed: a refresh was asked for"}
  end
  if row.verdict == "damaged" then
    return {verdict = row.verdict, text = "computed: the cached result could not be read "
      .. "(see flowrun logs)"}
  end
  local earlier, differs = nearest(store, row, row.parts and row.parts:unpack() or {args = {}})
  if not earlier then
    return {verdict = row.verdict, text = "computed: there was no earlier call of this task"}
  end
  if #differs == 0 and row.item > 0 then
    return {verdict = row.verdict, compared_with = earlier.run,
            text = "computed: no earlier map had this item"}
  end
  if #differs == 0 then
    return {verdict = row.verdict, compared_with = earlier.run,
            text = ("computed: an equal call of run %d was not yet on disk, or its result is gone")
              :format(earlier.run)}
  end
  return {verdict = row.verdict, compared_with = earlier.run, differs = differs,
          text = ("computed: not the same as in the call of run %d: %s"):format(earlier.run,
            table.concat(differs, "; "))}
end

--- Prints (or gives as JSON) what `records` of a run have to do with the cache.
---@param store fr.store
---@param run fr.store.run
---@param records fr.store.record[]
---@param as_json boolean
function why.show(store, run, records, as_json)
  local rows = {}
  for _, row in ipairs(store:cache(run.id, nil, nil, 100000)) do
    if row.verdict ~= "good" then
      local key = row.item > 0 and row.name or row.seq
      rows[key] = rows[key] or {}
      table.insert(rows[key], row)
    end
  end
  local out = setmetatable({}, require("flowrun.json").array_mt)
  for _, record in ipairs(records) do
    local mine = rows[record.kind == "map" and record.name or record.seq] or {}
    if #mine == 0 then
      out[#out + 1] = {row = record.row, name = record.name, verdict = "none",
        text = record.state == "SUCCESS" and "not from the cache: it has no option 'cache'"
          or ("not from the cache: it ended as %s"):format(record.state)}
    end
    for _, row in ipairs(mine) do
      local e = explain(store, row)
      e.row, e.name = record.row, record.name
      e.item = row.item > 0 and row.item or nil
      out[#out + 1] = e
    end
  end
  if as_json then return look.json(out) end
  for _, e in ipairs(out) do
    print(("%s%s (row %d): %s"):format(text.short(e.name), e.item and (" item %d"):format(e.item)
      or "", e.row, e.text))
  end
end

return why
