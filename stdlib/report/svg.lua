--- Plots as SVG text: bars, lines with bands, scatter, heat maps. Text stays text, colours
--- come from CSS variables of the page, so that a report prints well and has a dark mode.
---
---     local svg = require "flowrun.report.svg"
---     local plot = svg.bars{labels = {"North", "South"}, values = {12, 7}, unit = "outages"}
local error_class = require "flowrun.core.error"

local svg = {}

local WIDTH, HEIGHT = 640, 300
local MARGIN = {left = 56, right = 16, top = 12, bottom = 40}

local function escape(s)
  return (tostring(s):gsub("[&<>\"]", {["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;",
    ['"'] = "&quot;"}))
end
svg.escape = escape

local function number(v)
  if v == math.floor(v) and math.abs(v) < 1e15 then return ("%d"):format(v) end
  return (("%.4g"):format(v))
end

-- Round steps (1, 2 or 5 times a power of ten) that cover lo … hi.
local function ticks(lo, hi, most)
  if hi <= lo then hi = lo + 1 end
  local raw = (hi - lo) / most
  local power = 10 ^ math.floor(math.log(raw, 10))
  local step = power
  for _, k in ipairs{1, 2, 5, 10} do
    if power * k >= raw then
      step = power * k
      break
    end
  end
  local list, v = {}, math.floor(lo / step) * step
  while v <= hi + step * 1e-6 or #list < 2 do
    list[#list + 1] = math.abs(v) < step * 1e-9 and 0 or v
    v = v + step
  end
  if list[#list] < hi then list[#list + 1] = v end
  return list
end

local Canvas = {}
Canvas.__index = Canvas

local function canvas(o, lo, hi)
  local w, h = o.width or WIDTH, o.height or HEIGHT
  local t = ticks(lo, hi, 5)
  return setmetatable({w = w, h = h, out = {}, lo = t[1], hi = t[#t], ticks = t,
    x0 = MARGIN.left, x1 = w - MARGIN.right, y0 = h - MARGIN.bottom, y1 = MARGIN.top}, Canvas)
end

function Canvas:add(format, ...) self.out[#self.out + 1] = format:format(...) end

function Canvas:y(v)
  return self.y0 - (v - self.lo) / (self.hi - self.lo) * (self.y0 - self.y1)
end

function Canvas:axes(o)
  for _, v in ipairs(self.ticks) do
    local y = self:y(v)
    self:add('<line class="grid" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>', self.x0, self.x1, y, y)
    self:add('<text class="tick" x="%.1f" y="%.1f" text-anchor="end">%s</text>', self.x0 - 6, y + 4,
      number(v))
  end
  if o.unit then
    self:add('<text class="tick" transform="translate(14 %.1f) rotate(-90)" '
      .. 'text-anchor="middle">%s</text>', (self.y0 + self.y1) / 2, escape(o.unit))
  end
  if o.x_unit then
    self:add('<text class="tick" x="%.1f" y="%.1f" text-anchor="middle">%s</text>',
      (self.x0 + self.x1) / 2, self.h - 6, escape(o.x_unit))
  end
end

function Canvas:finish(title)
  local tag = '<svg class="plot" viewBox="0 0 %d %d" role="img" aria-label="%s">%s</svg>'
  return tag:format(self.w, self.h, escape(title or "plot"), table.concat(self.out))
end

local function need(o, what, names)
  for _, name in ipairs(names) do
    if type(o[name]) ~= "table" and type(o[name]) ~= "userdata" then
      error_class.raise("invalid", ("svg.%s: %s should be a list of numbers, got a %s"):format(what,
        name, type(o[name])))
    end
  end
end

local function range(lists)
  local lo, hi = math.huge, -math.huge
  for _, list in ipairs(lists) do
    for i = 1, #list do
      local v = list[i]
      if type(v) == "number" and v == v then lo, hi = math.min(lo, v), math.max(hi, v) end
    end
  end
  if lo > hi then lo, hi = 0, 1 end
  return lo, hi
end

--- Vertical bars, one per label; `second` draws a second, lighter one beside each.
---@param o {labels: string[], values: number[], second: number[]?, unit: string?, names: string[]?,
---title: string?}
---@return string svg
function svg.bars(o)
  need(o, "bars", {"labels", "values"})
  local _, hi = range{o.values, o.second or {}}
  local c = canvas(o, 0, math.max(hi, 0))
  c:axes(o)
  local n = #o.labels
  local slot = (c.x1 - c.x0) / math.max(n, 1)
  local width = slot * (o.second and 0.36 or 0.64)
  for i = 1, n do
    local x = c.x0 + slot * (i - 1) + slot * 0.18
    local y = c:y(o.values[i])
    c:add('<rect class="s1" x="%.1f" y="%.1f" width="%.1f" height="%.1f">'
      .. '<title>%s: %s</title></rect>',
      x, y, width, c.y0 - y, escape(o.labels[i]), number(o.values[i]))
    if o.second then
      y = c:y(o.second[i])
      c:add('<rect class="s2" x="%.1f" y="%.1f" width="%.1f" height="%.1f">'
        .. '<title>%s: %s</title></rect>',
        x + width, y, width, c.y0 - y, escape(o.labels[i]), number(o.second[i]))
    end
    c:add('<text class="tick" x="%.1f" y="%.1f" text-anchor="middle">%s</text>',
      c.x0 + slot * (i - 0.5),
      c.y0 + 16, escape(o.labels[i]))
  end
  if o.names then
    for k, name in ipairs(o.names) do
      c:add('<text class="t%d" x="%.1f" y="%.1f" text-anchor="end">■ %s</text>', k, c.x1,
        c.y1 + 14 * k - 4,
        escape(name))
    end
  end
  return c:finish(o.title)
end

local function path(c, xs, ys, x_of)
  local parts, pen = {}, "M"
  for i = 1, #ys do
    if type(ys[i]) == "number" then
      parts[#parts + 1] = ("%s%.1f %.1f"):format(pen, x_of(xs and xs[i] or i), c:y(ys[i]))
      pen = "L"
    else
      pen = "M"
    end
  end
  return table.concat(parts)
end

--- Lines over x (or over 1, 2, 3 …), with an optional band between `lo` and `hi`.
---@param o {x: number[]?, lines: number[][], lo: number[]?, hi: number[]?, names: string[]?, unit:
---string?, x_unit: string?, title: string?}
---@return string svg
function svg.lines(o)
  need(o, "lines", {"lines"})
  local lists = {table.unpack(o.lines)}
  lists[#lists + 1], lists[#lists + 2] = o.lo or {}, o.hi or {}
  local lo, hi = range(lists)
  local c = canvas(o, o.from_zero and 0 or lo, hi)
  c:axes(o)
  local xs = o.x
  local x_lo, x_hi = 1, #o.lines[1]
  if xs then x_lo, x_hi = range{xs} end
  local function x_of(v) return c.x0 + (v - x_lo) / math.max(x_hi - x_lo, 1e-9) * (c.x1 - c.x0) end
  if o.lo and o.hi then
    local up, down = path(c, xs, o.hi, x_of), {}
    for i = #o.lo, 1, -1 do
      down[#down + 1] = ("L%.1f %.1f"):format(x_of(xs and xs[i] or i), c:y(o.lo[i]))
    end
    c:add('<path class="band" d="%s%sZ"/>', up, table.concat(down))
  end
  for i, ys in ipairs(o.lines) do c:add('<path class="l%d" d="%s"/>', i, path(c, xs, ys, x_of)) end
  for i, name in ipairs(o.names or {}) do
    c:add('<text class="t%d" x="%.1f" y="%.1f" text-anchor="end">%s</text>', i, c.x1, c.y1 + 14 * i,
      escape(name))
  end
  for _, v in ipairs(ticks(x_lo, x_hi, 6)) do
    if v >= x_lo and v <= x_hi then
      c:add('<text class="tick" x="%.1f" y="%.1f" text-anchor="middle">%s</text>', x_of(v),
        c.y0 + 16,
        number(v))
    end
  end
  return c:finish(o.title)
end

--- Dots at (x, y), their size and colour by `size` and `shade` (0 … 1) if given: a simple map.
---@param o {x: number[], y: number[], size: number[]?, shade: number[]?, labels: string[]?,
---  shade_names: string[]?, title: string?} shade_names: what colours 0 and 1 stand for
---@return string svg
function svg.map(o)
  need(o, "map", {"x", "y"})
  local w, h = o.width or WIDTH, o.height or 380
  local x_lo, x_hi = range{o.x}
  local y_lo, y_hi = range{o.y}
  local scale = math.min((w - 40) / math.max(x_hi - x_lo, 1e-9),
    (h - 40) / math.max(y_hi - y_lo, 1e-9))
  local left = (w - (x_hi - x_lo) * scale) / 2
  local c = setmetatable({w = w, h = h, out = {}}, Canvas)
  local function dot(x, y, r, shade, label)
    c:add('<circle cx="%.1f" cy="%.1f" r="%.1f" fill="hsl(%d 85%% %d%%)" fill-opacity="0.85">'
      .. "<title>%s</title></circle>", x, y, r, math.floor(210 - 205 * shade),
      math.floor(72 - 27 * shade), escape(label))
  end
  for i = 1, #o.x do
    local shade = o.shade and math.max(0, math.min(1, o.shade[i])) or 0.5
    dot(left + (o.x[i] - x_lo) * scale, h - 20 - (o.y[i] - y_lo) * scale, o.size and o.size[i] or 4,
      shade, o.labels and o.labels[i] or "")
  end
  if o.shade_names then
    for i = 0, 4 do dot(w - 150 + 14 * i, 12, 5, i / 4, "") end
    c:add('<text class="tick" x="%d" y="16" text-anchor="end">%s</text>', w - 162,
      escape(o.shade_names[1]))
    c:add('<text class="tick" x="%d" y="16">%s</text>', w - 82, escape(o.shade_names[2]))
  end
  return c:finish(o.title)
end

return svg
