// The Kalman filter in covariance form: gaps, series in levels, state for forecasts.
//
// With gaps the state carries the last `lost` levels behind the ARMA part, so that a
// level is observed or predicted whatever its neighbours are. The first complete window
// of levels is taken as given, which makes the likelihood that of the differences. When
// the covariance has reached its limit (the past innovations are known) only the state is
// moved, until a gap.
#include "core/base/cancel.h"
#include "core/base/mem.h"
#include "core/ml/arima_core.h"
#include "core/ml/special.h"

#include <math.h>
#include <string.h>

enum { LOOK = 16 }; // times between two looks at convergence

static const double converged_below = 1e-15;

typedef struct filter {
    const fr_arima_problem *m;
    size_t dim, r, lost; // lost: levels in the state, 0 without gaps
    double *memory, *phi, *R, *P, *column, *row, *a, *v;
    bool settled;
    int64_t known; // observed times without a gap up to now
} filter;

int fr_arima_dim(const fr_arima_problem *m) { return m->r + (m->gaps ? m->lost : 0); }

static int filter_init(filter *f, const fr_arima_problem *m, const double *params,
                       bool *ok, fr_err *err)
{
    size_t r = (size_t)m->r, dim = (size_t)fr_arima_dim(m);
    *f = (filter){.m = m, .dim = dim, .r = r, .lost = dim - r};
    size_t work = 2 * r + 2 + fr_arima_work(m) + r * r;
    size_t size = r + 4 * dim + dim * dim + m->series * (dim + 1) + work;
    f->memory = fr_try_alloc(size * sizeof *f->memory);
    if (f->memory == NULL) {
        return fr_fail(err, FR_ENOMEM, "arima: no memory for a state of %zu", dim);
    }
    memset(f->memory, 0, size * sizeof *f->memory);
    f->phi = f->memory;
    f->R = f->phi + r;
    f->column = f->R + dim;
    f->row = f->column + dim;
    f->P = f->row + dim;
    f->a = f->P + dim * dim;
    f->v = f->a + m->series * dim;
    double *theta = f->v + m->series, *c = theta + r + 1, *small = c + r + 1,
           *rest = small + r * r;
    fr_arima_expand(m, params, f->phi, theta);
    *ok = fr_arima_covariance(m, f->phi, theta, c, rest);
    if (*ok) {
        fr_arima_full_covariance(m, f->phi, theta, c, small);
        for (size_t i = 0; i < r; i++) {
            memcpy(f->P + i * dim, small + i * r, r * sizeof *small);
        }
    }
    f->R[0] = 1;
    for (size_t i = 1; i < r && i <= (size_t)m->ma; i++) {
        f->R[i] = theta[i - 1];
    }
    return FR_OK;
}

// The observed combination of a state (or of a row of P): y_t.
static double observe(const filter *f, const double *x)
{
    double y = x[0];
    for (int i = 0; i < f->m->lost_lags && f->lost > 0; i++) {
        y += f->m->lost_weight[i] * x[f->r + (size_t)f->m->lost_lag[i] - 1];
    }
    return y;
}

// x := T x for a state or a row of P.
static void move(const filter *f, double *x)
{
    double level = f->lost > 0 ? observe(f, x) : 0, first = x[0];
    size_t r = f->r;
    for (size_t i = 0; i + 1 < r; i++) {
        x[i] = f->phi[i] * first + x[i + 1];
    }
    x[r - 1] = f->phi[r - 1] * first;
    if (f->lost > 0) {
        memmove(x + r + 1, x + r, (f->lost - 1) * sizeof *x);
        x[r] = level;
    }
}

