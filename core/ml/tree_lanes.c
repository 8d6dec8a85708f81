#include "core/ml/tree_lanes.h"

#include <math.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { PART = FR_LANES_PART };

// Scores are floats after ten roundings of 2^-24 at most; the caller decides exactly.
static const float SLACK = 1 - 0x1p-18F;

static void below_plain(const uint16_t *x, const uint16_t *what, const fr_lanes_set *in,
                        int parts, uint16_t *sum)
{
    memset(sum, 0, (size_t)parts * PART * sizeof *sum);
    for (int i = 0; i < parts; i++) {
        for (uint32_t m = in->part[i]; m != 0; m &= m - 1) {
            int q = i * PART + __builtin_ctz(m);
            for (int l = 0; l < parts * PART; l++) {
                sum[l] = (uint16_t)(sum[l] + (x[q] <= x[l] ? what[q] : 0));
            }
        }
    }
}

static void parting_plain(const uint16_t *sum, const fr_lanes_set *in, int parts,
                          uint32_t weight, fr_lanes_set *out)
{
    for (int i = 0; i < parts; i++) {
        uint32_t keep = 0;
        for (uint32_t m = in->part[i]; m != 0; m &= m - 1) {
            int l = __builtin_ctz(m);
            keep |= (uint32_t)((uint32_t)(sum[i * PART + l] >> 8) < weight) << l;
        }
        out->part[i] = keep;
    }
}

static float score_plain(uint16_t sum, float weight, float positive)
{
    float wl = (float)(sum >> 8), pl = (float)(sum & 255);
    float wr = weight - wl, pr = positive - pl;
    return (pl * pl * wr + pr * pr * wl) / (wl * wr);
}

static void shortlist_plain(const uint16_t *sum, const fr_lanes_set *in, int parts,
                            uint32_t weight, uint32_t positive, fr_lanes_set *out)
{
    float score[FR_LANES_MOST], top = -1, w = (float)weight, p = (float)positive;
    for (int i = 0; i < parts; i++) {
        for (uint32_t m = in->part[i]; m != 0; m &= m - 1) {
            int l = i * PART + __builtin_ctz(m);
            score[l] = score_plain(sum[l], w, p);
            top = fmaxf(top, score[l]);
        }
    }
    for (int i = 0; i < parts; i++) {
        uint32_t keep = 0;
        for (uint32_t m = in->part[i]; m != 0; m &= m - 1) {
            int l = __builtin_ctz(m);
            keep |= (uint32_t)(score[i * PART + l] >= top * SLACK) << l;
        }
        out->part[i] = keep;
    }
}

static uint32_t list_peaks(const float *score, uint32_t n, float limit, uint32_t *list)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < n; i++) {
        list[found] = i;
        found += score[i] >= limit;
    }
    return found;
}

static uint32_t peaks_plain(const uint32_t *below, uint32_t n, uint32_t weight,
                            uint32_t positive, float *score, uint32_t *list)
{
    float top = -1;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t wl = below[i] & 0xffff, pl = below[i] >> 16;
        float a = (float)wl, b = (float)(weight - wl);
        float x = (float)pl, y = (float)(positive - pl);
        score[i] = (x * x * b + y * y * a) / (a * b);
        top = score[i] > top ? score[i] : top;
    }
    return list_peaks(score, n, top * SLACK, list);
}

static uint16_t divide_plain(const uint16_t *x, const fr_lanes_set *in, int parts,
                             uint16_t limit, fr_lanes_set *left)
{
    uint16_t least = UINT16_MAX;
    for (int i = 0; i < parts; i++) {
        uint32_t keep = 0;
        for (uint32_t m = in->part[i]; m != 0; m &= m - 1) {
            int l = __builtin_ctz(m);
            uint16_t v = x[i * PART + l];
            keep |= (uint32_t)(v <= limit) << l;
            least = v > limit && v < least ? v : least;
        }
        left->part[i] = keep;
    }
    return least;
}

#if defined(__x86_64__)

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,bmi,popcnt")))
#define AVX2   __attribute__((target("avx2,bmi,popcnt")))
#define ALWAYS inline __attribute__((always_inline))

