#include "core/base/nearest.h"
#include "core/data/expr_int.h"

#include <math.h>
#include <string.h>

#define F64(v) ((const double *)(v).data)
#define I64(v) ((const int64_t *)(v).data)

enum { MANY = 32, NAMES_MAX = 96 };

// Branches.
EXPR_TYPER(is_null)
{
    (void)c;
    node->op = EXPR_IS_NULL;
    node->type = fr_type_of(FR_BOOL);
    return FR_OK;
}

EXPR_TYPER(if_else)
{
    node->op = EXPR_IF;
    int rc = expr_want(c, node, 0, FR_BOOL);
    return rc == FR_OK ? expr_unify(c, node, 1, 3, "if_else") : rc;
}

EXPR_TYPER(coalesce)
{
    node->op = EXPR_COALESCE;
    return expr_unify(c, node, 0, node->n_args, "coalesce");
}

EXPR_TYPER(row)
{
    if (c->agg && !c->inside_agg) {
        return expr_fail(c, FR_EINVAL, node->at, node->end - node->at,
                         "row() has many values per group: put it into an aggregate");
    }
    node->op = EXPR_ROW;
    node->type = fr_type_of(FR_INT64);
    return FR_OK;
}

// Numbers.
EXPR_TYPER(math)
{
    node->type = fr_type_of(FR_FLOAT64);
    return expr_want(c, node, 0, FR_FLOAT64);
}

#define MATH(name, value)                                                                \
    EXPR_KERNEL(name)                                                                    \
    {                                                                                    \
        (void)e, (void)node;                                                             \
        const double *x = F64(args[0]);                                                  \
        double *r = out->data;                                                           \
        for (size_t i = 0; i < n; i++) {                                                 \
            double a = x[i];                                                             \
            r[i] = (value);                                                              \
        }                                                                                \
        return FR_OK;                                                                    \
    }
MATH(exp, exp(a))
MATH(log, log(a))
MATH(log10, log10(a))
MATH(log2, log2(a))
MATH(sqrt, sqrt(a))
MATH(sin, sin(a))
MATH(cos, cos(a))
MATH(tan, tan(a))
MATH(floor, floor(a))
MATH(ceil, ceil(a))

static int kernel_copy(expr_eval *e, const expr_node *node, const expr_vec *args, expr_vec *out,
                       size_t n)
{
    (void)e, (void)node;
    memcpy(out->data, args[0].data, n * sizeof(int64_t));
    return FR_OK;
}

// Half to even, to args[1] decimals, as numpy does: scale, round, scale back.
EXPR_KERNEL(round)
{
    (void)e;
    const double *x = F64(args[0]);
    double *r = out->data;
    double scale = node->n_args > 1 ? pow(10, (double)I64(args[1])[0]) : 1;
    for (size_t i = 0; i < n; i++) {
        double v = rint(x[i] * scale) / scale;
        r[i] = isfinite(v) || !isfinite(x[i]) ? v : x[i];
    }
    return FR_OK;
}

// round, floor, ceil: integers stay what they are.
EXPR_TYPER(rounding)
{
    int rc = FR_OK;
    if (node->n_args > 1) {
        rc = expr_want(c, node, 1, FR_INT64);
        const expr_node *digits = node->args[1];
        if (rc == FR_OK && (digits->op != EXPR_CONST || digits->null || digits->i < -300 ||
                            digits->i > 300)) {
            return expr_fail(c, FR_EINVAL, digits->at, digits->end - digits->at,
                             "round: the number of decimals is a constant");
        }
    }
    if (rc == FR_OK && fr_kind_integer(node->args[0]->type.kind) && node->n_args == 1) {
        node->type = fr_type_of(FR_INT64);
        node->kernel = kernel_copy;
        return expr_want(c, node, 0, FR_INT64);
    }
    node->type = fr_type_of(FR_FLOAT64);
    return rc == FR_OK ? expr_want(c, node, 0, FR_FLOAT64) : rc;
}

