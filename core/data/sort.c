#include "core/data/sort.h"

#include "core/base/cancel.h"
#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/data/compute.h"
#include "core/data/factor.h"
#include "core/data/radix.h"
#include "core/data/sortkey.h"

#include <math.h>
#include <string.h>

// --- keys ---

// A key column as numbers below 2^bits, in the wanted direction. Nulls and NaN are
// settled by a pass of their own, so that full 64-bit ranges need no extra bit.
typedef struct keys {
    const fr_sort_key *by;
    uint64_t low, high; // of sortkeys; for text: ranks
    fr_block *ids;      // text: uint32 group per row
    uint32_t *rank;     // text and category: group or code -> rank
    bool nan;
    int bits;
    uint64_t *lows, *highs; // per chunk
    bool *nans;
} keys;

static bool is_float(const fr_array *a)
{
    return a->type.kind == FR_FLOAT64 || a->type.kind == FR_FLOAT32;
}

static void range_chunk(void *ctx, size_t c)
{
    keys *k = ctx;
    const fr_array *a = k->by->array;
    int64_t at = (int64_t)c * FR_CHUNK_ROWS, end = FR_MIN(at + FR_CHUNK_ROWS, a->length);
    uint64_t low = UINT64_MAX, high = 0;
    bool floats = is_float(a), nan = false;
    if (a->type.kind == FR_INT64 && a->nulls == 0) {
        const int64_t *x = fr_array_i64(a);
        int64_t least = INT64_MAX, most = INT64_MIN;
        for (int64_t i = at; i < end; i++) {
            least = x[i] < least ? x[i] : least;
            most = x[i] > most ? x[i] : most;
        }
        low = fr_sortkey_i64(least);
        high = fr_sortkey_i64(most);
        at = end;
    }
    for (int64_t i = at; i < end; i++) {
        if (!fr_array_has(a, i)) {
            continue;
        }
        if (floats && isnan(fr_array_number(a, i))) {
            nan = true;
            continue;
        }
        uint64_t key = fr_sortkey_of(a, i);
        low = FR_MIN(low, key);
        high = FR_MAX(high, key);
    }
    k->lows[c] = low;
    k->highs[c] = high;
    k->nans[c] = nan;
}

static int number_range(keys *k, fr_err *err)
{
    size_t n = fr_compute_chunks(k->by->array->length);
    k->lows = fr_alloc((n + 1) * sizeof *k->lows);
    k->highs = fr_alloc((n + 1) * sizeof *k->highs);
    k->nans = fr_alloc((n + 1) * sizeof *k->nans);
    int rc = fr_compute_failed(err, fr_pool_run(n, range_chunk, k));
    k->low = UINT64_MAX;
    k->high = 0;
    for (size_t i = 0; i < n && rc == FR_OK; i++) {
        k->low = FR_MIN(k->low, k->lows[i]);
        k->high = FR_MAX(k->high, k->highs[i]);
        k->nan = k->nan || k->nans[i];
    }
    if (k->low > k->high) {
        k->low = k->high = 0;
    }
    fr_free(k->lows);
    fr_free(k->highs);
    fr_free(k->nans);
    return rc;
}

static int text_ranks(keys *k, fr_err *err)
{
    fr_factor f;
    int rc = fr_factor_init(&f, &k->by->array, 1, false, err);
    if (rc != FR_OK) {
        return rc;
    }
    size_t groups = (size_t)f.groups;
    uint32_t *first = fr_factor_first(&f),
             *order = fr_alloc((groups + 1) * sizeof *order);
    k->rank = fr_alloc((groups + 1) * sizeof *k->rank);
    // Sort groups by their text: the order of first rows, then back to groups.
    memcpy(order, first, groups * sizeof *order);
    fr_sort_texts(k->by->array, order, groups);
    for (size_t g = 0; g < groups; g++) {
        k->rank[fr_factor_ids(&f)[order[g]]] = (uint32_t)g;
    }
    k->high = groups > 0 ? groups - 1 : 0;
    k->ids = fr_block_ref(f.ids);
    fr_free(order);
    fr_factor_fini(&f);
    return FR_OK;
}

static int keys_init(keys *k, const fr_sort_key *by, fr_err *err)
{
    *k = (keys){.by = by};
    int rc = FR_OK;
    if (by->array->type.kind == FR_UTF8) {
        rc = text_ranks(k, err);
    } else if (by->array->type.kind == FR_CATEGORY) {
        size_t n = (size_t)by->array->dict->length;
        k->rank = fr_alloc((n + 1) * sizeof *k->rank);
        k->high = n > 0 ? n - 1 : 0;
        rc = fr_sort_dictionary(by->array, k->rank, err);
    } else {
        rc = number_range(k, err);
    }
    uint64_t width = k->high - k->low;
    k->bits = width == 0 ? 0 : 64 - __builtin_clzll(width);
    return rc;
}

static void keys_fini(keys *k)
{
    fr_block_unref(k->ids);
    fr_free(k->rank);
}

static inline uint64_t key_at(const keys *k, int64_t i)
{
    const fr_array *a = k->by->array;
    uint64_t key;
    if (!fr_array_has(a, i)) {
        return 0;
    }
    if (k->ids != NULL) {
        key = k->rank[((const uint32_t *)(const void *)k->ids->data)[i]];
    } else if (k->rank != NULL) {
        key = k->rank[fr_array_i32(a)[i]];
    } else if (k->nan && isnan(fr_array_number(a, i))) {
        return 0;
    } else {
        key = fr_sortkey_of(a, i);
    }
    return k->by->desc ? k->high - key : key - k->low;
}

