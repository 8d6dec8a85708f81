// The algorithm and its parameters are those of the authors' Fortran (netlib a/stl), which
// R and statsmodels use too, so that results agree to rounding.
#include "core/ml/stl.h"

#include "core/base/cancel.h"
#include "core/base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROBUST_ROUNDS = 15, MSTL_ROUNDS = 2, MSTL_WINDOW = 11, MSTL_WINDOW_STEP = 4 };

typedef struct loess {
    int64_t window;
    int degree;
    int64_t jump;
} loess;

// Weights of rows [left, right] (1-based) around x; false when all are 0.
static bool loess_at(const loess *f, const double *y, int64_t n, double x, int64_t left,
                     int64_t right, const double *user, double *w, double *out)
{
    double h = FR_MAX(x - (double)left, (double)right - x), sum = 0;
    if (f->window > n) {
        h += (double)((f->window - n) / 2);
    }
    for (int64_t j = left; j <= right; j++) {
        double r = fabs((double)j - x);
        w[j - 1] = 0;
        if (r <= 0.999 * h) {
            double q = r / h, c = 1 - q * q * q;
            w[j - 1] = r <= 0.001 * h ? 1 : c * c * c;
            w[j - 1] *= user == NULL ? 1 : user[j - 1];
            sum += w[j - 1];
        }
    }
    if (!(sum > 0)) {
        return false;
    }
    double mean = 0, spread = 0;
    for (int64_t j = left; j <= right; j++) {
        w[j - 1] /= sum;
        mean += w[j - 1] * (double)j;
    }
    if (h > 0 && f->degree > 0) {
        for (int64_t j = left; j <= right; j++) {
            spread += w[j - 1] * ((double)j - mean) * ((double)j - mean);
        }
        if (sqrt(spread) > 0.001 * (double)(n - 1)) {
            double slope = (x - mean) / spread;
            for (int64_t j = left; j <= right; j++) {
                w[j - 1] *= slope * ((double)j - mean) + 1;
            }
        }
    }
    double value = 0;
    for (int64_t j = left; j <= right; j++) {
        value += w[j - 1] * y[j - 1];
    }
    *out = value;
    return true;
}

// The rows that weigh at row i (1-based).
static void loess_window(const loess *f, int64_t n, int64_t i, int64_t *left,
                         int64_t *right)
{
    int64_t half = (f->window + 1) / 2;
    if (f->window >= n) {
        *left = 1;
        *right = n;
    } else if (i < half) {
        *left = 1;
        *right = f->window;
    } else if (i >= n - half + 1) {
        *left = n - f->window + 1;
        *right = n;
    } else {
        *left = i - half + 1;
        *right = f->window + i - half;
    }
}

static void fill_line(double *out, int64_t from, int64_t to) // between two rows, 0-based
{
    double step = (out[to] - out[from]) / (double)(to - from);
    for (int64_t j = from + 1; j < to; j++) {
        out[j] = out[from] + step * (double)(j - from);
    }
}

// Smooths y[n]: fits every `jump` rows, lines between.
static void loess_all(const loess *f, const double *y, int64_t n, const double *user,
                      double *w, double *out)
{
    if (n < 2) {
        out[0] = y[0];
        return;
    }
    int64_t jump = FR_MIN(f->jump, n - 1), left, right, last = 0;
    for (int64_t i = 1; i <= n; i += jump) {
        loess_window(f, n, i, &left, &right);
        if (!loess_at(f, y, n, (double)i, left, right, user, w, &out[i - 1])) {
            out[i - 1] = y[i - 1];
        }
        if (i > 1) {
            fill_line(out, last, i - 1);
        }
        last = i - 1;
    }
    if (last != n - 1) {
        loess_window(f, n, n, &left, &right);
        if (!loess_at(f, y, n, (double)n, left, right, user, w, &out[n - 1])) {
            out[n - 1] = y[n - 1];
        }
        fill_line(out, last, n - 1);
    }
}

static void moving_average(const double *x, int64_t n, int64_t length, double *out)
{
    double sum = 0;
    for (int64_t i = 0; i < length; i++) {
        sum += x[i];
    }
    out[0] = sum / (double)length;
    for (int64_t i = length; i < n; i++) {
        sum += x[i] - x[i - length];
        out[i - length + 1] = sum / (double)length;
    }
}

typedef struct work { // memory of one decomposition
    double *cycle, *detrended, *low, *part, *smooth, *part_weights, *w, *weights, *rest;
} work;

