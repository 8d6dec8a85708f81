#pragma once
// bind -- what every Lua binding uses: boxes, errors, GC pressure. STYLE: check, box, acquire.
//
// A module lua/bind/l_<name>.c exports luaopen_flowrun_core_<name>, found as
// `require "flowrun.core.<name>"`; the build collects the list from the file names.

#include "core/base/buf.h"
#include "core/base/err.h"

#include <bind_modules.h>   // generated: declares every luaopen_flowrun_core_<name>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

// A flowrun.Error is a table {code, message, where, cause} with this class as metatable, so
// that it survives error() and pcall() as it is and packs like any table. lua/bind/l_error.c.
#define BIND_ERROR "flowrun.Error"

// Raises a flowrun.Error {code, message, ...} made from err. Never returns.
FR_NORETURN void bind_raise_error(lua_State *L, const fr_err *err);
static inline int bind_raise(lua_State *L, int rc, const fr_err *err)
{
    (void)rc;
    bind_raise_error(L, err);
}
// Raises a flowrun.Error with code and formatted message.
int bind_fail(lua_State *L, int code, const char *format, ...) FR_PRINTF(3, 4);
// Pushes a flowrun.Error without raising it; where is NULL or "file:line".
void bind_push_error(lua_State *L, int code, const char *message, const char *where);
// Turns the error value at index (anything a script may raise) into code and text: the
// other direction, for C that called lua_pcall. Returns the code. Does not raise.
int bind_take_error(lua_State *L, int index, fr_err *err);
// Pushes "file:line" of the nearest caller that is a user's script, or "" when there is none.
void bind_push_where(lua_State *L);

// A userdata with one pointer slot and metatable `class`: box first, then acquire into it.
void **bind_box(lua_State *L, const char *class);
// The slot's pointer; an error when it is closed.
void *bind_check(lua_State *L, int arg, const char *class);
void *bind_test(lua_State *L, int arg, const char *class);    // NULL when it is something else
// Makes the metatable: __name, __gc and __close = gc, __index = methods, __metatable = "locked".
void bind_class(lua_State *L, const char *class, const luaL_Reg *methods, const luaL_Reg *meta,
                lua_CFunction gc);
// Tells the collector about native memory; steps it per MiB.
void bind_pressure(lua_State *L, size_t bytes);
// Pushes a buffer that is freed by the collector at the latest, also when an error passes by.
fr_buf *bind_buffer(lua_State *L, size_t max);
// Pushes the buffer's text and gives its memory back at once.
void bind_push_buffer(lua_State *L, fr_buf *b);
// Refuses keys of the options table at `arg` that are not in `known` (NULL-terminated list),
// with "did you mean". `what` names the function for the message.
void bind_options(lua_State *L, int arg, const char *what, const char *const *known);
// Nearest name by edit distance, or NULL when nothing is close.
const char *bind_nearest(const char *name, const char *const *known);
