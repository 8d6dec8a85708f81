#include "core/ml/theta.h"

#include "core/base/mem.h"
#include "core/ml/series_file.h"
#include "core/ml/series_stat.h"
#include "core/ml/special.h"
#include "core/ml/stl.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void fr_theta_free(fr_theta *m)
{
    if (m == NULL) {
        return;
    }
    fr_ets_free(m->ses);
    fr_free(m->figure);
    fr_free(m->residuals);
    fr_free(m);
}

static bool has_season(fr_theta_season want, const double *y, int64_t n, int period)
{
    if (period < 2 || n < 2 * (int64_t)period || want == FR_THETA_NEVER) {
        return false;
    }
    for (int64_t i = 0; i < n; i++) {
        if (!(y[i] > 0)) {
            return false;
        }
    }
    if (want == FR_THETA_ALWAYS) {
        return true;
    }
    double *r = fr_alloc(((size_t)period + 1) * sizeof *r), sum = 0;
    fr_series_acf(y, n, period, r);
    for (int k = 1; k < period; k++) {
        sum += r[k] * r[k];
    }
    bool significant = fabs(r[period]) > 1.6448536269514722 * sqrt((1 + 2 * sum) / (double)n);
    fr_free(r);
    return significant;
}

static double slope_of(const double *y, int64_t n)
{
    double middle = (double)(n - 1) / 2, sum = 0, spread = 0;
    for (int64_t i = 0; i < n; i++) {
        double t = (double)i - middle;
        sum += t * y[i];
        spread += t * t;
    }
    return spread > 0 ? sum / spread : 0;
}

// What simple smoothing alone misses at row h (from 0) of the forecast.
static double drift_at(const fr_theta *m, double h)
{
    double alpha = FR_MAX(m->ses->alpha, 1e-10);
    double faded = fr_special_exp((double)m->n * fr_special_log(FR_MAX(1 - alpha, 1e-300)));
    return m->drift * (h + (1 - faded) / alpha);
}

static void name_coefs(fr_theta *m)
{
    const double values[] = {m->ses->alpha, m->ses->initial[0], m->drift};
    static const char *const names[] = {"alpha", "level", "drift"};
    for (size_t i = 0; i < FR_COUNT(names); i++) {
        (void)snprintf(m->coef[i].name, sizeof m->coef[i].name, "%s", names[i]);
        m->coef[i].value = values[i];
        m->coef[i].se = (double)NAN;
    }
}

static int fit(fr_theta *m, fr_theta_season season, const double *y, double *work,
               fr_err *err)
{
    int64_t n = m->n;
    double *figure = fr_alloc((size_t)m->period * sizeof *figure);
    fr_stl_fill(y, n, work);
    if (has_season(season, work, n, m->period)) {
        fr_stl_figure(work, n, m->period, true, figure);
    } else {
        m->period = 1;
        figure[0] = 1;
    }
    m->figure = fr_alloc((size_t)m->period * sizeof *m->figure);
    for (int64_t k = 0; k < m->period; k++) {
        m->figure[k] = figure[(n + k) % m->period];
    }
    for (int64_t i = 0; i < n; i++) {
        work[i] /= figure[i % m->period];
    }
    m->drift = slope_of(work, n) / 2;
    fr_ets_spec spec = {.form = {'A', 'N', 'N', false, 1}};
    spec.alpha = spec.beta = spec.gamma = spec.phi = (double)NAN;
    int rc = fr_ets_fit(&spec, work, n, &m->ses, err);
    for (int64_t i = 0; i < n && rc == FR_OK; i++) {
        double e = m->ses->residuals[i] * figure[i % m->period];
        m->residuals[i] = isnan(y[i]) ? (double)NAN : e;
    }
    fr_free(figure);
    if (rc == FR_OK) {
        name_coefs(m);
    }
    return rc;
}

