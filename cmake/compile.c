// compile -- the build's Lua compiler: NAME SOURCE OUTPUT writes the bytecode of a file of the
// source tree with its line numbers. The chunk name is the one that lua/bind/vm.c gives.

#include <lauxlib.h>
#include <lua.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int write_code(lua_State *L, const void *bytes, size_t n, void *file)
{
    (void)L;
    return fwrite(bytes, 1, n, file) != n;
}

static int fail(const char *what, const char *why)
{
    (void)fprintf(stderr, "compile: %s: %s\n", what, why);
    return EXIT_FAILURE;
}

static char *read_all(const char *path, size_t *size)
{
    enum { MOST = 1 << 20 };
    char *text = malloc(MOST);
    FILE *f = fopen(path, "rb");
    if (f == NULL || text == NULL) {
        free(text);
        return NULL;
    }
    *size = fread(text, 1, MOST, f);
    (void)fclose(f);
    return text;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        return fail("usage", "compile NAME SOURCE OUTPUT");
    }
    size_t size = 0;
    char chunk[512];
    const char *name = argv[1];
    (void)snprintf(chunk, sizeof chunk, "@flowrun/%s",
                   strncmp(name, "lua/flowrun/", 12) == 0 ? name + 12 : name + 7);
    char *text = read_all(argv[2], &size);
    lua_State *L = luaL_newstate();
    if (text == NULL || L == NULL) {
        return fail(argv[2], "cannot be read");
    }
    if (luaL_loadbufferx(L, text, size, chunk, "t") != LUA_OK) {
        return fail(argv[2], lua_tostring(L, -1));
    }
    FILE *out = fopen(argv[3], "wb");
    if (out == NULL || lua_dump(L, write_code, out, 0) != 0 || fclose(out) != 0) {
        return fail(argv[3], "cannot be written");
    }
    lua_close(L);
    free(text);
    return EXIT_SUCCESS;
}
