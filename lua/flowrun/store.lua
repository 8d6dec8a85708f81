--- Looking into a store: runs, their tasks, items of maps, journals and logs.
--
--   local store = require "flowrun.store"
--   local home <close> = store.open("/home/ann/.local/share/flowrun", {read_only = true})
--   for _, run in ipairs(home:runs()) do print(run.id, run.flow, run.state) end
--
-- Times are integers: nanoseconds since 1970 UTC. Values are userdata of class flowrun.Value:
-- `:unpack()` gives the Lua value, `:json()` readable text. Iterators read some hundred rows
-- at a time and hold nothing open between them.
local core = require "flowrun.core.store"

local store = {}

---@class fr.store
---@field private core userdata
local Store = {}
Store.__index = Store
Store.__name = "flowrun.store"

---@class fr.store.run
---@field id integer
---@field flow string
---@field file string absolute path of the script
---@field bundle string hash of the sources
---@field seed integer
---@field state string "RUNNING", "SUCCESS", …
---@field reason? string "cancelled", "timeout", …
---@field attempt integer 1 + number of resumes and reruns
---@field started? integer
---@field ended? integer
---@field options? string JSON
---@field params? userdata
---@field result? userdata
---@field error? userdata
---@field alive boolean a process holds its lock
---@field pid? integer of that process

---@class fr.store.record
---@field type string task, start, retry, value, timer, map_part, request, addendum
---@field kind? string task, map, sleep, flow
---@field seq integer place in the log of the run; 0: is running now
---@field row integer number of the call within the run
---@field name? string "storm_prep:fetch_weather"
---@field label? string readable key: "0.2/fetch_weather#1"
---@field state? string
---@field reason? string
---@field attempt integer
---@field key? string
---@field args? string hash of the arguments
---@field queued? integer
---@field started? integer
---@field ended? integer
---@field due? integer
---@field items? integer of a map
---@field failed_items? integer of a map
---@field log_from? integer
---@field log_to? integer
---@field data? string
---@field outputs? string[] hash per named output
---@field result? userdata
---@field error? userdata

---@class fr.store.item
---@field index integer position in the list, from 1
---@field state string SUCCESS, FAILED, STOPPED
---@field reason string ran, degraded, error, cancelled
---@field attempt integer
---@field key string
---@field args string
---@field started integer
---@field ended integer
---@field log? integer offset of its lines
---@field result? userdata
---@field error? userdata

---@class fr.store.line
---@field offset integer
---@field time integer
---@field row integer
---@field item integer
---@field attempt integer
---@field level integer
---@field text string

--- Opens the store in the folder `home`.
---@param home string
---@param options? {read_only?: boolean} read_only: made by nobody, changed by nobody
---@return fr.store
function store.open(home, options)
  local read_only = options and options.read_only or false
  return setmetatable({core = core.open(home, read_only)}, Store)
end

--- Closes it; further calls are errors.
function Store:close()
  if self.core then self.core:close() end
  self.core = nil
end
Store.__close = Store.close
Store.__gc = Store.close

--- Runs, newest first.
---@param options? {limit?: integer} default 1000
---@return fr.store.run[]
function Store:runs(options)
  return self.core:runs(0, options and options.limit or 1000)
end

--- One run, or nil when there is none of that number.
---@param id integer
---@return fr.store.run?
function Store:run(id)
  if id < 1 then return nil end
  return self.core:runs(id, 1)[1]
end

-- An iterator over what read(from) -> list, next gives piece by piece.
local function pieces(read)
  local list, at, from, size = nil, 0, 0, 0
  return function()
    if at == size then
      if not from then return nil end
      list, from = read(from)
      at, size = 0, #list
      if size == 0 then return nil end
    end
    at = at + 1
    return list[at]
  end
end

--- Records of a run in log order; what is running now comes last.
---@param id integer
---@param ... string only these types: "task", "retry"; none = all
---@return fun(): fr.store.record?
function Store:records(id, ...)
  local mask = 0
  for _, name in ipairs {...} do
    mask = mask | (core.types[name] or error(("no record type is called '%s'"):format(name), 2))
  end
  return pieces(function(from) return self.core:scan(id, mask, from) end)
end

--- Tasks that have ended, in the order in which they did, then those that are running. Of a
--- task that ran again the later record counts.
---@param id integer
---@return fun(): fr.store.record?
function Store:tasks(id)
  return self:records(id, "task", "start")
end

--- What columns cannot say: retries, recorded values, timers, requests, late requires.
---@param id integer
---@return fun(): fr.store.record?
function Store:journal(id)
  return self:records(id, "retry", "value", "timer", "request", "addendum")
end

--- Finished items of a map, in the order in which they were recorded. Of an item that ran
--- again the later one counts.
---@param id integer
---@param task integer|fr.store.record its record (or row alone: then without key, times from 0)
---@return fun(): fr.store.item?
function Store:items(id, task)
  local row, key, queued = task, nil, 0
  if type(task) == "table" then row, key, queued = task.row, task.key, task.queued or 0 end
  return pieces(function(from) return self.core:items(id, row, key, queued, from) end)
end

