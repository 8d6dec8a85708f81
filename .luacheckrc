std = "lua54"
max_line_length = 100
ignore = {"212/_.*", "212/self"}
files["lua/flowrun/cli/lua.lua"] = {globals = {"arg"}}
exclude_files = {"build*/"}
files["tests/**"] = {max_line_length = 130}
files["tests/sim/**"] = {globals = {"simnow"}, max_line_length = 130}
files["lua/flowrun/meta/**"] = {ignore = {"211", "212", "241", "631"}}
