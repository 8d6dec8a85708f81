#pragma once
// order -- numbers as integers that sort the same way, and a radix sort for them.
// No state, any thread.

#include "core/base/base.h"

#include <stdint.h>
#include <string.h>

// Bit patterns whose unsigned order is the order of the numbers. NaN sorts outside the
// infinities; -0.0 and 0.0 are made equal, as comparisons have it.
static inline uint32_t fr_order_key32(float x)
{
    x += 0.0F;
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return (u & 0x80000000U) != 0 ? ~u : u | 0x80000000U;
}

static inline float fr_order_value32(uint32_t key)
{
    uint32_t u = (key & 0x80000000U) != 0 ? key & 0x7fffffffU : ~key;
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

static inline uint64_t fr_order_key64(double x)
{
    x += 0.0;
    uint64_t u;
    memcpy(&u, &x, sizeof u);
    return (u >> 63) != 0 ? ~u : u | 0x8000000000000000U;
}

static inline double fr_order_value64(uint64_t key)
{
    uint64_t u = (key >> 63) != 0 ? key & 0x7fffffffffffffffU : ~key;
    double x;
    memcpy(&x, &u, sizeof x);
    return x;
}

// Sorts by the bits from `low` upwards; equal keys keep their order. Either array may
// hold the result, which is returned; both have n elements.
uint64_t *fr_order_sort(uint64_t *keys, uint64_t *scratch, size_t n, unsigned low);
