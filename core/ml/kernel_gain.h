#pragma once
// kernel_gain -- the gains of many cuts at once. Pure, any thread; the same bits on every
// machine.
//
// A cut parts `rows` rows whose gradients sum to `total`; its score is the sum over both
// sides of gradient^2 / (rows + l2). Scores are floats within SLACK of the true value and
// never negative; they are handed out as bit patterns, whose integer order is theirs.

#include "core/base/base.h"

#include <stdint.h>

// score[i] of n cuts: below + i rows lie left of it, with gradients sum[i], both sides
// not empty. |sum| and |total| < 2^51. Returns the greatest.
int32_t fr_gain_of_sums(const int64_t *sum, int32_t below, size_t n, int32_t rows,
                        int64_t total, int32_t *score);
// The same for bins: prefix[i] = gradient << shift | rows up to and including bin i, rows
// below 2^shift and 2^31, |gradient| below 2^51. Cuts that leave fewer than `least` (1 at
// least) rows on a side score 0.
typedef struct fr_gain_bins {
    unsigned shift;
    int32_t rows, least;
    int64_t total;
    float l2;
} fr_gain_bins;
int32_t fr_gain_of_bins(const int64_t *prefix, size_t n, const fr_gain_bins *node,
                        int32_t *score);

// A true score is at most this times the float.
#define FR_GAIN_SLACK (1 + 0x1p-18)
