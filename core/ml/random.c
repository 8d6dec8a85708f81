#include "core/ml/random.h"

#include "core/base/cancel.h"
#include "core/ml/special.h"

#include <math.h>

enum {
    POLL = 1 << 14, // draws between two looks at the cancel flag
    BLOCK = 256,    // draws made together, so that vectors are used
    WIDE = 4,       // Philox counters advanced together
};
static const double trials_max = 0x1p53; // above it a double no longer counts

static int cancelled(fr_err *err)
{
    return fr_fail(err, fr_cancel_code(), "random: stopped while drawing");
}

int fr_random_check(fr_random_arg a, size_t n, double lo, double hi, const char *what,
                    fr_err *err)
{
    size_t last = a.step == 0 ? (n > 0) : n;
    for (size_t i = 0; i < last; i++) {
        double v = a.at[i];
        if (!(v >= lo && v <= hi)) {
            const char *found = v != v   ? "null or NaN"
                                : v < lo ? "too small"
                                         : "too large";
            return a.step == 0
                       ? fr_fail(err, FR_EINVAL, "%s is %.17g (%s): expected %g to %g",
                                 what, v, found, lo, hi)
                       : fr_fail(err, FR_EINVAL,
                                 "value %zu of %s is %.17g (%s): expected %g to %g",
                                 i + 1, what, v, found, lo, hi);
        }
    }
    return FR_OK;
}

static int check_finite(fr_random_arg a, size_t n, const char *what, fr_err *err)
{
    return fr_random_check(a, n, -0x1.fffffffffffffp1023, 0x1.fffffffffffffp1023, what,
                           err);
}

static int check_size(fr_random_arg a, size_t n, const char *what, fr_err *err)
{
    return fr_random_check(a, n, 0, 0x1.fffffffffffffp1023, what, err);
}

// The next WIDE blocks of the stream, as fr_philox makes them one by one.
static void philox_wide(fr_rand *r, uint32_t out[WIDE][4])
{
    uint32_t c[4][WIDE], k0 = r->key[0], k1 = r->key[1];
    for (int i = 0; i < WIDE; i++) {
        for (int w = 0; w < 4; w++) {
            c[w][i] = r->counter[w];
        }
        if (++r->counter[0] == 0) {
            r->counter[1]++;
        }
    }
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < WIDE; i++) {
            uint64_t p0 = (uint64_t)0xD2511F53 * c[0][i],
                     p1 = (uint64_t)0xCD9E8D57 * c[2][i];
            uint32_t n0 = (uint32_t)(p1 >> 32) ^ c[1][i] ^ k0;
            uint32_t n2 = (uint32_t)(p0 >> 32) ^ c[3][i] ^ k1;
            c[0][i] = n0;
            c[1][i] = (uint32_t)p1;
            c[2][i] = n2;
            c[3][i] = (uint32_t)p0;
        }
        k0 += 0x9E3779B9;
        k1 += 0xBB67AE85;
    }
    for (int i = 0; i < WIDE; i++) {
        for (int w = 0; w < 4; w++) {
            out[i][w] = c[w][i];
        }
    }
}

// out[i] is what n calls of fr_rand_u64 give.
static void fill_bits(fr_rand *r, uint64_t *out, size_t n)
{
    size_t i = 0;
    while (i < n && r->used != 4) {
        out[i++] = fr_rand_u64(r);
        if (r->used & 1) {
            break; // a word was drawn before: pairs straddle blocks
        }
    }
    for (; i + 2 * WIDE <= n && r->used == 4; i += 2 * WIDE) {
        uint32_t block[WIDE][4];
        philox_wide(r, block);
        for (size_t k = 0; k < 2 * WIDE; k++) {
            const uint32_t *pair = &block[k / 2][k % 2 * 2];
            out[i + k] = pair[0] | (uint64_t)pair[1] << 32;
        }
    }
    for (; i < n; i++) {
        out[i] = fr_rand_u64(r);
    }
}

// The middle of one of 2^53 equal cells of (0, 1): never 0 or 1, symmetric around 1/2.
static double open_cell(uint64_t bits) { return ((double)(bits >> 11) + 0.5) * 0x1p-53; }

static double open_unit(fr_rand *r) { return open_cell(fr_rand_u64(r)); }

