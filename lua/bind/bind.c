#include "lua/bind/bind.h"

#include "core/base/nearest.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

// --- errors ---

// Lua code that belongs to flowrun (embedded, or installed by luarocks), not to a user.
static bool is_ours(const char *source)
{
    return strncmp(source, "@flowrun/", 9) == 0 || strstr(source, "/lua/5.4/flowrun/") != NULL;
}

void bind_push_where(lua_State *L)
{
    lua_Debug d;
    for (int level = 0; lua_getstack(L, level, &d); level++) {
        lua_getinfo(L, "Sl", &d);
        if (d.currentline > 0 && !is_ours(d.source)) {
            lua_pushfstring(L, "%s:%d", d.short_src, d.currentline);
            return;
        }
    }
    lua_pushliteral(L, "");
}

void bind_push_error(lua_State *L, int code, const char *message, const char *where)
{
    luaL_checkstack(L, 4, "error");
    lua_createtable(L, 0, 4);
    lua_pushstring(L, fr_err_name(code));
    lua_setfield(L, -2, "code");
    lua_pushstring(L, message);
    lua_setfield(L, -2, "message");
    if (where != NULL && *where != '\0') {
        lua_pushstring(L, where);
        lua_setfield(L, -2, "where");
    }
    if (luaL_getmetatable(L, BIND_ERROR) != LUA_TTABLE) {
        lua_pop(L, 1);                       // the class is made at first use
        luaL_requiref(L, "flowrun.core.error", luaopen_flowrun_core_error, 0);
        lua_pop(L, 1);
        luaL_getmetatable(L, BIND_ERROR);
    }
    lua_setmetatable(L, -2);
}

void bind_raise_error(lua_State *L, const fr_err *err)
{
    bind_push_where(L);
    bind_push_error(L, err->code, err->text, lua_tostring(L, -1));
    (void)lua_error(L);
    fr_panic(__FILE__, __LINE__, "lua_error returned");
}

int bind_fail(lua_State *L, int code, const char *format, ...)
{
    fr_err err = {.code = code};
    va_list args;
    va_start(args, format);
    int n = vsnprintf(err.text, sizeof err.text, format, args);
    va_end(args);
    if (n >= FR_ERR_MAX) {
        memcpy(err.text + FR_ERR_MAX - 4, "...", 4);
    }
    bind_raise_error(L, &err);
}

int bind_take_error(lua_State *L, int index, fr_err *err)
{
    index = lua_absindex(L, index);
    if (lua_type(L, index) == LUA_TSTRING) {
        return fr_fail(err, FR_ETASK, "%s", lua_tostring(L, index));
    }
    if (!lua_istable(L, index)) {
        return fr_fail(err, FR_ETASK, "error value is a %s", luaL_typename(L, index));
    }
    lua_pushliteral(L, "code");
    lua_rawget(L, index);
    lua_pushliteral(L, "message");
    lua_rawget(L, index);
    lua_pushliteral(L, "where");
    lua_rawget(L, index);
    int code = lua_type(L, -3) == LUA_TSTRING ? fr_err_from_name(lua_tostring(L, -3)) : -1;
    const char *text = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "error is a table";
    if (lua_type(L, -1) == LUA_TSTRING) {
        code = fr_fail(err, code < 0 ? FR_ETASK : code, "%s: %s", lua_tostring(L, -1), text);
    } else {
        code = fr_fail(err, code < 0 ? FR_ETASK : code, "%s", text);
    }
    lua_pop(L, 3);
    return code;
}

// --- boxes ---

void **bind_box(lua_State *L, const char *class)
{
    void **slot = lua_newuserdatauv(L, sizeof *slot, 1);
    *slot = NULL;
    luaL_setmetatable(L, class);
    return slot;
}

void *bind_check(lua_State *L, int arg, const char *class)
{
    void **slot = luaL_checkudata(L, arg, class);
    if (*slot == NULL) {
        luaL_argerror(L, arg, lua_pushfstring(L, "%s is closed", class));
    }
    return *slot;
}

