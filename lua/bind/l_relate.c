// flowrun.core.relate -- verbs that relate rows: groups, joins, unique, parts, draws,
// missing values. Arguments arrive checked and spelled out by lua/flowrun/frame.lua.

#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/data/compute.h"
#include "core/data/factor.h"
#include "core/data/group.h"
#include "core/data/join.h"
#include "core/data/range.h"
#include "core/data/split.h"
#include "core/data/type.h"
#include "core/data/when.h"
#include "lua/bind/frame_box.h"

#include <stdbool.h>
#include <string.h>

static int push_frame(lua_State *L, int rc, fr_frame *const *slot, const fr_err *err)
{
    if (rc != FR_OK) {
        return bind_raise(L, rc, err);
    }
    bind_frame_sealed(L, *slot);
    return 1;
}

// The columns named by the list at arg, in a userdata that it pushes.
static const fr_array **columns_at(lua_State *L, int arg, const fr_frame *f, size_t *n,
                                   const char *what)
{
    const char **names = bind_names(L, arg, n, what);
    const fr_array **cols = lua_newuserdatauv(L, (*n + 1) * sizeof *cols, 0);
    for (size_t i = 0; i < *n; i++) {
        fr_err err = FR_ERR_INIT;
        int rc = fr_frame_column(f, names[i], &cols[i], &err);
        if (rc != FR_OK) {
            (void)fr_wrap(&err, rc, "%s", what);
            bind_raise_error(L, &err);
        }
    }
    return cols;
}

// join(left, right, left names, right names, how, suffix)
static int relate_join(lua_State *L)
{
    static const char *const hows[] = {"inner", "left", "right", "full",
                                       "semi",  "anti", "cross", NULL};
    const fr_frame *left = bind_frame_check(L, 1), *right = bind_frame_check(L, 2);
    size_t n, m;
    fr_join_on on = {.left = bind_names(L, 3, &n, "join")};
    on.right = bind_names(L, 4, &m, "join");
    luaL_argcheck(L, n == m, 4, "as many right keys as left ones");
    on.n = n;
    fr_join_how how = (fr_join_how)luaL_checkoption(L, 5, "inner", hows);
    const char *suffix = luaL_checkstring(L, 6);
    fr_frame **slot = bind_frame_box(L);
    fr_err err = FR_ERR_INIT;
    return push_frame(L, fr_join(left, right, on, how, suffix, slot, &err), slot, &err);
}

// Nanoseconds (or the unit of a numeric key), or a text such as "15min".
static double tolerance_at(lua_State *L, int arg)
{
    if (lua_type(L, arg) != LUA_TSTRING) {
        return luaL_checknumber(L, arg);
    }
    size_t n;
    int64_t nanos;
    const char *text = lua_tolstring(L, arg, &n);
    if (!fr_when_parse_duration(text, n, &nanos) || nanos < 0) {
        (void)bind_fail(L, FR_EINVAL,
                        "join_asof: tolerance '%s' is not a duration such as \"15min\"",
                        text);
    }
    return (double)nanos;
}

// join_asof(left, right, left at, right at, left by, right by, direction, tolerance,
// suffix)
static int relate_join_asof(lua_State *L)
{
    static const char *const ways[] = {"backward", "forward", "nearest", NULL};
    const fr_frame *left = bind_frame_check(L, 1), *right = bind_frame_check(L, 2);
    size_t n, m;
    fr_join_on by = {.left = bind_names(L, 5, &n, "join_asof")};
    by.right = bind_names(L, 6, &m, "join_asof");
    luaL_argcheck(L, n == m, 6, "as many right keys as left ones");
    by.n = n;
    fr_asof way = (fr_asof)luaL_checkoption(L, 7, "backward", ways);
    const char *al = luaL_checkstring(L, 3), *ar = luaL_checkstring(L, 4);
    double tolerance = tolerance_at(L, 8);
    const char *suffix = luaL_checkstring(L, 9);
    fr_frame **slot = bind_frame_box(L);
    fr_err err = FR_ERR_INIT;
    int rc = fr_join_asof(left, right, al, ar, by, way, tolerance, suffix, slot, &err);
    return push_frame(L, rc, slot, &err);
}

