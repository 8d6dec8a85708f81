// Order statistics by radix selection: values become uint64 keys of the same order; 16
// bits at a time a histogram tells which bin holds the wanted rank, and only that bin
// goes on.

#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/data/bits.h"
#include "core/data/compress.h"
#include "core/data/compute.h"
#include "core/data/sortkey.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    DIGIT = 16,
    BINS = 1 << DIGIT,
    SMALL = 4096,
    RUN_ROWS = 1 << 20,
    NAN_BIN = 0xfff8
};

// Two passes over the rows: the first counts bins, the second brings the keys of the bins
// that hold a wanted rank together, run after run.
typedef struct selecting {
    const fr_array *array;
    uint64_t low;   // smallest key of integers, so that their bins are used well
    int shift;      // (key - low) >> shift is the bin
    uint32_t *bins; // BINS per run
    uint16_t *want; // per bin: 1 + its place among the wanted ones, or 0
    size_t nwant;
    size_t *cursor; // per run and wanted bin: where its keys go
    uint64_t *keys; // of wanted bins, less `low`
} selecting;

static int by_key(const void *a, const void *b)
{
    uint64_t x, y;
    memcpy(&x, a, 8);
    memcpy(&y, b, 8);
    return (x > y) - (x < y);
}

// The k-th smallest (from 0) of n keys that differ only in their lowest `bits` bits.
static uint64_t select_key(uint64_t *keys, size_t n, size_t k, int bits, uint32_t *bins)
{
    while (n > SMALL && bits > 0) {
        int shift = FR_MAX(bits - DIGIT, 0);
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
        bits = shift;
    }
    if (bits > 0) {
        qsort(keys, n, sizeof *keys, by_key);
    }
    return keys[bits > 0 ? k : 0];
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

static inline size_t bin_of(const selecting *g, uint64_t key)
{
    return (size_t)((key - g->low) >> g->shift);
}

// Doubles with nulls, a strip at a time without them.
typedef struct strip {
    uint64_t kept[SMALL];
    size_t n;
} strip;

static void load_strip(const fr_array *a, int64_t at, int64_t end, strip *s)
{
    uint64_t words[SMALL / 64];
    int64_t from = a->offset, n = end - at;
    for (int64_t i = 0; i < n; i += 64) {
        words[i / 64] = fr_bits_word(a->validity->data, from + at + i, from + end);
    }
    s->n = fr_compress_64((const uint64_t *)fr_array_data(a) + at, words, (size_t)n, s->kept);
}

static double number_of(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void count_run(void *ctx, size_t r)
{
    selecting *g = ctx;
    int64_t at = (int64_t)r * RUN_ROWS, end = FR_MIN(at + RUN_ROWS, g->array->length);
    uint32_t *bins = g->bins + r * BINS;
    const fr_array *a = g->array;
    if (a->type.kind == FR_FLOAT64 && a->nulls == 0) {
        const double *x = fr_array_f64(a);
        for (int64_t i = at; i < end; i++) {
            bins[fr_sortkey_f64(x[i]) >> (64 - DIGIT)]++;
        }
        return;
    }
    strip s;
    for (; a->type.kind == FR_FLOAT64 && at < end; at += SMALL) {
        load_strip(a, at, FR_MIN(at + SMALL, end), &s);
        for (size_t i = 0; i < s.n; i++) {
            bins[fr_sortkey_f64(number_of(s.kept[i])) >> (64 - DIGIT)]++;
        }
    }
    for (int64_t i = at; i < end; i++) {
        if (fr_array_has(a, i)) {
            bins[bin_of(g, fr_sortkey_of(a, i))]++;
        }
    }
}

static inline void put_key(const selecting *g, size_t *cursor, uint64_t key, size_t bin)
{
    unsigned w = g->want[bin];
    if (FR_UNLIKELY(w != 0)) {
        g->keys[cursor[w - 1]++] = key - g->low;
    }
}

static void gather_run(void *ctx, size_t r)
{
    selecting *g = ctx;
    int64_t at = (int64_t)r * RUN_ROWS, end = FR_MIN(at + RUN_ROWS, g->array->length);
    size_t *cursor = g->cursor + r * g->nwant;
    const fr_array *a = g->array;
    if (a->type.kind == FR_FLOAT64 && a->nulls == 0) {
        const double *x = fr_array_f64(a);
        for (int64_t i = at; i < end; i++) {
            uint64_t key = fr_sortkey_f64(x[i]);
            put_key(g, cursor, key, key >> (64 - DIGIT));
        }
        return;
    }
    strip s;
    for (; a->type.kind == FR_FLOAT64 && at < end; at += SMALL) {
        load_strip(a, at, FR_MIN(at + SMALL, end), &s);
        for (size_t i = 0; i < s.n; i++) {
            uint64_t key = fr_sortkey_f64(number_of(s.kept[i]));
            put_key(g, cursor, key, key >> (64 - DIGIT));
        }
    }
    for (int64_t i = at; i < end; i++) {
        if (fr_array_has(a, i)) {
            uint64_t key = fr_sortkey_of(a, i);
            put_key(g, cursor, key, bin_of(g, key));
        }
    }
}

typedef struct ranging {
    const fr_array *array;
    uint64_t *low, *high;
} ranging;

static void range_run(void *ctx, size_t r)
{
    ranging *g = ctx;
    int64_t at = (int64_t)r * RUN_ROWS, end = FR_MIN(at + RUN_ROWS, g->array->length);
    uint64_t low = UINT64_MAX, high = 0;
    for (int64_t i = at; i < end; i++) {
        if (fr_array_has(g->array, i)) {
            uint64_t key = fr_sortkey_of(g->array, i);
            low = FR_MIN(low, key);
            high = FR_MAX(high, key);
        }
    }
    g->low[r] = low;
    g->high[r] = high;
}

static bool is_float(const fr_array *a)
{
    return a->type.kind == FR_FLOAT64 || a->type.kind == FR_FLOAT32;
}

// Floats use their whole range of keys, where the top bins show NaN; integers their own.
static int choose_bins(selecting *g, size_t runs, fr_err *err)
{
    g->shift = 64 - DIGIT;
    if (is_float(g->array)) {
        return FR_OK;
    }
    ranging r = {g->array, fr_alloc(runs * sizeof(uint64_t)),
                 fr_alloc(runs * sizeof(uint64_t))};
    int rc = fr_compute_failed(err, fr_pool_run(runs, range_run, &r));
    uint64_t low = UINT64_MAX, high = 0;
    for (size_t i = 0; i < runs && rc == FR_OK; i++) {
        low = FR_MIN(low, r.low[i]);
        high = FR_MAX(high, r.high[i]);
    }
    g->low = low;
    uint64_t width = high - low;
    int bits = width == 0 ? 0 : 64 - __builtin_clzll(width);
    g->shift = FR_MAX(bits - DIGIT, 0);
    fr_free(r.low);
    fr_free(r.high);
    return rc;
}

// The bin that holds rank k; *before are the keys of lower bins.
static size_t bin_of_rank(const uint32_t *total, size_t k, size_t *before)
{
    size_t bin = 0;
    *before = 0;
    while (k >= *before + total[bin]) {
        *before += total[bin++];
    }
    return bin;
}

static void want_rank(selecting *g, const uint32_t *total, size_t k, size_t *bins)
{
    size_t before, bin = bin_of_rank(total, k, &before);
    if (g->want[bin] == 0) {
        bins[g->nwant++] = bin;
        g->want[bin] = (uint16_t)g->nwant;
    }
}

// Brings the keys of all wanted bins together; start[w] is where those of wanted bin w
// are.
static int gather(selecting *g, size_t runs, const size_t *bins, size_t *start,
                  fr_block **block, fr_err *err)
{
    size_t all = 0;
    g->cursor = fr_alloc((runs * g->nwant + 1) * sizeof *g->cursor);
    for (size_t w = 0; w < g->nwant; w++) {
        start[w] = all;
        for (size_t r = 0; r < runs; r++) {
            g->cursor[r * g->nwant + w] = all;
            all += g->bins[r * BINS + bins[w]];
        }
    }
    start[g->nwant] = all;
    int rc = fr_block_new(all * sizeof(uint64_t), block, err);
    if (rc == FR_OK) {
        g->keys = (uint64_t *)(void *)(*block)->data;
        rc = fr_compute_failed(err, fr_pool_run(runs, gather_run, g));
    }
    fr_free(g->cursor);
    return rc;
}

typedef struct ranks {
    const selecting *g;
    const uint32_t *total;
    const size_t *start;
    uint64_t *copy; // selecting moves keys about: each rank gets its own copy
    uint32_t *scratch;
} ranks;

static double value_of_rank(const ranks *r, size_t k)
{
    size_t before, bin = bin_of_rank(r->total, k, &before), w = r->g->want[bin] - 1U;
    size_t n = r->start[w + 1] - r->start[w];
    memcpy(r->copy, r->g->keys + r->start[w], n * sizeof *r->copy);
    uint64_t key = select_key(r->copy, n, k - before, r->g->shift, r->scratch);
    return key_number(r->g->array, key + r->g->low);
}

// Linear between the neighbours of q, in numpy's form: from the nearer end, so monotone.
static double between(double low, double high, double t)
{
    return low == high ? low
           : t < .5    ? low + (high - low) * t
                       : high - (high - low) * (1 - t);
}

static void pick(const ranks *r, size_t count, const double *q, size_t n, double *out)
{
    for (size_t i = 0; i < n; i++) {
        double at = q[i] * (double)(count - 1), below = floor(at);
        out[i] = value_of_rank(r, (size_t)below);
        if (at > below) {
            out[i] = between(out[i], value_of_rank(r, (size_t)below + 1), at - below);
        }
    }
}

static uint32_t *add_runs(const selecting *g, size_t runs)
{
    uint32_t *total = fr_alloc(BINS * sizeof *total);
    memcpy(total, g->bins, BINS * sizeof *total);
    for (size_t r = 1; r < runs; r++) {
        for (size_t b = 0; b < BINS; b++) {
            total[b] += g->bins[r * BINS + b];
        }
    }
    return total;
}

static int select_ranks(selecting *g, size_t runs, const uint32_t *total, const double *q,
                        size_t n, double *out, fr_err *err)
{
    size_t count = (size_t)(g->array->length - g->array->nulls), most = 1;
    size_t *bins = fr_alloc((2 * n + 1) * sizeof *bins);
    size_t *start = fr_alloc((2 * n + 2) * sizeof *start);
    g->want = fr_zalloc(BINS * sizeof *g->want);
    for (size_t i = 0; i < n; i++) {
        size_t k = (size_t)floor(q[i] * (double)(count - 1));
        want_rank(g, total, k, bins);
        want_rank(g, total, FR_MIN(k + 1, count - 1), bins);
    }
    fr_block *block = NULL;
    int rc = gather(g, runs, bins, start, &block, err);
    for (size_t w = 0; w < g->nwant; w++) {
        most = FR_MAX(most, start[w + 1] - start[w]);
    }
    if (rc == FR_OK) {
        ranks r = {g, total, start, fr_try_alloc(most * sizeof(uint64_t)),
                   fr_alloc(BINS * sizeof(uint32_t))};
        if (r.copy != NULL) {
            pick(&r, count, q, n, out);
        } else {
            rc = fr_fail(err, FR_ENOMEM, "no memory for quantiles");
        }
        fr_free(r.copy);
        fr_free(r.scratch);
    }
    fr_block_unref(block);
    fr_free(bins);
    fr_free(start);
    fr_free(g->want);
    return rc;
}

static int select_all(selecting *g, const double *q, size_t n, double *out, fr_err *err)
{
    size_t runs = ((size_t)g->array->length + RUN_ROWS - 1) / RUN_ROWS;
    fr_block *bins = NULL;
    int rc = choose_bins(g, runs, err);
    rc = rc == FR_OK ? fr_block_new_zero(runs * BINS * sizeof(uint32_t), &bins, err) : rc;
    if (rc == FR_OK) {
        g->bins = (uint32_t *)(void *)bins->data;
        rc = fr_compute_failed(err, fr_pool_run(runs, count_run, g));
    }
    if (rc == FR_OK) {
        uint32_t *total = add_runs(g, runs);
        bool nan = false;
        for (size_t b = NAN_BIN; b < BINS; b++) {
            nan = nan || (is_float(g->array) && total[b] > 0);
        }
        if (!nan) { // with NaN the results stay NaN
            rc = select_ranks(g, runs, total, q, n, out, err);
        }
        fr_free(total);
    }
    fr_block_unref(bins);
    return rc;
}

// Few values: sorted as they are.
static void pick_small(const fr_array *a, const double *q, size_t n, double *out)
{
    uint64_t keys[SMALL];
    size_t count = 0;
    for (int64_t i = 0; i < a->length; i++) {
        if (fr_array_has(a, i)) {
            keys[count] = fr_sortkey_of(a, i);
            if (is_float(a) && keys[count] >> (64 - DIGIT) >= NAN_BIN) {
                return; // the results stay NaN
            }
            count++;
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
    if (rc != FR_OK || a->length == a->nulls) {
        return rc;
    }
    if (a->length <= SMALL) {
        pick_small(a, q, n, out);
        return FR_OK;
    }
    selecting g = {.array = a};
    return select_all(&g, q, n, out, err);
}
