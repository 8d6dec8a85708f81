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
// The same for bins: prefix[i] = gradient << 32 | rows up to and including bin i, both
// below 2^31. Cuts that leave fewer than `least` (1 at least) rows on a side score 0.
int32_t fr_gain_of_bins(const int64_t *prefix, size_t n, int32_t rows, int32_t total,
                        int32_t least, float l2, int32_t *score);

// A true score is at most this times the float.
#define FR_GAIN_SLACK (1 + 0x1p-18)
