#include "core/ml/kernel_bucket.h"

#include <string.h>

#define ALWAYS static inline __attribute__((always_inline))

// Bounds are products of a few rounded floats.
static const float WITHIN = 1 + 1e-5F;

// Exact for |v| < 2^51, in vectors of every instruction set: see kernel_gain.c.
ALWAYS float to_float(int64_t v)
{
    const double shift = 6755399441055744.0;
    int64_t u;
    memcpy(&u, &shift, sizeof u);
    u += v;
    double x;
    memcpy(&x, &u, sizeof x);
    return (float)(x - shift);
}

// Whether a cut with l rows and the sum x on its left scores `limit`; without a division.
ALWAYS int32_t scores(const fr_bucket_node *n, float l, float x)
{
    float m = n->rows - l, y = n->total - x;
    l = l > 0 ? l : 0;
    m = m > 0 ? m : 0;
    return (x * x * m + y * y * l) * WITHIN >= n->limit * (l * m);
}

ALWAYS void between(const fr_bucket_sums *s, fr_bucket_node n, uint8_t *restrict flag)
{
    for (uint32_t i = 0; i < s->count; i++) {
        float l = (float)s->rows[i + 1], x = to_float(s->gradient[i + 1]);
        flag[i] = (uint8_t)scores(&n, l, x);
    }
}

// The rows passed and their sum stay in a hexagon: from nothing to all of the bucket, never
// steeper than the greatest gradient, never beyond all that rises or all that falls. The
// score is convex, so it is greatest at a corner; two of those are cuts between buckets.
ALWAYS void inside(const fr_bucket_sums *s, fr_bucket_node n, uint8_t *restrict flag)
{
    float rows_per = 1 / n.most;
    for (uint32_t i = 0; i < s->count; i++) {
        float l = (float)s->rows[i], r = (float)s->rows[i + 1];
        float x = to_float(s->gradient[i]), z = to_float(s->gradient[i + 1]);
        float reach = to_float(s->reach[i]), sum = z - x;
        float up = (reach + sum) * 0.5F, down = (reach - sum) * 0.5F;
        float fast = up * rows_per, slow = down * rows_per;
        int32_t may = scores(&n, l + fast, x + up) | scores(&n, r - slow, x + up) |
                      scores(&n, l + slow, x - down) | scores(&n, r - fast, x - down);
        flag[i] = (uint8_t)(may & (int32_t)(s->rows[i + 1] - s->rows[i] > 1));
    }
}

#if defined(__x86_64__)

#if defined(__clang__)
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq")))
#else // gcc would stay with vectors of 32 bytes
#define AVX512                                                                           \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,prefer-vector-width="      \
                          "512")))
#endif
#define AVX2 __attribute__((target("avx2")))

AVX512 static void between_512(const fr_bucket_sums *s, fr_bucket_node n, uint8_t *flag)
{
    between(s, n, flag);
}

AVX512 static void inside_512(const fr_bucket_sums *s, fr_bucket_node n, uint8_t *flag)
{
    inside(s, n, flag);
}

AVX2 static void between_256(const fr_bucket_sums *s, fr_bucket_node n, uint8_t *flag)
{
    between(s, n, flag);
}

AVX2 static void inside_256(const fr_bucket_sums *s, fr_bucket_node n, uint8_t *flag)
{
    inside(s, n, flag);
}

static int isa_of(void)
{
    bool most = __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                __builtin_cpu_supports("avx512dq");
    return most ? 2 : __builtin_cpu_supports("avx2") ? 1 : 0;
}

void fr_bucket_between(const fr_bucket_sums *s, const fr_bucket_node *n, uint8_t *flag)
{
    int isa = isa_of();
    (isa == 2 ? between_512 : isa == 1 ? between_256 : between)(s, *n, flag);
}

void fr_bucket_inside(const fr_bucket_sums *s, const fr_bucket_node *n, uint8_t *flag)
{
    int isa = isa_of();
    (isa == 2 ? inside_512 : isa == 1 ? inside_256 : inside)(s, *n, flag);
}

#else

void fr_bucket_between(const fr_bucket_sums *s, const fr_bucket_node *n, uint8_t *flag)
{
    between(s, *n, flag);
}

void fr_bucket_inside(const fr_bucket_sums *s, const fr_bucket_node *n, uint8_t *flag)
{
    inside(s, *n, flag);
}

#endif
