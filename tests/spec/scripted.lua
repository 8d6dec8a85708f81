--- For specs: a folder with a script in it, run by the real program in a home of its own.
---
---     local s = scripted [[ local t = fr.task("t", function() return 1 end) … ]]
---     local out, code, err = s.run("FILE --n 5")
---     s.task("t").attempt, s.task("t", 2).state
local json = require "flowrun.json"
local test = require "flowrun.test"
local real = dofile "tests/spec/real_program.lua"
local program, read, write = real.program, real.read, real.write

local function scripted(text)
  local dir = test.temp_dir()
  local self = {dir = dir, file = dir .. "/f.lua"}
  function self.write(name, content) write(dir .. "/" .. name, content) end
  function self.read(name) return read(dir .. "/" .. name) end
  self.write("f.lua", 'local fr = require "flowrun"\n' .. text)
  --- Runs the program: stdout, exit code, stderr. FILE stands for the script.
  function self.run(words)
    local pipe = assert(io.popen(("cd '%s' && FLOWRUN_HOME='%s/home' '%s' %s 2>err")
      :format(dir, dir, program, words:gsub("FILE", "f.lua"))))
    local out = pipe:read("a")
    local _, _, code = pipe:close()
    return out, code, read(dir .. "/err")
  end
  function self.show(id) return json.decode((self.run("show --json " .. (id or "@last")))) end
  --- The nth call of a task in the latest run, as `flowrun show --json` has it.
  function self.task(name, nth)
    for _, task in ipairs(self.show().tasks) do
      if task.name:match("([^:]*)$") == name then
        nth = (nth or 1) - 1
        if nth == 0 then return task end
      end
    end
  end
  return self
end

return scripted
