// flowrun.core.expr -- expressions over frames: filter, new columns, aggregates per
// group. lua/flowrun/frame_relate.lua calls these.
#include "core/base/mem.h"
#include "core/data/expr.h"
#include "core/data/group.h"
#include "lua/bind/expr_box.h"
#include "lua/bind/frame_box.h"

#include <string.h>

enum { MAX_PARAMS = 200 };

// What a call owns while Lua may raise: freed by the box's __gc.
#define EXPR "flowrun.Expr"

static fr_expr **expr_box(lua_State *L) { return (fr_expr **)bind_box(L, EXPR); }

static int expr_gc(lua_State *L)
{
    fr_expr **slot = luaL_checkudata(L, 1, EXPR);
    fr_expr_free(*slot);
    *slot = NULL;
    return 0;
}

// Reads the value on top.
static void fill_param(lua_State *L, fr_expr_param *p, const char *name, int anchor,
                       lua_Integer slot)
{
    *p = (fr_expr_param){.name = name};
    switch (lua_type(L, -1)) {
    case LUA_TBOOLEAN:
        p->kind = FR_PARAM_BOOL;
        p->integer = lua_toboolean(L, -1);
        break;
    case LUA_TNUMBER:
        p->kind = lua_isinteger(L, -1) ? FR_PARAM_INT : FR_PARAM_FLOAT;
        p->integer = lua_isinteger(L, -1) ? lua_tointeger(L, -1) : 0;
        p->number = lua_tonumber(L, -1);
        break;
    case LUA_TSTRING:
        p->kind = FR_PARAM_TEXT;
        p->text = lua_tolstring(L, -1, &p->size);
        break;
    case LUA_TLIGHTUSERDATA:
        p->kind = FR_PARAM_NULL; // frame.null
        break;
    default:
        lua_pushfstring(L, "parameter $%s", name);
        p->kind = FR_PARAM_LIST;
        p->list = bind_array_from(L, lua_gettop(L) - 1, NULL, lua_tostring(L, -1));
        lua_rawseti(L, anchor, slot); // keeps the array alive
        lua_pop(L, 1);
        break;
    }
}

fr_expr_param *bind_expr_params(lua_State *L, int idx, size_t *n)
{
    *n = 0;
    fr_expr_param *list = lua_newuserdatauv(L, MAX_PARAMS * sizeof *list, 0);
    if (lua_isnoneornil(L, idx)) {
        return list;
    }
    luaL_checktype(L, idx, LUA_TTABLE);
    lua_newtable(L);
    int anchor = lua_gettop(L);
    lua_pushnil(L);
    while (lua_next(L, idx) != 0) {
        if (lua_type(L, -2) != LUA_TSTRING || *n == MAX_PARAMS) {
            (void)bind_fail(L, FR_EINVAL, "parameters are named, at most %d: {lo = 3}",
                            MAX_PARAMS);
        }
        fill_param(L, &list[*n], lua_tostring(L, -2), anchor, (lua_Integer)*n + 1);
        ++*n;
        lua_pop(L, 1);
    }
    return list;
}

// --- windows ---

#define WINDOW "flowrun.Window"

static int window_gc(lua_State *L)
{
    fr_window **slot = luaL_checkudata(L, 1, WINDOW);
    fr_window_free(*slot);
    *slot = NULL;
    return 0;
}

static const fr_array *column_at(lua_State *L, const fr_frame *f, const char *name,
                                 const char *what)
{
    const fr_array *a;
    fr_err err = FR_ERR_INIT;
    int rc = fr_frame_column(f, name, &a, &err);
    if (rc != FR_OK) {
        (void)fr_wrap(&err, rc, "%s", what);
        bind_raise_error(L, &err);
    }
    return a;
}

