#pragma once
// join -- rows of two frames with equal keys (frames.md A1, A6).
//
// Rows come in left order, for one left row in right order; rows of the right alone
// follow in right order. Null keys match nothing. The result has the left columns, then
// the right ones that are no keys; a name that is taken gets the suffix. Keys of rows
// that only the right has are the right's. Any thread; the same bits at any thread count.

#include "core/data/frame.h"

typedef enum fr_join_how {
    FR_JOIN_INNER,
    FR_JOIN_LEFT,
    FR_JOIN_RIGHT, // inner, and the right rows without a match
    FR_JOIN_FULL,
    FR_JOIN_SEMI, // left rows that have a match, left columns only
    FR_JOIN_ANTI, // left rows that have none
    FR_JOIN_CROSS, // every left row with every right row; no keys
} fr_join_how;

typedef struct fr_join_on {
    const char *const *left, *const *right; // names of the keys
    size_t n;
} fr_join_on;

FR_NODISCARD int fr_join(const fr_frame *left, const fr_frame *right, fr_join_on on,
                         fr_join_how how, const char *suffix, fr_frame **out,
                         fr_err *err);

typedef enum fr_asof {
    FR_ASOF_BACKWARD, // the last right row at or before
    FR_ASOF_FORWARD,  // the first right row at or after
    FR_ASOF_NEAREST,  // the nearer of the two; backward when equally far
} fr_asof;

// Every left row with at most one right row: that of equal `by` keys whose `at` is
// nearest in the direction, not farther than `tolerance` (in the unit of a numeric `at`,
// in nanoseconds of a time; negative: no limit). Of rows with equal `at` the last. Null
// and NaN match nothing.
FR_NODISCARD int fr_join_asof(const fr_frame *left, const fr_frame *right,
                              const char *at_left, const char *at_right, fr_join_on by,
                              fr_asof direction, double tolerance, const char *suffix,
                              fr_frame **out, fr_err *err);
