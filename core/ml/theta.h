#pragma once
// theta -- the Theta method (Assimakopoulos, Nikolopoulos 2000) in the form of Hyndman and
// Billah 2003: simple exponential smoothing with half the slope of the series as drift,
// after a multiplicative season has been taken out when the series has one.
//
// Immutable once fitted; the same bits on any x86-64.

#include "core/ml/ets.h"

typedef enum fr_theta_season {
    FR_THETA_TEST, // a season when the autocorrelation at the period is significant (10 %)
    FR_THETA_ALWAYS,
    FR_THETA_NEVER,
} fr_theta_season;

typedef struct fr_theta_spec {
    int period; // 1: no season
    fr_theta_season season;
} fr_theta_spec;

typedef struct fr_theta {
    fr_ets *ses;    // of the series without its season
    double drift;   // per row
    int period;     // 1: no season
    double *figure; // factors of the rows to come; period values
    double *residuals;
    int64_t n, observed;
    fr_series_coef coef[3]; // alpha, level, drift
} fr_theta;

// FR_EINVAL when there are fewer than 4 values.
FR_NODISCARD int fr_theta_fit(const fr_theta_spec *spec, const double *y, int64_t n,
                              fr_theta **out, fr_err *err);
void fr_theta_free(fr_theta *m);
