#pragma once
// object_box -- frames, arrays, models as userdata: one box class per kind of fr_object.
//
// A box holds one reference. The same object may sit in boxes of several Lua states.
// Which kinds there are, their classes and the Lua modules that define them are one table
// in object_box.c; a state that first meets a kind by a received object loads its module
// then.

#include "core/data/object.h"
#include "lua/bind/bind.h"

// The object of the box at `arg`, borrowed; NULL when it is something else (or closed).
fr_object *bind_object_test(lua_State *L, int arg);
// As above for one kind; an argument error otherwise.
fr_object *bind_object_check(lua_State *L, int arg, uint8_t kind);
// Pushes a box with a new reference, or the box that this state has for it already.
void bind_object_push(lua_State *L, const fr_object *o);
// Pushes an empty box and returns its slot: fill it with a reference, then call _sealed
// with the bytes that are new memory, which steers the collector.
fr_object **bind_object_box(lua_State *L, uint8_t kind);
void bind_object_sealed(lua_State *L, size_t bytes);

// Makes the class of a kind (see bind_class): adds __gc, __close, and __eq by content.
void bind_object_class(lua_State *L, uint8_t kind, const luaL_Reg *methods,
                       const luaL_Reg *meta);
const char *bind_object_class_name(uint8_t kind);
fr_object_kinds bind_object_kinds(void); // all that this program can load
