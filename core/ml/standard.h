#pragma once
// standard -- columns centred and scaled by their deviations, a block of rows at a time.
//
// Models that minimise something work in these units and give coefficients in the user's.
// Means are summed twice (the second time of small differences). The bits do not depend on
// threads (pass.h). Owned by the one that initialised it; any thread.

#include "core/base/err.h"
#include "core/ml/columns.h"

typedef struct fr_standard {
    const fr_columns *x; // borrowed
    double *mean, *scale; // [count]; a constant column has scale 1
} fr_standard;

enum { FR_STANDARD_BLOCK = 256 }; // most rows of a block

// Without `centre` the means are 0. `what` is for messages. fr_standard_fini also after a
// failure.
FR_NODISCARD int fr_standard_init(fr_standard *s, const fr_columns *x, bool centre,
                                  const char *what, fr_err *err);
void fr_standard_fini(fr_standard *s);
// z[j * FR_STANDARD_BLOCK + i] = column j of row from + i.
void fr_standard_block(const fr_standard *s, size_t from, size_t rows, double *z);
