--- `flowrun show RUN [TASK] --attempts`: everything that was tried, also before reruns.
local look = require "flowrun.cli._look"
local text = require "flowrun.cli._text"

local attempts = {}

local function took(r)
  if r.started and r.started > 0 and r.ended and r.ended > 0 then
    return text.duration(r.ended - r.started)
  end
  return "-"
end

local function message(v)
  local err = look.plain(v)
  return err and text.cut((tostring(err.message):gsub("\n.*", "")), 70) or ""
end

-- The records of a run in log order, each with the number of reruns before it.
local function gather(store, run, rows)
  local list, rerun = {}, 0
  for r in store:records(run.id, "task", "retry", "request") do
    if r.type == "request" then
      if r.name == "rerun" or r.name == "rerun_only" then
        rerun = rerun + 1
        list[#list + 1] = {rerun = rerun, only = r.name == "rerun_only", params = r.result,
          again = r.data and #r.data // 16 or 0}
      end
    elseif r.kind and (not rows or rows[r.row]) then
      list[#list + 1] = {rerun = rerun, record = r}
    end
  end
  return list
end

local function as_json(list)
  local out = setmetatable({}, require("flowrun.json").array_mt)
  for _, e in ipairs(list) do
    local r = e.record
    out[#out + 1] = r and {rerun = e.rerun, type = r.type, row = r.row, name = r.name,
      state = r.type == "retry" and "FAILED" or r.state,
      reason = r.reason ~= "" and r.reason or nil, attempt = r.attempt,
      started = look.seconds(r.started), ended = look.seconds(r.ended),
      result = look.plain(r.result), error = look.plain(r.error)}
      or {rerun = e.rerun, type = "rerun", only = e.only, calls = e.again,
        params = look.plain(e.params)}
  end
  look.json(out)
end

--- Prints (or gives as JSON) the attempts of a run, or of some of its calls.
---@param store fr.store
---@param run fr.store.run
---@param records fr.store.record[]? nil = all calls
---@param json boolean
function attempts.show(store, run, records, json)
  local rows
  if records then
    rows = {}
    for _, r in ipairs(records) do rows[r.row] = true end
  end
  local list = gather(store, run, rows)
  if json then return as_json(list) end
  local lines = {}
  for _, e in ipairs(list) do
    local r = e.record
    if r then
      local state = r.type == "retry" and "FAILED (retried)"
        or r.state .. (r.reason ~= "" and r.reason ~= "ran" and (" (%s)"):format(r.reason) or "")
      local shown = r.error and message(r.error)
        or r.result and text.cut(r.result:json(), 60) or ""
      lines[#lines + 1] = {tostring(e.rerun), tostring(r.row), text.short(r.name or "?"),
        tostring(r.attempt or 0), state, took(r), shown}
    else
      lines[#lines + 1] = {tostring(e.rerun), "", e.only and "rerun --only" or "rerun", "", "", "",
        e.params and "params " .. text.cut(e.params:json(), 60) or ""}
    end
  end
  print(text.table({"RERUN", "ROW", "TASK", "ATTEMPT", "STATE", "TOOK", "RESULT"}, lines,
    {true, true, false, true, false, true, false}))
end

return attempts
