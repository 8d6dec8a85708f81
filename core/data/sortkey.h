#pragma once
// sortkey -- values as uint64 whose unsigned order is the order of frames.md A6.
// Of doubles: -0.0 is 0.0, all NaN are one and above everything. No state, any thread.

#include "core/data/array.h"

#include <string.h>

static inline uint64_t fr_sortkey_i64(int64_t v)
{
    return (uint64_t)v ^ (UINT64_C(1) << 63);
}

static inline uint64_t fr_sortkey_f64(double v)
{
    uint64_t u;
    v += 0.0; // -0.0 becomes 0.0
    memcpy(&u, &v, sizeof u);
    u = v != v ? UINT64_C(0x7ff8000000000000) : u;
    return u ^ ((uint64_t)((int64_t)u >> 63) | UINT64_C(1) << 63);
}

static inline double fr_sortkey_to_f64(uint64_t key)
{
    uint64_t u = key ^ (((key >> 63) - 1) | UINT64_C(1) << 63);
    double v;
    memcpy(&v, &u, sizeof v);
    return v;
}

// Of a value that is not null; not text (its ranks come from sort.c).
static inline uint64_t fr_sortkey_of(const fr_array *a, int64_t i)
{
    if (a->type.kind == FR_FLOAT64 || a->type.kind == FR_FLOAT32) {
        return fr_sortkey_f64(fr_array_number(a, i));
    }
    int64_t v = fr_array_int(a, i);
    return a->type.kind == FR_UINT64 ? (uint64_t)v : fr_sortkey_i64(v);
}
