#include "core/ml/numpy.h"

#include "core/base/cancel.h"

#include <math.h>

enum { HALF = 397, POLL = 1 << 14 };

void fr_numpy_init(fr_numpy *r, uint32_t seed)
{
    for (uint32_t i = 0; i < FR_NUMPY_WORDS; i++) {
        r->words[i] = seed;
        seed = 1812433253U * (seed ^ seed >> 30) + i + 1;
    }
    r->at = FR_NUMPY_WORDS;
    r->has_normal = false;
    r->normal = 0;
}

void fr_numpy_init_list(fr_numpy *r, const uint32_t *seeds, size_t n)
{
    fr_numpy_init(r, 19650218U);
    uint32_t *w = r->words;
    size_t i = 1, j = 0;
    for (size_t k = n > FR_NUMPY_WORDS ? n : FR_NUMPY_WORDS; k > 0; k--) {
        w[i] = (w[i] ^ (w[i - 1] ^ w[i - 1] >> 30) * 1664525U) + seeds[j] + (uint32_t)j;
        j = j + 1 == n ? 0 : j + 1;
        if (++i == FR_NUMPY_WORDS) {
            w[0] = w[FR_NUMPY_WORDS - 1];
            i = 1;
        }
    }
    for (size_t k = FR_NUMPY_WORDS - 1; k > 0; k--) {
        w[i] = (w[i] ^ (w[i - 1] ^ w[i - 1] >> 30) * 1566083941U) - (uint32_t)i;
        if (++i == FR_NUMPY_WORDS) {
            w[0] = w[FR_NUMPY_WORDS - 1];
            i = 1;
        }
    }
    w[0] = 0x80000000U;
}

static uint32_t twist(uint32_t upper, uint32_t lower, uint32_t far)
{
    uint32_t y = (upper & 0x80000000U) | (lower & 0x7fffffffU);
    return far ^ y >> 1 ^ ((0U - (y & 1)) & 0x9908b0dfU);
}

static void refill(fr_numpy *r)
{
    uint32_t *w = r->words;
    int i = 0;
    for (; i < FR_NUMPY_WORDS - HALF; i++) {
        w[i] = twist(w[i], w[i + 1], w[i + HALF]);
    }
    for (; i < FR_NUMPY_WORDS - 1; i++) {
        w[i] = twist(w[i], w[i + 1], w[i + HALF - FR_NUMPY_WORDS]);
    }
    w[i] = twist(w[i], w[0], w[HALF - 1]);
    r->at = 0;
}

uint32_t fr_numpy_u32(fr_numpy *r)
{
    if (r->at == FR_NUMPY_WORDS) {
        refill(r);
    }
    uint32_t y = r->words[r->at++];
    y ^= y >> 11;
    y ^= y << 7 & 0x9d2c5680U;
    y ^= y << 15 & 0xefc60000U;
    return y ^ y >> 18;
}

double fr_numpy_unit(fr_numpy *r)
{
    uint32_t a = fr_numpy_u32(r) >> 5, b = fr_numpy_u32(r) >> 6;
    return (a * 67108864.0 + b) / 9007199254740992.0;
}

static int cancelled(fr_err *err)
{
    return fr_fail(err, fr_cancel_code(), "random.numpy: stopped while drawing");
}

static int check_any(fr_random_arg a, size_t n, const char *what, fr_err *err)
{
    return fr_random_check(a, n, -HUGE_VAL, HUGE_VAL, what, err);
}

int fr_numpy_uniform(fr_numpy *r, fr_random_arg lo, fr_random_arg hi, double *out,
                     size_t n, fr_err *err)
{
    int rc = check_any(lo, n, "the lower bound", err);
    if (rc == FR_OK) {
        rc = check_any(hi, n, "the upper bound", err);
    }
    for (size_t i = 0; i < n && rc == FR_OK; i++) {
        if (i % POLL == 0 && fr_cancelled()) {
            return cancelled(err);
        }
        double a = fr_random_at(lo, i), range = fr_random_at(hi, i) - a;
        out[i] = a + range * fr_numpy_unit(r);
    }
    return rc;
}

// Marsaglia's polar method; the second value is kept for the next call.
static double standard_normal(fr_numpy *r)
{
    if (r->has_normal) {
        r->has_normal = false;
        return r->normal;
    }
    double x, y, square;
    do {
        x = 2.0 * fr_numpy_unit(r) - 1.0;
        y = 2.0 * fr_numpy_unit(r) - 1.0;
        square = x * x + y * y;
    } while (square >= 1.0 || square == 0.0);
    double f = sqrt(-2.0 * log(square) / square);
    r->normal = f * x;
    r->has_normal = true;
    return f * y;
}

