// From a specification and data to a likelihood: checks, differences, regressors.
#include "core/base/mem.h"
#include "core/ml/arima_core.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int fr_arima_check(const fr_arima_spec *spec, fr_err *err)
{
    const fr_arima_order *o = &spec->order;
    const int part[] = {o->p, o->d, o->q, o->P, o->D, o->Q};
    static const char *const name[] = {"p",          "d",          "q",
                                       "seasonal P", "seasonal D", "seasonal Q"};
    for (size_t i = 0; i < FR_COUNT(part); i++) {
        if (part[i] < 0 || part[i] > FR_ARIMA_PARAMS) {
            return fr_fail(err, FR_EINVAL, "arima: %s is %d: expected 0 to %d", name[i],
                           part[i], FR_ARIMA_PARAMS);
        }
    }
    bool seasonal = o->P + o->D + o->Q > 0;
    if (seasonal && o->period < 2) {
        return fr_fail(
            err, FR_EINVAL,
            "arima: the seasonal part (%d, %d, %d) needs a period of at least 2, found "
            "%d: seasonal = {P, D, Q, period = 24}",
            o->P, o->D, o->Q, o->period);
    }
    if (o->p + o->q + o->P + o->Q > FR_ARIMA_PARAMS) {
        return fr_fail(err, FR_EINVAL, "arima: p + q + P + Q is %d, the most is %d",
                       o->p + o->q + o->P + o->Q, FR_ARIMA_PARAMS);
    }
    if ((o->P > 0 && o->p >= o->period) || (o->Q > 0 && o->q >= o->period)) {
        return fr_fail(
            err, FR_EINVAL,
            "arima: p = %d and q = %d must stay below the period %d, where the "
            "seasonal lags begin",
            o->p, o->q, o->period);
    }
    int64_t season = seasonal ? o->period : 0;
    int64_t state = FR_MAX(o->p + o->P * season, o->q + o->Q * season + 1);
    if (state > FR_ARIMA_STATE || o->d + o->D * season > FR_ARIMA_STATE) {
        return fr_fail(err, FR_ELIMIT,
                       "arima: lags reach back %lld steps, the most is %d",
                       (long long)FR_MAX(state, o->d + o->D * season), FR_ARIMA_STATE);
    }
    if ((o->p + 1) * (o->P + 1) > FR_ARIMA_LAGS ||
        (o->q + 1) * (o->Q + 1) > FR_ARIMA_LAGS ||
        (o->d + 1) * (o->D + 1) > FR_ARIMA_LAGS) {
        return fr_fail(err, FR_ELIMIT, "arima: more than %d lags in one polynomial",
                       FR_ARIMA_LAGS);
    }
    if (spec->trend == FR_ARIMA_CONSTANT && o->d + o->D > 0) {
        return fr_fail(
            err, FR_EINVAL,
            "arima: differencing removes a constant; use trend = \"drift\" for a "
            "constant step per time");
    }
    if (spec->trend == FR_ARIMA_DRIFT && o->d + o->D != 1) {
        return fr_fail(err, FR_EINVAL,
                       "arima: trend = \"drift\" needs d + D = 1, found %d", o->d + o->D);
    }
    return FR_OK;
}

static int nonzero_lags(int n, int seasonal, int period, int *lag)
{
    int count = 0;
    for (int j = 0; j <= seasonal; j++) {
        for (int i = 0; i <= n; i++) {
            if (i + j > 0) {
                lag[count++] = i + j * period;
            }
        }
    }
    return count;
}

// 1 - (1 - B)^d (1 - B^s)^D by its nonzero coefficients.
static void lost_lags(fr_arima_problem *m, double *poly)
{
    const fr_arima_order *o = &m->order;
    memset(poly, 0, (size_t)(m->lost + 1) * sizeof *poly);
    poly[0] = 1;
    for (int i = 0; i < o->d + o->D; i++) {
        int step = i < o->d ? 1 : o->period;
        for (int k = m->lost; k >= step; k--) {
            poly[k] -= poly[k - step];
        }
    }
    m->lost_lags = 0;
    for (int k = 1; k <= m->lost; k++) {
        if (poly[k] != 0) {
            m->lost_lag[m->lost_lags] = k;
            m->lost_weight[m->lost_lags++] = -poly[k];
        }
    }
}

