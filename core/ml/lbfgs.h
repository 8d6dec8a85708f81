#pragma once
// lbfgs -- minimum of a smooth function of many variables by limited-memory BFGS (Nocedal
// 1980) with a line search for the strong Wolfe conditions.
//
// Same bits on every machine: plain arithmetic in a fixed order. Pure; polls
// fr_cancelled().

#include "core/base/base.h"

#include <stdbool.h>

// The value at x, and its gradient. INFINITY where x is not allowed; the search then
// steps back.
typedef double (*fr_lbfgs_fn)(void *ctx, const double *x, double *gradient);

typedef struct fr_lbfgs_result {
    double value;
    int iterations;
    bool converged; // a step no longer changed the value by more than `tolerance`
} fr_lbfgs_result;

// From x to the minimum found, in place. `tolerance` is relative to 1 + |value|.
// FR_OK or the cancel code.
FR_NODISCARD int fr_lbfgs(size_t n, double *x, fr_lbfgs_fn fn, void *ctx,
                          int max_iterations, double tolerance, fr_lbfgs_result *out);
