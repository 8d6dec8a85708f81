#include "core/base/nearest.h"
#include "core/data/expr_int.h"
#include "core/data/when.h"

#include <string.h>

expr_phys expr_phys_of(const fr_type *t)
{
    switch (t->kind) {
    case FR_BOOL:
        return EXPR_P_BOOL;
    case FR_FLOAT64:
    case FR_FLOAT32:
        return EXPR_P_F64;
    case FR_UTF8:
    case FR_CATEGORY:
        return EXPR_P_TEXT;
    case FR_INT64:
    case FR_INT8:
    case FR_INT16:
    case FR_INT32:
    case FR_UINT8:
    case FR_UINT16:
    case FR_UINT32:
    case FR_UINT64:
    case FR_DATE:
    case FR_TIMESTAMP:
    case FR_TIME:
    case FR_DURATION:
        break;
    }
    return EXPR_P_I64;
}

size_t expr_phys_size(expr_phys p)
{
    static const size_t sizes[] = {1, sizeof(int64_t), sizeof(double), sizeof(expr_str)};
    return sizes[p];
}

const char *expr_type_text(const fr_type *t, char out[64])
{
    if ((int)t->kind == 0) {
        return "null";
    }
    return fr_type_name(t, out);
}

int expr_type_fail(expr_compiler *c, const expr_node *node, const char *wanted)
{
    char type[64];
    return expr_fail(c, FR_ETYPE, node->at, node->end - node->at, "expected %s, got %s", wanted,
                     expr_type_text(&node->type, type));
}

bool expr_is_time(const expr_node *n) { return fr_kind_temporal(n->type.kind); }

static bool is_null_literal(const expr_node *n) { return (int)n->type.kind == 0; }
static bool is_const_text(const expr_node *n)
{
    return n->op == EXPR_CONST && n->type.kind == FR_UTF8 && !n->null;
}

// Casts.
static expr_node *wrap(expr_compiler *c, expr_node *from, const fr_type *to, expr_kernel kernel)
{
    expr_node *n = expr_node_new(c, EXPR_CAST, from->at, from->end, 1);
    n->args[0] = from;
    n->type = *to;
    n->kernel = kernel;
    n->typed = true;
    n->only_source = from->only_source;
    n->impure = from->impure;
    n->constant = from->constant;
    n->liftable = from->liftable;
    return n;
}

static int64_t scale_factor(const fr_type *from, const fr_type *to)
{
    if (from->kind == FR_DATE) {
        return 86400 * fr_unit_per_second(to->unit);
    }
    return fr_unit_per_second(to->unit) / fr_unit_per_second(from->unit);
}

int expr_cast(expr_compiler *c, expr_node **node, const fr_type *to)
{
    expr_node *n = *node;
    if (is_null_literal(n)) {
        n->type = *to;
        return FR_OK;
    }
    expr_phys from = expr_phys_of(&n->type), want = expr_phys_of(to);
    bool timed = to->kind == FR_TIMESTAMP || to->kind == FR_DURATION;
    if (from == want) {
        int64_t factor = timed && expr_is_time(n) ? scale_factor(&n->type, to) : 1;
        if (factor != 1) {
            *node = wrap(c, n, to, expr_kernel_scale);
            (*node)->i = factor;
        }
    } else if (from == EXPR_P_BOOL && want == EXPR_P_I64) {
        *node = wrap(c, n, to, expr_kernel_bool_to_int);
    } else if (from == EXPR_P_I64 && want == EXPR_P_F64) {
        *node = wrap(c, n, to, expr_kernel_int_to_float);
    } else {
        char type[64];
        return expr_type_fail(c, n, expr_type_text(to, type));
    }
    return expr_fold(c, node);
}

