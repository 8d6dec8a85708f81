// flowrun.core.monitor -- models that learn from streams: charts, drift detectors, online
// regression. Arguments arrive spelled out by lua/flowrun/ml_stream.lua.

#include "core/ml/monitor.h"
#include "lua/bind/frame_box.h"

#include <math.h>

static const fr_model *check_model(lua_State *L, int arg)
{
    return (const fr_model *)bind_object_check(L, arg, FR_KIND_MODEL);
}

static const fr_monitor *check_monitor(lua_State *L, const fr_model_ops *ops,
                                       const char *name)
{
    const fr_monitor *kind = ops == NULL ? NULL : fr_monitor_of(ops);
    if (kind == NULL) {
        (void)bind_fail(L, FR_EUNSUPPORTED, "a %s does not watch a stream of numbers",
                        name);
    }
    return kind;
}

static fr_model **model_box(lua_State *L)
{
    return (fr_model **)(void *)bind_object_box(L, FR_KIND_MODEL);
}

static void seal(lua_State *L, int rc, fr_model *const *slot, const fr_err *err)
{
    if (rc != FR_OK) {
        (void)bind_raise(L, rc, err);
    }
    bind_object_sealed(L, fr_model_object_ops.size(&(*slot)->object));
}

// The numbers at arg, NaN for null, in a userdata it pushes.
static double *numbers(lua_State *L, int arg, size_t *n)
{
    const fr_array *a = bind_array_check(L, arg);
    *n = (size_t)a->length;
    double *x = lua_newuserdatauv(L, (*n + 1) * sizeof *x, 0);
    fr_err err = FR_ERR_INIT;
    int rc = fr_array_to_f64(a, x, &err);
    if (rc != FR_OK) {
        (void)bind_raise(L, rc, &err);
    }
    return x;
}

// base(array): mean and standard deviation in control
static int monitor_base(lua_State *L)
{
    size_t n;
    const double *x = numbers(L, 1, &n);
    fr_monitor_base base;
    fr_err err = FR_ERR_INIT;
    int rc = fr_monitor_base_of(x, n, &base, &err);
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    lua_pushnumber(L, base.mean);
    lua_pushnumber(L, base.sd);
    return 2;
}

// new(kind, options as flowrun.core.ml's check gives them, mean, sd): a model
static int monitor_new(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    const fr_monitor *kind = check_monitor(L, fr_model_kind(name), name);
    luaL_checktype(L, 2, LUA_TTABLE);
    const fr_model_ops *ops = kind->model;
    double option[FR_MODEL_OPTIONS];
    fr_model_presets(ops, option);
    for (size_t i = 0; i < ops->option_count; i++) {
        const fr_model_option *o = &ops->options[i];
        int type = lua_getfield(L, 2, o->name);
        if (type == LUA_TSTRING) {
            size_t size;
            const char *text = lua_tolstring(L, -1, &size);
            option[i] = fr_model_option_choice(o, text, size);
        } else {
            option[i] = type == LUA_TBOOLEAN ? lua_toboolean(L, -1)
                                             : luaL_checknumber(L, -1);
        }
        lua_pop(L, 1);
    }
    fr_monitor_base base = {luaL_optnumber(L, 3, 0), luaL_optnumber(L, 4, 0)};
    fr_model **slot = model_box(L);
    fr_err err = FR_ERR_INIT;
    seal(L, fr_monitor_new(kind, option, &base, slot, &err), slot, &err);
    return 1;
}

// An array of n numbers in a box on the stack; NaN becomes null.
static void push_numbers(lua_State *L, const double *x, size_t n, bool truth)
{
    fr_array **slot = bind_array_box(L);
    fr_err err = FR_ERR_INIT;
    fr_builder *b =
        fr_builder_new(fr_type_of(truth ? FR_BOOL : FR_FLOAT64), (int64_t)n);
    int rc = FR_OK;
    for (size_t i = 0; i < n && rc == FR_OK; i++) {
        rc = isnan(x[i]) ? fr_builder_null(b, &err)
             : truth     ? fr_builder_bool(b, x[i] != 0, &err)
                         : fr_builder_float(b, x[i], &err);
    }
    rc = rc != FR_OK ? rc : fr_builder_finish(b, slot, &err);
    fr_builder_free(b);
    if (rc != FR_OK) {
        (void)bind_raise(L, rc, &err);
    }
    bind_array_sealed(L, *slot);
}

// update(model, array): {{name, array}, …} after each number, the next model
static int monitor_update(lua_State *L)
{
    const fr_model *m = check_model(L, 1);
    const fr_monitor *kind = check_monitor(L, m->ops, m->ops->title);
    size_t n;
    const double *x = numbers(L, 2, &n);
    double *out = lua_newuserdatauv(L, (n + 1) * kind->outputs * sizeof *out, 0);
    fr_model **slot = model_box(L);
    fr_err err = FR_ERR_INIT;
    seal(L, fr_monitor_update(m, x, n, out, slot, &err), slot, &err);
    lua_createtable(L, (int)kind->outputs, 0);
    for (size_t k = 0; k < kind->outputs; k++) {
        lua_createtable(L, 2, 0);
        lua_pushstring(L, kind->output[k]);
        lua_rawseti(L, -2, 1);
        push_numbers(L, out + k * n, n, k + 1 == kind->outputs);
        lua_rawseti(L, -2, 2);
        lua_rawseti(L, -2, (lua_Integer)k + 1);
    }
    lua_insert(L, -2);
    return 2;
}

// learn(model, frame, target): the last class's probabilities beforehand, the next model
static int monitor_learn(lua_State *L)
{
    const fr_model *m = check_model(L, 1);
    const fr_frame *x = bind_frame_check(L, 2);
    const fr_array *y = bind_array_check(L, 3);
    size_t n = (size_t)x->rows;
    double *score = lua_newuserdatauv(L, (n + 1) * sizeof *score, 0);
    fr_model **slot = model_box(L);
    fr_err err = FR_ERR_INIT;
    seal(L, fr_model_update(m, x, y, score, slot, &err), slot, &err);
    push_numbers(L, score, n, false);
    lua_insert(L, -2);
    return 2;
}

// watches(kind): whether it is a monitor, whether it needs a mean and sd
static int monitor_watches(lua_State *L)
{
    const fr_model_ops *ops = fr_model_kind(luaL_checkstring(L, 1));
    const fr_monitor *kind = ops == NULL ? NULL : fr_monitor_of(ops);
    lua_pushboolean(L, kind != NULL);
    lua_pushboolean(L, kind != NULL && kind->charts);
    return 2;
}

int luaopen_flowrun_core_monitor(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"base", monitor_base},   {"new", monitor_new},         {"update", monitor_update},
        {"learn", monitor_learn}, {"watches", monitor_watches}, {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