void fr_arima_shape(fr_arima_problem *m)
{
    fr_arima_order *o = &m->order;
    if (o->P + o->D + o->Q == 0) {
        o->period = 0;
    }
    m->ar = o->p + o->P * o->period;
    m->ma = o->q + o->Q * o->period;
    m->r = FR_MAX(m->ar, m->ma + 1);
    m->params = o->p + o->q + o->P + o->Q;
    m->ar_lags = nonzero_lags(o->p, o->P, o->period, m->ar_lag);
    m->ma_lags = nonzero_lags(o->q, o->Q, o->period, m->ma_lag);
    m->lost = o->d + o->D * o->period;
    double *poly = fr_alloc(((size_t)m->lost + 1) * sizeof *poly);
    lost_lags(m, poly);
    fr_free(poly);
}

// In place; returns the new length.
static int64_t difference(const fr_arima_order *o, double *x, int64_t n)
{
    for (int i = 0; i < o->d + o->D; i++) {
        int64_t step = i < o->D ? o->period : 1;
        n -= step;
        for (int64_t t = 0; t < n; t++) {
            x[t] = x[t + step] - x[t];
        }
    }
    return n;
}

// The regressors of one fit: constant or drift first, then the user's columns, in levels.
typedef struct columns {
    size_t count, bytes;
    int64_t n, rows;                       // rows: differenced values without a gap
    double *levels, *differences, *target; // count x n, count x rows, rows
    const char *names[2];
} columns;

static void fill_levels(columns *c, const fr_series_data *data, bool constant, bool drift,
                        int64_t first)
{
    size_t k = 0;
    for (int64_t t = 0; t < c->n && (constant || drift); t++) {
        c->levels[t] = constant ? 1 : (double)t;
    }
    k += constant || drift;
    for (size_t j = 0; j < data->exogs; j++, k++) {
        memcpy(c->levels + k * (size_t)c->n, data->exog[j] + first,
               (size_t)c->n * sizeof *c->levels);
    }
}

// Differences of y and the regressors at the times where y's difference exists.
static void fill_differences(columns *c, const fr_arima_problem *m, const double *y,
                             double *work)
{
    size_t n = (size_t)c->n;
    memcpy(work, y, n * sizeof *work);
    int64_t length = difference(&m->order, work, c->n);
    c->rows = 0;
    for (int64_t t = 0; t < length; t++) {
        if (!isnan(work[t])) {
            c->target[c->rows++] = work[t];
        }
    }
    double *diff = work + n;
    for (size_t k = 0; k < c->count; k++) {
        memcpy(diff, c->levels + k * n, n * sizeof *diff);
        (void)difference(&m->order, diff, c->n);
        double *to = c->differences + k * n;
        for (int64_t t = 0; t < length; t++) {
            if (!isnan(work[t])) {
                *to++ = diff[t];
            }
        }
    }
}

static double dot(const double *a, const double *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += a[i] * b[i];
    }
    return sum;
}

// Gram-Schmidt, twice, on the differenced regressors; rotation turns levels the same way.
// Returns the first column that the ones before it explain, or count.
static size_t rotate(columns *c, double *rotation)
{
    size_t count = c->count, n = (size_t)c->n;
    memset(rotation, 0, count * count * sizeof *rotation);
    for (size_t k = 0; k < count; k++) {
        double *x = c->differences + k * n, *mine = rotation + k;
        rotation[k * count + k] = 1;
        double before = sqrt(dot(x, x, c->rows));
        for (int again = 0; again < 2; again++) {
            for (size_t j = 0; j < k; j++) {
                const double *q = c->differences + j * n;
                double h = dot(q, x, c->rows);
                for (int64_t t = 0; t < c->rows; t++) {
                    x[t] -= h * q[t];
                }
                for (size_t i = 0; i <= j; i++) {
                    mine[i * count] -= h * rotation[i * count + j];
                }
            }
        }
        double norm = sqrt(dot(x, x, c->rows));
        if (!(norm > 1e-10 * before) || !isfinite(norm)) {
            return k;
        }
        for (int64_t t = 0; t < c->rows; t++) {
            x[t] /= norm;
        }
        for (size_t i = 0; i <= k; i++) {
            mine[i * count] /= norm;
        }
    }
    return count;
}

