#include "core/data/compress.h"

#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define WIDE __attribute__((target("avx512f,avx512vl,avx512bw,bmi2")))

static bool wide(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("bmi2");
}

WIDE static size_t wide_64(const uint64_t *x, const uint64_t *words, size_t n, uint64_t *to)
{
    uint64_t *from = to;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __mmask8 m = (__mmask8)(words[i / 64] >> (i % 64));
        __m512i v = _mm512_loadu_si512((const void *)(x + i));
        unsigned count = (unsigned)__builtin_popcount(m);
        // Not beyond the last one: what follows may be another thread's.
        _mm512_mask_storeu_epi64((void *)to, (__mmask8)((1U << count) - 1),
                                 _mm512_maskz_compress_epi64(m, v));
        to += count;
    }
    for (; i < n; i++) {
        if (words[i / 64] >> (i % 64) & 1) {
            *to++ = x[i];
        }
    }
    return (size_t)(to - from);
}

// Past the caches: a line goes to memory whole, without being read first.
enum { STAGE = 1024 };

WIDE static size_t far_64(const uint64_t *x, const uint64_t *words, size_t n, uint64_t *to)
{
    _Alignas(64) uint64_t stage[STAGE + 16];
    uint64_t *from = to;
    size_t held = 0, head = (64 - ((uintptr_t)to & 63)) % 64 / 8;
    for (size_t at = 0; at < n; at += STAGE) {
        size_t rows = n - at < STAGE ? n - at : STAGE, done = 0;
        held += wide_64(x + at, words + at / 64, rows, stage + held);
        if (held < head + 8) {
            continue;
        }
        memcpy(to, stage, head * sizeof *to);
        for (done = head; done + 8 <= held; done += 8) {
            _mm512_stream_si512((void *)(to + done), _mm512_loadu_si512((void *)(stage + done)));
        }
        to += done;
        held -= done;
        memcpy(stage, stage + done, held * sizeof *to);
        head = 0;
    }
    memcpy(to, stage, held * sizeof *to);
    _mm_sfence();
    return (size_t)(to - from) + held;
}

WIDE static size_t wide_32(const uint32_t *x, const uint64_t *words, size_t n, uint32_t *to)
{
    uint32_t *from = to;
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __mmask16 m = (__mmask16)(words[i / 64] >> (i % 64));
        __m512i v = _mm512_loadu_si512((const void *)(x + i));
        unsigned count = (unsigned)__builtin_popcount(m);
        _mm512_mask_storeu_epi32((void *)to, (__mmask16)((1U << count) - 1),
                                 _mm512_maskz_compress_epi32(m, v));
        to += count;
    }
    for (; i < n; i++) {
        if (words[i / 64] >> (i % 64) & 1) {
            *to++ = x[i];
        }
    }
    return (size_t)(to - from);
}

WIDE static void wide_zero(const double *x, const uint64_t *words, size_t n, double *to)
{
    for (size_t i = 0; i < n; i += 8) {
        __mmask8 room = (__mmask8)(n - i >= 8 ? 0xff : (1U << (n - i)) - 1);
        __mmask8 m = (__mmask8)(words[i / 64] >> (i % 64)) & room;
        _mm512_mask_storeu_pd(to + i, room, _mm512_maskz_loadu_pd(m, x + i));
    }
}

WIDE static void wide_flags(const uint64_t *words, size_t n, uint16_t *to)
{
    for (size_t i = 0; i < n; i += 32) {
        __mmask32 room = (__mmask32)(n - i >= 32 ? UINT32_MAX : (1U << (n - i)) - 1);
        __mmask32 m = (__mmask32)(words[i / 64] >> (i % 64));
        _mm512_mask_storeu_epi16(to + i, room, _mm512_maskz_set1_epi16(m, 1));
    }
}

WIDE static void wide_divert(const uint32_t *x, const uint64_t *words, size_t n, uint32_t keep,
                             uint32_t add, uint32_t *to)
{
    __m512i kept = _mm512_set1_epi32((int)keep), added = _mm512_set1_epi32((int)add);
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 room = (__mmask16)(n - i >= 16 ? 0xffff : (1U << (n - i)) - 1);
        __mmask16 m = (__mmask16)(words[i / 64] >> (i % 64));
        __m512i v = _mm512_maskz_loadu_epi32(room, x + i);
        __m512i other = _mm512_add_epi32(_mm512_and_si512(v, kept), added);
        _mm512_mask_storeu_epi32(to + i, room, _mm512_mask_blend_epi32(m, other, v));
    }
}

