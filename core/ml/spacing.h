#pragma once
// spacing -- the regular step of a time column, and times on its grid.
//
// Times must rise. The step is the smallest difference, of which all others must be
// multiples (the rows between are gaps), or a number of calendar months when all times
// stand at the same day of the month (or at its end). Zoned times that are regular only
// on the clock of their zone (days across a change to summer time) are taken so. Pure,
// any thread.

#include "core/data/array.h"

typedef struct fr_spacing {
    fr_type type;  // DATE or TIMESTAMP
    int64_t first; // in the column's unit
    int64_t step;  // in the column's unit; 0 when in months
    int32_t months;
    bool month_end;
    bool local; // step and months count on the zone's clock
} fr_spacing;

// Finds the step of n >= 2 times and the rows of the grid from the first to the last;
// at[i] is the 0-based grid row of time i. Errors name the row (FR_EINVAL).
FR_NODISCARD int fr_spacing_find(const fr_array *time, fr_spacing *out, int64_t *at,
                                 int64_t *rows, fr_err *err);
// The times of grid rows [from, from + n) as an array of the column's type.
FR_NODISCARD int fr_spacing_times(const fr_spacing *s, int64_t from, int64_t n,
                                  fr_array **out, fr_err *err);
// "1h", "7d", "1 month".
void fr_spacing_text(const fr_spacing *s, char out[64]);
