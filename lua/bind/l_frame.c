// flowrun.core.frame -- frames as Lua objects: columns, rows, printing, and the verbs
// that need no expression. Arguments arrive checked and spelled out by
// lua/flowrun/frame.lua.

#include "core/base/mem.h"
#include "core/data/compute.h"
#include "core/data/sort.h"
#include "lua/bind/frame_box.h"
#include "lua/bind/marshal.h"

#include <stdbool.h>
#include <string.h>

static int frame_len(lua_State *L)
{
    lua_pushinteger(L, bind_frame_check(L, 1)->rows);
    return 1;
}

static int push_columns(lua_State *L, const fr_frame *f)
{
    lua_createtable(L, (int)f->columns, 0);
    for (size_t i = 0; i < f->columns; i++) {
        lua_pushstring(L, f->names[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

static int push_column(lua_State *L, const fr_frame *f, const char *name)
{
    fr_array **slot = bind_array_box(L);
    const fr_array *a;
    fr_err err = FR_ERR_INIT;
    int rc = fr_frame_column(f, name, &a, &err);
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    *slot = fr_array_ref(a);
    return 1;
}

static int frame_index(lua_State *L)
{
    const fr_frame *f = bind_frame_check(L, 1);
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) {
        return 1;
    }
    if (lua_type(L, 2) != LUA_TSTRING) {
        return bind_fail(L, FR_ETYPE,
                         "a frame is indexed by a column name, got a %s; rows are "
                         "frame:row(i)",
                         luaL_typename(L, 2));
    }
    const char *name = lua_tostring(L, 2);
    return strcmp(name, "columns") == 0 ? push_columns(L, f) : push_column(L, f, name);
}

static int frame_newindex(lua_State *L)
{
    return bind_fail(L, FR_EINVAL, "frames do not change: use with");
}

// show(frame, most rows, width)
static int frame_show(lua_State *L)
{
    const fr_frame *f = bind_frame_check(L, 1);
    lua_Integer rows = luaL_optinteger(L, 2, 10), width = luaL_optinteger(L, 3, 100);
    fr_buf *b = bind_buffer(L, 1 << 24);
    fr_show_frame(f, FR_MIN(FR_MAX(rows, 0), 10000),
                  (size_t)FR_MIN(FR_MAX(width, 1), 100000), b);
    bind_push_buffer(L, b);
    return 1;
}

static int frame_tostring(lua_State *L)
{
    lua_settop(L, 1);
    return frame_show(L);
}

static int frame_col(lua_State *L)
{
    return push_column(L, bind_frame_check(L, 1), luaL_checkstring(L, 2));
}

static int frame_has(lua_State *L)
{
    lua_pushboolean(L,
                    fr_frame_find(bind_frame_check(L, 1), luaL_checkstring(L, 2)) >= 0);
    return 1;
}

static void push_row(lua_State *L, const fr_frame *f, int64_t i)
{
    lua_createtable(L, 0, (int)f->columns);
    for (size_t k = 0; k < f->columns; k++) {
        fr_show show;
        bind_show(L, f->cols[k], &show);
        show.name = f->names[k];
        bind_cell_push(L, &show, i);
        lua_setfield(L, -3, f->names[k]);
        lua_pop(L, 1);
    }
}

static int frame_row(lua_State *L)
{
    const fr_frame *f = bind_frame_check(L, 1);
    lua_Integer i = luaL_checkinteger(L, 2);
    if (i < 1 || i > f->rows) {
        return bind_fail(L, FR_EINVAL, "row %lld of a frame of %lld rows", (long long)i,
                         (long long)f->rows);
    }
    push_row(L, f, i - 1);
    return 1;
}

// The control variable is the row's table; the row number lives in an upvalue.
static int next_row(lua_State *L)
{
    const fr_frame *f = bind_frame_check(L, lua_upvalueindex(1));
    lua_Integer i = lua_tointeger(L, lua_upvalueindex(2));
    if (i >= f->rows) {
        return 0;
    }
    lua_pushinteger(L, i + 1);
    lua_replace(L, lua_upvalueindex(2));
    push_row(L, f, i);
    lua_pushinteger(L, i + 1);
    return 2;
}

static int frame_rows(lua_State *L)
{
    (void)bind_frame_check(L, 1);
    lua_settop(L, 1);
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, next_row, 2);
    return 1;
}

static int push_result(lua_State *L, int rc, fr_frame *const *slot, const fr_err *err)
{
    if (rc != FR_OK) {
        return bind_raise(L, rc, err);
    }
    bind_frame_sealed(L, *slot);
    return 1;
}

// from(names, arrays)
static int frame_from(lua_State *L)
{
    size_t n;
    const char **names = bind_names(L, 1, &n, "frame.from");
    luaL_checktype(L, 2, LUA_TTABLE);
    fr_array **cols = lua_newuserdatauv(L, (n + 1) * sizeof *cols, 0);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, 2, (lua_Integer)i + 1);
        cols[i] = (fr_array *)(uintptr_t)bind_array_check(L, -1); // the list keeps it
        lua_pop(L, 1);
    }
    fr_frame **slot = bind_frame_box(L);
    fr_err err = FR_ERR_INIT;
    return push_result(L, fr_frame_new(n, names, cols, slot, &err), slot, &err);
}