// unique(frame, names): the first row of each key, in row order.
static int relate_unique(lua_State *L)
{
    const fr_frame *f = bind_frame_check(L, 1);
    size_t n;
    const fr_array **cols = columns_at(L, 2, f, &n, "unique");
    fr_frame **slot = bind_frame_box(L);
    fr_err err = FR_ERR_INIT;
    if (n == 0) {
        return push_frame(L, fr_frame_slice(f, 0, FR_MIN(f->rows, 1), slot, &err), slot,
                          &err);
    }
    fr_factor factor;
    fr_array *mask = NULL;
    int rc = fr_factor_init(&factor, cols, n, true, &err);
    rc = rc == FR_OK ? fr_array_new(fr_type_of(FR_BOOL), f->rows, 0, &mask, &err) : rc;
    for (int64_t g = 0; rc == FR_OK && g < factor.groups; g++) {
        uint32_t row = fr_factor_first(&factor)[g];
        mask->values->data[row >> 3] |= (uint8_t)(1U << (row & 7));
    }
    rc = rc == FR_OK ? fr_compute_filter(f, mask, slot, &err) : rc;
    fr_array_unref(mask);
    fr_factor_fini(&factor);
    return push_frame(L, rc, slot, &err);
}

// What partition holds while Lua may raise.
typedef struct parts {
    fr_factor factor;
    fr_block *rows, *start;
} parts;

#define PARTS_CLASS "flowrun.Parts"

static int parts_gc(lua_State *L)
{
    parts *p = lua_touserdata(L, 1);
    fr_factor_fini(&p->factor);
    fr_block_unref(p->rows);
    fr_block_unref(p->start);
    p->rows = p->start = NULL;
    return 0;
}

// partition(frame, names) -> list of frames in key order, frame of keys
static int relate_partition(lua_State *L)
{
    const fr_frame *f = bind_frame_check(L, 1);
    size_t n;
    const fr_array **cols = columns_at(L, 2, f, &n, "partition");
    luaL_argcheck(L, n > 0, 2, "at least one column");
    bind_class(L, PARTS_CLASS, NULL, NULL, parts_gc);
    parts *p = lua_newuserdatauv(L, sizeof *p, 0);
    *p = (parts){0};
    luaL_setmetatable(L, PARTS_CLASS);
    fr_err err = FR_ERR_INIT;
    int rc = fr_factor_init(&p->factor, cols, n, true, &err);
    rc = rc == FR_OK ? fr_factor_sort(&p->factor, cols, n, &err) : rc;
    rc = rc == FR_OK ? fr_factor_lists(&p->factor, &p->rows, &p->start, &err) : rc;
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    const uint32_t *row = (const uint32_t *)(const void *)p->rows->data;
    const uint32_t *start = (const uint32_t *)(const void *)p->start->data;
    lua_createtable(L, (int)FR_MIN(p->factor.groups, INT32_MAX), 0);
    for (int64_t g = 0; g < p->factor.groups; g++) {
        fr_frame **slot = bind_frame_box(L);
        rc =
            fr_compute_take_frame(f, row + start[g], start[g + 1] - start[g], slot, &err);
        (void)push_frame(L, rc, slot, &err);
        lua_rawseti(L, -2, g + 1);
    }
    fr_frame **slot = bind_frame_box(L);
    rc = fr_compute_take_frame(f, fr_factor_first(&p->factor), p->factor.groups, slot,
                               &err);
    (void)push_frame(L, rc, slot, &err);
    return 2;
}

static int take_block(lua_State *L, const fr_frame *f, fr_block *rows, int64_t n,
                      fr_err *err)
{
    fr_frame **slot = bind_frame_box(L);
    return push_frame(L,
                      fr_compute_take_frame(f, (const uint32_t *)(const void *)rows->data,
                                            n, slot, err),
                      slot, err);
}

// split(frame, array or nil, test, seed) -> train, test
static int relate_split(lua_State *L)
{
    const fr_frame *f = bind_frame_check(L, 1);
    const fr_array *by = lua_isnoneornil(L, 2) ? NULL : bind_array_check(L, 2);
    double test = luaL_checknumber(L, 3);
    uint64_t seed = (uint64_t)luaL_checkinteger(L, 4);
    bind_class(L, PARTS_CLASS, NULL, NULL, parts_gc);
    parts *p = lua_newuserdatauv(L, sizeof *p, 0);
    *p = (parts){0};
    luaL_setmetatable(L, PARTS_CLASS);
    fr_split split;
    fr_err err = FR_ERR_INIT;
    if (by != NULL && by->length != f->rows) {
        return bind_fail(L, FR_EINVAL, "split: stratify has %lld rows, the frame %lld",
                         (long long)by->length, (long long)f->rows);
    }
    int rc = fr_split_rows(f->rows, by, test, seed, &split, &err);
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    p->rows = split.train;
    p->start = split.test;
    (void)take_block(L, f, split.train, split.ntrain, &err);
    (void)take_block(L, f, split.test, split.ntest, &err);
    return 2;
}

