#pragma once
// series -- the table of operations that a kind of time-series model fills; one line in
// forecaster.c registers it.
//
// A model is immutable once fitted and knows nothing of names and times: those are the
// forecaster's. Functions are called from any thread.

#include "core/base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FR_SERIES_NAME = 64 };

typedef struct fr_series_coef {
    char name[FR_SERIES_NAME]; // "ar1", "alpha", "level", a column
    double value, se;          // se is NaN when there is none
} fr_series_coef;

typedef struct fr_series_data { // borrowed
    const double *y;           // n values, NaN = missing
    int64_t n;
    size_t exogs;
    const double *const *exog; // exogs columns of n values, none missing
    const char *const *exog_names;
} fr_series_data;

typedef struct fr_series_facts { // what every model can say; borrowed from it
    int64_t n, observed, used;   // rows, not missing, entering the likelihood
    double sigma2, sigma2_se;    // of the one-step errors; se NaN when there is none
    double llf, aic, aicc, bic;  // NaN for models without a likelihood
    int iterations;
    bool converged;
    const double *residuals; // n one-step errors, NaN where there is none
    size_t coefs, exogs;     // regressors: the last `exogs` coefs
    const fr_series_coef *coef;
} fr_series_facts;

typedef struct fr_series_ops {
    uint8_t tag;      // in files: append only
    const char *name; // "arima"
    // `spec` is the kind's own; FR_EINVAL says what does not go with the data. Only models
    // with regressors take any.
    int (*fit)(const void *spec, const fr_series_data *data, void **out, fr_err *err);
    void (*free)(void *m);
    size_t (*size)(const void *m); // bytes
    void (*facts)(const void *m, fr_series_facts *out);
    // mean[steps] and, unless sd is NULL, standard deviations of the values after the
    // last row; exog has as many columns of `steps` values as the model has regressors.
    int (*forecast)(const void *m, int64_t steps, const double *const *exog, double *mean,
                    double *sd, fr_err *err);
    // (optional) The quantiles at `levels` (0 < level < 1) of the values to come, `steps`
    // values per level. NULL or FR_EUNSUPPORTED: those of a normal distribution.
    int (*quantiles)(const void *m, int64_t steps, const double *levels, size_t count,
                     double *out, fr_err *err);
    void (*put)(fr_buf *b, const void *m);
    int (*get)(fr_reader *r, void **out, fr_err *err); // FR_ECORRUPT
} fr_series_ops;

// For models without regressors: FR_EINVAL when there are some.
FR_NODISCARD int fr_series_alone(const char *name, const fr_series_data *data, fr_err *err);
extern const fr_series_ops fr_series_arima, fr_series_ets, fr_series_theta,
    fr_series_mstl;
