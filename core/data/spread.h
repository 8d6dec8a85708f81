#pragma once
// spread -- a column's values side by side, one column per key (frame:pivot). Any thread.

#include "core/data/frame.h"

typedef struct fr_spread {
    fr_block *first;   // uint32: a row of each line of the result, in key order
    int64_t lines;
    fr_array *keys;    // what the columns stand for, in order, null last
    fr_array **cols;   // one per key: null where there is no such row
    size_t n;
} fr_spread;

// Lines are the different values of `index` (n of them; none: one line). Two rows of one
// line and one key are FR_EINVAL naming the row; more than FR_SPREAD_MAX keys FR_ELIMIT.
enum { FR_SPREAD_MAX = 10000 };
FR_NODISCARD int fr_spread_init(fr_spread *s, const fr_array *const *index, size_t n,
                                const fr_array *key, const fr_array *values, fr_err *err);
void fr_spread_fini(fr_spread *s);