static int kernel_abs_int(expr_eval *e, const expr_node *node, const expr_vec *args,
                          expr_vec *out, size_t n)
{
    const int64_t *x = I64(args[0]);
    int64_t *r = out->data;
    for (size_t i = 0; i < n; i++) {
        if (x[i] == INT64_MIN && expr_row_counts(e, out, i)) {
            return expr_fail_row(e, node, i, FR_EOVERFLOW,
                                 "abs(%lld) does not fit a 64-bit integer", (long long)x[i]);
        }
        r[i] = x[i] < 0 ? (int64_t)(0 - (uint64_t)x[i]) : x[i];
    }
    return FR_OK;
}

static int kernel_sign_int(expr_eval *e, const expr_node *node, const expr_vec *args,
                           expr_vec *out, size_t n)
{
    (void)e, (void)node;
    for (size_t i = 0; i < n; i++) {
        int64_t a = I64(args[0])[i];
        ((int64_t *)out->data)[i] = (a > 0) - (a < 0);
    }
    return FR_OK;
}

static int kernel_abs_float(expr_eval *e, const expr_node *node, const expr_vec *args,
                            expr_vec *out, size_t n)
{
    (void)e, (void)node;
    for (size_t i = 0; i < n; i++) {
        ((double *)out->data)[i] = fabs(F64(args[0])[i]);
    }
    return FR_OK;
}

static int kernel_sign_float(expr_eval *e, const expr_node *node, const expr_vec *args,
                             expr_vec *out, size_t n)
{
    (void)e, (void)node;
    for (size_t i = 0; i < n; i++) {
        double a = F64(args[0])[i];
        ((double *)out->data)[i] = isnan(a) ? a : (double)((a > 0) - (a < 0));
    }
    return FR_OK;
}

static int signed_type(expr_compiler *c, expr_node *node, expr_kernel ints, expr_kernel floats)
{
    fr_kind kind = node->args[0]->type.kind;
    if (kind == FR_DURATION) {
        node->kernel = ints;
        node->type = ints == kernel_abs_int ? node->args[0]->type : fr_type_of(FR_INT64);
        return FR_OK;
    }
    bool whole = fr_kind_integer(kind);
    node->kernel = whole ? ints : floats;
    node->type = fr_type_of(whole ? FR_INT64 : FR_FLOAT64);
    return expr_want(c, node, 0, node->type.kind);
}

EXPR_TYPER(abs) { return signed_type(c, node, kernel_abs_int, kernel_abs_float); }
EXPR_TYPER(sign) { return signed_type(c, node, kernel_sign_int, kernel_sign_float); }

// min, max over several arguments; NaN is larger than every number, as in sorting.
static inline bool float_less(double a, double b) { return a < b || (isnan(b) && !isnan(a)); }

static bool text_less(expr_str a, expr_str b)
{
    int d = memcmp(a.s, b.s, FR_MIN(a.n, b.n));
    return d != 0 ? d < 0 : a.n < b.n;
}

#define EXTREME(type, less)                                                              \
    do {                                                                                 \
        type *r = out->data;                                                             \
        memcpy(r, args[0].data, n * sizeof *r);                                          \
        for (uint32_t k = 1; k < node->n_args; k++) {                                    \
            const type *x = args[k].data;                                                \
            for (size_t i = 0; i < n; i++) {                                             \
                type a = node->i ? r[i] : x[i], b = node->i ? x[i] : r[i];               \
                r[i] = (less) ? x[i] : r[i];                                             \
            }                                                                            \
        }                                                                                \
    } while (0)

static int kernel_extreme(expr_eval *e, const expr_node *node, const expr_vec *args,
                          expr_vec *out, size_t n)
{
    (void)e;
    switch (expr_phys_of(&node->type)) {
    case EXPR_P_F64:
        EXTREME(double, float_less(a, b));
        break;
    case EXPR_P_TEXT:
        EXTREME(expr_str, text_less(a, b));
        break;
    case EXPR_P_BOOL:
        EXTREME(uint8_t, a < b);
        break;
    case EXPR_P_I64:
        EXTREME(int64_t, a < b);
        break;
    }
    return FR_OK;
}

