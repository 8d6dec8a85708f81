// flowrun.core.testing -- what the test harness needs from the system.

#include "lua/bind/bind.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

int luaopen_flowrun_core_testing(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"where", testing_where},
        {"temp_dir", testing_temp_dir},
        {"remove_tree", testing_remove_tree},
        {"setenv", testing_setenv},
        {NULL, NULL},
    };
    luaL_newlib(L, functions);
    return 1;
}
