#include "core/ml/ranks.h"

#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/ml/order.h"

#include <math.h>
#include <string.h>

enum {
    CACHE = 1 << 17,    // bytes of ranks that stay close to a core
    MOST_TURNED = 64,   // features; of more, few are looked at in a small subtree
    TURNED_ROWS = 1024, // at a time
};

typedef struct rank_job {
    const fr_columns *x;
    uint32_t most;
    fr_ranks *out;
    size_t *bad_row; // [feature]: 1 + row of the first NaN, or 0
} rank_job;

static inline uint32_t key_of(uint64_t sorted) { return (uint32_t)(sorted >> 32); }

// Writes the bins of one sorted column; returns their number. The last bin takes the
// rest.
static uint32_t cut_bins(const uint64_t *sorted, size_t n, uint32_t most, bool exact,
                         uint16_t *rank, float *low, float *high)
{
    uint32_t bins = 0;
    for (size_t i = 0; i < n;) {
        size_t end = exact ? i + 1 : (size_t)((uint64_t)(bins + 1) * n / most);
        end = FR_MAX(end, i + 1);
        if (!exact && bins + 1 == most) {
            end = n;
        }
        while (end < n && key_of(sorted[end]) == key_of(sorted[end - 1])) {
            end++;
        }
        low[bins] = fr_order_value32(key_of(sorted[i]));
        high[bins] = fr_order_value32(key_of(sorted[end - 1]));
        for (; i < end; i++) {
            rank[(uint32_t)sorted[i]] = (uint16_t)bins;
        }
        bins++;
    }
    return bins;
}

static const uint32_t MISSING_KEY = UINT32_MAX; // sorts behind infinity

// Ranks of the column's numbers, then a bin for NaN behind them.
static int bin_column(rank_job *job, size_t f, const uint64_t *sorted)
{
    fr_ranks *r = job->out;
    size_t n = r->rows, numbers = n;
    while (numbers > 0 && key_of(sorted[numbers - 1]) == MISSING_KEY) {
        numbers--;
    }
    r->missing[f] = numbers < n;
    uint32_t most = job->most - (numbers < n);
    size_t distinct = numbers > 0;
    for (size_t i = 1; i < numbers; i++) {
        distinct += key_of(sorted[i]) != key_of(sorted[i - 1]);
    }
    bool exact = distinct <= most;
    size_t room = (exact ? distinct : most) + 1;
    r->low[f] = fr_try_alloc(2 * room * sizeof **r->low);
    if (r->low[f] == NULL) {
        return FR_ENOMEM;
    }
    r->high[f] = r->low[f] + room;
    uint32_t bins =
        cut_bins(sorted, numbers, most, exact, r->rank[f], r->low[f], r->high[f]);
    if (numbers < n) {
        r->low[f][bins] = r->high[f][bins] = NAN;
        for (size_t i = numbers; i < n; i++) {
            r->rank[f][(uint32_t)sorted[i]] = (uint16_t)bins;
        }
        bins++;
    }
    r->bins[f] = bins;
    return FR_OK;
}

static int rank_column(void *ctx, size_t f)
{
    rank_job *job = ctx;
    fr_ranks *r = job->out;
    size_t n = r->rows;
    const double *x = job->x->column[f];
    uint64_t *keys = fr_try_alloc(2 * n * sizeof *keys);
    r->rank[f] = fr_try_alloc((n + 1) * sizeof **r->rank);
    if (keys == NULL || r->rank[f] == NULL) {
        fr_free(keys);
        return FR_ENOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        bool missing = isnan(x[i]);
        if (FR_UNLIKELY(missing && !job->x->missing)) {
            job->bad_row[f] = i + 1;
            fr_free(keys);
            return FR_EINVAL;
        }
        uint32_t key = missing ? MISSING_KEY : fr_order_key32((float)x[i]);
        keys[i] = (uint64_t)key << 32 | i;
    }
    int rc = bin_column(job, f, fr_order_sort(keys, keys + n, n, 32));
    fr_free(keys);
    return rc;
}

static int explain(int rc, const fr_columns *x, const size_t *bad_row, fr_err *err)
{
    for (size_t f = 0; f < x->count; f++) {
        if (bad_row[f] > 0) {
            return fr_fail(err, FR_EINVAL,
                           "column `%s` is missing in row %zu: use fill or dropna first",
                           x->name[f], bad_row[f]);
        }
    }
    if (rc == FR_ENOMEM) {
        return fr_fail(err, rc, "no memory for the ranks of %zu x %zu values", x->rows,
                       x->count);
    }
    return fr_fail(err, rc, "%s", fr_err_text(rc));
}

int fr_ranks_new(const fr_columns *x, uint32_t most, fr_ranks **out, fr_err *err)
{
    *out = NULL;
    if (x->rows > INT32_MAX || x->rows == 0) {
        return fr_fail(err, FR_ELIMIT, "%zu rows: a tree takes 1 to 2147483647", x->rows);
    }
    fr_ranks *r = fr_zalloc(sizeof *r);
    *r = (fr_ranks){.rows = x->rows,
                    .features = x->count,
                    .rank = fr_zalloc(x->count * sizeof *r->rank),
                    .bins = fr_zalloc(x->count * sizeof *r->bins),
                    .missing = fr_zalloc(x->count * sizeof *r->missing),
                    .low = fr_zalloc(x->count * sizeof *r->low),
                    .high = fr_zalloc(x->count * sizeof *r->high)};
    rank_job job = {x, most, r, fr_zalloc(x->count * sizeof *job.bad_row)};
    int rc = fr_pool_try(x->count, rank_column, &job);
    if (rc == FR_OK) {
        *out = r;
    } else {
        rc = explain(rc, x, job.bad_row, err);
        fr_ranks_free(r);
    }
    fr_free(job.bad_row);
    return rc;
}

void fr_ranks_turn(fr_ranks *r)
{
    size_t n = r->rows, p = r->features;
    if (n * p * sizeof(uint16_t) < CACHE || p > MOST_TURNED || r->by_row != NULL) {
        return;
    }
    r->by_row = fr_try_alloc(n * p * sizeof *r->by_row);
    for (size_t from = 0; from < n && r->by_row != NULL; from += TURNED_ROWS) {
        size_t end = FR_MIN(n, from + TURNED_ROWS);
        for (size_t f = 0; f < p; f++) {
            for (size_t i = from; i < end; i++) {
                r->by_row[i * p + f] = r->rank[f][i];
            }
        }
    }
}

void fr_ranks_free(fr_ranks *r)
{
    if (r == NULL) {
        return;
    }
    for (size_t f = 0; f < r->features; f++) {
        fr_free(r->rank[f]);
        fr_free(r->low[f]);
    }
    fr_free(r->rank);
    fr_free(r->bins);
    fr_free(r->missing);
    fr_free(r->low);
    fr_free(r->high);
    fr_free(r->by_row);
    fr_free(r);
}

float fr_ranks_cut(const fr_ranks *r, size_t feature, uint32_t left, uint32_t right)
{
    float a = r->high[feature][left], b = r->low[feature][right];
    double middle = (double)a / 2 + (double)b / 2;
    float cut = (float)middle;
    if ((double)cut > middle) {
        cut = nextafterf(cut, -INFINITY);
    }
    return cut < b && cut >= a ? cut : a; // infinities, and NaN between -inf and inf
}
