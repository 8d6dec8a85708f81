#include "core/ml/boost_loss.h"

#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/ml/boost_grow.h"
#include "core/ml/kernel_logistic.h"
#include "core/ml/order.h"
#include "core/ml/special.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_ROWS = 1 << 14 };

static const double LEAST_SHARE = 1e-15; // of a probability in a logarithm

// ---- quantiles

typedef struct weighted {
    double value, weight;
} weighted;

static int by_value(const void *a, const void *b)
{
    double x = ((const weighted *)a)->value, y = ((const weighted *)b)->value;
    return (x > y) - (x < y);
}

// The least value with at least `at` of the weight at or below it.
static double weighted_quantile(const double *value, const double *weight, size_t n,
                                double at)
{
    weighted *list = fr_alloc(n * sizeof *list);
    double all = 0, sum = 0;
    for (size_t i = 0; i < n; i++) {
        list[i] = (weighted){value[i], weight[i]};
        all += weight[i];
    }
    qsort(list, n, sizeof *list, by_value);
    size_t i = 0;
    for (; i + 1 < n; i++) {
        sum += list[i].weight;
        if (sum >= at * all && sum > 0) {
            break;
        }
    }
    double v = list[i].value;
    fr_free(list);
    return v;
}

double fr_boost_quantile(double *value, const double *weight, size_t n, double at)
{
    if (n == 0) {
        return 0;
    }
    if (weight != NULL) {
        return weighted_quantile(value, weight, n, at);
    }
    uint64_t *keys = fr_alloc(2 * n * sizeof *keys);
    for (size_t i = 0; i < n; i++) {
        keys[i] = fr_order_key64(value[i]);
    }
    uint64_t *sorted = fr_order_sort(keys, keys + n, n, 0);
    double place = at * (double)(n - 1);
    size_t below = (size_t)place, above = FR_MIN(below + 1, n - 1);
    double a = fr_order_value64(sorted[below]), b = fr_order_value64(sorted[above]);
    fr_free(keys);
    return a + (b - a) * (place - (double)below);
}

float fr_boost_renewed(const fr_boost_rows *r, const fr_boost_options *o,
                       const uint64_t *list, size_t n)
{
    double *value = fr_alloc((2 * n + 1) * sizeof *value), *weight = NULL;
    if (r->share != NULL) {
        weight = value + n;
    }
    for (size_t i = 0; i < n; i++) {
        size_t row = (uint32_t)list[i];
        value[i] = r->number[row] - r->raw[row];
        if (weight != NULL) {
            weight[i] = r->share[row];
        }
    }
    double v = fr_boost_quantile(value, weight, n, r->renew);
    fr_free(value);
    return (float)(o->learning_rate * v);
}

// ---- the start

static size_t counted(const fr_boost_truth *t)
{
    return t->train != NULL ? t->train_count : t->rows;
}

static size_t nth(const fr_boost_truth *t, size_t i)
{
    return t->train != NULL ? t->train[i] : i;
}

static double weight_of(const fr_boost_truth *t, size_t row)
{
    return t->weight != NULL ? t->weight[row] : 1;
}

static int base_of_classes(const fr_boost_truth *t, double *base, fr_err *err)
{
    size_t classes = t->y->classes;
    double *sum = fr_zalloc(classes * sizeof *sum), all = 0;
    for (size_t i = 0; i < counted(t); i++) {
        double w = weight_of(t, nth(t, i));
        sum[t->y->code[nth(t, i)]] += w;
        all += w;
    }
    int rc = FR_OK;
    for (size_t k = 0; k < classes && rc == FR_OK; k++) {
        if (!(sum[k] > 0)) {
            rc = fr_fail(err, FR_EINVAL,
                         "gradient boosting: class %zu of %zu has no weight", k + 1,
                         classes);
        }
    }
    if (rc == FR_OK && t->loss == FR_LOSS_LOG) {
        base[0] = fr_special_log(sum[1] / sum[0]);
    }
    for (size_t k = 0; k < classes && rc == FR_OK && t->loss == FR_LOSS_SOFTMAX; k++) {
        base[k] = fr_special_log(sum[k] / all);
    }
    fr_free(sum);
    return rc;
}