AVX512 static ALWAYS void below_512(const uint16_t *x, const uint16_t *what,
                                    const fr_lanes_set *in, int parts, uint16_t *sum)
{
    __m512i all[FR_LANES_PARTS], acc[FR_LANES_PARTS];
    for (int i = 0; i < parts; i++) {
        all[i] = _mm512_load_si512(x + i * PART);
        acc[i] = _mm512_setzero_si512();
    }
    for (int i = 0; i < parts; i++) {
        for (uint32_t m = in->part[i]; m != 0; m &= m - 1) {
            int q = i * PART + __builtin_ctz(m);
            __m512i v = _mm512_set1_epi16((short)x[q]),
                    w = _mm512_set1_epi16((short)what[q]);
            for (int k = 0; k < parts; k++) {
                __mmask32 ge = _mm512_cmple_epu16_mask(v, all[k]);
                acc[k] = _mm512_mask_add_epi16(acc[k], ge, acc[k], w);
            }
        }
    }
    for (int i = 0; i < parts; i++) {
        _mm512_store_si512(sum + i * PART, acc[i]);
    }
}

// Constant counts let the running sums stay in registers.
AVX512 static void below_avx512(const uint16_t *x, const uint16_t *what,
                                const fr_lanes_set *in, int parts, uint16_t *sum)
{
    switch (parts) {
    case 1:
        below_512(x, what, in, 1, sum);
        break;
    case 2:
        below_512(x, what, in, 2, sum);
        break;
    case 3:
        below_512(x, what, in, 3, sum);
        break;
    default:
        below_512(x, what, in, 4, sum);
    }
}

AVX512 static void parting_avx512(const uint16_t *sum, const fr_lanes_set *in, int parts,
                                  uint32_t weight, fr_lanes_set *out)
{
    __m512i w = _mm512_set1_epi16((short)weight);
    for (int i = 0; i < parts; i++) {
        __m512i left = _mm512_srli_epi16(_mm512_load_si512(sum + i * PART), 8);
        out->part[i] = _mm512_mask_cmplt_epu16_mask(in->part[i], left, w);
    }
}

// Scores of 16 lanes; -1 where `in` has none.
AVX512 static ALWAYS __m512 score_512(const uint16_t *sum, __mmask16 in, __m512 w,
                                      __m512 p)
{
    __m256i packed = _mm256_load_si256((const __m256i *)(const void *)sum);
    __m512i wide = _mm512_cvtepu16_epi32(packed);
    __m512 wl = _mm512_cvtepi32_ps(_mm512_srli_epi32(wide, 8));
    __m512 pl = _mm512_cvtepi32_ps(_mm512_and_si512(wide, _mm512_set1_epi32(255)));
    __m512 wr = _mm512_sub_ps(w, wl), pr = _mm512_sub_ps(p, pl);
    __m512 num = _mm512_add_ps(_mm512_mul_ps(_mm512_mul_ps(pl, pl), wr),
                               _mm512_mul_ps(_mm512_mul_ps(pr, pr), wl));
    return _mm512_mask_div_ps(_mm512_set1_ps(-1), in, num, _mm512_mul_ps(wl, wr));
}

AVX512 static void shortlist_avx512(const uint16_t *sum, const fr_lanes_set *in,
                                    int parts, uint32_t weight, uint32_t positive,
                                    fr_lanes_set *out)
{
    __m512 w = _mm512_set1_ps((float)weight), p = _mm512_set1_ps((float)positive);
    __m512 score[2 * FR_LANES_PARTS], top = _mm512_set1_ps(-1);
    for (int i = 0; i < parts; i++) {
        uint32_t m = in->part[i];
        score[2 * i] = score_512(sum + i * PART, (__mmask16)m, w, p);
        score[2 * i + 1] = score_512(sum + i * PART + 16, (__mmask16)(m >> 16), w, p);
        top = _mm512_max_ps(top, _mm512_max_ps(score[2 * i], score[2 * i + 1]));
    }
    __m512 limit = _mm512_set1_ps(_mm512_reduce_max_ps(top) * SLACK);
    for (int i = 0; i < parts; i++) {
        uint32_t low = _mm512_cmp_ps_mask(score[2 * i], limit, _CMP_GE_OQ);
        uint32_t high = _mm512_cmp_ps_mask(score[2 * i + 1], limit, _CMP_GE_OQ);
        out->part[i] = (low | high << 16) & in->part[i];
    }
}

