// Values that grow from the start of a part: cumulative sums, exponential means, lines
// between neighbours. A part is one chain of steps, so the pool runs parts, not rows.

#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/data/window_int.h"

#include <math.h>

// Compensated (Neumaier), so that a year of seconds keeps its digits.
static void sum_floats(window_job *j, int64_t start, int64_t end)
{
    const double *x = fr_array_f64(j->in);
    double sum = 0, lost = 0;
    for (int64_t i = start; i < end; i++) {
        if (!window_has(j, i)) {
            continue;
        }
        double t = sum + x[i];
        lost += fabs(sum) >= fabs(x[i]) ? (sum - t) + x[i] : (x[i] - t) + sum;
        sum = t;
        j->number[i] = isfinite(sum) ? sum + lost : sum;
        j->valid[i] = 1;
    }
}

static int sum_integers(window_job *j, int64_t start, int64_t end, int64_t *bad)
{
    const int64_t *x = fr_array_i64(j->in);
    int64_t sum = 0;
    for (int64_t i = start; i < end; i++) {
        if (!window_has(j, i)) {
            continue;
        }
        if (__builtin_add_overflow(sum, x[i], &sum)) {
            *bad = i;
            return FR_EOVERFLOW;
        }
        j->integer[i] = sum;
        j->valid[i] = 1;
    }
    return FR_OK;
}

static void extreme_floats(window_job *j, int64_t start, int64_t end)
{
    bool least = j->call->op == FR_WINDOW_CUM_MIN, any = false;
    const double *x = fr_array_f64(j->in);
    double best = 0;
    for (int64_t i = start; i < end; i++) {
        if (!window_has(j, i)) {
            continue;
        }
        bool better = least ? x[i] < best : x[i] > best;
        best = !any || better || isnan(x[i]) ? x[i] : best; // NaN stays
        any = true;
        j->number[i] = best;
        j->valid[i] = 1;
    }
}

static void extreme_integers(window_job *j, int64_t start, int64_t end)
{
    bool least = j->call->op == FR_WINDOW_CUM_MIN, any = false;
    const int64_t *x = fr_array_i64(j->in);
    int64_t best = 0;
    for (int64_t i = start; i < end; i++) {
        if (!window_has(j, i)) {
            continue;
        }
        best = !any || (least ? x[i] < best : x[i] > best) ? x[i] : best;
        any = true;
        j->integer[i] = best;
        j->valid[i] = 1;
    }
}

static void count_rows(window_job *j, int64_t start, int64_t end)
{
    bool all = j->call->op == FR_WINDOW_NUMBER;
    int64_t n = 0;
    for (int64_t i = start; i < end; i++) {
        n += all || window_has(j, i);
        j->integer[i] = n;
        j->valid[i] = 1;
    }
}

// Missing rows keep their place: what came before them weighs less all the same.
static void exponential(window_job *j, int64_t start, int64_t end)
{
    const double *x = fr_array_f64(j->in);
    double keep = 1 - j->call->alpha, sum = 0, weight = 0;
    int64_t count = 0;
    for (int64_t i = start; i < end; i++) {
        sum *= keep;
        weight *= keep;
        if (!window_has(j, i)) {
            continue;
        }
        sum += x[i];
        weight += 1;
        j->number[i] = sum / weight;
        j->valid[i] = ++count >= j->call->least;
    }
}

static void interpolate(window_job *j, int64_t start, int64_t end)
{
    const double *x = fr_array_f64(j->in);
    int64_t last = -1;
    for (int64_t i = start; i < end; i++) {
        if (!window_has(j, i)) {
            continue;
        }
        for (int64_t k = last + 1; last >= 0 && k < i; k++) {
            double t = (double)(k - last) / (double)(i - last);
            j->number[k] = x[last] * (1 - t) + x[i] * t;
            j->valid[k] = 1;
        }
        j->number[i] = x[i];
        j->valid[i] = 1;
        last = i;
    }
}

static int one_part(window_job *j, size_t p, int64_t *bad)
{
    int64_t start = j->start[p], end = j->start[p + 1];
    bool floats = j->in != NULL && j->in->type.kind == FR_FLOAT64;
    switch ((int)j->call->op) {
    case FR_WINDOW_CUM_SUM:
        if (!floats) {
            return sum_integers(j, start, end, bad);
        }
        sum_floats(j, start, end);
        return FR_OK;
    case FR_WINDOW_CUM_MIN:
    case FR_WINDOW_CUM_MAX:
        if (floats) {
            extreme_floats(j, start, end);
        } else {
            extreme_integers(j, start, end);
        }
        return FR_OK;
    case FR_WINDOW_EWM_MEAN:
        exponential(j, start, end);
        return FR_OK;
    case FR_WINDOW_INTERPOLATE:
        interpolate(j, start, end);
        return FR_OK;
    default:
        count_rows(j, start, end);
        return FR_OK;
    }
}

typedef struct run {
    window_job *j;
    const size_t *from; // the first part of each batch, and the end
    int64_t *bad;       // per batch
} run;

static int run_batch(void *ctx, size_t b)
{
    run *r = ctx;
    for (size_t p = r->from[b]; p < r->from[b + 1]; p++) {
        int rc = one_part(r->j, p, &r->bad[b]);
        if (rc != FR_OK) {
            return rc;
        }
    }
    return FR_OK;
}

int window_cumulate(window_job *j)
{
    size_t most = fr_compute_chunks(j->rows) + 2, n = 0;
    size_t *from = fr_alloc(most * sizeof *from);
    from[0] = 0;
    for (size_t p = 0; p < j->parts; p++) { // parts together until they fill a chunk
        if (j->start[p + 1] - j->start[from[n]] >= FR_CHUNK_ROWS || p + 1 == j->parts) {
            from[++n] = p + 1;
        }
    }
    run r = {j, from, fr_alloc((n + 1) * sizeof *r.bad)};
    for (size_t b = 0; b <= n; b++) {
        r.bad[b] = -1;
    }
    int rc = fr_pool_try(n, run_batch, &r);
    for (size_t b = 0; b < n && j->overflow < 0; b++) {
        j->overflow = r.bad[b];
    }
    fr_free(r.bad);
    fr_free(from);
    return rc;
}
