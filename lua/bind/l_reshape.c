// flowrun.core.reshape -- verbs that change a frame's shape: wide tables, intervals,
// correlations, even time steps. Arguments arrive checked from lua/flowrun/frame_shape.lua.

#include "core/data/compute.h"
#include "core/data/corr.h"
#include "core/data/cut.h"
#include "core/data/drift.h"
#include "core/data/resample.h"
#include "core/data/spread.h"
#include "lua/bind/frame_box.h"

#include <math.h>

static int push_array(lua_State *L, int rc, fr_array *const *slot, const fr_err *err)
{
    if (rc != FR_OK) {
        return bind_raise(L, rc, err);
    }
    bind_array_sealed(L, *slot);
    return 1;
}

// The arrays in the list at arg, which keeps them; the vector is a userdata that it pushes.
static const fr_array **arrays_at(lua_State *L, int arg, size_t *n)
{
    luaL_checktype(L, arg, LUA_TTABLE);
    *n = (size_t)lua_rawlen(L, arg);
    const fr_array **list = lua_newuserdatauv(L, (*n + 1) * sizeof *list, 0);
    for (size_t i = 0; i < *n; i++) {
        lua_rawgeti(L, arg, (lua_Integer)i + 1);
        list[i] = bind_array_check(L, -1);
        luaL_argcheck(L, list[i]->length == list[0]->length, arg, "columns of one length");
        lua_pop(L, 1);
    }
    return list;
}

static void push_reference(lua_State *L, const fr_array *a)
{
    fr_array **slot = bind_array_box(L);
    *slot = fr_array_ref(a);
    bind_array_sealed(L, a);
}

#define SPREAD "flowrun.Spread"

static int spread_gc(lua_State *L)
{
    fr_spread_fini(luaL_checkudata(L, 1, SPREAD));
    return 0;
}

// spread(index arrays, key, values) -> index arrays by line, keys, list of columns
static int shape_spread(lua_State *L)
{
    size_t n;
    const fr_array *key = bind_array_check(L, 2), *values = bind_array_check(L, 3);
    const fr_array **index = arrays_at(L, 1, &n);
    luaL_argcheck(L, key->length == values->length, 3, "as many values as keys");
    luaL_argcheck(L, n == 0 || index[0]->length == key->length, 1, "as long as the keys");
    fr_spread *s = lua_newuserdatauv(L, sizeof *s, 0);
    *s = (fr_spread){0};
    luaL_setmetatable(L, SPREAD);
    fr_err err = FR_ERR_INIT;
    int rc = fr_spread_init(s, index, n, key, values, &err);
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        fr_array **slot = bind_array_box(L);
        const uint32_t *first = (const uint32_t *)(const void *)s->first->data;
        rc = fr_compute_take(index[i], first, s->lines, false, slot, &err);
        (void)push_array(L, rc, slot, &err);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    push_reference(L, s->keys);
    lua_createtable(L, (int)s->n, 0);
    for (size_t i = 0; i < s->n; i++) {
        push_reference(L, s->cols[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 3;
}

// cut(array, list of edges, list of labels, left, whole) -> category
static int shape_cut(lua_State *L)
{
    const fr_array *a = bind_array_check(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    size_t edges = (size_t)lua_rawlen(L, 2);
    fr_cut spec = {.left = lua_toboolean(L, 4), .whole = lua_toboolean(L, 5)};
    spec.labels = bind_names(L, 3, &spec.n, "cut: labels");
    luaL_argcheck(L, spec.n >= 1 && spec.n + 1 == edges, 3, "one label less than edges");
    double *at = lua_newuserdatauv(L, edges * sizeof *at, 0);
    for (size_t i = 0; i < edges; i++) {
        lua_rawgeti(L, 2, (lua_Integer)i + 1);
        at[i] = luaL_checknumber(L, -1);
        lua_pop(L, 1);
    }
    spec.edges = at;
    fr_array **slot = bind_array_box(L);
    fr_err err = FR_ERR_INIT;
    return push_array(L, fr_cut_values(a, &spec, slot, &err), slot, &err);
}

// corr(a, b) -> coefficient or nil, rows that counted
static int shape_corr(lua_State *L)
{
    const fr_array *a = bind_array_check(L, 1), *b = bind_array_check(L, 2);
    luaL_argcheck(L, a->length == b->length, 2, "as long as the first column");
    double r;
    int64_t rows;
    fr_err err = FR_ERR_INIT;
    int rc = fr_corr(a, b, &r, &rows, &err);
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    if (isnan(r)) {
        lua_pushnil(L);
    } else {
        lua_pushnumber(L, r);
    }
    lua_pushinteger(L, rows);
    return 2;
}

// ks(a, b) -> statistic or nil, values of a, values of b
static int shape_ks(lua_State *L)
{
    double d;
    int64_t n_a, n_b;
    fr_err err = FR_ERR_INIT;
    int rc = fr_drift_ks(bind_array_check(L, 1), bind_array_check(L, 2), &d, &n_a, &n_b, &err);
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    if (isnan(d)) {
        lua_pushnil(L);
    } else {
        lua_pushnumber(L, d);
    }
    lua_pushinteger(L, n_a);
    lua_pushinteger(L, n_b);
    return 3;
}

// floor(times, freq): where each one's step starts
static int shape_floor(lua_State *L)
{
    const fr_array *a = bind_array_check(L, 1);
    const char *freq = luaL_checkstring(L, 2);
    fr_array **slot = bind_array_box(L);
    fr_err err = FR_ERR_INIT;
    return push_array(L, fr_resample_floor(a, freq, slot, &err), slot, &err);
}

// gaps(by arrays, starts, freq) -> by arrays and starts of the steps without rows
static int shape_gaps(lua_State *L)
{
    size_t n;
    const fr_array *starts = bind_array_check(L, 2);
    const char *freq = luaL_checkstring(L, 3);
    const fr_array **by = arrays_at(L, 1, &n);
    luaL_argcheck(L, n == 0 || by[0]->length == starts->length, 1, "as long as the times");
    fr_array **rows = bind_array_box(L), **times = bind_array_box(L);
    int times_at = lua_gettop(L);
    fr_err err = FR_ERR_INIT;
    int rc = fr_resample_gaps(by, n, starts, freq, rows, times, &err);
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        fr_array **slot = bind_array_box(L);
        rc = fr_compute_take(by[i], fr_array_data(*rows), (*rows)->length, false, slot, &err);
        (void)push_array(L, rc, slot, &err);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_pushvalue(L, times_at);
    return 2;
}

int luaopen_flowrun_core_reshape(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"spread", shape_spread}, {"cut", shape_cut},   {"corr", shape_corr},
        {"floor", shape_floor},   {"gaps", shape_gaps}, {"ks", shape_ks},
        {NULL, NULL},
    };
    static const luaL_Reg none[] = {{NULL, NULL}};
    bind_class(L, SPREAD, none, none, spread_gc);
    luaL_newlib(L, functions);
    return 1;
}