// One type for several arguments.
static int merge_times(expr_compiler *c, const expr_node *n, fr_type *t)
{
    fr_type a = *t, b = n->type;
    if (a.kind == FR_DATE && b.kind == FR_TIMESTAMP) {
        a = n->type;
        b = *t;
    }
    bool date_stamp = a.kind == FR_TIMESTAMP && b.kind == FR_DATE;
    if (a.kind != b.kind && !date_stamp) {
        return FR_ETYPE;
    }
    if (a.kind == FR_TIMESTAMP && (a.zone[0] != '\0') != (b.zone[0] != '\0')) {
        return expr_fail(c, FR_ETYPE, n->at, n->end - n->at,
                         "times with a zone (%s) and without one do not mix: use localize()",
                         a.zone[0] != '\0' ? a.zone : b.zone);
    }
    if (a.kind == b.kind) {
        a.unit = FR_MAX(a.unit, b.unit);
    }
    *t = a;
    return FR_OK;
}

static int merge(expr_compiler *c, const expr_node *n, fr_type *t)
{
    fr_kind a = t->kind, b = n->type.kind;
    if ((int)a == 0) {
        *t = n->type;
        if (fr_kind_integer(b)) {
            *t = fr_type_of(FR_INT64);
        } else if (fr_kind_number(b)) {
            *t = fr_type_of(FR_FLOAT64);
        } else if (b == FR_CATEGORY) {
            *t = fr_type_of(FR_UTF8);
        }
        return FR_OK;
    }
    if (fr_kind_number(a) && fr_kind_number(b)) {
        *t = fr_type_of(a == FR_INT64 && fr_kind_integer(b) ? FR_INT64 : FR_FLOAT64);
        return FR_OK;
    }
    bool text = a == FR_UTF8 && (b == FR_UTF8 || b == FR_CATEGORY);
    if (text || (a == FR_BOOL && b == FR_BOOL)) {
        return FR_OK;
    }
    return fr_kind_temporal(a) && fr_kind_temporal(b) ? merge_times(c, n, t) : FR_ETYPE;
}

// A text constant beside a date, timestamp, time or duration means one.
static int read_time(expr_compiler *c, expr_node *n, fr_type *t)
{
    fr_when w;
    if (t->kind == FR_DATE && fr_when_parse(n->s.s, n->s.n, &w) && w.has_time) {
        *t = (fr_type){.kind = FR_TIMESTAMP, .unit = FR_MICRO};
    }
    if (t->kind == FR_TIMESTAMP && fr_when_parse(n->s.s, n->s.n, &w)) {
        t->unit = FR_MAX(t->unit, w.digits > 6   ? FR_NANO
                                  : w.digits > 3 ? FR_MICRO
                                  : w.digits > 0 ? FR_MILLI
                                                 : FR_SECOND);
        if (w.has_offset && t->zone[0] == '\0') {
            return expr_fail(c, FR_ETYPE, n->at, n->end - n->at,
                             "'%.*s' has an offset, the column has no zone",
                             (int)FR_MIN(n->s.n, 40), n->s.s);
        }
    }
    return FR_OK;
}

static int set_time(expr_compiler *c, expr_node **node, const fr_type *t)
{
    const expr_node *n = *node;
    int64_t v;
    if (!expr_time_constant(n->s.s, n->s.n, t, &v)) {
        static const char *const forms[] = {"a date such as '2024-01-31'",
                                            "a time such as '2024-01-31 10:00:00'",
                                            "a time of day such as '10:30'",
                                            "a duration such as '1h30m'"};
        int form = t->kind == FR_DATE        ? 0
                   : t->kind == FR_TIMESTAMP ? 1
                   : t->kind == FR_TIME      ? 2
                                             : 3;
        return expr_fail(c, FR_ETYPE, n->at, n->end - n->at, "'%.*s' is not %s",
                         (int)FR_MIN(n->s.n, 40), n->s.s, forms[form]);
    }
    expr_node *made = expr_node_new(c, EXPR_CONST, n->at, n->end, 0);
    made->type = *t;
    made->i = v;
    made->typed = made->constant = true;
    *node = made;
    return FR_OK;
}