// 0 nulls first, 1 values, 2 NaN, 3 nulls last.
static inline unsigned class_at(const keys *k, int64_t i)
{
    if (!fr_array_has(k->by->array, i)) {
        return k->by->nulls_first ? 0 : 3;
    }
    return k->nan && isnan(fr_array_number(k->by->array, i)) ? 2 : 1;
}

typedef struct filling {
    const keys *k;
    const uint32_t *order; // NULL: rows as they are
    void *to;
    size_t n;
    bool is_wide;
} filling;

static void fill_chunk(void *ctx, size_t c)
{
    filling *f = ctx;
    const fr_array *a = f->k->by->array;
    size_t at = c * FR_CHUNK_ROWS, end = FR_MIN(at + FR_CHUNK_ROWS, f->n);
    fr_radix32 *x = f->to;
    fr_radix64 *y = f->to;
    if (f->order == NULL && !f->is_wide && a->type.kind == FR_INT64 && a->nulls == 0) {
        const int64_t *v = fr_array_i64(a);
        for (size_t i = at; i < end; i++) {
            uint64_t key = fr_sortkey_i64(v[i]);
            key = f->k->by->desc ? f->k->high - key : key - f->k->low;
            x[i] = (fr_radix32){(uint32_t)key, (uint32_t)i};
        }
        return;
    }
    for (size_t i = at; i < end; i++) {
        uint32_t row = f->order != NULL ? f->order[i] : (uint32_t)i;
        uint64_t key = key_at(f->k, row);
        if (f->is_wide) {
            y[i] = (fr_radix64){key, row, 0};
        } else {
            x[i] = (fr_radix32){(uint32_t)key, row};
        }
    }
}

// Moves nulls and NaN to their ends, keeping the order otherwise.
static int settle_classes(const keys *k, uint32_t *order, size_t n, fr_err *err)
{
    fr_block *copy;
    int rc = fr_block_new(n * sizeof *order, &copy, err);
    if (rc != FR_OK) {
        return rc;
    }
    memcpy(copy->data, order, n * sizeof *order);
    const uint32_t *from = (const uint32_t *)(const void *)copy->data;
    size_t count[5] = {0};
    for (size_t i = 0; i < n; i++) {
        count[class_at(k, from[i]) + 1]++;
    }
    for (size_t c = 1; c < 5; c++) {
        count[c] += count[c - 1];
    }
    for (size_t i = 0; i < n; i++) {
        order[count[class_at(k, from[i])]++] = from[i];
    }
    fr_block_unref(copy);
    return FR_OK;
}

// One key: order (NULL content at first: `fresh`) is rearranged stably.
static int sort_by(const fr_sort_key *by, uint32_t *order, size_t n, bool fresh,
                   fr_err *err)
{
    keys k;
    fr_block *a = NULL, *b = NULL;
    int rc = keys_init(&k, by, err);
    bool is_wide = k.bits > 32;
    size_t size = is_wide ? sizeof(fr_radix64) : sizeof(fr_radix32);
    rc = rc == FR_OK ? fr_block_new(n * size, &a, err) : rc;
    rc = rc == FR_OK ? fr_block_new(n * size, &b, err) : rc;
    if (rc == FR_OK) {
        filling f = {&k, fresh ? NULL : order, a->data, n, is_wide};
        rc = fr_pool_run(fr_compute_chunks((int64_t)n), fill_chunk, &f);
        rc = fr_compute_failed(err, rc);
    }
    if (rc == FR_OK && is_wide) {
        rc = fr_radix64_sort((fr_radix64 *)(void *)a->data, (fr_radix64 *)(void *)b->data,
                             n, k.bits, order, err);
    } else if (rc == FR_OK) {
        rc = fr_radix32_sort((fr_radix32 *)(void *)a->data, (fr_radix32 *)(void *)b->data,
                             n, k.bits, order, err);
    }
    if (rc == FR_OK && (k.nan || by->array->nulls > 0)) {
        rc = settle_classes(&k, order, n, err);
    }
    fr_block_unref(a);
    fr_block_unref(b);
    keys_fini(&k);
    return rc;
}

int fr_sort_order(const fr_sort_key *by, size_t n, fr_block **order, fr_err *err)
{
    FR_ASSERT(n > 0);
    *order = NULL;
    int64_t rows = by[0].array->length;
    fr_block *o;
    int rc = fr_compute_check_rows(rows, err);
    rc = rc == FR_OK ? fr_block_new((size_t)rows * sizeof(uint32_t), &o, err) : rc;
    if (rc != FR_OK) {
        return rc;
    }
    for (size_t k = n; k > 0 && rc == FR_OK; k--) { // the last key first
        rc = sort_by(&by[k - 1], (uint32_t *)(void *)o->data, (size_t)rows, k == n, err);
    }
    if (rc != FR_OK) {
        fr_block_unref(o);
        return rc;
    }
    *order = o;
    return FR_OK;
}

int fr_sort_frame(const fr_frame *f, const fr_sort_key *by, size_t n, fr_frame **out,
                  fr_err *err)
{
    *out = NULL;
    fr_block *order;
    int rc = fr_sort_order(by, n, &order, err);
    if (rc == FR_OK) {
        rc = fr_compute_take_frame(f, (const uint32_t *)(const void *)order->data,
                                   f->rows, out, err);
        fr_block_unref(order);
    }
    return rc;
}
