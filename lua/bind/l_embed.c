// flowrun.core.embed -- the files inside the program.

#include "lua/bind/bind.h"
#include "lua/bind/embed.h"

#include <string.h>

static int embed_read(lua_State *L)
{
    const fr_embedded *file = fr_embed_find(luaL_checkstring(L, 1));
    if (file == NULL) {
        return 0;
    }
    lua_pushlstring(L, file->bytes, file->size);
    return 1;
}

static int embed_list(lua_State *L)
{
    const char *prefix = luaL_optstring(L, 1, "");
    lua_newtable(L);
    lua_Integer n = 0;
    const fr_embedded *file;
    for (size_t i = 0; (file = fr_embed_at(i)) != NULL; i++) {
        if (strncmp(file->name, prefix, strlen(prefix)) == 0) {
            lua_pushstring(L, file->name);
            lua_seti(L, -2, ++n);
        }
    }
    return 1;
}

int luaopen_flowrun_core_embed(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"read", embed_read},
        {"list", embed_list},
        {NULL, NULL},
    };
    luaL_newlib(L, functions);
    return 1;
}
