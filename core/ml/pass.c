#include "core/ml/pass.h"

#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/ml/kernel_block.h"

#include <math.h>
#include <string.h>

enum {
    SEGMENT = 1 << 14, // rows of one pool job, if there are that many
    SEGMENTS = 64,     // most partial sums that are kept
};

typedef struct job {
    fr_pass_fn fn;
    void *ctx;
    size_t rows, each, size;
    double *partial;
} job;

static int run_one(void *ctx, size_t i)
{
    const job *j = ctx;
    double *out = j->partial + i * j->size;
    memset(out, 0, j->size * sizeof *out);
    return j->fn(j->ctx, i * j->each, FR_MIN((i + 1) * j->each, j->rows), out);
}

int fr_pass_run(size_t rows, size_t size, fr_pass_fn fn, void *ctx, double *total,
                const char *what, fr_err *err)
{
    size_t count = FR_MIN(FR_MAX(rows / SEGMENT, 1), (size_t)SEGMENTS);
    job j = {fn, ctx, rows, (rows + count - 1) / count, size, NULL};
    count = rows == 0 ? 0 : (rows + j.each - 1) / j.each;
    memset(total, 0, size * sizeof *total);
    j.partial = fr_try_alloc(count * size * sizeof *j.partial + 1);
    if (j.partial == NULL) {
        return fr_fail(err, FR_ENOMEM, "%s: no memory for %zu sums", what, count * size);
    }
    int rc = fr_pool_try(count, run_one, &j);
    for (size_t i = 0; i < count && rc == FR_OK; i++) {
        for (size_t k = 0; k < size; k++) {
            total[k] += j.partial[i * size + k];
        }
    }
    fr_free(j.partial);
    return rc == FR_OK ? rc : fr_fail(err, rc, "%s: %s", what, fr_err_text(rc));
}

double fr_pass_dot(const double *a, const double *b, size_t n)
{
    return fr_block_dot(a, b, n);
}

bool fr_pass_cholesky(size_t k, double *A)
{
    for (size_t i = 0; i < k; i++) {
        for (size_t j = 0; j <= i; j++) {
            double sum = A[i * k + j] - fr_pass_dot(A + i * k, A + j * k, j);
            if (i == j && !(sum > 0)) {
                return false;
            }
            A[i * k + j] = i == j ? sqrt(sum) : sum / A[j * k + j];
        }
    }
    return true;
}

void fr_pass_solve(size_t k, const double *L, double *b)
{
    for (size_t i = 0; i < k; i++) {
        b[i] = (b[i] - fr_pass_dot(L + i * k, b, i)) / L[i * k + i];
    }
    for (size_t i = k; i-- > 0;) {
        b[i] /= L[i * k + i];
        for (size_t j = 0; j < i; j++) {
            b[j] -= L[i * k + j] * b[i];
        }
    }
}
