// ARIMA against the multivariate normal distribution, statsmodels
// (tests/fixtures/arima.txt) and itself: instruction sets, lanes, threads.
#include "check.h"
#include "core/base/cancel.h"
#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/base/rand.h"
#include "core/ml/arima_core.h"
#include "core/ml/special.h"

#include <stdlib.h>

enum { MOST = 64, LAGS = 6000 };

static double noise(fr_rand *r)
{
    return fr_special_normal_quantile((fr_rand_unit(r) + 0x1p-54) * 0.999999 + 5e-7);
}

// --- the oracle: covariances from thousands of psi weights, densities by Cholesky ---

static void autocovariances(const fr_arima_order *o, const double *params, int n,
                            double *gamma)
{
    static double psi[LAGS];
    fr_arima_problem m = {.order = *o};
    fr_arima_shape(&m);
    double phi[128], theta[128];
    fr_arima_expand(&m, params, phi, theta);
    for (int j = 0; j < LAGS; j++) {
        psi[j] = j == 0 ? 1 : j <= m.ma ? theta[j - 1] : 0;
        for (int i = 1; i <= m.ar && i <= j; i++) {
            psi[j] += phi[i - 1] * psi[j - i];
        }
    }
    for (int k = 0; k < n; k++) {
        gamma[k] = 0;
        for (int j = 0; j + k < LAGS; j++) {
            gamma[k] += psi[j] * psi[j + k];
        }
    }
}

// Lower Cholesky factor in place; returns log det.
static double cholesky(int n, double A[MOST][MOST])
{
    double log_det = 0;
    for (int i = 0; i < n; i++) {
        for (int j = 0; j <= i; j++) {
            for (int l = 0; l < j; l++) {
                A[i][j] -= A[i][l] * A[j][l];
            }
            A[i][j] = i == j ? sqrt(A[i][i]) : A[i][j] / A[j][j];
        }
        log_det += 2 * log(A[i][i]);
    }
    return log_det;
}

static void solve_lower(int n, double A[MOST][MOST], double *x)
{
    for (int i = 0; i < n; i++) {
        for (int l = 0; l < i; l++) {
            x[i] -= A[i][l] * x[l];
        }
        x[i] /= A[i][i];
    }
}

// W (rows x n): the levels of y behind the first `lost` as combinations of the
// differences.
static void integration(const fr_arima_problem *m, int n, double W[MOST][MOST])
{
    memset(W, 0, sizeof(double[MOST][MOST]));
    for (int t = 0; t < n; t++) {
        W[t][t] = 1;
        for (int l = 0; l < m->lost_lags; l++) {
            int from = t - m->lost_lag[l];
            for (int j = 0; from >= 0 && j < n; j++) {
                W[t][j] += m->lost_weight[l] * W[from][j];
            }
        }
    }
}

typedef struct oracle {
    double mean[MOST];      // of levels given the first ones
    double cov[MOST][MOST]; // in units of sigma2
} oracle;

// Distribution of the n values behind the first `lost` levels of y.
static void make_oracle(const fr_arima_order *order, const double *params,
                        const double *y, int n, oracle *out)
{
    static double W[MOST][MOST], WG[MOST][MOST];
    double gamma[MOST];
    fr_arima_problem m = {.order = *order};
    fr_arima_shape(&m);
    autocovariances(order, params, n, gamma);
    integration(&m, n, W);
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++) {
            WG[i][j] = 0;
            for (int l = 0; l < n; l++) {
                WG[i][j] += W[i][l] * gamma[abs(l - j)];
            }
        }
    }
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++) {
            out->cov[i][j] = 0;
            for (int l = 0; l < n; l++) {
                out->cov[i][j] += WG[i][l] * W[j][l];
            }
        }
        out->mean[i] = 0;
        for (int l = 0; l < m.lost_lags; l++) {
            int from = i - m.lost_lag[l];
            double level = from < 0 ? y[m.lost + from] : out->mean[from];
            out->mean[i] += m.lost_weight[l] * level;
        }
    }
}