static int base_of_quantile(const fr_boost_truth *t, double *base, fr_err *err)
{
    size_t n = counted(t);
    double *value = fr_try_alloc((2 * n + 1) * sizeof *value);
    if (value == NULL) {
        return fr_fail(err, FR_ENOMEM, "no memory for %zu rows", n);
    }
    for (size_t i = 0; i < n; i++) {
        value[i] = t->y->number[nth(t, i)];
        value[n + i] = weight_of(t, nth(t, i));
    }
    double at = t->loss == FR_LOSS_ABSOLUTE ? 0.5 : t->quantile;
    base[0] = fr_boost_quantile(value, t->weight != NULL ? value + n : NULL, n, at);
    fr_free(value);
    return FR_OK;
}

// Whether the score is the logarithm of the mean.
static bool is_log(fr_boost_loss loss)
{
    return loss == FR_LOSS_POISSON || loss == FR_LOSS_TWEEDIE;
}

// Squares and sums of targets must stay finite.
static const double TARGET_MOST = 1e150;

static int check_sizes(const fr_boost_truth *t, fr_err *err)
{
    for (size_t i = 0; i < t->rows; i++) {
        if (fabs(t->y->number[i]) > TARGET_MOST) {
            return fr_fail(err, FR_EINVAL,
                           "the target is %g in row %zu, expected at most %g: scale it",
                           t->y->number[i], i + 1, TARGET_MOST);
        }
    }
    return FR_OK;
}

int fr_boost_base(const fr_boost_truth *t, double *base, fr_err *err)
{
    if (t->loss == FR_LOSS_LOG || t->loss == FR_LOSS_SOFTMAX) {
        return base_of_classes(t, base, err);
    }
    if (t->loss == FR_LOSS_ABSOLUTE || t->loss == FR_LOSS_QUANTILE) {
        return base_of_quantile(t, base, err);
    }
    int rc = check_sizes(t, err);
    if (rc != FR_OK) {
        return rc;
    }
    double sum = 0, weight = 0;
    for (size_t i = 0; i < counted(t); i++) {
        double y = t->y->number[nth(t, i)], w = weight_of(t, nth(t, i));
        if (is_log(t->loss) && y < 0) {
            return fr_fail(err, FR_EINVAL,
                           "loss = \"%s\" needs %s, the target is %g in row %zu",
                           t->loss == FR_LOSS_POISSON ? "poisson" : "tweedie",
                           t->loss == FR_LOSS_POISSON ? "counts" : "numbers of 0 or more",
                           y, nth(t, i) + 1);
        }
        sum += w * y;
        weight += w;
    }
    base[0] = sum / weight;
    if (is_log(t->loss)) {
        if (!(sum > 0)) {
            return fr_fail(err, FR_EINVAL, "loss = \"%s\": the target is 0 everywhere",
                           t->loss == FR_LOSS_POISSON ? "poisson" : "tweedie");
        }
        base[0] = fr_special_log(base[0]);
    }
    return FR_OK;
}

// ---- gradients

typedef struct gradient_job {
    const fr_boost_truth *t;
    const double *raw;
    double *g, *h;                 // scratch
    double *top;                   // greatest |g| and h by chunk
    double gradient_by, hessian_by; // units as factors
    int32_t *gradient, *hessian;
} gradient_job;

static double sign_of(double v) { return (double)((v > 0) - (v < 0)); }

