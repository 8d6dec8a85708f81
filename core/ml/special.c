#include "core/ml/special.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

static const double ln2_hi = 0x1.62e42fee00000p-1; // 33 bits: exact times any exponent
static const double ln2_lo = 0x1.a39ef35793c76p-33;

double fr_special_log(double x)
{
    if (!(x > 0) || x > 0x1.fffffffffffffp1023) {
        return x == 0 ? -HUGE_VAL : x > 0 ? x : (double)NAN;
    }
    int shift = 0;
    if (x < 0x1p-1022) { // subnormal: make the exponent field real
        x *= 0x1p54;
        shift = -54;
    }
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    // Subtracting the bits of sqrt(1/2) puts the mantissa into [sqrt(1/2), sqrt(2)).
    uint64_t from_half = bits - 0x3fe6a09e667f3bcd;
    int64_t e = (int64_t)from_half >> 52;
    bits -= (uint64_t)e << 52;
    double m;
    memcpy(&m, &bits, sizeof m);
    // log m = 2 atanh(s), s = (m - 1) / (m + 1), |s| < .1716: eleven terms reach 1e-18.
    static const double term[] = {2.0 / 3,  2.0 / 5,  2.0 / 7,  2.0 / 9,  2.0 / 11,
                                  2.0 / 13, 2.0 / 15, 2.0 / 17, 2.0 / 19, 2.0 / 21};
    double f = m - 1, s = f / (2 + f), z = s * s, tail = 0;
    for (int k = 9; k >= 0; k--) {
        tail = tail * z + term[k];
    }
    double exponent = (double)(e + shift);
    // f - s * (f - z * tail) is 2s + s * z * tail without losing the bits of f.
    return exponent * ln2_hi + (f - (s * (f - z * tail) - exponent * ln2_lo));
}

double fr_special_exp(double x)
{
    if (x != x) {
        return x;
    }
    if (x > 709.782712893384) {
        return HUGE_VAL;
    }
    if (x < -745.2) {
        return 0;
    }
    double k = floor(x * 1.4426950408889634 + 0.5);
    double r = (x - k * ln2_hi) - k * ln2_lo; // |r| <= .347: 13 terms reach 1e-17
    static const double term[] = {1,
                                  1,
                                  1.0 / 2,
                                  1.0 / 6,
                                  1.0 / 24,
                                  1.0 / 120,
                                  1.0 / 720,
                                  1.0 / 5040,
                                  1.0 / 40320,
                                  1.0 / 362880,
                                  1.0 / 3628800,
                                  1.0 / 39916800,
                                  1.0 / 479001600,
                                  1.0 / 6227020800};
    double sum = 0;
    for (int i = 13; i >= 0; i--) {
        sum = sum * r + term[i];
    }
    // In two halves, so that neither factor overflows or is lost below the normal range.
    int64_t e = (int64_t)k, half = e / 2;
    uint64_t a = (uint64_t)(1023 + half) << 52, b = (uint64_t)(1023 + e - half) << 52;
    double scale_a, scale_b;
    memcpy(&scale_a, &a, sizeof a);
    memcpy(&scale_b, &b, sizeof b);
    return sum * scale_a * scale_b;
}

static double ratio(const double *num, const double *den, double r)
{
    double a = num[7], b = den[7];
    for (int i = 6; i >= 0; i--) {
        a = a * r + num[i];
        b = b * r + den[i];
    }
    return a / b;
}

// Numerators and denominators of AS 241's PPND16: centre, tail, far tail.
static const double centre_num[] = {3.3871328727963666080e0,  1.3314166789178437745e+2,
                                    1.9715909503065514427e+3, 1.3731693765509461125e+4,
                                    4.5921953931549871457e+4, 6.7265770927008700853e+4,
                                    3.3430575583588128105e+4, 2.5090809287301226727e+3};
static const double centre_den[] = {1.0,
                                    4.2313330701600911252e+1,
                                    6.8718700749205790830e+2,
                                    5.3941960214247511077e+3,
                                    2.1213794301586595867e+4,
                                    3.9307895800092710610e+4,
                                    2.8729085735721942674e+4,
                                    5.2264952788528545610e+3};
static const double tail_num[] = {1.42343711074968357734e0,  4.63033784615654529590e0,
                                  5.76949722146069140550e0,  3.64784832476320460504e0,
                                  1.27045825245236838258e0,  2.41780725177450611770e-1,
                                  2.27238449892691845833e-2, 7.74545014278341407640e-4};
static const double tail_den[] = {1.0,
                                  2.05319162663775882187e0,
                                  1.67638483018380384940e0,
                                  6.89767334985100004550e-1,
                                  1.48103976427480074590e-1,
                                  1.51986665636164571966e-2,
                                  5.47593808499534494600e-4,
                                  1.05075007164441684324e-9};
static const double far_num[] = {6.65790464350110377720e0,  5.46378491116411436990e0,
                                 1.78482653991729133580e0,  2.96560571828504891230e-1,
                                 2.65321895265761230930e-2, 1.24266094738807843860e-3,
                                 2.71155556874348757815e-5, 2.01033439929228813265e-7};
static const double far_den[] = {1.0,
                                 5.99832206555887937690e-1,
                                 1.36929880922735805310e-1,
                                 1.48753612908506148525e-2,
                                 7.86869131145613259100e-4,
                                 1.84631831751005468180e-5,
                                 1.42151175831644588870e-7,
                                 2.04426310338993978564e-15};

static const double centre = 0.425;

static double tail_quantile(double p)
{
    double q = p - 0.5, r = sqrt(-fr_special_log(q < 0 ? p : 1 - p));
    double z =
        r <= 5 ? ratio(tail_num, tail_den, r - 1.6) : ratio(far_num, far_den, r - 5);
    return q < 0 ? -z : z;
}

double fr_special_normal_quantile(double p)
{
    if (!(p > 0 && p < 1)) {
        return (double)NAN;
    }
    double q = p - 0.5;
    return fabs(q) <= centre ? q * ratio(centre_num, centre_den, 0.180625 - q * q)
                             : tail_quantile(p);
}

void fr_special_normal_quantiles(double *p, size_t n)
{
    enum { BLOCK = 64 };
    for (size_t from = 0; from < n; from += BLOCK) {
        size_t count = n - from < BLOCK ? n - from : BLOCK;
        double *x = p + from, z[BLOCK];
        // The centre's formula for all, which vectors do; then the 15 % it does not hold
        // for.
        for (size_t i = 0; i < count; i++) {
            double q = x[i] - 0.5, r = 0.180625 - q * q;
            double a = centre_num[7], b = centre_den[7];
            for (int k = 6; k >= 0; k--) {
                a = a * r + centre_num[k];
                b = b * r + centre_den[k];
            }
            z[i] = q * (a / b);
        }
        for (size_t i = 0; i < count; i++) {
            x[i] = fabs(x[i] - 0.5) <= centre ? z[i] : tail_quantile(x[i]);
        }
    }
}

double fr_special_stirling_rest(double k)
{
    static const double small[] = {0.08106146679532726, 0.04134069595540929,
                                   0.02767792568499834, 0.02079067210376509,
                                   0.01664469118982119, 0.01387612882307075,
                                   0.01189670994589177, 0.01041126526197209,
                                   0.00925546218271273, 0.00833056343336287};
    if (k < 10) {
        return small[(int)k];
    }
    double inverse = 1 / (k + 1), square = inverse * inverse;
    return (1.0 / 12 - (1.0 / 360 - (1.0 / 1260 - square / 1680) * square) * square) *
           inverse;
}