// Log density of the observed among y[lost .. lost + n), constant term concentrated out.
static double oracle_llf(const fr_arima_order *order, const double *params,
                         const double *y, int lost, int n, double sigma2, bool constant)
{
    static oracle all;
    static double A[MOST][MOST];
    double e[MOST], one[MOST];
    int at[MOST], k = 0;
    make_oracle(order, params, y, n, &all);
    for (int i = 0; i < n; i++) {
        if (!isnan(y[lost + i])) {
            at[k++] = i;
        }
    }
    for (int i = 0; i < k; i++) {
        e[i] = y[lost + at[i]] - all.mean[at[i]];
        one[i] = 1;
        for (int j = 0; j < k; j++) {
            A[i][j] = all.cov[at[i]][at[j]];
        }
    }
    double log_det = cholesky(k, A), sum = 0, se = 0, ss = 0;
    solve_lower(k, A, e);
    solve_lower(k, A, one);
    for (int i = 0; i < k; i++) {
        sum += e[i] * e[i];
        se += e[i] * one[i];
        ss += one[i] * one[i];
    }
    sum -= constant ? se * se / ss : 0;
    double s2 = isnan(sigma2) ? sum / k : sigma2;
    return -0.5 * (k * log(2 * M_PI * s2) + log_det + sum / s2);
}

static void random_case(fr_rand *r, int c, fr_arima_order *o, double *params)
{
    static const fr_arima_order orders[] = {
        {1, 0, 0, 0, 0, 0, 0}, {0, 0, 1, 0, 0, 0, 0}, {2, 0, 1, 0, 0, 0, 0},
        {0, 0, 0, 0, 0, 0, 0}, {1, 1, 1, 0, 0, 0, 0}, {3, 0, 3, 0, 0, 0, 0},
        {1, 0, 0, 1, 0, 0, 4}, {1, 0, 1, 1, 0, 1, 5}, {0, 2, 2, 0, 0, 0, 0},
        {0, 1, 1, 0, 1, 1, 4}, {2, 1, 0, 0, 1, 2, 7}, {0, 0, 5, 2, 0, 0, 6}};
    *o = orders[c % (int)FR_COUNT(orders)];
    double u[FR_ARIMA_PARAMS];
    for (int i = 0; i < o->p + o->q + o->P + o->Q; i++) {
        u[i] = 2 * noise(r) * (c % 3 == 0 ? 1 : 0.4);
        u[i] = fmin(6, fmax(-6, u[i]));
    }
    fr_arima_natural(o, u, params);
}

static void likelihood_is_the_normal_density(void)
{
    fr_rand r;
    fr_rand_init(&r, 3, 0);
    for (int c = 0; c < 72; c++) {
        fr_arima_order o;
        double params[FR_ARIMA_PARAMS], y[MOST], llf;
        random_case(&r, c, &o, params);
        int lost = o.d + o.D * o.period, n = 48;
        for (int t = 0; t < n + lost; t++) {
            y[t] = 10 + noise(&r) + (t > 0 ? 0.7 * (y[t - 1] - 10) : 0);
        }
        if (c % 4 == 3) { // gaps, behind the first complete window
            y[lost + 3] = y[lost + 4] = y[lost + 20] = y[lost + n - 1] = nan("");
        }
        bool constant = o.d + o.D == 0;
        double sigma2 = c % 2 ? 1.7 : nan("");
        fr_arima_spec spec = {.order = o};
        fr_series_data data = {y, n + lost, 0, NULL, NULL};
        fr_err err = FR_ERR_INIT;
        CHECK_INT(fr_arima_loglik(&spec, &data, params, sigma2, &llf, &err), FR_OK);
        double want = oracle_llf(&o, params, y, lost, n, sigma2, constant);
        if (isnan(sigma2) || !constant) { // a given sigma2 leaves the best beta the same
            CHECK_NEAR(llf / want, 1, 1e-9);
        } else {
            CHECK_NEAR(llf, want, 1e-8 * fabs(want));
        }
    }
}