AVX512 static uint32_t peaks_avx512(const uint32_t *below, uint32_t n, uint32_t weight,
                                    uint32_t positive, float *score, uint32_t *list)
{
    const __m512i w = _mm512_set1_epi32((int)weight),
                  p = _mm512_set1_epi32((int)positive);
    __m512 top = _mm512_set1_ps(-1);
    for (uint32_t i = 0; i < n; i += 16) {
        __mmask16 in = (__mmask16)(n - i >= 16 ? 0xffff : (1U << (n - i)) - 1);
        __m512i s = _mm512_loadu_si512(below + i);
        __m512i wl = _mm512_and_si512(s, _mm512_set1_epi32(0xffff));
        __m512i pl = _mm512_srli_epi32(s, 16);
        __m512 a = _mm512_cvtepi32_ps(wl),
               b = _mm512_cvtepi32_ps(_mm512_sub_epi32(w, wl));
        __m512 x = _mm512_cvtepi32_ps(pl),
               y = _mm512_cvtepi32_ps(_mm512_sub_epi32(p, pl));
        __m512 num = _mm512_add_ps(_mm512_mul_ps(_mm512_mul_ps(x, x), b),
                                   _mm512_mul_ps(_mm512_mul_ps(y, y), a));
        __m512 v = _mm512_mask_div_ps(_mm512_set1_ps(-1), in, num, _mm512_mul_ps(a, b));
        _mm512_storeu_ps(score + i, v);
        top = _mm512_max_ps(top, v);
    }
    __m512 limit = _mm512_set1_ps(_mm512_reduce_max_ps(top) * SLACK);
    uint32_t found = 0;
    for (uint32_t i = 0; i < n; i += 16) {
        uint32_t m = _mm512_cmp_ps_mask(_mm512_loadu_ps(score + i), limit, _CMP_GE_OQ);
        for (; m != 0; m &= m - 1) {
            list[found++] = i + (uint32_t)__builtin_ctz(m);
        }
    }
    return found;
}

