// flowrun.core.json -- see lua/flowrun/json.lua.

#include "lua/bind/bind.h"
#include "lua/bind/json.h"

#define BUFFER "flowrun.JsonBuffer"

enum { TEXT_MAX = 1 << 30 };

// A buffer that is freed when the calling function returns or raises.
static fr_buf *push_buffer(lua_State *L)
{
    fr_buf *b = lua_newuserdatauv(L, sizeof *b, 0);
    fr_buf_init(b, TEXT_MAX);
    luaL_setmetatable(L, BUFFER);
    lua_toclose(L, -1);
    return b;
}

static int buffer_gc(lua_State *L)
{
    fr_buf_fini(lua_touserdata(L, 1));
    return 0;
}

static int json_decode(lua_State *L)
{
    size_t size;
    const char *text = luaL_checklstring(L, 1, &size);
    fr_buf *scratch = push_buffer(L);
    fr_err err = FR_ERR_INIT;
    if (!fr_json_decode(L, text, size, scratch, &err)) {
        return bind_raise(L, err.code, &err);
    }
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
    fr_buf *out = push_buffer(L);
    fr_err err = FR_ERR_INIT;
    if (fr_json_encode(L, 1, style, out, &err) != FR_OK) {
        return bind_raise(L, err.code, &err);
    }
    lua_pushlstring(L, (const char *)out->data, out->size);
    return 1;
}

int luaopen_flowrun_core_json(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"decode", json_decode},
        {"encode", json_encode},
        {NULL, NULL},
    };
    bind_class(L, BUFFER, NULL, NULL, buffer_gc);
    luaL_newlib(L, functions);
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -2, "null");
    return 1;
}
