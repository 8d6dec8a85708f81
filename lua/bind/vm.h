#pragma once
// vm -- makes Lua states: standard libraries, the C modules flowrun.core.*, the Lua sources
// inside the program. A state belongs to one thread; making one shares nothing with others.

#include <lua.h>

// NULL when memory is gone. dev: NULL, or a source tree whose lua/flowrun/ and stdlib/ are
// read instead of the embedded copies (option --dev).
lua_State *fr_vm_new(const char *dev);
// The part of fr_vm_new after luaL_openlibs; called protected, raises Lua errors.
void fr_vm_prepare(lua_State *L, const char *dev);
const char *fr_vm_dev(lua_State *L);           // the tree given to fr_vm_new, or NULL
int fr_vm_traceback(lua_State *L);             // message handler for lua_pcall: keeps objects
