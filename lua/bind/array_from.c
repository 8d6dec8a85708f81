// Lists of Lua values to arrays. Reading is raw and never raises, so the builder cannot
// leak; what is wrong is collected in an fr_err and raised after it is freed.

#include "core/base/mem.h"
#include "core/data/utf8.h"
#include "core/data/when.h"
#include "lua/bind/frame_box.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

typedef struct making {
    lua_State *L;
    int list;
    int64_t n;
    fr_builder *builder;
    fr_type type;
    fr_zone *zone;
} making;

static bool is_null(lua_State *L, int idx)
{
    return lua_type(L, idx) == LUA_TLIGHTUSERDATA && lua_touserdata(L, idx) == NULL;
}

// FR_INT64, FR_FLOAT64, FR_BOOL, FR_UTF8 of the value on top; 0 for others.
static fr_kind kind_of(lua_State *L)
{
    switch (lua_type(L, -1)) {
    case LUA_TNUMBER:
        return lua_isinteger(L, -1) ? FR_INT64 : FR_FLOAT64;
    case LUA_TBOOLEAN:
        return FR_BOOL;
    case LUA_TSTRING:
        return FR_UTF8;
    default:
        return (fr_kind)0;
    }
}

static const char *noun(fr_kind kind)
{
    return kind == FR_INT64 || kind == FR_FLOAT64 ? "a number"
           : kind == FR_BOOL                      ? "a boolean"
                                                  : "a string";
}

static int wrong_item(making *m, int64_t i, const char *expected, fr_err *err)
{
    const char *got = lua_typename(m->L, lua_type(m->L, -1));
    if (lua_type(m->L, -1) == LUA_TNIL) {
        return fr_fail(err, FR_ETYPE,
                       "item %lld is nil: write frame.null for a missing value",
                       (long long)i);
    }
    return fr_fail(err, FR_ETYPE, "item %lld is a %s, expected %s", (long long)i, got,
                   expected);
}

static int infer(making *m, fr_err *err)
{
    fr_kind all = (fr_kind)0;
    for (int64_t i = 1; i <= m->n; i++) {
        lua_rawgeti(m->L, m->list, i);
        fr_kind kind = kind_of(m->L);
        if (!is_null(m->L, -1)) {
            bool numbers = (all == FR_INT64 || all == FR_FLOAT64) &&
                           (kind == FR_INT64 || kind == FR_FLOAT64);
            if (kind == 0 || (all != 0 && kind != all && !numbers)) {
                return wrong_item(
                    m, i, all != 0 ? noun(all) : "a number, string or boolean", err);
            }
            all = numbers && kind != all ? FR_FLOAT64 : kind;
        }
        lua_pop(m->L, 1);
    }
    m->type = fr_type_of(all == 0 ? FR_FLOAT64 : all);
    return FR_OK;
}

static int put_local(making *m, const fr_when *w, int64_t value, fr_err *err)
{
    if (m->zone == NULL || w->has_offset) {
        return fr_builder_int(m->builder, value, err);
    }
    int64_t utc[2], per = fr_unit_per_second(m->type.unit);
    int64_t local = fr_floor_div(value, per);
    int n = fr_zone_from_local(m->zone, local, utc);
    if (n != 1) {
        return fr_fail(err, FR_EINVAL,
                       "this local time %s in %s: write it with an offset",
                       n == 0 ? "does not exist" : "exists twice", m->type.zone);
    }
    return fr_builder_int(m->builder, value + (utc[0] - local) * per, err);
}

static int put_when(making *m, const char *s, size_t n, fr_err *err)
{
    fr_when w;
    int64_t value;
    if (!fr_when_parse(s, n, &w)) {
        return fr_fail(err, FR_EPARSE,
                       "'%.40s' is not a date or time such as "
                       "2024-01-31 or 2024-01-31 10:00:00",
                       s);
    }
    if (m->type.kind == FR_DATE) {
        if (w.has_time) {
            return fr_fail(err, FR_EPARSE, "'%.40s' has a time, expected a date", s);
        }
        return fr_builder_int(m->builder, fr_floor_div(w.seconds, 86400), err);
    }
    if (w.has_offset && m->zone == NULL) {
        return fr_fail(err, FR_EINVAL,
                       "'%.40s' has an offset: give the type a zone, "
                       "\"timestamp[us, UTC]\"",
                       s);
    }
    if (!fr_when_value(&w, m->type.unit, &value)) {
        return fr_fail(err, FR_EOVERFLOW, "'%.40s' is out of range", s);
    }
    return put_local(m, &w, value, err);
}

static int put_seconds(making *m, fr_err *err)
{
    int64_t per = fr_unit_per_second(m->type.unit), v;
    if (lua_isinteger(m->L, -1)) {
        if (__builtin_mul_overflow(lua_tointeger(m->L, -1), per, &v)) {
            return fr_fail(err, FR_EOVERFLOW, "%lld seconds",
                           (long long)lua_tointeger(m->L, -1));
        }
        return fr_builder_int(m->builder, v, err);
    }
    double x = lua_tonumber(m->L, -1) * (double)per;
    if (!(fabs(x) < 0x1p63)) {
        return fr_fail(err, FR_EOVERFLOW, "%g seconds", lua_tonumber(m->L, -1));
    }
    return fr_builder_int(m->builder, (int64_t)nearbyint(x), err);
}