int expr_unify(expr_compiler *c, expr_node *node, size_t from, size_t to, const char *what)
{
    fr_type t = {0};
    char a[64], b[64];
    int rc = FR_OK;
    for (int texts = 0; texts < 2; texts++) { // constants of text come last: they adapt
        for (size_t i = from; i < to; i++) {
            expr_node *n = node->args[i];
            if (is_null_literal(n) || is_const_text(n) != (texts == 1)) {
                continue;
            }
            bool adapts = texts == 1 && fr_kind_temporal(t.kind);
            rc = adapts ? read_time(c, n, &t) : merge(c, n, &t);
            if (rc == FR_ETYPE && (c->err == NULL || c->err->code != FR_ETYPE)) {
                return expr_fail(c, FR_ETYPE, n->at, n->end - n->at,
                                 "%s: %s and %s do not go together%s",
                                 what, expr_type_text(&t, a), expr_type_text(&n->type, b),
                                 fr_kind_number(t.kind) && is_const_text(n)
                                     ? ": numbers are written without quotes"
                                     : "");
            }
            if (rc != FR_OK) {
                return rc;
            }
        }
    }
    if ((int)t.kind == 0) {
        t = fr_type_of(FR_BOOL); // nothing but nulls
    }
    for (size_t i = from; i < to; i++) {
        bool adapts = is_const_text(node->args[i]) && fr_kind_temporal(t.kind);
        rc = adapts ? set_time(c, &node->args[i], &t) : expr_cast(c, &node->args[i], &t);
        if (rc != FR_OK) {
            return rc;
        }
    }
    if (to > from) {
        node->type = t;
    }
    return FR_OK;
}

int expr_want(expr_compiler *c, expr_node *node, size_t i, fr_kind kind)
{
    expr_node *n = node->args[i];
    fr_type t = fr_type_of(kind);
    if (is_null_literal(n)) {
        n->type = t;
        return FR_OK;
    }
    bool fits = kind == FR_UTF8      ? expr_is_text(n)
                : kind == FR_BOOL    ? n->type.kind == FR_BOOL
                : kind == FR_INT64   ? fr_kind_integer(n->type.kind)
                : kind == FR_FLOAT64 ? expr_is_number(n)
                                     : n->type.kind == kind;
    if (!fits) {
        static const char *const hints[] = {"text", "true or false", "a whole number", "a number"};
        return expr_type_fail(c, n, kind == FR_UTF8      ? hints[0]
                                    : kind == FR_BOOL    ? hints[1]
                                    : kind == FR_INT64   ? hints[2]
                                    : kind == FR_FLOAT64 ? hints[3]
                                                         : "another type");
    }
    return expr_cast(c, &node->args[i], &t);
}

// Operators.
static int type_arith(expr_compiler *c, expr_node *node)
{
    expr_node *a = node->args[0], *b = node->args[1];
    if (expr_is_time(a) || expr_is_time(b)) {
        return expr_time_arith(c, node);
    }
    for (size_t i = 0; i < 2; i++) {
        expr_node *n = node->args[i];
        if (expr_is_number(n) || is_null_literal(n)) {
            continue;
        }
        if (expr_is_text(n)) {
            return expr_fail(c, FR_ETYPE, n->at, n->end - n->at,
                             "arithmetic with text: concat(a, b) joins texts, float(x) reads a "
                             "number");
        }
        return expr_fail(c, FR_ETYPE, n->at, n->end - n->at,
                         "arithmetic with true and false: write if_else(x, 1, 0) or int(x)");
    }
    bool floats = node->op == EXPR_DIV || node->op == EXPR_POW;
    bool ints = !floats && (is_null_literal(a) || fr_kind_integer(a->type.kind)) &&
                (is_null_literal(b) || fr_kind_integer(b->type.kind));
    fr_type t = fr_type_of(ints ? FR_INT64 : FR_FLOAT64);
    int rc = expr_cast(c, &node->args[0], &t);
    if (rc == FR_OK) {
        rc = expr_cast(c, &node->args[1], &t);
    }
    node->type = t;
    node->kernel = expr_kernel_arith(node->op, expr_phys_of(&t));
    return rc;
}

