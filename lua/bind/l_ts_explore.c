// flowrun.core.ts_explore -- what a series says of itself, decompositions;
// lua/flowrun/ts_explore.lua has the API. Series come as float64 arrays without nulls.

#include "core/base/mem.h"
#include "core/ml/series_stat.h"
#include "core/ml/stl.h"
#include "lua/bind/frame_box.h"

#include <string.h>

static const double *check_series(lua_State *L, int arg, int64_t *n)
{
    const fr_array *a = bind_array_check(L, arg);
    luaL_argcheck(L, a->type.kind == FR_FLOAT64 && a->nulls == 0, arg,
                  "expected floats without nulls");
    *n = a->length;
    return fr_array_f64(a);
}

// Pushes the box of a new array of n doubles, to be filled.
static double *push_array(lua_State *L, int64_t n)
{
    fr_err err = FR_ERR_INIT;
    fr_array **slot = bind_array_box(L);
    int rc = fr_array_new(fr_type_of(FR_FLOAT64), n, 0, slot, &err);
    if (rc != FR_OK) {
        (void)bind_raise(L, rc, &err);
    }
    bind_array_sealed(L, *slot);
    return (double *)(void *)(*slot)->values->data;
}

static int explore_acf(lua_State *L) // (series, lags)
{
    int64_t n;
    const double *y = check_series(L, 1, &n);
    int lags = (int)luaL_checkinteger(L, 2);
    fr_series_acf(y, n, lags, push_array(L, lags + 1));
    return 1;
}

static int explore_pacf(lua_State *L) // (series, lags)
{
    int64_t n;
    const double *y = check_series(L, 1, &n);
    int lags = (int)luaL_checkinteger(L, 2);
    fr_series_pacf(y, n, lags, push_array(L, lags + 1));
    return 1;
}

static int push_test(lua_State *L, int rc, const fr_series_test *t, const fr_err *err)
{
    if (rc != FR_OK) {
        return bind_raise(L, rc, err);
    }
    lua_createtable(L, 0, 4);
    lua_pushnumber(L, t->statistic);
    lua_setfield(L, -2, "statistic");
    lua_pushnumber(L, t->p);
    lua_setfield(L, -2, "p");
    lua_pushinteger(L, t->lags);
    lua_setfield(L, -2, "lags");
    lua_pushinteger(L, t->used);
    lua_setfield(L, -2, "used");
    return 1;
}

static int explore_adf(lua_State *L) // (series, trend letter, lags or -1)
{
    int64_t n;
    const double *y = check_series(L, 1, &n);
    fr_series_test t = {0};
    fr_err err = FR_ERR_INIT;
    char trend = luaL_checkstring(L, 2)[0];
    int rc = fr_series_adf(y, n, trend, (int)luaL_checkinteger(L, 3), &t, &err);
    return push_test(L, rc, &t, &err);
}

static int explore_kpss(lua_State *L) // (series, trend letter, lags or -1)
{
    int64_t n;
    const double *y = check_series(L, 1, &n);
    fr_series_test t = {0};
    fr_err err = FR_ERR_INIT;
    char trend = luaL_checkstring(L, 2)[0];
    int rc = fr_series_kpss(y, n, trend, (int)luaL_checkinteger(L, 3), &t, &err);
    return push_test(L, rc, &t, &err);
}

static int explore_ljung_box(lua_State *L) // (series, lags, fitted)
{
    int64_t n;
    const double *y = check_series(L, 1, &n);
    fr_series_test t = {0};
    fr_err err = FR_ERR_INIT;
    int rc = fr_series_ljung_box(y, n, (int)luaL_checkinteger(L, 2),
                                 (int)luaL_optinteger(L, 3, 0), &t, &err);
    return push_test(L, rc, &t, &err);
}

static int field(lua_State *L, int idx, const char *name)
{
    lua_getfield(L, idx, name);
    int v = (int)luaL_optinteger(L, -1, 0);
    lua_pop(L, 1);
    return v;
}

