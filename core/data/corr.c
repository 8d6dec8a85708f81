#include "core/data/corr.h"

#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/data/compute.h"

#include <math.h>

typedef struct sums {
    double n, a, b, aa, bb, ab;
} sums;

typedef struct correlating {
    const fr_array *a, *b;
    double mean_a, mean_b;
    sums *chunk;
} correlating;

// Sums of both columns minus the means known so far.
static void sum_chunk(void *ctx, size_t c)
{
    const correlating *k = ctx;
    int64_t at = (int64_t)c * FR_CHUNK_ROWS, end = FR_MIN(at + FR_CHUNK_ROWS, k->a->length);
    const double *x = fr_array_f64(k->a), *y = fr_array_f64(k->b);
    bool all = k->a->validity == NULL && k->b->validity == NULL;
    sums s = {0};
    for (int64_t i = at; i < end; i++) {
        if (all || (fr_array_has(k->a, i) && fr_array_has(k->b, i))) {
            double u = x[i] - k->mean_a, v = y[i] - k->mean_b;
            s.n += 1;
            s.a += u;
            s.b += v;
            s.aa += u * u;
            s.bb += v * v;
            s.ab += u * v;
        }
    }
    k->chunk[c] = s;
}

static int total(correlating *k, sums *out, fr_err *err)
{
    size_t chunks = fr_compute_chunks(k->a->length);
    int rc = fr_compute_failed(err, fr_pool_run(chunks, sum_chunk, k));
    *out = (sums){0};
    for (size_t c = 0; c < chunks && rc == FR_OK; c++) {
        const sums *s = &k->chunk[c];
        *out = (sums){out->n + s->n,   out->a + s->a,   out->b + s->b,
                      out->aa + s->aa, out->bb + s->bb, out->ab + s->ab};
    }
    return rc;
}

int fr_corr(const fr_array *a, const fr_array *b, double *r, int64_t *rows, fr_err *err)
{
    FR_ASSERT(a->length == b->length);
    fr_array *x = NULL, *y = NULL;
    correlating k = {0};
    sums s = {0};
    int rc = fr_compute_cast(a, fr_type_of(FR_FLOAT64), &x, err);
    rc = rc == FR_OK ? fr_compute_cast(b, fr_type_of(FR_FLOAT64), &y, err) : rc;
    if (rc == FR_OK) {
        k = (correlating){.a = x, .b = y};
        k.chunk = fr_zalloc((fr_compute_chunks(a->length) + 1) * sizeof *k.chunk);
        rc = total(&k, &s, err);
    }
    if (rc == FR_OK && s.n > 0) {
        k.mean_a = s.a / s.n;
        k.mean_b = s.b / s.n;
        rc = total(&k, &s, err);
    }
    if (rc == FR_OK) { // what the rounding of the means left is taken out again
        double n = FR_MAX(s.n, 1);
        double va = s.aa - s.a * s.a / n, vb = s.bb - s.b * s.b / n;
        double v = (s.ab - s.a * s.b / n) / sqrt(va) / sqrt(vb);
        *r = s.n < 2 || va <= 0 || vb <= 0 ? (double)NAN : v > 1 ? 1 : v < -1 ? -1 : v;
        *rows = (int64_t)s.n;
    }
    fr_free(k.chunk);
    fr_array_unref(x);
    fr_array_unref(y);
    return rc;
}