// Both steps in one when all levels of the state are known: an observation makes x_0
// known too, so that T only shifts what is left of the ARMA part.
static void observe_and_move_covariance(filter *f)
{
    size_t r = f->r, dim = f->dim;
    const double *c = f->column;
    double F = f->P[0];
    memcpy(f->column, f->P, r * sizeof *c);
    for (size_t i = 0; i + 1 < r; i++) {
        double *to = f->P + i * dim;
        const double *from = to + dim + 1;
        double ri = f->R[i], ci = c[i + 1] / F;
        for (size_t j = 0; j + 1 < r; j++) {
            to[j] = from[j] - ci * c[j + 1] + ri * f->R[j];
        }
        to[r - 1] = ri * f->R[r - 1];
    }
    for (size_t j = 0; j < r; j++) {
        f->P[(r - 1) * dim + j] = f->R[r - 1] * f->R[j];
    }
}

// P := T P T' + R R'.
static void move_covariance(filter *f)
{
    size_t dim = f->dim, r = f->r;
    double *P = f->P, *first = f->row, *level = f->column;
    memcpy(first, P, dim * sizeof *P);
    memcpy(level, P, dim * sizeof *P);
    for (int l = 0; l < f->m->lost_lags && f->lost > 0; l++) {
        const double *from = P + (r + (size_t)f->m->lost_lag[l] - 1) * dim;
        double weight = f->m->lost_weight[l];
        for (size_t j = 0; j < dim; j++) {
            level[j] += weight * from[j];
        }
    }
    for (size_t i = 0; i < r; i++) {
        double *to = P + i * dim, phi = f->phi[i];
        for (size_t j = 0; j < dim; j++) {
            to[j] = phi * first[j] + (i + 1 < r ? to[dim + j] : 0);
        }
    }
    if (f->lost > 0) {
        memmove(P + (r + 1) * dim, P + r * dim, (f->lost - 1) * dim * sizeof *P);
        memcpy(P + r * dim, level, dim * sizeof *P);
    }
    for (size_t i = 0; i < dim; i++) {
        move(f, P + i * dim);
    }
    for (size_t i = 0; i < r; i++) {
        for (size_t j = 0; j < r; j++) {
            P[i * dim + j] += f->R[i] * f->R[j];
        }
    }
}

static void set_limit(filter *f)
{
    memset(f->P, 0, f->dim * f->dim * sizeof *f->P);
    for (size_t i = 0; i < f->r; i++) {
        for (size_t j = 0; j < f->r; j++) {
            f->P[i * f->dim + j] = f->R[i] * f->R[j];
        }
    }
}

// Whether the levels of the state are all observed ones.
static bool levels_known(const filter *f) { return f->known >= (int64_t)f->lost; }

static void forget_levels(filter *f) // their covariance, which is 0 but for rounding
{
    for (size_t i = 0; i < f->dim; i++) {
        for (size_t j = i < f->r ? f->r : 0; j < f->dim; j++) {
            f->P[i * f->dim + j] = 0;
        }
    }
}

static bool at_limit(const filter *f)
{
    for (size_t i = 0; i < f->r; i++) {
        for (size_t j = 0; j <= i; j++) {
            double limit = f->R[i] * f->R[j];
            if (!(fabs(f->P[i * f->dim + j] - limit) < converged_below)) {
                return false;
            }
        }
    }
    return levels_known(f);
}

static void add_products(const filter *f, double F, double *gram)
{
    size_t series = f->m->series;
    for (size_t s = 0; s < series; s++) {
        for (size_t b = 0; b <= s; b++) {
            gram[s * series + b] += f->v[s] * f->v[b] / F;
        }
    }
}

// One observed time: innovations, then the state given the observation, and with levels
// the covariance too.
static double update(filter *f, int64_t t, double *gram)
{
    const fr_arima_problem *m = f->m;
    bool plain = levels_known(f);
    size_t dim = f->dim, touched = plain ? f->r : dim;
    const double *gain = f->R; // at the limit: column of P and F = 1
    double F = 1;
    if (!f->settled) {
        for (size_t i = 0; i < touched; i++) {
            f->column[i] = plain ? f->P[i] : observe(f, f->P + i * dim);
        }
        gain = f->column;
        F = plain ? f->P[0] : observe(f, f->column);
    }
    for (size_t s = 0; s < m->series; s++) {
        double *a = f->a + s * dim;
        f->v[s] = m->data[s][t] - observe(f, a);
        double scaled = f->v[s] / F;
        for (size_t i = 0; i < touched; i++) {
            a[i] += gain[i] * scaled;
        }
    }
    add_products(f, F, gram);
    if (!f->settled && !plain) {
        for (size_t i = 0; i < dim; i++) {
            double k = f->column[i] / F;
            for (size_t j = 0; j < dim; j++) {
                f->P[i * dim + j] -= k * f->column[j];
            }
        }
    }
    return F;
}

