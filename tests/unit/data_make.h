#pragma once
// data_make -- random columns for the tests of kernels: every kind, nulls, NaN, few or
// many distinct values, slices. Static functions; include it in one test file.

#include "core/base/rand.h"
#include "core/data/compute.h"

#include <math.h>
#include <stdio.h>

static inline double make_double(fr_rand *r, uint64_t distinct)
{
    uint64_t pick = fr_rand_below(r, 24);
    double v = (double)fr_rand_below(r, distinct) - (double)distinct / 2;
    return pick == 0   ? (double)NAN
           : pick == 1 ? (double)INFINITY
           : pick == 2 ? -0.
                       : v * .5;
}

// nulls: one in `nulls` is null; 0 none. A slice of a longer array every other time.
static inline fr_array *make_random(fr_rand *r, fr_kind kind, int64_t n,
                                    uint64_t distinct, uint64_t nulls)
{
    int64_t skip = (int64_t)fr_rand_below(r, 2) * (int64_t)fr_rand_below(r, 100);
    fr_builder *b = fr_builder_new(fr_type_of(kind), n);
    int rc = FR_OK;
    for (int64_t i = 0; i < n + skip && rc == FR_OK; i++) {
        int64_t v = (int64_t)fr_rand_below(r, distinct) - (int64_t)(distinct / 2);
        char text[64];
        if (nulls > 0 && fr_rand_below(r, nulls) == 0) {
            rc = fr_builder_null(b, NULL);
        } else if (kind == FR_BOOL) {
            rc = fr_builder_bool(b, v % 2 != 0, NULL);
        } else if (kind == FR_FLOAT64 || kind == FR_FLOAT32) {
            rc = fr_builder_float(b, make_double(r, distinct), NULL);
        } else if (kind == FR_UTF8 || kind == FR_CATEGORY) {
            int len = snprintf(text, sizeof text, "%s%.*s%lld",
                               v % 3 == 0 ? "feeder_long_" : "", (int)(v & 15),
                               "aaaaaaaaaaaaaaaa", (long long)(v / 4));
            rc = fr_builder_text(b, text, (size_t)len - (v % 5 == 0), NULL);
        } else {
            size_t width = fr_kind_width(kind);
            int64_t most = width == 1 ? 100 : width == 2 ? 30000 : INT64_MAX;
            v = kind >= FR_UINT8 && kind <= FR_UINT64 ? (v < 0 ? -v : v) : v;
            rc = fr_builder_int(b, v % most, NULL);
        }
    }
    fr_array *a = NULL, *s = NULL;
    rc = rc == FR_OK ? fr_builder_finish(b, &a, NULL) : rc;
    fr_builder_free(b);
    if (rc == FR_OK) {
        s = fr_array_slice(a, skip, n);
        fr_array_unref(a);
    }
    return s;
}

static const fr_kind make_kinds[] = {
    FR_BOOL,      FR_INT64,  FR_FLOAT64, FR_UTF8,  FR_CATEGORY, FR_DATE,
    FR_TIMESTAMP, FR_INT8,   FR_INT16,   FR_INT32, FR_UINT8,    FR_UINT16,
    FR_UINT32,    FR_UINT64, FR_FLOAT32, FR_TIME,  FR_DURATION};

static inline bool make_equal(const fr_array *a, int64_t i, const fr_array *b, int64_t j)
{
    return fr_compute_compare(a, i, b, j) == 0;
}
