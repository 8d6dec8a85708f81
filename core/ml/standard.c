#include "core/ml/standard.h"

#include "core/base/mem.h"
#include "core/ml/kernel_block.h"
#include "core/ml/pass.h"

#include <math.h>
#include <string.h>

// By column the sum of deviations from `mean`, then of their squares.
static int moments_pass(void *ctx, size_t from, size_t to, double *out)
{
    const fr_standard *s = ctx;
    for (size_t j = 0; j < s->x->count; j++) {
        fr_block_moments(s->x->column[j] + from, to - from, s->mean[j], &out[2 * j],
                         &out[2 * j + 1]);
    }
    return FR_OK;
}

int fr_standard_init(fr_standard *s, const fr_columns *x, bool centre, const char *what,
                     fr_err *err)
{
    size_t p = x->count;
    *s = (fr_standard){.x = x, .mean = fr_zalloc((4 * p + 1) * sizeof *s->mean)};
    s->scale = s->mean + p;
    double *sum = s->scale + p, n = (double)x->rows;
    int rc = fr_pass_run(x->rows, 2 * p, moments_pass, s, sum, what, err);
    if (centre && rc == FR_OK) { // again, from a mean that is right but for rounding
        for (size_t j = 0; j < p; j++) {
            s->mean[j] = sum[2 * j] / n;
        }
        rc = fr_pass_run(x->rows, 2 * p, moments_pass, s, sum, what, err);
    }
    for (size_t j = 0; j < p; j++) {
        double off = centre ? sum[2 * j] / n : 0;
        s->mean[j] += off;
        sum[j] = sum[2 * j + 1] - n * off * off;
    }
    for (size_t j = 0; j < p; j++) {
        double sd = sqrt(sum[j] / n);
        s->scale[j] = sd > fabs(s->mean[j]) * 1e-15 ? sd : 1;
    }
    return rc;
}

void fr_standard_fini(fr_standard *s)
{
    fr_free(s->mean);
    s->mean = s->scale = NULL;
}

void fr_standard_block(const fr_standard *s, size_t from, size_t rows, double *z)
{
    for (size_t j = 0; j < s->x->count; j++) {
        fr_block_scale(s->x->column[j] + from, rows, s->mean[j], 1 / s->scale[j],
                       z + j * FR_STANDARD_BLOCK);
    }
}
