#include "core/data/expr_int.h"
#include "core/data/when.h"

#include <math.h>
#include <string.h>

#define I64(v) ((const int64_t *)(v).data)
#define F64(v) ((const double *)(v).data)
#define STR(v) ((const expr_str *)(v).data)

static const int64_t NANOS = 1000000000;
static const int64_t DAY_NANOS = 86400 * INT64_C(1000000000);

// A time of day and a duration: the same day, or an error; nothing wraps (frames.md A2).
static int kernel_shift_clock(expr_eval *e, const expr_node *node, const expr_vec *args,
                              expr_vec *out, size_t n)
{
    size_t time = node->args[0]->type.kind == FR_TIME ? 0 : 1;
    for (size_t i = 0; i < n; i++) {
        int64_t at = I64(args[time])[i], by = I64(args[1 - time])[i], r = 0;
        bool wrong = node->op == EXPR_SUB ? __builtin_sub_overflow(at, by, &r)
                                          : __builtin_add_overflow(at, by, &r);
        wrong = wrong || r < 0 || r >= DAY_NANOS;
        if (wrong && expr_row_counts(e, out, i)) {
            char a[FR_WHEN_MAX], b[FR_WHEN_MAX];
            (void)fr_when_print_time(at, a);
            (void)fr_when_print_duration(by, FR_NANO, b);
            return expr_fail_row(e, node, i, FR_EOVERFLOW,
                                 "%s %c %s is outside of the day: use timestamps", a,
                                 node->op == EXPR_SUB ? '-' : '+', b);
        }
        ((int64_t *)out->data)[i] = wrong ? 0 : r;
    }
    return FR_OK;
}

// '10:30' beside a time of day.
static int read_clock(expr_compiler *c, expr_node *node, size_t i)
{
    const expr_node *n = node->args[i];
    if (n->op != EXPR_CONST || n->type.kind != FR_UTF8 || n->null) {
        return FR_OK;
    }
    expr_node *made = expr_node_new(c, EXPR_CONST, n->at, n->end, 0);
    made->type = fr_type_of(FR_TIME);
    made->typed = made->constant = true;
    if (!fr_when_parse_time(n->s.s, n->s.n, &made->i)) {
        return expr_fail(c, FR_ETYPE, n->at, n->end - n->at,
                         "'%.*s' is not a time of day such as '10:30'", (int)FR_MIN(n->s.n, 40),
                         n->s.s);
    }
    node->args[i] = made;
    return FR_OK;
}

int expr_clock_arith(expr_compiler *c, expr_node *node)
{
    fr_type nanos = {.kind = FR_DURATION, .unit = FR_NANO};
    for (size_t i = 0; i < 2; i++) {
        int rc = read_clock(c, node, i);
        if (rc != FR_OK) {
            return rc;
        }
    }
    fr_kind x = node->args[0]->type.kind, y = node->args[1]->type.kind;
    if (x == FR_TIME && y == FR_TIME && node->op == EXPR_SUB) {
        node->type = nanos;
        node->kernel = expr_kernel_arith(EXPR_SUB, EXPR_P_I64);
        return FR_OK;
    }
    bool shifts = (x == FR_TIME && y == FR_DURATION) ||
                  (x == FR_DURATION && y == FR_TIME && node->op == EXPR_ADD);
    if (!shifts) {
        return expr_no_operation(c, node);
    }
    node->type = fr_type_of(FR_TIME);
    node->kernel = kernel_shift_clock;
    return expr_cast(c, &node->args[x == FR_TIME ? 1 : 0], &nanos);
}

int expr_divide_duration(expr_compiler *c, expr_node *node)
{
    const expr_node *a = node->args[0], *b = node->args[1];
    fr_type result = a->type;
    if (a->type.kind == FR_DURATION && b->type.kind == FR_DURATION) {
        result.unit = FR_MAX(a->type.unit, b->type.unit);
        fr_unit unit = result.unit;
        return expr_in_unit(c, node, unit, node->op == EXPR_MOD ? result : fr_type_of(FR_INT64));
    }
    if (a->type.kind == FR_DURATION && node->op == EXPR_IDIV && fr_kind_integer(b->type.kind)) {
        node->type = result;
        node->kernel = expr_kernel_arith(EXPR_IDIV, EXPR_P_I64);
        return FR_OK;
    }
    return expr_no_operation(c, node);
}

// time(x): of a timestamp's local day; text in rows is read.
static int kernel_clock_of(expr_eval *e, const expr_node *node, const expr_vec *args,
                           expr_vec *out, size_t n)
{
    (void)e;
    const fr_type *t = &node->args[0]->type;
    int64_t per = fr_unit_per_second(t->unit), day = 86400 * per, nanos = NANOS / per;
    for (size_t i = 0; i < n; i++) {
        int64_t v = I64(args[0])[i], rest = v % day;
        if (node->zone != NULL) {
            rest += fr_zone_offset(node->zone, fr_floor_div(v, per)) * per;
        }
        ((int64_t *)out->data)[i] = (rest - fr_floor_div(rest, day) * day) * nanos;
    }
    return FR_OK;
}

