// flowrun.core.error -- the class of all errors that flowrun raises.

#include "lua/bind/bind.h"

#include <stdbool.h>
#include <string.h>

static bool is_error(lua_State *L, int index)
{
    if (!lua_istable(L, index) || !lua_getmetatable(L, index)) {
        return false;
    }
    luaL_getmetatable(L, BIND_ERROR);
    bool same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same;
}

static void push_text(lua_State *L, int index)
{
    index = lua_absindex(L, index);
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    lua_getfield(L, index, "where");
    if (lua_type(L, -1) == LUA_TSTRING) {
        luaL_addvalue(&b);
        luaL_addstring(&b, ": ");
    } else {
        lua_pop(L, 1);
    }
    lua_getfield(L, index, "message");
    (void)luaL_tolstring(L, -1, NULL);
    lua_remove(L, -2);
    luaL_addvalue(&b);
    lua_getfield(L, index, "cause");
    if (!lua_isnil(L, -1)) {
        (void)luaL_tolstring(L, -1, NULL);
        lua_remove(L, -2);
        lua_pushliteral(L, "\n  because: ");
        lua_insert(L, -2);
        lua_concat(L, 2);
        luaL_addvalue(&b);
    } else {
        lua_pop(L, 1);
    }
    luaL_pushresult(&b);
}

static int error_tostring(lua_State *L)
{
    push_text(L, 1);
    return 1;
}

static int error_concat(lua_State *L)
{
    (void)luaL_tolstring(L, 1, NULL);
    (void)luaL_tolstring(L, 2, NULL);
    lua_concat(L, 2);
    return 1;
}

static int check_code(lua_State *L, int arg)
{
    const char *name = luaL_checkstring(L, arg);
    int code = fr_err_from_name(name);
    if (code <= FR_OK) {
        static const char *const names[] = {
#define X(id, number, lua, text) lua,
            FR_ERR_LIST(X)
#undef X
            NULL,
        };
        const char *near = bind_nearest(name, names);
        lua_pushfstring(L, near ? "unknown error code '%s'; did you mean '%s'?"
                                : "unknown error code '%s'; see error.codes()", name, near);
        return luaL_argerror(L, arg, lua_tostring(L, -1));
    }
    return code;
}

static int error_new(lua_State *L)
{
    int code = check_code(L, 1);
    const char *message = luaL_checkstring(L, 2);
    lua_settop(L, 3);
    bind_push_where(L);
    bind_push_error(L, code, message, lua_tostring(L, 4));
    if (!lua_isnil(L, 3)) {
        lua_pushvalue(L, 3);
        lua_setfield(L, -2, "cause");
    }
    return 1;
}

static int error_raise(lua_State *L)
{
    (void)error_new(L);
    return lua_error(L);
}

static int error_is(lua_State *L)
{
    const char *code = luaL_optstring(L, 2, NULL);
    bool yes = is_error(L, 1);
    if (yes && code != NULL) {
        (void)check_code(L, 2);
        yes = lua_getfield(L, 1, "code") == LUA_TSTRING && strcmp(lua_tostring(L, -1), code) == 0;
    }
    lua_pushboolean(L, yes);
    return 1;
}

static int error_from(lua_State *L)
{
    luaL_checkany(L, 1);
    if (is_error(L, 1)) {
        lua_settop(L, 1);
        return 1;
    }
    bind_push_error(L, FR_ETASK, luaL_tolstring(L, 1, NULL), NULL);
    return 1;
}

static int error_codes(lua_State *L)
{
    lua_newtable(L);
#define X(id, number, lua, text)                                                         \
    if ((number) != 0) {                                                                 \
        lua_pushliteral(L, text);                                                        \
        lua_setfield(L, -2, lua);                                                        \
    }
    FR_ERR_LIST(X)
#undef X
    return 1;
}

static int error_nearest(lua_State *L)
{
    enum { MOST = 512 };
    const char *name = luaL_checkstring(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    const char *known[MOST + 1];
    lua_Integer n = FR_MIN(luaL_len(L, 2), (lua_Integer)MOST);
    luaL_checkstack(L, (int)n + 1, "too many names");
    for (lua_Integer i = 0; i < n; i++) {
        (void)lua_geti(L, 2, i + 1);
        known[i] = luaL_checkstring(L, -1);
    }
    known[n] = NULL;
    lua_pushstring(L, bind_nearest(name, known));
    return 1;
}

int luaopen_flowrun_core_error(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"new", error_new},     {"raise", error_raise}, {"is", error_is},
        {"from", error_from},   {"codes", error_codes}, {"nearest", error_nearest},
        {NULL, NULL},
    };
    static const luaL_Reg meta[] = {
        {"__tostring", error_tostring},
        {"__concat", error_concat},
        {NULL, NULL},
    };
    bind_class(L, BIND_ERROR, NULL, meta, NULL);
    luaL_newlib(L, functions);
    return 1;
}
