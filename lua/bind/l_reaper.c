// flowrun.core.reaper -- the reaper and the worker processes of a stock lua5.4; see
// core/engine/reaper.h and exec_child.h.
#include "core/engine/reaper.h"
#include "lua/bind/bind.h"
#include "lua/bind/self.h"

#include <stdlib.h>

// main(fd, lock): becomes the reaper; never returns.
static int reaper_main(lua_State *L)
{
    exit(fr_reaper_main((int)luaL_checkinteger(L, 1), luaL_optstring(L, 2, "")));
}

// worker(): becomes a worker process; never returns.
static int reaper_worker(lua_State *L)
{
    (void)L;
    exit(self_worker_main(NULL));
}

int luaopen_flowrun_core_reaper(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"main", reaper_main}, {"worker", reaper_worker}, {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