// The first time behind a complete window of `lost` levels; sets the levels of every
// state.
static int64_t start_levels(filter *f)
{
    const fr_arima_problem *m = f->m;
    int64_t run = 0, t = 0;
    while (run < (int64_t)f->lost && t < m->n) {
        run = isnan(m->data[0][t]) ? 0 : run + 1;
        t++;
    }
    for (size_t s = 0; s < m->series && run == (int64_t)f->lost; s++) {
        for (size_t i = 0; i < f->lost; i++) {
            f->a[s * f->dim + f->r + i] = m->data[s][t - 1 - (int64_t)i];
        }
    }
    f->known = run;
    return t;
}

static int run(filter *f, fr_arima_value *v, fr_arima_kalman_out *out, fr_err *err)
{
    const fr_arima_problem *m = f->m;
    int64_t t = start_levels(f), cost = (int64_t)(f->dim * f->dim);
    int64_t each = 1 + 1000000 / (cost + 1); // times between two looks at the cancel flag
    for (int64_t i = 0; i < t && out != NULL && out->innovations != NULL; i++) {
        out->innovations[i] = out->variances[i] = (double)NAN;
    }
    for (; t < m->n; t++) {
        if (t % each == 0 && fr_cancelled()) {
            return fr_fail(err, fr_cancel_code(), "arima: stopped");
        }
        bool seen = !isnan(m->data[0][t]);
        double F = (double)NAN;
        if (seen) {
            F = update(f, t, v->gram);
            if (!(F > 0)) {
                v->log_det = (double)NAN;
                return FR_OK;
            }
            v->log_det += f->settled ? 0 : fr_special_log(F);
        } else if (f->settled) {
            set_limit(f);
            f->settled = false;
        }
        if (out != NULL && out->innovations != NULL) {
            out->innovations[t] = seen ? f->v[0] : (double)NAN;
            out->variances[t] = F;
        }
        for (size_t s = 0; s < m->series; s++) {
            move(f, f->a + s * f->dim);
        }
        if (!f->settled) {
            if (seen && levels_known(f)) {
                observe_and_move_covariance(f);
            } else {
                move_covariance(f);
            }
        }
        f->known = seen ? f->known + 1 : 0;
        if (f->lost > 0 && f->known == (int64_t)f->lost) {
            forget_levels(f);
        }
        if (!f->settled) {
            f->settled = t % LOOK == LOOK - 1 && at_limit(f);
        }
    }
    return FR_OK;
}

int fr_arima_kalman(const fr_arima_problem *m, const double *params, fr_arima_value *v,
                    fr_arima_kalman_out *out, fr_err *err)
{
    filter f;
    bool stationary = false;
    memset(v->gram, 0, m->series * m->series * sizeof *v->gram);
    v->log_det = 0;
    v->objective = 1e100;
    int rc = filter_init(&f, m, params, &stationary, err);
    if (rc == FR_OK && stationary) {
        rc = run(&f, v, out, err);
        for (size_t s = 0; s < m->series; s++) {
            for (size_t b = 0; b < s; b++) {
                v->gram[b * m->series + s] = v->gram[s * m->series + b];
            }
        }
        fr_arima_concentrate(m, v);
    }
    if (rc == FR_OK && out != NULL && out->state != NULL) {
        out->settled = f.settled || at_limit(&f);
        if (f.settled) {
            set_limit(&f);
        }
        memcpy(out->state, f.a, m->series * f.dim * sizeof *f.a);
        memcpy(out->covariance, f.P, f.dim * f.dim * sizeof *f.P);
    }
    fr_free(f.memory);
    return rc;
}
