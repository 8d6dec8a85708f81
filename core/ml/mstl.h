#pragma once
// mstl -- forecasts by decomposition: the seasons of one or more periods (stl.h) go on as
// they were in their last cycle, what is left is forecast by exponential smoothing
// without a season, of the trend that AICc prefers.
//
// Immutable once fitted; the same bits on any x86-64.

#include "core/ml/ets.h"

enum { FR_MSTL_SEASONS = 8 };

typedef struct fr_mstl_spec {
    int periods[FR_MSTL_SEASONS]; // ascending
    int windows[FR_MSTL_SEASONS]; // 0 in the first: 11, 15, 19 …
    size_t count;
    bool robust;
} fr_mstl_spec;

typedef struct fr_mstl {
    size_t count;
    int periods[FR_MSTL_SEASONS];
    double *cycle[FR_MSTL_SEASONS]; // the season of the rows to come
    fr_ets *rest;                   // of the series without its seasons
    int64_t n, observed;
    double *residuals;
} fr_mstl;

// Seasons of which the series has fewer than two cycles are left out.
FR_NODISCARD int fr_mstl_fit(const fr_mstl_spec *spec, const double *y, int64_t n,
                             fr_mstl **out, fr_err *err);
void fr_mstl_free(fr_mstl *m);
