#pragma once
// dump -- what a Lua function does to variables outside of it, read from its bytecode
// (lua_dump of Lua 5.4): which upvalues it or its inner functions assign, which globals they
// read and assign. Nothing else sees this exactly: a lexer does not know scopes.

#include <lua.h>

// Pushes {assigns = {{name=, line=}, …}, sets = {{name=, line=}, …}, reads = {name, …}} for the
// Lua function at the top: assigned upvalues, assigned globals, globals read (each once).
// Pushes nil for a C function, or when the bytecode is of an unknown version.
void fr_dump_inspect(lua_State *L);
