#pragma once
// cut -- numbers into intervals, an ordered category (frame:cut). Any thread.

#include "core/data/array.h"

typedef struct fr_cut {
    const double *edges;        // ascending, n + 1 of them for n intervals
    const char *const *labels;  // n, all different
    size_t n;
    bool left;                  // [a, b) instead of (a, b]
    bool whole;                 // the outermost closed end is included too
} fr_cut;

// Null, NaN and numbers outside are null. FR_EINVAL for edges that do not rise.
FR_NODISCARD int fr_cut_values(const fr_array *a, const fr_cut *spec, fr_array **out,
                               fr_err *err);
