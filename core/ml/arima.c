// Fitting and forecasting: what the other arima files compute becomes a model.
#include "core/ml/arima.h"

#include "core/base/mem.h"
#include "core/ml/arima_core.h"
#include "core/ml/special.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const double log_two_pi = 1.8378770664093454836;

void fr_arima_free(fr_arima *m)
{
    if (m != NULL) {
        fr_free(m->coef);
        fr_free(m->state);
        fr_free(m->covariance);
        fr_free(m->residuals);
        fr_free(m);
    }
}

static void name_coefs(fr_arima *m, const fr_series_data *data)
{
    const fr_arima_order *o = &m->order;
    const int size[4] = {o->p, o->q, o->P, o->Q};
    static const char *const kind[4] = {"ar", "ma", "sar", "sma"};
    size_t at = 0;
    for (int part = 0; part < 4; part++) {
        for (int i = 1; i <= size[part]; i++) {
            (void)snprintf(m->coef[at++].name, FR_ARIMA_NAME, "%s%d", kind[part], i);
        }
    }
    if (m->has_constant || m->has_drift) {
        (void)snprintf(m->coef[at++].name, FR_ARIMA_NAME, "%s",
                       m->has_constant ? "const" : "drift");
    }
    for (size_t j = 0; j < m->exogs; j++) {
        (void)snprintf(m->coef[at++].name, FR_ARIMA_NAME, "%s", data->exog_names[j]);
    }
}

// Likelihood and coefficients at the optimum, in the user's units.
static int fill_estimates(fr_arima *m, const fr_arima_problem *p,
                          const fr_arima_design *d, const double *params,
                          fr_arima_value *v, fr_err *err)
{
    int rc = fr_arima_eval(p, 1, params, v, FR_ARIMA_ISA_AUTO, err);
    if (rc != FR_OK) {
        return rc;
    }
    double n = (double)p->used, count = (double)(m->coefs + 1);
    size_t arma = (size_t)p->params, k = d->regressors;
    m->sigma2 = v->sigma2;
    m->sigma2_se = v->sigma2 * sqrt(2 / n);
    m->llf = -v->objective * n;
    m->aic = -2 * m->llf + 2 * count;
    m->aicc =
        m->aic + (n > count + 1 ? 2 * count * (count + 1) / (n - count - 1) : HUGE_VAL);
    m->bic = -2 * m->llf + fr_special_log(n) * count;
    for (size_t i = 0; i < arma; i++) {
        m->coef[i].value = params[i];
    }
    for (size_t i = 0; i < k; i++) {
        double sum = d->offset[i];
        for (size_t j = 0; j < k; j++) {
            sum += d->rotation[i * k + j] * v->beta[j];
        }
        m->coef[arma + i].value = sum;
    }
    return FR_OK;
}

// Solves A x = b for the symmetric positive block of the regressors' products.
static void solve_gram(const fr_arima_problem *p, const fr_arima_value *v, double *b)
{
    fr_arima_value copy = *v;
    size_t series = p->series, k = series - 1;
    copy.gram = fr_alloc((series * series + k + k * k) * sizeof *b);
    copy.beta = copy.gram + series * series;
    memcpy(copy.gram, v->gram, series * series * sizeof *b);
    copy.gram[0] = HUGE_VAL; // only beta is wanted
    for (size_t i = 0; i < k; i++) {
        copy.gram[(i + 1) * series] = copy.gram[i + 1] = b[i];
    }
    fr_arima_concentrate(p, &copy);
    memcpy(b, copy.beta, k * sizeof *b);
    fr_free(copy.gram);
}