WIDE static uint64_t wide_bits(uint64_t x, uint64_t mask) { return _pext_u64(x, mask); }
#else
static bool wide(void) { return false; }
static size_t wide_64(const uint64_t *x, const uint64_t *words, size_t n, uint64_t *to)
{
    (void)x, (void)words, (void)to;
    return n;
}
static size_t wide_32(const uint32_t *x, const uint64_t *words, size_t n, uint32_t *to)
{
    (void)x, (void)words, (void)to;
    return n;
}
static void wide_zero(const double *x, const uint64_t *words, size_t n, double *to)
{
    (void)x, (void)words, (void)n, (void)to;
}
static void wide_flags(const uint64_t *words, size_t n, uint16_t *to)
{
    (void)words, (void)n, (void)to;
}
static void wide_divert(const uint32_t *x, const uint64_t *words, size_t n, uint32_t keep,
                        uint32_t add, uint32_t *to)
{
    (void)x, (void)words, (void)n, (void)keep, (void)add, (void)to;
}
static uint64_t wide_bits(uint64_t x, uint64_t mask) { return x & mask; }
#endif

#define PLAIN(type)                                                                      \
    type *from = to;                                                                     \
    for (size_t at = 0; at < n; at += 64) {                                              \
        uint64_t w = words[at / 64];                                                     \
        if (w == UINT64_MAX) {                                                           \
            memcpy(to, x + at, 64 * sizeof(type));                                       \
            to += 64;                                                                    \
            continue;                                                                    \
        }                                                                                \
        for (; w != 0; w &= w - 1) {                                                     \
            *to++ = x[at + (size_t)__builtin_ctzll(w)];                                  \
        }                                                                                \
    }                                                                                    \
    return (size_t)(to - from)

size_t fr_compress_64(const uint64_t *x, const uint64_t *words, size_t n, uint64_t *to)
{
    if (wide()) {
        return wide_64(x, words, n, to);
    }
    PLAIN(uint64_t);
}

size_t fr_compress_64_far(const uint64_t *x, const uint64_t *words, size_t n, uint64_t *to)
{
    if (wide()) {
        return far_64(x, words, n, to);
    }
    PLAIN(uint64_t);
}

size_t fr_compress_32(const uint32_t *x, const uint64_t *words, size_t n, uint32_t *to)
{
    if (wide()) {
        return wide_32(x, words, n, to);
    }
    PLAIN(uint32_t);
}

static uint64_t plain_bits(uint64_t x, uint64_t mask)
{
    uint64_t out = 0;
    for (int k = 0; mask != 0; mask &= mask - 1, k++) {
        out |= (x >> __builtin_ctzll(mask) & 1) << k;
    }
    return out;
}

size_t fr_compress_bits(const uint64_t *x, const uint64_t *words, size_t n, uint64_t *to,
                        size_t at)
{
    size_t from = at;
    bool fast = wide();
    for (size_t i = 0; i * 64 < n; i++) {
        uint64_t bits = fast ? wide_bits(x[i], words[i]) : plain_bits(x[i], words[i]);
        size_t count = (size_t)__builtin_popcountll(words[i]), shift = at % 64;
        to[at / 64] |= bits << shift;
        if (shift + count > 64) {
            to[at / 64 + 1] |= bits >> (64 - shift);
        }
        at += count;
    }
    return at - from;
}

void fr_compress_zero(const double *x, const uint64_t *words, size_t n, double *to)
{
    if (wide()) {
        wide_zero(x, words, n, to);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        uint64_t bits; // the null's slot may hold anything: no arithmetic with it
        memcpy(&bits, x + i, sizeof bits);
        bits &= 0 - (words[i / 64] >> (i % 64) & 1);
        memcpy(to + i, &bits, sizeof bits);
    }
}

void fr_compress_flags(const uint64_t *words, size_t n, uint16_t *to)
{
    if (wide()) {
        wide_flags(words, n, to);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        to[i] = (uint16_t)(words[i / 64] >> (i % 64) & 1);
    }
}

void fr_compress_divert(const uint32_t *x, const uint64_t *words, size_t n, uint32_t keep,
                        uint32_t add, uint32_t *to)
{
    if (wide()) {
        wide_divert(x, words, n, keep, add, to);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        to[i] = words[i / 64] >> (i % 64) & 1 ? x[i] : (x[i] & keep) + add;
    }
}