// Forecast means and variances are those of the conditional distribution.
static void forecasts_are_conditional_expectations(void)
{
    enum { N = 40, AHEAD = 8 };
    static oracle all;
    static double A[MOST][MOST];
    fr_rand r;
    fr_rand_init(&r, 8, 0);
    for (int c = 0; c < 24; c++) {
        fr_arima_order o;
        double params[FR_ARIMA_PARAMS], y[MOST], mean[AHEAD], sd[AHEAD];
        random_case(&r, c, &o, params);
        int lost = o.d + o.D * o.period, at[MOST], k = 0;
        for (int t = 0; t < N + lost; t++) {
            y[t] = noise(&r) + (t > 0 ? 0.8 * y[t - 1] : 0);
        }
        if (c >= 12) {
            y[lost + 5] = y[lost + 6] = y[lost + N - 2] = nan("");
            y[lost + N - 1] = c >= 18 ? nan("") : y[lost + N - 1];
        }
        fr_arima_spec spec = {.order = o, .trend = FR_ARIMA_NONE};
        fr_series_data data = {y, N + lost, 0, NULL, NULL};
        fr_arima *m;
        CHECK_INT(fr_arima_fit(&spec, &data, &m, NULL), FR_OK);
        CHECK_INT(fr_arima_forecast(m, AHEAD, NULL, mean, sd, NULL), FR_OK);
        for (size_t i = 0; i < m->coefs; i++) {
            params[i] = m->coef[i].value;
        }
        make_oracle(&o, params, y, N + AHEAD, &all);
        double e[MOST], cross[MOST];
        for (int i = 0; i < N; i++) {
            if (!isnan(y[lost + i])) {
                at[k++] = i;
            }
        }
        for (int i = 0; i < k; i++) {
            e[i] = y[lost + at[i]] - all.mean[at[i]];
            for (int j = 0; j < k; j++) {
                A[i][j] = all.cov[at[i]][at[j]];
            }
        }
        (void)cholesky(k, A);
        solve_lower(k, A, e);
        for (int h = 0; h < AHEAD; h++) {
            double want = all.mean[N + h], var = all.cov[N + h][N + h];
            for (int i = 0; i < k; i++) {
                cross[i] = all.cov[at[i]][N + h];
            }
            solve_lower(k, A, cross);
            for (int i = 0; i < k; i++) {
                want += cross[i] * e[i];
                var -= cross[i] * cross[i];
            }
            CHECK_NEAR(mean[h], want, 1e-6 * (1 + fabs(want)));
            CHECK_NEAR(sd[h], sqrt(m->sigma2 * var), 1e-6 * sd[h]);
        }
        fr_arima_free(m);
    }
}

// --- statsmodels ---

typedef struct named {
    char name[32];
    int64_t n;
    double *y, *exog;
} named;

typedef struct fixture {
    named all[16];
    size_t count;
    named *now;
    fr_arima_spec spec;
    fr_series_data data;
    fr_arima *model;
    int models, points, fits, forecasts;
} fixture;

static double number(char **at)
{
    while (**at == ' ') {
        ++*at;
    }
    return strtod(*at, at);
}

static double *numbers(char **at, int64_t n)
{
    double *v = fr_alloc((size_t)(n + 1) * sizeof *v);
    for (int64_t i = 0; i < n; i++) {
        v[i] = number(at);
    }
    return v;
}

static void read_series(fixture *f, char *at, bool exog)
{
    char name[32];
    int used;
    CHECK_INT(sscanf(at, "%*s %31s%n", name, &used), 1);
    at += used;
    int64_t n = (int64_t)number(&at);
    if (exog) {
        f->all[f->count - 1].exog = numbers(&at, n);
        return;
    }
    named *s = &f->all[f->count++];
    (void)snprintf(s->name, sizeof s->name, "%s", name);
    s->n = n;
    s->y = numbers(&at, n);
}

static void read_model(fixture *f, const char *line)
{
    static const char *const exog_name[] = {"temperature"};
    char name[32];
    int o[7], trend, exogs;
    CHECK_INT(sscanf(line, "model %31s %d %d %d %d %d %d %d %d %d", name, &o[0], &o[1],
                     &o[2], &o[3], &o[4], &o[5], &o[6], &trend, &exogs),
              10);
    for (size_t i = 0; i < f->count; i++) {
        f->now = strcmp(f->all[i].name, name) == 0 ? &f->all[i] : f->now;
    }
    f->spec = (fr_arima_spec){
        {o[0], o[1], o[2], o[3], o[4], o[5], o[6]}, (fr_arima_trend)trend, 0, 8,
        false};
    f->data = (fr_series_data){f->now->y, f->now->n, (size_t)exogs,
                              (const double *const *)&f->now->exog, exog_name};
    fr_arima_free(f->model);
    fr_err err = FR_ERR_INIT;
    CHECK_INT(fr_arima_fit(&f->spec, &f->data, &f->model, &err), FR_OK);
    f->models++;
}

static void compare_point(fixture *f, char *at)
{
    int64_t k = (int64_t)number(&at);
    double *params = numbers(&at, k), sigma2 = number(&at), llf;
    for (int64_t betas = (int64_t)number(&at); betas > 0; betas--) {
        (void)number(&at);
    }
    double want = number(&at);
    CHECK_INT(fr_arima_loglik(&f->spec, &f->data, params, sigma2, &llf, NULL), FR_OK);
    CHECK_NEAR(llf / want, 1, 1e-8);
    fr_free(params);
    f->points++;
}

