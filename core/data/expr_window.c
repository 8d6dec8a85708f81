// Window functions in expressions: names, arguments, and their evaluation before the outer
// tree. Options may be named: rolling_mean(kw, 24, min = 1), ewm_mean(kw, span = 5).

#include "core/base/mem.h"
#include "core/data/expr_int.h"

#include <math.h>
#include <string.h>

static const struct {
    const char *name;
    fr_window_op op;
    uint8_t least, most;   // arguments
    const char *usage;
} functions[] = {
    {"cum_count", FR_WINDOW_CUM_COUNT, 1, 1, "cum_count(x)"},
    {"cum_max", FR_WINDOW_CUM_MAX, 1, 1, "cum_max(x)"},
    {"cum_min", FR_WINDOW_CUM_MIN, 1, 1, "cum_min(x)"},
    {"cum_sum", FR_WINDOW_CUM_SUM, 1, 1, "cum_sum(x)"},
    {"ewm_mean", FR_WINDOW_EWM_MEAN, 2, 3,
     "ewm_mean(x, alpha = 0.3), or span =, halflife =, com =; then min = rows"},
    {"fill_backward", FR_WINDOW_BACKWARD, 1, 2, "fill_backward(x) or fill_backward(x, limit)"},
    {"fill_forward", FR_WINDOW_FORWARD, 1, 2, "fill_forward(x) or fill_forward(x, limit)"},
    {"interpolate", FR_WINDOW_INTERPOLATE, 1, 1, "interpolate(x)"},
    {"lag", FR_WINDOW_LAG, 1, 2, "lag(x) or lag(x, rows)"},
    {"lead", FR_WINDOW_LAG, 1, 2, "lead(x) or lead(x, rows)"},
    {"rank", FR_WINDOW_RANK_MIN, 1, 3,
     "rank(x), rank(x, 'dense') with min, max, dense or average, then 'desc'"},
    {"rolling_count", FR_WINDOW_COUNT, 2, 3, "rolling_count(x, rows) or (x, rows, min = rows)"},
    {"rolling_max", FR_WINDOW_MAX, 2, 3, "rolling_max(x, rows) or (x, rows, min = values)"},
    {"rolling_mean", FR_WINDOW_MEAN, 2, 3, "rolling_mean(x, rows) or (x, rows, min = values)"},
    {"rolling_min", FR_WINDOW_MIN, 2, 3, "rolling_min(x, rows) or (x, rows, min = values)"},
    {"rolling_std", FR_WINDOW_STD, 2, 3, "rolling_std(x, rows) or (x, rows, min = values)"},
    {"rolling_sum", FR_WINDOW_SUM, 2, 3, "rolling_sum(x, rows) or (x, rows, min = values)"},
    {"rolling_var", FR_WINDOW_VAR, 2, 3, "rolling_var(x, rows) or (x, rows, min = values)"},
    {"row_number", FR_WINDOW_NUMBER, 0, 0, "row_number()"},
};

static size_t find(const char *name)
{
    size_t i = 0;
    while (i < FR_COUNT(functions) && strcmp(functions[i].name, name) != 0) {
        i++;
    }
    return i;
}

bool expr_is_window(const char *name) { return find(name) < FR_COUNT(functions); }

size_t expr_window_names(const char **names, size_t max)
{
    size_t n = 0;
    for (; n < FR_COUNT(functions) && n < max; n++) {
        names[n] = functions[n].name;
    }
    return n;
}

static int bad_argument(expr_compiler *c, const expr_node *a, const char *wanted)
{
    return expr_fail(c, FR_EINVAL, a->at, a->end - a->at, "expected %s", wanted);
}

// `min = 3` is not a comparison here: the name, and the node becomes its right side.
static const char *named(expr_node **arg)
{
    const expr_node *a = *arg;
    if (a->op != EXPR_EQ || a->args[0]->op != EXPR_COLUMN) {
        return "";
    }
    *arg = a->args[1];
    return a->args[0]->s.s;
}

static int constant(expr_compiler *c, expr_node *node, uint32_t i, fr_kind kind,
                    const char *wanted)
{
    int rc = expr_type(c, &node->args[i]);
    if (rc == FR_OK && node->args[i]->op == EXPR_LIST) {
        return bad_argument(c, node->args[i], wanted);
    }
    bool text = rc == FR_OK && expr_is_text(node->args[i]);
    if (rc == FR_OK && text != (kind == FR_UTF8)) {
        return bad_argument(c, node->args[i], wanted);
    }
    rc = rc == FR_OK ? expr_want(c, node, i, kind) : rc;
    const expr_node *a = node->args[i];
    return rc == FR_OK && (a->op != EXPR_CONST || a->null) ? bad_argument(c, a, wanted) : rc;
}

