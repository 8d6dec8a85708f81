// flowrun.core.testing -- what the test harness needs from the system.

#include "core/base/clock.h"
#include "lua/bind/bind.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static int testing_where(lua_State *L)
{
    bind_push_where(L);
    return 1;
}

static int testing_temp_dir(lua_State *L)
{
    const char *base = getenv("TMPDIR");
    char path[512];
    (void)snprintf(path, sizeof path, "%s/flowrun-test-XXXXXX", base != NULL ? base : "/tmp");
    if (mkdtemp(path) == NULL) {
        fr_err err = FR_ERR_INIT;
        int rc = fr_fail_errno(&err, FR_EIO, "making the directory %s", path);
        return bind_raise(L, rc, &err);
    }
    lua_pushstring(L, path);
    return 1;
}

static int remove_entry(const char *path, const struct stat *s, int kind, struct FTW *where)
{
    (void)s, (void)kind, (void)where;
    return remove(path);
}

// Only directories that temp_dir made are removed.
static int testing_remove_tree(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    if (strstr(path, "/flowrun-test-") == NULL) {
        return luaL_argerror(L, 1, "not a directory of temp_dir");
    }
    if (nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT) {
        fr_err err = FR_ERR_INIT;
        int rc = fr_fail_errno(&err, FR_EIO, "removing %s", path);
        return bind_raise(L, rc, &err);
    }
    return 0;
}

// setenv(name, value or nil): for tests of what depends on the environment.
static int testing_setenv(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    const char *value = luaL_optstring(L, 2, NULL);
    lua_pushboolean(L, (value != NULL ? setenv(name, value, 1) : unsetenv(name)) == 0);
    return 1;
}

// measure{program, argument …, stdout = FILE}: runs it, its output thrown away or written to the
// file; returns wall seconds, CPU seconds, peak memory in bytes, exit code (128 + signal when
// killed), how often its threads slept (voluntary context switches).
static int testing_measure(lua_State *L)
{
    enum { MOST = 64 };
    luaL_checktype(L, 1, LUA_TTABLE);
    char *argv[MOST + 1];
    int n = (int)FR_MIN(luaL_len(L, 1), (lua_Integer)MOST);
    luaL_checkstack(L, n, "too many arguments");
    for (int i = 0; i < n; i++) {
        lua_geti(L, 1, i + 1);
        argv[i] = (char *)(uintptr_t)luaL_checkstring(L, -1);
    }
    argv[n] = NULL;
    luaL_argcheck(L, n > 0, 1, "expected {program, argument ...}");
    (void)lua_getfield(L, 1, "stdout");
    const char *out = luaL_optstring(L, -1, "/dev/null");
    posix_spawn_file_actions_t actions;
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawn_file_actions_addopen(&actions, 1, out, O_WRONLY | O_CREAT | O_TRUNC,
                                           0600);
    (void)posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    int64_t started = fr_clock_mono_ns();
    pid_t pid;
    int rc = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    if (rc != 0) {
        return bind_fail(L, FR_EIO, "cannot start %s: %s", argv[0], strerror(rc));
    }
    int status = 0;
    struct rusage used = {0};
    while (wait4(pid, &status, 0, &used) < 0 && errno == EINTR) {
    }
    lua_pushnumber(L, (double)(fr_clock_mono_ns() - started) / 1e9);
    lua_pushnumber(L, (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                          (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
    lua_pushinteger(L, (lua_Integer)used.ru_maxrss * 1024);
    lua_pushinteger(L, WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    lua_pushinteger(L, (lua_Integer)used.ru_nvcsw);
    return 5;
}

int luaopen_flowrun_core_testing(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"where", testing_where},
        {"temp_dir", testing_temp_dir},
        {"remove_tree", testing_remove_tree},
        {"setenv", testing_setenv},
        {"measure", testing_measure},
        {NULL, NULL},
    };
    luaL_newlib(L, functions);
    return 1;
}
