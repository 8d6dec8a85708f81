#include "core/ml/mstl.h"

#include "core/base/mem.h"
#include "core/ml/series_file.h"
#include "core/ml/stl.h"

#include <math.h>
#include <string.h>

void fr_mstl_free(fr_mstl *m)
{
    if (m == NULL) {
        return;
    }
    for (size_t k = 0; k < m->count; k++) {
        fr_free(m->cycle[k]);
    }
    fr_ets_free(m->rest);
    fr_free(m->residuals);
    fr_free(m);
}

static int fit_rest(const double *y, int64_t n, fr_ets **out, fr_err *err)
{
    static const fr_ets_form forms[] = {
        {'A', 'N', 'N', false, 1}, {'A', 'A', 'N', false, 1}, {'A', 'A', 'N', true, 1}};
    for (size_t i = 0; i < FR_COUNT(forms); i++) {
        fr_ets_spec spec = {.form = forms[i]};
        spec.alpha = spec.beta = spec.gamma = spec.phi = (double)NAN;
        fr_ets *m;
        int rc = fr_ets_fit(&spec, y, n, &m, err);
        if (rc != FR_OK) {
            return rc;
        }
        if (*out == NULL || m->aicc < (*out)->aicc) {
            fr_ets *worse = *out;
            *out = m;
            m = worse;
        }
        fr_ets_free(m);
    }
    return FR_OK;
}

static int fit(fr_mstl *m, const fr_mstl_spec *spec, const double *y, double *memory,
               fr_err *err)
{
    int64_t n = m->n;
    int windows[FR_MSTL_SEASONS];
    double *season = memory + 2 * n, *trend = memory + n, *left = memory;
    fr_stl_fill(y, n, left);
    for (size_t k = 0; k < spec->count; k++) {
        if (n >= 2 * (int64_t)spec->periods[k]) {
            windows[m->count] = spec->windows[k];
            m->periods[m->count++] = spec->periods[k];
        }
    }
    bool own = spec->windows[0] != 0;
    int rc = m->count == 0 ? FR_OK
                           : fr_mstl_split(m->periods, m->count, own ? windows : NULL,
                                           spec->robust, left, n, season, trend, err);
    for (size_t k = 0; k < m->count; k++) {
        int period = m->periods[k];
        const double *s = season + (int64_t)k * n;
        m->cycle[k] = fr_alloc((size_t)period * sizeof **m->cycle);
        for (int64_t i = 0; i < period && rc == FR_OK; i++) {
            m->cycle[k][i] = s[n - period + i];
        }
        for (int64_t i = 0; i < n && rc == FR_OK; i++) {
            left[i] -= s[i];
        }
    }
    rc = rc == FR_OK ? fit_rest(left, n, &m->rest, err) : rc;
    for (int64_t i = 0; i < n && rc == FR_OK; i++) {
        m->observed += !isnan(y[i]);
        m->residuals[i] = isnan(y[i]) ? (double)NAN : m->rest->residuals[i];
    }
    return rc;
}

int fr_mstl_fit(const fr_mstl_spec *spec, const double *y, int64_t n, fr_mstl **out,
                fr_err *err)
{
    *out = NULL;
    double *memory = fr_try_alloc((2 + spec->count) * (size_t)n * sizeof *memory + 1);
    if (memory == NULL) {
        return fr_fail(err, FR_ENOMEM, "no memory for %lld rows", (long long)n);
    }
    fr_mstl *m = fr_zalloc(sizeof *m);
    m->n = n;
    m->residuals = fr_alloc((size_t)n * sizeof *m->residuals + 1);
    int rc = fit(m, spec, y, memory, err);
    fr_free(memory);
    if (rc != FR_OK) {
        fr_mstl_free(m);
        return rc;
    }
    *out = m;
    return FR_OK;
}

// --- as a series model ---

static int mstl_fit(const void *spec, const fr_series_data *d, void **out, fr_err *err)
{
    fr_mstl *m = NULL;
    int rc = fr_series_alone("mstl", d, err);
    rc = rc == FR_OK ? fr_mstl_fit(spec, d->y, d->n, &m, err) : rc;
    *out = m;
    return rc;
}

static void mstl_free(void *m) { fr_mstl_free(m); }

static size_t mstl_size(const void *model)
{
    const fr_mstl *m = model;
    size_t size = sizeof *m + (size_t)m->n * 8 + fr_series_ets.size(m->rest);
    for (size_t k = 0; k < m->count; k++) {
        size += (size_t)m->periods[k] * 8;
    }
    return size;
}

static void mstl_facts(const void *model, fr_series_facts *out)
{
    const fr_mstl *m = model;
    fr_series_ets.facts(m->rest, out);
    out->llf = out->aic = out->aicc = out->bic = (double)NAN;
    out->observed = out->used = m->observed;
    out->residuals = m->residuals;
}

static int mstl_forecast(const void *model, int64_t steps, const double *const *exog,
                         double *mean, double *sd, fr_err *err)
{
    const fr_mstl *m = model;
    (void)exog;
    int rc = fr_ets_forecast(m->rest, steps, mean, sd, err);
    for (size_t k = 0; k < m->count && rc == FR_OK; k++) {
        for (int64_t h = 0; h < steps; h++) {
            mean[h] += m->cycle[k][h % m->periods[k]];
        }
    }
    return rc;
}

static void mstl_put(fr_buf *b, const void *model)
{
    const fr_mstl *m = model;
    fr_buf_put_varint(b, m->count);
    for (size_t k = 0; k < m->count; k++) {
        fr_buf_put_varint(b, (uint64_t)m->periods[k]);
        series_put_doubles(b, m->cycle[k], (size_t)m->periods[k]);
    }
    fr_buf_put_varint(b, (uint64_t)m->observed);
    fr_series_ets.put(b, m->rest);
    series_put_doubles(b, m->residuals, (size_t)m->n);
}

static int mstl_get(fr_reader *r, void **out, fr_err *err)
{
    *out = NULL;
    fr_mstl *m = fr_zalloc(sizeof *m);
    void *rest = NULL;
    uint64_t count = series_read_count(r);
    r->failed = r->failed || count > FR_MSTL_SEASONS;
    for (size_t k = 0; !r->failed && k < count; k++) {
        m->periods[k] = (int)series_read_count(r);
        m->cycle[k] = series_read_doubles(r, (uint64_t)m->periods[k]);
        m->count++;
        r->failed = r->failed || m->periods[k] < 1;
    }
    m->observed = (int64_t)series_read_count(r);
    int rc = r->failed ? FR_ECORRUPT : fr_series_ets.get(r, &rest, err);
    m->rest = rest;
    if (rc == FR_OK) {
        m->n = m->rest->n;
        m->residuals = series_read_doubles(r, (uint64_t)m->n);
    }
    if (rc != FR_OK || r->failed || m->observed > m->n) {
        fr_mstl_free(m);
        return fr_fail(err, FR_ECORRUPT, "the fitted model is damaged");
    }
    *out = m;
    return FR_OK;
}

const fr_series_ops fr_series_mstl = {
    .tag = 4,
    .name = "mstl",
    .fit = mstl_fit,
    .free = mstl_free,
    .size = mstl_size,
    .facts = mstl_facts,
    .forecast = mstl_forecast,
    .put = mstl_put,
    .get = mstl_get,
};
