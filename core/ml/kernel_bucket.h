#pragma once
// kernel_bucket -- which buckets of rows may hold a good cut (boost_bucket.c). Pure, any
// thread; what is flagged differs between machines at most in cuts that are not better.
//
// Prefix sums have one more element than there are buckets: [i] is of what lies before
// bucket i. The score of a cut is the sum over both sides of gradient^2 / rows.

#include "core/base/base.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct fr_bucket_sums {
    int64_t gradient[257]; // |sums| below 2^51
    int64_t reach[256];    // of each bucket: at least the sum of its |gradients|
    int32_t rows[257];
    uint32_t count;
} fr_bucket_sums;

typedef struct fr_bucket_node {
    float rows, total; // of all buckets
    float limit;       // the score that is looked for
    float most;        // no gradient is greater
} fr_bucket_node;

// flag[i] is 1 where the cut after bucket i may score `limit` or more. flag has 256.
void fr_bucket_between(const fr_bucket_sums *s, const fr_bucket_node *n, uint8_t *flag);
// flag[i] is 1 where a cut inside bucket i may.
void fr_bucket_inside(const fr_bucket_sums *s, const fr_bucket_node *n, uint8_t *flag);
