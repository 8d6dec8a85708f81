#include "core/ml/standard.h"

#include "core/base/mem.h"
#include "core/ml/kernel_block.h"
#include "core/ml/pass.h"

#include <math.h>
#include <string.h>

enum { SOME = 1024 }; // rows of a guess

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

double fr_standard_guess(const double *v, size_t rows, bool centre, double *deviation)
{
    size_t step = FR_MAX(rows / SOME, (size_t)1), n = 0;
    double from = centre && rows > 0 ? v[0] : 0, sum = 0, squares = 0;
    for (size_t i = 0; i < rows; i += step) {
        double d = v[i] - from;
        sum += d;
        squares += d * d;
        n++;
    }
    double mean = centre && n > 0 ? sum / (double)n : 0;
    *deviation = n > 0 ? sqrt(fmax(0, squares / (double)n - mean * mean)) : 0;
    return from + mean;
}

// Whether no column's mean was missed by so much that squares lost digits.
static bool is_close(const double *sum, size_t p, double n)
{
    for (size_t j = 0; j < p; j++) {
        double off = sum[2 * j] / n;
        if (n * off * off > sum[2 * j + 1] * (15.0 / 16)) {
            return false;
        }
    }
    return true;
}

int fr_standard_init(fr_standard *s, const fr_columns *x, bool centre, const char *what,
                     fr_err *err)
{
    size_t p = x->count;
    *s = (fr_standard){.x = x, .mean = fr_zalloc((4 * p + 1) * sizeof *s->mean)};
    s->scale = s->mean + p;
    double *sum = s->scale + p, n = (double)x->rows;
    bool guess = centre && x->rows >= FR_STANDARD_MANY;
    for (size_t j = 0; j < p && guess; j++) {
        double deviation;
        s->mean[j] = fr_standard_guess(x->column[j], x->rows, true, &deviation);
    }
    int rc = fr_pass_run(x->rows, 2 * p, moments_pass, s, sum, what, err);
    if (centre && rc == FR_OK && !(guess && is_close(sum, p, n))) {
        for (size_t j = 0; j < p; j++) { // again, from a mean that is right but for rounding
            s->mean[j] += sum[2 * j] / n;
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
