// flowrun.core.arrow -- Arrow IPC files to frames and back.

#include "core/data/arrow.h"
#include "lua/bind/frame_box.h"

// read(path, columns or nil) -> frame
static int arrow_read(lua_State *L)
{
    size_t n = 0;
    lua_settop(L, 2);
    const char *path = luaL_checkstring(L, 1);
    const char *const *columns = NULL;
    if (!lua_isnil(L, 2)) {
        columns = bind_names(L, 2, &n, "columns");
    }
    fr_frame **slot = bind_frame_box(L);
    fr_err err = FR_ERR_INIT;
    int rc = fr_arrow_read(path, columns, n, slot, &err);
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    bind_frame_sealed(L, *slot);
    return 1;
}

// write(frame, path)
static int arrow_write(lua_State *L)
{
    const fr_frame *f = bind_frame_check(L, 1);
    const char *path = luaL_checkstring(L, 2);
    fr_err err = FR_ERR_INIT;
    int rc = fr_arrow_write(f, path, &err);
    return rc == FR_OK ? 0 : bind_raise(L, rc, &err);
}

int luaopen_flowrun_core_arrow(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"read", arrow_read}, {"write", arrow_write}, {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
