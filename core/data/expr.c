#include "core/data/expr.h"

#include "core/data/expr_int.h"

#include <string.h>

static fr_expr *expr_new(const char *text, size_t n, const fr_frame *f)
{
    fr_expr *e = fr_zalloc(sizeof *e);
    e->f = fr_frame_ref(f);
    fr_arena_init(&e->arena);
    e->text = fr_strndup(text, n);
    e->size = n;
    return e;
}

void fr_expr_free(fr_expr *e)
{
    if (e == NULL) {
        return;
    }
    for (uint32_t i = 0; i < e->n_nodes; i++) {
        expr_set_free(e->nodes[i]->set);
        fr_zone_unref(e->nodes[i]->zone);
        fr_array_unref(e->nodes[i]->list);
    }
    for (size_t i = 0; i < e->n_keys; i++) {
        fr_free(e->keys[i]);
    }
    fr_free(e->keys);
    fr_free(e->nodes);
    fr_free(e->aggs);
    fr_free(e->agg_args);
    fr_free(e->windows);
    fr_free(e->text);
    fr_arena_fini(&e->arena);
    fr_frame_unref(e->f);
    fr_free(e);
}

static int compile(expr_compiler *c, fr_expr **out, fr_err *err)
{
    fr_err own = FR_ERR_INIT; // the caller's may hold an older message
    fr_expr *e = c->expr;
    c->text = e->text;
    c->arena = &e->arena;
    c->err = &own;
    int rc = expr_parse(c, &e->root);
    if (rc == FR_OK) {
        rc = expr_type(c, &e->root);
    }
    if (rc == FR_OK && e->root->op == EXPR_LIST) {
        rc = expr_fail(c, FR_ETYPE, 0, 1, "a list is not a column: lists go into `x in $list`");
    }
    if (rc == FR_OK && (int)e->root->type.kind == 0) {
        rc = expr_fail(c, FR_ETYPE, 0, 1, "the type of null is not known here: write float(null) "
                                          "or another conversion");
    }
    e->nodes = c->nodes;
    e->n_nodes = c->n_nodes;
    if (rc != FR_OK) {
        if (err != NULL) {
            *err = own;
        }
        fr_expr_free(e);
        return rc;
    }
    *out = e;
    return FR_OK;
}

int fr_expr_compile(const char *text, size_t n, const fr_frame *f, const fr_expr_param *params,
                    size_t n_params, fr_expr **out, fr_err *err)
{
    *out = NULL;
    expr_compiler c = {.size = n, .f = f, .params = params, .n_params = n_params,
                       .expr = expr_new(text, n, f)};
    return compile(&c, out, err);
}

int fr_expr_compile_agg(const char *text, size_t n, const fr_frame *f, const char *const *keys,
                        size_t n_keys, const fr_expr_param *params, size_t n_params,
                        fr_expr **out, fr_err *err)
{
    *out = NULL;
    fr_expr *e = expr_new(text, n, f);
    e->n_keys = n_keys;
    e->keys = fr_zalloc((n_keys + 1) * sizeof *e->keys);
    for (size_t i = 0; i < n_keys; i++) {
        e->keys[i] = fr_strdup(keys[i]);
    }
    expr_compiler c = {.size = n, .f = f, .params = params, .n_params = n_params, .agg = true,
                       .keys = (const char *const *)e->keys, .n_keys = n_keys, .expr = e};
    return compile(&c, out, err);
}

bool fr_expr_is_own(const fr_expr *e)
{
    bool own = e->n_windows == 0;
    for (uint32_t i = 0; i < e->n_nodes; i++) {
        own = own && e->nodes[i]->op != EXPR_ROW;
    }
    return own;
}

const fr_type *fr_expr_type(const fr_expr *e) { return &e->root->type; }

static int run(const fr_expr *e, const expr_node *root, fr_array **out, fr_err *err)
{
    if (root->op == EXPR_COLUMN && !root->codes) {
        *out = fr_array_ref(e->f->cols[root->source]);
        return FR_OK;
    }
    return expr_run(e, root, (const fr_array *const *)e->f->cols,
                    (const char *const *)e->f->names, e->f->rows, out, err);
}

int fr_expr_eval(const fr_expr *e, fr_array **out, fr_err *err)
{
    return fr_expr_eval_window(e, NULL, out, err);
}

int fr_expr_eval_window(const fr_expr *e, const fr_window *w, fr_array **out, fr_err *err)
{
    *out = NULL;
    if (e->n_aggs > 0) {
        return fr_fail(err, FR_ESTATE, "an aggregate is evaluated with agg_finish");
    }
    if (e->n_windows > 0) {
        return expr_window_run(e, w, e->root, out, err);
    }
    return run(e, e->root, out, err);
}

size_t fr_expr_agg_count(const fr_expr *e) { return e->n_aggs; }
const fr_expr_agg *fr_expr_agg_at(const fr_expr *e, size_t i) { return &e->aggs[i]; }

int fr_expr_agg_input(const fr_expr *e, size_t i, fr_array **out, fr_err *err)
{
    *out = NULL;
    return e->agg_args[i] == NULL ? FR_OK : run(e, e->agg_args[i], out, err);
}

int fr_expr_agg_finish(const fr_expr *e, fr_array *const *results, fr_array *const *keys,
                       int64_t groups, fr_array **out, fr_err *err)
{
    *out = NULL;
    size_t n = e->n_keys + e->n_aggs;
    const fr_array **sources = fr_zalloc((n + 1) * sizeof *sources);
    for (size_t i = 0; i < e->n_keys; i++) {
        sources[i] = keys[i];
    }
    for (size_t i = 0; i < e->n_aggs; i++) {
        FR_ASSERT(results[i]->type.kind == e->aggs[i].output.kind);
        sources[e->n_keys + i] = results[i];
    }
    int rc = FR_OK;
    if (e->root->op == EXPR_COLUMN) {
        *out = fr_array_ref(sources[e->root->source]);
    } else {
        rc = expr_run(e, e->root, sources, NULL, groups, out, err);
    }
    fr_free(sources);
    return rc;
}