static int type_neg(expr_compiler *c, expr_node *node)
{
    expr_node *a = node->args[0];
    if (a->type.kind == FR_DURATION) {
        node->type = a->type;
        node->kernel = expr_kernel_neg_int;
        return FR_OK;
    }
    if (!expr_is_number(a) && !is_null_literal(a)) {
        return expr_type_fail(c, a, "a number");
    }
    bool ints = fr_kind_integer(a->type.kind);
    fr_type t = fr_type_of(ints ? FR_INT64 : FR_FLOAT64);
    node->type = t;
    node->kernel = ints ? expr_kernel_neg_int : expr_kernel_neg_float;
    return expr_cast(c, &node->args[0], &t);
}

// L < M < H: an ordered category compares by its codes.
static int by_codes(expr_compiler *c, expr_node *node, const expr_node *column, bool *done)
{
    const fr_array *a = c->f->cols[column->source];
    *done = false;
    if (c->agg && !c->inside_agg) {
        return FR_OK;
    }
    for (uint32_t i = 0; i < node->n_args; i++) {
        expr_node *n = node->args[i];
        if (is_const_text(n)) {
            int64_t code = -1;
            for (int64_t k = 0; k < a->dict->length && code < 0; k++) {
                size_t size;
                const char *s = fr_array_text(a->dict, k, &size);
                code = size == n->s.n && memcmp(s, n->s.s, size) == 0 ? k : -1;
            }
            if (code < 0) {
                return expr_fail(c, FR_ENOTFOUND, n->at, n->end - n->at,
                                 "'%.*s' is not a category of %.60s", (int)FR_MIN(n->s.n, 40),
                                 n->s.s, column->s.s);
            }
            expr_node *made = expr_node_new(c, EXPR_CONST, n->at, n->end, 0);
            made->type = fr_type_of(FR_INT64);
            made->i = code;
            made->typed = made->constant = true;
            node->args[i] = made;
        } else if (n->op == EXPR_COLUMN && n->type.ordered &&
                   c->f->cols[n->source]->dict == a->dict) {
            expr_node *made = expr_node_new(c, EXPR_COLUMN, n->at, n->end, 0);
            made->type = fr_type_of(FR_INT64);
            made->source = n->source;
            made->only_source = n->only_source;
            made->s = n->s;
            made->codes = made->impure = made->typed = true;
            node->args[i] = made;
        } else if (!is_null_literal(n)) {
            return expr_fail(c, FR_ETYPE, n->at, n->end - n->at,
                             "an ordered category compares with its own categories");
        }
    }
    *done = true;
    return FR_OK;
}

static int type_compare(expr_compiler *c, expr_node *node)
{
    bool equality = node->op == EXPR_EQ || node->op == EXPR_NE, done = false;
    int rc = FR_OK;
    for (uint32_t i = 0; i < node->n_args && !equality && !done && rc == FR_OK; i++) {
        const expr_node *n = node->args[i];
        if (n->op == EXPR_COLUMN && n->type.kind == FR_CATEGORY && n->type.ordered) {
            rc = by_codes(c, node, n, &done);
        }
    }
    if (rc == FR_OK) {
        rc = expr_unify(c, node, 0, node->n_args, "a comparison");
    }
    if (rc != FR_OK) {
        return rc;
    }
    if (node->type.kind == FR_BOOL && !equality && !is_null_literal(node->args[0])) {
        return expr_fail(c, FR_ETYPE, node->at, node->end - node->at,
                         "true and false have no order: use ==, and, or, not");
    }
    node->kernel = expr_kernel_compare(node->op, expr_phys_of(&node->type));
    node->type = fr_type_of(FR_BOOL);
    return FR_OK;
}

static int type_logic(expr_compiler *c, expr_node *node)
{
    int rc = FR_OK;
    for (uint32_t i = 0; i < node->n_args && rc == FR_OK; i++) {
        rc = expr_want(c, node, i, FR_BOOL);
    }
    node->type = fr_type_of(FR_BOOL);
    return rc;
}