// window(frame, by, order, list of desc, list of nulls first): the parts and their order.
static int expr_window(lua_State *L)
{
    const fr_frame *f = bind_frame_check(L, 1);
    size_t n_by, n_order;
    const char **by = bind_names(L, 2, &n_by, "window: by");
    const char **order = bind_names(L, 3, &n_order, "window: order");
    luaL_checktype(L, 4, LUA_TTABLE);
    luaL_checktype(L, 5, LUA_TTABLE);
    const fr_array **parts = lua_newuserdatauv(L, (n_by + 1) * sizeof *parts, 0);
    fr_sort_key *keys = lua_newuserdatauv(L, (n_order + 1) * sizeof *keys, 0);
    for (size_t i = 0; i < n_by; i++) {
        parts[i] = column_at(L, f, by[i], "window: by");
    }
    for (size_t i = 0; i < n_order; i++) {
        lua_rawgeti(L, 4, (lua_Integer)i + 1);
        lua_rawgeti(L, 5, (lua_Integer)i + 1);
        keys[i] = (fr_sort_key){column_at(L, f, order[i], "window: order"),
                                lua_toboolean(L, -2), lua_toboolean(L, -1)};
        lua_pop(L, 2);
    }
    fr_window **slot = (fr_window **)bind_box(L, WINDOW);
    fr_err err = FR_ERR_INIT;
    int rc = fr_window_new(parts, n_by, keys, n_order, f->rows, slot, &err);
    return rc == FR_OK ? 1 : bind_raise(L, rc, &err);
}

// eval(frame, text, params, what, window or nil): the column that an expression makes.
// The window is of this frame.
static int expr_eval(lua_State *L)
{
    const fr_frame *f = bind_frame_check(L, 1);
    size_t n, n_params;
    const char *text = luaL_checklstring(L, 2, &n);
    const char *what = luaL_optstring(L, 4, "");
    lua_settop(L, 5);
    fr_window **window = lua_isnil(L, 5) ? NULL : luaL_checkudata(L, 5, WINDOW);
    fr_array **out = bind_array_box(L);
    fr_expr **e = expr_box(L);
    const fr_expr_param *params = bind_expr_params(L, 3, &n_params);
    fr_err err = FR_ERR_INIT;
    int rc = fr_expr_compile(text, n, f, params, n_params, e, &err);
    if (rc == FR_OK) {
        rc = fr_expr_eval_window(*e, window != NULL ? *window : NULL, out, &err);
    }
    if (rc != FR_OK) {
        return bind_raise(L, what[0] != '\0' ? fr_wrap(&err, rc, "%s", what) : rc, &err);
    }
    bind_array_sealed(L, *out);
    lua_settop(L, 6);
    return 1;
}

// filter(frame, text, params): the rows for which it is true.
static int expr_filter(lua_State *L)
{
    const fr_frame *f = bind_frame_check(L, 1);
    size_t n, n_params;
    const char *text = luaL_checklstring(L, 2, &n);
    lua_settop(L, 3);
    fr_frame **out = bind_frame_box(L);
    fr_array **mask = bind_array_box(L);
    fr_expr **e = expr_box(L);
    const fr_expr_param *params = bind_expr_params(L, 3, &n_params);
    fr_err err = FR_ERR_INIT;
    int rc = fr_expr_compile(text, n, f, params, n_params, e, &err);
    if (rc == FR_OK && fr_expr_type(*e)->kind != FR_BOOL) {
        char name[64];
        rc = fr_fail(&err, FR_ETYPE,
                     "filter: \"%.80s\" is %s, not true or false; compare it, as in "
                     "\"kw > 5\"",
                     text, fr_type_name(fr_expr_type(*e), name));
    }
    if (rc == FR_OK) {
        rc = fr_expr_eval(*e, mask, &err);
    }
    if (rc == FR_OK) {
        rc = fr_compute_filter(f, *mask, out, &err);
    }
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    bind_frame_sealed(L, *out);
    lua_settop(L, 4);
    return 1;
}

// --- aggregates ---

typedef struct agg { // freed by its box whatever happens
    fr_group *group;
    fr_expr **expr;
    size_t n_expr, n_keys, n_calls, n_columns;
    fr_array **keys, **inputs, **results, **columns;
    fr_group_call *calls;
    const char **names;
} agg;

#define AGG "flowrun.Agg"

static void unref_all(fr_array **list, size_t n)
{
    for (size_t i = 0; list != NULL && i < n; i++) {
        fr_array_unref(list[i]);
    }
    fr_free(list);
}

