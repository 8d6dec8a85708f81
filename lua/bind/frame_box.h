#pragma once
// frame_box -- frames and arrays on the Lua stack, for every binding that takes or gives
// them. Classes flowrun.Frame and flowrun.Array (l_frame.c, l_array.c).

#include "core/data/frame.h"
#include "core/data/show.h"
#include "lua/bind/object_box.h"

// The object at `arg`, borrowed (the box keeps it alive); an argument error otherwise.
const fr_frame *bind_frame_check(lua_State *L, int arg);
const fr_array *bind_array_check(lua_State *L, int arg);
const fr_frame *bind_frame_test(lua_State *L, int arg); // NULL when it is something else
const fr_array *bind_array_test(lua_State *L, int arg);
// Empty boxes: fill the slot, then bind_frame_sealed/bind_array_sealed steers the
// collector by the memory that only this object holds.
fr_frame **bind_frame_box(lua_State *L);
fr_array **bind_array_box(lua_State *L);
void bind_frame_sealed(lua_State *L, const fr_frame *f);
void bind_array_sealed(lua_State *L, const fr_array *a);

// Makes *show ready for a and pushes one value that frees its zone when collected.
void bind_show(lua_State *L, const fr_array *a, fr_show *show);
// Pushes the value of a row: nil for null; text for dates, times, durations. uint64 above
// 2^63 - 1 raises. `show` prints the array it was initialised for.
void bind_cell_push(lua_State *L, const fr_show *show, int64_t i);
// Pushes the box of an array made from the list at idx (or the array that is there
// already). type: what it must be, or NULL to infer it. `what` names it in errors:
// "column \"kw\"".
const fr_array *bind_array_from(lua_State *L, int idx, const fr_type *type,
                                const char *what);
// A list of strings at idx as a NULL-terminated vector that lives in a userdata it
// pushes.
const char **bind_names(lua_State *L, int idx, size_t *n, const char *what);