// The season of each place in the period is smoothed by itself, one row beyond each end:
// cycle[n + 2 period].
static void smooth_cycles(const loess *f, int period, const double *y, int64_t n,
                          const double *user, work *k)
{
    for (int64_t j = 0; j < period; j++) {
        int64_t m = (n - j - 1) / period + 1;
        for (int64_t i = 0; i < m; i++) {
            k->part[i] = y[i * period + j];
            if (user != NULL) {
                k->part_weights[i] = user[i * period + j];
            }
        }
        const double *weights = user == NULL ? NULL : k->part_weights;
        loess_all(f, k->part, m, weights, k->w, k->smooth + 1);
        int64_t right = FR_MIN(f->window, m), left = FR_MAX(1, m - f->window + 1);
        if (!loess_at(f, k->part, m, 0, 1, right, weights, k->w, &k->smooth[0])) {
            k->smooth[0] = k->smooth[1];
        }
        if (!loess_at(f, k->part, m, (double)(m + 1), left, m, weights, k->w,
                      &k->smooth[m + 1])) {
            k->smooth[m + 1] = k->smooth[m];
        }
        for (int64_t i = 0; i < m + 2; i++) {
            k->cycle[i * period + j] = k->smooth[i];
        }
    }
}

typedef struct plan {
    int period;
    loess season, trend, low;
    int inner, outer;
} plan;

