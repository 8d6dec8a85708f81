#pragma once
// sort -- stable order of rows by one or several columns (frames.md A1, A6).
//
// Nulls come last, or first when asked. NaN comes after all numbers, also when
// descending. Text by bytes; categories by text, ordered ones by their order. Any thread.

#include "core/data/frame.h"

typedef struct fr_sort_key {
    const fr_array *array;
    bool desc, nulls_first;
} fr_sort_key;

// A block of uint32 row numbers in sorted order. All keys have one length.
FR_NODISCARD int fr_sort_order(const fr_sort_key *keys, size_t n, fr_block **order,
                               fr_err *err);
FR_NODISCARD int fr_sort_frame(const fr_frame *f, const fr_sort_key *keys, size_t n,
                               fr_frame **out, fr_err *err);
// rank[code] is the place of a category's code in its order, equal for equal texts.
FR_NODISCARD int fr_sort_dictionary(const fr_array *category, uint32_t *rank,
                                    fr_err *err);
// Sorts distinct texts: `rows` (of a UTF8 array) into byte order.
void fr_sort_texts(const fr_array *text, uint32_t *rows, size_t n);
