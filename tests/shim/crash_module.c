// A C module with every fault that a foreign library may have, for specs about isolation.
#include <lauxlib.h>
#include <lua.h>

#include <stdlib.h>
#include <string.h>

int luaopen_crash_module(lua_State *L);

static int crash_segfault(lua_State *L)
{
    volatile int *volatile nowhere = NULL;
    lua_pushinteger(L, *nowhere);
    return 1;
}

static int crash_exit(lua_State *L)
{
    exit((int)luaL_checkinteger(L, 1));
}

static int crash_abort(lua_State *L)
{
    (void)L;
    abort();
}

// leak(bytes): memory that is written and never freed.
static int crash_leak(lua_State *L)
{
    size_t n = (size_t)luaL_checkinteger(L, 1);
    char *p = malloc(n);
    luaL_argcheck(L, p != NULL, 1, "no memory");
    memset(p, 1, n);
    lua_pushboolean(L, p[n / 2] == 1);
    return 1;
}

// spin(): never returns, and no hook can stop it.
static int crash_spin(lua_State *L)
{
    (void)L;
    for (volatile int on = 1; on;) {
    }
    return 0;
}

int luaopen_crash_module(lua_State *L)
{
    static const luaL_Reg functions[] = {{"segfault", crash_segfault}, {"exit", crash_exit},
                                         {"abort", crash_abort},       {"leak", crash_leak},
                                         {"spin", crash_spin},         {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
