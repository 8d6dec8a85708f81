#pragma once
// marshal -- Lua values <-> packed values (core/data/value.h).
//
// Packing never raises and never calls back into Lua code, so it is safe with C memory in
// hand; what cannot cross is refused with its path: "argument 2 .rows[3].cb is a function".
// A marshal is scratch memory with one packed value under construction; it belongs to one
// thread and is reused from call to call. Pushing may raise (out of memory, damaged bytes):
// whoever pushes holds the fr_value in something that outlives the error, or in a pcall.

#include "core/base/map.h"
#include "core/data/value.h"

#include <lua.h>

// Tells whether the table with a metatable, or the userdata, at idx is a handle, and which.
// Leaves the stack as it was; must not raise.
typedef bool (*marshal_handle_fn)(void *ctx, lua_State *L, int idx, uint64_t *id);

typedef struct marshal {
    fr_buf out;                          // the packed bytes
    fr_object **object;                  // owned; index in `out` by first appearance
    uint64_t *dep;                       // ids of the handles, index likewise
    uint32_t objects, deps;
    marshal_handle_fn handle;            // set by the user; NULL: handles cannot cross
    void *ctx;
    // private
    uint32_t object_room, dep_room;
    fr_map seen;                         // object or handle -> index, once there are many
    struct marshal_entry *entry;         // pairs of the tables being packed
    size_t entries, entry_room;
    fr_buf scratch;
} marshal;

void marshal_init(marshal *m, size_t max_bytes);
void marshal_fini(marshal *m);
void marshal_clear(marshal *m);          // ready for the next value; keeps the memory

// Packs the value at idx into the cleared m. `what` starts the path: "result". FR_ETYPE,
// FR_ELIMIT, FR_ENOMEM; after a failure clear m.
FR_NODISCARD int marshal_pack(lua_State *L, int idx, const char *what, marshal *m, fr_err *err);
// Packs n values from idx `first` on as a list (nils are kept): arguments, several results.
// `what` is the noun that is numbered in paths: "argument".
FR_NODISCARD int marshal_pack_list(lua_State *L, int first, int n, const char *what, marshal *m,
                                   fr_err *err);
// The value just packed; m is cleared. Never NULL.
fr_value *marshal_take(marshal *m);
// Both at once.
FR_NODISCARD int marshal_value(lua_State *L, int idx, const char *what, marshal *m,
                               fr_value **out, fr_err *err);

// Pushes v; handle slots become the values deps[0 .. n-1].
void marshal_push(lua_State *L, const fr_value *v, fr_value *const *deps, uint32_t n);
// Pushes the elements of a packed list one by one and returns how many.
int marshal_push_list(lua_State *L, const fr_value *list, fr_value *const *deps, uint32_t n);
// Pushes one packed value that is a part of v: `size` bytes at `bytes`, objects those of v.
void marshal_push_part(lua_State *L, const fr_value *v, const uint8_t *bytes, size_t size,
                       fr_value *const *deps, uint32_t n);

// The JSON null in Lua: a light userdata that is equal in every state.
void marshal_push_null(lua_State *L);

// A box (class flowrun.Value, lua/bind/l_value.c) for one reference: keeps a value alive for
// code that may raise. Pushes it empty; fill the slot.
#define MARSHAL_VALUE "flowrun.Value"
fr_value **marshal_box(lua_State *L);
// A cleared marshal that belongs to the state, for functions that pack and are done.
marshal *marshal_scratch(lua_State *L);
