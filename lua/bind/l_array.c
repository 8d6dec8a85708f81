// flowrun.core.array -- one column as a Lua object.

#include "core/base/mem.h"
#include "core/data/compute.h"
#include "core/data/sort.h"
#include "core/data/type.h"
#include "lua/bind/frame_box.h"
#include "lua/bind/marshal.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

static void push_scalar(lua_State *L, const fr_scalar *v, fr_err *err)
{
    if (v->null) {
        lua_pushnil(L);
        return;
    }
    fr_array **slot = bind_array_box(L); // dates and times print as cells do
    int rc = fr_compute_repeat(v, 1, slot, err);
    if (rc != FR_OK) {
        bind_raise_error(L, err);
    }
    fr_show show;
    bind_show(L, *slot, &show);
    bind_cell_push(L, &show, 0);
}

static int aggregate(lua_State *L, fr_op op, double q)
{
    const fr_array *a = bind_array_check(L, 1);
    fr_scalar v;
    fr_err err = FR_ERR_INIT;
    int rc = fr_compute_aggregate(a, op, q, &v, &err);
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    push_scalar(L, &v, &err);
    return 1;
}

static int array_sum(lua_State *L) { return aggregate(L, FR_OP_SUM, 0); }
static int array_mean(lua_State *L) { return aggregate(L, FR_OP_MEAN, 0); }
static int array_min(lua_State *L) { return aggregate(L, FR_OP_MIN, 0); }
static int array_max(lua_State *L) { return aggregate(L, FR_OP_MAX, 0); }
static int array_std(lua_State *L) { return aggregate(L, FR_OP_STD, 0); }
static int array_var(lua_State *L) { return aggregate(L, FR_OP_VAR, 0); }
static int array_median(lua_State *L) { return aggregate(L, FR_OP_MEDIAN, 0); }
static int array_first(lua_State *L) { return aggregate(L, FR_OP_FIRST, 0); }
static int array_last(lua_State *L) { return aggregate(L, FR_OP_LAST, 0); }
static int array_count(lua_State *L) { return aggregate(L, FR_OP_COUNT, 0); }
static int array_nunique(lua_State *L) { return aggregate(L, FR_OP_NUNIQUE, 0); }

