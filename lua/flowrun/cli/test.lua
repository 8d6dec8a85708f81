--- `flowrun test FILE…`: runs files of tests (flowrun.test).
local cli = require "flowrun.cli"
local test = require "flowrun.test"

local marks = {passed = "ok  ", failed = "FAIL", skipped = "skip"}

local function parse(args)
  local options, files, i = {}, {}, 1
  while args[i] do
    local word = args[i]
    if word == "-v" or word == "--verbose" then
      options.verbose = true
    elseif word == "--filter" then
      i = i + 1
      options.filter = args[i]
      if not args[i] then return nil, "--filter needs a text" end
    elseif word:find("^%-") then
      return nil, ("unknown option '%s'; flowrun test [-v] [--filter TEXT] FILE…"):format(word)
    else
      files[#files + 1] = word
    end
    i = i + 1
  end
  if #files == 0 then return nil, "no files; flowrun test [-v] [--filter TEXT] FILE…" end
  return options, files
end

local function run(args)
  local options, files = parse(args)
  if not options then return cli.usage("test: " .. files) end
  function options.report(state, name, text)
    if state == "passed" and not options.verbose then return end
    print(("%s %s%s"):format(marks[state], name, state == "skipped" and ": " .. text or ""))
    if state == "failed" then print("     " .. text:gsub("\n", "\n     ")) end
  end
  local total = {passed = 0, failed = 0, skipped = 0}
  for _, path in ipairs(files) do
    local counts = test.run_file(path, options)
    for state, n in pairs(counts) do total[state] = total[state] + n end
  end
  if total.passed + total.failed + total.skipped == 0 then
    return cli.usage("test: no test in these files" .. (options.filter and " matches" or ""))
  end
  print(("%d passed, %d failed%s"):format(total.passed, total.failed,
    total.skipped > 0 and (", %d skipped"):format(total.skipped) or ""))
  return total.failed == 0 and cli.exit.ok or cli.exit.failed
end

return {
  summary = "run files of tests",
  args = "[-v] [--filter TEXT] FILE…",
  help = "Runs each FILE (describe/it/expect of flowrun.test). -v names passed tests too,\n"
    .. "--filter runs tests whose name contains TEXT. Exit code 1 when a test failed.",
  run = run,
}