static const char *column_name(const fr_series_data *data, size_t lead, bool drift,
                               size_t k)
{
    return k < lead ? drift ? "drift" : "const" : data->exog_names[k - lead];
}

// offset = OLS coefficients (in the user's units); the residual sum of squares on return.
static double least_squares(const columns *c, const double *rotation, double *offset)
{
    size_t count = c->count, n = (size_t)c->n;
    memset(offset, 0, count * sizeof *offset);
    for (size_t k = 0; k < count; k++) {
        const double *q = c->differences + k * n;
        double h = dot(q, c->target, c->rows);
        for (int64_t t = 0; t < c->rows; t++) {
            c->target[t] -= h * q[t];
        }
        for (size_t i = 0; i <= k; i++) {
            offset[i] += rotation[i * count + k] * h;
        }
    }
    return dot(c->target, c->target, c->rows);
}

// The series of the filter: y less its fit, and the rotated regressors; differenced
// unless there are gaps.
static int fill_series(fr_arima_problem *m, const columns *c, const double *y,
                       const fr_arima_design *d, fr_err *err)
{
    size_t n = (size_t)c->n, count = c->count;
    m->series = count + 1;
    m->data = fr_zalloc(m->series * sizeof *m->data);
    double *at = fr_try_alloc(m->series * n * sizeof *at);
    if (at == NULL) {
        return fr_fail(err, FR_ENOMEM, "arima: no memory for %zu series", m->series);
    }
    for (size_t s = 0; s < m->series; s++, at += n) {
        m->data[s] = at;
        for (size_t t = 0; t < n; t++) {
            double sum = s == 0 ? y[t] : 0;
            for (size_t i = 0; i < count; i++) {
                double weight = s == 0 ? -d->offset[i] : d->rotation[i * count + s - 1];
                sum += weight * c->levels[i * n + t];
            }
            at[t] = sum;
        }
        m->n = m->gaps ? c->n : difference(&m->order, at, c->n);
    }
    return FR_OK;
}

static int count_used(fr_arima_problem *m, fr_err *err)
{
    int64_t t = 0;
    if (m->gaps) {
        for (int64_t run = 0; run < m->lost && t < m->n; t++) {
            run = isnan(m->data[0][t]) ? 0 : run + 1;
        }
    }
    m->used = 0;
    for (; t < m->n; t++) {
        m->used += !isnan(m->data[0][t]);
    }
    int64_t needed = m->params + (int64_t)m->series + 1;
    if (m->used < needed) {
        return fr_fail(
            err, FR_EINVAL,
            "arima: %lld usable values are too few for %d parameters%s: at least %lld "
            "are needed",
            (long long)m->used, m->params + (int)m->series,
            m->gaps && m->lost > 0 ? " (differencing starts at the first stretch "
                                     "without a gap)"
            : m->lost > 0          ? " after differencing"
                                   : "",
            (long long)needed);
    }
    return FR_OK;
}

static int check_data(const fr_series_data *data, int64_t *first, int64_t *observed,
                      fr_err *err)
{
    *first = data->n;
    *observed = 0;
    for (int64_t t = 0; t < data->n; t++) {
        if (isinf(data->y[t])) {
            return fr_fail(err, FR_EINVAL, "arima: row %lld of the series is infinite",
                           (long long)t + 1);
        }
        if (!isnan(data->y[t])) {
            *first = *first < t ? *first : t;
            ++*observed;
        }
    }
    for (size_t j = 0; j < data->exogs; j++) {
        for (int64_t t = 0; t < data->n; t++) {
            if (!isfinite(data->exog[j][t])) {
                return fr_fail(
                    err, FR_EINVAL,
                    "arima: row %lld of regressor \"%s\" is missing or not finite; fill "
                    "it first",
                    (long long)t + 1, data->exog_names[j]);
            }
        }
    }
    return *observed > 0 ? FR_OK
                         : fr_fail(err, FR_EINVAL, "arima: the series has no value");
}

