#include "core/data/bits.h"

#include <string.h>

uint64_t fr_bits_word_any(const uint8_t *bits, int64_t at, int64_t end)
{
    int64_t n = end - at;
    if (n <= 0) {
        return 0;
    }
    const uint8_t *p = bits + (at >> 3);
    unsigned shift = (unsigned)(at & 7);
    uint64_t w = 0;
    if (n >= 64) {
        memcpy(&w, p, 8);
        w >>= shift;
        return shift == 0 ? w : w | (uint64_t)p[8] << (64 - shift);
    }
    size_t bytes = (shift + (size_t)n + 7) / 8;
    memcpy(&w, p, bytes < 8 ? bytes : 8);
    w >>= shift;
    if (bytes == 9) {
        w |= (uint64_t)p[8] << (64 - shift);
    }
    return w & ((UINT64_C(1) << n) - 1);
}

int64_t fr_bits_count(const uint8_t *bits, int64_t at, int64_t n)
{
    int64_t ones = 0, end = at + n;
    for (int64_t i = at; i < end; i += 64) {
        ones += __builtin_popcountll(fr_bits_word(bits, i, end));
    }
    return ones;
}

void fr_bits_copy(uint8_t *to, int64_t to_at, const uint8_t *from, int64_t at, int64_t n)
{
    while (n > 0 && (to_at & 7) != 0) {
        if (fr_bits_get(from, at)) {
            fr_bits_set(to, to_at);
        } else {
            fr_bits_clear(to, to_at);
        }
        to_at++;
        at++;
        n--;
    }
    if ((at & 7) == 0) {
        memcpy(to + (to_at >> 3), from + (at >> 3), (size_t)(n >> 3));
        to_at += n & ~INT64_C(7);
        at += n & ~INT64_C(7);
        n &= 7;
    }
    for (; n >= 64; n -= 64, at += 64, to_at += 64) {
        uint64_t w = fr_bits_word(from, at, at + 64);
        memcpy(to + (to_at >> 3), &w, 8);
    }
    for (; n > 0; n--, at++, to_at++) {
        if (fr_bits_get(from, at)) {
            fr_bits_set(to, to_at);
        } else {
            fr_bits_clear(to, to_at);
        }
    }
}

void fr_bits_fill(uint8_t *to, int64_t at, int64_t n, bool value)
{
    int64_t end = at + n;
    for (; at < end && (at & 7) != 0; at++) {
        if (value) {
            fr_bits_set(to, at);
        } else {
            fr_bits_clear(to, at);
        }
    }
    int64_t whole = (end - at) >> 3;
    if (whole > 0) {
        memset(to + (at >> 3), value ? 0xff : 0, (size_t)whole);
        at += whole << 3;
    }
    for (; at < end; at++) {
        if (value) {
            fr_bits_set(to, at);
        } else {
            fr_bits_clear(to, at);
        }
    }
}
