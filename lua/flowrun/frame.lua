--- Frames: named columns of one length that never change.
local core = require "flowrun.core.frame"

return core