void *bind_test(lua_State *L, int arg, const char *class)
{
    void **slot = luaL_testudata(L, arg, class);
    return slot != NULL ? *slot : NULL;
}

void bind_class(lua_State *L, const char *class, const luaL_Reg *methods, const luaL_Reg *meta,
                lua_CFunction gc)
{
    if (luaL_newmetatable(L, class) == 0) {
        lua_pop(L, 1);
        return;                              // made before in this state
    }
    if (gc != NULL) {
        lua_pushcfunction(L, gc);
        lua_setfield(L, -2, "__gc");
        lua_pushcfunction(L, gc);
        lua_setfield(L, -2, "__close");
    }
    if (methods != NULL) {
        lua_newtable(L);
        luaL_setfuncs(L, methods, 0);
        lua_setfield(L, -2, "__index");
    }
    if (meta != NULL) {
        luaL_setfuncs(L, meta, 0);           // may replace __index by a function
    }
    lua_pushliteral(L, "locked");
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}

void bind_pressure(lua_State *L, size_t bytes)
{
    static const char key = 0;
    enum { STEP = 1 << 20 };
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &key) != LUA_TUSERDATA) {
        lua_pop(L, 1);
        *(size_t *)lua_newuserdatauv(L, sizeof(size_t), 0) = 0;
        lua_pushvalue(L, -1);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &key);
    }
    size_t *debt = lua_touserdata(L, -1);
    lua_pop(L, 1);
    *debt += bytes;
    if (*debt >= STEP) {
        size_t kib = *debt >> 10;
        *debt = 0;
        (void)lua_gc(L, LUA_GCSTEP, (int)FR_MIN(kib, (size_t)INT32_MAX));
    }
}

static int buffer_gc(lua_State *L)
{
    fr_buf_fini(lua_touserdata(L, 1));
    return 0;
}

fr_buf *bind_buffer(lua_State *L, size_t max)
{
    static const char class[] = "flowrun.Buffer";
    fr_buf *b = lua_newuserdatauv(L, sizeof *b, 0);
    fr_buf_init(b, max);
    if (luaL_getmetatable(L, class) != LUA_TTABLE) {
        lua_pop(L, 1);
        bind_class(L, class, NULL, NULL, buffer_gc);
        luaL_getmetatable(L, class);
    }
    lua_setmetatable(L, -2);
    return b;
}

void bind_push_buffer(lua_State *L, fr_buf *b)
{
    lua_pushlstring(L, fr_buf_text(b), b->size);
    fr_buf_fini(b);
}

// --- options ---

const char *bind_nearest(const char *name, const char *const *known)
{
    size_t n = 0;
    while (known[n] != NULL) {
        n++;
    }
    return fr_nearest(name, known, n);
}

static bool is_known(const char *key, const char *const *known)
{
    for (; *known != NULL; known++) {
        if (strcmp(key, *known) == 0) {
            return true;
        }
    }
    return false;
}

void bind_options(lua_State *L, int arg, const char *what, const char *const *known)
{
    if (lua_isnoneornil(L, arg)) {
        return;
    }
    luaL_checktype(L, arg, LUA_TTABLE);
    arg = lua_absindex(L, arg);
    for (lua_pushnil(L); lua_next(L, arg) != 0; lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING) {
            (void)bind_fail(L, FR_EINVAL, "%s: options are named, found one with key %s", what,
                            luaL_tolstring(L, -2, NULL));
        }
        const char *key = lua_tostring(L, -2);
        if (is_known(key, known)) {
            continue;
        }
        const char *near = bind_nearest(key, known);
        if (near != NULL) {
            (void)bind_fail(L, FR_EINVAL, "%s: unknown option '%s'; did you mean '%s'?", what,
                            key, near);
        }
        luaL_Buffer list;
        luaL_buffinit(L, &list);
        for (const char *const *k = known; *k != NULL; k++) {
            luaL_addstring(&list, k == known ? "" : ", ");
            luaL_addstring(&list, *k);
        }
        luaL_pushresult(&list);
        (void)bind_fail(L, FR_EINVAL, "%s: unknown option '%s'; it knows %s", what, key,
                        lua_tostring(L, -1));
    }
}