EXPR_TYPER(extreme)
{
    node->kernel = kernel_extreme;
    return expr_unify(c, node, 0, node->n_args, node->function->name);
}

static int kernel_clip(expr_eval *e, const expr_node *node, const expr_vec *args, expr_vec *out,
                       size_t n)
{
    (void)e;
    if (expr_phys_of(&node->type) == EXPR_P_F64) {
        for (size_t i = 0; i < n; i++) {
            double x = F64(args[0])[i], low = F64(args[1])[i], high = F64(args[2])[i];
            ((double *)out->data)[i] = x < low ? low : x > high ? high : x;
        }
    } else {
        for (size_t i = 0; i < n; i++) {
            int64_t x = I64(args[0])[i], low = I64(args[1])[i], high = I64(args[2])[i];
            ((int64_t *)out->data)[i] = x < low ? low : x > high ? high : x;
        }
    }
    return FR_OK;
}

EXPR_TYPER(clip)
{
    node->kernel = kernel_clip;
    int rc = expr_unify(c, node, 0, 3, "clip");
    if (rc == FR_OK && (node->type.kind == FR_UTF8 || node->type.kind == FR_BOOL)) {
        rc = expr_type_fail(c, node->args[0], "a number or a time");
    }
    return rc;
}

static int kernel_is_nan(expr_eval *e, const expr_node *node, const expr_vec *args,
                         expr_vec *out, size_t n)
{
    (void)e, (void)node;
    for (size_t i = 0; i < n; i++) {
        double x = F64(args[0])[i];
        ((uint8_t *)out->data)[i] = x != x;
    }
    return FR_OK;
}

EXPR_TYPER(is_nan)
{
    node->kernel = kernel_is_nan;
    node->type = fr_type_of(FR_BOOL);
    return expr_want(c, node, 0, FR_FLOAT64);
}

