--- One self-contained HTML page: headings, tables, notes and plots, nothing loaded from
--- anywhere, readable on paper and in the dark. Opens from a mail or a file share.
---
---     local page = html.page{title = "Storm preparation", subtitle = "run 12"}
---     page:cards{{"Circuits", "2,000"}, {"Crews to request", "14"}}
---     page:table(ranked, {caption = "First 20 circuits"})
---     page:write("report.html")
local svg = require "flowrun.report.svg"

local html = {}
local escape = svg.escape

local style = [[
:root{--ink:#1d2733;--soft:#5a6b7d;--line:#dde3ea;--paper:#fff;--panel:#f5f7fa;--one:#1f6feb;
--two:#f59f00;--bad:#c92a2a;--good:#2b8a3e;--warn:#e67700}
@media (prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9aa7b4;--line:#30363d;
--paper:#0d1117;
--panel:#161b22;--one:#58a6ff;--two:#f2cc60;--bad:#ff7b72;--good:#56d364;--warn:#f0883e}}
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1080px;margin:0 auto;padding:32px 24px 64px}h1{font-size:28px;margin:0}
h2{font-size:19px;margin:36px 0 10px;border-bottom:1px solid var(--line);padding-bottom:6px}
.sub{color:var(--soft);margin:4px 0 20px}.cards{display:grid;gap:12px;
grid-template-columns:repeat(auto-fit,minmax(150px,1fr));margin:18px 0}
.card{background:var(--panel);border:1px solid var(--line);border-radius:10px;padding:12px 14px}
.card b{display:block;font-size:24px;font-variant-numeric:tabular-nums}.card span{color:var(--soft);
font-size:13px}
.note{border-left:4px solid var(--one);background:var(--panel);padding:10px 14px;
border-radius:0 8px 8px 0;margin:14px 0}
.note.warn{border-color:var(--warn)}.note.bad{border-color:var(--bad)}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:14px}
caption{text-align:left;color:var(--soft);padding:4px 0}
th,td{padding:5px 10px;border-bottom:1px solid var(--line);text-align:left;white-space:nowrap}
th{color:var(--soft);font-weight:600}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
tbody tr:hover{background:var(--panel)}.two{display:grid;gap:20px;
grid-template-columns:repeat(auto-fit,minmax(420px,1fr))}
figure{margin:0}figcaption{color:var(--soft);font-size:13px;margin-top:2px}svg.plot{width:100%;
height:auto}
.grid{stroke:var(--line)}.tick{fill:var(--soft);font-size:12px}.s1{fill:var(--one)}
.s2{fill:var(--two);opacity:.75}
.band{fill:var(--one);opacity:.16}.l1,.l2,.l3{fill:none;stroke:var(--one);stroke-width:2}
.l2{stroke:var(--two)}
.l3{stroke:var(--soft);stroke-dasharray:4 3}.t1{fill:var(--one);font-size:12px}.t2{fill:var(--two);
font-size:12px}
.t3{fill:var(--soft);font-size:12px}footer{margin-top:48px;color:var(--soft);font-size:13px;
border-top:1px solid var(--line);padding-top:10px}
@media print{body{font-size:11px}.card b{font-size:17px}main{padding:0;max-width:none}
h2{break-after:avoid}tr,figure{break-inside:avoid}}
]]

---@class flowrun.Page
local Page = {}
Page.__index = Page

--- A page to add to.
---@param o {title: string, subtitle: string?, footer: string?}
---@return flowrun.Page
function html.page(o)
  return setmetatable({o = o, out = {}}, Page)
end

function Page:add(s)
  self.out[#self.out + 1] = s
  return self
end

function Page:heading(s) return self:add("<h2>" .. escape(s) .. "</h2>") end
function Page:text(s) return self:add("<p>" .. escape(s) .. "</p>") end

--- A boxed remark. kind: nil, "warn" or "bad".
function Page:note(s, kind)
  return self:add(('<p class="note %s">%s</p>'):format(kind or "", escape(s)))
end

--- Figures in a row: {{label, value}, …}.
---@param cards string[][]
function Page:cards(cards)
  local out = {}
  for i, c in ipairs(cards) do
    out[i] = ('<div class="card"><b>%s</b><span>%s</span></div>'):format(escape(c[2]), escape(c[1]))
  end
  return self:add('<div class="cards">' .. table.concat(out) .. "</div>")
end

local function cell_text(v, format)
  if v == nil then return "–" end
  if type(format) == "function" then return escape(format(v)) end
  if format and type(v) == "number" then return escape(format:format(v)) end
  if math.type(v) == "float" then return escape(("%.4g"):format(v)) end
  return escape(v)
end

--- A table of a frame: all its columns, or o.columns = {{name, title, format}, …}; o.most rows.
---@param df flowrun.Frame
---@param o? {columns: table[]?, most: integer?, caption: string?}
function Page:table(df, o)
  o = o or {}
  local columns = o.columns
  if not columns then
    columns = {}
    for i, name in ipairs(df.columns) do columns[i] = {name} end
  end
  local head, arrays, numeric = {}, {}, {}
  for i, c in ipairs(columns) do
    arrays[i] = df:col(c[1])
    numeric[i] = #arrays[i] > 0 and type(arrays[i][1]) == "number"
    head[i] = ('<th%s>%s</th>'):format(numeric[i] and ' class="n"' or "", escape(c[2] or c[1]))
  end
  local rows, n = {}, math.min(#df, o.most or 50)
  for r = 1, n do
    local cells = {}
    for i, c in ipairs(columns) do
      cells[i] = ("<td%s>%s</td>"):format(numeric[i] and ' class="n"' or "",
        cell_text(arrays[i][r], c[3]))
    end
    rows[r] = "<tr>" .. table.concat(cells) .. "</tr>"
  end
  local caption = o.caption and "<caption>" .. escape(o.caption) .. "</caption>" or ""
  return self:add('<div class="scroll"><table>' .. caption .. "<thead><tr>" .. table.concat(head)
    .. "</tr></thead><tbody>" .. table.concat(rows) .. "</tbody></table></div>")
end

--- Plots side by side: {{svg, caption}, …}.
function Page:plots(plots)
  local out = {}
  for i, p in ipairs(plots) do
    out[i] = "<figure>" .. p[1] .. "<figcaption>" .. escape(p[2] or "") .. "</figcaption></figure>"
  end
  return self:add('<div class="two">' .. table.concat(out) .. "</div>")
end

--- The page as text.
---@return string
function Page:text_of()
  local o = self.o
  return table.concat{"<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">",
    '<meta name="viewport" content="width=device-width,initial-scale=1"><title>', escape(o.title),
    "</title><style>", style, "</style></head><body><main><h1>", escape(o.title),
      "</h1><p class=\"sub\">",
    escape(o.subtitle or ""), "</p>", table.concat(self.out, "\n"), "<footer>",
      escape(o.footer or ""),
    "</footer></main></body></html>\n"}
end

--- Writes the page to a file, replacing it as a whole.
---@param path string
function Page:write(path)
  local f = assert(io.open(path .. ".part", "w"))
  f:write(self:text_of())
  f:close()
  assert(os.rename(path .. ".part", path))
end

return html
