#include "core/ml/kernel_logistic.h"

#include <stdbool.h>
#include <string.h>

#define ALWAYS static inline __attribute__((always_inline))

// Adding and taking away 1.5 * 2^52 rounds to the nearest whole number, whose two's
// complement then stands in the low bits.
static const double ROUND = 6755399441055744.0;

ALWAYS double from_bits(int64_t u)
{
    double x;
    memcpy(&x, &u, sizeof x);
    return x;
}

ALWAYS int64_t to_bits(double x)
{
    int64_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

// exp on [-700, 700]: 2^k times a Taylor polynomial on |r| <= ln(2) / 2, whose first term
// left out is below 1e-17 (Cody and Waite's two-part ln 2 keeps r exact).
ALWAYS double exp_of(double x)
{
    x = x < -700 ? -700 : x > 700 ? 700 : x;
    double shifted = x * 1.4426950408889634 + ROUND;
    double k = shifted - ROUND;
    double r = x - k * 0.693147180369123816490;
    r -= k * 1.90821492927058770002e-10;
    double p = 1.0 / 6227020800.0;
    p = p * r + 1.0 / 479001600.0;
    p = p * r + 1.0 / 39916800.0;
    p = p * r + 1.0 / 3628800.0;
    p = p * r + 1.0 / 362880.0;
    p = p * r + 1.0 / 40320.0;
    p = p * r + 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    int64_t exponent = (int64_t)((uint64_t)to_bits(shifted) << 52);
    return from_bits(to_bits(p) + exponent);
}

ALWAYS void logistic(const double *x, double *probability, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        probability[i] = 1 / (1 + exp_of(-x[i]));
    }
}

ALWAYS void gradients(const double *x, const int32_t *truth, size_t n, double scale,
                      int32_t *gradient, int32_t *hessian)
{
    for (size_t i = 0; i < n; i++) {
        double p = 1 / (1 + exp_of(-x[i]));
        gradient[i] = (int32_t)to_bits((truth[i] - p) * scale + ROUND);
        hessian[i] = (int32_t)to_bits(p * (1 - p) * scale + ROUND);
    }
}

// The same in floats. Adding 1.5 * 2^23 rounds to the nearest whole number.
ALWAYS void gradients_float(const double *x, const int32_t *truth, size_t n,
                            int32_t *gradient, int32_t *hessian)
{
    const float shift = 12582912.0F, scale = 0x1p21F;
    for (size_t i = 0; i < n; i++) {
        float v = -(float)x[i];
        v = v < -80 ? -80 : v > 80 ? 80 : v;
        float moved = v * 1.44269504F + shift, k = moved - shift;
        float r = v - k * 0.693359375F;
        r += k * 2.12194440e-4F;
        float e = 1.0F / 720;
        e = e * r + 1.0F / 120;
        e = e * r + 1.0F / 24;
        e = e * r + 1.0F / 6;
        e = e * r + 0.5F;
        e = e * r + 1;
        e = e * r + 1;
        int32_t bits, whole;
        memcpy(&bits, &e, sizeof bits);
        memcpy(&whole, &moved, sizeof whole);
        bits = (int32_t)((uint32_t)bits + ((uint32_t)whole << 23));
        memcpy(&e, &bits, sizeof e);
        float p = 1 / (1 + e);
        float g = ((float)truth[i] - p) * scale + shift, h = p * (1 - p) * scale + shift;
        memcpy(&gradient[i], &g, sizeof g);
        memcpy(&hessian[i], &h, sizeof h);
        gradient[i] -= 0x4B400000; // the bits of shift
        hessian[i] -= 0x4B400000;
    }
}

// One body per instruction set; without contraction to fused operations all give equal
// bits.
#if defined(__x86_64__)
#if defined(__clang__)
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq")))
#else // gcc would stay with vectors of 32 bytes
#define AVX512                                                                           \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,prefer-vector-width="      \
                          "512")))
#endif
#define AVX2 __attribute__((target("avx2")))

AVX512 static void logistic_512(const double *x, double *p, size_t n)
{
    logistic(x, p, n);
}
AVX2 static void logistic_256(const double *x, double *p, size_t n) { logistic(x, p, n); }
AVX512 static void gradients_512(const double *x, const int32_t *truth, size_t n,
                                 double scale, int32_t *g, int32_t *h)
{
    gradients(x, truth, n, scale, g, h);
}
AVX2 static void gradients_256(const double *x, const int32_t *truth, size_t n,
                               double scale, int32_t *g, int32_t *h)
{
    gradients(x, truth, n, scale, g, h);
}

AVX512 static void float_512(const double *x, const int32_t *truth, size_t n, int32_t *g,
                             int32_t *h)
{
    gradients_float(x, truth, n, g, h);
}

AVX2 static void float_256(const double *x, const int32_t *truth, size_t n, int32_t *g,
                           int32_t *h)
{
    gradients_float(x, truth, n, g, h);
}

static int level(void)
{
    bool wide = __builtin_cpu_supports("avx512bw") &&
                __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    return wide ? 2 : __builtin_cpu_supports("avx2") != 0;
}
#endif

void fr_logistic(const double *x, double *probability, size_t n)
{
#if defined(__x86_64__)
    int isa = level();
    if (isa == 2) {
        logistic_512(x, probability, n);
        return;
    }
    if (isa == 1) {
        logistic_256(x, probability, n);
        return;
    }
#endif
    logistic(x, probability, n);
}

void fr_logistic_gradients(const double *x, const int32_t *truth, size_t n, double scale,
                           int32_t *gradient, int32_t *hessian)
{
#if defined(__x86_64__)
    int isa = level();
    if (isa == 2) {
        gradients_512(x, truth, n, scale, gradient, hessian);
        return;
    }
    if (isa == 1) {
        gradients_256(x, truth, n, scale, gradient, hessian);
        return;
    }
#endif
    gradients(x, truth, n, scale, gradient, hessian);
}

void fr_logistic_gradients_float(const double *x, const int32_t *truth, size_t n,
                                 int32_t *gradient, int32_t *hessian)
{
#if defined(__x86_64__)
    int isa = level();
    if (isa == 2) {
        float_512(x, truth, n, gradient, hessian);
        return;
    }
    if (isa == 1) {
        float_256(x, truth, n, gradient, hessian);
        return;
    }
#endif
    gradients_float(x, truth, n, gradient, hessian);
}
