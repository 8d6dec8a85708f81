#pragma once
// gram -- means, and the products of centred columns, in one pass over the rows.
//
// Columns are shifted by a guess of their means (standard.h) and scaled by a power of two;
// what the guess missed is taken away from the sums. The bits do not depend on threads
// (pass.h). Any thread.

#include "core/base/err.h"
#include "core/ml/columns.h"

#include <stdbool.h>

// Of x's columns and, unless NULL, y as the last, width in all: mean[width] (0 without
// `centre`) and product[width * width], the lower triangle. `what` is for messages.
FR_NODISCARD int fr_gram_run(const fr_columns *x, const double *y, bool centre,
                             double *mean, double *product, const char *what,
                             fr_err *err);
