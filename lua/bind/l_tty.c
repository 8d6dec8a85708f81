// flowrun.core.tty -- what the command line asks of the terminal and the system.
#include "lua/bind/bind.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

static int stream_fd(lua_State *L)
{
    static const char *const names[] = {"stdin", "stdout", "stderr", NULL};
    return luaL_checkoption(L, 1, "stderr", names);
}

static int tty_is_terminal(lua_State *L)
{
    lua_pushboolean(L, isatty(stream_fd(L)));
    return 1;
}

// size([stream]): columns and rows; 80 and 24 when it is no terminal.
static int tty_size(lua_State *L)
{
    struct winsize w = {0};
    bool known = ioctl(stream_fd(L), TIOCGWINSZ, &w) == 0 && w.ws_col > 0;
    lua_pushinteger(L, known ? w.ws_col : 80);
    lua_pushinteger(L, known ? w.ws_row : 24);
    return 2;
}

// real_path(path): absolute, links resolved; nil and why when there is no such file.
static int tty_real_path(lua_State *L)
{
    char p[PATH_MAX];
    if (realpath(luaL_checkstring(L, 1), p) == NULL) {
        lua_pushnil(L);
        lua_pushstring(L, strerror(errno));
        return 2;
    }
    lua_pushstring(L, p);
    return 1;
}

// stat(path): kind ("file", "directory", "other"), mtime in ns, size; nil when absent.
static int tty_stat(lua_State *L)
{
    struct stat s;
    if (stat(luaL_checkstring(L, 1), &s) != 0) {
        lua_pushnil(L);
        return 1;
    }
    lua_pushstring(L, S_ISREG(s.st_mode) ? "file" : S_ISDIR(s.st_mode) ? "directory" : "other");
    lua_pushinteger(L, (lua_Integer)s.st_mtim.tv_sec * 1000000000 + s.st_mtim.tv_nsec);
    lua_pushinteger(L, (lua_Integer)s.st_size);
    return 3;
}

// make_directory(path): with its parents; true, or nil and why.
static int tty_make_directory(lua_State *L)
{
    size_t n;
    const char *given = luaL_checklstring(L, 1, &n);
    luaL_argcheck(L, n > 0 && n < 4000, 1, "expected a path");
    char path[4096];
    memcpy(path, given, n + 1);
    for (size_t i = 1; i <= n; i++) {
        if (path[i] == '/' || path[i] == '\0') {
            char c = path[i];
            path[i] = '\0';
            if (mkdir(path, 0777) != 0 && errno != EEXIST) {
                lua_pushnil(L);
                lua_pushfstring(L, "%s: %s", path, strerror(errno));
                return 2;
            }
            path[i] = c;
        }
    }
    lua_pushboolean(L, 1);
    return 1;
}

// has_prefix(directory, prefix): whether an entry of the directory starts so.
static int tty_has_prefix(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1), *prefix = luaL_checkstring(L, 2);
    bool found = false;
    DIR *d = opendir(path);
    for (struct dirent *e; d != NULL && !found && (e = readdir(d)) != NULL;) {
        found = strncmp(e->d_name, prefix, strlen(prefix)) == 0;
    }
    if (d != NULL) {
        (void)closedir(d);
    }
    lua_pushboolean(L, found);
    return 1;
}

static const luaL_Reg functions[] = {
    {"is_terminal", tty_is_terminal}, {"size", tty_size},
    {"real_path", tty_real_path},     {"stat", tty_stat},
    {"make_directory", tty_make_directory}, {"has_prefix", tty_has_prefix},
    {NULL, NULL},
};

int luaopen_flowrun_core_tty(lua_State *L)
{
    luaL_newlib(L, functions);
    return 1;
}
