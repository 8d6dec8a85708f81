#pragma once
// accuracy -- how good forecasts were. Pure, any thread.
//
// Rows whose actual value is missing (NaN) are left out; a missing forecast beside an
// actual value is FR_EINVAL, and so is a set without any row left. Relative errors are
// fractions: .05 is 5 %.

#include "core/base/err.h"

#include <stdint.h>

typedef enum fr_accuracy_kind {
    FR_ACCURACY_MAE,     // mean |y - f|
    FR_ACCURACY_RMSE,    // root of the mean (y - f)^2
    FR_ACCURACY_BIAS,    // mean f - y
    FR_ACCURACY_MAPE,    // mean |y - f| / |y|; a zero among y is FR_EINVAL
    FR_ACCURACY_SMAPE,   // mean 2 |y - f| / (|y| + |f|), 0 where both are 0 (M4)
    FR_ACCURACY_PINBALL, // mean of q (y - f) above, (1 - q) (f - y) below; f a q-quantile
} fr_accuracy_kind;

// `q` is used by PINBALL alone.
FR_NODISCARD int fr_accuracy(fr_accuracy_kind kind, const double *y, const double *f,
                             int64_t n, double q, double *out, fr_err *err);
// The share of actual values within [lo, hi].
FR_NODISCARD int fr_accuracy_coverage(const double *y, const double *lo, const double *hi,
                                      int64_t n, double *out, fr_err *err);
// Mean |y_t - y_(t-period)| of the training series, the unit of MASE (Hyndman 2006).
FR_NODISCARD int fr_accuracy_scale(const double *train, int64_t n, int64_t period,
                                   double *out, fr_err *err);
