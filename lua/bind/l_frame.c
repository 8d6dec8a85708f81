#include "core/data/frame.h"
#include "lua/bind/object_box.h"

static const fr_frame *check_frame(lua_State *L, int arg)
{
    return (const fr_frame *)bind_object_check(L, arg, FR_KIND_FRAME);
}

static int frame_len(lua_State *L)
{
    lua_pushinteger(L, check_frame(L, 1)->rows);
    return 1;
}

int luaopen_flowrun_core_frame(lua_State *L)
{
    static const luaL_Reg frame_meta[] = {{"__len", frame_len}, {NULL, NULL}};
    static const luaL_Reg functions[] = {{NULL, NULL}};
    bind_object_class(L, FR_KIND_FRAME, NULL, frame_meta);
    bind_object_class(L, FR_KIND_ARRAY, NULL, NULL);
    luaL_newlib(L, functions);
    return 1;
}
