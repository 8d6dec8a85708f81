#include "core/ml/gram.h"

#include "core/base/cancel.h"
#include "core/base/mem.h"
#include "core/ml/kernel_block.h"
#include "core/ml/pass.h"
#include "core/ml/standard.h"

#include <math.h>
#include <string.h>

enum { BLOCK = FR_STANDARD_BLOCK };

typedef struct work {
    const fr_columns *x;
    const double *y;
    size_t width;
    double *mean, *by; // [width]: what is taken away, then times a power of two
} work;

static const double *column(const work *w, size_t j)
{
    return j < w->x->count ? w->x->column[j] : w->y;
}

// Sums of the columns, then their products.
static int sums_pass(void *ctx, size_t from, size_t to, double *out)
{
    const work *w = ctx;
    double *z = fr_try_alloc((w->width * BLOCK + 1) * sizeof *z);
    if (z == NULL) {
        return FR_ENOMEM;
    }
    int rc = FR_OK;
    for (size_t i = from; i < to && rc == FR_OK; i += BLOCK) {
        size_t rows = FR_MIN(to - i, (size_t)BLOCK);
        for (size_t j = 0; j < w->width; j++) {
            double *v = z + j * BLOCK, squares = 0;
            fr_block_scale(column(w, j) + i, rows, w->mean[j], w->by[j], v);
            fr_block_moments(v, rows, 0, &out[j], &squares);
        }
        fr_block_gram(z, BLOCK, rows, w->width, out + w->width);
        rc = fr_cancelled() ? fr_cancel_code() : FR_OK;
    }
    fr_free(z);
    return rc;
}

// Sums become those of centred columns. False when a guess missed a mean by so much that
// digits were lost.
static bool centre_sums(const work *w, double *sum)
{
    double *product = sum + w->width, n = (double)w->x->rows;
    bool kept = true;
    for (size_t a = 0; a < w->width; a++) {
        double raw = product[a * w->width + a];
        for (size_t b = 0; b <= a; b++) {
            product[a * w->width + b] -= sum[a] * (sum[b] / n);
        }
        kept = kept && product[a * w->width + a] >= raw / 16;
    }
    return kept;
}

int fr_gram_run(const fr_columns *x, const double *y, bool centre, double *mean,
                double *product, const char *what, fr_err *err)
{
    size_t width = x->count + (y != NULL), size = width + width * width;
    double *memory = fr_try_alloc((size + width + 1) * sizeof *memory), *sum = memory;
    if (memory == NULL) {
        return fr_fail(err, FR_ENOMEM, "%s: no memory for %zu columns", what, width);
    }
    work w = {x, y, width, mean, memory + size};
    for (size_t j = 0; j < width; j++) {
        double size_of;
        mean[j] = fr_standard_guess(column(&w, j), x->rows, centre, &size_of);
        w.by[j] = size_of > 0 && isfinite(size_of) ? ldexp(1, -ilogb(size_of)) : 1;
    }
    int rc = FR_OK;
    bool done = false;
    for (int again = 0; again < 2 && !done && rc == FR_OK; again++) {
        rc = fr_pass_run(x->rows, size, sums_pass, &w, sum, what, err);
        done = !centre || centre_sums(&w, sum);
        for (size_t j = 0; j < width && centre; j++) {
            mean[j] += sum[j] / (double)x->rows / w.by[j];
        }
    }
    for (size_t a = 0; a < width; a++) {
        for (size_t b = 0; b <= a; b++) {
            product[a * width + b] = sum[width + a * width + b] / w.by[a] / w.by[b];
        }
    }
    fr_free(memory);
    return rc;
}
