--- `flowrun logs RUN`: what its tasks printed and logged.
local look = require "flowrun.cli._look"
local text = require "flowrun.cli._text"

local names = {[10] = "debug", [20] = "info", [30] = "warn", [40] = "error"}

local function print_lines(store, run, o, task_names)
  local from, more = 0, true
  while more do
    local lines
    lines, from, more = store:logs(run.id, {from = from, row = o.row})
    for _, line in ipairs(lines) do
      local task = task_names[line.row] or (line.row == 0 and run.flow or "#" .. line.row)
      if o.json then
        io.stdout:write(require("flowrun.json").encode{time = look.seconds(line.time),
          row = line.row, task = task, item = line.item, attempt = line.attempt,
          level = names[line.level] or line.level,
          text = line.text}, "\n")
      else
        io.stdout:write(("%s %-5s %s: %s\n"):format(text.time(line.time), names[line.level] or "",
          task, line.text))
      end
    end
  end
end

return {
  summary = "print what the tasks of a run logged",
  args = "RUN [--row N] [--json]",
  help = "--row N prints only the call with that row number (see flowrun show).\n"
    .. "--json prints one object per line: time, row, task, item, attempt, level, text.",
  run = function(args)
    return look.command(args, {["--row"] = "N"}, 1, function(store, o, words)
      local run = look.run(store, words[1])
      o.row = o.row and math.tointeger(tonumber(o.row))
      local task_names = {}
      for t in store:tasks(run.id) do task_names[t.row] = text.short(t.name or "?") end
      print_lines(store, run, o, task_names)
    end)
  end,
}
