#pragma once
// gather -- columns of a frame as the features of a model: doubles, NaN where null.
//
// Columns of doubles without nulls are used as they are, so the frame must outlive the
// fr_gathered. Owned by the one that made it; any thread.

#include "core/data/frame.h"
#include "core/ml/columns.h"

typedef struct fr_gathered {
    fr_columns x;
    const double **column;
    double **owned; // [count], NULL where a column's buffer is used
} fr_gathered;

// The named columns. Types that are no numbers are errors with a hint, nulls too unless
// `missing`. After a failure there is nothing to free.
FR_NODISCARD int fr_gather(const fr_frame *x, const char *const *feature, size_t n,
                           bool missing, fr_gathered *g, fr_err *err);
void fr_gathered_fini(fr_gathered *g);
// Refuses NaN among v, the values of a; `name` is for the message.
FR_NODISCARD int fr_gather_check(const fr_array *a, const double *v, const char *name,
                                 fr_err *err);
