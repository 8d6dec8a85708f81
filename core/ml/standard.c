#include "core/ml/standard.h"

#include "core/base/mem.h"
#include "core/ml/pass.h"

#include <math.h>
#include <string.h>

static int mean_pass(void *ctx, size_t from, size_t to, double *out)
{
    const fr_standard *s = ctx;
    for (size_t j = 0; j < s->x->count; j++) {
        const double *v = s->x->column[j];
        for (size_t i = from; i < to; i++) {
            out[j] += v[i] - s->mean[j];
        }
    }
    return FR_OK;
}

static int scale_pass(void *ctx, size_t from, size_t to, double *out)
{
    const fr_standard *s = ctx;
    for (size_t j = 0; j < s->x->count; j++) {
        const double *v = s->x->column[j];
        for (size_t i = from; i < to; i++) {
            double d = v[i] - s->mean[j];
            out[j] += d * d;
        }
    }
    return FR_OK;
}

int fr_standard_init(fr_standard *s, const fr_columns *x, bool centre, const char *what,
                     fr_err *err)
{
    size_t p = x->count;
    *s = (fr_standard){.x = x, .mean = fr_zalloc((3 * p + 1) * sizeof *s->mean)};
    s->scale = s->mean + p;
    double *sum = s->scale + p, n = (double)x->rows;
    int rc = FR_OK;
    for (int again = 0; again < 2 && centre && rc == FR_OK; again++) {
        rc = fr_pass_run(x->rows, p, mean_pass, s, sum, what, err);
        for (size_t j = 0; j < p; j++) {
            s->mean[j] += sum[j] / n;
        }
    }
    rc = rc == FR_OK ? fr_pass_run(x->rows, p, scale_pass, s, sum, what, err) : rc;
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
        const double *v = s->x->column[j] + from;
        double mean = s->mean[j], inverse = 1 / s->scale[j];
        double *out = z + j * FR_STANDARD_BLOCK;
        for (size_t i = 0; i < rows; i++) {
            out[i] = (v[i] - mean) * inverse;
        }
    }
}
