#pragma once
// drift -- how far two samples of a number lie apart. Any thread.

#include "core/data/array.h"

// The Kolmogorov-Smirnov statistic: the largest distance between the two shares of values
// up to a point. Nulls and NaN do not count; n_a, n_b are what counted (0: *d is NaN).
FR_NODISCARD int fr_drift_ks(const fr_array *a, const fr_array *b, double *d, int64_t *n_a,
                             int64_t *n_b, fr_err *err);
