#pragma once
// corr -- linear correlation of two columns, over the rows where both are there. Two
// passes over fixed chunks: the same bits at any thread count. Any thread.

#include "core/data/array.h"

// *rows: how many counted. *r is NaN below two rows, for a constant column, and for NaN.
FR_NODISCARD int fr_corr(const fr_array *a, const fr_array *b, double *r, int64_t *rows,
                         fr_err *err);