// Sorted by name. aux of parts of a time: see expr_time.c.
const expr_function expr_functions[] = {
    {"abs", 1, 1, expr_type_abs, NULL, 0, "abs(x)"},
    {"ceil", 1, 1, expr_type_rounding, expr_kernel_ceil, 0, "ceil(x)"},
    {"clip", 3, 3, expr_type_clip, NULL, 0, "clip(x, low, high)"},
    {"coalesce", 1, MANY, expr_type_coalesce, NULL, 0, "coalesce(x, y, ...)"},
    {"concat", 1, MANY, expr_type_concat, NULL, 0, "concat(text, text, ...)"},
    {"contains", 2, 2, expr_type_find, NULL, 0, "contains(text, 'part')"},
    {"cos", 1, 1, expr_type_math, expr_kernel_cos, 0, "cos(x)"},
    {"date", 1, 3, expr_type_date, NULL, 0, "date(time), date('2024-01-31') or date(y, m, d)"},
    {"day", 1, 1, expr_type_part, NULL, 'd', "day(time)"},
    {"diff", 3, 3, expr_type_diff, NULL, 0, "diff(later, earlier, 'hour')"},
    {"duration", 1, 2, expr_type_duration, NULL, 0, "duration('1h30m') or duration(x, 'hour')"},
    {"ends", 2, 2, expr_type_find, NULL, 2, "ends(text, 'part')"},
    {"exp", 1, 1, expr_type_math, expr_kernel_exp, 0, "exp(x)"},
    {"float", 1, 1, expr_type_to_float, NULL, 0, "float(x)"},
    {"floor", 1, 1, expr_type_rounding, expr_kernel_floor, 0, "floor(x)"},
    {"hour", 1, 1, expr_type_part, NULL, 'H', "hour(time)"},
    {"if_else", 3, 3, expr_type_if_else, NULL, 0, "if_else(condition, yes, no)"},
    {"int", 1, 1, expr_type_to_int, NULL, 0, "int(x)"},
    {"is_nan", 1, 1, expr_type_is_nan, NULL, 0, "is_nan(x)"},
    {"is_null", 1, 1, expr_type_is_null, NULL, 0, "is_null(x)"},
    {"len", 1, 1, expr_type_len, NULL, 0, "len(text)"},
    {"log", 1, 1, expr_type_math, expr_kernel_log, 0, "log(x)"},
    {"log10", 1, 1, expr_type_math, expr_kernel_log10, 0, "log10(x)"},
    {"log2", 1, 1, expr_type_math, expr_kernel_log2, 0, "log2(x)"},
    {"lower", 1, 1, expr_type_map_text, expr_kernel_lower, 0, "lower(text)"},
    {"max", 2, MANY, expr_type_extreme, NULL, 1, "max(x, y, ...)"},
    {"min", 2, MANY, expr_type_extreme, NULL, 0, "min(x, y, ...)"},
    {"minute", 1, 1, expr_type_part, NULL, 'M', "minute(time)"},
    {"month", 1, 1, expr_type_part, NULL, 'm', "month(time)"},
    {"quarter", 1, 1, expr_type_part, NULL, 'q', "quarter(time)"},
    {"replace", 3, 3, expr_type_replace, NULL, 0, "replace(text, 'old', 'new')"},
    {"round", 1, 2, expr_type_rounding, expr_kernel_round, 0, "round(x) or round(x, decimals)"},
    {"row", 0, 0, expr_type_row, NULL, 0, "row()"},
    {"second", 1, 1, expr_type_part, NULL, 'S', "second(time)"},
    {"sign", 1, 1, expr_type_sign, NULL, 0, "sign(x)"},
    {"sin", 1, 1, expr_type_math, expr_kernel_sin, 0, "sin(x)"},
    {"sqrt", 1, 1, expr_type_math, expr_kernel_sqrt, 0, "sqrt(x)"},
    {"starts", 2, 2, expr_type_find, NULL, 1, "starts(text, 'part')"},
    {"sub", 2, 3, expr_type_sub, NULL, 0, "sub(text, first, last)"},
    {"tan", 1, 1, expr_type_math, expr_kernel_tan, 0, "tan(x)"},
    {"text", 1, 1, expr_type_to_text, NULL, 0, "text(x)"},
    {"time", 1, 1, expr_type_time, NULL, 0, "time('10:30') or time(timestamp)"},
    {"timestamp", 1, 1, expr_type_timestamp, NULL, 0, "timestamp(x)"},
    {"trim", 1, 1, expr_type_map_text, expr_kernel_trim, 0, "trim(text)"},
    {"trunc", 2, 2, expr_type_trunc, NULL, 0, "trunc(time, 'hour')"},
    {"upper", 1, 1, expr_type_map_text, expr_kernel_upper, 0, "upper(text)"},
    {"week", 1, 1, expr_type_part, NULL, 'V', "week(time)"},
    {"weekday", 1, 1, expr_type_part, NULL, 'u', "weekday(time)"},
    {"year", 1, 1, expr_type_part, NULL, 'Y', "year(time)"},
    {"yearday", 1, 1, expr_type_part, NULL, 'j', "yearday(time)"},
};
const size_t expr_n_functions = FR_COUNT(expr_functions);

const expr_function *expr_function_find(const char *name)
{
    for (size_t i = 0; i < expr_n_functions; i++) {
        if (strcmp(expr_functions[i].name, name) == 0) {
            return &expr_functions[i];
        }
    }
    return NULL;
}

const char *expr_function_nearest(const char *name)
{
    const char *names[NAMES_MAX];
    size_t n = 0;
    for (; n < expr_n_functions; n++) {
        names[n] = expr_functions[n].name;
    }
    for (int op = 0; op < FR_OP_MAX && n < NAMES_MAX; op++) {
        if (op != FR_OP_ROWS && op != FR_OP_MIN && op != FR_OP_MAX) {
            names[n++] = fr_op_name((fr_op)op);
        }
    }
    n += expr_window_names(names + n, NAMES_MAX - n);
    return fr_nearest(name, names, n);
}