static int agg_gc(lua_State *L)
{
    agg *a = luaL_checkudata(L, 1, AGG);
    fr_group_free(a->group);
    for (size_t i = 0; i < a->n_expr; i++) {
        fr_expr_free(a->expr[i]);
    }
    fr_free(a->expr);
    unref_all(a->keys, a->n_keys);
    unref_all(a->inputs, a->n_calls);
    unref_all(a->results, a->n_calls);
    unref_all(a->columns, a->n_columns);
    fr_free(a->calls);
    fr_free(a->names);
    *a = (agg){0};
    return 0;
}

static int group_rows(const fr_frame *f, const char *const *keys, agg *a, fr_err *err)
{
    const fr_array **columns = fr_zalloc((a->n_keys + 1) * sizeof *columns);
    int rc = FR_OK;
    for (size_t k = 0; k < a->n_keys && rc == FR_OK; k++) {
        rc = fr_frame_column(f, keys[k], &columns[k], err);
    }
    if (rc == FR_OK) {
        rc = fr_group_new(columns, a->n_keys, f->rows, &a->group, err);
    }
    fr_free(columns);
    return rc == FR_OK ? rc : fr_wrap(err, rc, "group");
}

// All calls of all expressions are computed in one pass over the groups.
static int run_calls(agg *a, fr_err *err)
{
    size_t c = 0;
    for (size_t i = 0; i < a->n_expr; i++) {
        for (size_t k = 0; k < fr_expr_agg_count(a->expr[i]); k++, c++) {
            const fr_expr_agg *call = fr_expr_agg_at(a->expr[i], k);
            int rc = fr_expr_agg_input(a->expr[i], k, &a->inputs[c], err);
            if (rc != FR_OK) {
                return rc;
            }
            a->calls[c] = (fr_group_call){call->op, a->inputs[c], call->quantile};
        }
    }
    int rc = a->n_calls == 0
                 ? FR_OK
                 : fr_group_aggregate(a->group, a->calls, a->n_calls, a->results, err);
    // Groups are counted by then: asking for the keys first would cost a pass of its own.
    for (size_t k = 0; k < a->n_keys && rc == FR_OK; k++) {
        rc = fr_group_key(a->group, k, &a->keys[k], err);
    }
    return rc;
}

static int finish_columns(agg *a, int64_t groups, fr_err *err)
{
    size_t c = 0;
    for (size_t i = 0; i < a->n_expr; i++) {
        int rc = fr_expr_agg_finish(a->expr[i], a->results + c, a->keys, groups,
                                    &a->columns[a->n_keys + i], err);
        if (rc != FR_OK) {
            return rc;
        }
        c += fr_expr_agg_count(a->expr[i]);
    }
    for (size_t k = 0; k < a->n_keys; k++) {
        a->columns[k] = fr_array_ref(a->keys[k]);
    }
    return FR_OK;
}

static int compile_all(lua_State *L, const fr_frame *f, const char *const *keys,
                       const char *const *names, const char *const *texts,
                       const fr_expr_param *params, size_t n_params, agg *a, fr_err *err)
{
    (void)L;
    for (size_t i = 0; i < a->n_expr; i++) {
        int rc = fr_expr_compile_agg(texts[i], strlen(texts[i]), f, keys, a->n_keys,
                                     params, n_params, &a->expr[i], err);
        if (rc != FR_OK) {
            return fr_wrap(err, rc, "agg: column \"%s\"", names[i]);
        }
        a->n_calls += fr_expr_agg_count(a->expr[i]);
    }
    a->inputs = fr_zalloc((a->n_calls + 1) * sizeof *a->inputs);
    a->results = fr_zalloc((a->n_calls + 1) * sizeof *a->results);
    a->calls = fr_zalloc((a->n_calls + 1) * sizeof *a->calls);
    return FR_OK;
}