static void compare_fit(fixture *f, char *at)
{
    double llf = number(&at);
    int64_t k = (int64_t)number(&at);
    CHECK(f->model->llf >= llf - 1e-6);
    for (int64_t i = 0; i < k && f->model->llf < llf + 1e-4; i++) {
        const fr_series_coef *c = &f->model->coef[i];
        double theirs = number(&at);
        if (isfinite(c->se)) {
            CHECK_NEAR(c->value, theirs, 0.02 * c->se);
        }
    }
    f->fits++;
}

static void compare_forecast(fixture *f, char *at)
{
    int64_t steps = (int64_t)number(&at);
    double *mean = numbers(&at, steps), *sd = numbers(&at, steps), ours[32], spread[32];
    CHECK_INT(fr_arima_forecast(f->model, steps, NULL, ours, spread, NULL), FR_OK);
    for (int64_t h = 0; h < steps; h++) {
        CHECK_NEAR(ours[h], mean[h], 5e-3 * sd[h]);
        CHECK_NEAR(spread[h] / sd[h], 1, 5e-3);
    }
    fr_free(mean);
    fr_free(sd);
    f->forecasts++;
}

static void statsmodels_agrees(void)
{
    FILE *file = fopen(FLOWRUN_SOURCE "/tests/fixtures/arima.txt", "r");
    CHECK(file != NULL);
    fixture f = {0};
    char *line = fr_alloc(1 << 16);
    while (file != NULL && fgets(line, 1 << 16, file) != NULL) {
        char *at = line + strcspn(line, " ");
        if (strncmp(line, "series", 6) == 0 || strncmp(line, "exog", 4) == 0) {
            read_series(&f, line, line[0] == 'e');
        } else if (strncmp(line, "model", 5) == 0) {
            read_model(&f, line);
        } else if (strncmp(line, "at", 2) == 0) {
            compare_point(&f, at);
        } else if (strncmp(line, "fit", 3) == 0) {
            compare_fit(&f, at);
        } else if (strncmp(line, "forecast", 8) == 0) {
            compare_forecast(&f, at);
        }
    }
    CHECK(f.models >= 12 && f.points >= 16 && f.fits == f.models && f.forecasts >= 10);
    for (size_t i = 0; i < f.count; i++) {
        fr_free(f.all[i].y);
        fr_free(f.all[i].exog);
    }
    fr_arima_free(f.model);
    fr_free(line);
    if (file != NULL) {
        (void)fclose(file);
    }
}

// --- itself ---

static double *load_series(int n, uint64_t seed)
{
    double *y = fr_alloc((size_t)n * sizeof *y);
    fr_rand r;
    fr_rand_init(&r, seed, 0);
    for (int t = 0; t < n; t++) {
        y[t] = 900 + 100 * sin(2 * M_PI * (t % 24) / 24) + 30 * noise(&r);
    }
    return y;
}

static void instruction_sets_agree_in_every_bit(void)
{
    static const fr_arima_order orders[] = {{2, 0, 1, 0, 0, 0, 0},
                                            {1, 1, 1, 0, 0, 0, 0},
                                            {1, 0, 1, 1, 0, 1, 24},
                                            {0, 0, 4, 0, 0, 0, 0}};
    double *y = load_series(700, 1);
    for (size_t c = 0; c < FR_COUNT(orders); c++) {
        fr_arima_spec spec = {.order = orders[c]};
        fr_series_data data = {y, 700, 0, NULL, NULL};
        fr_arima_problem m;
        fr_arima_design d;
        CHECK_INT(fr_arima_problem_new(&spec, &data, &m, &d, NULL), FR_OK);
        double u[11 * FR_ARIMA_PARAMS], params[11 * FR_ARIMA_PARAMS];
        fr_arima_starts(&m, 11, u);
        for (int i = 0; i < 11; i++) {
            fr_arima_natural(&m.order, u + i * m.params, params + i * m.params);
        }
        fr_arima_value *v[4], *alone;
        CHECK_INT(fr_arima_values_new(&m, 1, &alone, NULL), FR_OK);
        for (int isa = 0; isa < 4; isa++) {
            CHECK_INT(fr_arima_values_new(&m, 11, &v[isa], NULL), FR_OK);
            CHECK_INT(fr_arima_eval(&m, 11, params, v[isa], isa, NULL), FR_OK);
        }
        for (int i = 0; i < 11; i++) {
            for (int isa = 1; isa < 4; isa++) {
                CHECK(v[isa][i].objective == v[0][i].objective);
                CHECK(v[isa][i].log_det == v[0][i].log_det);
            }
            CHECK_INT(fr_arima_kalman(&m, params + i * m.params, alone, NULL, NULL),
                      FR_OK);
            CHECK_NEAR(alone->objective, v[0][i].objective, 1e-9);
        }
        for (int isa = 0; isa < 4; isa++) {
            fr_arima_values_free(v[isa]);
        }
        fr_arima_values_free(alone);
        fr_arima_problem_fini(&m, &d);
    }
    fr_free(y);
}

