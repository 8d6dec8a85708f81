#include "lua/bind/error_value.h"

#include "lua/bind/marshal.h"

#include <stdio.h>
#include <string.h>

typedef struct pack_call {
    const char *traceback;
    fr_value *out;
    int code;
} pack_call;

// Replaces fields that cannot cross (functions, userdata …) by their description.
static void copy_fields(lua_State *L, int from, int to)
{
    lua_pushnil(L);
    while (lua_next(L, from) != 0) {
        int type = lua_type(L, -1);
        if (lua_type(L, -2) == LUA_TSTRING && (type == LUA_TSTRING || type == LUA_TNUMBER ||
                                               type == LUA_TBOOLEAN)) {
            lua_pushvalue(L, -2);
            lua_pushvalue(L, -2);
            lua_rawset(L, to);
        }
        lua_pop(L, 1);
    }
    (void)lua_getfield(L, from, "cause");
    if (!lua_isnil(L, -1)) {
        (void)luaL_tolstring(L, -1, NULL);
        lua_setfield(L, to, "cause");
    }
    lua_pop(L, 1);
}

// A message "file.lua:12: text" of a plain error() becomes where and message.
static void split_where(lua_State *L, int t, const char *text)
{
    const char *end = strstr(text, ": ");
    const char *colon = end;
    while (colon != NULL && colon > text && colon[-1] >= '0' && colon[-1] <= '9') {
        colon--;
    }
    bool place = end != NULL && colon < end && colon > text + 1 && colon[-1] == ':' &&
                 memchr(text, '\n', (size_t)(end - text)) == NULL;
    if (place) {
        lua_pushlstring(L, text, (size_t)(end - text));
        lua_setfield(L, t, "where");
        text = end + 2;
    }
    lua_pushstring(L, text);
    lua_setfield(L, t, "message");
}

static int pack_error(lua_State *L)
{
    pack_call *c = lua_touserdata(L, 2);
    lua_settop(L, 1);
    lua_newtable(L);
    if (lua_istable(L, 1)) {
        copy_fields(L, 1, 2);
    }
    if (lua_getfield(L, 2, "message") == LUA_TNIL) {
        const char *text = luaL_tolstring(L, 1, NULL);
        split_where(L, 2, text);
    }
    lua_settop(L, 2);
    if (lua_getfield(L, 2, "code") != LUA_TSTRING) {
        bool memory = lua_type(L, 1) == LUA_TSTRING &&       // as Lua itself says it
                      strcmp(lua_tostring(L, 1), "not enough memory") == 0;
        c->code = memory ? FR_ENOMEM : FR_ETASK;
        lua_pushstring(L, fr_err_name(c->code));
        lua_setfield(L, 2, "code");
    } else {
        int code = fr_err_from_name(lua_tostring(L, -1));
        c->code = code > FR_OK ? code : FR_ETASK;
    }
    lua_settop(L, 2);
    if (c->traceback != NULL && lua_getfield(L, 2, "traceback") == LUA_TNIL) {
        lua_pushstring(L, c->traceback);
        lua_setfield(L, 2, "traceback");
    }
    lua_settop(L, 2);
    marshal *m = marshal_scratch(L);
    fr_err err = FR_ERR_INIT;
    if (marshal_value(L, 2, "error", m, &c->out, &err) != FR_OK) {
        c->out = NULL;
    }
    return 0;
}

fr_value *bind_error_plain(void)
{
    static const char text[] = "the error could not be kept (out of memory?)";
    fr_buf b;
    fr_buf_init(&b, 1024);
    fr_buf_put_u8(&b, FR_TABLE);
    fr_buf_put_varint(&b, 0);
    fr_buf_put_varint(&b, 2);
    fr_value_put_string(&b, "code", 4);
    fr_value_put_string(&b, "error", 5);
    fr_value_put_string(&b, "message", 7);
    fr_value_put_string(&b, text, sizeof text - 1);
    fr_value *v = fr_value_new(b.data, b.size, NULL, 0);
    fr_buf_fini(&b);
    return v;
}

fr_value *bind_error_pack(lua_State *L, int idx, const char *traceback, int *code)
{
    pack_call c = {.traceback = traceback, .code = FR_ETASK};
    idx = lua_absindex(L, idx);
    if (!lua_checkstack(L, 4)) {
        return bind_error_plain();
    }
    lua_pushcfunction(L, pack_error);
    lua_pushvalue(L, idx);
    lua_pushlightuserdata(L, &c);
    if (lua_pcall(L, 2, 0, 0) != LUA_OK) {
        lua_pop(L, 1);
    }
    if (code != NULL) {
        *code = c.code;
    }
    return c.out != NULL ? c.out : bind_error_plain();
}

void bind_error_push(lua_State *L, const fr_value *error)
{
    bind_push_error(L, FR_ETASK, "unknown error", NULL);
    if (error == NULL) {
        return;
    }
    marshal_push(L, error, NULL, 0);
    if (!lua_istable(L, -1)) {
        lua_pop(L, 1);
        return;
    }
    lua_pushnil(L);
    while (lua_next(L, -2) != 0) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, -5);
    }
    lua_pop(L, 1);
}

fr_value *bind_error_of(lua_State *L, lua_State *co, int *code)
{
    luaL_traceback(L, co, NULL, 0);
    const char *trace = lua_tostring(L, -1);
    lua_xmove(co, L, 1);
    fr_value *v = bind_error_pack(L, -1, trace, code);
    lua_pop(L, 2);
    return v;
}
