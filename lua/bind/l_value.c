// flowrun.core.value -- packed values as Lua sees them: userdata of class flowrun.Value.

#include "lua/bind/bind.h"
#include "lua/bind/marshal.h"

static fr_value *check_value(lua_State *L) { return bind_check(L, 1, MARSHAL_VALUE); }

static int value_pack(lua_State *L)
{
    luaL_checkany(L, 1);
    const char *what = luaL_optstring(L, 2, "value");
    fr_value **slot = marshal_box(L);
    marshal *m = marshal_scratch(L);
    fr_err err = FR_ERR_INIT;
    int rc = marshal_value(L, 1, what, m, slot, &err);
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    bind_pressure(L, (*slot)->size);
    return 1;
}

static int value_pack_list(lua_State *L)
{
    const char *what = luaL_checkstring(L, 1);
    int n = lua_gettop(L) - 1;
    fr_value **slot = marshal_box(L);
    marshal *m = marshal_scratch(L);
    fr_err err = FR_ERR_INIT;
    int rc = marshal_pack_list(L, 2, n, what, m, &err);
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    *slot = marshal_take(m);
    bind_pressure(L, (*slot)->size);
    return 1;
}

static int value_parse(lua_State *L)
{
    size_t n;
    const char *bytes = luaL_checklstring(L, 1, &n);
    fr_value **slot = marshal_box(L);
    fr_err err = FR_ERR_INIT;
    int rc = fr_value_parse(bytes, n, NULL, 0, slot, &err);
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    return 1;
}

static int value_unpack(lua_State *L)
{
    marshal_push(L, check_value(L), NULL, 0);
    return 1;
}

static int value_unpack_list(lua_State *L)
{
    return marshal_push_list(L, check_value(L), NULL, 0);
}

static int value_bytes(lua_State *L)
{
    const fr_value *v = check_value(L);
    lua_pushlstring(L, (const char *)v->bytes, v->size);
    return 1;
}

static int value_hash(lua_State *L)
{
    char text[FR_HASH_TEXT];
    fr_hash_text(check_value(L)->hash, text);
    lua_pushstring(L, text);
    return 1;
}

static int value_json(lua_State *L)
{
    const fr_value *v = check_value(L);
    lua_Integer max = luaL_optinteger(L, 2, FR_VALUE_MAX / 4);
    luaL_argcheck(L, max >= 0, 2, "a number of bytes expected");
    marshal *m = marshal_scratch(L); // its buffer goes with the state
    fr_value_json(v, &m->out, (size_t)max);
    lua_pushlstring(L, fr_buf_text(&m->out), m->out.size);
    return 1;
}

static int value_len(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)check_value(L)->size);
    return 1;
}

static int value_eq(lua_State *L)
{
    const fr_value *a = bind_test(L, 1, MARSHAL_VALUE),
                   *b = bind_test(L, 2, MARSHAL_VALUE);
    lua_pushboolean(L,
                    a == b || (a != NULL && b != NULL && fr_hash_eq(a->hash, b->hash)));
    return 1;
}

static int value_tostring(lua_State *L)
{
    lua_settop(L, 1);
    lua_pushinteger(L, 200);
    return value_json(L);
}

static int value_gc(lua_State *L)
{
    fr_value **slot = lua_touserdata(L, 1);
    fr_value *v = *slot;
    *slot = NULL;
    fr_value_unref(v);
    return 0;
}

int luaopen_flowrun_core_value(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"pack", value_pack},
        {"pack_list", value_pack_list},
        {"parse", value_parse},
        {NULL, NULL},
    };
    static const luaL_Reg methods[] = {
        {"unpack", value_unpack}, {"unpack_list", value_unpack_list},
        {"bytes", value_bytes},   {"hash", value_hash},
        {"json", value_json},     {NULL, NULL},
    };
    static const luaL_Reg meta[] = {
        {"__len", value_len},
        {"__eq", value_eq},
        {"__tostring", value_tostring},
        {NULL, NULL},
    };
    bind_class(L, MARSHAL_VALUE, methods, meta, value_gc);
    luaL_newlib(L, functions);
    marshal_push_null(L);
    lua_setfield(L, -2, "null");
    return 1;
}