static int explore_stl(lua_State *L) // (series, spec): season, trend, weights
{
    int64_t n;
    const double *y = check_series(L, 1, &n);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_getfield(L, 2, "robust");
    fr_stl_spec spec = {
        .period = field(L, 2, "period"),
        .season_window = field(L, 2, "season_window"),
        .trend_window = field(L, 2, "trend_window"),
        .low_window = field(L, 2, "low_window"),
        .season_degree = field(L, 2, "season_degree"),
        .trend_degree = field(L, 2, "trend_degree"),
        .low_degree = field(L, 2, "low_degree"),
        .season_jump = field(L, 2, "season_jump"),
        .trend_jump = field(L, 2, "trend_jump"),
        .low_jump = field(L, 2, "low_jump"),
        .robust = lua_toboolean(L, -1),
        .inner = field(L, 2, "inner"),
        .outer = field(L, 2, "outer"),
    };
    double *season = push_array(L, n), *trend = push_array(L, n), *w = push_array(L, n);
    fr_err err = FR_ERR_INIT;
    int rc = fr_stl(&spec, y, n, season, trend, w, &err);
    return rc == FR_OK ? 3 : bind_raise(L, rc, &err);
}

static int *take_integers(lua_State *L, int idx, size_t *n)
{
    *n = (size_t)luaL_len(L, idx);
    int *out = lua_newuserdatauv(L, (*n + 1) * sizeof *out, 0);
    for (size_t i = 0; i < *n; i++) {
        lua_geti(L, idx, (lua_Integer)i + 1);
        out[i] = (int)luaL_checkinteger(L, -1);
        lua_pop(L, 1);
    }
    return out;
}

static int explore_mstl(lua_State *L) // (series, periods, windows or nil, robust):
{                                     // trend, then a season per period
    int64_t n;
    size_t count, windows_count = 0;
    lua_settop(L, 4);
    const double *y = check_series(L, 1, &n);
    int *periods = take_integers(L, 2, &count), *windows = NULL;
    if (!lua_isnil(L, 3)) {
        windows = take_integers(L, 3, &windows_count);
        luaL_argcheck(L, windows_count == count, 3, "as many windows as periods");
    }
    luaL_checkstack(L, (int)count + 4, "too many periods");
    double *seasons = lua_newuserdatauv(L, (count * (size_t)n + 1) * sizeof *seasons, 0);
    double *trend = push_array(L, n);
    fr_err err = FR_ERR_INIT;
    int rc = fr_mstl_split(periods, count, windows, lua_toboolean(L, 4), y, n, seasons,
                           trend, &err);
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    for (size_t k = 0; k < count; k++) {
        memcpy(push_array(L, n), seasons + (int64_t)k * n, (size_t)n * sizeof *seasons);
    }
    return (int)count + 1;
}

static int explore_figure(lua_State *L) // (series, period, times): one cycle
{
    int64_t n;
    const double *y = check_series(L, 1, &n);
    lua_Integer period = luaL_checkinteger(L, 2);
    luaL_argcheck(L, period >= 2 && n >= 2 * period, 2, "two cycles are needed");
    fr_stl_figure(y, n, (int)period, lua_toboolean(L, 3), push_array(L, period));
    return 1;
}

static int explore_fill(lua_State *L) // (floats, nulls allowed): without missing values
{
    const fr_array *a = bind_array_check(L, 1);
    fr_err err = FR_ERR_INIT;
    double *work = lua_newuserdatauv(L, (size_t)a->length * sizeof *work + 1, 0);
    int rc = fr_array_to_f64(a, work, &err);
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    fr_stl_fill(work, a->length, push_array(L, a->length));
    return 1;
}

int luaopen_flowrun_core_ts_explore(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"acf", explore_acf},   {"pacf", explore_pacf},
        {"adf", explore_adf},   {"kpss", explore_kpss},
        {"stl", explore_stl},   {"ljung_box", explore_ljung_box},
        {"mstl", explore_mstl}, {"figure", explore_figure},
        {"fill", explore_fill}, {NULL, NULL},
    };
    luaL_newlib(L, functions);
    return 1;
}
