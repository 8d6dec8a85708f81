// flowrun.core.line -- the line editor for the REPL, on the loop of an engine.
#include "lua/bind/bind.h"
#include "lua/bind/engine_loop.h"
#include "lua/bind/line.h"

#include <string.h>

#define LINE "flowrun.Line"

typedef struct l_line {
    fr_line *line;
    lua_State *L;
    int complete;                     // registry reference
} l_line;

static l_line *check_line(lua_State *L)
{
    l_line *l = luaL_checkudata(L, 1, LINE);
    if (l->line == NULL) {
        (void)bind_fail(L, FR_ESTATE, "the editor is closed");
    }
    return l;
}

// Calls complete(line) -> list of candidates, length of the word; errors complete nothing.
static size_t complete(void *user, const char *line, size_t cursor,
                       void (*add)(void *ctx, const char *candidate), void *ctx)
{
    l_line *l = user;
    lua_State *L = l->L;
    int top = lua_gettop(L);
    size_t word = 0;
    lua_rawgeti(L, LUA_REGISTRYINDEX, l->complete);
    lua_pushlstring(L, line, cursor);
    if (lua_pcall(L, 1, 2, 0) == LUA_OK && lua_istable(L, -2)) {
        word = (size_t)lua_tointeger(L, -1);
        lua_Integer n = (lua_Integer)lua_rawlen(L, -2);
        for (lua_Integer i = 1; i <= n; i++) {
            if (lua_rawgeti(L, -2, i) == LUA_TSTRING) {
                add(ctx, lua_tostring(L, -1));
            }
            lua_pop(L, 1);
        }
    }
    lua_settop(L, top);
    return word;
}

// open(engine, history_file, complete): complete(line) -> candidates, length of the word.
static int line_open(lua_State *L)
{
    struct uv_loop_s *loop = bind_engine_loop(L, 1);
    const char *file = luaL_optstring(L, 2, NULL);
    luaL_checktype(L, 3, LUA_TFUNCTION);
    lua_settop(L, 3);
    l_line *l = lua_newuserdatauv(L, sizeof *l, 1);
    *l = (l_line){.L = L, .complete = LUA_NOREF};
    luaL_setmetatable(L, LINE);
    lua_pushvalue(L, 1);
    (void)lua_setiuservalue(L, 4, 1);
    lua_pushvalue(L, 3);
    l->complete = luaL_ref(L, LUA_REGISTRYINDEX);
    l->line = fr_line_open(loop, file, complete, l);
    return 1;
}

static int line_close(lua_State *L)
{
    l_line *l = luaL_checkudata(L, 1, LINE);
    fr_line_close(l->line);
    l->line = NULL;
    luaL_unref(L, LUA_REGISTRYINDEX, l->complete);
    l->complete = LUA_NOREF;
    return 0;
}

// read(prompt): a line; nil at the end of input; "" and true after Ctrl-C.
static int line_read(lua_State *L)
{
    l_line *l = check_line(L);
    l->L = L;
    bool interrupted;
    const char *s = fr_line_read(l->line, luaL_checkstring(L, 2), &interrupted);
    lua_pushstring(L, s);
    lua_pushboolean(L, interrupted);
    return 2;
}

static int line_remember(lua_State *L)
{
    fr_line_remember(check_line(L)->line, luaL_checkstring(L, 2));
    return 0;
}

static int line_above(lua_State *L)
{
    fr_line_above(check_line(L)->line, luaL_checkstring(L, 2));
    return 0;
}

static const luaL_Reg methods[] = {
    {"read", line_read},   {"remember", line_remember}, {"above", line_above},
    {"close", line_close}, {NULL, NULL},
};

static const luaL_Reg no_meta[] = {{NULL, NULL}};
static const luaL_Reg functions[] = {{"open", line_open}, {NULL, NULL}};

int luaopen_flowrun_core_line(lua_State *L)
{
    bind_class(L, LINE, methods, no_meta, line_close);
    luaL_newlib(L, functions);
    return 1;
}