static fr_arima *fit_load(int n, bool gaps, int starts)
{
    double *y = load_series(n, 2);
    if (gaps) {
        y[50] = y[51] = y[200] = nan("");
    }
    fr_arima_spec spec = {.order = {2, 1, 2, 0, 0, 0, 0}, .starts = starts};
    fr_series_data data = {y, n, 0, NULL, NULL};
    fr_arima *m = NULL;
    fr_err err = FR_ERR_INIT;
    CHECK_INT(fr_arima_fit(&spec, &data, &m, &err), FR_OK);
    fr_free(y);
    return m;
}

static void threads_do_not_change_a_bit(void)
{
    for (int gaps = 0; gaps < 2; gaps++) {
        fr_arima *first = NULL;
        for (unsigned threads = 1; threads <= 3; threads++) {
            unsigned before = fr_pool_limit(threads);
            fr_arima *m = fit_load(300, gaps, 2);
            (void)fr_pool_limit(before);
            if (first == NULL) {
                first = m;
                continue;
            }
            CHECK(m->llf == first->llf && m->sigma2 == first->sigma2);
            for (size_t i = 0; i < m->coefs; i++) {
                CHECK(m->coef[i].value == first->coef[i].value &&
                      m->coef[i].se == first->coef[i].se);
            }
            fr_arima_free(m);
        }
        fr_arima_free(first);
    }
}

static void a_fit_is_a_maximum_and_more_starts_are_not_worse(void)
{
    double *y = load_series(400, 2);
    fr_arima *m = fit_load(400, false, 0), *wide = fit_load(400, false, 16);
    double params[4], llf;
    fr_arima_spec spec = {.order = m->order};
    fr_series_data data = {y, 400, 0, NULL, NULL};
    CHECK(m->converged && m->iterations > 0);
    CHECK(wide->llf >= m->llf - 1e-9);
    for (int i = 0; i < 8; i++) {
        for (int j = 0; j < 4; j++) {
            params[j] = m->coef[j].value + (j == i / 2 ? (i & 1 ? 1e-4 : -1e-4) : 0);
        }
        CHECK_INT(fr_arima_loglik(&spec, &data, params, nan(""), &llf, NULL), FR_OK);
        CHECK(llf < m->llf);
    }
    CHECK_NEAR(m->aic, -2 * m->llf + 10, 1e-9);
    CHECK_NEAR(m->bic, -2 * m->llf + 5 * log(399), 1e-9);
    fr_arima_free(m);
    fr_arima_free(wide);
    fr_free(y);
}

static void residuals_are_one_step_errors(void)
{
    fr_arima *m = fit_load(300, true, 0);
    double sum = 0;
    int64_t n = 0;
    for (int64_t t = 0; t < m->n; t++) {
        if (!isnan(m->residuals[t])) {
            sum += m->residuals[t] * m->residuals[t];
            n++;
        }
    }
    CHECK_INT(n, m->used);
    CHECK(isnan(m->residuals[0]) && isnan(m->residuals[50]) && isnan(m->residuals[51]));
    CHECK_NEAR(sum / (double)n / m->sigma2, 1, 0.2);
    fr_arima_free(m);
}

static int fit_code(fr_arima_spec spec, const double *y, int64_t n, fr_err *err)
{
    fr_series_data data = {y, n, 0, NULL, NULL};
    fr_arima *m;
    int rc = fr_arima_fit(&spec, &data, &m, err);
    fr_arima_free(m);
    return rc;
}

