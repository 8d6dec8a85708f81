// flowrun.core.json -- see lua/flowrun/json.lua.

#include "lua/bind/bind.h"
#include "lua/bind/json.h"

enum { TEXT_MAX = 1 << 30 };

static int json_decode(lua_State *L)
{
    size_t size;
    const char *text = luaL_checklstring(L, 1, &size);
    fr_buf *scratch = bind_buffer(L, TEXT_MAX);
    fr_err err = FR_ERR_INIT;
    if (!fr_json_decode(L, text, size, scratch, &err)) {
        return bind_raise(L, err.code, &err);
    }
    fr_buf_fini(scratch);
    return 1;
}

// encode(value, indent, nan_null)
static int json_encode(lua_State *L)
{
    luaL_checkany(L, 1);
    fr_json_style style = {.indent = (int)luaL_optinteger(L, 2, 0),
                           .nan_null = lua_toboolean(L, 3)};
    luaL_argcheck(L, style.indent >= 0 && style.indent <= 16, 2, "0 to 16 spaces");
    lua_settop(L, 1);
    fr_buf *out = bind_buffer(L, TEXT_MAX);
    fr_err err = FR_ERR_INIT;
    if (fr_json_encode(L, 1, style, out, &err) != FR_OK) {
        return bind_raise(L, err.code, &err);
    }
    bind_push_buffer(L, out);
    return 1;
}

int luaopen_flowrun_core_json(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"decode", json_decode},
        {"encode", json_encode},
        {NULL, NULL},
    };
    luaL_newlib(L, functions);
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -2, "null");
    return 1;
}
