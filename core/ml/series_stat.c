#include "core/ml/series_stat.h"

#include "core/base/mem.h"
#include "core/ml/least_squares.h"
#include "core/ml/special.h"

#include <math.h>
#include <string.h>

void fr_series_acf(const double *y, int64_t n, int lags, double *r)
{
    double mean = 0, total = 0;
    for (int64_t i = 0; i < n; i++) {
        mean += y[i] / (double)n;
    }
    for (int k = 0; k <= lags; k++) {
        double sum = 0;
        for (int64_t i = k; i < n; i++) {
            sum += (y[i] - mean) * (y[i - k] - mean);
        }
        total = k == 0 ? sum : total;
        r[k] = total > 0 ? sum / total : k == 0;
    }
}

void fr_series_pacf(const double *y, int64_t n, int lags, double *p)
{
    size_t size = (size_t)lags + 1;
    double *r = fr_alloc(3 * size * sizeof *r), *phi = r + size, *old = phi + size;
    fr_series_acf(y, n, lags, r);
    double v = 1;
    p[0] = 1;
    for (int k = 1; k <= lags; k++) {
        double sum = r[k];
        for (int j = 1; j < k; j++) {
            sum -= old[j] * r[k - j];
        }
        p[k] = v > 0 ? sum / v : 0;
        phi[k] = p[k];
        for (int j = 1; j < k; j++) {
            phi[j] = old[j] - p[k] * old[k - j];
        }
        v *= 1 - p[k] * p[k];
        memcpy(old, phi, ((size_t)k + 1) * sizeof *old);
    }
    fr_free(r);
}

// --- Dickey-Fuller ---

typedef struct adf {
    const double *y;
    int64_t n;
    char trend;
} adf;

// Regresses y[t] - y[t-1] on y[t-1], `lags` differences before and the trend, for t from
// `first` on. aic as in statsmodels.
static int adf_fit(const adf *a, int lags, int64_t first, double *statistic, double *aic,
                   fr_err *err)
{
    size_t rows = (size_t)(a->n - first), count = (size_t)lags + 1 + (a->trend == 't');
    double *memory = fr_try_alloc((count + 1) * rows * sizeof *memory);
    const double **cols = fr_alloc(count * sizeof *cols);
    if (memory == NULL) {
        fr_free(cols);
        return fr_fail(err, FR_ENOMEM, "no memory for %zu rows", rows);
    }
    double *d = memory + count * rows;
    for (size_t i = 0; i < rows; i++) {
        int64_t t = first + (int64_t)i;
        d[i] = a->y[t] - a->y[t - 1];
        memory[i] = a->y[t - 1];
        for (size_t k = 1; k <= (size_t)lags; k++) {
            int64_t s = t - (int64_t)k;
            memory[k * rows + i] = a->y[s] - a->y[s - 1];
        }
        if (a->trend == 't') {
            memory[(count - 1) * rows + i] = (double)i + 1;
        }
    }
    for (size_t k = 0; k < count; k++) {
        cols[k] = memory + k * rows;
    }
    fr_least_squares fit;
    fr_columns x = {.count = count, .rows = rows, .column = cols};
    int rc = fr_least_squares_fit(&x, d, a->trend != 'n', 0, &fit, err);
    if (rc == FR_OK) {
        double n = (double)rows, k = (double)count + (a->trend != 'n');
        *statistic = fit.coef[0] / fit.se[0];
        *aic = n * (log(2 * 3.14159265358979323846 * fit.residual_ss / n) + 1) + 2 * k;
    }
    fr_least_squares_fini(&fit);
    fr_free(cols);
    fr_free(memory);
    return rc;
}

// MacKinnon 1994, for one series.
static double adf_p(double t, char trend)
{
    static const struct {
        char trend;
        double least, star, most, small[3], large[4];
    } table[] = {
        {'n', -19.04, -1.04, (double)INFINITY, {0.6344, 1.2378, 0.032496},
         {0.4797, 0.93557, -0.06999, 0.033066}},
        {'c', -18.83, -1.61, 2.74, {2.1659, 1.4412, 0.038269},
         {1.7339, 0.93202, -0.12745, -0.010368}},
        {'t', -16.18, -2.89, 0.7, {3.2512, 1.6047, 0.049588},
         {2.5261, 0.61654, -0.37956, -0.060285}},
    };
    size_t k = trend == 'n' ? 0 : trend == 'c' ? 1 : 2;
    if (t > table[k].most || t < table[k].least) {
        return t > table[k].most;
    }
    const double *s = table[k].small, *l = table[k].large;
    double z = t <= table[k].star ? s[0] + t * (s[1] + t * s[2])
                                  : l[0] + t * (l[1] + t * (l[2] + t * l[3]));
    return erfc(-z / 1.4142135623730951) / 2;
}

static bool constant(const double *y, int64_t n)
{
    for (int64_t i = 1; i < n; i++) {
        if (y[i] != y[0]) {
            return false;
        }
    }
    return true;
}