AVX512 static uint16_t divide_avx512(const uint16_t *x, const fr_lanes_set *in, int parts,
                                     uint16_t limit, fr_lanes_set *left)
{
    const __m512i most = _mm512_set1_epi16(-1);
    __m512i v = _mm512_set1_epi16((short)limit), least = most;
    for (int i = 0; i < parts; i++) {
        __m512i all = _mm512_load_si512(x + i * PART);
        uint32_t le = _mm512_cmple_epu16_mask(all, v);
        left->part[i] = in->part[i] & le;
        least =
            _mm512_min_epu16(least, _mm512_mask_mov_epi16(most, in->part[i] & ~le, all));
    }
    __m256i half = _mm256_min_epu16(_mm512_castsi512_si256(least),
                                    _mm512_extracti64x4_epi64(least, 1));
    __m128i few =
        _mm_min_epu16(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
    return (uint16_t)_mm_extract_epi16(_mm_minpos_epu16(few), 0);
}

AVX2 static ALWAYS __m256i load_16(const uint16_t *x)
{
    return _mm256_load_si256((const __m256i *)(const void *)x);
}

AVX2 static ALWAYS void below_256(const uint16_t *x, const uint16_t *what,
                                  const fr_lanes_set *in, int parts, uint16_t *sum)
{
    __m256i all[2 * FR_LANES_PARTS], acc[2 * FR_LANES_PARTS];
    for (int i = 0; i < 2 * parts; i++) {
        all[i] = load_16(x + i * 16);
        acc[i] = _mm256_setzero_si256();
    }
    for (int i = 0; i < parts; i++) {
        for (uint32_t m = in->part[i]; m != 0; m &= m - 1) {
            int q = i * PART + __builtin_ctz(m);
            __m256i v = _mm256_set1_epi16((short)x[q]),
                    w = _mm256_set1_epi16((short)what[q]);
            for (int k = 0; k < 2 * parts; k++) {
                __m256i ge = _mm256_cmpeq_epi16(_mm256_max_epu16(all[k], v), all[k]);
                acc[k] = _mm256_add_epi16(acc[k], _mm256_and_si256(ge, w));
            }
        }
    }
    for (int i = 0; i < 2 * parts; i++) {
        _mm256_store_si256((__m256i *)(void *)(sum + i * 16), acc[i]);
    }
}

AVX2 static void below_avx2(const uint16_t *x, const uint16_t *what,
                            const fr_lanes_set *in, int parts, uint16_t *sum)
{
    if (parts == 1) {
        below_256(x, what, in, 1, sum);
    } else if (parts == 2) {
        below_256(x, what, in, 2, sum);
    } else {
        below_256(x, what, in, parts, sum);
    }
}

// One bit per 16-bit lane of two vectors of all ones or all zeros.
AVX2 static ALWAYS uint32_t bits_256(__m256i low, __m256i high)
{
    __m256i bytes = _mm256_permute4x64_epi64(_mm256_packs_epi16(low, high), 0xD8);
    return (uint32_t)_mm256_movemask_epi8(bytes);
}

AVX2 static void parting_avx2(const uint16_t *sum, const fr_lanes_set *in, int parts,
                              uint32_t weight, fr_lanes_set *out)
{
    __m256i w = _mm256_set1_epi16((short)weight);
    for (int i = 0; i < parts; i++) {
        __m256i a = _mm256_srli_epi16(load_16(sum + i * PART), 8);
        __m256i b = _mm256_srli_epi16(load_16(sum + i * PART + 16), 8);
        out->part[i] =
            in->part[i] & bits_256(_mm256_cmpgt_epi16(w, a), _mm256_cmpgt_epi16(w, b));
    }
}

// Scores of 8 lanes; -1 where the low bits of `in` are clear.
AVX2 static ALWAYS __m256 score_256(const uint16_t *sum, uint32_t in, __m256 w, __m256 p)
{
    const __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    __m256i wide =
        _mm256_cvtepu16_epi32(_mm_load_si128((const __m128i *)(const void *)sum));
    __m256 wl = _mm256_cvtepi32_ps(_mm256_srli_epi32(wide, 8));
    __m256 pl = _mm256_cvtepi32_ps(_mm256_and_si256(wide, _mm256_set1_epi32(255)));
    __m256 wr = _mm256_sub_ps(w, wl), pr = _mm256_sub_ps(p, pl);
    __m256 num = _mm256_add_ps(_mm256_mul_ps(_mm256_mul_ps(pl, pl), wr),
                               _mm256_mul_ps(_mm256_mul_ps(pr, pr), wl));
    __m256i on = _mm256_and_si256(_mm256_set1_epi32((int)in), bit);
    return _mm256_blendv_ps(_mm256_set1_ps(-1), _mm256_div_ps(num, _mm256_mul_ps(wl, wr)),
                            _mm256_castsi256_ps(_mm256_cmpeq_epi32(on, bit)));
}

AVX2 static void shortlist_avx2(const uint16_t *sum, const fr_lanes_set *in, int parts,
                                uint32_t weight, uint32_t positive, fr_lanes_set *out)
{
    __m256 w = _mm256_set1_ps((float)weight), p = _mm256_set1_ps((float)positive);
    __m256 score[4 * FR_LANES_PARTS], top = _mm256_set1_ps(-1);
    for (int i = 0; i < 4 * parts; i++) {
        score[i] = score_256(sum + i * 8, in->part[i / 4] >> (i % 4 * 8), w, p);
        top = _mm256_max_ps(top, score[i]);
    }
    __m128 t = _mm_max_ps(_mm256_castps256_ps128(top), _mm256_extractf128_ps(top, 1));
    t = _mm_max_ps(t, _mm_movehl_ps(t, t));
    t = _mm_max_ss(t, _mm_shuffle_ps(t, t, 1));
    __m256 limit = _mm256_set1_ps(_mm_cvtss_f32(t) * SLACK);
    for (int i = 0; i < parts; i++) {
        uint32_t near = 0;
        for (int k = 0; k < 4; k++) {
            __m256 ge = _mm256_cmp_ps(score[4 * i + k], limit, _CMP_GE_OQ);
            near |= (uint32_t)_mm256_movemask_ps(ge) << (8 * k);
        }
        out->part[i] = near & in->part[i];
    }
}

AVX2 static uint32_t peaks_avx2(const uint32_t *below, uint32_t n, uint32_t weight,
                                uint32_t positive, float *score, uint32_t *list)
{
    const __m256i w = _mm256_set1_epi32((int)weight),
                  p = _mm256_set1_epi32((int)positive);
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    __m256 top = _mm256_set1_ps(-1);
    for (uint32_t i = 0; i < n; i += 8) {
        __m256i s = _mm256_loadu_si256((const __m256i *)(const void *)(below + i));
        __m256i wl = _mm256_and_si256(s, _mm256_set1_epi32(0xffff));
        __m256i pl = _mm256_srli_epi32(s, 16);
        __m256 a = _mm256_cvtepi32_ps(wl),
               b = _mm256_cvtepi32_ps(_mm256_sub_epi32(w, wl));
        __m256 x = _mm256_cvtepi32_ps(pl),
               y = _mm256_cvtepi32_ps(_mm256_sub_epi32(p, pl));
        __m256 num = _mm256_add_ps(_mm256_mul_ps(_mm256_mul_ps(x, x), b),
                                   _mm256_mul_ps(_mm256_mul_ps(y, y), a));
        __m256i in = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)(n - i)), lane);
        __m256 v =
            _mm256_blendv_ps(_mm256_set1_ps(-1), _mm256_div_ps(num, _mm256_mul_ps(a, b)),
                             _mm256_castsi256_ps(in));
        _mm256_storeu_ps(score + i, v);
        top = _mm256_max_ps(top, v);
    }
    __m128 t = _mm_max_ps(_mm256_castps256_ps128(top), _mm256_extractf128_ps(top, 1));
    t = _mm_max_ps(t, _mm_movehl_ps(t, t));
    t = _mm_max_ss(t, _mm_shuffle_ps(t, t, 1));
    return list_peaks(score, n, _mm_cvtss_f32(t) * SLACK, list);
}

