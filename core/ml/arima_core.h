#pragma once
// arima_core -- what the files of the ARIMA model share. Private to core/ml/arima*.c.
//
// Notation: phi(B) = 1 - phi_1 B - ..., theta(B) = 1 + theta_1 B + ..., both with the
// seasonal factor multiplied in ("full" polynomials of degree ar, ma). The state is
// Harvey's form of dimension r = max(ar, ma + 1): x_0 = w_t, x_i' = phi_{i+1} x_0 +
// x_{i+1} + theta_i e, with the innovation variance 1 (sigma2 is concentrated out). All
// functions are pure, any thread.

#include "core/ml/arima.h"

#include <stdbool.h>

enum {
    FR_ARIMA_LANES = 8,  // parameter vectors filtered side by side
    FR_ARIMA_LAGS = 256, // nonzero coefficients of one full polynomial
};

// A likelihood to be evaluated: the model's shape and the data it needs. Owned by one
// thread while it is built, read by many afterwards.
typedef struct fr_arima_problem {
    fr_arima_order order;
    int ar, ma, r; // degrees of the full polynomials, state dimension
    int params;    // p + q + P + Q: the vector that is searched
    int ar_lags, ma_lags;
    int ar_lag[FR_ARIMA_LAGS], ma_lag[FR_ARIMA_LAGS];
    int lost; // d + D * period: values that differencing uses up
    int lost_lags;
    int lost_lag[FR_ARIMA_LAGS]; // y_t = sum lost_weight * y_(t-lost_lag) + w_t
    double lost_weight[FR_ARIMA_LAGS];
    size_t series; // 1 + regressors; series 0 is y less its OLS fit
    int64_t n;     // length of each data[s]
    int64_t used;  // observed values that enter the likelihood
    bool gaps;     // data are levels with NaN in series 0; else differenced
    double **data;
} fr_arima_problem;

// What one parameter vector gives.
typedef struct fr_arima_value {
    double objective; // - log-likelihood / used, sigma2 and beta concentrated out
    double sigma2;
    double log_det; // sum of log F
    double *beta;   // series - 1 coefficients (of the rotated regressors)
    double *gram;   // series x series: sum of v_a v_b / F
} fr_arima_value;

// --- arima_poly.c ---
// Unconstrained x -> partial autocorrelations x / sqrt(1 + x^2) -> coefficients of a
// stationary AR polynomial (Monahan 1984; the map of Jones 1980 that other programs use
// too).
void fr_arima_constrain(int n, const double *x, double *phi);
// The inverse; false when phi is not stationary.
bool fr_arima_unconstrain(int n, const double *phi, double *x);
// The whole vector (ar, ma, seasonal ar, seasonal ma); invertible MA has the sign turned.
void fr_arima_natural(const fr_arima_order *o, const double *u, double *params);
bool fr_arima_unbound(const fr_arima_order *o, const double *params, double *u);
// Full polynomials: phi[ar], theta[ma] (coefficients of B^1 ...).
void fr_arima_expand(const fr_arima_problem *m, const double *params, double *phi,
                     double *theta);
// First column of the stationary state covariance, c[0..r); work holds fr_arima_work(m)
// doubles. False when phi is not stationary.
bool fr_arima_covariance(const fr_arima_problem *m, const double *phi,
                         const double *theta, double *c, double *work);
size_t fr_arima_work(const fr_arima_problem *m);
// The whole stationary covariance P[r*r] from its first column.
void fr_arima_full_covariance(const fr_arima_problem *m, const double *phi,
                              const double *theta, const double *c, double *P);

// --- arima_filter.c ---
enum {
    FR_ARIMA_ISA_AUTO = 0,
    FR_ARIMA_ISA_BASE = 1,
    FR_ARIMA_ISA_AVX2 = 2,
    FR_ARIMA_ISA_AVX512 = 3
};
// Evaluates `count` parameter vectors (params apart each). FR_ECANCELLED and friends,
// FR_ENOMEM. A vector that has no likelihood gets the objective 1e100.
FR_NODISCARD int fr_arima_eval(const fr_arima_problem *m, size_t count,
                               const double *params, fr_arima_value *out, int isa,
                               fr_err *err);
FR_NODISCARD int fr_arima_values_new(const fr_arima_problem *m, size_t count,
                                     fr_arima_value **out, fr_err *err);
void fr_arima_values_free(fr_arima_value *v);
// From gram, log_det to objective, sigma2, beta.
void fr_arima_concentrate(const fr_arima_problem *m, fr_arima_value *v);

// --- arima_kalman.c ---
// The same by the covariance form of the Kalman filter: handles gaps, any order of
// magnitude. The optional outputs: innovations[n] (NaN where nothing was observed) and
// their variances F, state[series][dim] and covariance[dim * dim] predicted for the time
// after the last; settled: the covariance is the limit R R'.
typedef struct fr_arima_kalman_out {
    double *innovations, *variances, *state, *covariance;
    bool settled;
} fr_arima_kalman_out;
FR_NODISCARD int fr_arima_kalman(const fr_arima_problem *m, const double *params,
                                 fr_arima_value *v, fr_arima_kalman_out *out,
                                 fr_err *err);
int fr_arima_dim(const fr_arima_problem *m); // r, plus `lost` with gaps

// --- arima_start.c ---
enum { FR_ARIMA_STARTS = 64 };
// Fills u with `count` unconstrained vectors worth trying; the first is the best guess.
void fr_arima_starts(const fr_arima_problem *m, size_t count, double *u);

// --- arima_optim.c ---
typedef struct fr_arima_found {
    double *params; // natural, at the optimum
    double objective;
    int iterations, passes;
    bool converged;
} fr_arima_found;
// Minimises the objective. found->params is the caller's array.
FR_NODISCARD int fr_arima_search(const fr_arima_problem *m, const fr_arima_spec *spec,
                                 fr_arima_found *found, fr_err *err);
// From the Hessian of the profile likelihood at the optimum: the covariance of the
// parameters (params x params) and what their uncertainty adds to beta's ((series-1) x
// (series-1)). NaN everywhere when the Hessian is not positive.
FR_NODISCARD int fr_arima_information(const fr_arima_problem *m, const double *params,
                                      double *covariance, double *beta_extra,
                                      fr_err *err);

// --- arima_data.c ---
// Checks the order, differences, rotates the regressors. Call _fini also after a failure.
// `rotation` ((series-1)^2) maps the coefficients of the rotated regressors back: beta =
// rotation * beta_rotated + offset.
typedef struct fr_arima_design {
    size_t regressors;
    bool constant, drift; // the first regressor, if any
    int64_t first;        // leading missing values that were dropped
    double *rotation, *offset;
} fr_arima_design;
FR_NODISCARD int fr_arima_problem_new(const fr_arima_spec *spec,
                                      const fr_series_data *data, fr_arima_problem *m,
                                      fr_arima_design *design, fr_err *err);
// The fields of m that follow from m->order alone.
void fr_arima_shape(fr_arima_problem *m);
void fr_arima_problem_fini(fr_arima_problem *m, fr_arima_design *design);
