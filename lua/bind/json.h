#pragma once
// json -- JSON text <-> Lua values, exactly: integers stay integers, doubles come back with the
// same bits. Belongs to the thread of the state; nothing is kept between calls.

#include "core/base/buf.h"

#include <lua.h>

enum { JSON_DEPTH = 1000 };

// Pushes the value of the text, or returns false with code, line and column in err.
// Raises only when Lua's memory is gone; `scratch` outlives that.
bool fr_json_decode(lua_State *L, const char *text, size_t size, fr_buf *scratch, fr_err *err);

typedef struct fr_json_style {
    int indent;                          // spaces per level; 0 = one line
    bool nan_null;                       // NaN and infinities as null instead of an error
} fr_json_style;

// Appends the value at idx to out. Names are sorted, so equal values give equal text. Fails
// with the path of what JSON cannot say. May raise (memory, errors of __json).
int fr_json_encode(lua_State *L, int idx, fr_json_style style, fr_buf *out, fr_err *err);