int fr_series_adf(const double *y, int64_t n, char trend, int lags, fr_series_test *out,
                  fr_err *err)
{
    int terms = trend == 'n' ? 0 : trend == 'c' ? 1 : 2;
    adf a = {y, n, trend};
    if (n > 0 && constant(y, n)) {
        return fr_fail(err, FR_ENUMERIC, "the series is constant");
    }
    bool choose = lags < 0;
    int64_t most = (int64_t)ceil(12 * sqrt(sqrt((double)n / 100)));
    most = FR_MIN(most, n / 2 - terms - 1);
    if (most < 0 || (!choose && lags > n / 2 - terms - 1)) {
        return fr_fail(err, FR_EINVAL, "%lld rows are too few for this test with %d lags",
                       (long long)n, lags);
    }
    double best = (double)INFINITY, statistic, aic;
    int rc = FR_OK;
    for (int k = 0; choose && k <= most && rc == FR_OK; k++) {
        rc = adf_fit(&a, k, most + 1, &statistic, &aic, err);
        if (rc == FR_OK && aic < best) {
            best = aic;
            lags = k;
        }
    }
    rc = rc == FR_OK ? adf_fit(&a, lags, lags + 1, &statistic, &aic, err) : rc;
    if (rc == FR_OK) {
        *out = (fr_series_test){statistic, adf_p(statistic, trend), lags, n - lags - 1};
    }
    return rc;
}

// --- KPSS ---

static void kpss_residuals(const double *y, int64_t n, char trend, double *e)
{
    double mean = 0, middle = (double)(n - 1) / 2, st = 0, sty = 0;
    for (int64_t i = 0; i < n; i++) {
        mean += y[i] / (double)n;
        st += ((double)i - middle) * ((double)i - middle);
        sty += ((double)i - middle) * y[i];
    }
    double slope = trend == 't' && st > 0 ? sty / st : 0;
    for (int64_t i = 0; i < n; i++) {
        e[i] = y[i] - mean - slope * ((double)i - middle);
    }
}

static double kpss_p(double v, char trend)
{
    static const double level[] = {0.347, 0.463, 0.574, 0.739};
    static const double line[] = {0.119, 0.146, 0.176, 0.216};
    static const double p[] = {0.1, 0.05, 0.025, 0.01};
    const double *at = trend == 't' ? line : level;
    if (v <= at[0]) {
        return p[0];
    }
    for (int i = 1; i < 4; i++) {
        if (v <= at[i]) {
            return p[i - 1] + (p[i] - p[i - 1]) * (v - at[i - 1]) / (at[i] - at[i - 1]);
        }
    }
    return p[3];
}

int fr_series_kpss(const double *y, int64_t n, char trend, int lags, fr_series_test *out,
                   fr_err *err)
{
    if (n < 3 || lags >= n) {
        return fr_fail(err, FR_EINVAL, "%lld rows are too few for this test with %d lags",
                       (long long)n, lags);
    }
    if (lags < 0) {
        int rule = (int)ceil(12 * sqrt(sqrt((double)n / 100)));
        lags = (int)FR_MIN((int64_t)rule, n - 1);
    }
    double *e = fr_try_alloc((size_t)n * sizeof *e);
    if (e == NULL) {
        return fr_fail(err, FR_ENOMEM, "no memory for %lld rows", (long long)n);
    }
    kpss_residuals(y, n, trend, e);
    double sum = 0, eta = 0, variance = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += e[i];
        eta += sum * sum;
        variance += e[i] * e[i];
    }
    for (int k = 1; k <= lags; k++) {
        double product = 0;
        for (int64_t i = k; i < n; i++) {
            product += e[i] * e[i - k];
        }
        variance += 2 * product * (1 - (double)k / (lags + 1.0));
    }
    fr_free(e);
    if (!(variance > 0)) {
        return fr_fail(err, FR_ENUMERIC, "the series is constant");
    }
    double v = eta / ((double)n * variance);
    *out = (fr_series_test){v, kpss_p(v, trend), lags, n};
    return FR_OK;
}

// --- Ljung-Box ---

// P(chi-squared with k degrees > x), by its finite sums.
static double chi_tail(double x, int k)
{
    double half = x / 2, sum = 0;
    double term = k % 2 == 0 ? 1 : sqrt(half / 0.78539816339744831); // pi / 4
    for (int i = 0; i < k / 2; i++) {
        sum += term;
        term *= half / (k % 2 == 0 ? i + 1 : i + 1.5);
    }
    double rest = k % 2 == 0 ? 0 : erfc(sqrt(half));
    return rest + exp(-half) * sum;
}

int fr_series_ljung_box(const double *y, int64_t n, int lags, int fitted,
                        fr_series_test *out, fr_err *err)
{
    if (lags < 1 || n <= lags || fitted >= lags) {
        return fr_fail(err, FR_EINVAL,
                       "%d lags need more rows than that (got %lld) and fewer fitted "
                       "parameters (got %d)",
                       lags, (long long)n, fitted);
    }
    double *r = fr_alloc(((size_t)lags + 1) * sizeof *r), q = 0;
    fr_series_acf(y, n, lags, r);
    for (int k = 1; k <= lags; k++) {
        q += r[k] * r[k] / (double)(n - k);
    }
    q *= (double)n * ((double)n + 2);
    fr_free(r);
    *out = (fr_series_test){q, chi_tail(q, lags - fitted), lags, n};
    return FR_OK;
}