static int regress(fr_arima_problem *m, columns *c, const fr_series_data *data,
                   size_t lead, bool drift, fr_arima_design *d, fr_err *err)
{
    if (c->rows <= (int64_t)c->count) {
        return fr_fail(
            err, FR_EINVAL, "arima: %lld usable values%s are too few for %zu regressors",
            (long long)c->rows, m->lost > 0 ? " after differencing" : "", c->count);
    }
    size_t bad = rotate(c, d->rotation);
    if (bad < c->count) {
        return fr_fail(
            err, FR_EINVAL,
            "arima: regressor \"%s\" is constant%s or a combination of those before it",
            column_name(data, lead, drift, bad),
            m->lost > 0 ? " after differencing" : "");
    }
    double total = dot(c->target, c->target, c->rows);
    double rest = least_squares(c, d->rotation, d->offset);
    if (!(rest > 1e-24 * total)) {
        return fr_fail(
            err, FR_EINVAL, "arima: the series%s is %s: nothing is left to model",
            m->lost > 0 ? ", differenced," : "",
            c->count > lead ? "explained completely by the regressors" : "constant");
    }
    return FR_OK;
}

int fr_arima_problem_new(const fr_arima_spec *spec, const fr_series_data *data,
                         fr_arima_problem *m, fr_arima_design *design, fr_err *err)
{
    *m = (fr_arima_problem){.order = spec->order};
    *design = (fr_arima_design){0};
    int64_t first, observed;
    int rc = fr_arima_check(spec, err);
    rc = rc == FR_OK ? check_data(data, &first, &observed, err) : rc;
    if (rc != FR_OK) {
        return rc;
    }
    fr_arima_shape(m);
    bool drift = spec->trend == FR_ARIMA_DRIFT;
    bool constant = spec->trend == FR_ARIMA_CONSTANT ||
                    (spec->trend == FR_ARIMA_AUTO && m->order.d + m->order.D == 0);
    size_t lead = constant || drift;
    columns c = {.count = lead + data->exogs, .n = data->n - first};
    m->gaps = observed < c.n;
    design->regressors = c.count;
    design->first = first;
    design->constant = constant;
    design->drift = drift;
    if (c.n <= m->lost) {
        return fr_fail(err, FR_EINVAL,
                       "arima: %lld values, differencing alone uses up %d",
                       (long long)c.n, m->lost);
    }
    design->rotation = fr_zalloc((c.count * c.count + c.count + 1) * sizeof(double));
    design->offset = design->rotation + c.count * c.count;
    size_t n = (size_t)c.n;
    double *memory = fr_try_alloc((2 * c.count + 3) * n * sizeof *memory);
    if (memory == NULL) {
        return fr_fail(err, FR_ENOMEM, "arima: no memory for %zu rows", n);
    }
    c.levels = memory;
    c.differences = c.levels + c.count * n;
    c.target = c.differences + c.count * n;
    fill_levels(&c, data, constant, drift, first);
    fill_differences(&c, m, data->y + first, c.target + n);
    rc = regress(m, &c, data, lead, drift, design, err);
    rc = rc == FR_OK ? fill_series(m, &c, data->y + first, design, err) : rc;
    rc = rc == FR_OK ? count_used(m, err) : rc;
    fr_free(memory);
    return rc;
}

void fr_arima_problem_fini(fr_arima_problem *m, fr_arima_design *design)
{
    if (m->data != NULL) {
        fr_free(m->data[0]);
        fr_free(m->data);
        m->data = NULL;
    }
    fr_free(design->rotation);
    design->rotation = NULL;
}