---@class fr.store.kept
---@field run integer
---@field seq integer of the record
---@field item integer of a map: which item; 0 = the whole
---@field name string
---@field verdict string hit, miss, expired, refreshed, damaged, same, good, last_good
---@field origin_run? integer where the result came from
---@field origin? integer seq of that record
---@field at integer when it was computed
---@field parts? userdata {args = {hash, …}, code = hash, files = {hash, …}, scope=, version=}

--- How calls of cached tasks came by their results: those of a run in log order; or those of
--- a task before record `before` of the run, newest first.
---@param id integer
---@param task? string "module:name"
---@param before? integer
---@param limit? integer default 1000
---@return fr.store.kept[]
function Store:cache(id, task, before, limit)
  return self.core:cache(id, task, before, limit or 1000)
end

---@class fr.store.message
---@field id integer
---@field run integer it came from
---@field seq integer of the record it came with
---@field n integer which of that record's
---@field owner integer the run whose process delivers it
---@field state string pending, delivered, dead, dropped
---@field attempts integer made
---@field retries integer allowed
---@field due? integer of the next attempt; none = at once
---@field made integer
---@field changed integer
---@field task string who delivers it
---@field name string
---@field key string its idempotency key
---@field error? string of the latest attempt
---@field args? userdata of the sender

local message_states = {pending = 1, delivered = 2, dead = 4, dropped = 8}

--- Messages that tasks left by fr.outbox, oldest first.
---@param which {run: integer?, id: integer?, limit: integer?, [integer]: string} states; none = all
---@return fr.store.message[]
function Store:outbox(which)
  local mask = #which == 0 and 15 or 0
  for _, name in ipairs(which) do
    mask = mask | (message_states[name] or error(("no state is called '%s'"):format(name), 2))
  end
  return self.core:outbox(which.run or 0, which.id or 0, mask, which.limit or 1000)
end

--- Tries a message again from the start, also a dead one ("retry"); drops it ("drop"); id 0 and
--- "now": all pending ones are due at once.
---@param id integer
---@param what "retry"|"drop"|"now"
function Store:outbox_change(id, what)
  self.core:outbox_change(id, what)
end

--- Lines of a run's log, in order of writing.
---@param id integer
---@param options? {row?: integer, item?: integer, from?: integer, limit?: integer}
---@return fr.store.line[] lines at most `limit` (default 1000) are looked at
---@return integer next offset to go on from, also when the log grows later
---@return boolean more there are further lines now
function Store:logs(id, options)
  options = options or {}
  local lines, next, more = self.core:log(id, options.from or 0, options.limit or 1000)
  if not options.row and not options.item then return lines, next, more end
  local mine = {}
  for _, line in ipairs(lines) do
    if (not options.row or line.row == options.row)
      and (not options.item or line.item == options.item) then
      mine[#mine + 1] = line
    end
  end
  return mine, next, more
end

--- Asks a run for something: a row first, then its process is told to look.
---@param id integer
---@param kind string "cancel", "signal", …
---@param payload? string JSON
function Store:request(id, kind, payload)
  self.core:request(id, kind, payload)
end

---@class fr.store.limit
---@field name string
---@field slots? integer nil: nobody said; it has one, or as many as its rate lets start
---@field rate? integer starts per period
---@field period? integer ns
---@field source integer 0 = nobody set it, 1 = a script, 2 = `flowrun limits set`
---@field used integer slots that are held
---@field waiting integer attempts that wait

---@class fr.store.slot
---@field limit string
---@field run integer
---@field row integer number of the call within the run; 0: the run itself
---@field name string of the task
---@field slots integer
---@field priority integer
---@field since integer when it was asked for
---@field granted? integer nil: it waits
---@field refused boolean it can never be had
---@field alive boolean its run lives; a dead one's slots do not count

--- Named limits, by name.
---@return fr.store.limit[]
function Store:limits()
  return self.core:limits()
end

--- Slots that are held and waited for: by limit, who waits in the order of service.
---@return fr.store.slot[]
function Store:slots()
  return self.core:slots()
end

--- Sets a limit for all runs, in front of what scripts say. Runs that wait go on at once.
---@param name string
---@param what {slots: integer?, rate: integer?, period: integer?} period in ns
function Store:set_limit(name, what)
  self.core:set_limit(name, what)
end

--- Forgets what was set: what scripts say counts again.
---@param name string
function Store:remove_limit(name)
  self.core:remove_limit(name)
end

--- The process that works on a run, or nil.
---@param id integer
---@return integer? pid
function Store:alive(id)
  return self.core:alive(id)
end

--- The hash of the code a run goes on with: what its latest rerun brought, else its field
--- `bundle`.
---@param run fr.store.run
---@return string? hash
function Store:code(run)
  return self.core:rerun_code(run.id) or run.bundle
end

--- The packed sources of a run, by their hash.
---@param hash string
---@return string
function Store:bundle(hash)
  return self.core:bundle(hash)
end

--- Raises an error when a record of the run, or the end of any run, is not as it was
--- recorded: recomputes the audit chain, SHA-256 over all columns.
---@param id integer
function Store:audit(id)
  self.core:audit(id)
end

--- Removes files of values that no row names and that are older than an hour.
---@return {files: integer, bytes: integer, kept: integer}
function Store:gc()
  return self.core:gc()
end

--- Counts of rows, sizes in bytes.
---@return table<string, integer>
function Store:stats()
  return self.core:stats()
end

return store