// agg(frame, keys, names, texts, params): one row per group: the keys, then the columns.
static int expr_agg(lua_State *L)
{
    const fr_frame *f = bind_frame_check(L, 1);
    lua_settop(L, 5);
    size_t n_keys, n_names, n_texts, n_params;
    const char **keys = bind_names(L, 2, &n_keys, "group");
    const char **names = bind_names(L, 3, &n_names, "agg");
    const char **texts = bind_names(L, 4, &n_texts, "agg");
    fr_frame **out = bind_frame_box(L);
    int out_at = lua_gettop(L);
    agg *a = lua_newuserdatauv(L, sizeof *a, 0);
    *a = (agg){0};
    luaL_setmetatable(L, AGG);
    const fr_expr_param *params = bind_expr_params(L, 5, &n_params);
    a->expr = fr_zalloc((n_texts + 1) * sizeof *a->expr);
    a->n_expr = n_texts;
    a->n_keys = n_keys;
    a->keys = fr_zalloc((n_keys + 1) * sizeof *a->keys);
    a->n_columns = n_keys + n_texts;
    a->columns = fr_zalloc((a->n_columns + 1) * sizeof *a->columns);
    a->names = fr_zalloc((a->n_columns + 1) * sizeof *a->names);
    for (size_t i = 0; i < a->n_columns; i++) {
        a->names[i] = i < n_keys ? keys[i] : names[i - n_keys];
    }
    fr_err err = FR_ERR_INIT;
    int64_t groups = 0;
    int rc = compile_all(L, f, keys, names, texts, params, n_params, a, &err);
    if (rc == FR_OK) {
        rc = group_rows(f, keys, a, &err);
    }
    if (rc == FR_OK) {
        rc = run_calls(a, &err);
    }
    if (rc == FR_OK) {
        rc = fr_group_count(a->group, &groups, &err);
    }
    if (rc == FR_OK) {
        rc = finish_columns(a, groups, &err);
    }
    if (rc == FR_OK) {
        rc = fr_frame_new(a->n_columns, a->names, a->columns, out, &err);
    }
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    bind_frame_sealed(L, *out);
    lua_pushvalue(L, out_at);
    return 1;
}

static void push_call(lua_State *L, const fr_expr_agg *call)
{
    char type[64];
    lua_createtable(L, 0, 4);
    lua_pushstring(L, fr_op_name(call->op));
    lua_setfield(L, -2, "op");
    lua_pushinteger(L, (lua_Integer)call->at + 1);
    lua_setfield(L, -2, "from");
    lua_pushinteger(L, (lua_Integer)call->end);
    lua_setfield(L, -2, "to");
    lua_pushstring(L, call->op == FR_OP_ROWS ? "" : fr_type_name(&call->input, type));
    lua_setfield(L, -2, "type");
}

// inspect(frame, text, params, keys or nil) -> {own = no row looks at others, calls = with keys:
// the aggregates in the text, as {op, from, to, type of the argument}}
static int expr_inspect(lua_State *L)
{
    const fr_frame *f = bind_frame_check(L, 1);
    size_t size, n_params, n_keys = 0;
    const char *text = luaL_checklstring(L, 2, &size);
    lua_settop(L, 4);
    bool grouped = !lua_isnil(L, 4);
    const char **keys = grouped ? bind_names(L, 4, &n_keys, "group") : NULL;
    fr_expr **slot = expr_box(L);
    const fr_expr_param *params = bind_expr_params(L, 3, &n_params);
    fr_err err = FR_ERR_INIT;
    int rc = grouped ? fr_expr_compile_agg(text, size, f, keys, n_keys, params, n_params, slot,
                                           &err)
                     : fr_expr_compile(text, size, f, params, n_params, slot, &err);
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    lua_createtable(L, 0, 2);
    lua_pushboolean(L, fr_expr_is_own(*slot));
    lua_setfield(L, -2, "own");
    lua_newtable(L);
    for (size_t i = 0; i < fr_expr_agg_count(*slot); i++) {
        push_call(L, fr_expr_agg_at(*slot, i));
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, "calls");
    return 1;
}

static const luaL_Reg functions[] = {
    {"inspect", expr_inspect},
    {"eval", expr_eval},
    {"filter", expr_filter},
    {"agg", expr_agg},
    {"window", expr_window},
    {NULL, NULL},
};

static const luaL_Reg none[] = {{NULL, NULL}};

int luaopen_flowrun_core_expr(lua_State *L)
{
    bind_class(L, EXPR, none, none, expr_gc);
    bind_class(L, AGG, none, none, agg_gc);
    bind_class(L, WINDOW, none, none, window_gc);
    luaL_newlib(L, functions);
    return 1;
}
