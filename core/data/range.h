#pragma once
// range -- evenly spaced times (frame.date_range). Pure, any thread.

#include "core/data/array.h"

// A step: nanoseconds, or days or months of the calendar. One of them is not 0.
typedef struct fr_step {
    int64_t nanos, days, months;
} fr_step;

// "15min", "1h", "1d", "1w", "1mo", "1q", "1y". `what` starts the message.
FR_NODISCARD int fr_step_parse(const char *what, const char *text, fr_step *out, fr_err *err);

typedef struct fr_range {
    const char *start; // "2023-01-01", "2023-01-01 06:00"; with an offset if zoned
    const char *end;   // NULL, or the last time that may be in
    int64_t periods;   // -1 when `end` tells
    // "15min", "1h30m": of elapsed time. "1d", "2w": days of the calendar, the same local
    // time each day, also where the clock changes. "1mo", "1q", "1y": the same day of the
    // month, or its last one.
    const char *freq;
    const char *zone; // "" = naive
    fr_unit unit;
} fr_range;

// FR_EINVAL for a local time that does not exist, or exists twice, when it is the start.
// Later ones are moved forward by the gap, or taken the first time, as calendars do.
FR_NODISCARD int fr_range_times(const fr_range *spec, fr_array **out, fr_err *err);
