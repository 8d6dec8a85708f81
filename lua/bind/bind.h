#pragma once
// bind -- what every Lua binding uses: boxes, errors, GC pressure. STYLE: check, box, acquire.
//
// A module lua/bind/l_<name>.c exports luaopen_flowrun_core_<name>, found as
// `require "flowrun.core.<name>"`; the build collects the list from the file names.

#include "core/base/err.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

// Raises a flowrun.Error {code, message, ...} made from err. Never returns.
FR_NORETURN void bind_raise_error(lua_State *L, const fr_err *err);
static inline int bind_raise(lua_State *L, int rc, const fr_err *err)
{
    (void)rc;
    bind_raise_error(L, err);
}
// Raises a flowrun.Error with code and formatted message.
int bind_fail(lua_State *L, int code, const char *format, ...) FR_PRINTF(3, 4);

// A userdata with one pointer slot and metatable `class`: box first, then acquire into it.
void **bind_box(lua_State *L, const char *class);
void *bind_check(lua_State *L, int arg, const char *class);   // the slot's pointer; error when closed
void *bind_test(lua_State *L, int arg, const char *class);    // NULL when it is something else
// Makes the metatable: __name, __gc and __close = gc, __index = methods, __metatable = "locked".
void bind_class(lua_State *L, const char *class, const luaL_Reg *methods, const luaL_Reg *meta,
                lua_CFunction gc);
// Tells the collector about native memory; steps it per MiB.
void bind_pressure(lua_State *L, size_t bytes);
// Refuses keys of the options table at `arg` that are not in `known` (NULL-terminated list),
// with "did you mean". `what` names the function for the message.
void bind_options(lua_State *L, int arg, const char *what, const char *const *known);
// Nearest name by edit distance, or NULL when nothing is close.
const char *bind_nearest(const char *name, const char *const *known);
