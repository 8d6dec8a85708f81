// flowrun.core.version -- versions of flowrun and of every library, asked from the libraries
// that are really there. Those opened at first use are opened here only when asked for.

#include "lua/bind/bind.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

typedef enum kind { TEXT, TEXT_OF_0, NUMBER, VARIABLE } kind;

// The functions have no arguments and return text (OpenSSL_version takes 0) or a number
// 10000*major + 100*minor + patch; libedit has a variable.
static const struct library {
    const char *name, *file, *symbol;
    kind kind;
} libraries[] = {
    {"libuv", "libuv.so.1", "uv_version_string", TEXT},
    {"SQLite", "libsqlite3.so.0", "sqlite3_libversion", TEXT},
    {"OpenSSL", "libcrypto.so.3", "OpenSSL_version", TEXT_OF_0},
    {"xxHash", "libxxhash.so.0", "XXH_versionNumber", NUMBER},
    {"zstd", "libzstd.so.1", "ZSTD_versionString", TEXT},
    {"lz4", "liblz4.so.1", "LZ4_versionString", TEXT},
    {"zlib", "libz.so.1", "zlibVersion", TEXT},
    {"libedit", "libedit.so.2", "rl_library_version", VARIABLE},
    {"libcurl", "libcurl.so.4", "curl_version", TEXT},
    {"libxlsxwriter", "libxlsxwriter.so.4", "lxw_version", TEXT},
    {"expat", "libexpat.so.1", "XML_ExpatVersion", TEXT},
    {"OpenBLAS", "libopenblas.so.0", "openblas_get_config", TEXT},
};

static void push_version(lua_State *L, const struct library *lib, void *symbol)
{
    const char *(*text)(void);
    const char *(*text_of)(int);
    unsigned (*number)(void);
    switch (lib->kind) {
    case TEXT:
        memcpy(&text, &symbol, sizeof text);
        lua_pushstring(L, text());
        break;
    case TEXT_OF_0:
        memcpy(&text_of, &symbol, sizeof text_of);
        lua_pushstring(L, text_of(0));
        break;
    case NUMBER: {
        memcpy(&number, &symbol, sizeof number);
        unsigned n = number();
        lua_pushfstring(L, "%d.%d.%d", (int)(n / 10000), (int)(n / 100 % 100), (int)(n % 100));
        break;
    }
    case VARIABLE:
        lua_pushstring(L, *(const char *const *)symbol);
        break;
    }
}

// Returns a list of {name, version}; version is nil when the library is not installed.
static int version_libraries(lua_State *L)
{
    lua_newtable(L);
    for (size_t i = 0; i < FR_COUNT(libraries); i++) {
        const struct library *lib = &libraries[i];
        lua_createtable(L, 0, 3);
        lua_pushstring(L, lib->name);
        lua_setfield(L, -2, "name");
        lua_pushstring(L, lib->file);
        lua_setfield(L, -2, "file");
        void *handle = dlopen(lib->file, RTLD_LAZY | RTLD_LOCAL);
        void *symbol = handle != NULL ? dlsym(handle, lib->symbol) : NULL;
        if (symbol != NULL) {
            push_version(L, lib, symbol);        // the handle stays: threads may run inside
            lua_setfield(L, -2, "version");
        }
        lua_seti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

int luaopen_flowrun_core_version(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"libraries", version_libraries},
        {NULL, NULL},
    };
    luaL_newlib(L, functions);
    lua_pushliteral(L, FLOWRUN_VERSION);
    lua_setfield(L, -2, "flowrun");
    lua_pushliteral(L, LUA_RELEASE);
    lua_setfield(L, -2, "lua");
    return 1;
}
