// flowrun.core.ml -- fitted models and metrics. Arguments arrive spelled out by
// lua/flowrun/ml.lua; names of options are checked here, against the rows of each kind.

#include "core/base/mem.h"
#include "core/base/nearest.h"
#include "core/ml/metric.h"
#include "core/ml/model.h"
#include "core/ml/preprocess.h"
#include "core/ml/target.h"
#include "lua/bind/frame_box.h"

#include <math.h>
#include <string.h>

enum { TEXT_MAX = 1 << 26 };

static const fr_model *check_model(lua_State *L, int arg)
{
    return (const fr_model *)bind_object_check(L, arg, FR_KIND_MODEL);
}

static const fr_model *check_classifier(lua_State *L, int arg)
{
    const fr_model *m = check_model(L, arg);
    if (m->labels == NULL) {
        (void)bind_fail(L, FR_EINVAL, "this %s does not predict classes%s", m->ops->title,
                        m->ops->transform != NULL ? ", it transforms frames" : "");
    }
    return m;
}

static const fr_model_ops *check_kind(lua_State *L, int arg)
{
    const char *name = luaL_checkstring(L, arg);
    const fr_model_ops *ops = fr_model_kind(name);
    if (ops == NULL) {
        (void)bind_fail(L, FR_EINVAL, "no model is called '%s'", name);
    }
    return ops;
}

// Scratch that the collector frees, so that errors cannot leak it.
static void *scratch(lua_State *L, size_t n, size_t size)
{
    return lua_newuserdatauv(L, (n + 1) * size, 0);
}

// ---- options

static void unknown_option(lua_State *L, const fr_model_ops *ops, const char *name)
{
    const char *known[4 * FR_MODEL_OPTIONS];
    size_t n = 0;
    luaL_Buffer list;
    luaL_buffinit(L, &list);
    for (size_t i = 0; i < ops->option_count; i++) {
        known[n++] = ops->options[i].name;
        luaL_addstring(&list, i == 0 ? "" : ", ");
        luaL_addstring(&list, ops->options[i].name);
    }
    luaL_pushresult(&list);
    const char *near = fr_nearest(name, known, n);
    if (near != NULL) {
        (void)bind_fail(L, FR_EINVAL, "ml.%s: unknown option '%s'; did you mean '%s'?",
                        ops->name, name, near);
    }
    (void)bind_fail(L, FR_EINVAL, "ml.%s: unknown option '%s'; it knows %s", ops->name,
                    name, lua_tostring(L, -1));
}

static void wrong_option(lua_State *L, const fr_model_ops *ops, const fr_model_option *o)
{
    const char *want = o->type == FR_MODEL_BOOL     ? "true or false"
                       : o->type == FR_MODEL_CHOICE ? "one of: "
                       : o->choices != NULL         ? "a number, or one of: "
                                                    : "a number";
    (void)bind_fail(L, FR_EINVAL, "ml.%s: %s must be %s%s, got %s", ops->name, o->name,
                    want, o->choices != NULL ? o->choices : "",
                    luaL_tolstring(L, -1, NULL));
}

// The value on top of the stack as the number that a row stores.
static double option_value(lua_State *L, const fr_model_ops *ops, int row)
{
    const fr_model_option *o = &ops->options[row];
    int type = lua_type(L, -1);
    double v = 0;
    if (o->type == FR_MODEL_BOOL && type == LUA_TBOOLEAN) {
        v = lua_toboolean(L, -1);
    } else if (type == LUA_TSTRING && o->choices != NULL) {
        size_t n;
        const char *text = lua_tolstring(L, -1, &n);
        int k = fr_model_option_choice(o, text, n);
        if (k < 0) {
            wrong_option(L, ops, o);
        }
        v = o->type == FR_MODEL_CHOICE ? k : -1 - k;
    } else if (type == LUA_TNUMBER && o->type != FR_MODEL_BOOL &&
               o->type != FR_MODEL_CHOICE) {
        v = lua_tonumber(L, -1);
        fr_err err = FR_ERR_INIT;
        int rc = v < 0 && o->type == FR_MODEL_NUMBER_OR_CHOICE
                     ? fr_fail(&err, FR_EINVAL, "ml.%s: %s must be positive, got %g",
                               ops->name, o->name, v)
                     : fr_model_option_check(ops, row, v, &err);
        if (rc != FR_OK) {
            bind_raise_error(L, &err);
        }
    } else {
        wrong_option(L, ops, o);
    }
    return v;
}

static void read_options(lua_State *L, int arg, const fr_model_ops *ops, double *option)
{
    fr_model_presets(ops, option);
    bool given[FR_MODEL_OPTIONS] = {false};
    if (lua_isnoneornil(L, arg)) {
        return;
    }
    luaL_checktype(L, arg, LUA_TTABLE);
    for (lua_pushnil(L); lua_next(L, arg) != 0; lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING) {
            (void)bind_fail(L, FR_EINVAL,
                            "ml.%s: options are named, as in ml.%s{%s = %g}; found %s",
                            ops->name, ops->name, ops->options[0].name,
                            ops->options[0].preset, luaL_tolstring(L, -1, NULL));
        }
        const char *name = lua_tostring(L, -2);
        int row = fr_model_option_find(ops, name);
        if (row < 0) {
            unknown_option(L, ops, name);
        }
        if (given[row]) {
            (void)bind_fail(L, FR_EINVAL,
                            "ml.%s: '%s' is given twice, by two of its names", ops->name,
                            ops->options[row].name);
        }
        given[row] = true;
        option[row] = option_value(L, ops, row);
    }
}