// Gradient and hessian of one row with one score.
static void one_output(const fr_boost_truth *t, size_t i, double raw, double *g, double *h)
{
    double w = weight_of(t, i), e;
    *h = w;
    switch (t->loss) {
    case FR_LOSS_SQUARED:
        *g = w * (t->y->number[i] - raw);
        break;
    case FR_LOSS_ABSOLUTE:
        *g = w * sign_of(t->y->number[i] - raw);
        break;
    case FR_LOSS_QUANTILE:
        *g = w * (t->y->number[i] > raw ? t->quantile : t->quantile - 1);
        break;
    case FR_LOSS_POISSON:
        e = fr_special_exp(raw);
        *g = w * (t->y->number[i] - e);
        *h = w * e;
        break;
    case FR_LOSS_TWEEDIE: // of -y e^((1-p) s) / (1-p) + e^((2-p) s) / (2-p)
        e = t->y->number[i] * fr_special_exp((1 - t->power) * raw);
        *h = fr_special_exp((2 - t->power) * raw);
        *g = w * (e - *h);
        *h = w * ((t->power - 1) * e + (2 - t->power) * *h);
        break;
    case FR_LOSS_LOG:
    case FR_LOSS_SOFTMAX:
    default:
        e = 1 / (1 + fr_special_exp(-raw));
        *g = w * ((double)t->y->code[i] - e);
        *h = w * e * (1 - e);
    }
}

static void softmax_row(const double *raw, size_t outputs, size_t stride, double *p)
{
    double top = raw[0], sum = 0;
    for (size_t k = 1; k < outputs; k++) {
        top = FR_MAX(top, raw[k * stride]);
    }
    for (size_t k = 0; k < outputs; k++) {
        p[k] = fr_special_exp(raw[k * stride] - top);
        sum += p[k];
    }
    for (size_t k = 0; k < outputs; k++) {
        p[k] /= sum;
    }
}

static void gradient_chunk(void *ctx, size_t chunk)
{
    gradient_job *job = ctx;
    const fr_boost_truth *t = job->t;
    size_t n = t->rows, begin = chunk * CHUNK_ROWS, end = FR_MIN(n, begin + CHUNK_ROWS);
    double *p = fr_alloc(t->outputs * sizeof *p), top_g = 0, top_h = 0;
    for (size_t i = begin; i < end; i++) {
        if (t->loss == FR_LOSS_SOFTMAX) {
            softmax_row(job->raw + i, t->outputs, n, p);
        }
        for (size_t k = 0; k < t->outputs; k++) {
            double g, h, w = weight_of(t, i);
            if (t->loss == FR_LOSS_SOFTMAX) {
                g = w * ((t->y->code[i] == (int32_t)k) - p[k]);
                h = w * p[k] * (1 - p[k]);
            } else {
                one_output(t, i, job->raw[i], &g, &h);
            }
            job->g[k * n + i] = g;
            job->h[k * n + i] = h;
            top_g = FR_MAX(top_g, fabs(g));
            top_h = FR_MAX(top_h, h);
        }
    }
    job->top[2 * chunk] = top_g;
    job->top[2 * chunk + 1] = top_h;
    fr_free(p);
}

static void quantise_chunk(void *ctx, size_t chunk)
{
    gradient_job *job = ctx;
    size_t n = job->t->rows, begin = chunk * CHUNK_ROWS,
           end = FR_MIN(n, begin + CHUNK_ROWS);
    for (size_t k = 0; k < job->t->outputs; k++) {
        for (size_t i = k * n + begin; i < k * n + end; i++) {
            job->gradient[i] = (int32_t)floor(job->g[i] * job->gradient_by + 0.5);
            job->hessian[i] = (int32_t)floor(job->h[i] * job->hessian_by + 0.5);
        }
    }
}

// The power of two of which `top` is at most 2^bits.
static double unit_of(double top, int bits)
{
    int exponent = 0;
    if (!(top > 0x1p-900) || isinf(top)) { // of less the factor would be infinite
        return 1;
    }
    (void)frexp(top, &exponent);
    return ldexp(1, exponent - bits);
}

static void plain_chunk(void *ctx, size_t chunk)
{
    gradient_job *job = ctx;
    const fr_boost_truth *t = job->t;
    size_t at = chunk * CHUNK_ROWS, n = FR_MIN(t->rows - at, CHUNK_ROWS);
    if (job->gradient_by == 1 / FR_BOOST_COARSE) {
        fr_logistic_gradients_float(job->raw + at, t->y->code + at, n, job->gradient + at,
                                    job->hessian + at);
    } else {
        fr_logistic_gradients(job->raw + at, t->y->code + at, n, job->gradient_by,
                              job->gradient + at, job->hessian + at);
    }
}