static int fill_errors(fr_arima *m, const fr_arima_problem *p, const fr_arima_design *d,
                       const double *params, const fr_arima_value *v, fr_err *err)
{
    size_t arma = (size_t)p->params, k = d->regressors;
    double *cov = fr_alloc((arma * arma + k * k + k + 1) * sizeof *cov);
    double *extra = cov + arma * arma, *column = extra + k * k;
    int rc = fr_arima_information(p, params, cov, extra, err);
    for (size_t i = 0; i < arma && rc == FR_OK; i++) {
        m->coef[i].se = sqrt(cov[i * arma + i]);
    }
    // Covariance of beta: sigma2 A^-1 from generalised least squares, plus what the
    // uncertain ARMA parameters add; then back through the rotation.
    for (size_t j = 0; j < k && rc == FR_OK; j++) {
        memset(column, 0, k * sizeof *column);
        column[j] = 1;
        solve_gram(p, v, column);
        for (size_t i = 0; i < k; i++) {
            extra[i * k + j] += v->sigma2 * column[i];
        }
    }
    for (size_t i = 0; i < k && rc == FR_OK; i++) {
        double sum = 0;
        for (size_t a = 0; a < k; a++) {
            for (size_t b = 0; b < k; b++) {
                sum += d->rotation[i * k + a] * extra[a * k + b] * d->rotation[i * k + b];
            }
        }
        m->coef[arma + i].se = sqrt(sum);
    }
    fr_free(cov);
    return rc;
}

// One more pass over u = y - X beta alone: residuals and the state forecasts start from.
static int fill_state(fr_arima *m, const fr_arima_problem *p, const fr_series_data *data,
                      const double *params, const double *beta, fr_err *err)
{
    size_t n = (size_t)p->n, r = (size_t)p->r, lost = (size_t)p->lost;
    size_t filtered = (size_t)fr_arima_dim(p);
    m->dim = p->r + p->lost;
    double *u = fr_try_alloc((2 * n + 1) * sizeof *u);
    double *covariance = fr_try_alloc(filtered * filtered * sizeof *u);
    m->state = fr_zalloc((size_t)m->dim * sizeof *m->state);
    m->residuals = fr_try_alloc((size_t)m->n * sizeof *m->residuals);
    fr_arima_value v = {.gram = u == NULL ? NULL : u + 2 * n};
    int rc = FR_OK;
    if (u == NULL || covariance == NULL || m->residuals == NULL) {
        rc = fr_fail(err, FR_ENOMEM, "arima: no memory for %zu rows", n);
        goto done;
    }
    for (size_t t = 0; t < n; t++) {
        u[t] = p->data[0][t];
        for (size_t s = 1; s < p->series; s++) {
            u[t] -= beta[s - 1] * p->data[s][t];
        }
    }
    for (int64_t t = 0; t < m->n; t++) {
        m->residuals[t] = (double)NAN;
    }
    fr_arima_problem alone = *p;
    alone.series = 1;
    alone.data = &u;
    fr_arima_kalman_out out = {m->residuals + (m->n - p->n), u + n, m->state, covariance,
                               false};
    rc = fr_arima_kalman(&alone, params, &v, &out, err);
    m->covariance_dim = out.settled ? 0 : (int)filtered;
    if (!out.settled) {
        m->covariance = covariance;
        covariance = NULL;
    }
    // Without gaps the filter saw differences: the last levels complete the state.
    for (size_t i = 0; i < lost && !p->gaps; i++) {
        size_t row = (size_t)data->n - 1 - i;
        double level = data->y[row];
        size_t at = (size_t)p->params;
        if (m->has_drift) {
            level -= m->coef[at++].value * (double)(row - (size_t)m->first);
        }
        for (size_t j = 0; j < m->exogs; j++) {
            level -= m->coef[at + j].value * data->exog[j][row];
        }
        m->state[r + i] = level;
    }
done:
    fr_free(covariance);
    fr_free(u);
    return rc;
}

