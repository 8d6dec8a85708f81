--- Text for people: colours, durations, counts, widths. Used by the commands.
local text = {}

local codes = {bold = "1", dim = "2", red = "31", green = "32", yellow = "33", blue = "34",
               cyan = "36"}

--- Whether `stream` ("stdout"|"stderr") wants colours: a terminal, unless NO_COLOR is set.
---@return boolean
function text.colours(stream)
  local tty = require "flowrun.core.tty"
  if os.getenv("CLICOLOR_FORCE") then return true end
  if os.getenv("NO_COLOR") or os.getenv("TERM") == "dumb" then return false end
  return tty.is_terminal(stream)
end

--- A painter: paint("red", "x") returns x coloured, or as it is when `on` is false.
function text.painter(on)
  return function(colour, s)
    return on and ("\27[%sm%s\27[0m"):format(codes[colour], s) or s
  end
end

--- "0.8s", "12.3s", "4m05s", "2h03m"; milliseconds below a tenth of a second.
---@param ns integer
function text.duration(ns)
  local s = ns / 1e9
  if s < 0.0995 then return ("%.1fms"):format(s * 1e3) end
  if s < 60 then return ("%.1fs"):format(s) end
  s = math.floor(s + 0.5)
  if s < 3600 then return ("%dm%02ds"):format(s // 60, s % 60) end
  return ("%dh%02dm"):format(s // 3600, s % 3600 // 60)
end

--- 1234567 -> "1,234,567"
---@param n integer
function text.count(n)
  local s = ("%d"):format(n):reverse():gsub("(%d%d%d)", "%1,"):reverse()
  return (s:gsub("^,", ""))
end

--- "1 task", "2 tasks"
function text.plural(n, noun)
  return text.count(n) .. " " .. noun .. (n == 1 and "" or "s")
end

--- Cuts to `width` columns, with … at the end. Counts UTF-8 characters.
function text.cut(s, width)
  local n = utf8.len(s)
  if not n or n <= width then return s end
  return s:sub(1, utf8.offset(s, width) - 1) .. "…"
end

--- Pads on the right to `width` columns.
function text.pad(s, width)
  return s .. (" "):rep(math.max(0, width - (utf8.len(s) or #s)))
end

--- "storm_prep:fetch" -> "fetch": the module is said once, in the header.
function text.short(name)
  return name:match(":([^:]*)$") or name
end

--- Local date and time of wall nanoseconds; "-" for 0.
function text.time(ns)
  if not ns or ns == 0 then return "-" end
  return os.date("%Y-%m-%d %H:%M:%S", ns // 1000000000)
end

--- A table of rows with aligned columns; numbers (in `right`) to the right.
---@param header string[]
---@param rows string[][]
---@param right table<integer, boolean>
---@return string
function text.table(header, rows, right)
  local widths, lines = {}, {}
  for i, h in ipairs(header) do widths[i] = utf8.len(h) end
  for _, row in ipairs(rows) do
    for i, cell in ipairs(row) do widths[i] = math.max(widths[i], utf8.len(cell) or #cell) end
  end
  local function line(row)
    local cells = {}
    for i, cell in ipairs(row) do
      local fill = (" "):rep(widths[i] - (utf8.len(cell) or #cell))
      cells[i] = right[i] and fill .. cell or cell .. fill
    end
    return (table.concat(cells, "  "):gsub("%s+$", ""))
  end
  lines[1] = line(header)
  for _, row in ipairs(rows) do lines[#lines + 1] = line(row) end
  return table.concat(lines, "\n")
end

return text
