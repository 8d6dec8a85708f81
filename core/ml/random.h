#pragma once
// random -- distributions over Philox (core/base/rand.h).
//
// Values depend on (seed, stream, order of calls) alone: no libm, no CPU-dependent path,
// so they are equal on every machine. A generator belongs to one thread. Long draws poll
// fr_cancelled(). Parameters are checked: FR_EINVAL names the value and its place.

#include "core/base/err.h"
#include "core/base/rand.h"

#include <stddef.h>

// A parameter: one number for all draws (step 0) or one per draw (step 1). Borrowed.
typedef struct fr_random_arg {
    const double *at;
    size_t step;
} fr_random_arg;

static inline double fr_random_at(fr_random_arg a, size_t i) { return a.at[i * a.step]; }

// Checks that every value a draw of n will use lies in [lo, hi]; `what` names it in the
// error.
FR_NODISCARD int fr_random_check(fr_random_arg a, size_t n, double lo, double hi,
                                 const char *what, fr_err *err);

// out[i] in [lo, hi).
FR_NODISCARD int fr_random_uniform(fr_rand *r, fr_random_arg lo, fr_random_arg hi,
                                   double *out, size_t n, fr_err *err);
FR_NODISCARD int fr_random_normal(fr_rand *r, fr_random_arg mean, fr_random_arg sd,
                                  double *out, size_t n, fr_err *err);
FR_NODISCARD int fr_random_exponential(fr_rand *r, fr_random_arg mean, double *out,
                                       size_t n, fr_err *err);
// lo <= out[i] <= hi, both included.
FR_NODISCARD int fr_random_integers(fr_rand *r, int64_t lo, int64_t hi, int64_t *out,
                                    size_t n, fr_err *err);
FR_NODISCARD int fr_random_binomial(fr_rand *r, fr_random_arg trials, fr_random_arg p,
                                    int64_t *out, size_t n, fr_err *err);
FR_NODISCARD int fr_random_poisson(fr_rand *r, fr_random_arg mean, int64_t *out, size_t n,
                                   fr_err *err);
// Fisher-Yates over out[0..n), which the caller filled.
void fr_random_shuffle(fr_rand *r, int64_t *out, size_t n);
