// Fitting exponential smoothing: parameters and first states together.
#include "core/base/cancel.h"
#include "core/base/mem.h"
#include "core/ml/ets_int.h"
#include "core/ml/lbfgs.h"
#include "core/ml/special.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { ITERATIONS = 300, STARTS = 3, TRIAL_ITERATIONS = 8 };

// Bounds as in R's forecast::ets: beta < alpha, gamma < 1 - alpha, .8 <= phi <= .98.
static const double LEAST = 1e-4, MOST = 1 - 1e-4, PHI_LEAST = 0.8, PHI_MOST = 0.98;

typedef struct problem {
    const fr_ets_spec *spec;
    fr_ets_form form;
    const double *y;
    int64_t n, observed;
    double scale;           // size of the series' movements, for level and slope
    double initial_scale[3]; // level, slope, season
    int params, states;     // free ones, in this order in x
    double *initial;        // period + 2 values
    double *season, *season_gradient;
    ets_path path;
    ets_gradient gradient;
} problem;

// x in (-inf, inf) to (0, 1), algebraic: the ends are reached by doubling.
static double squash(double x) { return 0.5 + 0.5 * x / sqrt(1 + x * x); }
static double squash_slope(double x)
{
    double q = 1 / (1 + x * x);
    return 0.5 * q * sqrt(q);
}
static double unsquash(double u)
{
    double v = 2 * u - 1;
    return v / sqrt(1 - v * v);
}

typedef struct params {
    double u[4]; // alpha, beta, gamma, phi
} params;

// Parameters at x; slopes[i] = derivative of the i-th free squashed share. Fixed ones as
// given.
static params params_of(const problem *p, const double *x)
{
    const fr_ets_spec *s = p->spec;
    params out = {{s->alpha, s->beta, s->gamma, s->phi}};
    int i = 0;
    if (isnan(s->alpha)) {
        out.u[0] = LEAST + (MOST - LEAST) * squash(x[i++]);
    }
    if (p->form.trend != 'A') {
        out.u[1] = 0;
    } else if (isnan(s->beta)) {
        out.u[1] = out.u[0] * (LEAST + (MOST - LEAST) * squash(x[i++]));
    }
    if (p->form.season == 'N') {
        out.u[2] = 0;
    } else if (isnan(s->gamma)) {
        out.u[2] = (1 - out.u[0]) * (LEAST + (MOST - LEAST) * squash(x[i++]));
    }
    if (!p->form.damped) {
        out.u[3] = 1;
    } else if (isnan(s->phi)) {
        out.u[3] = PHI_LEAST + (PHI_MOST - PHI_LEAST) * squash(x[i++]);
    }
    return out;
}

// The chain rule through params_of.
static void params_gradient(const problem *p, const double *x, const params *at,
                            const ets_gradient *g, double *out)
{
    const fr_ets_spec *s = p->spec;
    bool trend = p->form.trend == 'A', season = p->form.season != 'N';
    int i = 0;
    double by_alpha = g->alpha;
    if (trend && isnan(s->beta)) {
        by_alpha += g->beta * at->u[1] / at->u[0];
    }
    if (season && isnan(s->gamma)) {
        by_alpha -= g->gamma * at->u[2] / (1 - at->u[0]);
    }
    if (isnan(s->alpha)) {
        out[i] = by_alpha * (MOST - LEAST) * squash_slope(x[i]);
        i++;
    }
    if (trend && isnan(s->beta)) {
        out[i] = g->beta * at->u[0] * (MOST - LEAST) * squash_slope(x[i]);
        i++;
    }
    if (season && isnan(s->gamma)) {
        out[i] = g->gamma * (1 - at->u[0]) * (MOST - LEAST) * squash_slope(x[i]);
        i++;
    }
    if (p->form.damped && isnan(s->phi)) {
        out[i] = g->phi * (PHI_MOST - PHI_LEAST) * squash_slope(x[i]);
    }
}

static ets_state state_of(problem *p, const params *at, const double *initial)
{
    ets_state s = {at->u[0], at->u[1], at->u[2], at->u[3], initial[0],
                   initial[1], p->season, 0};
    memcpy(p->season, initial + 2, (size_t)p->form.period * sizeof *p->season);
    return s;
}

