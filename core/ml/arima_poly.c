// Polynomials of a seasonal ARMA process: transformations, expansion, autocovariances.
#include "core/ml/arima_core.h"

#include <math.h>
#include <string.h>

void fr_arima_constrain(int n, const double *x, double *phi)
{
    double old[FR_ARIMA_PARAMS];
    for (int k = 0; k < n; k++) {
        double partial = x[k] / sqrt(1 + x[k] * x[k]);
        for (int i = 0; i < k; i++) {
            phi[i] = old[i] - partial * old[k - 1 - i];
        }
        phi[k] = partial;
        memcpy(old, phi, (size_t)(k + 1) * sizeof *phi);
    }
}

bool fr_arima_unconstrain(int n, const double *phi, double *x)
{
    double now[FR_ARIMA_PARAMS], next[FR_ARIMA_PARAMS];
    memcpy(now, phi, (size_t)n * sizeof *phi);
    for (int k = n - 1; k >= 0; k--) {
        double partial = now[k], rest = 1 - partial * partial;
        if (!(rest > 0)) {
            return false;
        }
        x[k] = partial / sqrt(rest);
        for (int i = 0; i < k; i++) {
            next[i] = (now[i] + partial * now[k - 1 - i]) / rest;
        }
        memcpy(now, next, (size_t)k * sizeof *now);
    }
    return true;
}

static void negate(int n, double *v)
{
    for (int i = 0; i < n; i++) {
        v[i] = -v[i];
    }
}

void fr_arima_natural(const fr_arima_order *o, const double *u, double *params)
{
    const int size[4] = {o->p, o->q, o->P, o->Q};
    for (int part = 0; part < 4; part++) {
        fr_arima_constrain(size[part], u, params);
        if (part & 1) {
            negate(size[part], params);
        }
        u += size[part];
        params += size[part];
    }
}

bool fr_arima_unbound(const fr_arima_order *o, const double *params, double *u)
{
    const int size[4] = {o->p, o->q, o->P, o->Q};
    for (int part = 0; part < 4; part++) {
        double v[FR_ARIMA_PARAMS];
        memcpy(v, params, (size_t)size[part] * sizeof *v);
        if (part & 1) {
            negate(size[part], v);
        }
        if (!fr_arima_unconstrain(size[part], v, u)) {
            return false;
        }
        u += size[part];
        params += size[part];
    }
    return true;
}

// out(B) = (1 + sign * sum a_i B^i)(1 + sign * sum b_j B^(s j)) as 1 + sign * (...).
static void multiply(int na, const double *a, int nb, const double *b, int s, double sign,
                     int degree, double *out)
{
    memset(out, 0, (size_t)degree * sizeof *out);
    for (int i = 0; i < na; i++) {
        out[i] += a[i];
    }
    for (int j = 0; j < nb; j++) {
        out[(j + 1) * s - 1] += b[j];
        for (int i = 0; i < na; i++) {
            out[(j + 1) * s + i] += sign * a[i] * b[j];
        }
    }
}

void fr_arima_expand(const fr_arima_problem *m, const double *params, double *phi,
                     double *theta)
{
    const fr_arima_order *o = &m->order;
    const double *seasonal = params + o->p + o->q;
    multiply(o->p, params, o->P, seasonal, o->period, -1, m->ar, phi);
    multiply(o->q, params + o->p, o->Q, seasonal + o->P, o->period, 1, m->ma, theta);
}

size_t fr_arima_work(const fr_arima_problem *m)
{
    size_t lags = (size_t)m->r + (size_t)m->ma + 2;
    return lags * 2 + (size_t)(m->ar + m->ma + 2) * 4;
}

// Partial autocorrelations of phi by stepping down; false when one leaves (-1, 1).
static bool step_down(int n, const double *phi, double *partial, double *now,
                      double *next)
{
    memcpy(now, phi, (size_t)n * sizeof *now);
    for (int k = n - 1; k >= 0; k--) {
        double c = now[k], rest = (1 - c) * (1 + c);
        if (!(rest > 0)) {
            return false;
        }
        partial[k] = c;
        if (c == 0) {
            continue; // a gap between seasonal lags: nothing changes
        }
        for (int i = 0; i < k; i++) {
            next[i] = (now[i] + c * now[k - 1 - i]) / rest;
        }
        memcpy(now, next, (size_t)k * sizeof *now);
    }
    return true;
}