static fr_arima *model_new(const fr_arima_problem *p, const fr_arima_design *d,
                           const fr_series_data *data)
{
    fr_arima *m = fr_zalloc(sizeof *m);
    m->order = p->order;
    m->has_constant = d->constant;
    m->has_drift = d->drift;
    m->exogs = data->exogs;
    m->coefs = (size_t)p->params + d->regressors;
    m->coef = fr_zalloc((m->coefs + 1) * sizeof *m->coef);
    m->n = data->n;
    m->used = p->used;
    m->first = d->first;
    for (int64_t t = 0; t < data->n; t++) {
        m->observed += !isnan(data->y[t]);
    }
    name_coefs(m, data);
    return m;
}

int fr_arima_fit(const fr_arima_spec *spec, const fr_series_data *data, fr_arima **out,
                 fr_err *err)
{
    fr_arima_problem p;
    fr_arima_design d;
    fr_arima_value *v = NULL;
    fr_arima *m = NULL;
    double params[FR_ARIMA_PARAMS];
    fr_arima_found found = {.params = params};
    *out = NULL;
    int rc = fr_arima_problem_new(spec, data, &p, &d, err);
    if (rc != FR_OK) {
        goto done;
    }
    rc = fr_arima_search(&p, spec, &found, err);
    if (rc != FR_OK) {
        goto done;
    }
    m = model_new(&p, &d, data);
    m->iterations = found.iterations;
    m->passes = found.passes;
    m->converged = found.converged;
    rc = fr_arima_values_new(&p, 1, &v, err);
    rc = rc == FR_OK ? fill_estimates(m, &p, &d, params, v, err) : rc;
    if (rc == FR_OK && spec->quick) {
        m->sigma2_se = (double)NAN;
        for (size_t i = 0; i < m->coefs; i++) {
            m->coef[i].se = (double)NAN;
        }
    } else if (rc == FR_OK) {
        rc = fill_errors(m, &p, &d, params, v, err);
    }
    rc = rc == FR_OK ? fill_state(m, &p, data, params, v->beta, err) : rc;
    if (rc == FR_OK) {
        *out = m;
        m = NULL;
    }
done:
    fr_arima_free(m);
    fr_arima_values_free(v);
    fr_arima_problem_fini(&p, &d);
    return rc;
}

int fr_arima_loglik(const fr_arima_spec *spec, const fr_series_data *data,
                    const double *params, double sigma2, double *llf, fr_err *err)
{
    fr_arima_problem p;
    fr_arima_design d;
    fr_arima_value *v = NULL;
    int rc = fr_arima_problem_new(spec, data, &p, &d, err);
    rc = rc == FR_OK ? fr_arima_values_new(&p, 1, &v, err) : rc;
    rc = rc == FR_OK ? fr_arima_eval(&p, 1, params, v, FR_ARIMA_ISA_AUTO, err) : rc;
    if (rc == FR_OK && !(v->objective < 1e99)) {
        rc = fr_fail(err, FR_EINVAL, "arima: the parameters are not stationary");
    }
    if (rc == FR_OK) {
        double n = (double)p.used;
        *llf = isnan(sigma2) ? -v->objective * n
                             : -0.5 * (n * (log_two_pi + fr_special_log(sigma2)) +
                                       v->log_det + n * v->sigma2 / sigma2);
    }
    fr_arima_values_free(v);
    fr_arima_problem_fini(&p, &d);
    return rc;
}

// --- forecast ---

typedef struct horizon {
    fr_arima_problem shape;
    double *phi, *R; // r each
    double *x, *z;   // state; Z T^h, both dim
} horizon;

static double level_of(const horizon *h, const double *x)
{
    double y = x[0];
    for (int i = 0; i < h->shape.lost_lags; i++) {
        y += h->shape.lost_weight[i] * x[h->shape.r + h->shape.lost_lag[i] - 1];
    }
    return y;
}

static void step_state(horizon *h)
{
    int r = h->shape.r, lost = h->shape.lost;
    double *x = h->x, first = x[0], level = level_of(h, x);
    for (int i = 0; i < r; i++) {
        x[i] = h->phi[i] * first + (i + 1 < r ? x[i + 1] : 0);
    }
    if (lost > 0) {
        memmove(x + r + 1, x + r, (size_t)(lost - 1) * sizeof *x);
        x[r] = level;
    }
}

