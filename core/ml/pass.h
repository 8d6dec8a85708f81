#pragma once
// pass -- sums over rows on the compute pool, with the same bits at any thread count.
//
// Rows are cut into segments of fixed size (a function of their number alone); each fills
// a vector of its own, and these are added in the order of the segments.

#include "core/base/err.h"

#include <stdbool.h>
#include <stddef.h>

// Adds the contribution of rows [from, to) to out[0..size), which is zeroed before.
typedef int (*fr_pass_fn)(void *ctx, size_t from, size_t to, double *out);

// total[0..size) = the sum over all rows.
FR_NODISCARD int fr_pass_run(size_t rows, size_t size, fr_pass_fn fn, void *ctx,
                             double *total, const char *what, fr_err *err);
// Sum of products in a fixed order that suits vectors.
double fr_pass_dot(const double *a, const double *b, size_t n);
// Lower Cholesky factor of A (k x k, row-major, lower triangle) in place; false when A is
// not positive.
bool fr_pass_cholesky(size_t k, double *A);
void fr_pass_solve(size_t k, const double *L, double *b);
