#pragma once
// stl -- decomposition into season, trend and rest by local regressions (Cleveland,
// Cleveland, McRae, Terpenning 1990), the classical decomposition by moving averages, and
// several seasons in turn (Bandara, Hyndman, Bergmeir 2021).
//
// Pure; the same bits on any x86-64. Long series poll fr_cancelled().

#include "core/base/err.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct fr_stl_spec {
    int period;              // at least 2
    int season_window;       // odd, at least 3; 0: 10 n + 1, the same season all over
    int trend_window;        // odd, at least 3; 0: from period and season_window
    int low_window;          // odd, at least 3; 0: the next odd number over the period
    int season_degree, trend_degree, low_degree; // 0 or 1
    int season_jump, trend_jump, low_jump;       // 0: a tenth of the window
    bool robust;             // fifteen rounds that weigh outliers down, else none
    int inner, outer;        // rounds; inner 0: 2, or 1 with robust; outer 0: by robust
} fr_stl_spec;

// y[n] without missing values, n >= 2 period. season[n], trend[n]; weights[n] may be NULL.
FR_NODISCARD int fr_stl(const fr_stl_spec *spec, const double *y, int64_t n,
                        double *season, double *trend, double *weights, fr_err *err);

// Seasons of several periods (ascending): each in turn of what the others leave, twice.
// season[k * n]; windows 11, 15, 19 … unless given.
FR_NODISCARD int fr_mstl_split(const int *periods, size_t count, const int *windows,
                               bool robust, const double *y, int64_t n, double *season,
                               double *trend, fr_err *err);

// figure[period]: the classical seasonal figure from a centred moving average, of the
// first row's season on; `times` divides instead of subtracting. n >= 2 period.
void fr_stl_figure(const double *y, int64_t n, int period, bool times, double *figure);

// Missing values (NaN) filled in: on a line between neighbours, ends with the nearest.
void fr_stl_fill(const double *y, int64_t n, double *out);