static int put_text(making *m, const char *s, size_t n, fr_err *err)
{
    int64_t nanos, per = m->type.kind == FR_DURATION
                             ? 1000000000 / fr_unit_per_second(m->type.unit)
                             : 1;
    size_t bad;
    switch ((int)m->type.kind) {
    case FR_UTF8:
    case FR_CATEGORY:
        if (!fr_utf8_valid(s, n, &bad)) {
            return fr_fail(err, FR_EPARSE, "text is not UTF-8 at byte %zu", bad + 1);
        }
        return fr_builder_text(m->builder, s, n, err);
    case FR_DATE:
    case FR_TIMESTAMP:
        return put_when(m, s, n, err);
    case FR_TIME:
        if (!fr_when_parse_time(s, n, &nanos)) {
            return fr_fail(err, FR_EPARSE, "'%.40s' is not a time such as 10:30:00", s);
        }
        return fr_builder_int(m->builder, nanos, err);
    default:
        if (!fr_when_parse_duration(s, n, &nanos) || nanos % per != 0) {
            return fr_fail(err, FR_EPARSE, "'%.40s' is not a duration such as 1h30m", s);
        }
        return fr_builder_int(m->builder, nanos / per, err);
    }
}

static int put_number(making *m, fr_err *err)
{
    if (m->type.kind == FR_TIMESTAMP || m->type.kind == FR_DURATION) {
        return put_seconds(m, err);
    }
    if (m->type.kind == FR_FLOAT64 || m->type.kind == FR_FLOAT32) {
        return fr_builder_float(m->builder, lua_tonumber(m->L, -1), err);
    }
    int exact;
    lua_Integer v = lua_tointegerx(m->L, -1, &exact);
    if (!exact) {
        char name[64];
        return fr_fail(err, FR_ETYPE, "%.17g does not fit %s", lua_tonumber(m->L, -1),
                       fr_type_name(&m->type, name));
    }
    return fr_builder_int(m->builder, v, err);
}

// The value on top of the stack, which is item i.
static int put_item(making *m, int64_t i, fr_err *err)
{
    fr_kind kind = m->type.kind, got = kind_of(m->L);
    bool text = kind == FR_UTF8 || kind == FR_CATEGORY, time = fr_kind_temporal(kind);
    int rc;
    if (is_null(m->L, -1)) {
        return fr_builder_null(m->builder, err);
    }
    if (got == FR_UTF8 && (text || time)) {
        size_t n;
        const char *s = lua_tolstring(m->L, -1, &n);
        rc = put_text(m, s, n, err);
    } else if ((got == FR_INT64 || got == FR_FLOAT64) &&
               (fr_kind_number(kind) || kind == FR_TIMESTAMP || kind == FR_DURATION)) {
        rc = put_number(m, err);
    } else if (got == FR_BOOL && kind == FR_BOOL) {
        return fr_builder_bool(m->builder, lua_toboolean(m->L, -1), err);
    } else {
        char name[64];
        return wrong_item(m, i,
                          text              ? "a string"
                          : kind == FR_BOOL ? "a boolean"
                          : time            ? fr_type_name(&m->type, name)
                                            : "a number",
                          err);
    }
    return rc == FR_OK ? rc : fr_wrap(err, rc, "item %lld", (long long)i);
}

static int make(making *m, const fr_type *type, fr_array **out, fr_err *err)
{
    int rc = FR_OK;
    if (type != NULL) {
        m->type = *type;
    } else {
        rc = infer(m, err);
    }
    if (rc == FR_OK && m->type.kind == FR_TIMESTAMP && m->type.zone[0] != 0) {
        rc = fr_zone_open(m->type.zone, &m->zone, err);
    }
    m->builder = fr_builder_new(m->type, m->n);
    for (int64_t i = 1; i <= m->n && rc == FR_OK; i++) {
        lua_rawgeti(m->L, m->list, i);
        rc = put_item(m, i, err);
        lua_pop(m->L, 1);
    }
    if (rc == FR_OK) {
        rc = fr_builder_finish(m->builder, out, err);
    }
    fr_builder_free(m->builder);
    fr_zone_unref(m->zone);
    return rc;
}

const fr_array *bind_array_from(lua_State *L, int idx, const fr_type *type,
                                const char *what)
{
    idx = lua_absindex(L, idx);
    luaL_checkstack(L, 8, what);
    const fr_array *ready = bind_array_test(L, idx);
    if (ready != NULL) {
        char a[64], b[64];
        if (type != NULL && !fr_type_eq(type, &ready->type)) {
            (void)bind_fail(L, FR_ETYPE, "%s is %s, expected %s", what,
                            fr_type_name(&ready->type, a), fr_type_name(type, b));
        }
        lua_pushvalue(L, idx);
        return ready;
    }
    if (lua_type(L, idx) != LUA_TTABLE) {
        (void)bind_fail(L, FR_ETYPE, "%s: expected a list or an array, got %s", what,
                        luaL_typename(L, idx));
    }
    fr_array **slot = bind_array_box(L);
    making m = {.L = L, .list = idx, .n = (int64_t)lua_rawlen(L, idx)};
    fr_err err = FR_ERR_INIT;
    int rc = make(&m, type, slot, &err);
    if (rc != FR_OK) {
        (void)fr_wrap(&err, rc, "%s", what);
        bind_raise_error(L, &err);
    }
    bind_array_sealed(L, *slot);
    return *slot;
}