int fr_random_uniform(fr_rand *r, fr_random_arg lo, fr_random_arg hi, double *out,
                      size_t n, fr_err *err)
{
    int rc = check_finite(lo, n, "the lower bound", err);
    if (rc == FR_OK) {
        rc = check_finite(hi, n, "the upper bound", err);
    }
    uint64_t bits[BLOCK];
    for (size_t i = 0; i < n && rc == FR_OK; i += BLOCK) {
        if (i % POLL == 0 && fr_cancelled()) {
            return cancelled(err);
        }
        size_t count = FR_MIN(n - i, (size_t)BLOCK);
        fill_bits(r, bits, count);
        for (size_t k = 0; k < count; k++) {
            double a = fr_random_at(lo, i + k), unit = (double)(bits[k] >> 11) * 0x1p-53;
            out[i + k] = a + (fr_random_at(hi, i + k) - a) * unit;
        }
    }
    return rc;
}

int fr_random_normal(fr_rand *r, fr_random_arg mean, fr_random_arg sd, double *out,
                     size_t n, fr_err *err)
{
    int rc = check_finite(mean, n, "the mean", err);
    if (rc == FR_OK) {
        rc = check_size(sd, n, "the standard deviation", err);
    }
    // Inversion: one draw per value whatever the parameters, so that streams stay in
    // step.
    uint64_t bits[BLOCK];
    double z[BLOCK];
    for (size_t i = 0; i < n && rc == FR_OK; i += BLOCK) {
        if (i % POLL == 0 && fr_cancelled()) {
            return cancelled(err);
        }
        size_t count = FR_MIN(n - i, (size_t)BLOCK);
        fill_bits(r, bits, count);
        for (size_t k = 0; k < count; k++) {
            z[k] = open_cell(bits[k]);
        }
        fr_special_normal_quantiles(z, count);
        for (size_t k = 0; k < count; k++) {
            out[i + k] = fr_random_at(mean, i + k) + fr_random_at(sd, i + k) * z[k];
        }
    }
    return rc;
}

int fr_random_exponential(fr_rand *r, fr_random_arg mean, double *out, size_t n,
                          fr_err *err)
{
    int rc = check_size(mean, n, "the mean", err);
    for (size_t i = 0; i < n && rc == FR_OK; i++) {
        if (i % POLL == 0 && fr_cancelled()) {
            return cancelled(err);
        }
        out[i] = -fr_random_at(mean, i) * fr_special_log(open_unit(r));
    }
    return rc;
}

int fr_random_integers(fr_rand *r, int64_t lo, int64_t hi, int64_t *out, size_t n,
                       fr_err *err)
{
    if (lo > hi) {
        return fr_fail(err, FR_EINVAL,
                       "integers from %lld to %lld: the first bound is above the second",
                       (long long)lo, (long long)hi);
    }
    uint64_t span = (uint64_t)hi - (uint64_t)lo + 1; // 0: all 2^64 values
    for (size_t i = 0; i < n; i++) {
        if (i % POLL == 0 && fr_cancelled()) {
            return cancelled(err);
        }
        uint64_t v = span == 0 ? fr_rand_u64(r) : fr_rand_below(r, span);
        out[i] = (int64_t)((uint64_t)lo + v);
    }
    return FR_OK;
}

// log(1 - p) that keeps the digits of a tiny p.
static double log_rest(double p)
{
    double q = 1 - p;
    return q == 1 ? -p : fr_special_log(q) * (p / (1 - q));
}

// Sequential search of the distribution function; n * p < 10, p <= 1/2.
static double binomial_small(fr_rand *r, double n, double p)
{
    double q = 1 - p, odds = p / q, start = fr_special_exp(n * log_rest(p));
    for (;;) {
        double u = fr_rand_unit(r), mass = start;
        for (double k = 0; k <= n; k++) {
            if (u < mass) {
                return k;
            }
            u -= mass;
            mass *= odds * (n - k) / (k + 1);
            if (mass == 0 && k > n * p) {
                break; // rounding left a crumb: again
            }
        }
    }
}

