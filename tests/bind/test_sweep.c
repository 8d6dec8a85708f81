// labels: sweep
// Fails every allocation in turn while each script of tests/sweep runs: nothing crashes, and
// all memory of the state comes back (in the sanitizer builds: all memory). A script returns
// the function that is swept, so that loading it is not. With the argument --rows: the
// scripts together call every function of every C module, which a call hook proves.

#include "core/engine/reaper.h"
#include "lua/bind/bind.h"
#include "lua/bind/embed.h"
#include "lua/bind/vm.h"
#include "tests/bind/failing.h"
#include "tests/unit/check.h"

#include <dirent.h>
#include <limits.h>
#include <stdlib.h>

enum { MOST_STEPS = 4000 };

static const char *const modules[] = {
#define X(name) "flowrun.core." #name,
    BIND_MODULES(X)
#undef X
};

static const char seen_key = 0;              // registry: C function -> true

static void on_call(lua_State *L, lua_Debug *d)
{
    (void)lua_getinfo(L, "f", d);
    if (lua_iscfunction(L, -1)) {
        lua_rawgetp(L, LUA_REGISTRYINDEX, &seen_key);
        lua_pushvalue(L, -2);
        lua_pushboolean(L, 1);
        lua_rawset(L, -3);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

static int prepare(lua_State *L)
{
    luaL_openlibs(L);
    fr_vm_prepare(L, NULL);
    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &seen_key);
    for (size_t i = 0; i < FR_COUNT(modules); i++) {
        lua_getglobal(L, "require");
        lua_pushstring(L, modules[i]);
        lua_call(L, 1, 0);
    }
    return 0;
}

static lua_State *make(failing *f)
{
    lua_State *L = lua_newstate(failing_alloc, f);
    FR_ASSERT(L != NULL);
    lua_pushcfunction(L, prepare);
    FR_ASSERT(lua_pcall(L, 0, 0, 0) == LUA_OK);
    return L;
}

// Leaves the function that the script returns on the stack.
static bool load(lua_State *L, const char *path)
{
    if (luaL_loadfilex(L, path, "t") != LUA_OK || lua_pcall(L, 0, 1, 0) != LUA_OK ||
        !lua_isfunction(L, -1)) {
        (void)fprintf(stderr, "%s: %s\n", path, luaL_tolstring(L, -1, NULL));
        return false;
    }
    return true;
}

// Undisturbed: counts the allocations and adds to the functions that were called in `seen`.
static long rehearse(const char *path, lua_State *seen)
{
    failing f = {.left = LONG_MAX};
    lua_State *L = make(&f);
    long count = -1;
    if (load(L, path)) {
        f.count = 0;
        lua_pushvalue(L, -1);
        bool ok = lua_pcall(L, 0, 0, 0) == LUA_OK;
        count = f.count;
        if (ok) {
            lua_sethook(L, on_call, LUA_MASKCALL, 0);
            ok = lua_pcall(L, 0, 0, 0) == LUA_OK;        // twice works as well
        }
        if (!ok) {
            (void)fprintf(stderr, "%s: %s\n", path, luaL_tolstring(L, -1, NULL));
            count = -1;
        }
        lua_sethook(L, NULL, 0, 0);
    }
    lua_rawgetp(L, LUA_REGISTRYINDEX, &seen_key);
    for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1)) {
        lua_rawgetp(seen, LUA_REGISTRYINDEX, &seen_key);
        lua_pushcfunction(seen, lua_tocfunction(L, -2));
        lua_pushboolean(seen, 1);
        lua_rawset(seen, -3);
        lua_pop(seen, 1);
    }
    lua_close(L);
    FR_ASSERT(f.bytes == 0);
    return count;
}

// A script that starts threads and processes says in its first line "-- steps: N".
static long most_steps(const char *path)
{
    long most = MOST_STEPS;
    FILE *f = fopen(path, "r");
    FR_ASSERT(f != NULL);
    if (fscanf(f, "-- steps: %ld", &most) != 1) {
        most = MOST_STEPS;
    }
    (void)fclose(f);
    return most;
}

static void sweep(const char *path, lua_State *seen)
{
    long count = rehearse(path, seen);
    CHECK(count > 0);
    long step = count / most_steps(path) + 1, failures = 0;
    for (long n = 0; n < count; n += step) {
        failing f = {.left = LONG_MAX};
        lua_State *L = make(&f);
        FR_ASSERT(load(L, path));
        f.left = n;
        int rc = lua_pcall(L, 0, 0, 0);
        f.left = LONG_MAX;
        failures += rc != LUA_OK;
        FR_ASSERT(rc == LUA_OK || f.failed);
        lua_close(L);
        FR_ASSERT(f.bytes == 0);
    }
    CHECK(failures > 0);
    (void)printf("%s: %ld allocations, %ld runs failed\n", path, count, failures);
}