static int whole(expr_compiler *c, expr_node *node, uint32_t i, int64_t least, int64_t *out)
{
    const char *wanted = least > 0 ? "a constant number of rows, from 1"
                                   : "a constant whole number of rows";
    int rc = constant(c, node, i, FR_INT64, wanted);
    if (rc == FR_OK && (node->args[i]->i < least || node->args[i]->i > UINT32_MAX)) {
        rc = bad_argument(c, node->args[i], wanted);
    }
    *out = rc == FR_OK ? node->args[i]->i : 0;
    return rc;
}

// rolling_mean(x, n[, min = m])
static int rolling(expr_compiler *c, expr_node *node, fr_window_call *call)
{
    int rc = whole(c, node, 1, 1, &call->n);
    call->least = call->n;
    if (rc == FR_OK && node->n_args == 3) {
        const char *name = named(&node->args[2]);
        if (name[0] != '\0' && strcmp(name, "min") != 0) {
            return bad_argument(c, node->args[2], "min = values");
        }
        rc = whole(c, node, 2, 0, &call->least);
        if (rc == FR_OK && call->least > call->n) {
            rc = bad_argument(c, node->args[2], "min at most the rows of the window");
        }
    }
    return rc;
}

static double decay(const char *name, double v)
{
    if (strcmp(name, "span") == 0) {
        return v >= 1 ? 2 / (v + 1) : -1;
    }
    if (strcmp(name, "com") == 0) {
        return v >= 0 ? 1 / (1 + v) : -1;
    }
    if (strcmp(name, "halflife") == 0) {
        return v > 0 ? -expm1(-log(2) / v) : -1;
    }
    return v;
}

static int exponential(expr_compiler *c, expr_node *node, fr_window_call *call)
{
    static const char wanted[] = "alpha in (0, 1], span >= 1, com >= 0 or halflife > 0";
    const char *name = named(&node->args[1]);
    bool known = name[0] == '\0' || strcmp(name, "alpha") == 0 || strcmp(name, "span") == 0 ||
                 strcmp(name, "com") == 0 || strcmp(name, "halflife") == 0;
    if (!known) {
        return bad_argument(c, node->args[1], wanted);
    }
    int rc = constant(c, node, 1, FR_FLOAT64, wanted);
    call->alpha = rc == FR_OK ? decay(name, node->args[1]->x) : 1;
    if (rc == FR_OK && !(call->alpha > 0 && call->alpha <= 1)) {
        return bad_argument(c, node->args[1], wanted);
    }
    call->least = 1;
    if (rc == FR_OK && node->n_args == 3) {
        name = named(&node->args[2]);
        rc = strcmp(name, "min") == 0 || name[0] == '\0' ? whole(c, node, 2, 1, &call->least)
                                                         : bad_argument(c, node->args[2], "min =");
    }
    return rc;
}

static int ranking(expr_compiler *c, expr_node *node, fr_window_call *call)
{
    static const char *const names[] = {"min", "max", "dense", "average"};
    for (uint32_t i = 1; i < node->n_args; i++) {
        static const char wanted[] = "'min', 'max', 'dense', 'average' or 'desc'";
        int rc = constant(c, node, i, FR_UTF8, wanted);
        if (rc != FR_OK) {
            return rc;
        }
        expr_str s = node->args[i]->s;
        size_t k = 0;
        while (k < FR_COUNT(names) &&
               (strlen(names[k]) != s.n || memcmp(names[k], s.s, s.n) != 0)) {
            k++;
        }
        bool desc = s.n == 4 && memcmp(s.s, "desc", 4) == 0;
        if (k == FR_COUNT(names) && !desc) {
            return bad_argument(c, node->args[i], wanted);
        }
        call->desc = call->desc || desc;
        call->op = desc ? call->op : (fr_window_op)(FR_WINDOW_RANK_MIN + k);
    }
    return FR_OK;
}

static int options(expr_compiler *c, expr_node *node, fr_window_call *call)
{
    if (call->op >= FR_WINDOW_SUM) {
        return rolling(c, node, call);
    }
    if (call->op == FR_WINDOW_EWM_MEAN) {
        return exponential(c, node, call);
    }
    if (call->op == FR_WINDOW_RANK_MIN) {
        return ranking(c, node, call);
    }
    call->n = call->op == FR_WINDOW_LAG ? 1 : INT64_MAX;
    if (node->n_args < 2) {
        return FR_OK;
    }
    return whole(c, node, 1, call->op == FR_WINDOW_LAG ? -(int64_t)UINT32_MAX : 1, &call->n);
}

