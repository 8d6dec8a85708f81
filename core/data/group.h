#pragma once
// group -- aggregates of rows with equal keys. Groups come in key order, nulls last (as
// sort); a null is a group of its own. Results have the same bits at any thread count.
// Lifetime: owned by its maker, one thread at a time.

#include "core/data/compute.h"

typedef struct fr_group fr_group;

typedef struct fr_group_call {
    fr_op op;
    const fr_array *input; // NULL for FR_OP_ROWS
    double q;              // FR_OP_QUANTILE
} fr_group_call;

// n = 0: all rows are one group (also when there are none).
FR_NODISCARD int fr_group_new(const fr_array *const *keys, size_t n, int64_t rows,
                              fr_group **out, fr_err *err);
void fr_group_free(fr_group *g); // NULL is fine
FR_NODISCARD int fr_group_count(fr_group *g, int64_t *groups, fr_err *err);
FR_NODISCARD int fr_group_key(fr_group *g, size_t k, fr_array **out,
                              fr_err *err); // per group
// results[i] has one value per group. Everything is computed in one pass where possible.
FR_NODISCARD int fr_group_aggregate(fr_group *g, const fr_group_call *calls, size_t n,
                                    fr_array **results, fr_err *err);
