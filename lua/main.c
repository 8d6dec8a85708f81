// flowrun -- the program: makes a Lua state and runs flowrun.cli, which does the rest.

#include "core/base/fault.h"
#include "core/engine/reaper.h"
#include "lua/bind/flow_tick.h"
#include "lua/bind/self.h"
#include "lua/bind/vm.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct start {
    int argc;
    char **argv;
} start;

// What OpenBLAS reads when it is opened: no threads of its own, ours come from the compute
// pool; and kernels by what the processor can do. Debian 12's knows models up to Ice Lake,
// and gives later ones those of 2004, which take five times as long.
static void set_openblas(void)
{
    (void)setenv("OPENBLAS_NUM_THREADS", "1", 1);
#if defined(__x86_64__)
    const char *kernels = NULL;
    __builtin_cpu_init();
    if (__builtin_cpu_is("intel") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw")) {
        kernels = "SkylakeX";
    } else if (__builtin_cpu_is("intel") && __builtin_cpu_supports("avx2") &&
               __builtin_cpu_supports("fma")) {
        kernels = "Haswell";
    }
    if (kernels != NULL) {
        (void)setenv("OPENBLAS_CORETYPE", kernels, 0);   // what the user set stands
    }
#endif
}

// Protected: flowrun.cli.main{argument, ...} returns the exit code.
static int run(lua_State *L)
{
    const start *s = lua_touserdata(L, 1);
    flow_tick_coroutines(L);
    lua_createtable(L, s->argc, 0);
    for (int i = 0; i < s->argc; i++) {
        lua_pushstring(L, s->argv[i]);
        lua_seti(L, -2, i);
    }
    lua_pushvalue(L, -1);
    lua_setglobal(L, "arg");
    lua_getglobal(L, "require");
    lua_pushliteral(L, "flowrun.cli");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "main");
    lua_pushvalue(L, 2);
    lua_call(L, 1, 1);
    return 1;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "--reaper") == 0) {   // started by ourselves, see reaper.h
        return fr_reaper_main((int)strtol(argv[2], NULL, 10), argv[3]);
    }
    const char *dev = NULL;
    if (argc > 2 && strcmp(argv[1], "--dev") == 0) {   // for work on flowrun itself
        dev = argv[2];
        argv[2] = argv[0];
        argv += 2;
        argc -= 2;
    }
    if (argc == 2 && strcmp(argv[1], "--worker") == 0) {   // likewise, see exec_child.h
        set_openblas();
        return self_worker_main(dev);
    }
    fr_err err = FR_ERR_INIT;
    if (fr_fault_set(getenv("FLOWRUN_FAULT"), &err) != FR_OK) {   // tests kill and break it
        (void)fprintf(stderr, "flowrun: FLOWRUN_FAULT: %s\n", err.text);
        return 2;
    }
    set_openblas();
    lua_State *L = fr_vm_new(dev);
    if (L == NULL) {
        (void)fprintf(stderr, "flowrun: out of memory\n");
        return EXIT_FAILURE;
    }
    start s = {argc, argv};
    int code = EXIT_FAILURE;
    lua_pushcfunction(L, fr_vm_traceback);
    lua_pushcfunction(L, run);
    lua_pushlightuserdata(L, &s);
    if (lua_pcall(L, 1, 1, 1) == LUA_OK) {
        code = (int)lua_tointeger(L, -1);
    } else {
        (void)fprintf(stderr, "flowrun: %s\n", luaL_tolstring(L, -1, NULL));
    }
    lua_close(L);
    return code;
}
