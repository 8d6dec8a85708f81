-- labels: docs
-- Every snippet of README.md and docs/ runs. In order, in one folder per document:
--   ```lua            runs as a plain script (flowrun lua)
--   ```lua file=NAME  is written to NAME for later blocks
--   ```sh             runs with sh -e; flowrun is in PATH, its home is in the folder
--   ```output         is what the block before must have printed; … stands for anything
-- "norun" after the language only checks the syntax of Lua and skips sh.
local t = require "flowrun.test"
local describe, it, expect = t.describe, t.it, t.expect

local program = os.getenv("FLOWRUN") or "build/flowrun"

local function output_of(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read("a")
  return text, pipe:close() == true
end

local function read(path)
  local file = assert(io.open(path))
  local text = file:read("a")
  file:close()
  return text
end

local function write(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
end

local function blocks_of(text)
  local blocks, block, n = {}, nil, 0
  for line in text:gmatch("([^\n]*)\n") do
    n = n + 1
    local info = line:match("^```(.*)$")
    if info and not block then
      block = {info = info, language = info:match("^%a*"), line = n, lines = {}}
    elseif info then
      block.text = table.concat(block.lines, "\n") .. "\n"
      blocks[#blocks + 1], block = block, nil
    elseif block then
      block.lines[#block.lines + 1] = line
    end
  end
  return blocks
end

-- Compares line by line, without trailing white space; … in the expected text is a wildcard.
local function matches(got, want)
  local pattern = want:gsub("%s+$", ""):gsub("[%^%$%(%)%%%.%[%]%*%+%-%?]", "%%%0"):gsub("…", ".-")
  return got:gsub("%s+$", ""):gsub("[ \t]+\n", "\n"):find("^" .. pattern .. "$") ~= nil
end

local function run_block(folder, block, where)
  if block.info:find("norun") then
    if block.language == "lua" then
      local chunk, problem = load(block.text, "=" .. where)
      expect(problem).to_be_nil()
      return chunk and ""
    end
    return ""
  end
  local name = block.info:match("file=(%S+)")
  if name then
    write(folder .. "/" .. name, block.text)
    return ""
  end
  local script = ("%s/.block%d.%s"):format(folder, block.line, block.language)
  write(script, block.text)
  local command = block.language == "lua" and "flowrun lua " .. script or "sh -e " .. script
  local said, ok = output_of(("cd '%s' && PATH='%s':$PATH FLOWRUN_HOME='%s/.home' %s 2>.errors")
    :format(folder, output_of("dirname $(realpath " .. program .. ")"):gsub("\n", ""), folder,
      command))
  if not ok then error(where .. " fails:\n" .. said .. read(folder .. "/.errors"), 0) end
  return said
end

local function run_document(path)
  local folder, said, ran = t.temp_dir(), "", 0
  for _, block in ipairs(blocks_of(read(path))) do
    local where = path .. ":" .. block.line
    if block.language == "lua" or block.language == "sh" then
      said = run_block(folder, block, where)
      ran = ran + 1
    elseif block.language == "output" and not matches(said, block.text) then
      error(("%s: expected\n%s\nbut the block printed\n%s"):format(where, block.text, said), 0)
    end
  end
  expect(ran).to_be_a("integer")
  return ran
end

describe("every snippet runs in", function()
  local paths = output_of("find README.md docs -name '*.md' ! -path 'docs/reference/*' | sort")
  for path in paths:gmatch("[^\n]+") do
    if read(path):find("\n```[ls][uh]a?") then
      it(path, function() run_document(path) end)
    end
  end
end)

describe("links lead to files that exist", function()
  local paths = output_of("find . -maxdepth 1 -name '*.md'; find docs -name '*.md'")
  for path in paths:gmatch("[^\n]+") do
    it("in " .. path, function()
      local folder = path:match("^(.*)/") or "."
      local missing = {}
      for target in read(path):gmatch("%]%(([^)#%s]+)[^)]*%)") do
        if not target:find("^%a+:") then
          local file = io.open(folder .. "/" .. target)
          if file then file:close() else missing[#missing + 1] = target end
        end
      end
      expect(missing).to_equal({})
    end)
  end
end)
