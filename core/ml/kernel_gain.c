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

ALWAYS int32_t gain_of_bins(const int64_t *restrict prefix, size_t n, fr_gain_bins node,
                            int32_t *restrict score)
{
    int32_t top = 0;
    const uint64_t bias = (uint64_t)1 << 63, mask = ((uint64_t)1 << node.shift) - 1;
    const int64_t base = (int64_t)(bias >> node.shift);
    double whole = (double)node.total;
    for (size_t i = 0; i < n; i++) {
        uint64_t u = (uint64_t)prefix[i];
        int32_t left = (int32_t)(u & mask), right = node.rows - left;
        double g = to_double((int64_t)((u + bias) >> node.shift) - base);
        float x = (float)g, y = (float)(whole - g);
        float a = (float)left + node.l2, b = (float)right + node.l2;
        int32_t v = bits_of((x * x * b + y * y * a) / (a * b));
        v &= -(int32_t)((left >= node.least) &
                        (right >= node.least)); // branches end vectors
        score[i] = v;
        top = v > top ? v : top;
    }
    return top;
}

// One body per instruction set; elementwise operations without contraction give equal
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

AVX512 static int32_t bins_512(const int64_t *prefix, size_t n, fr_gain_bins node,
                               int32_t *score)
{
    return gain_of_bins(prefix, n, node, score);
}

AVX2 static int32_t bins_256(const int64_t *prefix, size_t n, fr_gain_bins node,
                             int32_t *score)
{
    return gain_of_bins(prefix, n, node, score);
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

int32_t fr_gain_of_bins(const int64_t *prefix, size_t n, const fr_gain_bins *node,
                        int32_t *score)
{
#if defined(__x86_64__)
    int isa = level();
    if (isa > 0) {
        return isa == 2 ? bins_512(prefix, n, *node, score)
                        : bins_256(prefix, n, *node, score);
    }
#endif
    return gain_of_bins(prefix, n, *node, score);
}