static void what_cannot_be_fitted_is_explained(void)
{
    double *y = load_series(100, 5), flat[40], odd[8];
    fr_err err = FR_ERR_INIT;
    for (int i = 0; i < 40; i++) {
        flat[i] = 7;
    }
    for (int i = 0; i < 8; i++) {
        odd[i] = i == 3 ? HUGE_VAL : i;
    }
    CHECK_INT(fit_code((fr_arima_spec){.order = {-1, 0, 0, 0, 0, 0, 0}}, y, 100, &err),
              FR_EINVAL);
    CHECK_INT(fit_code((fr_arima_spec){.order = {1, 0, 0, 1, 0, 0, 0}}, y, 100, &err),
              FR_EINVAL);
    CHECK(strstr(err.text, "period") != NULL);
    CHECK_INT(fit_code((fr_arima_spec){.order = {1, 0, 0, 0, 0, 0, 0}}, flat, 40, &err),
              FR_EINVAL);
    CHECK(strstr(err.text, "constant") != NULL);
    CHECK_INT(fit_code((fr_arima_spec){.order = {1, 0, 0, 0, 0, 0, 0}}, odd, 8, &err),
              FR_EINVAL);
    CHECK(strstr(err.text, "row 4") != NULL);
    CHECK_INT(fit_code((fr_arima_spec){.order = {3, 0, 3, 0, 0, 0, 0}}, y, 7, &err),
              FR_EINVAL);
    CHECK(strstr(err.text, "too few") != NULL);
    CHECK_INT(fit_code((fr_arima_spec){.order = {0, 1, 1, 0, 1, 1, 200}}, y, 100, &err),
              FR_EINVAL);
    CHECK_INT(fit_code((fr_arima_spec){.order = {1, 0, 0, 1, 0, 0, 5000}}, y, 100, &err),
              FR_ELIMIT);
    CHECK_INT(fit_code((fr_arima_spec){.order = {1, 1, 0, 0, 0, 0, 0},
                                       .trend = FR_ARIMA_CONSTANT},
                       y, 100, &err),
              FR_EINVAL);
    CHECK(strstr(err.text, "drift") != NULL);
    const double *exog[] = {flat, y};
    const char *names[] = {"flat", "twice"};
    fr_series_data data = {y, 40, 1, exog, names};
    fr_arima *m;
    fr_arima_spec spec = {.order = {1, 0, 0, 0, 0, 0, 0}};
    CHECK_INT(fr_arima_fit(&spec, &data, &m, &err), FR_EINVAL);
    CHECK(strstr(err.text, "\"flat\" is constant") != NULL);
    fr_free(y);
}

static void drift_is_a_slope(void)
{
    double y[200], mean[3], sd[3];
    fr_rand r;
    fr_rand_init(&r, 6, 0);
    for (int t = 0; t < 200; t++) {
        y[t] = (t > 0 ? y[t - 1] : 0) + 0.5 + 0.1 * noise(&r);
    }
    fr_arima_spec spec = {.order = {0, 1, 0, 0, 0, 0, 0}, .trend = FR_ARIMA_DRIFT};
    fr_series_data data = {y, 200, 0, NULL, NULL};
    fr_arima *m;
    CHECK_INT(fr_arima_fit(&spec, &data, &m, NULL), FR_OK);
    double slope = (y[199] - y[0]) / 199; // the closed form
    CHECK_NEAR(m->coef[0].value, slope, 1e-9);
    CHECK_NEAR(m->coef[0].se, sqrt(m->sigma2 / 199), 1e-9);
    CHECK_INT(fr_arima_forecast(m, 3, NULL, mean, sd, NULL), FR_OK);
    CHECK_NEAR(mean[2], y[199] + 3 * slope, 1e-9);
    CHECK_NEAR(sd[2], sqrt(3 * m->sigma2), 1e-9);
    fr_arima_free(m);
}

static void a_cancelled_fit_stops(void)
{
    fr_cancel token = {FR_ECANCELLED};
    fr_cancel *before = fr_cancel_enter(&token);
    double *y = load_series(500, 1);
    fr_err err = FR_ERR_INIT;
    CHECK_INT(fit_code((fr_arima_spec){.order = {2, 1, 2, 0, 0, 0, 0}}, y, 500, &err),
              FR_ECANCELLED);
    (void)fr_cancel_enter(before);
    fr_free(y);
}

int main(void)
{
    CASE(likelihood_is_the_normal_density);
    CASE(forecasts_are_conditional_expectations);
    CASE(statsmodels_agrees);
    CASE(instruction_sets_agree_in_every_bit);
    CASE(threads_do_not_change_a_bit);
    CASE(a_fit_is_a_maximum_and_more_starts_are_not_worse);
    CASE(residuals_are_one_step_errors);
    CASE(what_cannot_be_fitted_is_explained);
    CASE(drift_is_a_slope);
    CASE(a_cancelled_fit_stops);
    return check_end();
}
