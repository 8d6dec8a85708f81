--- `fr.config(file)`: the one thing that the top level of a script may read. The file becomes
--- part of the bundle, so that a run sees the same configuration in every worker and when it
--- is resumed. Paths are relative to the script. JSON is decoded, a .lua file returns its
--- value (it sees no globals), anything else is text.
---
---     local limits = fr.config "limits.json"
local bundle = require "flowrun.bundle"

return bundle.config