int fr_theta_fit(const fr_theta_spec *spec, const double *y, int64_t n, fr_theta **out,
                 fr_err *err)
{
    *out = NULL;
    fr_theta *m = fr_zalloc(sizeof *m);
    m->period = FR_MAX(spec->period, 1);
    m->n = n;
    m->residuals = fr_alloc((size_t)n * sizeof *m->residuals + 1);
    double *work = fr_alloc((size_t)n * sizeof *work + 1);
    for (int64_t i = 0; i < n; i++) {
        m->observed += !isnan(y[i]);
    }
    int rc = fit(m, spec->season, y, work, err);
    fr_free(work);
    if (rc != FR_OK) {
        fr_theta_free(m);
        return rc;
    }
    *out = m;
    return FR_OK;
}

// --- as a series model ---

static int theta_fit(const void *spec, const fr_series_data *d, void **out, fr_err *err)
{
    fr_theta *m = NULL;
    int rc = fr_series_alone("theta", d, err);
    rc = rc == FR_OK ? fr_theta_fit(spec, d->y, d->n, &m, err) : rc;
    *out = m;
    return rc;
}

static void theta_free(void *m) { fr_theta_free(m); }

static size_t theta_size(const void *model)
{
    const fr_theta *m = model;
    return sizeof *m + (size_t)m->period * 8 + (size_t)m->n * 8 +
           fr_series_ets.size(m->ses);
}

static void theta_facts(const void *model, fr_series_facts *out)
{
    const fr_theta *m = model;
    fr_series_ets.facts(m->ses, out);
    out->llf = out->aic = out->aicc = out->bic = (double)NAN;
    out->observed = out->used = m->observed;
    out->residuals = m->residuals;
    out->coefs = FR_COUNT(m->coef);
    out->coef = m->coef;
}

static int theta_forecast(const void *model, int64_t steps, const double *const *exog,
                          double *mean, double *sd, fr_err *err)
{
    const fr_theta *m = model;
    (void)exog;
    int rc = fr_ets_forecast(m->ses, steps, mean, sd, err);
    for (int64_t h = 0; h < steps && rc == FR_OK; h++) {
        double factor = m->figure[h % m->period];
        mean[h] = (mean[h] + drift_at(m, (double)h)) * factor;
        if (sd != NULL) {
            sd[h] *= factor;
        }
    }
    return rc;
}

static void theta_put(fr_buf *b, const void *model)
{
    const fr_theta *m = model;
    fr_buf_put_varint(b, (uint64_t)m->period);
    fr_buf_put_varint(b, (uint64_t)m->observed);
    series_put_doubles(b, &m->drift, 1);
    series_put_doubles(b, m->figure, (size_t)m->period);
    fr_series_ets.put(b, m->ses);
    series_put_doubles(b, m->residuals, (size_t)m->n);
}

static int theta_get(fr_reader *r, void **out, fr_err *err)
{
    *out = NULL;
    fr_theta *m = fr_zalloc(sizeof *m);
    void *ses = NULL;
    m->period = (int)series_read_count(r);
    m->observed = (int64_t)series_read_count(r);
    m->drift = series_read_double(r);
    m->figure = series_read_doubles(r, (uint64_t)m->period);
    int rc = r->failed || m->period < 1 ? FR_ECORRUPT : fr_series_ets.get(r, &ses, err);
    m->ses = ses;
    if (rc == FR_OK) {
        m->n = m->ses->n;
        m->residuals = series_read_doubles(r, (uint64_t)m->n);
        name_coefs(m);
    }
    if (rc != FR_OK || r->failed || m->observed > m->n || m->ses->form.season != 'N') {
        fr_theta_free(m);
        return fr_fail(err, FR_ECORRUPT, "the fitted model is damaged");
    }
    *out = m;
    return FR_OK;
}

const fr_series_ops fr_series_theta = {
    .tag = 3,
    .name = "theta",
    .fit = theta_fit,
    .free = theta_free,
    .size = theta_size,
    .facts = theta_facts,
    .forecast = theta_forecast,
    .put = theta_put,
    .get = theta_get,
};
