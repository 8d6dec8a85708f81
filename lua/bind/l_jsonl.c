// flowrun.core.jsonl -- JSON lines to frames and back. lua/flowrun/frame_jsonl.lua checks the
// options.

#include "core/data/jsonl.h"
#include "core/data/type.h"
#include "lua/bind/frame_box.h"

#include <string.h>

// {column = "type"} at idx as a vector in a userdata it pushes; the table keeps the names.
static fr_csv_type *types_at(lua_State *L, int idx, size_t *n)
{
    *n = 0;
    for (lua_pushnil(L); lua_next(L, idx) != 0; lua_pop(L, 1)) {
        ++*n;
    }
    fr_csv_type *types = lua_newuserdatauv(L, (*n + 1) * sizeof *types, 0);
    size_t i = 0;
    for (lua_pushnil(L); lua_next(L, idx) != 0; lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING) {
            bind_fail(L, FR_EINVAL, "types: expected {column = \"text\"}, found a %s for a %s key",
                      luaL_typename(L, -1), luaL_typename(L, -2));
        }
        fr_err err = FR_ERR_INIT;
        types[i].column = lua_tostring(L, -2);
        int rc = fr_type_parse(lua_tostring(L, -1), &types[i].type, &err);
        if (rc != FR_OK) {
            (void)fr_wrap(&err, rc, "types: column \"%s\"", types[i].column);
            bind_raise_error(L, &err);
        }
        i++;
    }
    return types;
}

static void read_options(lua_State *L, int idx, fr_jsonl_options *o)
{
    *o = (fr_jsonl_options){0};
    luaL_checktype(L, idx, LUA_TTABLE);
    if (lua_getfield(L, idx, "columns") != LUA_TNIL) {
        o->columns = bind_names(L, lua_gettop(L), &o->n_columns, "columns");
    }
    if (lua_getfield(L, idx, "types") != LUA_TNIL) {
        o->types = types_at(L, lua_gettop(L), &o->n_types);
    }
    lua_getfield(L, idx, "nested");
    o->nested = lua_toboolean(L, -1);
    lua_pop(L, 1);
}

static int finish(lua_State *L, int rc, const fr_frame *f, const fr_err *err)
{
    if (rc != FR_OK) {
        return bind_raise(L, rc, err);
    }
    bind_frame_sealed(L, f);
    return 1;
}

// read(paths, {columns=, types=, nested=}) -> frame
static int jsonl_read(lua_State *L)
{
    size_t n;
    fr_jsonl_options o;
    lua_settop(L, 2);
    const char *const *paths = bind_names(L, 1, &n, "files");
    read_options(L, 2, &o);
    fr_frame **slot = bind_frame_box(L);
    fr_err err = FR_ERR_INIT;
    int rc = fr_jsonl_read(paths, n, &o, slot, &err);
    return finish(L, rc, *slot, &err);
}

// parse(text, {columns=, types=, nested=}) -> frame
static int jsonl_parse(lua_State *L)
{
    size_t n;
    fr_jsonl_options o;
    lua_settop(L, 2);
    const char *text = luaL_checklstring(L, 1, &n);
    read_options(L, 2, &o);
    fr_frame **slot = bind_frame_box(L);
    fr_err err = FR_ERR_INIT;
    int rc = fr_jsonl_read_bytes("text", text, n, &o, slot, &err);
    return finish(L, rc, *slot, &err);
}

static fr_jsonl_write_options write_options(lua_State *L, int idx)
{
    fr_jsonl_write_options o;
    luaL_checktype(L, idx, LUA_TTABLE);
    lua_getfield(L, idx, "omit");
    o.omit = lua_toboolean(L, -1);
    lua_getfield(L, idx, "nan_null");
    o.nan_null = lua_toboolean(L, -1);
    lua_pop(L, 2);
    return o;
}

// write(frame, path, {omit=, nan_null=})
static int jsonl_write(lua_State *L)
{
    const fr_frame *f = bind_frame_check(L, 1);
    const char *path = luaL_checkstring(L, 2);
    fr_jsonl_write_options o = write_options(L, 3);
    fr_err err = FR_ERR_INIT;
    int rc = fr_jsonl_write(f, path, &o, &err);
    return rc == FR_OK ? 0 : bind_raise(L, rc, &err);
}

// format(frame, {omit=, nan_null=}) -> string
static int jsonl_format(lua_State *L)
{
    const fr_frame *f = bind_frame_check(L, 1);
    fr_jsonl_write_options o = write_options(L, 2);
    fr_buf *b = bind_buffer(L, (size_t)1 << 31);
    fr_err err = FR_ERR_INIT;
    int rc = fr_jsonl_write_buf(f, &o, b, &err);
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    bind_push_buffer(L, b);
    return 1;
}

int luaopen_flowrun_core_jsonl(lua_State *L)
{
    static const luaL_Reg functions[] = {{"read", jsonl_read},
                                         {"parse", jsonl_parse},
                                         {"write", jsonl_write},
                                         {"format", jsonl_format},
                                         {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
