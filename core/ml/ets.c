#include "core/ml/ets.h"

#include "core/base/cancel.h"
#include "core/base/mem.h"
#include "core/base/rand.h"
#include "core/ml/ets_int.h"
#include "core/ml/random.h"
#include "core/ml/series_file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PATHS = 5000 };

void fr_ets_free(fr_ets *m)
{
    if (m == NULL) {
        return;
    }
    fr_free(m->initial);
    fr_free(m->last);
    fr_free(m->residuals);
    fr_free(m->coef);
    fr_free(m);
}

static bool linear(const fr_ets *m) { return m->form.error == 'A' && m->form.season != 'M'; }

static ets_state last_state(const fr_ets *m, double *season)
{
    memcpy(season, m->last + 2, (size_t)m->form.period * sizeof *season);
    return (ets_state){m->alpha, m->beta, m->gamma, m->phi, m->last[0], m->last[1],
                       season, 0};
}

// Simulated values of the steps to come: out[step * PATHS + path].
static int simulate(const fr_ets *m, int64_t steps, double *out, fr_err *err)
{
    double *noise = fr_try_alloc((size_t)steps * sizeof *noise);
    double *season = fr_alloc((size_t)m->form.period * sizeof *season);
    double zero = 0, sd = sqrt(m->scale2);
    int rc = noise == NULL ? fr_fail(err, FR_ENOMEM, "no memory for the paths") : FR_OK;
    for (int path = 0; path < PATHS && rc == FR_OK; path++) {
        fr_rand r;
        fr_rand_init(&r, 1, (uint64_t)path);
        rc = fr_random_normal(&r, (fr_random_arg){&zero, 0}, (fr_random_arg){&sd, 0},
                              noise, (size_t)steps, err);
        ets_state s = last_state(m, season);
        for (int64_t h = 0; h < steps && rc == FR_OK; h++) {
            out[h * PATHS + path] = ets_step(&m->form, &s, noise[h]);
        }
    }
    fr_free(noise);
    fr_free(season);
    return rc;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int simulated_sd(const fr_ets *m, int64_t steps, double *sd, fr_err *err)
{
    double *paths = fr_try_alloc((size_t)steps * PATHS * sizeof *paths);
    if (paths == NULL) {
        return fr_fail(err, FR_ENOMEM, "no memory for %d paths", PATHS);
    }
    int rc = simulate(m, steps, paths, err);
    for (int64_t h = 0; h < steps && rc == FR_OK; h++) {
        double sum = 0, squares = 0, first = paths[h * PATHS];
        for (int k = 0; k < PATHS; k++) {
            double v = paths[h * PATHS + k] - first;
            sum += v;
            squares += v * v;
        }
        sd[h] = sqrt(FR_MAX(squares - sum * sum / PATHS, 0.0) / (PATHS - 1));
    }
    fr_free(paths);
    return rc;
}

// Hyndman et al. 2008, chapter 6: variance of a linear model's h-th value.
static void linear_sd(const fr_ets *m, int64_t steps, double *sd)
{
    double variance = 1, damping = 0, power = 1;
    for (int64_t h = 0; h < steps; h++) {
        sd[h] = sqrt(m->scale2 * variance);
        power *= m->phi;
        damping += power;
        double c = m->alpha + (m->form.trend == 'A' ? m->beta * damping : 0);
        if (m->form.season != 'N' && (h + 1) % m->form.period == 0) {
            c += m->gamma;
        }
        variance += c * c;
    }
}

int fr_ets_forecast(const fr_ets *m, int64_t steps, double *mean, double *sd, fr_err *err)
{
    double *season = fr_alloc((size_t)m->form.period * sizeof *season);
    ets_state s = last_state(m, season);
    for (int64_t h = 0; h < steps; h++) {
        mean[h] = ets_step(&m->form, &s, 0);
    }
    fr_free(season);
    if (sd == NULL) {
        return FR_OK;
    }
    if (linear(m)) {
        linear_sd(m, steps, sd);
        return FR_OK;
    }
    return simulated_sd(m, steps, sd, err);
}

// --- as a series model ---

static int ets_fit(const void *spec, const fr_series_data *d, void **out, fr_err *err)
{
    fr_ets *m = NULL;
    int rc = fr_series_alone("ets", d, err);
    rc = rc == FR_OK ? fr_ets_fit(spec, d->y, d->n, &m, err) : rc;
    *out = m;
    return rc;
}

static void ets_free(void *m) { fr_ets_free(m); }

static size_t ets_size(const void *model)
{
    const fr_ets *m = model;
    return sizeof *m + (size_t)m->n * 8 + (size_t)m->form.period * 16 +
           m->coefs * sizeof *m->coef;
}

static void ets_facts(const void *model, fr_series_facts *out)
{
    const fr_ets *m = model;
    *out = (fr_series_facts){
        .n = m->n,
        .observed = m->observed,
        .used = m->observed,
        .sigma2 = m->scale2,
        .sigma2_se = (double)NAN,
        .llf = m->llf,
        .aic = m->aic,
        .aicc = m->aicc,
        .bic = m->bic,
        .iterations = m->iterations,
        .converged = m->converged,
        .residuals = m->residuals,
        .coefs = m->coefs,
        .coef = m->coef,
    };
}

static int ets_forecast(const void *m, int64_t steps, const double *const *exog,
                        double *mean, double *sd, fr_err *err)
{
    (void)exog;
    return fr_ets_forecast(m, steps, mean, sd, err);
}

static int ets_quantiles(const void *model, int64_t steps, const double *levels,
                         size_t count, double *out, fr_err *err)
{
    const fr_ets *m = model;
    double *paths = fr_try_alloc((size_t)steps * PATHS * sizeof *paths);
    if (paths == NULL) {
        return fr_fail(err, FR_ENOMEM, "no memory for %d paths", PATHS);
    }
    int rc = simulate(m, steps, paths, err);
    for (int64_t h = 0; h < steps && rc == FR_OK; h++) {
        double *at = paths + h * PATHS;
        qsort(at, PATHS, sizeof *at, by_value);
        for (size_t k = 0; k < count; k++) {
            double place = levels[k] * (PATHS - 1);
            int64_t low = (int64_t)place;
            int64_t high = FR_MIN(low + 1, PATHS - 1);
            out[(int64_t)k * steps + h] =
                at[low] + (place - (double)low) * (at[high] - at[low]);
        }
        rc = fr_cancelled() ? fr_fail(err, fr_cancel_code(), "stopped") : FR_OK;
    }
    fr_free(paths);
    return rc;
}

static void ets_put(fr_buf *b, const void *model)
{
    const fr_ets *m = model;
    fr_buf_put_u8(b, (uint8_t)m->form.error);
    fr_buf_put_u8(b, (uint8_t)m->form.trend);
    fr_buf_put_u8(b, (uint8_t)m->form.season);
    fr_buf_put_u8(b, (uint8_t)(m->form.damped | m->converged << 1));
    fr_buf_put_varint(b, (uint64_t)m->form.period);
    const double numbers[] = {m->alpha,  m->beta, m->gamma, m->phi,  m->sse,
                              m->scale2, m->llf,  m->aic,   m->aicc, m->bic};
    series_put_doubles(b, numbers, FR_COUNT(numbers));
    fr_buf_put_varint(b, (uint64_t)m->observed);
    fr_buf_put_varint(b, (uint64_t)m->iterations);
    fr_buf_put_varint(b, (uint64_t)m->n);
    series_put_doubles(b, m->initial, (size_t)m->form.period + 2);
    series_put_doubles(b, m->last, (size_t)m->form.period + 2);
    series_put_doubles(b, m->residuals, (size_t)m->n);
    series_put_coefs(b, m->coef, m->coefs);
}

static bool read_form(fr_reader *r, fr_ets *m)
{
    fr_ets_form *f = &m->form;
    f->error = (char)fr_read_u8(r);
    f->trend = (char)fr_read_u8(r);
    f->season = (char)fr_read_u8(r);
    uint8_t flags = fr_read_u8(r);
    f->damped = flags & 1;
    m->converged = flags >> 1 & 1;
    uint64_t period = fr_read_varint(r);
    f->period = period <= FR_ETS_PERIOD ? (int)period : 0;
    return !r->failed && f->period >= 1 && (f->error == 'A' || f->error == 'M') &&
           (f->trend == 'N' || f->trend == 'A') &&
           (f->season == 'N' ? period == 1 : f->season == 'A' || f->season == 'M');
}

static int ets_get(fr_reader *r, void **out, fr_err *err)
{
    *out = NULL;
    fr_ets *m = fr_zalloc(sizeof *m);
    bool ok = read_form(r, m);
    if (ok) {
        double *numbers[] = {&m->alpha,  &m->beta, &m->gamma, &m->phi,  &m->sse,
                             &m->scale2, &m->llf,  &m->aic,   &m->aicc, &m->bic};
        for (size_t i = 0; i < FR_COUNT(numbers); i++) {
            *numbers[i] = series_read_double(r);
        }
        m->observed = (int64_t)series_read_count(r);
        m->iterations = (int)series_read_count(r);
        m->n = (int64_t)series_read_count(r);
        m->initial = series_read_doubles(r, (uint64_t)m->form.period + 2);
        m->last = series_read_doubles(r, (uint64_t)m->form.period + 2);
        m->residuals = series_read_doubles(r, (uint64_t)m->n);
        m->coef = series_read_coefs(r, &m->coefs);
        ok = !r->failed && m->observed <= m->n && m->scale2 >= 0;
    }
    if (!ok) {
        fr_ets_free(m);
        return fr_fail(err, FR_ECORRUPT, "the fitted model is damaged");
    }
    *out = m;
    return FR_OK;
}

static int ets_bounds(const void *model, int64_t steps, const double *levels,
                      size_t count, double *out, fr_err *err)
{
    return linear(model) ? FR_EUNSUPPORTED
                         : ets_quantiles(model, steps, levels, count, out, err);
}

const fr_series_ops fr_series_ets = {
    .tag = 2,
    .name = "ets",
    .fit = ets_fit,
    .free = ets_free,
    .size = ets_size,
    .facts = ets_facts,
    .forecast = ets_forecast,
    .quantiles = ets_bounds,
    .put = ets_put,
    .get = ets_get,
};
