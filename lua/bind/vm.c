#include "lua/bind/vm.h"

#include "lua/bind/bind.h"
#include "lua/bind/embed.h"

#include <stdint.h>
#include <string.h>

// Linked into the program; absent from flowrun.so (Debian's archive is not relocatable), where
// the interpreter finds lua-cjson by itself.
int luaopen_cjson(lua_State *L) __attribute__((weak));
int luaopen_cjson_safe(lua_State *L) __attribute__((weak));

static const luaL_Reg core_modules[] = {
#define X(name) {"flowrun.core." #name, luaopen_flowrun_core_##name},
    BIND_MODULES(X)
#undef X
    {NULL, NULL},
};

static const char dev_key = 0;     // registry key of the development tree

const char *fr_vm_dev(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &dev_key);
    const char *dev = lua_tostring(L, -1);
    lua_pop(L, 1);                 // stays referenced by the registry
    return dev;
}

// Functions of flowrun itself are named "flowrun/x.lua" in messages, wherever they came from.
static const char *push_chunkname(lua_State *L, const char *name)
{
    const char *tail = strncmp(name, "lua/flowrun/", 12) == 0 ? name + 12 : name + 7;
    return lua_pushfstring(L, "@flowrun/%s", tail);
}

static int load_text(lua_State *L, const fr_embedded *file)
{
    const char *chunk = push_chunkname(L, file->name);
    const char *dev = fr_vm_dev(L);
    int rc;
    if (dev == NULL) {
        rc = luaL_loadbufferx(L, file->code, file->code_size, chunk, "b");
        if (rc == LUA_ERRSYNTAX) {           // an interpreter with another bytecode
            lua_pop(L, 1);
            rc = luaL_loadbufferx(L, file->bytes, file->size, chunk, "t");
        }
    } else {
        lua_getglobal(L, "io");
        lua_getfield(L, -1, "open");
        lua_pushfstring(L, "%s/%s", dev, file->name);
        lua_call(L, 1, 2);
        if (lua_isnil(L, -2)) {
            return luaL_error(L, "--dev: %s", lua_tostring(L, -1));
        }
        lua_getfield(L, -2, "read");
        lua_pushvalue(L, -3);
        lua_pushliteral(L, "a");
        lua_call(L, 2, 1);
        size_t size;
        const char *text = lua_tolstring(L, -1, &size);
        rc = luaL_loadbufferx(L, text, size, chunk, "t");
        lua_getfield(L, -4, "close");
        lua_pushvalue(L, -5);
        lua_call(L, 1, 0);
    }
    if (rc != LUA_OK) {
        return lua_error(L);
    }
    return 1;
}

// A searcher (package.searchers): the sources inside the program.
static int search_embedded(lua_State *L)
{
    const char *module = luaL_checkstring(L, 1);
    const fr_embedded *file = fr_embed_module(module);
    if (file == NULL) {
        lua_pushfstring(L, "no source '%s' in the program", module);
        return 1;
    }
    load_text(L, file);
    lua_pushstring(L, file->name);
    return 2;
}

void fr_vm_prepare(lua_State *L, const char *dev)
{
    lua_pushstring(L, dev);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &dev_key);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    luaL_setfuncs(L, core_modules, 0);
    if (luaopen_cjson != NULL) {
        lua_pushcfunction(L, luaopen_cjson);
        lua_setfield(L, -2, "cjson");
        lua_pushcfunction(L, luaopen_cjson_safe);
        lua_setfield(L, -2, "cjson.safe");
    }
    lua_pop(L, 1);
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "searchers");
    for (lua_Integer i = luaL_len(L, -1); i >= 2; i--) {
        lua_geti(L, -1, i);
        lua_seti(L, -2, i + 1);
    }
    lua_pushcfunction(L, search_embedded);
    lua_seti(L, -2, 2);                            // after preload, before the files
    lua_pop(L, 2);
}

static int open_all(lua_State *L)
{
    luaL_openlibs(L);
    fr_vm_prepare(L, lua_touserdata(L, 1));
    return 0;
}

lua_State *fr_vm_new(const char *dev)
{
    lua_State *L = luaL_newstate();
    if (L == NULL) {
        return NULL;
    }
    lua_pushcfunction(L, open_all);
    lua_pushlightuserdata(L, (void *)(uintptr_t)dev);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK) {
        lua_close(L);
        return NULL;
    }
    return L;
}

int fr_vm_traceback(lua_State *L)
{
    if (!lua_isstring(L, 1)) {
        return 1;                                  // an error object says itself where
    }
    luaL_traceback(L, L, lua_tostring(L, 1), 1);
    return 1;
}
