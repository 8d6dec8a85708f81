// Order statistics by radix selection: values become uint64 keys of the same order; 16
// bits at a time a histogram tells which bin holds the wanted rank, and only that bin
// goes on.

#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/data/compute.h"
#include "core/data/sortkey.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DIGIT = 16, BINS = 1 << DIGIT, SMALL = 4096, RUN_ROWS = 1 << 20 };

// Ascending keys of one run of rows; the nulls are left out.
typedef struct selecting {
    const fr_array *array;
    uint64_t *keys;         // of the rows that are not null, in place of row order
    int64_t *start;         // per run: rows that are not null before it
    uint32_t *bins;         // BINS per run
    const uint64_t *wanted; // prefixes of bins to extract, ascending
    size_t nwanted;
    bool nan;
} selecting;

static int by_key(const void *a, const void *b)
{
    uint64_t x, y;
    memcpy(&x, a, 8);
    memcpy(&y, b, 8);
    return (x > y) - (x < y);
}

// The k-th smallest (from 0) of n keys whose bits above `shift` + DIGIT are equal.
static uint64_t select_key(uint64_t *keys, size_t n, size_t k, int shift, uint32_t *bins)
{
    while (n > SMALL && shift >= 0) {
        memset(bins, 0, BINS * sizeof *bins);
        for (size_t i = 0; i < n; i++) {
            bins[keys[i] >> shift & (BINS - 1)]++;
        }
        size_t bin = 0;
        while (k >= bins[bin]) {
            k -= bins[bin++];
        }
        size_t kept = 0;
        for (size_t i = 0; i < n; i++) {
            keys[kept] = keys[i];
            kept += (keys[i] >> shift & (BINS - 1)) == bin;
        }
        n = kept;
        shift -= DIGIT;
    }
    if (shift < 0) {
        return keys[0]; // all bits are equal
    }
    qsort(keys, n, sizeof *keys, by_key);
    return keys[k];
}

static void make_keys(void *ctx, size_t r)
{
    selecting *g = ctx;
    int64_t at = (int64_t)r * RUN_ROWS, end = FR_MIN(at + RUN_ROWS, g->array->length);
    uint64_t *to = g->keys + g->start[r];
    uint32_t *bins = g->bins + r * BINS;
    const fr_array *a = g->array;
    if (a->type.kind == FR_FLOAT64 && a->nulls == 0) {
        const double *x = fr_array_f64(a);
        for (int64_t i = at; i < end; i++) {
            uint64_t key = fr_sortkey_f64(x[i]);
            *to++ = key;
            bins[key >> 48]++;
        }
        return;
    }
    for (int64_t i = at; i < end; i++) {
        if (fr_array_has(a, i)) {
            uint64_t key = fr_sortkey_of(a, i);
            *to++ = key;
            bins[key >> 48]++;
        }
    }
}

static double key_number(const fr_array *a, uint64_t key)
{
    switch ((int)a->type.kind) {
    case FR_FLOAT64:
    case FR_FLOAT32:
        return fr_sortkey_to_f64(key);
    case FR_UINT64:
        return (double)key;
    default:
        return (double)(int64_t)(key ^ (UINT64_C(1) << 63));
    }
}

typedef struct ranks {
    uint64_t *keys; // all, unsorted
    size_t n;
    const uint32_t *bins; // of the top digit
    uint64_t *some;       // those of one bin
    size_t nsome, bin, before;
    uint32_t *scratch;
} ranks;

// Collects the bin that holds rank k (kept between calls: neighbours share it).
static uint64_t rank_key(ranks *r, size_t k)
{
    size_t bin = 0, before = 0;
    while (k >= before + r->bins[bin]) {
        before += r->bins[bin++];
    }
    r->nsome = 0;
    for (size_t i = 0; i < r->n; i++) {
        r->some[r->nsome] = r->keys[i];
        r->nsome += (r->keys[i] >> 48) == bin;
        if (r->nsome == r->bins[bin]) {
            break;
        }
    }
    return select_key(r->some, r->nsome, k - before, 32, r->scratch);
}

static int count_rows(selecting *g, size_t runs)
{
    int64_t n = 0;
    g->start = fr_alloc((runs + 1) * sizeof *g->start);
    for (size_t r = 0; r < runs; r++) {
        int64_t at = (int64_t)r * RUN_ROWS, end = FR_MIN(at + RUN_ROWS, g->array->length);
        g->start[r] = n;
        if (g->array->nulls == 0) {
            n += end - at;
            continue;
        }
        for (int64_t i = at; i < end; i++) {
            n += fr_array_has(g->array, i);
        }
    }
    g->start[runs] = n;
    return FR_OK;
}

