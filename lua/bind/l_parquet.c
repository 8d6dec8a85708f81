// flowrun.core.parquet -- Parquet files to frames and back. lua/flowrun/frame_parquet.lua
// checks the options.

#include "core/data/parquet.h"
#include "lua/bind/expr_box.h"
#include "lua/bind/frame_box.h"

#include <string.h>

// A list of whole numbers as a vector in a userdata it pushes.
static const int64_t *integers(lua_State *L, int idx, size_t *n)
{
    *n = (size_t)luaL_len(L, idx);
    int64_t *to = lua_newuserdatauv(L, (*n + 1) * sizeof *to, 0);
    for (size_t i = 0; i < *n; i++) {
        lua_geti(L, idx, (lua_Integer)i + 1);
        to[i] = luaL_checkinteger(L, -1);
        lua_pop(L, 1);
    }
    return to;
}

static bool flag(lua_State *L, int idx, const char *name)
{
    lua_getfield(L, idx, name);
    bool v = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return v;
}

// read(path, {columns=, row_groups=, filter=, params=, scaled=, hex=, int96=}) -> frame, number
// of row groups read
static int parquet_read(lua_State *L)
{
    fr_parquet_options o;
    size_t groups = 0;
    lua_settop(L, 2);
    const char *path = luaL_checkstring(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    fr_parquet_defaults(&o);
    if (lua_getfield(L, 2, "columns") != LUA_TNIL) {
        o.columns = bind_names(L, 3, &o.n_columns, "columns");
    }
    if (lua_getfield(L, 2, "row_groups") != LUA_TNIL) {
        o.groups = integers(L, lua_gettop(L), &o.n_groups);
    }
    if (lua_getfield(L, 2, "filter") != LUA_TNIL) {
        o.filter = luaL_checkstring(L, -1);
        lua_getfield(L, 2, "params");
        o.params = bind_expr_params(L, lua_gettop(L), &o.n_params);
    }
    o.groups_read = &groups;
    o.scaled = flag(L, 2, "scaled");
    o.hex = flag(L, 2, "hex");
    if (lua_getfield(L, 2, "int96") != LUA_TNIL) {
        o.int96 = (fr_unit)luaL_checkinteger(L, -1);
    }
    fr_frame **slot = bind_frame_box(L);
    fr_err err = FR_ERR_INIT;
    int rc = fr_parquet_read(path, &o, slot, &err);
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    bind_frame_sealed(L, *slot);
    lua_pushinteger(L, (lua_Integer)groups);
    return 2;
}

// write(frame, path, {compression=, level=, dictionary=, row_group=})
static int parquet_write(lua_State *L)
{
    fr_parquet_write_options o;
    lua_settop(L, 3);
    const fr_frame *f = bind_frame_check(L, 1);
    const char *path = luaL_checkstring(L, 2);
    luaL_checktype(L, 3, LUA_TTABLE);
    fr_parquet_write_defaults(&o);
    if (lua_getfield(L, 3, "compression") != LUA_TNIL) {
        o.codec = fr_parquet_codec(luaL_checkstring(L, -1));
    }
    if (lua_getfield(L, 3, "level") != LUA_TNIL) {
        o.level = (int)luaL_checkinteger(L, -1);
    }
    if (lua_getfield(L, 3, "dictionary") != LUA_TNIL) {
        o.dictionary = lua_toboolean(L, -1);
    }
    if (lua_getfield(L, 3, "row_group") != LUA_TNIL) {
        o.group_rows = luaL_checkinteger(L, -1);
    }
    fr_err err = FR_ERR_INIT;
    int rc = fr_parquet_write(f, path, &o, &err);
    return rc == FR_OK ? 0 : bind_raise(L, rc, &err);
}

int luaopen_flowrun_core_parquet(lua_State *L)
{
    static const luaL_Reg functions[] = {{"read", parquet_read}, {"write", parquet_write},
                                         {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