// `in`: a set when all items are constants.
static int put_item(expr_compiler *c, expr_set *set, const expr_node *n)
{
    if (n->null) {
        return expr_fail(c, FR_EINVAL, n->at, n->end - n->at,
                         "null in a list never matches: write is_null(x) or ...");
    }
    expr_set_put(set, n->i, n->x, n->s);
    return FR_OK;
}

static int put_list_value(expr_compiler *c, expr_set *set, const expr_node *list, int64_t i,
                          const fr_type *t)
{
    const fr_array *a = list->list;
    expr_str s = {NULL, 0};
    int64_t v = 0;
    double x = 0;
    if (!fr_array_has(a, i)) {
        return expr_fail(c, FR_EINVAL, list->at, list->end - list->at,
                         "item %lld of $%.60s is null, which never matches", (long long)i + 1,
                         list->s.s);
    }
    bool text = a->type.kind == FR_UTF8 || a->type.kind == FR_CATEGORY;
    if (text) {
        s.s = fr_array_text(a, i, &s.n);
    }
    if (text && fr_kind_temporal(t->kind)) {
        if (!expr_time_constant(s.s, s.n, t, &v)) {
            return expr_fail(c, FR_ETYPE, list->at, list->end - list->at,
                             "item %lld of $%.60s, '%.*s', is not a date or time",
                             (long long)i + 1, list->s.s, (int)FR_MIN(s.n, 40), s.s);
        }
    } else if (!text && t->kind == FR_FLOAT64) {
        x = fr_array_number(a, i);
    } else if (!text) {
        v = fr_array_int(a, i);
    }
    expr_set_put(set, v, x, s);
    return FR_OK;
}

static int type_in_list(expr_compiler *c, expr_node *node)
{
    expr_node *x = node->args[0], *list = node->args[1];
    const fr_type *item = &list->list->type;
    bool item_text = item->kind == FR_UTF8 || item->kind == FR_CATEGORY;
    fr_type t = {0};
    int rc = merge(c, x, &t);
    if (rc == FR_OK && !(item_text && fr_kind_temporal(t.kind))) {
        expr_node as = *list;
        rc = merge(c, &as, &t);
        if (fr_kind_temporal(t.kind) && !fr_type_eq(&t, item)) {
            rc = FR_ETYPE;
        }
    }
    if (rc != FR_OK) {
        char a[64], b[64];
        return expr_fail(c, FR_ETYPE, list->at, list->end - list->at,
                         "in: %s and a list of %s do not go together",
                         expr_type_text(&x->type, a), expr_type_text(item, b));
    }
    rc = expr_cast(c, &node->args[0], &t);
    node->set = expr_set_new(expr_phys_of(&t), (size_t)list->list->length);
    for (int64_t i = 0; i < list->list->length && rc == FR_OK; i++) {
        rc = put_list_value(c, node->set, list, i, &t);
    }
    return rc;
}

static int type_in(expr_compiler *c, expr_node *node)
{
    int rc;
    if (node->args[1]->op == EXPR_LIST && node->n_args == 2) {
        rc = type_in_list(c, node);
        node->n_args = 1;
    } else {
        rc = expr_unify(c, node, 0, node->n_args, "in");
        expr_phys p = expr_phys_of(&node->type);
        bool constants = true;
        for (uint32_t i = 1; i < node->n_args; i++) {
            constants = constants && node->args[i]->op == EXPR_CONST;
        }
        if (rc == FR_OK && constants) {
            node->set = expr_set_new(p, node->n_args - 1);
            for (uint32_t i = 1; i < node->n_args && rc == FR_OK; i++) {
                rc = put_item(c, node->set, node->args[i]);
            }
            node->n_args = 1;
        } else if (rc == FR_OK) {
            node->kernel = expr_kernel_compare(EXPR_EQ, p);
        }
    }
    if (rc == FR_OK && node->set != NULL) {
        node->kernel = expr_kernel_in;
    }
    node->type = fr_type_of(FR_BOOL);
    return rc;
}

static int type_like(expr_compiler *c, expr_node *node)
{
    int rc = expr_want(c, node, 0, FR_UTF8);
    if (rc == FR_OK) {
        rc = expr_want(c, node, 1, FR_UTF8);
    }
    node->type = fr_type_of(FR_BOOL);
    node->kernel = expr_kernel_like;
    return rc;
}