// Linear between the neighbours of q, in numpy's form: from the nearer end, so monotone.
static double between(double low, double high, double t)
{
    return low == high ? low
           : t < .5    ? low + (high - low) * t
                       : high - (high - low) * (1 - t);
}

static void pick(ranks *r, const fr_array *a, const double *q, size_t n, double *out)
{
    for (size_t i = 0; i < n; i++) {
        double at = q[i] * (double)(r->n - 1), below = floor(at);
        size_t k = (size_t)below;
        out[i] = key_number(a, rank_key(r, k));
        if (at > below) {
            out[i] = between(out[i], key_number(a, rank_key(r, k + 1)), at - below);
        }
    }
}

// Few values: sorted as they are.
static void pick_small(const fr_array *a, const double *q, size_t n, double *out)
{
    uint64_t keys[SMALL];
    size_t count = 0;
    for (int64_t i = 0; i < a->length; i++) {
        if (fr_array_has(a, i)) {
            keys[count++] = fr_sortkey_of(a, i);
        }
    }
    qsort(keys, count, sizeof *keys, by_key);
    for (size_t i = 0; i < n; i++) {
        double at = q[i] * (double)(count - 1), below = floor(at);
        size_t k = (size_t)below;
        out[i] = key_number(a, keys[k]);
        if (at > below) {
            out[i] = between(out[i], key_number(a, keys[k + 1]), at - below);
        }
    }
}

static int select_all(selecting *g, const double *q, size_t n, double *out, fr_err *err)
{
    size_t runs = ((size_t)g->array->length + RUN_ROWS - 1) / RUN_ROWS;
    (void)count_rows(g, runs);
    size_t count = (size_t)g->start[runs];
    fr_block *keys = NULL, *some = NULL, *bins = NULL;
    int rc = fr_block_new(count * sizeof(uint64_t), &keys, err);
    rc = rc == FR_OK ? fr_block_new_zero(runs * BINS * sizeof(uint32_t), &bins, err) : rc;
    if (rc == FR_OK) {
        g->keys = (uint64_t *)(void *)keys->data;
        g->bins = (uint32_t *)(void *)bins->data;
        rc = fr_compute_failed(err, fr_pool_run(runs, make_keys, g));
    }
    size_t most = 0;
    if (rc == FR_OK) {
        for (size_t b = 0; b < BINS; b++) {
            for (size_t r = 1; r < runs; r++) {
                g->bins[b] += g->bins[r * BINS + b];
            }
            most = FR_MAX(most, g->bins[b]);
        }
        rc = fr_block_new((most + 1) * sizeof(uint64_t), &some, err);
    }
    if (rc == FR_OK) {
        ranks r = {.keys = g->keys,
                   .n = count,
                   .bins = g->bins,
                   .some = (uint64_t *)(void *)some->data,
                   .scratch = fr_alloc(BINS * sizeof(uint32_t))};
        pick(&r, g->array, q, n, out);
        fr_free(r.scratch);
    }
    fr_block_unref(keys);
    fr_block_unref(some);
    fr_block_unref(bins);
    fr_free(g->start);
    return rc;
}

static bool has_nan(const fr_array *a)
{
    bool nan = false;
    if (a->type.kind == FR_FLOAT64 && a->nulls == 0) {
        const double *x = fr_array_f64(a);
        for (int64_t i = 0; i < a->length; i++) {
            nan |= x[i] != x[i];
        }
    } else if (a->type.kind == FR_FLOAT64 || a->type.kind == FR_FLOAT32) {
        for (int64_t i = 0; i < a->length; i++) {
            nan |= isnan(fr_array_number(a, i)) && fr_array_has(a, i);
        }
    }
    return nan;
}

int fr_compute_quantiles(const fr_array *a, const double *q, size_t n, double *out,
                         fr_err *err)
{
    fr_type type;
    int rc = fr_op_type(FR_OP_QUANTILE, &a->type, &type, err);
    for (size_t i = 0; rc == FR_OK && i < n; i++) {
        if (!(q[i] >= 0 && q[i] <= 1)) {
            rc = fr_fail(err, FR_EINVAL, "a quantile is between 0 and 1, got %g", q[i]);
        }
        out[i] = (double)NAN;
    }
    if (rc != FR_OK || a->length == a->nulls || has_nan(a)) {
        return rc;
    }
    if (a->length <= SMALL) {
        pick_small(a, q, n, out);
        return FR_OK;
    }
    selecting g = {.array = a};
    return select_all(&g, q, n, out, err);
}
