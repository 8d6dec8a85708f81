// flowrun.core.ts -- time-series models; lua/flowrun/ts.lua has the API.

#include "core/base/mem.h"
#include "core/ml/accuracy.h"
#include "core/ml/arima.h"
#include "core/ml/forecaster.h"
#include "core/ml/mstl.h"
#include "core/ml/theta.h"
#include "lua/bind/frame_box.h"

#include <math.h>
#include <string.h>

static const fr_forecaster *check_forecaster(lua_State *L, int arg)
{
    return (const fr_forecaster *)bind_object_check(L, arg, FR_KIND_FORECASTER);
}

static fr_forecaster **forecaster_box(lua_State *L)
{
    return (fr_forecaster **)(void *)bind_object_box(L, FR_KIND_FORECASTER);
}

static int seal(lua_State *L, int rc, fr_forecaster **slot, const fr_err *err)
{
    if (rc != FR_OK) {
        return bind_raise(L, rc, err);
    }
    bind_object_sealed(L, fr_forecaster_ops.size(&(*slot)->object));
    return 1;
}

static int field(lua_State *L, int idx, const char *name)
{
    lua_getfield(L, idx, name);
    int v = (int)luaL_optinteger(L, -1, 0);
    lua_pop(L, 1);
    return v;
}

static double number(lua_State *L, int idx, const char *name) // NaN: absent
{
    lua_getfield(L, idx, name);
    double v = luaL_optnumber(L, -1, (double)NAN);
    lua_pop(L, 1);
    return v;
}

static char letter(lua_State *L, int idx, const char *name)
{
    lua_getfield(L, idx, name);
    const char *s = luaL_checkstring(L, -1);
    char c = s[0];
    lua_pop(L, 1);
    return c;
}

static bool flag(lua_State *L, int idx, const char *name)
{
    lua_getfield(L, idx, name);
    bool v = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return v;
}

// What ts.lua made of the options, as the kind's own specification.
typedef union any_spec {
    fr_arima_spec arima;
    fr_ets_spec ets;
    fr_theta_spec theta;
    fr_mstl_spec mstl;
} any_spec;

static void take_arima(lua_State *L, any_spec *out)
{
    out->arima = (fr_arima_spec){
        .order = {field(L, 1, "p"), field(L, 1, "d"), field(L, 1, "q"), field(L, 1, "P"),
                  field(L, 1, "D"), field(L, 1, "Q"), field(L, 1, "period")},
        .trend = (fr_arima_trend)field(L, 1, "trend"),
        .max_iterations = field(L, 1, "max_iterations"),
        .starts = field(L, 1, "starts"),
        .quick = flag(L, 1, "quick"),
    };
}

static void take_ets(lua_State *L, any_spec *out)
{
    out->ets = (fr_ets_spec){
        .form = {letter(L, 1, "error"), letter(L, 1, "trend"), letter(L, 1, "season"),
                 flag(L, 1, "damped"), field(L, 1, "period")},
        .alpha = number(L, 1, "alpha"),
        .beta = number(L, 1, "beta"),
        .gamma = number(L, 1, "gamma"),
        .phi = number(L, 1, "phi"),
        .max_iterations = field(L, 1, "max_iterations"),
    };
    lua_getfield(L, 1, "initial");
    if (!lua_isnil(L, -1)) { // level, trend, season …: stays on the stack
        size_t n = (size_t)out->ets.form.period + 2;
        double *states = lua_newuserdatauv(L, n * sizeof *states, 0);
        for (size_t i = 0; i < n; i++) {
            lua_geti(L, -2, (lua_Integer)i + 1);
            states[i] = luaL_checknumber(L, -1);
            lua_pop(L, 1);
        }
        out->ets.initial = states;
    }
}

static void take_theta(lua_State *L, any_spec *out)
{
    out->theta = (fr_theta_spec){field(L, 1, "period"),
                                 (fr_theta_season)field(L, 1, "use_season")};
}

