// flowrun.core.sql -- queries by SQLite over frames and database files. Arguments arrive
// checked from lua/flowrun/frame_sql.lua.

#include "core/data/sql.h"
#include "lua/bind/frame_box.h"

enum { MAX_PARAMS = 200 };

// The parameters in the table at arg, which keeps their texts.
static fr_sql_param *params_at(lua_State *L, int arg, size_t *n)
{
    luaL_checktype(L, arg, LUA_TTABLE);
    fr_sql_param *list = lua_newuserdatauv(L, MAX_PARAMS * sizeof *list, 0);
    *n = 0;
    lua_pushnil(L);
    while (lua_next(L, arg) != 0) {
        if (lua_type(L, -2) != LUA_TSTRING || *n == MAX_PARAMS) {
            (void)bind_fail(L, FR_EINVAL, "sql: parameters are named, at most %d: {lo = 3}",
                            MAX_PARAMS);
        }
        fr_scalar *v = &list[*n].value;
        list[(*n)++].name = lua_tostring(L, -2);
        *v = (fr_scalar){.type = fr_type_of(FR_INT64)};
        if (lua_type(L, -1) == LUA_TSTRING) {
            v->type = fr_type_of(FR_UTF8);
            v->text = lua_tolstring(L, -1, &v->n);
        } else if (lua_isinteger(L, -1) || lua_isboolean(L, -1)) {
            v->integer = lua_isboolean(L, -1) ? lua_toboolean(L, -1) : lua_tointeger(L, -1);
        } else if (lua_type(L, -1) == LUA_TNUMBER) {
            v->type = fr_type_of(FR_FLOAT64);
            v->number = lua_tonumber(L, -1);
        } else if (lua_type(L, -1) == LUA_TLIGHTUSERDATA) {
            v->null = true; // frame.null
        } else {
            (void)bind_fail(L, FR_ETYPE, "sql: parameter $%s is a %s", lua_tostring(L, -2),
                            luaL_typename(L, -1));
        }
        lua_pop(L, 1);
    }
    return list;
}

// run(text, path or nil, names, frames, params) -> frame
static int sql_run(lua_State *L)
{
    fr_sql_query q = {.path = luaL_optstring(L, 2, NULL)};
    q.text = luaL_checklstring(L, 1, &q.size);
    luaL_checktype(L, 4, LUA_TTABLE);
    const char **names = bind_names(L, 3, &q.n_tables, "sql");
    fr_sql_table *tables = lua_newuserdatauv(L, (q.n_tables + 1) * sizeof *tables, 0);
    for (size_t i = 0; i < q.n_tables; i++) {
        lua_rawgeti(L, 4, (lua_Integer)i + 1);
        tables[i] = (fr_sql_table){names[i], bind_frame_check(L, -1)}; // the list keeps it
        lua_pop(L, 1);
    }
    q.tables = tables;
    q.params = params_at(L, 5, &q.n_params);
    fr_frame **slot = bind_frame_box(L);
    fr_err err = FR_ERR_INIT;
    int rc = fr_sql_run(&q, slot, &err);
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    bind_frame_sealed(L, *slot);
    return 1;
}

int luaopen_flowrun_core_sql(lua_State *L)
{
    static const luaL_Reg functions[] = {{"run", sql_run}, {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
