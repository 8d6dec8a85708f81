#pragma once
// compress -- the values whose bit is set, one after the other or with zeros between. With
// AVX-512 eight at a time, else bit by bit; the same values either way. Pure, any thread.

#include <stddef.h>
#include <stdint.h>

// Of n values x by the bits of `words` (bit i of word i / 64); bits from n on are zero.
// Returns how many there are; nothing is written behind them.
size_t fr_compress_64(const uint64_t *x, const uint64_t *words, size_t n, uint64_t *to);
// The same for a result that is too large for the caches.
size_t fr_compress_64_far(const uint64_t *x, const uint64_t *words, size_t n, uint64_t *to);
size_t fr_compress_32(const uint32_t *x, const uint64_t *words, size_t n, uint32_t *to);
// Bits of `x` (as words) where `words` has ones, appended to `to` from bit `at`; those from
// `at` on are zero before. Returns the number of bits.
size_t fr_compress_bits(const uint64_t *x, const uint64_t *words, size_t n, uint64_t *to,
                        size_t at);
// All n values, those without a bit as zero.
void fr_compress_zero(const double *x, const uint64_t *words, size_t n, double *to);
// All n bits as 0 and 1.
void fr_compress_flags(const uint64_t *words, size_t n, uint16_t *to);
// All n values; those without a bit as value & keep + add.
void fr_compress_divert(const uint32_t *x, const uint64_t *words, size_t n, uint32_t keep,
                        uint32_t add, uint32_t *to);
