---@meta flowrun
-- Handles and runs are made in C and in flowrun.session; this describes them for editors and
-- for the reference.

--- What a task call inside a flow returns at once: a promise of its result. It may stand
--- anywhere inside the argument of another call, which then waits for it. Arithmetic,
--- comparison and indexing of a handle are errors that say so.
---@class flowrun.Handle
local handle = {}

--- Waits for the result and returns it; raises the task's error when it failed.
---@return any
function handle:get() end

--- Waits; `true, value`, or `nil, error` when the task failed. The failure then counts as
--- handled.
---@return true? ok, any value_or_error
function handle:try() end

--- The state now, without waiting: "WAITING", "RUNNING", "SUCCESS", … Recorded, so that a replay
--- sees the same.
---@return string
function handle:state() end
