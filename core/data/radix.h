#pragma once
// radix -- stable order of (key, row) records, least significant digit first. Any thread.
//
// The order of a stable sort is unique, so unlike elsewhere the rows may be cut by the
// number of threads.

#include "core/base/err.h"

#include <stdint.h>

typedef struct fr_radix32 {
    uint32_t key, row;
} fr_radix32;

typedef struct fr_radix64 {
    uint64_t key;
    uint32_t row, unused;
} fr_radix64;

// Sorts n records by their lowest `bits` bits and writes the rows in order. Both arrays
// are 64-byte aligned; their contents are lost.
FR_NODISCARD int fr_radix32_sort(fr_radix32 *a, fr_radix32 *b, size_t n, int bits,
                                 uint32_t *rows, fr_err *err);
FR_NODISCARD int fr_radix64_sort(fr_radix64 *a, fr_radix64 *b, size_t n, int bits,
                                 uint32_t *rows, fr_err *err);