// Names.
static int no_such_column(expr_compiler *c, const expr_node *n)
{
    const char *near = fr_nearest(n->s.s, (const char *const *)c->f->names, c->f->columns);
    if (near != NULL) {
        return expr_fail(c, FR_ENOTFOUND, n->at, n->end - n->at,
                         "no column \"%.60s\": did you mean \"%.60s\"?", n->s.s, near);
    }
    return expr_fail(c, FR_ENOTFOUND, n->at, n->end - n->at,
                     "no column \"%.60s\"; text is written in single quotes", n->s.s);
}

static int type_column(expr_compiler *c, expr_node *n)
{
    ptrdiff_t at = fr_frame_find(c->f, n->s.s);
    if (at < 0) {
        return no_such_column(c, n);
    }
    n->type = c->f->cols[at]->type;
    n->source = (size_t)at;
    if (c->agg && !c->inside_agg) {
        for (size_t k = 0; k < c->n_keys; k++) {
            if (strcmp(c->keys[k], n->s.s) == 0) {
                n->source = k;
                n->only_source = (ptrdiff_t)k;
                return FR_OK;
            }
        }
        return expr_fail(c, FR_EINVAL, n->at, n->end - n->at,
                         "\"%.60s\" has many values per group: put it into an aggregate such as "
                         "mean(%.60s)",
                         n->s.s, n->s.s);
    }
    n->only_source = at;
    return FR_OK;
}

static bool is_agg_call(const expr_node *n)
{
    int op = fr_op_find(n->s.s);
    bool extreme = op == FR_OP_MIN || op == FR_OP_MAX;
    return op >= 0 && op != FR_OP_ROWS && (!extreme || n->n_args <= 1);
}

static int agg_quantile(expr_compiler *c, expr_node *n, fr_expr_agg *agg)
{
    if (n->n_args != 2) {
        return expr_fail(c, FR_EINVAL, n->at, n->end - n->at,
                         "quantile takes a column and a number: quantile(kw, 0.9)");
    }
    int rc = expr_type(c, &n->args[1]);
    if (rc == FR_OK) {
        rc = expr_want(c, n, 1, FR_FLOAT64);
    }
    const expr_node *q = n->args[1];
    if (rc == FR_OK && (q->op != EXPR_CONST || q->null || !(q->x >= 0 && q->x <= 1))) {
        rc = expr_fail(c, FR_EINVAL, q->at, q->end - q->at,
                       "quantile: expected a number from 0 to 1");
    }
    agg->quantile = q->x;
    return rc;
}

static int agg_input(expr_compiler *c, expr_node *n, fr_expr_agg *agg)
{
    fr_type int64 = fr_type_of(FR_INT64);
    c->inside_agg = true;
    int rc = expr_type(c, &n->args[0]);
    c->inside_agg = false;
    expr_node *x = n->args[0];
    if (rc == FR_OK && is_null_literal(x)) {
        rc = expr_type_fail(c, x, "a column");
    }
    bool numeric = agg->op == FR_OP_SUM || agg->op == FR_OP_MEAN || agg->op == FR_OP_STD ||
                   agg->op == FR_OP_VAR || agg->op == FR_OP_MEDIAN || agg->op == FR_OP_QUANTILE;
    if (rc == FR_OK && numeric && x->type.kind == FR_BOOL) {
        rc = expr_cast(c, &n->args[0], &int64);
    }
    if (rc == FR_OK) {
        agg->input = n->args[0]->type;
        fr_err err = FR_ERR_INIT;
        if (fr_op_type(agg->op, &agg->input, &agg->output, &err) != FR_OK) {
            rc = expr_fail(c, FR_ETYPE, x->at, x->end - x->at, "%s", err.text);
        }
    }
    return rc;
}

