#pragma once
// ets -- exponential smoothing in innovations form (Hyndman, Koehler, Ord, Snyder 2008):
// error additive or multiplicative; trend none or additive, perhaps damped; season none,
// additive or multiplicative. Holt-Winters, Holt and simple smoothing are members.
//
// Smoothing parameters and the states before the first row are estimated together by
// maximum likelihood, with the exact gradient (one pass forward, one back). Missing
// values (NaN) are allowed. Immutable once fitted. Same bits on any x86-64 and at any
// number of threads.

#include "core/ml/series.h"

enum { FR_ETS_PERIOD = 1024 };

typedef struct fr_ets_form {
    char error, trend, season; // 'A', 'M'; 'N', 'A'; 'N', 'A', 'M'
    bool damped;
    int period; // 1 without a season
} fr_ets_form;

typedef struct fr_ets_spec {
    fr_ets_form form;
    double alpha, beta, gamma, phi; // NaN: estimated
    // The states before the first row: level, trend (if any), season[period] of the first
    // rows; NULL: estimated.
    const double *initial;
    int max_iterations; // 0: 300
} fr_ets_spec;

typedef struct fr_ets {
    fr_ets_form form;
    double alpha, beta, gamma, phi;
    double *initial; // level, trend, season of the first `period` rows
    double *last;    // the same after the last row, season of the rows to come
    double sse, scale2; // of y - forecast; variance of what the error form calls error
    double llf, aic, aicc, bic;
    int64_t n, observed;
    int iterations;
    bool converged;
    double *residuals; // y - forecast, NaN where y is missing
    fr_series_coef *coef;
    size_t coefs;
} fr_ets;

// FR_EINVAL when the form cannot be fitted to the series (too short, not positive).
FR_NODISCARD int fr_ets_fit(const fr_ets_spec *spec, const double *y, int64_t n,
                            fr_ets **out, fr_err *err);
void fr_ets_free(fr_ets *m);
// See fr_series_ops. sd may be NULL.
FR_NODISCARD int fr_ets_forecast(const fr_ets *m, int64_t steps, double *mean, double *sd,
                                 fr_err *err);