static void unpack_states(const problem *p, const double *x, double *initial)
{
    memcpy(initial, p->initial, ((size_t)p->form.period + 2) * sizeof *initial);
    if (p->states == 0) {
        return;
    }
    const double *v = x + p->params;
    initial[0] = v[0] * p->initial_scale[0];
    int i = 1;
    if (p->form.trend == 'A') {
        initial[1] = v[i++] * p->initial_scale[1];
    }
    for (int k = 0; i < p->states; k++, i++) {
        initial[2 + k] = v[i] * p->initial_scale[2];
    }
}

static double objective(void *ctx, const double *x, double *gradient)
{
    problem *p = ctx;
    double *initial = p->season_gradient + p->form.period;
    unpack_states(p, x, initial);
    params at = params_of(p, x);
    ets_state first = state_of(p, &at, initial), s = first;
    ets_sums sums = ets_forward(&p->form, p->y, p->n, &s, &p->path);
    if (!sums.valid || !(sums.squares > 0)) {
        return (double)INFINITY;
    }
    double count = (double)p->observed;
    double value = fr_special_log(sums.squares / count) / 2 + sums.logs / count;
    ets_gradient g = {.season = p->season_gradient};
    ets_backward(&p->form, p->y, p->n, &first, &p->path, &sums, p->observed, &g);
    params_gradient(p, x, &at, &g, gradient);
    if (p->states > 0) {
        double *out = gradient + p->params;
        int i = 1;
        out[0] = g.level * p->initial_scale[0];
        if (p->form.trend == 'A') {
            out[i++] = g.slope * p->initial_scale[1];
        }
        for (int k = 0; i < p->states; k++, i++) {
            out[i] = g.season[k] * p->initial_scale[2];
        }
    }
    return value;
}

// x from parameters' shares of their ranges and the guessed states.
static void pack(const problem *p, const double share[4], double *x)
{
    const fr_ets_spec *s = p->spec;
    int i = 0;
    if (isnan(s->alpha)) {
        x[i++] = unsquash(share[0]);
    }
    if (p->form.trend == 'A' && isnan(s->beta)) {
        x[i++] = unsquash(share[1]);
    }
    if (p->form.season != 'N' && isnan(s->gamma)) {
        x[i++] = unsquash(share[2]);
    }
    if (p->form.damped && isnan(s->phi)) {
        x[i++] = unsquash(share[3]);
    }
    if (p->states == 0) {
        return;
    }
    x[i++] = p->initial[0] / p->initial_scale[0];
    if (p->form.trend == 'A') {
        x[i++] = p->initial[1] / p->initial_scale[1];
    }
    for (int k = 0; i < p->params + p->states; k++, i++) {
        x[i] = p->initial[2 + k] / p->initial_scale[2];
    }
}

// Looks at the first `rows` only.
static void look_at(problem *p, int64_t rows)
{
    p->n = rows;
    p->observed = 0;
    for (int64_t t = 0; t < rows; t++) {
        p->observed += !isnan(p->y[t]);
    }
}

// The best of a few short searches on the first rows is searched to the end on all.
static int search(problem *p, double *x, fr_lbfgs_result *result)
{
    int64_t all = p->n, some = FR_MAX(600, 20 * (int64_t)p->form.period);
    static const double starts[STARTS][4] = {
        {0.4, 0.1, 0.2, 0.9}, {0.1, 0.05, 0.1, 0.9}, {0.85, 0.05, 0.5, 0.7}};
    size_t size = (size_t)(p->params + p->states);
    double *trial = fr_alloc((size + 1) * sizeof *trial);
    double best = (double)INFINITY;
    int rc = FR_OK, passes = p->params == 0 ? 1 : STARTS;
    look_at(p, FR_MIN(all, some));
    if (p->observed < p->params + p->states + 4) {
        look_at(p, all);
    }
    for (int i = 0; i < passes && rc == FR_OK; i++) {
        fr_lbfgs_result r;
        pack(p, starts[i], trial);
        rc = fr_lbfgs(size, trial, objective, p, TRIAL_ITERATIONS, 1e-9, &r);
        if (i == 0 || r.value < best) {
            best = r.value;
            memcpy(x, trial, size * sizeof *x);
        }
    }
    look_at(p, all);
    int most = p->spec->max_iterations > 0 ? p->spec->max_iterations : ITERATIONS;
    if (rc == FR_OK) {
        rc = fr_lbfgs(size, x, objective, p, most, 1e-9, result);
    }
    fr_free(trial);
    return rc;
}

