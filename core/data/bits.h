#pragma once
// bits -- bitmaps as Arrow has them: bit i is bit (i & 7) of byte i >> 3. No state, any
// thread.
//
// Functions that read at an arbitrary bit offset never touch bytes outside the range, so
// they work on slices and on mapped files.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline bool fr_bits_get(const uint8_t *bits, int64_t i)
{
    return bits[i >> 3] >> (i & 7) & 1;
}
static inline void fr_bits_set(uint8_t *bits, int64_t i)
{
    bits[i >> 3] = (uint8_t)(bits[i >> 3] | 1U << (i & 7));
}
static inline void fr_bits_clear(uint8_t *bits, int64_t i)
{
    bits[i >> 3] = (uint8_t)(bits[i >> 3] & ~(1U << (i & 7)));
}
static inline size_t fr_bits_bytes(int64_t n) { return ((size_t)n + 7) / 8; }
// 64 bits from bit `at` (those at and beyond `end` read as zero).
uint64_t fr_bits_word_any(const uint8_t *bits, int64_t at, int64_t end);
static inline uint64_t fr_bits_word(const uint8_t *bits, int64_t at, int64_t end)
{
    uint64_t w;
    if ((at & 7) != 0 || end - at < 64) {
        return fr_bits_word_any(bits, at, end);
    }
    memcpy(&w, bits + (at >> 3), sizeof w);
    return w;
}
int64_t fr_bits_count(const uint8_t *bits, int64_t at, int64_t n); // ones
// Copies n bits; `to_at` may be anything; other bits of the target stay as they are.
void fr_bits_copy(uint8_t *to, int64_t to_at, const uint8_t *from, int64_t at, int64_t n);
void fr_bits_fill(uint8_t *to, int64_t at, int64_t n, bool value);
