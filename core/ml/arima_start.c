// Where the search may begin: Hannan-Rissanen, a few typical models, scattered points.
#include "core/base/mem.h"
#include "core/base/rand.h"
#include "core/ml/arima_core.h"
#include "core/ml/special.h"

#include <math.h>
#include <string.h>

static const double edge = 3;       // |u| of a start: partial correlation .949
static const double farthest = 2.5; // tanh of it is a scattered point's: .987

// y's fitted residuals, differenced, gaps as zeros. Returns the length.
static int64_t start_series(const fr_arima_problem *m, double *z)
{
    int64_t n = m->n;
    memcpy(z, m->data[0], (size_t)n * sizeof *z);
    if (m->gaps) {
        for (int64_t t = n - 1; t >= m->lost; t--) {
            for (int i = 0; i < m->lost_lags; i++) {
                z[t] -= m->lost_weight[i] * z[t - m->lost_lag[i]];
            }
        }
        n -= m->lost;
        memmove(z, z + m->lost, (size_t)n * sizeof *z);
    }
    for (int64_t t = 0; t < n; t++) {
        z[t] = isnan(z[t]) ? 0 : z[t];
    }
    return n;
}

// Residuals of a long autoregression (Levinson on the sample autocovariances).
static void long_residuals(const double *z, int64_t n, int order, double *work, double *e)
{
    double *r = work, *a = r + order + 1, *b = a + order + 1;
    for (int k = 0; k <= order; k++) {
        r[k] = 0;
        for (int64_t t = k; t < n; t++) {
            r[k] += z[t] * z[t - k];
        }
    }
    double variance = r[0];
    for (int k = 1; k <= order; k++) {
        double sum = r[k];
        for (int j = 1; j < k; j++) {
            sum -= a[j] * r[k - j];
        }
        double c = variance > 0 ? sum / variance : 0;
        for (int j = 1; j < k; j++) {
            b[j] = a[j] - c * a[k - j];
        }
        b[k] = c;
        memcpy(a + 1, b + 1, (size_t)k * sizeof *a);
        variance *= 1 - c * c;
    }
    for (int64_t t = 0; t < n; t++) {
        double sum = z[t];
        for (int j = 1; j <= order && j <= t; j++) {
            sum -= a[j] * z[t - j];
        }
        e[t] = t < order ? 0 : sum;
    }
}

// Least squares of z on lagged columns, by Cholesky with a trace of ridge. False if
// singular.
static bool regress(int k, double *A, double *b)
{
    for (int i = 0; i < k; i++) {
        A[i * k + i] *= 1 + 1e-9;
        for (int j = 0; j <= i; j++) {
            double sum = A[i * k + j];
            for (int l = 0; l < j; l++) {
                sum -= A[i * k + l] * A[j * k + l];
            }
            if (i == j && !(sum > 0)) {
                return false;
            }
            A[i * k + j] = i == j ? sqrt(sum) : sum / A[j * k + j];
        }
        for (int l = 0; l < i; l++) {
            b[i] -= A[i * k + l] * b[l];
        }
        b[i] /= A[i * k + i];
    }
    for (int i = k - 1; i >= 0; i--) {
        for (int l = i + 1; l < k; l++) {
            b[i] -= A[l * k + i] * b[l];
        }
        b[i] /= A[i * k + i];
    }
    return true;
}

static bool lag_regression(const fr_arima_problem *m, const double *z, const double *e,
                           int64_t n, int64_t from, double *coef)
{
    const fr_arima_order *o = &m->order;
    const double *column[FR_ARIMA_PARAMS];
    double A[FR_ARIMA_PARAMS * FR_ARIMA_PARAMS];
    const int size[4] = {o->p, o->q, o->P, o->Q};
    int k = 0;
    for (int part = 0; part < 4; part++) {
        int step = part < 2 ? 1 : o->period;
        for (int i = 1; i <= size[part]; i++) {
            column[k++] = (part & 1 ? e : z) - (int64_t)i * step;
        }
    }
    for (int i = 0; i < k; i++) {
        for (int j = 0; j <= i; j++) {
            double sum = 0;
            for (int64_t t = from; t < n; t++) {
                sum += column[i][t] * column[j][t];
            }
            A[i * k + j] = sum;
        }
        coef[i] = 0;
        for (int64_t t = from; t < n; t++) {
            coef[i] += column[i][t] * z[t];
        }
    }
    return regress(k, A, coef);
}