static void push_option(lua_State *L, const fr_model_option *o, double v)
{
    int choice = o->type == FR_MODEL_CHOICE                      ? (int)v
                 : o->type == FR_MODEL_NUMBER_OR_CHOICE && v < 0 ? (int)(-1 - v)
                                                                 : -1;
    if (choice >= 0) {
        const char *at = o->choices;
        for (; choice > 0; choice--) {
            at += strcspn(at, " ") + 1;
        }
        lua_pushlstring(L, at, strcspn(at, " "));
    } else if (o->type == FR_MODEL_BOOL) {
        lua_pushboolean(L, v != 0);
    } else if ((v < o->min || v > o->max) && v == 0) {
        lua_pushnil(L); // not set
    } else if (v == floor(v) && o->type != FR_MODEL_NUMBER) {
        lua_pushinteger(L, (lua_Integer)v);
    } else {
        lua_pushnumber(L, v);
    }
}

static void push_options(lua_State *L, const fr_model_ops *ops, const double *option)
{
    lua_createtable(L, 0, (int)ops->option_count);
    for (size_t i = 0; i < ops->option_count; i++) {
        push_option(L, &ops->options[i], option[i]);
        lua_setfield(L, -2, ops->options[i].name);
    }
}

// check(kind, options): every option under its own name, with its value or preset.
static int ml_check(lua_State *L)
{
    const fr_model_ops *ops = check_kind(L, 1);
    double option[FR_MODEL_OPTIONS];
    lua_settop(L, 2);
    read_options(L, 2, ops, option);
    push_options(L, ops, option);
    return 1;
}

static void push_row(lua_State *L, const fr_model_option *o)
{
    lua_createtable(L, 0, 6);
    lua_pushstring(L, o->name);
    lua_setfield(L, -2, "name");
    lua_pushstring(L, o->alias); // nil for NULL
    lua_setfield(L, -2, "alias");
    lua_pushstring(L, o->choices);
    lua_setfield(L, -2, "choices");
    lua_pushstring(L, o->doc);
    lua_setfield(L, -2, "doc");
    push_option(L, o, o->preset);
    lua_setfield(L, -2, "preset");
}

