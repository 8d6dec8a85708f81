#pragma once
// duration -- aggregates of durations that are no durations on the way: mean, median,
// quantile and std are numbers of units, rounded to whole ones at the end.
// Stateless; any thread.

#include "core/data/compute.h"

bool fr_duration_rounds(fr_op op, const fr_type *in); // op of `in` goes through numbers
// The same values as INT64; shares the buffers.
fr_array *fr_duration_numbers(const fr_array *a);
// Doubles, rounded half to even, as `type`. FR_EOVERFLOW names the row.
FR_NODISCARD int fr_duration_round(const fr_array *x, fr_type type, fr_array **out,
                                   fr_err *err);
FR_NODISCARD int fr_duration_round_one(fr_scalar *v, fr_type type, fr_err *err);