// pick(frame, names, new names or nil): columns by name, in that order.
static int frame_pick(lua_State *L)
{
    const fr_frame *f = bind_frame_check(L, 1);
    size_t n, m;
    const char *what = luaL_optstring(L, 4, "select");
    lua_settop(L, 4);
    const char **names = bind_names(L, 2, &n, what), **to = names;
    fr_err err = FR_ERR_INIT;
    if (!lua_isnoneornil(L, 3)) {
        to = bind_names(L, 3, &m, what);
    }
    fr_frame **slot = bind_frame_box(L);
    const fr_array **cols = lua_newuserdatauv(L, (n + 1) * sizeof *cols, 0);
    lua_insert(L, -2);
    for (size_t i = 0; i < n; i++) {
        int rc = fr_frame_column(f, names[i], &cols[i], &err);
        if (rc != FR_OK) {
            (void)fr_wrap(&err, rc, "%s", what);
            return bind_raise(L, rc, &err);
        }
    }
    int rc = n == 0 ? fr_frame_empty(f->rows, slot, &err)
                    : fr_frame_new(n, to, (fr_array *const *)(uintptr_t)cols, slot, &err);
    return push_result(L, rc == FR_OK ? rc : fr_wrap(&err, rc, "%s", what), slot, &err);
}

// slice(frame, rows before, count)
static int frame_slice(lua_State *L)
{
    const fr_frame *f = bind_frame_check(L, 1);
    fr_frame **slot = bind_frame_box(L);
    fr_err err = FR_ERR_INIT;
    int rc =
        fr_frame_slice(f, luaL_checkinteger(L, 2), luaL_checkinteger(L, 3), slot, &err);
    return push_result(L, rc, slot, &err);
}

// mask(frame, bool array)
static int frame_mask(lua_State *L)
{
    const fr_frame *f = bind_frame_check(L, 1);
    const fr_array *mask = bind_array_check(L, 2);
    fr_frame **slot = bind_frame_box(L);
    fr_err err = FR_ERR_INIT;
    return push_result(L, fr_compute_filter(f, mask, slot, &err), slot, &err);
}

// sort(frame, names, {desc…}, {nulls first…})
static int frame_sort(lua_State *L)
{
    const fr_frame *f = bind_frame_check(L, 1);
    size_t n;
    const char **names = bind_names(L, 2, &n, "sort");
    fr_sort_key *by = lua_newuserdatauv(L, (n + 1) * sizeof *by, 0);
    fr_err err = FR_ERR_INIT;
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, 3, (lua_Integer)i + 1);
        lua_rawgeti(L, 4, (lua_Integer)i + 1);
        by[i] = (fr_sort_key){NULL, lua_toboolean(L, -2), lua_toboolean(L, -1)};
        lua_pop(L, 2);
        int rc = fr_frame_column(f, names[i], &by[i].array, &err);
        if (rc != FR_OK) {
            (void)fr_wrap(&err, rc, "sort");
            return bind_raise(L, rc, &err);
        }
    }
    fr_frame **slot = bind_frame_box(L);
    return push_result(L, fr_sort_frame(f, by, n, slot, &err), slot, &err);
}

// concat(list of frames)
static int frame_concat(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    size_t n = (size_t)lua_rawlen(L, 1);
    const fr_frame **parts = lua_newuserdatauv(L, (n + 1) * sizeof *parts, 0);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, 1, (lua_Integer)i + 1);
        parts[i] = bind_frame_check(L, -1); // the list keeps it
        lua_pop(L, 1);
    }
    fr_frame **slot = bind_frame_box(L);
    fr_err err = FR_ERR_INIT;
    return push_result(L, fr_compute_concat_frames(parts, n, slot, &err), slot, &err);
}

static int frame_is(lua_State *L)
{
    lua_pushboolean(L, bind_frame_test(L, 1) != NULL);
    return 1;
}

// hash(frame or array): 32 hex digits of its content.
static int frame_hash(lua_State *L)
{
    const fr_object *o = bind_object_test(L, 1);
    luaL_argexpected(L, o != NULL, 1, "frame or array");
    char text[FR_HASH_TEXT];
    fr_hash_text(o->ops->hash(o), text);
    lua_pushstring(L, text);
    return 1;
}

static const luaL_Reg methods[] = {
    {"col", frame_col},   {"has", frame_has},   {"row", frame_row},
    {"rows", frame_rows}, {"show", frame_show}, {NULL, NULL},
};

static const luaL_Reg functions[] = {
    {"from", frame_from}, {"pick", frame_pick}, {"slice", frame_slice},
    {"mask", frame_mask}, {"sort", frame_sort}, {"concat", frame_concat},
    {"is", frame_is},     {"hash", frame_hash}, {NULL, NULL},
};

int luaopen_flowrun_core_frame(lua_State *L)
{
    static const luaL_Reg meta[] = {{"__len", frame_len},
                                    {"__newindex", frame_newindex},
                                    {"__tostring", frame_tostring},
                                    {NULL, NULL}};
    bind_object_class(L, FR_KIND_FRAME, NULL, meta);
    luaL_newlib(L, functions);
    marshal_push_null(L);
    lua_setfield(L, -2, "null");
    luaL_newlib(L, methods);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "methods"); // frame.lua adds those written in Lua
    luaL_getmetatable(L, bind_object_class_name(FR_KIND_FRAME));
    lua_insert(L, -2);
    lua_pushcclosure(L, frame_index, 1);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    return 1;
}