static void inner_round(const plan *p, const double *y, int64_t n, const double *user,
                        double *season, double *trend, work *k)
{
    int64_t wide = n + 2 * (int64_t)p->period;
    for (int64_t i = 0; i < n; i++) {
        k->detrended[i] = y[i] - trend[i];
    }
    smooth_cycles(&p->season, p->period, k->detrended, n, user, k);
    moving_average(k->cycle, wide, p->period, k->low);
    moving_average(k->low, wide - p->period + 1, p->period, k->rest);
    moving_average(k->rest, n + 2, 3, k->low);
    loess_all(&p->low, k->low, n, NULL, k->w, k->rest);
    for (int64_t i = 0; i < n; i++) {
        season[i] = k->cycle[p->period + i] - k->rest[i];
        k->detrended[i] = y[i] - season[i];
    }
    loess_all(&p->trend, k->detrended, n, user, k->w, trend);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// Bisquare weights of what season and trend leave.
static void weigh(const double *y, int64_t n, const double *season, const double *trend,
                  work *k)
{
    double *r = k->rest;
    for (int64_t i = 0; i < n; i++) {
        r[i] = fabs(y[i] - season[i] - trend[i]);
        k->weights[i] = r[i];
    }
    qsort(r, (size_t)n, sizeof *r, by_value);
    double limit = 3 * (r[n / 2] + r[n - n / 2 - 1]);
    for (int64_t i = 0; i < n; i++) {
        double v = k->weights[i], q = v / limit;
        k->weights[i] = v <= 0.001 * limit   ? 1
                        : v <= 0.999 * limit ? (1 - q * q) * (1 - q * q)
                                             : 0;
    }
}

static int64_t odd_above(double v)
{
    int64_t k = (int64_t)ceil(v);
    return k % 2 == 0 ? k + 1 : k;
}

static loess smoother(int64_t window, int degree, int jump)
{
    return (loess){window, degree, jump > 0 ? jump : (window + 9) / 10};
}

static plan make_plan(const fr_stl_spec *s, int64_t n)
{
    bool same = s->season_window == 0;
    int64_t season = same ? 10 * n + 1 : s->season_window;
    double wanted = 1.5 * s->period / (1 - 1.5 / (double)season);
    int64_t trend = s->trend_window > 0 ? s->trend_window : odd_above(wanted);
    int64_t low = s->low_window > 0 ? s->low_window : odd_above(s->period);
    plan p = {.period = s->period};
    p.season = smoother(season, same ? 0 : s->season_degree, s->season_jump);
    p.trend = smoother(trend, s->trend_degree, s->trend_jump);
    p.low = smoother(low, s->low_degree, s->low_jump);
    p.inner = s->inner > 0 ? s->inner : s->robust ? 1 : 2;
    p.outer = s->outer > 0 ? s->outer : s->robust ? ROBUST_ROUNDS : 0;
    return p;
}

// A season that is the same all over: the mean of each place in the period.
static void make_periodic(int period, int64_t n, double *season)
{
    for (int64_t j = 0; j < period && j < n; j++) {
        double sum = 0;
        int64_t count = 0;
        for (int64_t i = j; i < n; i += period, count++) {
            sum += season[i];
        }
        for (int64_t i = j; i < n; i += period) {
            season[i] = sum / (double)count;
        }
    }
}

static int run(const plan *p, const double *y, int64_t n, double *season, double *trend,
               work *k, fr_err *err)
{
    const double *user = NULL;
    for (int64_t i = 0; i < n; i++) {
        trend[i] = 0;
        k->weights[i] = 1;
    }
    for (int round = 0; round <= p->outer; round++) {
        for (int i = 0; i < p->inner; i++) {
            if (fr_cancelled()) {
                return fr_fail(err, fr_cancel_code(), "the decomposition was stopped");
            }
            inner_round(p, y, n, user, season, trend, k);
        }
        if (round < p->outer) {
            weigh(y, n, season, trend, k);
            user = k->weights;
        }
    }
    return FR_OK;
}

static int check(const fr_stl_spec *s, int64_t n, fr_err *err)
{
    if (s->period < 2 || n < 2 * (int64_t)s->period) {
        return fr_fail(err, FR_EINVAL,
                       "a season of %d needs a period of 2 or more and at least %lld rows, "
                       "got %lld",
                       s->period, 2LL * s->period, (long long)n);
    }
    const int windows[] = {s->season_window, s->trend_window, s->low_window};
    static const char *const names[] = {"season", "trend", "low-pass"};
    for (size_t i = 0; i < FR_COUNT(windows); i++) {
        if (windows[i] != 0 && (windows[i] < 3 || windows[i] % 2 == 0)) {
            return fr_fail(err, FR_EINVAL,
                           "the %s window must be an odd number from 3 up, got %d",
                           names[i], windows[i]);
        }
    }
    return FR_OK;
}

int fr_stl(const fr_stl_spec *spec, const double *y, int64_t n, double *season,
           double *trend, double *weights, fr_err *err)
{
    int rc = check(spec, n, err);
    if (rc != FR_OK) {
        return rc;
    }
    plan p = make_plan(spec, n);
    size_t wide = (size_t)n + 2 * (size_t)spec->period;
    double *memory = fr_try_alloc(9 * wide * sizeof *memory);
    if (memory == NULL) {
        return fr_fail(err, FR_ENOMEM, "no memory for %lld rows", (long long)n);
    }
    work k = {memory,            memory + wide,     memory + 2 * wide,
              memory + 3 * wide, memory + 4 * wide, memory + 5 * wide,
              memory + 6 * wide, memory + 7 * wide, memory + 8 * wide};
    rc = run(&p, y, n, season, trend, &k, err);
    if (rc == FR_OK && spec->season_window == 0) {
        make_periodic(spec->period, n, season);
    }
    if (weights != NULL) {
        memcpy(weights, k.weights, (size_t)n * sizeof *weights);
    }
    fr_free(memory);
    return rc;
}

int fr_mstl_split(const int *periods, size_t count, const int *windows, bool robust,
                  const double *y, int64_t n, double *season, double *trend, fr_err *err)
{
    double *left = fr_try_alloc((size_t)n * sizeof *left + 1);
    if (left == NULL) {
        return fr_fail(err, FR_ENOMEM, "no memory for %lld rows", (long long)n);
    }
    memcpy(left, y, (size_t)n * sizeof *left);
    memset(season, 0, count * (size_t)n * sizeof *season);
    int rc = FR_OK;
    for (size_t round = 0; round < (count > 1 ? MSTL_ROUNDS : 1) * count; round++) {
        size_t k = round % count;
        double *s = season + (int64_t)k * n;
        for (int64_t i = 0; i < n; i++) {
            left[i] += s[i];
        }
        fr_stl_spec spec = {
            .period = periods[k],
            .season_window = windows != NULL ? windows[k]
                                             : MSTL_WINDOW + MSTL_WINDOW_STEP * (int)k,
            .trend_degree = 1,
            .low_degree = 1,
            .robust = robust,
        };
        rc = fr_stl(&spec, left, n, s, trend, NULL, err);
        for (int64_t i = 0; i < n && rc == FR_OK; i++) {
            left[i] -= s[i];
        }
        if (rc != FR_OK) {
            break;
        }
    }
    fr_free(left);
    return rc;
}

void fr_stl_figure(const double *y, int64_t n, int period, bool times, double *figure)
{
    int64_t half = period / 2;
    bool even = period % 2 == 0;
    double total = 0;
    for (int64_t j = 0; j < period; j++) {
        double sum = 0;
        int64_t count = 0;
        for (int64_t t = j; t < n; t += period) {
            if (t < half || t + half >= n) {
                continue;
            }
            double trend = even ? -(y[t - half] + y[t + half]) / 2 : 0;
            for (int64_t k = t - half; k <= t + half; k++) {
                trend += y[k];
            }
            trend /= period;
            sum += times ? y[t] / trend : y[t] - trend;
            count++;
        }
        figure[j] = count > 0 ? sum / (double)count : times;
        total += figure[j];
    }
    for (int64_t j = 0; j < period; j++) {
        figure[j] = times ? figure[j] * period / total : figure[j] - total / period;
    }
}

void fr_stl_fill(const double *y, int64_t n, double *out)
{
    int64_t last = -1;
    for (int64_t i = 0; i < n; i++) {
        out[i] = y[i];
        if (isnan(y[i])) {
            continue;
        }
        if (last < 0) {
            for (int64_t j = 0; j < i; j++) {
                out[j] = y[i];
            }
        } else if (i > last + 1) {
            fill_line(out, last, i);
        }
        last = i;
    }
    for (int64_t j = last + 1; j < n; j++) {
        out[j] = last < 0 ? 0 : y[last];
    }
}
