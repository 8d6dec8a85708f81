#pragma once
// arima -- SARIMA(p,d,q)(P,D,Q)s with regressors by exact maximum likelihood.
//
// y = X beta + u, u a seasonal ARIMA process; sigma2 and beta are concentrated out,
// missing values (NaN) are allowed in y. A fitted model is immutable and shared by
// reference (an fr_object of kind MODEL). Results have the same bits at any thread count
// and on any x86-64. Long fits poll fr_cancelled().

#include "core/ml/series.h"

enum { FR_ARIMA_PARAMS = 48, FR_ARIMA_STATE = 4096, FR_ARIMA_NAME = FR_SERIES_NAME };

typedef struct fr_arima_order {
    int p, d, q;
    int P, D, Q, period; // period 0: no season
} fr_arima_order;

typedef enum fr_arima_trend {
    FR_ARIMA_AUTO = 0, // a constant without differencing, nothing with it
    FR_ARIMA_NONE = 1,
    FR_ARIMA_CONSTANT = 2,
    FR_ARIMA_DRIFT = 3, // one constant step per time; d + D = 1
} fr_arima_trend;

typedef struct fr_arima_spec {
    fr_arima_order order;
    fr_arima_trend trend;
    int max_iterations; // 0: 200
    // ARMA likelihoods have several maxima. 0 or 1: the one uphill from Hannan and
    // Rissanen's estimate, which other programs report too; more: the best of so many
    // starts.
    int starts;
    // For comparisons: the search ends when a step gains less than 2e-6 per row (llf to
    // about .01), and there are no standard errors.
    bool quick;
} fr_arima_spec;

typedef struct fr_arima {
    fr_arima_order order;
    bool has_constant, has_drift;
    size_t exogs; // the last `exogs` coefs
    size_t coefs; // regression (constant or drift first) behind the ARMA part
    fr_series_coef *coef; // "ar1", "ma1", "sar1", "sma1", "const", "drift", a column;
    double sigma2, sigma2_se, llf, aic, aicc, bic;
    int64_t n, observed, used; // rows, not missing, entering the likelihood
    int iterations, passes;
    bool converged;
    // For forecasts: the state of u predicted for time n, the ARMA part and then the last
    // d + D * period levels, and the covariance (in units of sigma2) of its first
    // covariance_dim elements; 0 when the past innovations are known.
    int dim, covariance_dim;
    double *state, *covariance;
    int64_t first;     // leading missing rows that were dropped
    double *residuals; // n one-step errors, NaN where there is none
} fr_arima;

// The caller owns *out (fr_arima_free). FR_EINVAL for data or orders that cannot be
// fitted.
FR_NODISCARD int fr_arima_fit(const fr_arima_spec *spec, const fr_series_data *data,
                              fr_arima **out, fr_err *err);
void fr_arima_free(fr_arima *m);
// Whether the order and the trend can be fitted at all; FR_EINVAL or FR_ELIMIT say why not.
FR_NODISCARD int fr_arima_check(const fr_arima_spec *spec, fr_err *err);
// As bytes; _get checks everything it needs (FR_ECORRUPT).
void fr_arima_put(fr_buf *b, const fr_arima *m);
FR_NODISCARD int fr_arima_get(fr_reader *r, fr_arima **out, fr_err *err);
// Log-likelihood at given parameters: ARMA part (ar, ma, seasonal ar, seasonal ma) and
// sigma2 (NaN: concentrated out); regression coefficients are always concentrated out.
FR_NODISCARD int fr_arima_loglik(const fr_arima_spec *spec, const fr_series_data *data,
                                 const double *params, double sigma2, double *llf,
                                 fr_err *err);
// mean[steps] and standard deviation sd[steps] of the values after the last; exog has
// m->exogs columns of `steps` values.
FR_NODISCARD int fr_arima_forecast(const fr_arima *m, int64_t steps,
                                   const double *const *exog, double *mean, double *sd,
                                   fr_err *err);
