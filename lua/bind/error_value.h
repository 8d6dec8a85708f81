#pragma once
// error_value -- errors as packed values: how a failure leaves a Lua state and enters another.
//
// The packed form is a table {code, message, where, traceback, retry, cause, …}; in Lua it is
// a flowrun.Error with the same fields.

#include "core/data/value.h"
#include "lua/bind/bind.h"

// Packs whatever a script raised (a flowrun.Error, a string, any table with a message);
// other values are described. traceback: NULL or text kept in the field `traceback`.
// Does not raise; never NULL. *code: NULL or receives the error's code.
fr_value *bind_error_pack(lua_State *L, int idx, const char *traceback, int *code);
fr_value *bind_error_plain(void);     // of what could not be packed for want of memory
// Pushes a flowrun.Error made from a packed error (NULL: an unknown error).
void bind_error_push(lua_State *L, const fr_value *error);
// For lua_pcall-less entries (lua_resume): packs the error on top of a dead coroutine with
// its traceback and pops it.
fr_value *bind_error_of(lua_State *L, lua_State *co, int *code);