static int input(expr_compiler *c, expr_node *node, const fr_window_call *call, fr_type *out)
{
    fr_type type = fr_type_of(FR_INT64);
    if (node->n_args == 0) {
        return fr_window_type(call->op, &type, out, NULL);
    }
    int rc = expr_type(c, &node->args[0]);
    const expr_node *x = node->args[0];
    if (rc != FR_OK) {
        return rc;
    }
    if ((int)x->type.kind == 0 || x->op == EXPR_LIST) {
        return expr_type_fail(c, x, "a column");
    }
    fr_err err = FR_ERR_INIT;
    type = x->type;
    if (fr_window_type(call->op, &type, out, &err) != FR_OK) {
        return expr_fail(c, FR_ETYPE, x->at, x->end - x->at, "%s", err.text);
    }
    return FR_OK;
}

int expr_type_window(expr_compiler *c, expr_node *node)
{
    size_t k = find(node->s.s);
    fr_window_call call = {.op = functions[k].op};
    if (c->agg) {
        return expr_fail(c, FR_EINVAL, node->at, node->end - node->at,
                         "%s() looks at rows: make a column with window{...} first", node->s.s);
    }
    if (node->n_args < functions[k].least || node->n_args > functions[k].most) {
        return expr_fail(c, FR_EINVAL, node->at, node->end - node->at, "usage: %s",
                         functions[k].usage);
    }
    int rc = input(c, node, &call, &node->type);
    rc = rc == FR_OK ? options(c, node, &call) : rc;
    fr_type type = node->n_args > 0 ? node->args[0]->type : fr_type_of(FR_INT64);
    rc = rc == FR_OK ? fr_window_type(call.op, &type, &node->type, c->err) : rc; // of this rank
    if (rc != FR_OK) {
        return rc;
    }
    if (strcmp(node->s.s, "lead") == 0) {
        call.n = -call.n;
    }
    fr_expr *e = c->expr;
    e->windows = fr_realloc(e->windows, (e->n_windows + 1) * sizeof *e->windows);
    e->windows[e->n_windows] = (expr_window){
        .call = call, .arg = node->n_args > 0 ? node->args[0] : NULL, .name = functions[k].name};
    node->op = EXPR_COLUMN; // behind the frame's; several sources, so nothing lifts it
    node->source = c->f->columns + e->n_windows++;
    node->only_source = -2;
    node->impure = true;
    node->n_args = 0;
    return FR_OK;
}

static int value_of(const fr_expr *e, const expr_node *n, const fr_array *const *sources,
                    const char *const *names, fr_array **out, fr_err *err)
{
    if (n->op == EXPR_COLUMN && !n->codes) {
        *out = fr_array_ref(sources[n->source]);
        return FR_OK;
    }
    return expr_run(e, n, sources, names, e->f->rows, out, err);
}

int expr_window_run(const fr_expr *e, const fr_window *w, const expr_node *root, fr_array **out,
                    fr_err *err)
{
    size_t columns = e->f->columns, n = columns + e->n_windows;
    const fr_array **sources = fr_zalloc(n * sizeof *sources);
    const char **names = fr_zalloc(n * sizeof *names);
    fr_array **made = fr_zalloc(e->n_windows * sizeof *made);
    for (size_t i = 0; i < columns; i++) {
        sources[i] = e->f->cols[i];
        names[i] = e->f->names[i];
    }
    int rc = FR_OK;
    for (size_t k = 0; k < e->n_windows && rc == FR_OK; k++) {
        const expr_window *x = &e->windows[k];
        fr_window_call call = x->call;
        fr_array *arg = NULL;
        rc = x->arg != NULL ? value_of(e, x->arg, sources, names, &arg, err) : FR_OK;
        call.input = arg;
        if (rc == FR_OK) {
            rc = fr_window_run(w, &call, e->f->rows, &made[k], err);
            bool column = x->arg != NULL && x->arg->op == EXPR_COLUMN;
            const char *of = column ? x->arg->s.s : "";
            rc = rc != FR_OK ? fr_wrap(err, rc, "%s(%s)", x->name, of) : rc;
        }
        fr_array_unref(arg);
        sources[columns + k] = made[k];
        names[columns + k] = x->name;
    }
    rc = rc == FR_OK ? value_of(e, root, sources, names, out, err) : rc;
    for (size_t k = 0; k < e->n_windows; k++) {
        fr_array_unref(made[k]);
    }
    fr_free(made);
    fr_free((void *)names);
    fr_free((void *)sources);
    return rc;
}