// Transformed rejection, BTRS (Hoermann 1993); n * p >= 10, p <= 1/2.
static double binomial_large(fr_rand *r, double n, double p)
{
    double q = 1 - p, sd = sqrt(n * p * q), b = 1.15 + 2.53 * sd;
    double a = -0.0873 + 0.0248 * b + 0.01 * p, c = n * p + 0.5, odds = p / q;
    double alpha = (2.83 + 5.1 / b) * sd, edge = 0.92 - 4.2 / b, m = floor((n + 1) * p);
    for (;;) {
        double u = fr_rand_unit(r) - 0.5, v = open_unit(r), us = 0.5 - fabs(u);
        double k = floor((2 * a / us + b) * u + c);
        if (us >= 0.07 && v <= edge) {
            return k;
        }
        if (!(k >= 0 && k <= n)) { // us may be 0: k is then no number
            continue;
        }
        v = fr_special_log(v * alpha / (a / (us * us) + b));
        double bound = (m + 0.5) * fr_special_log((m + 1) / (odds * (n - m + 1))) +
                       (n + 1) * fr_special_log((n - m + 1) / (n - k + 1)) +
                       (k + 0.5) * fr_special_log(odds * (n - k + 1) / (k + 1)) +
                       fr_special_stirling_rest(m) + fr_special_stirling_rest(n - m) -
                       fr_special_stirling_rest(k) - fr_special_stirling_rest(n - k);
        if (v <= bound) {
            return k;
        }
    }
}

static int64_t binomial(fr_rand *r, double n, double p)
{
    if (n == 1) {
        return fr_rand_unit(r) < p;
    }
    double low = p <= 0.5 ? p : 1 - p;
    double k = n * low < 10 ? binomial_small(r, n, low) : binomial_large(r, n, low);
    return (int64_t)(p <= 0.5 ? k : n - k);
}

int fr_random_binomial(fr_rand *r, fr_random_arg trials, fr_random_arg p, int64_t *out,
                       size_t n, fr_err *err)
{
    int rc = fr_random_check(trials, n, 0, trials_max, "the number of trials", err);
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

// Transformed rejection, PTRS (Hoermann 1993); mean >= 10.
static double poisson_large(fr_rand *r, double mean)
{
    double root = sqrt(mean), b = 0.931 + 2.53 * root, a = -0.059 + 0.02483 * b;
    double inverse = 1.1239 + 1.1328 / (b - 3.4), edge = 0.9277 - 3.6224 / (b - 2);
    for (;;) {
        double u = fr_rand_unit(r) - 0.5, v = open_unit(r), us = 0.5 - fabs(u);
        double k = floor((2 * a / us + b) * u + mean + 0.43);
        if (us >= 0.07 && v <= edge) {
            return k;
        }
        if (!(k >= 0 && k <= 0x1p62) || (us < 0.013 && v > us)) {
            continue;
        }
        // k log(mean) - mean - log k!, with log k! by Stirling in k + 1.
        double mass = k * fr_special_log(mean / (k + 1)) - 0.5 * fr_special_log(k + 1) +
                      (k + 1 - mean) - 0.91893853320467274178 -
                      fr_special_stirling_rest(k);
        if (fr_special_log(v * inverse / (a / (us * us) + b)) <= mass) {
            return k;
        }
    }
}

static double poisson_small(fr_rand *r, double mean)
{
    double floor_product = fr_special_exp(-mean), product = open_unit(r), k = 0;
    while (product > floor_product) {
        product *= open_unit(r);
        k++;
    }
    return k;
}

int fr_random_poisson(fr_rand *r, fr_random_arg mean, int64_t *out, size_t n, fr_err *err)
{
    int rc = fr_random_check(mean, n, 0, 0x1p52, "the mean", err);
    for (size_t i = 0; i < n && rc == FR_OK; i++) {
        if (i % POLL == 0 && fr_cancelled()) {
            return cancelled(err);
        }
        double m = fr_random_at(mean, i);
        out[i] = (int64_t)(m >= 10 ? poisson_large(r, m) : poisson_small(r, m));
    }
    return rc;
}

void fr_random_shuffle(fr_rand *r, int64_t *out, size_t n)
{
    for (size_t i = n; i > 1; i--) {
        size_t j = (size_t)fr_rand_below(r, i);
        int64_t v = out[i - 1];
        out[i - 1] = out[j];
        out[j] = v;
    }
}