AVX2 static uint16_t divide_avx2(const uint16_t *x, const fr_lanes_set *in, int parts,
                                 uint16_t limit, fr_lanes_set *left)
{
    __m256i v = _mm256_set1_epi16((short)limit);
    uint16_t least = UINT16_MAX;
    for (int i = 0; i < parts; i++) {
        __m256i low = load_16(x + i * PART), high = load_16(x + i * PART + 16);
        uint32_t le = bits_256(_mm256_cmpeq_epi16(_mm256_max_epu16(low, v), v),
                               _mm256_cmpeq_epi16(_mm256_max_epu16(high, v), v));
        left->part[i] = in->part[i] & le;
        for (uint32_t m = in->part[i] & ~le; m != 0; m &= m - 1) {
            least = FR_MIN(least, x[i * PART + __builtin_ctz(m)]);
        }
    }
    return least;
}

#endif

static const fr_lanes_kernel PLAIN = {
    1, below_plain, parting_plain, shortlist_plain, peaks_plain, divide_plain};
#if defined(__x86_64__)
static const fr_lanes_kernel HALF = {2,          below_avx2, parting_avx2, shortlist_avx2,
                                     peaks_avx2, divide_avx2};
static const fr_lanes_kernel WIDE = {
    4, below_avx512, parting_avx512, shortlist_avx512, peaks_avx512, divide_avx512};
#endif

const fr_lanes_kernel *fr_lanes_kernel_of(fr_lanes_isa isa)
{
#if defined(__x86_64__)
    if (isa == FR_LANES_AVX512) {
        bool ok = __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512vl") &&
                  __builtin_cpu_supports("avx512dq");
        return ok ? &WIDE : NULL;
    }
    if (isa == FR_LANES_AVX2) {
        return __builtin_cpu_supports("avx2") ? &HALF : NULL;
    }
#endif
    return isa == FR_LANES_PLAIN ? &PLAIN : NULL;
}

const fr_lanes_kernel *fr_lanes_kernel_best(void)
{
    for (int isa = FR_LANES_AVX512; isa > FR_LANES_PLAIN; isa--) {
        const fr_lanes_kernel *k = fr_lanes_kernel_of((fr_lanes_isa)isa);
        if (k != NULL) {
            return k;
        }
    }
    return &PLAIN;
}
