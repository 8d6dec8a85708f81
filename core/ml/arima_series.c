// ARIMA as a kind of time-series model.
#include "core/ml/arima.h"

#include "core/base/mem.h"

static int arima_fit(const void *spec, const fr_series_data *data, void **out,
                     fr_err *err)
{
    fr_arima *m = NULL;
    int rc = fr_arima_fit(spec, data, &m, err);
    *out = m;
    return rc;
}

static void arima_free(void *m) { fr_arima_free(m); }

static size_t arima_size(const void *model)
{
    const fr_arima *m = model;
    size_t square = (size_t)m->covariance_dim * (size_t)m->covariance_dim;
    return sizeof *m + m->coefs * sizeof *m->coef +
           ((size_t)m->n + (size_t)m->dim + square) * sizeof(double);
}

static void arima_facts(const void *model, fr_series_facts *out)
{
    const fr_arima *m = model;
    *out = (fr_series_facts){
        .n = m->n,
        .observed = m->observed,
        .used = m->used,
        .sigma2 = m->sigma2,
        .sigma2_se = m->sigma2_se,
        .llf = m->llf,
        .aic = m->aic,
        .aicc = m->aicc,
        .bic = m->bic,
        .iterations = m->iterations,
        .converged = m->converged,
        .residuals = m->residuals,
        .coefs = m->coefs,
        .exogs = m->exogs,
        .coef = m->coef,
    };
}

static int arima_forecast(const void *m, int64_t steps, const double *const *exog,
                          double *mean, double *sd, fr_err *err)
{
    double *own = sd == NULL ? fr_try_alloc((size_t)steps * sizeof *own + 1) : NULL;
    if (sd == NULL && own == NULL) {
        return fr_fail(err, FR_ENOMEM, "no memory for %lld steps", (long long)steps);
    }
    int rc = fr_arima_forecast(m, steps, exog, mean, sd == NULL ? own : sd, err);
    fr_free(own);
    return rc;
}

static void arima_put(fr_buf *b, const void *m) { fr_arima_put(b, m); }

static int arima_get(fr_reader *r, void **out, fr_err *err)
{
    fr_arima *m = NULL;
    int rc = fr_arima_get(r, &m, err);
    *out = m;
    return rc;
}

const fr_series_ops fr_series_arima = {
    .tag = 1,
    .name = "arima",
    .fit = arima_fit,
    .free = arima_free,
    .size = arima_size,
    .facts = arima_facts,
    .forecast = arima_forecast,
    .put = arima_put,
    .get = arima_get,
};
