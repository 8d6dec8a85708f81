#pragma once
// factor -- rows with equal keys get equal small numbers: what group, join, unique,
// nunique and partition are made of. Keys are one or several columns; floats are equal as
// frames.md A6 sorts them (one zero, one NaN), text by bytes. Any thread; owned by its
// maker.

#include "core/data/frame.h"

#define FR_FACTOR_NULL UINT32_MAX

typedef struct fr_factor {
    fr_block *ids;   // uint32 per row; FR_FACTOR_NULL where a key is null and !nulls
    fr_block *first; // uint32 per group: its first row
    int64_t rows, groups;
    bool sorted; // ids are in key order; otherwise by first appearance
} fr_factor;

// nulls: null is a key like others (the last), else such rows have no group.
FR_NODISCARD int fr_factor_init(fr_factor *f, const fr_array *const *keys, size_t n,
                                bool nulls, fr_err *err);
void fr_factor_fini(fr_factor *f);
// Renumbers groups so that they are in key order.
FR_NODISCARD int fr_factor_sort(fr_factor *f, const fr_array *const *keys, size_t n,
                                fr_err *err);
static inline uint32_t *fr_factor_ids(const fr_factor *f)
{
    return (uint32_t *)(void *)f->ids->data;
}
static inline uint32_t *fr_factor_first(const fr_factor *f)
{
    return (uint32_t *)(void *)f->first->data;
}
FR_NODISCARD int fr_factor_count(const fr_array *a, int64_t *distinct,
                                 fr_err *err); // no nulls
// Row numbers grouped: rows[start[g]] .. rows[start[g + 1]] are group g's, ascending.
FR_NODISCARD int fr_factor_lists(const fr_factor *f, fr_block **rows, fr_block **start,
                                 fr_err *err);
