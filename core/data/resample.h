#pragma once
// resample -- times to the start of the step they fall into, and the steps without rows
// (frame:resample). Any thread.
//
// Steps of up to an hour are elapsed time from the full hour or day: where the clock goes
// back, its two hours are two steps. Longer ones ("6h", "1d", "1w", "1mo") are steps of the
// local clock and calendar: a day is 23 or 25 hours long where the clock changes. Steps
// within a day divide it. Several days count from 1970-01-01, weeks start on Monday.

#include "core/data/frame.h"

// `times`: DATE or TIMESTAMP. The result has its type.
FR_NODISCARD int fr_resample_floor(const fr_array *times, const char *freq, fr_array **out,
                                   fr_err *err);
// Of rows sorted by `by` and, within, by different starts of steps: the starts between
// neighbours that no row has. row[i] (UINT32) is the row before the i-th of them.
FR_NODISCARD int fr_resample_gaps(const fr_array *const *by, size_t n, const fr_array *starts,
                                  const char *freq, fr_array **row, fr_array **out, fr_err *err);