// quantile({q, …}) -> {value, …}, all of them in one selection; nil where there are no values
static int array_quantiles(lua_State *L)
{
    const fr_array *a = bind_array_check(L, 1);
    size_t n = lua_rawlen(L, 2);
    double *q = lua_newuserdatauv(L, 2 * (n + 1) * sizeof *q, 0), *out = q + n;
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, 2, (lua_Integer)i + 1);
        q[i] = luaL_checknumber(L, -1);
        lua_pop(L, 1);
    }
    fr_err err = FR_ERR_INIT;
    int rc = fr_compute_quantiles(a, q, n, out, &err);
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    lua_createtable(L, (int)FR_MIN(n, INT32_MAX), 0);
    for (size_t i = 0; a->nulls < a->length && i < n; i++) {
        lua_pushnumber(L, out[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

static int array_quantile(lua_State *L)
{
    if (lua_istable(L, 2) && bind_array_check(L, 1)->type.kind != FR_DURATION) {
        return array_quantiles(L);
    }
    return aggregate(L, FR_OP_QUANTILE, luaL_checknumber(L, 2));
}

static int array_null_count(lua_State *L)
{
    lua_pushinteger(L, bind_array_check(L, 1)->nulls);
    return 1;
}

static int array_type(lua_State *L)
{
    char name[64];
    lua_pushstring(L, fr_type_name(&bind_array_check(L, 1)->type, name));
    return 1;
}

static int array_len(lua_State *L)
{
    lua_pushinteger(L, bind_array_check(L, 1)->length);
    return 1;
}

static int array_get(lua_State *L, const fr_array *a, lua_Integer i)
{
    if (i == a->length + 1) {
        lua_pushnil(L); // so that ipairs ends
        return 1;
    }
    if (i < 1 || i > a->length) {
        return bind_fail(L, FR_EINVAL, "row %lld of an array of %lld", (long long)i,
                         (long long)a->length);
    }
    fr_show show;
    bind_show(L, a, &show);
    bind_cell_push(L, &show, i - 1);
    return 1;
}

static int array_index(lua_State *L)
{
    const fr_array *a = bind_array_check(L, 1);
    if (lua_isinteger(L, 2)) {
        return array_get(L, a, lua_tointeger(L, 2));
    }
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) {
        return 1;
    }
    if (lua_type(L, 2) == LUA_TNUMBER) {
        lua_Integer i;
        if (lua_numbertointeger(lua_tonumber(L, 2), &i) &&
            (lua_Number)i == lua_tonumber(L, 2)) {
            return array_get(L, a, i);
        }
    }
    return bind_fail(L, FR_ENOTFOUND, "an array has no method '%s'",
                     luaL_tolstring(L, 2, NULL));
}

static int array_newindex(lua_State *L)
{
    return bind_fail(L, FR_EINVAL, "arrays do not change: make a new one");
}

static int array_compare(lua_State *L)
{
    return bind_fail(L, FR_ETYPE,
                     "arrays are not compared with < or >: use "
                     "frame:filter(\"kw > 5\")");
}

static int array_tostring(lua_State *L)
{
    const fr_array *a = bind_array_check(L, 1);
    fr_buf *b = bind_buffer(L, 1 << 20);
    fr_show_array(a, 10, b);
    bind_push_buffer(L, b);
    return 1;
}

// to_table([name of the column, for errors])
static int array_to_table(lua_State *L)
{
    const fr_array *a = bind_array_check(L, 1);
    const char *name = luaL_optstring(L, 2, NULL);
    fr_show show;
    bind_show(L, a, &show);
    show.name = name;
    lua_createtable(L, (int)FR_MIN(a->length, INT32_MAX), 0);
    for (int64_t i = 0; i < a->length; i++) {
        if (fr_array_has(a, i)) {
            bind_cell_push(L, &show, i);
        } else {
            marshal_push_null(L);
        }
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

static int next_item(lua_State *L)
{
    const fr_array *a = bind_array_check(L, 1);
    lua_Integer i = luaL_checkinteger(L, 2) + 1;
    if (i > a->length) {
        return 0;
    }
    fr_show show;
    bind_show(L, a, &show);
    lua_pushinteger(L, i);
    bind_cell_push(L, &show, i - 1);
    return 2;
}

static int array_items(lua_State *L)
{
    (void)bind_array_check(L, 1);
    lua_pushcfunction(L, next_item);
    lua_pushvalue(L, 1);
    lua_pushinteger(L, 0);
    return 3;
}

static int push_result(lua_State *L, int rc, fr_array *const *slot, fr_err *err)
{
    if (rc != FR_OK) {
        return bind_raise(L, rc, err);
    }
    bind_array_sealed(L, *slot);
    return 1;
}

static int array_slice(lua_State *L)
{
    const fr_array *a = bind_array_check(L, 1);
    lua_Integer from = luaL_checkinteger(L, 2), to = luaL_optinteger(L, 3, a->length);
    if (from < 1 || to > a->length || from > to + 1) {
        return bind_fail(L, FR_EINVAL, "rows %lld to %lld of an array of %lld",
                         (long long)from, (long long)to, (long long)a->length);
    }
    fr_array **slot = bind_array_box(L);
    *slot = fr_array_slice(a, from - 1, to - from + 1);
    return 1;
}

static fr_type check_type(lua_State *L, int arg)
{
    fr_type type;
    fr_err err = FR_ERR_INIT;
    if (fr_type_parse(luaL_checkstring(L, arg), &type, &err) != FR_OK) {
        bind_raise_error(L, &err);
    }
    return type;
}

static int array_cast(lua_State *L)
{
    const fr_array *a = bind_array_check(L, 1);
    fr_type type = check_type(L, 2);
    fr_err err = FR_ERR_INIT;
    fr_array **slot = bind_array_box(L);
    return push_result(L, fr_compute_cast(a, type, slot, &err), slot, &err);
}

static int array_filter(lua_State *L)
{
    const fr_array *a = bind_array_check(L, 1), *mask = bind_array_check(L, 2);
    fr_err err = FR_ERR_INIT;
    fr_array **slot = bind_array_box(L);
    return push_result(L, fr_compute_filter_array(a, mask, slot, &err), slot, &err);
}

static int array_sort(lua_State *L)
{
    const fr_array *a = bind_array_check(L, 1);
    static const char *const known[] = {"desc", "nulls", NULL};
    fr_sort_key by = {.array = a};
    if (!lua_isnoneornil(L, 2)) {
        bind_options(L, 2, "sort", known);
        lua_getfield(L, 2, "desc");
        by.desc = lua_toboolean(L, -1);
        lua_getfield(L, 2, "nulls");
        by.nulls_first = strcmp(luaL_optstring(L, -1, "last"), "first") == 0;
    }
    fr_err err = FR_ERR_INIT;
    fr_array **slot = bind_array_box(L);
    fr_block *order;
    int rc = fr_sort_order(&by, 1, &order, &err);
    if (rc == FR_OK) {
        rc = fr_compute_take(a, (const uint32_t *)(const void *)order->data, a->length,
                             false, slot, &err);
        fr_block_unref(order);
    }
    return push_result(L, rc, slot, &err);
}

static int map_numbers(lua_State *L, double (*fn)(double))
{
    const fr_array *a = bind_array_check(L, 1);
    fr_err err = FR_ERR_INIT;
    fr_array **slot = bind_array_box(L);
    int rc = fr_compute_map(a, fn, slot, &err);
    return push_result(L, rc, slot, &err);
}

static int array_exp(lua_State *L) { return map_numbers(L, exp); }
static int array_log(lua_State *L) { return map_numbers(L, log); }
static int array_sqrt(lua_State *L) { return map_numbers(L, sqrt); }
static int array_sin(lua_State *L) { return map_numbers(L, sin); }
static int array_cos(lua_State *L) { return map_numbers(L, cos); }

// new(list, type name or nil, what): see frame.array.
static int array_new(lua_State *L)
{
    fr_type type = {0};
    bool typed = !lua_isnoneornil(L, 2);
    if (typed) {
        type = check_type(L, 2);
    }
    (void)bind_array_from(L, 1, typed ? &type : NULL,
                          luaL_optstring(L, 3, "frame.array"));
    return 1;
}

// repeat(value, n, type name or nil): a constant column.
static int array_repeat(lua_State *L)
{
    lua_Integer n = luaL_checkinteger(L, 2);
    lua_settop(L, 3);
    lua_createtable(L, 1, 0);
    lua_pushvalue(L, 1);
    lua_rawseti(L, -2, 1);
    fr_type type = {0};
    bool typed = !lua_isnoneornil(L, 3);
    if (typed) {
        type = check_type(L, 3);
    }
    const fr_array *one = bind_array_from(L, -1, typed ? &type : NULL, "frame.lit");
    fr_scalar v;
    fr_compute_get(one, 0, &v);
    fr_err err = FR_ERR_INIT;
    fr_array **slot = bind_array_box(L);
    return push_result(L, fr_compute_repeat(&v, n, slot, &err), slot, &err);
}

static int array_is(lua_State *L)
{
    lua_pushboolean(L, bind_array_test(L, 1) != NULL);
    return 1;
}

static const luaL_Reg methods[] = {
    {"sum", array_sum},
    {"mean", array_mean},
    {"min", array_min},
    {"max", array_max},
    {"std", array_std},
    {"var", array_var},
    {"median", array_median},
    {"first", array_first},
    {"last", array_last},
    {"count", array_count},
    {"nunique", array_nunique},
    {"quantile", array_quantile},
    {"null_count", array_null_count},
    {"type", array_type},
    {"to_table", array_to_table},
    {"items", array_items},
    {"slice", array_slice},
    {"cast", array_cast},
    {"filter", array_filter},
    {"sort", array_sort},
    {"exp", array_exp},
    {"log", array_log},
    {"sqrt", array_sqrt},
    {"sin", array_sin},
    {"cos", array_cos},
    {NULL, NULL},
};

int luaopen_flowrun_core_array(lua_State *L)
{
    static const luaL_Reg meta[] = {
        {"__len", array_len},
        {"__newindex", array_newindex},
        {"__tostring", array_tostring},
        {"__pairs", array_items},
        {"__lt", array_compare},
        {"__le", array_compare},
        {NULL, NULL},
    };
    static const luaL_Reg functions[] = {{"new", array_new},
                                         {"repeat_value", array_repeat},
                                         {"is", array_is},
                                         {NULL, NULL}};
    bind_object_class(L, FR_KIND_ARRAY, NULL, meta);
    luaL_newlib(L, functions);
    luaL_newlib(L, methods);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "methods"); // frame.lua adds those written in Lua
    luaL_getmetatable(L, bind_object_class_name(FR_KIND_ARRAY));
    lua_pushvalue(L, -2);
    lua_pushcclosure(L, array_index, 1);
    lua_setfield(L, -2, "__index");
    lua_pushvalue(L, -1);
    lua_setfield(L, -4, "meta");
    lua_pop(L, 2);
    return 1;
}
