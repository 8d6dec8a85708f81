#include "core/ml/kernel_gain.h"

#include <stdbool.h>
#include <string.h>

#define ALWAYS static inline __attribute__((always_inline))

ALWAYS int32_t bits_of(float x)
{
    int32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

// Exact for |v| < 2^51, and vectors of every instruction set can do it: the number is put
// into the low bits of 1.5 * 2^52, which is then taken away.
ALWAYS double to_double(int64_t v)
{
    const double shift = 6755399441055744.0;
    int64_t u;
    memcpy(&u, &shift, sizeof u);
    u += v;
    double x;
    memcpy(&x, &u, sizeof x);
    return x - shift;
}

ALWAYS int32_t gain_of_sums(const int64_t *restrict sum, int32_t below, size_t n,
                            int32_t rows, int64_t total, int32_t *restrict score)
{
    int32_t top = 0, left = below;
    double whole = (double)total;
    for (size_t i = 0; i < n; i++) {
        double s = to_double(sum[i]);
        float x = (float)s, y = (float)(whole - s);
        float a = (float)(left + (int32_t)i), b = (float)(rows - left - (int32_t)i);
        int32_t v = bits_of((x * x * b + y * y * a) / (a * b));
        score[i] = v;
        top = v > top ? v : top;
    }
    return top;
}

ALWAYS int32_t gain_of_bins(const int64_t *restrict prefix, size_t n, int32_t rows,
                            int32_t total, int32_t least, float l2,
                            int32_t *restrict score)
{
    int32_t top = 0;
    for (size_t i = 0; i < n; i++) {
        int32_t left = (int32_t)prefix[i], right = rows - left;
        int32_t g = (int32_t)(prefix[i] >> 32);
        float x = (float)g, y = (float)(total - g);
        float a = (float)left + l2, b = (float)right + l2;
        int32_t v = bits_of((x * x * b + y * y * a) / (a * b));
        v &= -(int32_t)((left >= least) & (right >= least)); // no branch, or no vectors
        score[i] = v;
        top = v > top ? v : top;
    }
    return top;
}

// One body per instruction set; elementwise operations without contraction give equal
// bits.
#if defined(__x86_64__)
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq")))
#define AVX2   __attribute__((target("avx2")))

AVX512 static int32_t sums_512(const int64_t *sum, int32_t below, size_t n, int32_t rows,
                               int64_t total, int32_t *score)
{
    return gain_of_sums(sum, below, n, rows, total, score);
}

AVX2 static int32_t sums_256(const int64_t *sum, int32_t below, size_t n, int32_t rows,
                             int64_t total, int32_t *score)
{
    return gain_of_sums(sum, below, n, rows, total, score);
}

AVX512 static int32_t bins_512(const int64_t *prefix, size_t n, int32_t rows,
                               int32_t total, int32_t least, float l2, int32_t *score)
{
    return gain_of_bins(prefix, n, rows, total, least, l2, score);
}

AVX2 static int32_t bins_256(const int64_t *prefix, size_t n, int32_t rows, int32_t total,
                             int32_t least, float l2, int32_t *score)
{
    return gain_of_bins(prefix, n, rows, total, least, l2, score);
}

static int level(void)
{
    bool wide = __builtin_cpu_supports("avx512bw") &&
                __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    return wide ? 2 : __builtin_cpu_supports("avx2") != 0;
}
#endif

int32_t fr_gain_of_sums(const int64_t *sum, int32_t below, size_t n, int32_t rows,
                        int64_t total, int32_t *score)
{
#if defined(__x86_64__)
    int isa = level();
    if (isa > 0) {
        return isa == 2 ? sums_512(sum, below, n, rows, total, score)
                        : sums_256(sum, below, n, rows, total, score);
    }
#endif
    return gain_of_sums(sum, below, n, rows, total, score);
}

int32_t fr_gain_of_bins(const int64_t *prefix, size_t n, int32_t rows, int32_t total,
                        int32_t least, float l2, int32_t *score)
{
#if defined(__x86_64__)
    int isa = level();
    if (isa > 0) {
        return isa == 2 ? bins_512(prefix, n, rows, total, least, l2, score)
                        : bins_256(prefix, n, rows, total, least, l2, score);
    }
#endif
    return gain_of_bins(prefix, n, rows, total, least, l2, score);
}