// sample(frame, n, seed)
static int relate_sample(lua_State *L)
{
    const fr_frame *f = bind_frame_check(L, 1);
    lua_Integer n = luaL_checkinteger(L, 2), seed = luaL_checkinteger(L, 3);
    fr_frame **slot = bind_frame_box(L);
    fr_block *rows = NULL;
    fr_err err = FR_ERR_INIT;
    int rc = fr_split_sample(f->rows, n, (uint64_t)seed, &rows, &err);
    if (rc == FR_OK) {
        rc = fr_compute_take_frame(f, (const uint32_t *)(const void *)rows->data, n, slot,
                                   &err);
    }
    fr_block_unref(rows);
    return push_frame(L, rc, slot, &err);
}

// dropna(frame, names, nan)
static int relate_dropna(lua_State *L)
{
    const fr_frame *f = bind_frame_check(L, 1);
    size_t n;
    const fr_array **cols = columns_at(L, 2, f, &n, "dropna");
    fr_frame **slot = bind_frame_box(L);
    fr_array *mask = NULL;
    fr_err err = FR_ERR_INIT;
    int rc = fr_compute_present(cols, n, f->rows, lua_toboolean(L, 3), &mask, &err);
    rc = rc == FR_OK ? fr_compute_filter(f, mask, slot, &err) : rc;
    fr_array_unref(mask);
    return push_frame(L, rc, slot, &err);
}

// fill(array, value, what) -> array
static int relate_fill(lua_State *L)
{
    const fr_array *a = bind_array_check(L, 1);
    const char *what = luaL_checkstring(L, 3);
    fr_type type = a->type;
    bool text = type.kind == FR_CATEGORY || type.kind == FR_UTF8;
    bool typed = text || fr_kind_temporal(type.kind) || type.kind == FR_BOOL;
    if (text) {
        type = fr_type_of(FR_UTF8);
    }
    lua_createtable(L, 1, 0);
    lua_pushvalue(L, 2);
    lua_rawseti(L, -2, 1);
    const fr_array *one = bind_array_from(L, -1, typed ? &type : NULL, what);
    fr_scalar v;
    fr_compute_get(one, 0, &v);
    fr_array **slot = bind_array_box(L);
    fr_err err = FR_ERR_INIT;
    int rc = fr_compute_fill(a, &v, slot, &err);
    if (rc != FR_OK) {
        (void)fr_wrap(&err, rc, "%s", what);
        return bind_raise(L, rc, &err);
    }
    bind_array_sealed(L, *slot);
    return 1;
}

// date_range(start, end or nil, periods, freq, zone, unit type name)
static int relate_date_range(lua_State *L)
{
    fr_range spec = {.start = luaL_checkstring(L, 1),
                     .end = luaL_optstring(L, 2, NULL),
                     .periods = luaL_checkinteger(L, 3),
                     .freq = luaL_checkstring(L, 4),
                     .zone = luaL_checkstring(L, 5)};
    fr_type type;
    fr_err err = FR_ERR_INIT;
    lua_pushfstring(L, "timestamp[%s]", luaL_checkstring(L, 6));
    int rc = fr_type_parse(lua_tostring(L, -1), &type, &err);
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    spec.unit = type.unit;
    fr_array **slot = bind_array_box(L);
    rc = fr_range_times(&spec, slot, &err);
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    bind_array_sealed(L, *slot);
    return 1;
}

// threads(n or nil): most threads that kernels called from here use; returns what held.
static int relate_threads(lua_State *L)
{
    unsigned before = fr_pool_threads();
    if (!lua_isnoneornil(L, 1)) {
        lua_Integer n = luaL_checkinteger(L, 1);
        luaL_argcheck(L, n >= 0 && n <= 256, 1, "0 (all cores) to 256");
        (void)fr_pool_limit((unsigned)n);
    }
    lua_pushinteger(L, (lua_Integer)before);
    return 1;
}

int luaopen_flowrun_core_relate(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"join", relate_join},
        {"join_asof", relate_join_asof},
        {"unique", relate_unique},
        {"partition", relate_partition},
        {"split", relate_split},
        {"sample", relate_sample},
        {"dropna", relate_dropna},
        {"fill", relate_fill},
        {"date_range", relate_date_range},
        {"threads", relate_threads},
        {NULL, NULL},
    };
    luaL_newlib(L, functions);
    return 1;
}