// Moves each of the four polynomials into the admissible region on its own.
static void admit(const fr_arima_order *o, double *coef, double *u)
{
    const int size[4] = {o->p, o->q, o->P, o->Q};
    for (int part = 0, at = 0; part < 4; at += size[part++]) {
        double v[FR_ARIMA_PARAMS];
        for (int i = 0; i < size[part]; i++) {
            v[i] = part & 1 ? -coef[at + i] : coef[at + i];
        }
        if (!fr_arima_unconstrain(size[part], v, u + at)) {
            memset(u + at, 0, (size_t)size[part] * sizeof *u);
        }
        for (int i = 0; i < size[part]; i++) {
            u[at + i] = fmin(edge, fmax(-edge, u[at + i]));
        }
    }
}

static bool hannan_rissanen(const fr_arima_problem *m, double *u)
{
    const fr_arima_order *o = &m->order;
    double *z = fr_try_alloc((size_t)m->n * 2 * sizeof *z);
    if (z == NULL) {
        return false; // the fixed points remain
    }
    double *e = z + m->n, coef[FR_ARIMA_PARAMS];
    int64_t n = start_series(m, z);
    int order = (int)(10 * log10((double)n)) + FR_MAX(o->p, o->q);
    order = (int)FR_MIN((int64_t)order, n / 4);
    double *work = fr_alloc(3 * ((size_t)order + 1) * sizeof *work);
    long_residuals(z, n, order, work, e);
    fr_free(work);
    int64_t from = order + FR_MAX(m->ar, m->ma);
    bool ok = from < n - 2 * m->params - 8 && lag_regression(m, z, e, n, from, coef);
    if (ok) {
        admit(o, coef, u);
    }
    fr_free(z);
    return ok;
}

// Models that occur: nothing; persistent with noise on top; a cycle; differenced too
// often; persistent in both parts; alternating. Columns: ar1, ar2, ma1, sar1, sma1 (a
// positive value of the last two kinds is a negative coefficient).
static const double typical[][5] = {{0, 0, 0, 0, 0},    {2, 0, 0.5, 0.5, 0},
                                    {2, -2, 2, 0.5, 0}, {1, 0, 3, 0.5, 1},
                                    {1, 0, 0, 1, 0.5},  {-1, 0, 0, 0, 0}};

static void fill_typical(const fr_arima_order *o, const double *row, double *u)
{
    for (int i = 0; i < 2 && i < o->p; i++) {
        u[i] = row[i];
    }
    if (o->q > 0) {
        u[o->p] = row[2];
    }
    if (o->P > 0) {
        u[o->p + o->q] = row[3];
    }
    if (o->Q > 0) {
        u[o->p + o->q + o->P] = row[4];
    }
}

void fr_arima_starts(const fr_arima_problem *m, size_t count, double *u)
{
    size_t k = (size_t)m->params;
    fr_rand r;
    fr_rand_init(&r, 1, 0); // the same points every time
    memset(u, 0, count * k * sizeof *u);
    for (size_t i = 0; i < count; i++) {
        double *to = u + i * k;
        if (i == 0 && !hannan_rissanen(m, to)) {
            fill_typical(&m->order, typical[1], to);
        } else if (i > 0 && i <= FR_COUNT(typical)) {
            fill_typical(&m->order, typical[i - 1], to);
        }
        for (size_t j = 0; j < k && i > FR_COUNT(typical); j++) {
            double x = (2 * fr_rand_unit(&r) - 1) * farthest;
            to[j] = 0.5 * (fr_special_exp(x) - fr_special_exp(-x)); // even in atanh
        }
    }
}
