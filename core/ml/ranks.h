#pragma once
// ranks -- every feature as the rank of its value among the distinct values of its
// column.
//
// Trees only compare, so a split found on ranks is the split on the values. Values count
// as float32, as scikit-learn's trees have it. Up to 65,536 distinct values a rank is
// exact; beyond (or beyond `most`), ranks are quantiles that never part equal values.
// Lifetime: made and freed by one thread, shared read-only in between.

#include "core/base/err.h"
#include "core/ml/columns.h"

#include <stdbool.h>

enum { FR_RANKS_EXACT = 65536 };

typedef struct fr_ranks {
    size_t rows, features;
    uint16_t **rank;     // [feature][row]
    uint32_t *bins;      // [feature]
    bool *missing;       // [feature]: whether the last bin is that of NaN
    float **low, **high; // [feature][bin]: least and greatest value in it
    uint16_t *by_row;    // rank again, [row][feature], or NULL
} fr_ranks;

// FR_EINVAL names the column and row of a NaN unless x->missing; FR_ELIMIT beyond 2^31 rows.
FR_NODISCARD int fr_ranks_new(const fr_columns *x, uint32_t most, fr_ranks **out,
                              fr_err *err);
void fr_ranks_free(fr_ranks *r); // NULL is fine
// Makes by_row when the ranks are too many for a cache and it is worth the memory.
void fr_ranks_turn(fr_ranks *r);
// The cut between two bins: the middle of their facing values, rounded down so that
// `value <= cut` parts float32 numbers as the exact middle does.
float fr_ranks_cut(const fr_ranks *r, size_t feature, uint32_t left, uint32_t right);
