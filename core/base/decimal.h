#pragma once
// decimal -- doubles as text: correctly rounded reading, shortest exact writing.
// Independent of the locale, no state, any thread.
//
// Reading is Eisel-Lemire (Lemire, "Number parsing at a gigabyte per second", 2021) with an
// exact fallback; writing is Schubfach (Giulietti 2020). Both use one table of 128-bit
// powers of ten, decimal_table.c, which tools/make_decimal_table.lua makes.

#include "core/base/base.h"

#include <stdbool.h>
#include <stdint.h>

// The whole of s[0..n) must be a number: [+-] digits [. digits] [e [+-] digits], or inf,
// infinity, nan in any case. Overflow gives an infinity, underflow zero, as strtod does.
bool fr_decimal_parse(const char *s, size_t n, double *out);
// The same for a float: rounded once, not by way of a double.
bool fr_decimal_parse_float(const char *s, size_t n, float *out);
// digits * 10^exponent, correctly rounded. `digits` exact (at most 19 digits).
double fr_decimal_scale(uint64_t digits, int exponent);
// [+-] digits; false when it is not that or does not fit.
bool fr_decimal_parse_int(const char *s, size_t n, int64_t *out);

enum { FR_DECIMAL_MAX = 32 };
// The shortest text that reads back as the same double; always has a '.', an 'e', or is
// inf, -inf, nan, so that it reads as a double again. Returns its length; NUL-terminated.
size_t fr_decimal_print(double x, char out[FR_DECIMAL_MAX]);
size_t fr_decimal_print_int(int64_t v, char out[FR_DECIMAL_MAX]);

// The top 128 bits (high, low) of 10^(i - 342): cut for positive powers, rounded up for
// negative ones.
extern const uint64_t fr_decimal_powers[667][2];