int fr_numpy_normal(fr_numpy *r, fr_random_arg mean, fr_random_arg sd, double *out,
                    size_t n, fr_err *err)
{
    int rc = check_any(mean, n, "the mean", err);
    if (rc == FR_OK) {
        rc = fr_random_check(sd, n, 0, HUGE_VAL, "the standard deviation", err);
    }
    for (size_t i = 0; i < n && rc == FR_OK; i++) {
        if (i % POLL == 0 && fr_cancelled()) {
            return cancelled(err);
        }
        out[i] = fr_random_at(mean, i) + fr_random_at(sd, i) * standard_normal(r);
    }
    return rc;
}

int fr_numpy_exponential(fr_numpy *r, fr_random_arg scale, double *out, size_t n,
                         fr_err *err)
{
    int rc = fr_random_check(scale, n, 0, HUGE_VAL, "the scale", err);
    for (size_t i = 0; i < n && rc == FR_OK; i++) {
        if (i % POLL == 0 && fr_cancelled()) {
            return cancelled(err);
        }
        out[i] = fr_random_at(scale, i) * -log(1.0 - fr_numpy_unit(r));
    }
    return rc;
}

// Uniform in [0, top] by masked rejection: 32-bit words while the range fits them.
static uint64_t masked(fr_numpy *r, uint64_t top)
{
    uint64_t mask = top, v;
    for (int shift = 1; shift < 64; shift *= 2) {
        mask |= mask >> shift;
    }
    do {
        if (top <= 0xffffffffU) {
            v = fr_numpy_u32(r) & mask;
        } else {
            v = (uint64_t)fr_numpy_u32(r) << 32; // the first word is the high one
            v = (v | fr_numpy_u32(r)) & mask;
        }
    } while (v > top);
    return v;
}

int fr_numpy_integers(fr_numpy *r, int64_t lo, int64_t hi, int64_t *out, size_t n,
                      fr_err *err)
{
    if (lo >= hi) {
        return fr_fail(
            err, FR_EINVAL,
            "randint(%lld, %lld): no integer is >= the first and < the second bound",
            (long long)lo, (long long)hi);
    }
    uint64_t top = (uint64_t)hi - (uint64_t)lo - 1;
    for (size_t i = 0; i < n; i++) {
        if (i % POLL == 0 && fr_cancelled()) {
            return cancelled(err);
        }
        out[i] =
            (int64_t)((uint64_t)lo + (top == 0 ? 0 : masked(r, top))); // 1 value: no draw
    }
    return FR_OK;
}

// Sequential search; like numpy it starts anew ten standard deviations out.
static double binomial_search(fr_numpy *r, double n, double p)
{
    double q = 1.0 - p, start = exp(n * log(q)), np = n * p;
    double reach = np + 10.0 * sqrt(np * q + 1), bound = floor(n < reach ? n : reach);
    double k = 0, mass = start, u = fr_numpy_unit(r);
    while (u > mass) {
        k++;
        if (k > bound) {
            k = 0;
            mass = start;
            u = fr_numpy_unit(r);
        } else {
            u -= mass;
            mass = ((n - k + 1) * p * mass) / (k * q);
        }
    }
    return k;
}

// BTPE (Kachitvichyanukul and Schmeiser 1988): its constants for one (n, p), p <= 1/2.
typedef struct btpe {
    double n, r, q, mode, half, middle, left, right, c, lambda_left, lambda_right;
    double p2, p3, p4, variance;
} btpe;

static btpe btpe_of(double n, double p)
{
    btpe b = {.n = n, .r = p, .q = 1.0 - p};
    double fm = n * b.r + b.r;
    b.mode = floor(fm);
    b.half = floor(2.195 * sqrt(n * b.r * b.q) - 4.6 * b.q) + 0.5;
    b.middle = b.mode + 0.5;
    b.left = b.middle - b.half;
    b.right = b.middle + b.half;
    b.c = 0.134 + 20.5 / (15.3 + b.mode);
    double a = (fm - b.left) / (fm - b.left * b.r);
    b.lambda_left = a * (1.0 + a / 2.0);
    a = (b.right - fm) / (b.right * b.q);
    b.lambda_right = a * (1.0 + a / 2.0);
    b.p2 = b.half * (1.0 + 2.0 * b.c);
    b.p3 = b.p2 + b.c / b.lambda_left;
    b.p4 = b.p3 + b.c / b.lambda_right;
    b.variance = n * b.r * b.q;
    return b;
}

static double stirling_terms(double x)
{
    double s = x * x;
    return (13680. - (462. - (132. - (99. - 140. / s) / s) / s) / s) / x / 166320.;
}

