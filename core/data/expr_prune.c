#include "core/data/expr_int.h"

// What an operand of a comparison may be: everything between least and most.
typedef struct operand {
    bool known, empty;                // empty: always null
    bool exact;                       // no NaN hides beside the bounds
    fr_expr_value least, most;
} operand;

static const fr_expr_bounds *column_bounds(const expr_node *n, const fr_expr_bounds *all)
{
    return n->op == EXPR_COLUMN && !n->codes ? &all[n->source] : NULL;
}

static operand operand_of(const expr_node *n, const fr_expr_bounds *all)
{
    operand o = {0};
    const fr_expr_bounds *b = column_bounds(n, all);
    if (n->op == EXPR_CONST) {
        o.known = o.exact = !n->null;
        o.empty = n->null;
        o.least = o.most = (fr_expr_value){n->i, n->x, n->s.s, n->s.n};
    } else if (b != NULL) {
        o = (operand){b->known, b->empty, expr_phys_of(&n->type) != EXPR_P_F64, b->least, b->most};
    } else if (n->op == EXPR_CAST && n->kernel == expr_kernel_int_to_float) {
        o = operand_of(n->args[0], all);
        o.least.x = (double)o.least.i; // rounding keeps the order
        o.most.x = (double)o.most.i;
    } else if (n->op == EXPR_CAST && n->kernel == expr_kernel_scale) {
        o = operand_of(n->args[0], all);
        o.known = o.known && !__builtin_mul_overflow(o.least.i, n->i, &o.least.i) &&
                  !__builtin_mul_overflow(o.most.i, n->i, &o.most.i);
    }
    return o;
}

static int compare(expr_phys p, const fr_expr_value *a, const fr_expr_value *b)
{
    int c;
    switch (p) {
    case EXPR_P_TEXT:
        c = memcmp(a->s, b->s, FR_MIN(a->n, b->n));
        return c != 0 ? c : (a->n > b->n) - (a->n < b->n);
    case EXPR_P_F64:
        return (a->x > b->x) - (a->x < b->x);
    case EXPR_P_BOOL:
    case EXPR_P_I64:
        break;
    }
    return (a->i > b->i) - (a->i < b->i);
}

// Whether a < b (or a <= b) for some values of both.
static bool may_less(expr_phys p, const operand *a, const operand *b, bool or_equal)
{
    int c = compare(p, &a->least, &b->most);
    return or_equal ? c <= 0 : c < 0;
}

static bool may_equal(expr_phys p, const operand *a, const operand *b)
{
    return may_less(p, a, b, true) && may_less(p, b, a, true);
}

static bool may_compare(const expr_node *n, const fr_expr_bounds *all)
{
    expr_phys p = expr_phys_of(&n->args[0]->type);
    operand a = operand_of(n->args[0], all), b = operand_of(n->args[1], all);
    if (a.empty || b.empty) {
        return false; // null is not true
    }
    if (!a.known || !b.known || p == EXPR_P_BOOL || expr_phys_of(&n->args[1]->type) != p) {
        return true;
    }
    switch ((int)n->op) {
    case EXPR_EQ:
        return may_equal(p, &a, &b);
    case EXPR_NE:
        return !a.exact || !b.exact || compare(p, &a.least, &a.most) != 0 ||
               compare(p, &b.least, &b.most) != 0 || compare(p, &a.least, &b.least) != 0;
    case EXPR_LT:
    case EXPR_LE:
        return may_less(p, &a, &b, n->op == EXPR_LE);
    default:
        return may_less(p, &b, &a, n->op == EXPR_GE);
    }
}

static bool may_between(const expr_node *n, const fr_expr_bounds *all)
{
    expr_phys p = expr_phys_of(&n->args[0]->type);
    operand x = operand_of(n->args[0], all), low = operand_of(n->args[1], all),
            high = operand_of(n->args[2], all);
    if (x.empty || low.empty || high.empty) {
        return false;
    }
    if (!x.known || !low.known || !high.known || p == EXPR_P_BOOL) {
        return true;
    }
    return may_less(p, &low, &x, true) && may_less(p, &x, &high, true);
}

static bool may_in(const expr_node *n, const fr_expr_bounds *all)
{
    expr_phys p = expr_phys_of(&n->args[0]->type);
    operand x = operand_of(n->args[0], all);
    if (x.empty) {
        return false;
    }
    if (!x.known || n->set == NULL || p == EXPR_P_BOOL) {
        return true;
    }
    fr_expr_value v;
    for (size_t i = 0; expr_set_item(n->set, i, &v); i++) {
        if (compare(p, &x.least, &v) <= 0 && compare(p, &v, &x.most) <= 0) {
            return true;
        }
    }
    return false;
}

static bool may(const expr_node *n, const fr_expr_bounds *all)
{
    bool any = false;
    const fr_expr_bounds *b;
    switch ((int)n->op) {
    case EXPR_AND:
        for (uint32_t i = 0; i < n->n_args; i++) {
            if (!may(n->args[i], all)) {
                return false;
            }
        }
        return true;
    case EXPR_OR:
        for (uint32_t i = 0; i < n->n_args; i++) {
            any = any || may(n->args[i], all);
        }
        return any;
    case EXPR_CONST:
        return !n->null && n->i != 0;
    case EXPR_EQ:
    case EXPR_NE:
    case EXPR_LT:
    case EXPR_LE:
    case EXPR_GT:
    case EXPR_GE:
        return may_compare(n, all);
    case EXPR_BETWEEN:
        return may_between(n, all);
    case EXPR_IN:
        return may_in(n, all);
    case EXPR_IS_NULL:
        b = column_bounds(n->args[0], all);
        return b == NULL || !b->full;
    default:
        return true;
    }
}

bool fr_expr_may(const fr_expr *e, const fr_expr_bounds *columns)
{
    return e->root->type.kind != FR_BOOL || may(e->root, columns);
}

bool fr_expr_by_rows(const fr_expr *e)
{
    bool alone = e->n_windows == 0 && e->n_aggs == 0;
    for (uint32_t i = 0; i < e->n_nodes; i++) {
        alone = alone && e->nodes[i]->op != EXPR_ROW;
    }
    return alone;
}

bool fr_expr_uses(const fr_expr *e, size_t column)
{
    for (uint32_t i = 0; i < e->n_nodes; i++) {
        if (e->nodes[i]->op == EXPR_COLUMN && e->nodes[i]->source == column) {
            return true;
        }
    }
    return false;
}