// --- rows ---

// The C functions in the table on top of the stack; counts those that no script called.
static int missing_in_table(lua_State *L, const char *owner)
{
    int missing = 0;
    for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1)) {
        if (!lua_iscfunction(L, -1) || lua_type(L, -2) != LUA_TSTRING) {
            continue;
        }
        lua_rawgetp(L, LUA_REGISTRYINDEX, &seen_key);
        lua_pushcfunction(L, lua_tocfunction(L, -2));    // closures count by their function
        if (lua_rawget(L, -2) == LUA_TNIL) {
            (void)fprintf(stderr, "no script calls %s: %s\n", owner, lua_tostring(L, -4));
            missing++;
        }
        lua_pop(L, 2);
    }
    return missing;
}

static void mark_seen(lua_State *L, lua_CFunction fn)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &seen_key);
    lua_pushcfunction(L, fn);
    lua_pushboolean(L, 1);
    lua_rawset(L, -3);
    lua_pop(L, 1);
}

// Classes stand in the registry under their names.
static int missing_in_classes(lua_State *L)
{
    int missing = 0;
    lua_pushvalue(L, LUA_REGISTRYINDEX);
    for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING || !lua_istable(L, -1) ||
            strncmp(lua_tostring(L, -2), "flowrun.", 8) != 0) {
            continue;
        }
        const char *class = lua_tostring(L, -2);
        if (lua_getfield(L, -1, "__gc") == LUA_TFUNCTION) {   // the collector calls it unseen
            mark_seen(L, lua_tocfunction(L, -1));
        }
        lua_pop(L, 1);
        missing += missing_in_table(L, class);
        if (lua_getfield(L, -1, "__index") == LUA_TFUNCTION) {
            if (lua_getupvalue(L, -1, 1) == NULL) {
                lua_pushnil(L);              // its methods are the first upvalue, if any
            }
            lua_remove(L, -2);
        }
        if (lua_istable(L, -1)) {
            missing += missing_in_table(L, class);
        }
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return missing;
}

static void check_rows(lua_State *seen)
{
    int missing = 0;
    (void)luaL_dostring(seen, "return require('flowrun.core.reaper').main");
    mark_seen(seen, lua_tocfunction(seen, -1));          // it becomes the reaper: never returns
    (void)luaL_dostring(seen, "return require('flowrun.core.reaper').worker");
    mark_seen(seen, lua_tocfunction(seen, -1));          // likewise
    lua_pop(seen, 1);
    for (size_t i = 0; i < FR_COUNT(modules); i++) {
        lua_getglobal(seen, "require");
        lua_pushstring(seen, modules[i]);
        lua_call(seen, 1, 1);
        if (lua_istable(seen, -1)) {
            missing += missing_in_table(seen, modules[i]);
        }
        lua_pop(seen, 1);
    }
    missing += missing_in_classes(seen);
    CHECK_INT(missing, 0);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_script(const struct dirent *e)
{
    return strstr(e->d_name, ".lua") != NULL;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "--reaper") == 0) {   // a script called fr.sh
        return fr_reaper_main((int)strtol(argv[2], NULL, 10), argv[3]);
    }
    const char *folder = FLOWRUN_SOURCE "/tests/sweep";
    FR_ASSERT(freopen("/dev/null", "r", stdin) != NULL);   // what the prompt reads
    bool rows = argc > 1 && strcmp(argv[1], "--rows") == 0;
    failing f = {.left = LONG_MAX};
    lua_State *seen = make(&f);
    struct dirent **list;
    int n = scandir(folder, &list, is_script, by_name);
    CHECK(n > 0);
    for (int i = 0; i < n; i++) {
        char path[4096];
        (void)snprintf(path, sizeof path, "%s/%s", folder, list[i]->d_name);
        if (rows) {
            CHECK(rehearse(path, seen) > 0);
        } else if (argc < 2 || strstr(path, argv[1]) != NULL) {
            sweep(path, seen);
        }
        free(list[i]);
    }
    free(list);
    if (rows) {
        check_rows(seen);
    }
    lua_close(seen);
    return check_end();
}