static int type_agg(expr_compiler *c, expr_node *n)
{
    if (!c->agg) {
        return expr_fail(c, FR_EINVAL, n->at, n->end - n->at,
                         "%s() is for group{...}:agg; here compute it first and give it as a "
                         "parameter, as in {m = df.kw:%s()}",
                         n->s.s, n->s.s);
    }
    if (c->inside_agg) {
        return expr_fail(c, FR_EINVAL, n->at, n->end - n->at, "an aggregate inside an aggregate");
    }
    fr_expr *e = c->expr;
    fr_expr_agg agg = {.op = (fr_op)fr_op_find(n->s.s), .at = n->at, .end = n->end};
    int rc = FR_OK;
    if (agg.op == FR_OP_COUNT && n->n_args == 0) {
        agg.op = FR_OP_ROWS;
        agg.output = fr_type_of(FR_INT64);
    } else if (agg.op == FR_OP_QUANTILE) {
        rc = agg_quantile(c, n, &agg);
    } else if (n->n_args != 1) {
        rc = expr_fail(c, FR_EINVAL, n->at, n->end - n->at, "%s takes one column, as in %s(kw)",
                       n->s.s, n->s.s);
    }
    if (rc == FR_OK && agg.op != FR_OP_ROWS) {
        rc = agg_input(c, n, &agg);
    }
    if (rc != FR_OK) {
        return rc;
    }
    e->aggs = fr_realloc(e->aggs, (e->n_aggs + 1) * sizeof *e->aggs);
    e->agg_args = fr_realloc(e->agg_args, (e->n_aggs + 1) * sizeof(expr_node *));
    e->aggs[e->n_aggs] = agg;
    e->agg_args[e->n_aggs] = agg.op == FR_OP_ROWS ? NULL : n->args[0];
    n->op = EXPR_COLUMN; // of the outer expression, behind the keys
    n->type = agg.output;
    n->source = c->n_keys + e->n_aggs++;
    n->only_source = (ptrdiff_t)n->source;
    n->n_args = 0;
    return FR_OK;
}

static int type_call(expr_compiler *c, expr_node *n)
{
    const expr_function *f = expr_function_find(n->s.s);
    if (f == NULL) {
        const char *near = expr_function_nearest(n->s.s);
        return expr_fail(c, FR_ENOTFOUND, n->at, n->s.n, "no function %.40s()%s%s%s", n->s.s,
                         near != NULL ? ": did you mean " : "", near != NULL ? near : "",
                         near != NULL ? "()?" : "");
    }
    if (n->n_args < f->least || (f->most != 255 && n->n_args > f->most)) {
        return expr_fail(c, FR_EINVAL, n->at, n->end - n->at, "usage: %s", f->usage);
    }
    n->function = f;
    n->kernel = f->kernel;
    n->i = f->aux;
    return f->type(c, n);
}

static int type_op(expr_compiler *c, expr_node *n)
{
    switch (n->op) {
    case EXPR_CONST:
    case EXPR_CAST:
    case EXPR_ROW:
    case EXPR_AGG:
        return FR_OK;
    case EXPR_LIST:
        return FR_OK;
    case EXPR_COLUMN:
        return type_column(c, n);
    case EXPR_CALL:
        return type_call(c, n);
    case EXPR_NEG:
        return type_neg(c, n);
    case EXPR_NOT:
    case EXPR_AND:
    case EXPR_OR:
        return type_logic(c, n);
    case EXPR_ADD:
    case EXPR_SUB:
    case EXPR_MUL:
    case EXPR_DIV:
    case EXPR_IDIV:
    case EXPR_MOD:
    case EXPR_POW:
        return type_arith(c, n);
    case EXPR_EQ:
    case EXPR_NE:
    case EXPR_LT:
    case EXPR_LE:
    case EXPR_GT:
    case EXPR_GE:
    case EXPR_BETWEEN:
        return type_compare(c, n);
    case EXPR_IN:
        return type_in(c, n);
    case EXPR_LIKE:
        return type_like(c, n);
    case EXPR_IS_NULL:
        return expr_type_is_null(c, n);
    case EXPR_IF:
        return expr_type_if_else(c, n);
    case EXPR_COALESCE:
        return expr_type_coalesce(c, n);
    }
    return FR_OK;
}