static int integers(lua_State *L, const char *name, int *out)
{
    lua_getfield(L, 1, name);
    int n = lua_isnil(L, -1) ? 0 : (int)luaL_len(L, -1);
    for (int i = 0; i < n && i < FR_MSTL_SEASONS; i++) {
        lua_geti(L, -1, i + 1);
        out[i] = (int)luaL_checkinteger(L, -1);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return FR_MIN(n, (int)FR_MSTL_SEASONS);
}

static void take_mstl(lua_State *L, any_spec *out)
{
    out->mstl = (fr_mstl_spec){.robust = flag(L, 1, "robust")};
    out->mstl.count = (size_t)integers(L, "periods", out->mstl.periods);
    (void)integers(L, "windows", out->mstl.windows);
}

static const fr_series_ops *take_spec(lua_State *L, any_spec *out)
{
    static void (*const takes[])(lua_State *, any_spec *) = {take_arima, take_ets, take_theta,
                                                         take_mstl};
    static const char *const names[] = {"arima", "ets", "theta", "mstl", NULL};
    lua_getfield(L, 1, "kind");
    int kind = luaL_checkoption(L, -1, NULL, names);
    takes[kind](L, out);
    return fr_forecaster_kind(names[kind], 0);
}

static int ts_fit(lua_State *L) // (spec, title, y, target, time, time_name, exog)
{
    lua_settop(L, 7);
    luaL_checktype(L, 1, LUA_TTABLE);
    const char *title = luaL_checkstring(L, 2);
    fr_forecaster_data data = {.y = bind_array_check(L, 3),
                               .target = luaL_checkstring(L, 4)};
    if (!lua_isnil(L, 5)) {
        data.time = bind_array_check(L, 5);
        data.time_name = luaL_checkstring(L, 6);
    }
    if (!lua_isnil(L, 7)) {
        const fr_frame *exog = bind_frame_check(L, 7);
        data.exogs = exog->columns;
        data.exog = (const fr_array *const *)exog->cols;
        data.exog_names = (const char *const *)exog->names;
    }
    any_spec spec;
    const fr_series_ops *ops = take_spec(L, &spec);
    fr_err err = FR_ERR_INIT;
    fr_forecaster **slot = forecaster_box(L);
    int rc = fr_forecaster_fit(ops, &spec, title, &data, slot, &err);
    return seal(L, rc, slot, &err);
}

static int ts_forecast(lua_State *L) // (forecaster, steps, exog, levels)
{
    lua_settop(L, 4);
    const fr_forecaster *f = check_forecaster(L, 1);
    int64_t steps = luaL_checkinteger(L, 2);
    const fr_frame *exog = lua_isnil(L, 3) ? NULL : bind_frame_check(L, 3);
    size_t n = (size_t)luaL_len(L, 4);
    double *levels = lua_newuserdatauv(L, (n + 1) * sizeof *levels, 0);
    for (size_t i = 0; i < n; i++) {
        lua_geti(L, 4, (lua_Integer)i + 1);
        levels[i] = luaL_checknumber(L, -1);
        lua_pop(L, 1);
    }
    fr_err err = FR_ERR_INIT;
    fr_frame **slot = bind_frame_box(L);
    int rc = fr_forecaster_forecast(f, steps, exog, levels, n, slot, &err);
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    bind_frame_sealed(L, *slot);
    return 1;
}

static int ts_residuals(lua_State *L) // (forecaster)
{
    const fr_forecaster *f = check_forecaster(L, 1);
    fr_err err = FR_ERR_INIT;
    fr_frame **slot = bind_frame_box(L);
    int rc = fr_forecaster_residuals(f, slot, &err);
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    bind_frame_sealed(L, *slot);
    return 1;
}

static void set_number(lua_State *L, const char *name, double v)
{
    lua_pushnumber(L, v);
    lua_setfield(L, -2, name);
}

static void set_integer(lua_State *L, const char *name, int64_t v)
{
    lua_pushinteger(L, v);
    lua_setfield(L, -2, name);
}

static void set_text(lua_State *L, const char *name, const char *v)
{
    lua_pushstring(L, v);
    lua_setfield(L, -2, name);
}

static void set_coefs(lua_State *L, const fr_series_facts *m)
{
    lua_createtable(L, (int)m->coefs, 0);
    for (size_t i = 0; i < m->coefs; i++) {
        lua_createtable(L, 0, 3);
        set_text(L, "name", m->coef[i].name);
        set_number(L, "value", m->coef[i].value);
        set_number(L, "se", m->coef[i].se);
        lua_seti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, "coefs");
}

static void set_order(lua_State *L, const fr_arima *m)
{
    const int order[] = {m->order.p, m->order.d, m->order.q,     m->order.P,
                         m->order.D, m->order.Q, m->order.period};
    static const char *const names[] = {"p", "d", "q", "P", "D", "Q", "period"};
    for (size_t i = 0; i < FR_COUNT(order); i++) {
        set_integer(L, names[i], order[i]);
    }
}

static void set_facts(lua_State *L, const fr_series_facts *m)
{
    set_number(L, "llf", m->llf);
    set_number(L, "aic", m->aic);
    set_number(L, "aicc", m->aicc);
    set_number(L, "bic", m->bic);
    set_number(L, "sigma2", m->sigma2);
    set_number(L, "sigma2_se", m->sigma2_se);
    set_integer(L, "rows", m->n);
    set_integer(L, "observed", m->observed);
    set_integer(L, "used", m->used);
    set_integer(L, "iterations", m->iterations);
    lua_pushboolean(L, m->converged);
    lua_setfield(L, -2, "converged");
    set_coefs(L, m);
}

static int ts_info(lua_State *L) // (forecaster): everything about it but the arrays
{
    const fr_forecaster *f = check_forecaster(L, 1);
    char text[64], hash[FR_HASH_TEXT];
    lua_createtable(L, 0, 26);
    set_text(L, "kind", f->ops->name);
    set_text(L, "title", f->title);
    set_text(L, "target", f->target);
    set_text(L, "time", f->time);
    set_text(L, "version", f->version);
    if (f->time[0] != 0) {
        fr_spacing_text(&f->spacing, text);
        set_text(L, "step", text);
    }
    fr_hash_text(f->training, hash);
    set_text(L, "training", hash);
    set_facts(L, &f->facts);
    if (f->ops == &fr_series_arima) {
        set_order(L, f->model);
    }
    lua_createtable(L, (int)f->exogs, 0);
    for (size_t i = 0; i < f->exogs; i++) {
        lua_pushstring(L, f->exog[i]);
        lua_seti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, "exog");
    return 1;
}

static int ts_save(lua_State *L) // (forecaster, path)
{
    fr_err err = FR_ERR_INIT;
    int rc = fr_forecaster_save(check_forecaster(L, 1), luaL_checkstring(L, 2), &err);
    return rc == FR_OK ? 0 : bind_raise(L, rc, &err);
}

static int ts_load(lua_State *L) // (path)
{
    const char *path = luaL_checkstring(L, 1);
    fr_err err = FR_ERR_INIT;
    fr_forecaster **slot = forecaster_box(L);
    int rc = fr_forecaster_load(path, slot, &err);
    return seal(L, rc, slot, &err);
}

// Numbers of an array or list at arg; what they need stays on the stack.
static const double *take_numbers(lua_State *L, int arg, const char *what, int64_t *n)
{
    const fr_array *a = bind_array_from(L, arg, NULL, what);
    *n = a->length;
    if (a->type.kind == FR_FLOAT64 && a->nulls == 0) {
        return fr_array_f64(a);
    }
    double *copy = lua_newuserdatauv(L, (size_t)a->length * sizeof *copy + 1, 0);
    fr_err err = FR_ERR_INIT;
    int rc = fr_array_to_f64(a, copy, &err);
    if (rc != FR_OK) {
        (void)fr_wrap(&err, rc, "%s", what);
        bind_raise_error(L, &err);
    }
    return copy;
}

static const double *take_as_long(lua_State *L, int arg, const char *what, int64_t n)
{
    int64_t m;
    const double *v = take_numbers(L, arg, what, &m);
    if (m != n) {
        (void)bind_fail(L, FR_EINVAL, "%lld actual values, but %lld values of %s",
                        (long long)n, (long long)m, what);
    }
    return v;
}

static int ts_score(lua_State *L) // (kind, actual, forecast, q)
{
    static const char *const kinds[] = {"mae",   "rmse",    "bias", "mape",
                                        "smape", "pinball", NULL};
    int kind = luaL_checkoption(L, 1, NULL, kinds);
    double q = luaL_optnumber(L, 4, 0.5), out = 0;
    int64_t n;
    const double *y = take_numbers(L, 2, "the actual values", &n);
    const double *f = take_as_long(L, 3, "the forecast", n);
    fr_err err = FR_ERR_INIT;
    int rc = fr_accuracy((fr_accuracy_kind)kind, y, f, n, q, &out, &err);
    if (rc != FR_OK) {
        return bind_raise(L, fr_wrap(&err, rc, "%s", kinds[kind]), &err);
    }
    lua_pushnumber(L, out);
    return 1;
}

static int ts_coverage(lua_State *L) // (actual, lo, hi)
{
    int64_t n;
    double out = 0;
    const double *y = take_numbers(L, 1, "the actual values", &n);
    const double *lo = take_as_long(L, 2, "the lower bounds", n);
    const double *hi = take_as_long(L, 3, "the upper bounds", n);
    fr_err err = FR_ERR_INIT;
    int rc = fr_accuracy_coverage(y, lo, hi, n, &out, &err);
    if (rc != FR_OK) {
        return bind_raise(L, fr_wrap(&err, rc, "coverage"), &err);
    }
    lua_pushnumber(L, out);
    return 1;
}

static int ts_scale(lua_State *L) // (train, period)
{
    int64_t n;
    double out = 0;
    const double *train = take_numbers(L, 1, "the training series", &n);
    fr_err err = FR_ERR_INIT;
    int rc = fr_accuracy_scale(train, n, luaL_checkinteger(L, 2), &out, &err);
    if (rc != FR_OK) {
        return bind_raise(L, fr_wrap(&err, rc, "mase"), &err);
    }
    lua_pushnumber(L, out);
    return 1;
}

static int ts_tail(lua_State *L) // (z): P(|normal| > |z|)
{
    lua_pushnumber(L, erfc(fabs(luaL_checknumber(L, 1)) / 1.4142135623730951));
    return 1;
}

static int ts_check(lua_State *L) // (options, what, {names}): refuses unknown names
{
    size_t n;
    const char *what = luaL_checkstring(L, 2);
    const char **known = bind_names(L, 3, &n, what);
    bind_options(L, 1, what, known);
    return 0;
}

static int ts_nearest(lua_State *L) // (name, {names})
{
    size_t n;
    const char *name = luaL_checkstring(L, 1);
    const char **known = bind_names(L, 2, &n, "names");
    lua_pushstring(L, bind_nearest(name, known)); // nil when nothing is close
    return 1;
}

static int ts_is(lua_State *L)
{
    const fr_object *o = bind_object_test(L, 1);
    lua_pushboolean(L, o != NULL && o->ops == &fr_forecaster_ops);
    return 1;
}

int luaopen_flowrun_core_ts(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"fit", ts_fit},         {"forecast", ts_forecast},
        {"info", ts_info},       {"residuals", ts_residuals},
        {"save", ts_save},       {"load", ts_load},
        {"score", ts_score},     {"coverage", ts_coverage},
        {"scale", ts_scale},     {"normal_tail", ts_tail},
        {"is", ts_is},           {"check", ts_check},
        {"nearest", ts_nearest}, {NULL, NULL},
    };
    bind_object_class(L, FR_KIND_FORECASTER, NULL, NULL);
    luaL_newlib(L, functions);
    luaL_getmetatable(L, bind_object_class_name(FR_KIND_FORECASTER));
    lua_setfield(L, -2, "meta"); // ts.lua adds __index and __tostring, then drops it
    return 1;
}