static void name_coef(fr_ets *m, const char *name, double value)
{
    fr_series_coef *c = &m->coef[m->coefs++];
    (void)snprintf(c->name, sizeof c->name, "%s", name);
    c->value = value;
    c->se = (double)NAN;
}

static void name_coefs(fr_ets *m)
{
    int period = m->form.season == 'N' ? 0 : m->form.period;
    m->coef = fr_zalloc(((size_t)period + 6) * sizeof *m->coef);
    name_coef(m, "alpha", m->alpha);
    if (m->form.trend == 'A') {
        name_coef(m, "beta", m->beta);
    }
    if (period > 0) {
        name_coef(m, "gamma", m->gamma);
    }
    if (m->form.damped) {
        name_coef(m, "phi", m->phi);
    }
    name_coef(m, "level", m->initial[0]);
    if (m->form.trend == 'A') {
        name_coef(m, "trend", m->initial[1]);
    }
    for (int k = 0; k < period; k++) {
        char name[32];
        (void)snprintf(name, sizeof name, "season%d", k + 1);
        name_coef(m, name, m->initial[2 + k]);
    }
}

// Seasons add up to nothing (or average one), the rest of them belongs to the level: the
// forecasts stay as they are.
static void normalise(const fr_ets_form *form, double *states)
{
    int m = form->period;
    double mean = 0;
    for (int k = 0; k < m; k++) {
        mean += states[2 + k] / m;
    }
    if (form->season == 'A') {
        states[0] += mean;
        for (int k = 0; k < m; k++) {
            states[2 + k] -= mean;
        }
    } else if (form->season == 'M') {
        states[0] *= mean;
        states[1] *= mean;
        for (int k = 0; k < m; k++) {
            states[2 + k] /= mean;
        }
    }
}

static int conclude(problem *p, const double *x, fr_ets *m, fr_err *err)
{
    int period = p->form.period;
    unpack_states(p, x, m->initial);
    if (p->states > 0) {
        normalise(&p->form, m->initial);
    }
    params at = params_of(p, x);
    m->alpha = at.u[0];
    m->beta = at.u[1];
    m->gamma = at.u[2];
    m->phi = at.u[3];
    ets_state s = state_of(p, &at, m->initial);
    ets_sums sums = ets_forward(&p->form, p->y, p->n, &s, &p->path);
    if (!sums.valid) {
        return fr_fail(err, FR_EINVAL,
                       "the series and its smoothed values must stay positive for "
                       "multiplicative error or season: use additive ones");
    }
    m->last[0] = s.level;
    m->last[1] = s.slope;
    for (int k = 0; k < period; k++) {
        m->last[2 + k] = s.season[(s.at + k) % period];
    }
    double count = (double)p->observed;
    m->sse = sums.absolute;
    m->scale2 = sums.squares / count;
    double spread = FR_MAX(m->scale2, 1e-300);
    m->llf = -count / 2 * (fr_special_log(2 * 3.14159265358979323846 * spread) + 1) -
             sums.logs;
    int season = p->form.season == 'N' ? 0 : period - 1;
    double k = 1 + p->params + (p->states > 0 ? 1 + (p->form.trend == 'A') + season : 0);
    m->aic = 2 * k - 2 * m->llf;
    m->aicc = m->aic + 2 * k * (k + 1) / FR_MAX(count - k - 1, 1e-9);
    m->bic = k * fr_special_log(count) - 2 * m->llf;
    for (int64_t t = 0; t < p->n; t++) {
        m->residuals[t] = isnan(p->y[t]) ? (double)NAN : p->path.error[t];
    }
    name_coefs(m);
    return FR_OK;
}

