#pragma once
// standard -- columns centred and scaled by their deviations, a block of rows at a time.
//
// Models that minimise something work in these units and give coefficients in the user's.
// Means are summed twice (the second time of small differences); of many rows once, as
// differences to a guess from some of them. The bits do not depend on threads (pass.h).
// Owned by the one that initialised it; any thread.

#include "core/base/err.h"
#include "core/ml/columns.h"

typedef struct fr_standard {
    const fr_columns *x; // borrowed
    double *mean, *scale; // [count]; a constant column has scale 1
} fr_standard;

enum {
    FR_STANDARD_BLOCK = 256,     // most rows of a block
    FR_STANDARD_MANY = 1 << 15, // from so many rows, a guess is worth it
};

// Without `centre` the means are 0. `what` is for messages. fr_standard_fini also after a
// failure.
FR_NODISCARD int fr_standard_init(fr_standard *s, const fr_columns *x, bool centre,
                                  const char *what, fr_err *err);
void fr_standard_fini(fr_standard *s);
// The mean of about a thousand rows spread over all (0 without `centre`); *deviation is how
// far they are from it, the root of the mean square.
double fr_standard_guess(const double *v, size_t rows, bool centre, double *deviation);
// z[j * FR_STANDARD_BLOCK + i] = column j of row from + i.
void fr_standard_block(const fr_standard *s, size_t from, size_t rows, double *z);
