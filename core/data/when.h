#pragma once
// when -- dates, timestamps and durations as text, and calendar arithmetic (proleptic
// Gregorian, no leap seconds). Pure, any thread.

#include "core/base/err.h"
#include "core/data/array.h"

#include <stdint.h>

int64_t fr_when_days(int64_t year, int month, int day);          // since 1970-01-01
void fr_when_civil(int64_t days, int64_t *year, int *month, int *day);
bool fr_when_valid(int64_t year, int month, int day);            // is there such a day
int64_t fr_unit_per_second(fr_unit unit);                        // 1 … 1e9
static inline int64_t fr_floor_div(int64_t a, int64_t b)         // b > 0
{
    int64_t q = a / b;
    return q - (a % b < 0);
}

// What a text said: local seconds since 1970 as written, and the rest.
typedef struct fr_when {
    int64_t seconds;
    int32_t nanos;
    int8_t digits;            // of the fraction as written
    bool has_time, has_offset;
    int32_t offset_s;         // east of UTC
} fr_when;

// ISO 8601 as files have it: 2024-01-31, optionally [T or blank]HH:MM[:SS[.fraction]] and
// Z or +HH[[:]MM]. The whole of s[0..n) must match and be a real day and time.
bool fr_when_parse(const char *s, size_t n, fr_when *out);
// HH:MM[:SS[.fraction]] as nanoseconds since midnight.
bool fr_when_parse_time(const char *s, size_t n, int64_t *out);
// By a strptime format: %Y %y %m %d %e %H %I %M %S %f %p %b %B %j %z %F %T %D %R %s %%;
// numbers may lack leading zeros; %y is 1969-2068; blanks match any number of blanks.
bool fr_when_scan(const char *format, const char *s, size_t n, fr_when *out);
// FR_EINVAL naming the directive that is not known. *has_time: %H, %I, %T or %s is there.
FR_NODISCARD int fr_when_check(const char *format, bool *has_time, bool *has_offset, fr_err *err);
// In units since 1970: UTC when an offset was given, else local. False when out of range.
// Digits beyond the unit are cut.
bool fr_when_value(const fr_when *w, fr_unit unit, int64_t *out);

enum { FR_WHEN_MAX = 56 };
size_t fr_when_print_date(int64_t days, char out[FR_WHEN_MAX]);             // 2024-01-31
// 2024-01-31 10:00:00[.fraction, trailing zeros in threes dropped]; `offset_s` shifts a UTC
// value to local time and, with `zoned`, is written as +HH:MM (Z for 0).
size_t fr_when_print(int64_t value, fr_unit unit, bool zoned, int32_t offset_s,
                     char out[FR_WHEN_MAX]);
size_t fr_when_print_time(int64_t nanos, char out[FR_WHEN_MAX]);            // 10:00:00[.f]
size_t fr_when_print_duration(int64_t value, fr_unit unit, char out[FR_WHEN_MAX]);  // 1d2h3s4ms

// "90s", "1h30m", "15min", "-2d", "250ms", "1w": nanoseconds. Units: ns us ms s m min h d w.
bool fr_when_parse_duration(const char *s, size_t n, int64_t *nanos);