// time(text), duration(text) row by row.
static int kernel_read(expr_eval *e, const expr_node *node, const expr_vec *args, expr_vec *out,
                       size_t n)
{
    for (size_t i = 0; i < n; i++) {
        expr_str t = STR(args[0])[i];
        if (!expr_row_counts(e, out, i)) {
            continue;
        }
        if (!expr_time_constant(t.s, t.n, &node->type, (int64_t *)out->data + i)) {
            return expr_fail_row(e, node, i, FR_EPARSE, "'%.*s' is not a %s", (int)FR_MIN(t.n, 40),
                                 t.s,
                                 node->type.kind == FR_TIME ? "time of day such as '10:30'"
                                                            : "duration such as '1h30m'");
        }
    }
    return FR_OK;
}

EXPR_TYPER(time)
{
    int rc = read_clock(c, node, 0);
    const expr_node *x = node->args[0];
    node->type = fr_type_of(FR_TIME);
    if (rc != FR_OK || expr_is_text(x)) {
        node->kernel = kernel_read;
        return rc;
    }
    if (x->type.kind == FR_TIME) {
        node->kernel = expr_kernel_scale;
        node->i = 1;
        return FR_OK;
    }
    if (x->type.kind != FR_TIMESTAMP) {
        return expr_type_fail(c, x, "a timestamp, a time of day or text such as '10:30'");
    }
    node->kernel = kernel_clock_of;
    return x->type.zone[0] != '\0' ? fr_zone_open(x->type.zone, &node->zone, c->err) : FR_OK;
}

// duration(x, 'minute'): numbers of a unit. The result counts nanoseconds below a
// microsecond, else microseconds: 290,000 years.
static int kernel_whole_units(expr_eval *e, const expr_node *node, const expr_vec *args,
                              expr_vec *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int64_t *r = (int64_t *)out->data + i;
        if (__builtin_mul_overflow(I64(args[0])[i], node->i, r) && expr_row_counts(e, out, i)) {
            return expr_fail_row(e, node, i, FR_EOVERFLOW, "%lld is too long a duration",
                                 (long long)I64(args[0])[i]);
        }
    }
    return FR_OK;
}

static int kernel_units(expr_eval *e, const expr_node *node, const expr_vec *args, expr_vec *out,
                        size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double x = rint(F64(args[0])[i] * (double)node->i);
        bool fits = x >= -0x1p63 && x < 0x1p63;
        if (!fits && expr_row_counts(e, out, i)) {
            return expr_fail_row(e, node, i, FR_EOVERFLOW, "%g is no duration", F64(args[0])[i]);
        }
        ((int64_t *)out->data)[i] = fits ? (int64_t)x : 0;
    }
    return FR_OK;
}

static int duration_of_text(expr_compiler *c, expr_node *node)
{
    const expr_node *n = node->args[0];
    int64_t nanos;
    node->type = (fr_type){.kind = FR_DURATION, .unit = FR_MICRO};
    node->kernel = kernel_read;
    if (n->op == EXPR_CONST && !n->null && fr_when_parse_duration(n->s.s, n->s.n, &nanos) &&
        nanos % 1000 != 0) {
        node->type.unit = FR_NANO;
    }
    if (n->op == EXPR_CONST && !n->null && !fr_when_parse_duration(n->s.s, n->s.n, &nanos)) {
        return expr_fail(c, FR_ETYPE, n->at, n->end - n->at,
                         "'%.*s' is not a duration: write '1h30m', '15min', '2d'",
                         (int)FR_MIN(n->s.n, 40), n->s.s);
    }
    return FR_OK;
}

EXPR_TYPER(duration)
{
    const expr_node *x = node->args[0];
    if (node->n_args == 1 && expr_is_text(x)) {
        return duration_of_text(c, node);
    }
    if (node->n_args == 1 && x->type.kind == FR_DURATION) {
        node->type = x->type;
        node->kernel = expr_kernel_scale;
        node->i = 1;
        return FR_OK;
    }
    int64_t nanos = 0;
    char calendar;
    if (node->n_args == 1) {
        return expr_type_fail(c, x, "text such as '1h30m', or a number and its unit: duration(x, "
                                    "'hour')");
    }
    int rc = expr_want_unit(c, node->args[1], &nanos, &calendar);
    if (rc == FR_OK && nanos == 0) {
        const expr_node *n = node->args[1];
        return expr_fail(c, FR_EINVAL, n->at, n->end - n->at,
                         "months and years differ in length: use 'day'");
    }
    if (rc != FR_OK) {
        return rc;
    }
    bool whole = fr_kind_integer(x->type.kind), fine = nanos % 1000 != 0;
    node->type = (fr_type){.kind = FR_DURATION, .unit = fine ? FR_NANO : FR_MICRO};
    node->i = fine ? nanos : nanos / 1000;
    node->n_args = 1;
    node->kernel = whole ? kernel_whole_units : kernel_units;
    return expr_want(c, node, 0, whole ? FR_INT64 : FR_FLOAT64);
}
