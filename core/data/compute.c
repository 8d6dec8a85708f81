#include "core/data/compute.h"

#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/data/bits.h"
#include "core/data/duration.h"
#include "core/data/factor.h"

#include <math.h>
#include <string.h>

__extension__ typedef __int128 i128;

static const char *const op_names[] = {
    [FR_OP_COUNT] = "count",    [FR_OP_ROWS] = "rows",         [FR_OP_SUM] = "sum",
    [FR_OP_MEAN] = "mean",      [FR_OP_MIN] = "min",           [FR_OP_MAX] = "max",
    [FR_OP_STD] = "std",        [FR_OP_VAR] = "var",           [FR_OP_MEDIAN] = "median",
    [FR_OP_FIRST] = "first",    [FR_OP_QUANTILE] = "quantile", [FR_OP_LAST] = "last",
    [FR_OP_NUNIQUE] = "nunique"};

int fr_op_find(const char *name)
{
    for (size_t i = 0; i < FR_COUNT(op_names); i++) {
        if (strcmp(op_names[i], name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

const char *fr_op_name(fr_op op)
{
    return (size_t)op < FR_COUNT(op_names) ? op_names[op] : "?";
}

int fr_op_type(fr_op op, const fr_type *in, fr_type *out, fr_err *err)
{
    bool number = fr_kind_number(in->kind) || in->kind == FR_BOOL;
    bool floats = in->kind == FR_FLOAT64 || in->kind == FR_FLOAT32;
    switch (op) {
    case FR_OP_COUNT:
    case FR_OP_ROWS:
    case FR_OP_NUNIQUE:
        *out = fr_type_of(FR_INT64);
        return FR_OK;
    case FR_OP_SUM:
        if (number || in->kind == FR_DURATION) {
            *out = number ? fr_type_of(floats ? FR_FLOAT64 : FR_INT64) : *in;
            return FR_OK;
        }
        break;
    case FR_OP_MEAN:
    case FR_OP_STD:
    case FR_OP_VAR:
    case FR_OP_MEDIAN:
    case FR_OP_QUANTILE:
        if (number || fr_duration_rounds(op, in)) {
            *out = number ? fr_type_of(FR_FLOAT64) : *in;
            return FR_OK;
        }
        break;
    case FR_OP_MIN:
    case FR_OP_MAX:
    case FR_OP_FIRST:
    case FR_OP_LAST:
        *out = *in;
        return FR_OK;
    case FR_OP_MAX_:
        break;
    }
    char name[64];
    return fr_fail(err, FR_ETYPE, "%s of %s is not defined", fr_op_name(op),
                   fr_type_name(in, name));
}

void fr_compute_get(const fr_array *a, int64_t i, fr_scalar *out)
{
    *out = (fr_scalar){.type = a->type, .null = !fr_array_has(a, i)};
    if (out->null) {
        return;
    }
    if (a->type.kind == FR_UTF8 || a->type.kind == FR_CATEGORY) {
        out->text = fr_array_text(a, i, &out->n);
    } else if (a->type.kind == FR_FLOAT64 || a->type.kind == FR_FLOAT32) {
        out->number = fr_array_number(a, i);
    } else {
        out->integer = fr_array_int(a, i);
    }
}

static int compare_text(const fr_array *a, int64_t i, const fr_array *b, int64_t j)
{
    size_t n, m;
    const char *s = fr_array_text(a, i, &n), *t = fr_array_text(b, j, &m);
    int c = memcmp(s, t, FR_MIN(n, m));
    return c != 0 ? (c > 0) - (c < 0) : (n > m) - (n < m);
}

int fr_compute_compare(const fr_array *a, int64_t i, const fr_array *b, int64_t j)
{
    bool here = fr_array_has(a, i), there = fr_array_has(b, j);
    if (!here || !there) {
        return (int)there - (int)here;
    }
    if (a->type.kind == FR_CATEGORY && a->type.ordered && a->dict == b->dict) {
        int32_t x = fr_array_i32(a)[i], y = fr_array_i32(b)[j];
        return (x > y) - (x < y);
    }
    if (a->type.kind == FR_UTF8 || a->type.kind == FR_CATEGORY) {
        return compare_text(a, i, b, j);
    }
    if (a->type.kind == FR_FLOAT64 || a->type.kind == FR_FLOAT32) {
        double x = fr_array_number(a, i), y = fr_array_number(b, j);
        if (isnan(x) || isnan(y)) {
            return (int)isnan(x) != 0 ? (isnan(y) ? 0 : 1) : -1;
        }
        return (x > y) - (x < y);
    }
    if (a->type.kind == FR_UINT64) {
        uint64_t x = (uint64_t)fr_array_int(a, i), y = (uint64_t)fr_array_int(b, j);
        return (x > y) - (x < y);
    }
    int64_t x = fr_array_int(a, i), y = fr_array_int(b, j);
    return (x > y) - (x < y);
}

// --- sums ---

// 128 values in eight lanes of fixed order, so that vector and scalar code agree.
static double block_sum(const double *x, size_t n)
{
    double lane[8] = {0};
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        for (size_t k = 0; k < 8; k++) {
            lane[k] += x[i + k];
        }
    }
    for (size_t k = 0; i + k < n; k++) {
        lane[k] += x[i + k];
    }
    return ((lane[0] + lane[1]) + (lane[2] + lane[3])) +
           ((lane[4] + lane[5]) + (lane[6] + lane[7]));
}

double fr_compute_pairwise(const double *x, size_t n)
{
    enum { BLOCK = 128 };
    if (n <= BLOCK) {
        return block_sum(x, n);
    }
    size_t half = (n / 2 + BLOCK - 1) / BLOCK * BLOCK;
    return fr_compute_pairwise(x, half) + fr_compute_pairwise(x + half, n - half);
}

// What one chunk contributes. Integer sums are exact: 2^40 rows of int64 fit 128 bits.
typedef struct part {
    double sum, square; // square: of deviations from the mean
    i128 whole;
    int64_t count, best; // best: row of min or max, -1 none
    bool nan;
} part;

typedef struct reducing {
    const fr_array *array;
    fr_op op;
    double mean; // second pass of var
    part *parts;
} reducing;

// The chunk's values as doubles, nulls as `instead`.
static const double *chunk_doubles(const fr_array *a, int64_t at, int64_t n,
                                   double instead, double *buffer)
{
    if (a->type.kind == FR_FLOAT64 && a->nulls == 0) {
        return fr_array_f64(a) + at;
    }
    if (a->type.kind == FR_FLOAT64) {
        memcpy(buffer, fr_array_f64(a) + at, (size_t)n * sizeof *buffer);
    } else if (a->type.kind == FR_INT64) {
        const int64_t *x = fr_array_i64(a) + at;
        for (int64_t i = 0; i < n; i++) {
            buffer[i] = (double)x[i];
        }
    } else {
        for (int64_t i = 0; i < n; i++) {
            buffer[i] = fr_array_number(a, at + i);
        }
    }
    if (a->nulls > 0) {
        for (int64_t i = 0; i < n; i++) {
            buffer[i] = fr_array_has(a, at + i) ? buffer[i] : instead;
        }
    }
    return buffer;
}

static void sum_floats(const fr_array *a, int64_t at, int64_t n, part *p)
{
    double *buffer = fr_alloc((size_t)n * sizeof *buffer);
    p->sum = fr_compute_pairwise(chunk_doubles(a, at, n, 0, buffer), (size_t)n);
    fr_free(buffer);
}

static void sum_integers(const fr_array *a, int64_t at, int64_t n, part *p)
{
    bool wide = a->type.kind == FR_UINT64;
    if (a->type.kind == FR_INT64 && a->nulls == 0) {
        const int64_t *x = fr_array_i64(a) + at;
        uint64_t low = 0;
        int64_t high = 0;
        for (int64_t i = 0; i < n;
             i++) { // two 64-bit sums run in vectors, 128-bit ones do not
            low += (uint32_t)x[i];
            high += x[i] >> 32;
        }
        p->whole = (i128)high * (INT64_C(1) << 32) + (i128)low;
        return;
    }
    for (int64_t i = at; i < at + n; i++) {
        if (fr_array_has(a, i)) {
            int64_t v = fr_array_int(a, i);
            p->whole += wide ? (i128)(uint64_t)v : (i128)v;
        }
    }
}

static void square_deviations(const fr_array *a, int64_t at, int64_t n, double mean,
                              part *p)
{
    double *buffer = fr_alloc((size_t)n * sizeof *buffer),
           *d = fr_alloc((size_t)n * sizeof *d);
    const double *x = chunk_doubles(a, at, n, mean, buffer);
    for (int64_t i = 0; i < n; i++) {
        d[i] = x[i] - mean;
    }
    p->sum = fr_compute_pairwise(d, (size_t)n);
    for (int64_t i = 0; i < n; i++) {
        d[i] *= d[i];
    }
    p->square = fr_compute_pairwise(d, (size_t)n);
    fr_free(buffer);
    fr_free(d);
}

// Row of the extreme value; the first of equal ones. NaN wins at once.
static int64_t best_of(const fr_array *a, int64_t at, int64_t n, bool most, bool *nan)
{
    int64_t best = -1;
    bool floats = a->type.kind == FR_FLOAT64 || a->type.kind == FR_FLOAT32;
    if (a->type.kind == FR_FLOAT64 && a->nulls == 0) {
        const double *x = fr_array_f64(a);
        double v = most ? -(double)INFINITY : (double)INFINITY;
        best = at;
        for (int64_t i = at; i < at + n; i++) {
            bool better = most ? x[i] > v : x[i] < v;
            *nan |= x[i] != x[i];
            best = better ? i : best;
            v = better ? x[i] : v;
        }
        return best;
    }
    for (int64_t i = at; i < at + n; i++) {
        if (!fr_array_has(a, i)) {
            continue;
        }
        if (floats && isnan(fr_array_number(a, i))) {
            *nan = true;
            return i;
        }
        if (best < 0) {
            best = i;
            continue;
        }
        int c = fr_compute_compare(a, i, a, best);
        best = (most ? c > 0 : c < 0) ? i : best;
    }
    return best;
}

static void reduce_chunk(void *ctx, size_t c)
{
    reducing *g = ctx;
    const fr_array *a = g->array;
    int64_t at = (int64_t)c * FR_CHUNK_ROWS, n = FR_MIN(a->length - at, FR_CHUNK_ROWS);
    part *p = &g->parts[c];
    bool floats = a->type.kind == FR_FLOAT64 || a->type.kind == FR_FLOAT32;
    switch ((int)g->op) {
    case FR_OP_SUM:
    case FR_OP_MEAN:
        if (floats) {
            sum_floats(a, at, n, p);
        } else {
            sum_integers(a, at, n, p);
        }
        break;
    case FR_OP_VAR:
        square_deviations(a, at, n, g->mean, p);
        break;
    case FR_OP_MIN:
        p->best = best_of(a, at, n, false, &p->nan);
        break;
    default:
        p->best = best_of(a, at, n, true, &p->nan);
        break;
    }
}

static int reduce(reducing *g, part *total, fr_err *err)
{
    size_t n = fr_compute_chunks(g->array->length);
    g->parts = fr_zalloc(FR_MAX(n, 1) * sizeof *g->parts);
    int rc = fr_compute_failed(err, fr_pool_run(n, reduce_chunk, g));
    *total = (part){.best = -1};
    double *sums = fr_alloc(FR_MAX(n, 1) * sizeof *sums);
    for (size_t i = 0; i < n; i++) {
        const part *p = &g->parts[i];
        sums[i] = p->sum;
        total->whole += p->whole;
        if ((g->op == FR_OP_MIN || g->op == FR_OP_MAX) && p->best >= 0 && !total->nan) {
            int c = total->best < 0
                        ? 0
                        : fr_compute_compare(g->array, p->best, g->array, total->best);
            bool better = g->op == FR_OP_MIN ? c < 0 : c > 0;
            total->best = total->best < 0 || better || p->nan ? p->best : total->best;
            total->nan = p->nan;
        }
    }
    total->sum = fr_compute_pairwise(sums, n);
    for (size_t i = 0; i < n; i++) {
        sums[i] = g->parts[i].square;
    }
    total->square = fr_compute_pairwise(sums, n);
    fr_free(sums);
    fr_free(g->parts);
    return rc;
}

static int integer_result(i128 v, fr_scalar *out, fr_err *err)
{
    if (v > INT64_MAX || v < INT64_MIN) {
        return fr_fail(err, FR_EOVERFLOW,
                       "the sum %.17g does not fit int64: convert to float first",
                       (double)v);
    }
    out->null = false;
    out->integer = (int64_t)v;
    return FR_OK;
}

static int mean_of(const fr_array *a, double *mean, fr_err *err)
{
    reducing g = {.array = a, .op = FR_OP_MEAN};
    part total;
    int rc = reduce(&g, &total, err);
    bool floats = a->type.kind == FR_FLOAT64 || a->type.kind == FR_FLOAT32;
    *mean = (floats ? total.sum : (double)total.whole) / (double)(a->length - a->nulls);
    return rc;
}

static int spread(const fr_array *a, bool root, fr_scalar *out, fr_err *err)
{
    int64_t n = a->length - a->nulls;
    if (n < 2) {
        return FR_OK;
    }
    reducing g = {.array = a, .op = FR_OP_VAR};
    part total;
    int rc = mean_of(a, &g.mean, err);
    if (rc == FR_OK) {
        rc = reduce(&g, &total, err);
    }
    if (rc != FR_OK) {
        return rc;
    }
    // The mean is rounded; subtracting what that left corrects the sum of squares.
    double v = (total.square - total.sum * total.sum / (double)n) / (double)(n - 1);
    out->null = false;
    out->number = root ? sqrt(v) : v;
    return FR_OK;
}

static int extreme(const fr_array *a, fr_op op, fr_scalar *out, fr_err *err)
{
    reducing g = {.array = a, .op = op};
    part total;
    int rc = reduce(&g, &total, err);
    if (rc == FR_OK && total.nan) {
        out->null = false;
        out->number = (double)NAN;
    } else if (rc == FR_OK && total.best >= 0) {
        fr_compute_get(a, total.best, out);
    }
    return rc;
}

static int sum(const fr_array *a, fr_scalar *out, fr_err *err)
{
    reducing g = {.array = a, .op = FR_OP_SUM};
    part total;
    int rc = reduce(&g, &total, err);
    if (rc == FR_OK && out->type.kind == FR_FLOAT64) {
        out->null = false;
        out->number = total.sum;
        return FR_OK;
    }
    return rc == FR_OK ? integer_result(total.whole, out, err) : rc;
}

static int aggregate(const fr_array *a, fr_op op, double q, fr_scalar *out, fr_err *err)
{
    *out = (fr_scalar){.null = true};
    int rc = fr_op_type(op, &a->type, &out->type, err);
    if (rc != FR_OK) {
        return rc;
    }
    switch (op) {
    case FR_OP_COUNT:
        return integer_result(a->length - a->nulls, out, err);
    case FR_OP_ROWS:
        return integer_result(a->length, out, err);
    case FR_OP_SUM:
        return sum(a, out, err);
    case FR_OP_MEAN:
        out->null = a->length == a->nulls;
        return out->null ? FR_OK : mean_of(a, &out->number, err);
    case FR_OP_STD:
        return spread(a, true, out, err);
    case FR_OP_VAR:
        return spread(a, false, out, err);
    case FR_OP_MIN:
    case FR_OP_MAX:
        return extreme(a, op, out, err);
    case FR_OP_MEDIAN:
        q = 0.5;
        goto quantile;
    case FR_OP_QUANTILE:
    quantile:
        rc = fr_compute_quantiles(a, &q, 1, &out->number, err);
        out->null = rc != FR_OK || a->length == a->nulls;
        return rc;
    case FR_OP_FIRST:
    case FR_OP_LAST:
        if (a->length > 0) {
            fr_compute_get(a, op == FR_OP_FIRST ? 0 : a->length - 1, out);
        }
        return FR_OK;
    case FR_OP_NUNIQUE: {
        int64_t n = 0;
        rc = fr_factor_count(a, &n, err);
        return rc == FR_OK ? integer_result(n, out, err) : rc;
    }
    case FR_OP_MAX_:
        break;
    }
    return fr_fail(err, FR_EINVAL, "unknown aggregate");
}

int fr_compute_aggregate(const fr_array *a, fr_op op, double q, fr_scalar *out,
                         fr_err *err)
{
    if (!fr_duration_rounds(op, &a->type)) {
        return aggregate(a, op, q, out, err);
    }
    fr_array *numbers = fr_duration_numbers(a);
    int rc = aggregate(numbers, op, q, out, err);
    fr_array_unref(numbers);
    return rc == FR_OK ? fr_duration_round_one(out, a->type, err) : rc;
}