// What a node says about its subtree, from its arguments.
static void summarise(expr_compiler *c, expr_node *n)
{
    if (n->op == EXPR_COLUMN || n->op == EXPR_CONST || n->op == EXPR_LIST) {
        n->constant = n->op == EXPR_CONST;
        return;
    }
    n->constant = n->op != EXPR_ROW;
    n->impure = n->impure || n->op == EXPR_ROW;
    for (uint32_t i = 0; i < n->n_args; i++) {
        const expr_node *a = n->args[i];
        n->constant = n->constant && a->constant;
        n->impure = n->impure || a->impure;
        if (a->only_source == -1) {
            continue;
        }
        bool same = n->only_source == -1 || n->only_source == a->only_source;
        n->only_source = same ? a->only_source : -2;
    }
    bool rows = !c->agg || c->inside_agg;
    n->liftable = rows && !n->impure && n->only_source >= 0 &&
                  c->f->cols[n->only_source]->type.kind == FR_CATEGORY;
}

// A list that holds one value is that value outside of `in`.
static int scalar_of_list(expr_compiler *c, expr_node **node)
{
    expr_node *n = *node;
    if (n->list->length != 1) {
        return expr_fail(c, FR_ETYPE, n->at, n->end - n->at,
                         "$%.60s is a list of %lld: lists go into `x in $%.60s`", n->s.s,
                         (long long)n->list->length, n->s.s);
    }
    fr_scalar v;
    fr_compute_get(n->list, 0, &v);
    expr_node *made = expr_node_new(c, EXPR_CONST, n->at, n->end, 0);
    made->type = v.type.kind == FR_CATEGORY ? fr_type_of(FR_UTF8) : v.type;
    made->null = v.null;
    made->i = v.integer;
    made->x = v.number;
    made->s = (expr_str){v.text, v.n}; // the list lives as long
    made->typed = made->constant = true;
    *node = made;
    return FR_OK;
}

int expr_type(expr_compiler *c, expr_node **node)
{
    expr_node *n = *node;
    if (n->typed) {
        return FR_OK;
    }
    if (n->op == EXPR_CALL && is_agg_call(n)) {
        n->typed = true;
        return type_agg(c, n);
    }
    if (n->op == EXPR_CALL && expr_is_window(n->s.s)) {
        n->typed = true;
        return expr_type_window(c, n);
    }
    for (uint32_t i = 0; i < n->n_args; i++) {
        int rc = expr_type(c, &n->args[i]);
        bool list = n->op == EXPR_IN && i == 1 && n->n_args == 2;
        if (rc == FR_OK && n->args[i]->op == EXPR_LIST && !list) {
            rc = scalar_of_list(c, &n->args[i]);
        }
        if (rc != FR_OK) {
            return rc;
        }
    }
    n->typed = true;
    int rc = type_op(c, n);
    if (rc != FR_OK) {
        return rc;
    }
    summarise(c, n);
    return expr_fold(c, node);
}

// A subtree of constants becomes its value.
int expr_fold(expr_compiler *c, expr_node **node)
{
    expr_node *n = *node;
    if (!n->constant || n->op == EXPR_CONST || n->op == EXPR_LIST || n->impure) {
        return FR_OK;
    }
    fr_array *a = NULL;
    c->expr->n_nodes = c->n_nodes;
    int rc = expr_run(c->expr, n, NULL, NULL, -1, &a, c->err);
    if (rc != FR_OK) {
        return rc;
    }
    fr_scalar v;
    fr_compute_get(a, 0, &v);
    expr_node *made = expr_node_new(c, EXPR_CONST, n->at, n->end, 0);
    made->type = n->type;
    made->null = v.null;
    made->i = v.integer;
    made->x = v.number;
    if (v.text != NULL && !v.null) {
        made->s = (expr_str){fr_arena_strndup(c->arena, v.text, v.n), v.n};
    }
    made->typed = made->constant = true;
    fr_array_unref(a);
    *node = made;
    return FR_OK;
}
