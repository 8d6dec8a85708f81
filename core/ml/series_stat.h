#pragma once
// series_stat -- what a series says of itself: autocorrelations and tests. Pure; series
// without missing values; the same bits on any x86-64.

#include "core/base/err.h"

#include <stdbool.h>
#include <stdint.h>

// r[0..lags], r[0] = 1: sums over all rows divided by n (as R's acf).
void fr_series_acf(const double *y, int64_t n, int lags, double *r);
// p[0..lags], p[0] = 1: by the recursion of Durbin and Levinson on the above (as R's pacf).
void fr_series_pacf(const double *y, int64_t n, int lags, double *p);

typedef struct fr_series_test {
    double statistic, p;
    int lags;
    int64_t used;
} fr_series_test;

// Augmented Dickey-Fuller: H0 is a unit root. trend: 'n' nothing, 'c' a constant, 't' with
// a straight line. lags < 0: as many as AIC prefers up to 12 (n / 100)^(1/4). p by
// MacKinnon 1994. FR_EINVAL when the series is too short, FR_ENUMERIC when constant.
FR_NODISCARD int fr_series_adf(const double *y, int64_t n, char trend, int lags,
                               fr_series_test *out, fr_err *err);
// Kwiatkowski, Phillips, Schmidt, Shin 1992: H0 is stationarity around a constant ('c')
// or a line ('t'). lags < 0: 12 (n / 100)^(1/4), rounded up (statsmodels' legacy rule). p
// is interpolated in their table and stays within .01 to .1.
FR_NODISCARD int fr_series_kpss(const double *y, int64_t n, char trend, int lags,
                                fr_series_test *out, fr_err *err);
// Ljung and Box 1978: H0 is no autocorrelation up to `lags`; `fitted` parameters reduce
// the degrees of freedom.
FR_NODISCARD int fr_series_ljung_box(const double *y, int64_t n, int lags, int fitted,
                                     fr_series_test *out, fr_err *err);