int fr_boost_gradients(const fr_boost_truth *t, const double *raw, int bits,
                       double *scratch, int32_t *gradient, int32_t *hessian,
                       fr_boost_units *unit)
{
    size_t chunks = (t->rows + CHUNK_ROWS - 1) / CHUNK_ROWS;
    gradient_job job = {.t = t, .raw = raw, .gradient = gradient, .hessian = hessian};
    if (t->loss == FR_LOSS_LOG && t->weight == NULL) {
        unit->gradient = unit->hessian = ldexp(1, -bits);
        job.gradient_by = ldexp(1, bits);
        return fr_pool_run(chunks, plain_chunk, &job);
    }
    job.g = scratch;
    job.h = scratch + t->outputs * t->rows;
    job.top = fr_alloc(2 * chunks * sizeof *job.top);
    int rc = fr_pool_run(chunks, gradient_chunk, &job);
    double top_g = 0, top_h = 0;
    for (size_t k = 0; k < chunks && rc == FR_OK; k++) {
        top_g = FR_MAX(top_g, job.top[2 * k]);
        top_h = FR_MAX(top_h, job.top[2 * k + 1]);
    }
    fr_free(job.top);
    unit->gradient = unit_of(top_g, FR_MIN(bits, 30));
    unit->hessian = unit_of(top_h, FR_MIN(bits, 30));
    job.gradient_by = 1 / unit->gradient;
    job.hessian_by = 1 / unit->hessian;
    return rc != FR_OK ? rc : fr_pool_run(chunks, quantise_chunk, &job);
}

// ---- losses and predictions

static double row_loss(const fr_boost_truth *t, const double *raw, size_t i, double *p)
{
    double v = raw[i], r;
    switch (t->loss) {
    case FR_LOSS_SOFTMAX:
        softmax_row(raw + i, t->outputs, t->rows, p);
        return -fr_special_log(FR_MAX(p[t->y->code[i]], LEAST_SHARE));
    case FR_LOSS_SQUARED:
        r = t->y->number[i] - v;
        return r * r / 2;
    case FR_LOSS_ABSOLUTE:
        return fabs(t->y->number[i] - v);
    case FR_LOSS_QUANTILE:
        r = t->y->number[i] - v;
        return r > 0 ? t->quantile * r : (t->quantile - 1) * r;
    case FR_LOSS_POISSON:
        return fr_special_exp(v) - t->y->number[i] * v;
    case FR_LOSS_TWEEDIE:
        r = t->power;
        return t->y->number[i] * fr_special_exp((1 - r) * v) / (r - 1) +
               fr_special_exp((2 - r) * v) / (2 - r);
    case FR_LOSS_LOG:
    default:
        r = t->y->code[i] == 1 ? -v : v; // log(1 + e^r), without overflow
        return FR_MAX(r, 0) + fr_special_log(1 + fr_special_exp(-fabs(r)));
    }
}

double fr_boost_mean_loss(const fr_boost_truth *t, const double *raw,
                          const uint32_t *rows, size_t n)
{
    double sum = 0, weight = 0;
    double *p = fr_alloc(t->outputs * sizeof *p);
    for (size_t i = 0; i < n; i++) {
        double w = weight_of(t, rows[i]);
        sum += w * row_loss(t, raw, rows[i], p);
        weight += w;
    }
    fr_free(p);
    return weight > 0 ? sum / weight : 0;
}

void fr_boost_link(fr_boost_loss loss, size_t outputs, double *raw, size_t n)
{
    if (loss == FR_LOSS_LOG) {
        fr_logistic(raw, raw, n);
    } else if (loss == FR_LOSS_SOFTMAX) {
        double *p = fr_alloc(outputs * sizeof *p);
        for (size_t i = 0; i < n; i++) {
            softmax_row(raw + i, outputs, n, p);
            for (size_t k = 0; k < outputs; k++) {
                raw[k * n + i] = p[k];
            }
        }
        fr_free(p);
    } else if (is_log(loss)) {
        for (size_t i = 0; i < n; i++) {
            raw[i] = fr_special_exp(raw[i]);
        }
    }
}