// kinds(): {{name, title, options = {row, …}}, …}
static int ml_kinds(lua_State *L)
{
    lua_newtable(L);
    for (int i = 0; fr_model_kinds[i] != NULL; i++) {
        const fr_model_ops *ops = fr_model_kinds[i];
        lua_createtable(L, 0, 3);
        lua_pushstring(L, ops->name);
        lua_setfield(L, -2, "name");
        lua_pushstring(L, ops->title);
        lua_setfield(L, -2, "title");
        lua_newtable(L);
        for (size_t k = 0; k < ops->option_count; k++) {
            push_row(L, &ops->options[k]);
            lua_rawseti(L, -2, (lua_Integer)k + 1);
        }
        lua_setfield(L, -2, "options");
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

// ---- models

static fr_model **model_box(lua_State *L)
{
    return (fr_model **)(void *)bind_object_box(L, FR_KIND_MODEL);
}

static int push_model(lua_State *L, int rc, fr_model *const *slot, const fr_err *err)
{
    if (rc != FR_OK) {
        return bind_raise(L, rc, err);
    }
    bind_object_sealed(L, fr_model_object_ops.size(&(*slot)->object));
    return 1;
}

// The list at arg as one small integer per feature; NULL for nil.
static int8_t *check_flags(lua_State *L, int arg, size_t n)
{
    if (lua_isnoneornil(L, arg)) {
        return NULL;
    }
    luaL_checktype(L, arg, LUA_TTABLE);
    int8_t *flag = scratch(L, n, sizeof *flag);
    for (size_t i = 0; i < n; i++) {
        (void)lua_rawgeti(L, arg, (lua_Integer)i + 1);
        lua_Integer v = luaL_checkinteger(L, -1);
        luaL_argcheck(L, v >= -1 && v <= 1, arg, "-1, 0 or 1 is expected");
        flag[i] = (int8_t)v;
        lua_pop(L, 1);
    }
    return flag;
}

// fit(kind, options, features, target name, target, weights, monotone, categorical): the
// last two lists of -1, 0, 1 and of 0, 1 by feature; nil for none
static int ml_fit(lua_State *L)
{
    const fr_model_ops *ops = check_kind(L, 1);
    double option[FR_MODEL_OPTIONS];
    read_options(L, 2, ops, option);
    const fr_frame *x = bind_frame_check(L, 3);
    const char *target = luaL_checkstring(L, 4);
    const fr_array *y = ops->alone ? NULL : bind_array_check(L, 5);
    lua_settop(L, 8);
    size_t n = (size_t)x->columns;
    fr_model_rows rows = {.x = x, .target = target, .y = y};
    rows.weight = lua_isnil(L, 6) ? NULL : bind_array_check(L, 6);
    rows.monotone = check_flags(L, 7, n);
    const int8_t *categorical = check_flags(L, 8, n);
    if (categorical != NULL) {
        bool *set = scratch(L, n, sizeof *set);
        for (size_t i = 0; i < n; i++) {
            set[i] = categorical[i] != 0;
        }
        rows.categorical = set;
    }
    fr_model **slot = model_box(L);
    fr_err err = FR_ERR_INIT;
    return push_model(L, fr_model_fit_rows(ops, option, &rows, slot, &err), slot, &err);
}

static int ml_load(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    fr_model **slot = model_box(L);
    fr_err err = FR_ERR_INIT;
    return push_model(L, fr_model_load(path, slot, &err), slot, &err);
}

// scaler(options, frame): fitted on all columns of the frame
static int ml_scaler(lua_State *L)
{
    double option[FR_MODEL_OPTIONS];
    read_options(L, 1, &fr_scaler_ops, option);
    const fr_frame *x = bind_frame_check(L, 2);
    fr_model **slot = model_box(L);
    fr_err err = FR_ERR_INIT;
    return push_model(L, fr_scaler_fit(option, x, slot, &err), slot, &err);
}

// coder(kind, options, frame or nil, names, arrays): false among the arrays: learn from
// frame
static int ml_coder(lua_State *L)
{
    const fr_model_ops *ops = check_kind(L, 1);
    double option[FR_MODEL_OPTIONS];
    read_options(L, 2, ops, option);
    const fr_frame *x = lua_isnil(L, 3) ? NULL : bind_frame_check(L, 3);
    size_t n;
    const char **names = bind_names(L, 4, &n, ops->name);
    luaL_checktype(L, 5, LUA_TTABLE);
    const fr_array **category = scratch(L, n, sizeof *category);
    for (size_t i = 0; i < n; i++) {
        bool given = lua_rawgeti(L, 5, (lua_Integer)i + 1) == LUA_TUSERDATA;
        category[i] = given ? bind_array_check(L, -1) : NULL; // the list keeps it
        lua_pop(L, 1);
        if (!given && x == NULL) {
            return bind_fail(L, FR_EINVAL, "ml.%s: `%s` has no categories", ops->name,
                             names[i]);
        }
    }
    fr_model **slot = model_box(L);
    fr_err err = FR_ERR_INIT;
    int rc = fr_coder_new(ops, option, x, names, category, n, slot, &err);
    return push_model(L, rc, slot, &err);
}

static int model_transform(lua_State *L)
{
    const fr_model *m = check_model(L, 1);
    const fr_frame *x = bind_frame_check(L, 2);
    fr_frame **slot = bind_frame_box(L);
    fr_err err = FR_ERR_INIT;
    int rc = fr_model_transform(m, x, slot, &err);
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    bind_frame_sealed(L, *slot);
    return 1;
}

static int model_save(lua_State *L)
{
    const fr_model *m = check_model(L, 1);
    fr_err err = FR_ERR_INIT;
    int rc = fr_model_save(m, luaL_checkstring(L, 2), &err);
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    lua_settop(L, 1);
    return 1;
}

typedef int (*predict_fn)(const fr_model *m, const fr_frame *x, double *out, fr_err *err);

// What `predict` says of the frame at 2, in scratch: [class][row], or [row].
static double *predictions(lua_State *L, const fr_model *m, const fr_frame *x,
                           predict_fn predict)
{
    size_t outputs = FR_MAX(fr_model_classes(m), 1);
    double *p = scratch(L, (size_t)x->rows * outputs, sizeof *p);
    fr_err err = FR_ERR_INIT;
    int rc = predict(m, x, p, &err);
    if (rc != FR_OK) {
        bind_raise_error(L, &err);
    }
    return p;
}

static double *probabilities(lua_State *L, const fr_model *m, const fr_frame *x)
{
    return predictions(L, m, x, fr_model_predict);
}

static int predict_numbers(lua_State *L, const fr_model *m, const fr_frame *x)
{
    fr_array **slot = bind_array_box(L);
    fr_err err = FR_ERR_INIT;
    int rc = fr_array_new(fr_type_of(FR_FLOAT64), x->rows, 0, slot, &err);
    if (rc == FR_OK) {
        rc = fr_model_predict(m, x, (double *)(void *)(*slot)->values->data, &err);
    }
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    bind_array_sealed(L, *slot);
    return 1;
}

static int model_predict(lua_State *L)
{
    const fr_model *m = check_model(L, 1);
    const fr_frame *x = bind_frame_check(L, 2);
    if (!m->ops->classifies && m->ops->predict != NULL) {
        return predict_numbers(L, m, x);
    }
    m = check_classifier(L, 1);
    size_t n = (size_t)x->rows;
    const double *p = probabilities(L, m, x);
    int32_t *code = scratch(L, n, sizeof *code);
    fr_model_choose(p, n, fr_model_classes(m), code);
    fr_array **slot = bind_array_box(L);
    fr_err err = FR_ERR_INIT;
    int rc = fr_target_decode(m->labels, code, n, slot, &err);
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    bind_array_sealed(L, *slot);
    return 1;
}

// A label as a column name: booleans as Lua writes them.
static const char *push_label(lua_State *L, const fr_array *labels, int64_t i)
{
    fr_buf *text = bind_buffer(L, TEXT_MAX);
    if (labels->type.kind == FR_BOOL) {
        fr_buf_put_str(text, fr_array_bool(labels, i) ? "true" : "false");
    } else {
        fr_target_print(labels, i, text);
    }
    bind_push_buffer(L, text);
    lua_remove(L, -2);
    return lua_tostring(L, -1);
}

// An array of n numbers in a box on the stack; NaN becomes null.
static fr_array *push_numbers(lua_State *L, const double *x, size_t n)
{
    fr_array **slot = bind_array_box(L);
    fr_err err = FR_ERR_INIT;
    fr_builder *b = fr_builder_new(fr_type_of(FR_FLOAT64), (int64_t)n);
    int rc = FR_OK;
    for (size_t i = 0; i < n && rc == FR_OK; i++) {
        rc = isnan(x[i]) ? fr_builder_null(b, &err) : fr_builder_float(b, x[i], &err);
    }
    rc = rc != FR_OK ? rc : fr_builder_finish(b, slot, &err);
    fr_builder_free(b);
    if (rc != FR_OK) {
        bind_raise_error(L, &err);
    }
    bind_array_sealed(L, *slot);
    return *slot;
}

// out_of_bag(model, frame): probabilities as lists of arrays, or one array of numbers;
// null where every tree saw the row
static int model_out_of_bag(lua_State *L)
{
    const fr_model *m = check_model(L, 1);
    const fr_frame *x = bind_frame_check(L, 2);
    size_t n = (size_t)x->rows, classes = fr_model_classes(m);
    const double *p = predictions(L, m, x, fr_model_out_of_bag);
    if (classes == 0) {
        (void)push_numbers(L, p, n);
        return 1;
    }
    lua_createtable(L, (int)classes, 0);
    for (size_t k = 0; k < classes; k++) {
        lua_createtable(L, 2, 0);
        (void)push_label(L, m->labels, (int64_t)k);
        lua_rawseti(L, -2, 1);
        (void)push_numbers(L, p + k * n, n);
        lua_rawseti(L, -2, 2);
        lua_rawseti(L, -2, (lua_Integer)k + 1);
    }
    return 1;
}

static int model_predict_proba(lua_State *L)
{
    const fr_model *m = check_classifier(L, 1);
    const fr_frame *x = bind_frame_check(L, 2);
    size_t n = (size_t)x->rows, classes = fr_model_classes(m);
    const double *p = probabilities(L, m, x);
    const char **names = scratch(L, classes, sizeof *names);
    fr_array **cols = scratch(L, classes, sizeof *cols);
    luaL_checkstack(L, (int)FR_MIN(2 * classes + 10, 200000), "too many classes");
    for (size_t k = 0; k < classes; k++) {
        names[k] = push_label(L, m->labels, (int64_t)k);
        fr_array **slot = bind_array_box(L);
        fr_err err = FR_ERR_INIT;
        int rc = fr_array_new(fr_type_of(FR_FLOAT64), (int64_t)n, 0, slot, &err);
        if (rc != FR_OK) {
            return bind_raise(L, rc, &err);
        }
        memcpy((*slot)->values->data, p + k * n, n * sizeof *p);
        cols[k] = *slot;
    }
    fr_frame **slot = bind_frame_box(L);
    fr_err err = FR_ERR_INIT;
    int rc = fr_frame_new(classes, names, cols, slot, &err);
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    bind_frame_sealed(L, *slot);
    return 1;
}

// importances(model): a list of numbers, in the order of the features.
static int model_importances(lua_State *L)
{
    const fr_model *m = check_model(L, 1);
    if (m->ops->importances == NULL) {
        return bind_fail(L, FR_EUNSUPPORTED, "a %s has no importances", m->ops->title);
    }
    double *v = scratch(L, m->features, sizeof *v);
    m->ops->importances(m, v);
    lua_createtable(L, (int)m->features, 0);
    for (size_t f = 0; f < m->features; f++) {
        lua_pushnumber(L, v[f]);
        lua_rawseti(L, -2, (lua_Integer)f + 1);
    }
    return 1;
}

static int model_info(lua_State *L)
{
    const fr_model *m = check_model(L, 1);
    char hash[FR_HASH_TEXT];
    lua_createtable(L, 0, 10);
    lua_pushstring(L, m->ops->name);
    lua_setfield(L, -2, "kind");
    lua_pushstring(L, m->ops->title);
    lua_setfield(L, -2, "title");
    lua_pushstring(L, m->target);
    lua_setfield(L, -2, "target");
    lua_pushinteger(L, m->rows);
    lua_setfield(L, -2, "rows");
    lua_pushstring(L, m->version);
    lua_setfield(L, -2, "version");
    fr_hash_text(m->training, hash);
    lua_pushstring(L, hash);
    lua_setfield(L, -2, "training");
    push_options(L, m->ops, m->option);
    lua_setfield(L, -2, "options");
    lua_createtable(L, (int)m->features, 0);
    for (size_t f = 0; f < m->features; f++) {
        lua_pushstring(L, m->feature[f]);
        lua_rawseti(L, -2, (lua_Integer)f + 1);
    }
    lua_setfield(L, -2, "features");
    if (m->labels != NULL) {
        fr_array **slot = bind_array_box(L);
        *slot = fr_array_ref(m->labels);
        lua_setfield(L, -2, "classes");
    }
    return 1;
}

// in_sample(model, frame, target): whether these are the rows it was fitted on.
static int model_in_sample(lua_State *L)
{
    const fr_model *m = check_model(L, 1);
    const fr_frame *x = bind_frame_check(L, 2);
    const fr_array *y = bind_array_check(L, 3);
    fr_hash h;
    int rc = fr_model_training_hash((const char *const *)m->feature, m->features, x,
                                    m->target, y, &h, NULL);
    lua_pushboolean(L, rc == FR_OK && fr_hash_eq(h, m->training));
    return 1;
}

// explain(model, frame, class number from 1 or nil): base, {array by feature, …}
static int model_explain(lua_State *L)
{
    const fr_model *m = check_model(L, 1);
    const fr_frame *x = bind_frame_check(L, 2);
    size_t n = (size_t)x->rows, output = (size_t)luaL_optinteger(L, 3, 1) - 1;
    luaL_argcheck(L, output < FR_MAX(fr_model_classes(m), 1), 3, "no such class");
    double *out = scratch(L, n * m->features, sizeof *out), base = 0;
    fr_err err = FR_ERR_INIT;
    int rc = fr_model_explain(m, x, output, out, &base, &err);
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    lua_pushnumber(L, base);
    lua_createtable(L, (int)m->features, 0);
    for (size_t f = 0; f < m->features; f++) {
        (void)push_numbers(L, out + f * n, n);
        lua_rawseti(L, -2, (lua_Integer)f + 1);
    }
    return 2;
}

// The codes of a set, as a list.
static void push_set(lua_State *L, const fr_forest_view *v, const fr_node *n)
{
    uint32_t set;
    memcpy(&set, &n->cut, sizeof set);
    lua_newtable(L);
    lua_Integer count = 0;
    for (uint32_t code = 0; code < 32 * FR_TREE_SET_WORDS; code++) {
        if ((v->set[set * FR_TREE_SET_WORDS + code / 32] >> code % 32 & 1) != 0) {
            lua_pushinteger(L, code);
            lua_rawseti(L, -2, ++count);
        }
    }
}

static void push_leaf(lua_State *L, const fr_model_trees *trees, size_t t,
                      const fr_node *n)
{
    const fr_forest_view *v = &trees->view;
    size_t values = v->classes > 2 ? v->classes : 1;
    lua_createtable(L, (int)values, 0);
    for (size_t k = 0; k < values; k++) {
        double x = v->classes > 2
                       ? (double)v->value[(v->value_root[t] + n->left) * values + k]
                       : (double)n->cut;
        if (v->outputs == 0 && v->classes == 0) {
            x += trees->base[0]; // the mean of a regression forest is in every tree
        }
        lua_pushnumber(L, x);
        lua_rawseti(L, -2, (lua_Integer)k + 1);
    }
    lua_setfield(L, -2, "value");
}

// tree(model, number): nodes in order, {feature, cut or codes, left, missing, rows} or
// {value = {…}, rows}; children are numbered from 1
static int model_tree(lua_State *L)
{
    const fr_model *m = check_model(L, 1);
    fr_model_trees trees;
    if (m->ops->trees == NULL) {
        return bind_fail(L, FR_EUNSUPPORTED, "a %s has no trees", m->ops->title);
    }
    m->ops->trees(m, &trees);
    const fr_forest_view *v = &trees.view;
    lua_Integer number = luaL_checkinteger(L, 2);
    if (number < 1 || (size_t)number > v->trees) {
        return bind_fail(L, FR_EINVAL, "tree %d does not exist: there are %d",
                         (int)number, (int)v->trees);
    }
    size_t t = (size_t)number - 1, count = (size_t)(v->root[t + 1] - v->root[t]);
    lua_createtable(L, (int)FR_MIN(count, 1 << 20), 0);
    for (size_t k = 0; k < count; k++) {
        const fr_node *n = &v->node[v->root[t] + k];
        lua_createtable(L, 0, 5);
        lua_pushinteger(L, n->weight);
        lua_setfield(L, -2, "rows");
        if (n->feature < 0) {
            push_leaf(L, &trees, t, n);
        } else {
            lua_pushstring(L, m->feature[fr_node_feature(n)]);
            lua_setfield(L, -2, "feature");
            lua_pushinteger(L, (lua_Integer)n->left + 1);
            lua_setfield(L, -2, "left");
            lua_pushboolean(L, (n->feature & FR_TREE_MISSING_RIGHT) == 0);
            lua_setfield(L, -2, "missing_left");
            if ((n->feature & FR_TREE_CATEGORY) != 0) {
                push_set(L, v, n);
                lua_setfield(L, -2, "codes");
            } else {
                lua_pushnumber(L, (double)n->cut);
                lua_setfield(L, -2, "cut");
            }
        }
        lua_rawseti(L, -2, (lua_Integer)k + 1);
    }
    return 1;
}

// learn(model, frame): scores, the model that has learnt
static int model_learn(lua_State *L)
{
    const fr_model *m = check_model(L, 1);
    const fr_frame *x = bind_frame_check(L, 2);
    size_t n = (size_t)x->rows;
    double *score = scratch(L, n, sizeof *score);
    fr_model **slot = model_box(L);
    fr_err err = FR_ERR_INIT;
    (void)push_model(L, fr_model_learn(m, x, score, slot, &err), slot, &err);
    (void)push_numbers(L, score, n);
    lua_insert(L, -2);
    return 2;
}

static int model_threshold(lua_State *L)
{
    const fr_model *m = check_model(L, 1);
    if (m->ops->threshold == NULL) {
        return bind_fail(L, FR_EUNSUPPORTED, "a %s does not look for anomalies",
                         m->ops->title);
    }
    lua_pushnumber(L, m->ops->threshold(m));
    return 1;
}

static int model_size(lua_State *L)
{
    const fr_model *m = check_model(L, 1);
    lua_pushinteger(L, (lua_Integer)m->image->size);
    return 1;
}

static int model_tostring(lua_State *L)
{
    const fr_model *m = check_model(L, 1);
    if (m->ops->transform != NULL) {
        lua_pushfstring(L, "%s of %d columns", m->ops->title, (int)m->features);
        return 1;
    }
    if (m->ops->fit == NULL && m->rows == 0) {
        lua_pushfstring(L, "%s, %d features", m->ops->title, (int)m->features);
        return 1;
    }
    if (m->ops->alone) {
        lua_pushfstring(L, "%s of %d features, fitted on %I rows", m->ops->title,
                        (int)m->features, (LUAI_UACINT)m->rows);
        return 1;
    }
    lua_pushfstring(L, "%s for `%s` from %d features, fitted on %I rows", m->ops->title,
                    m->target, (int)m->features, (LUAI_UACINT)m->rows);
    return 1;
}

// ---- metrics

typedef struct pair {
    size_t n, classes;
    int32_t *y, *p;
    const fr_array *labels; // kept alive by a box on the stack
} pair;

// The labels at 1 and 2 as codes.
static void check_pair(lua_State *L, pair *out)
{
    const fr_array *y = bind_array_check(L, 1), *p = bind_array_check(L, 2);
    out->n = (size_t)y->length;
    out->y = scratch(L, out->n, sizeof *out->y);
    out->p = scratch(L, out->n, sizeof *out->p);
    fr_array **slot = bind_array_box(L);
    fr_err err = FR_ERR_INIT;
    int rc = fr_target_encode_pair(y, p, out->y, out->p, slot, &err);
    if (rc == FR_OK && out->n == 0) {
        rc = fr_fail(&err, FR_EINVAL, "no rows to score");
    }
    if (rc != FR_OK) {
        bind_raise_error(L, &err);
    }
    out->labels = *slot;
    out->classes = (size_t)out->labels->length;
    if (out->classes > 5000) {
        (void)bind_fail(L, FR_ELIMIT,
                        "%d different labels: these look like numbers, not classes",
                        (int)out->classes);
    }
}

static int64_t *confusion_of(lua_State *L, const pair *c)
{
    int64_t *count = scratch(L, c->classes * c->classes, sizeof *count);
    fr_metric_confusion(c->y, c->p, c->n, c->classes, count);
    return count;
}

static int ml_report(lua_State *L)
{
    pair c;
    check_pair(L, &c);
    const int64_t *count = confusion_of(L, &c);
    luaL_checkstack(L, (int)c.classes + 10, "too many classes");
    const char **names = scratch(L, c.classes, sizeof *names);
    for (size_t k = 0; k < c.classes; k++) {
        fr_buf *name = bind_buffer(L, TEXT_MAX);
        fr_target_print(c.labels, (int64_t)k, name);
        bind_push_buffer(L, name);
        lua_remove(L, -2);
        names[k] = lua_tostring(L, -1);
    }
    fr_buf *text = bind_buffer(L, TEXT_MAX);
    fr_metric_report(count, c.classes, names, text);
    bind_push_buffer(L, text);
    return 1;
}

// confusion(y, p): labels, {{count, …}, …} with a row per true class
static int ml_confusion(lua_State *L)
{
    pair c;
    check_pair(L, &c);
    const int64_t *count = confusion_of(L, &c);
    lua_createtable(L, (int)c.classes, 0);
    for (size_t k = 0; k < c.classes; k++) {
        (void)push_label(L, c.labels, (int64_t)k);
        lua_rawseti(L, -2, (lua_Integer)k + 1);
    }
    lua_createtable(L, (int)c.classes, 0);
    for (size_t t = 0; t < c.classes; t++) {
        lua_createtable(L, (int)c.classes, 0);
        for (size_t p = 0; p < c.classes; p++) {
            lua_pushinteger(L, count[t * c.classes + p]);
            lua_rawseti(L, -2, (lua_Integer)p + 1);
        }
        lua_rawseti(L, -2, (lua_Integer)t + 1);
    }
    return 2;
}

static void push_score(lua_State *L, double accuracy, const fr_score *s)
{
    lua_createtable(L, 0, 8);
    lua_pushnumber(L, accuracy);
    lua_setfield(L, -2, "accuracy");
    lua_pushnumber(L, s->precision);
    lua_setfield(L, -2, "precision");
    lua_pushnumber(L, s->recall);
    lua_setfield(L, -2, "recall");
    lua_pushnumber(L, s->f1);
    lua_setfield(L, -2, "f1");
}

// Which class is positive: the one in the array at arg, or the last. -1: it does not
// occur.
static int positive_class(lua_State *L, int arg, const fr_array *labels)
{
    int last = (int)labels->length - 1;
    if (lua_isnoneornil(L, arg)) {
        fr_kind kind = labels->type.kind;
        bool text = kind == FR_UTF8 || kind == FR_CATEGORY;
        // With a single class, 0 and false are the other one.
        return last == 0 && !text && fr_array_number(labels, 0) == 0 ? -1 : last;
    }
    int32_t code = -1;
    fr_err err = FR_ERR_INIT;
    const fr_array *a = bind_array_check(L, arg);
    int rc =
        a->length == 1 ? fr_target_match(a, "positive", labels, &code, &err) : FR_EINVAL;
    if (rc != FR_OK) {
        (void)push_label(L, a, 0);
        (void)bind_fail(L, FR_EINVAL, "positive: no row has the class %s",
                        lua_tostring(L, -1));
    }
    return code;
}

// scores(y, p, average, positive): accuracy, precision, recall, f1
static int ml_scores(lua_State *L)
{
    static const char *const averages[] = {"micro", "macro", "weighted", "binary", NULL};
    int average = luaL_checkoption(L, 3, "binary", averages);
    lua_settop(L, 4);
    pair c;
    check_pair(L, &c);
    const int64_t *count = confusion_of(L, &c);
    fr_score s = {0};
    if (average < 3) {
        fr_metric_average(count, c.classes, (fr_average)average, &s);
    } else if (c.classes > 2 && lua_isnil(L, 4)) {
        return bind_fail(
            L, FR_EINVAL,
            "%d classes have no positive one: say average = \"macro\", \"weighted\" "
            "or \"micro\", or positive = a class",
            (int)c.classes);
    } else {
        int k = positive_class(L, 4, c.labels);
        if (k >= 0) {
            fr_metric_class(count, c.classes, (size_t)k, &s);
        }
    }
    push_score(L, fr_metric_accuracy(count, c.classes), &s);
    return 1;
}

static const double *check_numbers(lua_State *L, int arg, size_t n)
{
    const fr_array *a = bind_array_check(L, arg);
    if ((size_t)a->length != n) {
        (void)bind_fail(L, FR_EINVAL, "%d values, but %d of the other", (int)n,
                        (int)a->length);
    }
    double *x = scratch(L, n, sizeof *x);
    fr_err err = FR_ERR_INIT;
    int rc = fr_array_to_f64(a, x, &err);
    if (rc == FR_OK && a->nulls > 0) {
        rc = fr_fail(&err, FR_EINVAL, "a value is null");
    }
    if (rc != FR_OK) {
        bind_raise_error(L, &err);
    }
    return x;
}

// The labels at 1 as codes of two classes; the second is the positive one.
static const int32_t *check_binary(lua_State *L, size_t *n)
{
    const fr_array *y = bind_array_check(L, 1);
    *n = (size_t)y->length;
    int32_t *code = scratch(L, *n, sizeof *code);
    fr_array **slot = bind_array_box(L);
    fr_err err = FR_ERR_INIT;
    int rc = fr_target_encode(y, "y", code, slot, &err);
    if (rc == FR_OK && (*slot)->length != 2) {
        rc = fr_fail(&err, FR_EINVAL, "y has %lld classes, two are needed",
                     (long long)(*slot)->length);
    }
    if (rc != FR_OK) {
        bind_raise_error(L, &err);
    }
    return code;
}

// ranking(y, positive scores, what): roc_auc, brier or log_loss
static int ml_ranking(lua_State *L)
{
    static const char *const names[] = {"roc_auc", "brier", "log_loss", NULL};
    int what = luaL_checkoption(L, 3, NULL, names);
    size_t n;
    const int32_t *y = check_binary(L, &n);
    const double *s = check_numbers(L, 2, n);
    double v = 0;
    fr_err err = FR_ERR_INIT;
    if (what == 0 && fr_metric_roc_auc(y, s, n, &v, &err) != FR_OK) {
        bind_raise_error(L, &err);
    }
    for (size_t i = 0; what > 0 && i < n; i++) {
        if (!(s[i] >= 0 && s[i] <= 1)) {
            return bind_fail(L, FR_EINVAL,
                             "%s: the value %f in row %d is not a probability",
                             names[what], s[i], (int)i + 1);
        }
    }
    if (what == 1) {
        v = fr_metric_brier(y, s, n);
    } else if (what == 2) {
        double *both = scratch(L, 2 * n, sizeof *both);
        for (size_t i = 0; i < n; i++) {
            both[i] = 1 - s[i];
            both[n + i] = s[i];
        }
        v = fr_metric_log_loss(y, both, n);
    }
    lua_pushnumber(L, v);
    return 1;
}

// errors(y, p): mae, mse, rmse, mape, smape, r2
static int ml_errors(lua_State *L)
{
    size_t n = (size_t)bind_array_check(L, 1)->length;
    const double *y = check_numbers(L, 1, n), *p = check_numbers(L, 2, n);
    fr_errors e;
    fr_metric_errors(y, p, n, &e);
    const struct {
        const char *name;
        double value;
    } rows[] = {{"mae", e.mae},   {"mse", e.mse},     {"rmse", e.rmse},
                {"mape", e.mape}, {"smape", e.smape}, {"r2", e.r2}};
    lua_createtable(L, 0, (int)FR_COUNT(rows));
    for (size_t i = 0; i < FR_COUNT(rows); i++) {
        lua_pushnumber(L, rows[i].value);
        lua_setfield(L, -2, rows[i].name);
    }
    return 1;
}

// Mean over the classes of each one's area against the rest; false when one is absent.
static bool mean_auc(const int32_t *code, const double *p, size_t n, size_t classes,
                     int32_t *one, double *out)
{
    double sum = 0, auc;
    for (size_t k = classes == 2 ? 1 : 0; k < classes; k++) {
        for (size_t i = 0; i < n; i++) {
            one[i] = code[i] == (int32_t)k;
        }
        if (fr_metric_roc_auc(one, p + k * n, n, &auc, NULL) != FR_OK) {
            return false;
        }
        sum += auc;
    }
    *out = sum / (classes == 2 ? 1 : (double)classes);
    return true;
}

// score(model, frame, target): all scores of a classifier on rows with known classes.
static int model_score(lua_State *L)
{
    const fr_model *m = check_classifier(L, 1);
    const fr_frame *x = bind_frame_check(L, 2);
    const fr_array *y = bind_array_check(L, 3);
    size_t n = (size_t)x->rows, classes = fr_model_classes(m);
    fr_err err = FR_ERR_INIT;
    int32_t *code = scratch(L, n, 2 * sizeof *code), *chosen = code + n;
    int rc = n == 0 ? fr_fail(&err, FR_EINVAL, "no rows to score") : FR_OK;
    if (rc == FR_OK && (size_t)y->length != n) {
        rc = fr_fail(&err, FR_EINVAL, "%zu rows, but %lld targets", n,
                     (long long)y->length);
    }
    rc = rc != FR_OK ? rc : fr_target_match(y, m->target, m->labels, code, &err);
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    const double *p = probabilities(L, m, x);
    int64_t *count = scratch(L, classes * classes, sizeof *count);
    fr_model_choose(p, n, classes, chosen);
    fr_metric_confusion(code, chosen, n, classes, count);
    fr_score s;
    if (classes == 2) {
        fr_metric_class(count, 2, 1, &s);
    } else {
        fr_metric_average(count, classes, FR_AVERAGE_MACRO, &s);
    }
    push_score(L, fr_metric_accuracy(count, classes), &s);
    lua_pushnumber(L, fr_metric_log_loss(code, p, n));
    lua_setfield(L, -2, "log_loss");
    double auc;
    if (mean_auc(code, p, n, classes, chosen, &auc)) {
        lua_pushnumber(L, auc);
        lua_setfield(L, -2, "roc_auc");
    }
    lua_pushinteger(L, (lua_Integer)n);
    lua_setfield(L, -2, "rows");
    return 1;
}

int luaopen_flowrun_core_ml(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"predict", model_predict},
        {"predict_proba", model_predict_proba},
        {"importances", model_importances},
        {"save", model_save},
        {"info", model_info},
        {"in_sample", model_in_sample},
        {"score", model_score},
        {"size", model_size},
        {"transform", model_transform},
        {"out_of_bag", model_out_of_bag},
        {"explain", model_explain},
        {"tree", model_tree},
        {"threshold", model_threshold},
        {"learn", model_learn},
        {NULL, NULL},
    };
    static const luaL_Reg functions[] = {
        {"kinds", ml_kinds},     {"check", ml_check},         {"fit", ml_fit},
        {"scaler", ml_scaler},   {"coder", ml_coder},         {"load", ml_load},
        {"report", ml_report},   {"confusion", ml_confusion}, {"scores", ml_scores},
        {"ranking", ml_ranking}, {"errors", ml_errors},       {NULL, NULL},
    };
    static const luaL_Reg meta[] = {{"__tostring", model_tostring}, {NULL, NULL}};
    bind_object_class(L, FR_KIND_MODEL, NULL, meta);
    luaL_newlib(L, functions);
    luaL_newlib(L, methods); // ml.lua adds those written in Lua
    luaL_getmetatable(L, bind_object_class_name(FR_KIND_MODEL));
    lua_pushvalue(L, -2);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    lua_setfield(L, -2, "methods");
    return 1;
}
