#pragma once
// join_int -- inside of join: which right rows match which left rows. Not for other
// files.

#include "core/data/compute.h"
#include "core/data/join.h"

#define NO_ROW UINT32_MAX

// For every left row the first matching right row, and for every right row the next one
// with an equal key (NULL when all keys of the right are different).
typedef struct fr_matches {
    fr_block *head_block, *next_block;
    uint32_t *head, *next;
} fr_matches;

FR_NODISCARD int fr_matches_init(fr_matches *m, const fr_frame *left,
                                 const fr_frame *right, fr_join_on on, fr_err *err);
void fr_matches_fini(fr_matches *m);
// Puts the result together: row i is left row l[i] (NULL: as they are) with right row
// r[i]. n rows; only_right of them, at the end, have l[i] = NO_ROW.
FR_NODISCARD int fr_join_assemble(const fr_frame *left, const fr_frame *right,
                                  fr_join_on on, const char *suffix, const uint32_t *l,
                                  const uint32_t *r, int64_t n, int64_t only_right,
                                  fr_frame **out, fr_err *err);
// Key columns of both frames, of one type each, checked; unref them all.
FR_NODISCARD int fr_join_keys(const fr_frame *left, const fr_frame *right, fr_join_on on,
                              fr_array **lk, fr_array **rk, fr_err *err);