// z := z T, the weights of today's state one step further on.
static void step_weights(horizon *h)
{
    int r = h->shape.r, lost = h->shape.lost;
    double *z = h->z, first = 0, level = lost > 0 ? z[r] : 0;
    for (int i = 0; i < r; i++) {
        first += h->phi[i] * z[i];
    }
    for (int i = r - 1; i > 0; i--) {
        z[i] = z[i - 1];
    }
    z[0] = first + level;
    for (int i = 0; i < lost; i++) {
        z[r + i] = i + 1 < lost ? z[r + i + 1] : 0;
    }
    for (int i = 0; i < h->shape.lost_lags; i++) {
        z[r + h->shape.lost_lag[i] - 1] += h->shape.lost_weight[i] * level;
    }
}

static double quadratic(const double *z, const double *P, int dim)
{
    double sum = 0;
    for (int i = 0; i < dim; i++) {
        for (int j = 0; j < dim; j++) {
            sum += z[i] * P[i * dim + j] * z[j];
        }
    }
    return sum;
}

static void horizon_init(horizon *h, const fr_arima *m)
{
    *h = (horizon){.shape = {.order = m->order}};
    fr_arima_shape(&h->shape);
    size_t r = (size_t)h->shape.r, dim = (size_t)m->dim;
    h->phi = fr_zalloc((2 * r + 2 * dim + r + 1) * sizeof *h->phi);
    h->R = h->phi + r;
    h->x = h->R + r;
    h->z = h->x + dim;
    double params[FR_ARIMA_PARAMS], *theta = h->z + dim;
    for (int i = 0; i < h->shape.params; i++) {
        params[i] = m->coef[i].value;
    }
    fr_arima_expand(&h->shape, params, h->phi, theta);
    h->R[0] = 1;
    memcpy(h->R + 1, theta, (size_t)h->shape.ma * sizeof *theta);
    memcpy(h->x, m->state, dim * sizeof *h->x);
    h->z[0] = 1;
    for (int i = 0; i < h->shape.lost_lags; i++) {
        h->z[h->shape.r + h->shape.lost_lag[i] - 1] = h->shape.lost_weight[i];
    }
}

int fr_arima_forecast(const fr_arima *m, int64_t steps, const double *const *exog,
                      double *mean, double *sd, fr_err *err)
{
    for (size_t j = 0; j < m->exogs; j++) {
        for (int64_t t = 0; t < steps; t++) {
            if (!isfinite(exog[j][t])) {
                const char *name = m->coef[m->coefs - m->exogs + j].name;
                return fr_fail(
                    err, FR_EINVAL,
                    "forecast: row %lld of regressor \"%s\" is missing or not finite",
                    (long long)t + 1, name);
            }
        }
    }
    horizon h;
    horizon_init(&h, m);
    size_t first = m->coefs - m->exogs;
    double spread = 0; // variance of the innovations still to come
    for (int64_t t = 0; t < steps; t++) {
        double y = level_of(&h, h.x), psi = 0;
        if (m->has_constant) {
            y += m->coef[first - 1].value;
        } else if (m->has_drift) {
            y += m->coef[first - 1].value * (double)(m->n - m->first + t);
        }
        for (size_t j = 0; j < m->exogs; j++) {
            y += m->coef[first + j].value * exog[j][t];
        }
        for (int i = 0; i < h.shape.r; i++) {
            psi += h.z[i] * h.R[i];
        }
        bool known = m->covariance_dim == 0;
        double now = known ? psi * psi : quadratic(h.z, m->covariance, m->covariance_dim);
        mean[t] = y;
        sd[t] = sqrt(m->sigma2 * (now + spread));
        spread += psi * psi;
        step_state(&h);
        step_weights(&h);
    }
    fr_free(h.phi);
    return FR_OK;
}
