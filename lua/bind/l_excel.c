// flowrun.core.excel -- sheets of Excel files to frames and back. The Lua wrapper
// (flowrun.frame_excel) checks options; here they come as arguments.

#include "core/data/type.h"
#include "core/data/xlsx.h"
#include "lua/bind/frame_box.h"

#include <string.h>

enum { NOTES_MAX = 64 * 1024, NAMES_MAX = 1 << 20 };

// A list of {column, type} pairs at idx, as a userdata on the stack.
static const fr_csv_type *types_at(lua_State *L, int idx, size_t *n)
{
    luaL_checktype(L, idx, LUA_TTABLE);
    *n = lua_rawlen(L, idx);
    fr_csv_type *types = lua_newuserdatauv(L, (*n + 1) * sizeof *types, 0);
    for (size_t i = 0; i < *n; i++) {
        lua_rawgeti(L, idx, (lua_Integer)i + 1);
        lua_rawgeti(L, -1, 1);
        lua_rawgeti(L, -2, 2);
        types[i].column = luaL_checkstring(L, -2); // the list keeps them
        fr_err err = FR_ERR_INIT;
        int rc = fr_type_parse(luaL_checkstring(L, -1), &types[i].type, &err);
        if (rc != FR_OK) {
            (void)fr_wrap(&err, rc, "types: column \"%s\"", types[i].column);
            bind_raise_error(L, &err);
        }
        lua_pop(L, 3);
    }
    return types;
}

// read(path, sheet: name or number or nil, range or nil, header, types) -> frame, notes
static int excel_read(lua_State *L)
{
    lua_settop(L, 5);
    const char *path = luaL_checkstring(L, 1);
    fr_xlsx_options o;
    fr_xlsx_defaults(&o);
    if (lua_type(L, 2) == LUA_TNUMBER) {
        o.number = luaL_checkinteger(L, 2);
    } else {
        o.sheet = luaL_optstring(L, 2, NULL);
    }
    o.range = luaL_optstring(L, 3, NULL);
    o.header = lua_toboolean(L, 4);
    o.types = types_at(L, 5, &o.n_types);
    fr_buf *notes = bind_buffer(L, NOTES_MAX);
    fr_frame **slot = bind_frame_box(L);
    fr_err err = FR_ERR_INIT;
    int rc = fr_xlsx_read(path, &o, slot, notes, &err);
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    bind_frame_sealed(L, *slot);
    if (notes->size == 0) {
        return 1;
    }
    bind_push_buffer(L, notes);
    return 2;
}

// sheets(path) -> list of names
static int excel_sheets(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    fr_buf *names = bind_buffer(L, NAMES_MAX);
    fr_err err = FR_ERR_INIT;
    int rc = fr_xlsx_sheets(path, names, &err);
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    lua_newtable(L);
    lua_Integer i = 1;
    for (size_t at = 0; at < names->size; at += strlen((const char *)names->data + at) + 1) {
        lua_pushstring(L, (const char *)names->data + at);
        lua_rawseti(L, -2, i++);
    }
    return 1;
}

// write(path, names, frames)
static int excel_write(lua_State *L)
{
    size_t n;
    lua_settop(L, 3);
    const char *path = luaL_checkstring(L, 1);
    const char *const *names = bind_names(L, 2, &n, "sheets");
    luaL_checktype(L, 3, LUA_TTABLE);
    fr_xlsx_sheet *sheets = lua_newuserdatauv(L, (n + 1) * sizeof *sheets, 0);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, 3, (lua_Integer)i + 1);
        sheets[i] = (fr_xlsx_sheet){names[i], bind_frame_check(L, -1)}; // the list keeps it
        lua_pop(L, 1);
    }
    fr_err err = FR_ERR_INIT;
    int rc = fr_xlsx_write(sheets, n, path, &err);
    return rc == FR_OK ? 0 : bind_raise(L, rc, &err);
}

int luaopen_flowrun_core_excel(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"read", excel_read}, {"sheets", excel_sheets}, {"write", excel_write}, {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