// Whether the candidate y with ordinate v lies under the binomial's histogram.
static bool btpe_accepts(const btpe *b, double y, double v)
{
    double k = fabs(y - b->mode);
    if (!(k > 20 && k < b->variance / 2.0 - 1)) {
        double s = b->r / b->q, a = s * (b->n + 1), f = 1.0;
        for (double i = b->mode + 1; i <= y; i++) {
            f *= a / i - s;
        }
        for (double i = y + 1; i <= b->mode; i++) {
            f /= a / i - s;
        }
        return v <= f;
    }
    double rho = (k / b->variance) *
                 ((k * (k / 3.0 + 0.625) + 0.16666666666666666) / b->variance + 0.5);
    double t = -k * k / (2 * b->variance), a = log(v);
    if (a < t - rho) {
        return true;
    }
    if (a > t + rho) {
        return false;
    }
    double x1 = y + 1, f1 = b->mode + 1, z = b->n + 1 - b->mode, w = b->n - y + 1;
    return a <= b->middle * log(f1 / x1) + (b->n - b->mode + 0.5) * log(z / w) +
                    (y - b->mode) * log(w * b->r / (x1 * b->q)) + stirling_terms(f1) +
                    stirling_terms(z) + stirling_terms(x1) + stirling_terms(w);
}

static double btpe_draw(fr_numpy *r, const btpe *b)
{
    for (;;) {
        double u = fr_numpy_unit(r) * b->p4, v = fr_numpy_unit(r), y;
        if (u <= b->half) { // the triangle: always inside
            return floor(b->middle - b->half * v + u);
        }
        if (u <= b->p2) { // the parallelograms
            double x = b->left + (u - b->half) / b->c;
            v = v * b->c + 1.0 - fabs(b->mode - x + 0.5) / b->half;
            if (v > 1.0) {
                continue;
            }
            y = floor(x);
        } else if (u <= b->p3) { // the left tail
            y = floor(b->left + log(v) / b->lambda_left);
            if (y < 0 || v == 0.0) {
                continue;
            }
            v = v * (u - b->p2) * b->lambda_left;
        } else { // the right tail
            y = floor(b->right - log(v) / b->lambda_right);
            if (y > b->n || v == 0.0) {
                continue;
            }
            v = v * (u - b->p3) * b->lambda_right;
        }
        if (btpe_accepts(b, y, v)) {
            return y;
        }
    }
}

static int64_t binomial(fr_numpy *r, double n, double p)
{
    double low = p <= 0.5 ? p : 1.0 - p, k;
    if (low * n <= 30.0) {
        k = binomial_search(r, n, low);
    } else {
        btpe b = btpe_of(n, low);
        k = btpe_draw(r, &b);
    }
    return (int64_t)(p <= 0.5 ? k : n - k);
}

int fr_numpy_binomial(fr_numpy *r, fr_random_arg trials, fr_random_arg p, int64_t *out,
                      size_t n, fr_err *err)
{
    int rc = fr_random_check(trials, n, 0, 0x1p53, "the number of trials", err);
    if (rc == FR_OK) {
        rc = fr_random_check(p, n, 0, 1, "the probability", err);
    }
    for (size_t i = 0; i < n && rc == FR_OK; i++) {
        if (i % POLL == 0 && fr_cancelled()) {
            return cancelled(err);
        }
        out[i] = binomial(r, floor(fr_random_at(trials, i)), fr_random_at(p, i));
    }
    return rc;
}

static double poisson_product(fr_numpy *r, double mean)
{
    double floor_product = exp(-mean), product = fr_numpy_unit(r), k = 0;
    while (product > floor_product) {
        product *= fr_numpy_unit(r);
        k++;
    }
    return k;
}

// Transformed rejection, PTRS (Hoermann 1993).
static double poisson_large(fr_numpy *r, double mean)
{
    double b = 0.931 + 2.53 * sqrt(mean), a = -0.059 + 0.02483 * b;
    double inverse = 1.1239 + 1.1328 / (b - 3.4), edge = 0.9277 - 3.6224 / (b - 2);
    for (;;) {
        double u = fr_numpy_unit(r) - 0.5, v = fr_numpy_unit(r), us = 0.5 - fabs(u);
        double k = floor((2 * a / us + b) * u + mean + 0.43);
        if (us >= 0.07 && v <= edge) {
            return k;
        }
        if (k < 0 || (us < 0.013 && v > us)) {
            continue;
        }
        int sign;
        if (log(v) + log(inverse) - log(a / (us * us) + b) <=
            -mean + k * log(mean) - lgamma_r(k + 1, &sign)) {
            return k;
        }
    }
}

int fr_numpy_poisson(fr_numpy *r, fr_random_arg mean, int64_t *out, size_t n, fr_err *err)
{
    int rc = fr_random_check(mean, n, 0, 0x1p62, "the mean", err);
    for (size_t i = 0; i < n && rc == FR_OK; i++) {
        if (i % POLL == 0 && fr_cancelled()) {
            return cancelled(err);
        }
        double m = fr_random_at(mean, i);
        out[i] = (int64_t)(m >= 10  ? poisson_large(r, m)
                           : m == 0 ? 0
                                    : poisson_product(r, m));
    }
    return rc;
}

void fr_numpy_shuffle(fr_numpy *r, int64_t *out, size_t n)
{
    for (size_t i = n; i > 1; i--) {
        size_t j = (size_t)masked(r, i - 1);
        int64_t v = out[i - 1];
        out[i - 1] = out[j];
        out[j] = v;
    }
}