// Autocovariances of the AR part alone, lags 0..last, innovation variance 1 (Levinson
// upward).
static bool ar_covariances(int n, const double *phi, int last, double *gamma,
                           double *work)
{
    double *partial = work, *now = work + n, *next = now + n;
    if (!step_down(n, phi, partial, now, next)) {
        return false;
    }
    double variance = 1;
    for (int k = 0; k < n; k++) {
        variance /= (1 - partial[k]) * (1 + partial[k]);
    }
    gamma[0] = variance;
    for (int k = 1; k <= n && k <= last; k++) {
        double c = partial[k - 1], sum = c * variance;
        for (int i = 0; i < k - 1; i++) {
            sum += now[i] * gamma[k - 1 - i];
        }
        gamma[k] = sum;
        for (int i = 0; i < k - 1; i++) {
            next[i] = now[i] - c * now[k - 2 - i];
        }
        next[k - 1] = c;
        memcpy(now, next, (size_t)k * sizeof *now);
        variance *= (1 - c) * (1 + c);
    }
    for (int k = n + 1; k <= last; k++) {
        double sum = 0;
        for (int i = 0; i < n; i++) {
            sum += phi[i] * gamma[k - 1 - i];
        }
        gamma[k] = sum;
    }
    return isfinite(gamma[0]);
}

// gamma(k) of the whole process from the AR part's: theta(B) applied on both sides. In
// place.
static void add_moving_average(int ma, const double *theta, int last, double *gamma,
                               double *work)
{
    double *square = work, *ar = work + ma + 1;
    for (int lag = 0; lag <= ma; lag++) {
        double sum = lag == 0 ? 1 : theta[lag - 1];
        for (int j = 1; j + lag <= ma; j++) {
            sum += theta[j - 1] * theta[j + lag - 1];
        }
        square[lag] = sum;
    }
    memcpy(ar, gamma, (size_t)(last + ma + 1) * sizeof *ar);
    for (int k = 0; k <= last; k++) {
        double sum = square[0] * ar[k];
        for (int lag = 1; lag <= ma; lag++) {
            if (square[lag] != 0) {
                int back = k >= lag ? k - lag : lag - k;
                sum += square[lag] * (ar[back] + ar[k + lag]);
            }
        }
        gamma[k] = sum;
    }
}

static void psi_weights(int ar, const double *phi, int ma, const double *theta, int n,
                        double *psi)
{
    psi[0] = 1;
    for (int j = 1; j < n; j++) {
        double sum = j <= ma ? theta[j - 1] : 0;
        for (int i = 1; i <= ar && i <= j; i++) {
            sum += phi[i - 1] * psi[j - i];
        }
        psi[j] = sum;
    }
}

bool fr_arima_covariance(const fr_arima_problem *m, const double *phi,
                         const double *theta, double *c, double *work)
{
    int ar = m->ar, ma = m->ma, r = m->r;
    double *gamma = work, *rest = gamma + r + ma + 2;
    if (!ar_covariances(ar, phi, r + ma, gamma, rest)) {
        return false;
    }
    if (ma > 0) {
        add_moving_average(ma, theta, r, gamma, rest);
    }
    double *psi = rest;
    psi_weights(ar, phi, ma, theta, ma + 1, psi);
    c[0] = gamma[0];
    for (int i = 1; i < r; i++) {
        double sum = 0;
        for (int k = i; k < ar; k++) {
            sum += phi[k] * gamma[k - i + 1];
        }
        for (int k = i; k <= ma; k++) {
            sum += theta[k - 1] * psi[k - i];
        }
        c[i] = sum;
    }
    return c[0] > 0 && isfinite(c[0]);
}

void fr_arima_full_covariance(const fr_arima_problem *m, const double *phi,
                              const double *theta, const double *c, double *P)
{
    // P = T P T' + R R' read from the last row up: P[i][j] needs P[i+1][j+1] and column
    // 0.
    size_t r = (size_t)m->r;
    for (size_t i = r; i-- > 0;) {
        double fi = i < (size_t)m->ar ? phi[i] : 0, ci = i + 1 < r ? c[i + 1] : 0;
        double ri = i == 0 ? 1 : i <= (size_t)m->ma ? theta[i - 1] : 0;
        for (size_t j = r; j-- > 0;) {
            double fj = j < (size_t)m->ar ? phi[j] : 0, cj = j + 1 < r ? c[j + 1] : 0;
            double rj = j == 0 ? 1 : j <= (size_t)m->ma ? theta[j - 1] : 0;
            double below = i + 1 < r && j + 1 < r ? P[(i + 1) * r + j + 1] : 0;
            P[i * r + j] = fi * fj * c[0] + fi * cj + fj * ci + below + ri * rj;
        }
    }
    for (size_t i = 0; i < r; i++) {
        P[i * r] = P[i] = c[i];
    }
}