static int check_series(problem *p, fr_err *err)
{
    bool positive = p->form.error == 'M' || p->form.season == 'M';
    double sum = 0, squares = 0;
    for (int64_t t = 0; t < p->n; t++) {
        if (isnan(p->y[t])) {
            continue;
        }
        if (positive && !(p->y[t] > 0)) {
            return fr_fail(err, FR_EINVAL,
                           "row %lld is %g: multiplicative error or season needs positive "
                           "values; use additive ones",
                           (long long)t + 1, p->y[t]);
        }
        p->observed++;
        sum += p->y[t];
        squares += p->y[t] * p->y[t];
    }
    int64_t least = 4;
    if (p->form.season != 'N') {
        least = FR_MAX(least, 2 * (int64_t)p->form.period);
    }
    if (p->observed < least) {
        return fr_fail(err, FR_EINVAL,
                       "%lld values are too few: this model needs %lld%s",
                       (long long)p->observed, (long long)least,
                       p->form.season != 'N' ? " (two periods)" : "");
    }
    double count = (double)p->observed, mean = sum / count;
    double variance = FR_MAX(squares / count - mean * mean, 0.0);
    p->scale = variance > 0 ? sqrt(variance) : FR_MAX(fabs(mean), 1.0);
    p->initial_scale[0] = p->scale;
    p->initial_scale[1] = p->scale / (double)FR_MIN(p->n, 1000);
    p->initial_scale[2] = p->form.season == 'M' ? p->scale / FR_MAX(fabs(mean), 1e-300)
                                                : p->scale;
    p->initial_scale[2] = FR_MAX(p->initial_scale[2], 1e-8);
    return FR_OK;
}

static void count_params(problem *p)
{
    const fr_ets_spec *s = p->spec;
    bool trend = p->form.trend == 'A', season = p->form.season != 'N';
    p->params = isnan(s->alpha) + (trend && isnan(s->beta)) +
                (season && isnan(s->gamma)) + (p->form.damped && isnan(s->phi));
    p->states = s->initial != NULL ? 0 : 1 + trend + (season ? p->form.period : 0);
}

static fr_ets *ets_new(const fr_ets_form *form, int64_t n)
{
    size_t states = (size_t)form->period + 2;
    fr_ets *m = fr_zalloc(sizeof *m);
    m->form = *form;
    m->n = n;
    m->initial = fr_zalloc(states * sizeof *m->initial);
    m->last = fr_zalloc(states * sizeof *m->last);
    m->residuals = fr_alloc((size_t)n * sizeof *m->residuals + 1);
    return m;
}

static int fit(problem *p, fr_ets *m, fr_err *err)
{
    const fr_ets_spec *spec = p->spec;
    size_t period = (size_t)p->form.period;
    double *x = fr_zalloc(((size_t)(p->params + p->states) + 1) * sizeof *x);
    if (spec->initial != NULL) {
        memcpy(p->initial, spec->initial, (period + 2) * sizeof *p->initial);
    } else {
        ets_guess(&p->form, p->y, p->n, p->initial);
    }
    fr_lbfgs_result result = {.converged = true};
    int rc = FR_OK;
    if (p->params + p->states > 0) {
        rc = search(p, x, &result);
    }
    if (rc != FR_OK) {
        rc = fr_fail(err, rc, "the fit was stopped");
    } else {
        m->iterations = result.iterations;
        m->converged = result.converged;
        rc = conclude(p, x, m, err);
    }
    m->observed = p->observed;
    fr_free(x);
    return rc;
}

int fr_ets_fit(const fr_ets_spec *spec, const double *y, int64_t n, fr_ets **out,
               fr_err *err)
{
    *out = NULL;
    problem p = {.spec = spec, .form = spec->form, .y = y, .n = n};
    if (p.form.season == 'N') {
        p.form.period = 1;
    }
    int rc = check_series(&p, err);
    if (rc != FR_OK) {
        return rc;
    }
    count_params(&p);
    size_t period = (size_t)p.form.period;
    double *memory = fr_try_alloc((4 * (size_t)n + 4 * period + 8) * sizeof *memory);
    if (memory == NULL) {
        return fr_fail(err, FR_ENOMEM, "no memory for %lld rows", (long long)n);
    }
    p.path = (ets_path){memory, memory + n, memory + 2 * n, memory + 3 * n};
    p.initial = memory + 4 * n;
    memset(p.initial, 0, (4 * period + 8) * sizeof *memory);
    p.season = p.initial + period + 2;
    p.season_gradient = p.season + period; // and period + 2 for the states behind it
    fr_ets *m = ets_new(&p.form, n);
    rc = fit(&p, m, err);
    fr_free(memory);
    if (rc != FR_OK) {
        fr_ets_free(m);
        return rc;
    }
    *out = m;
    return FR_OK;
}
