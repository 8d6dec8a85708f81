#pragma once
// window_int -- what the parts of window share. Private to core/data/window*.c.

#include "core/data/compute.h"
#include "core/data/window.h"

__extension__ typedef __int128 window_i128;

// One call over rows that lie in parts, in order. Kernels write values and `valid`.
typedef struct window_job {
    const fr_window_call *call;
    const fr_array *in;      // INT64 or FLOAT64 (ranks: any); NULL for NUMBER
    const uint32_t *start;   // parts + 1 of them
    size_t parts;
    int64_t rows;
    fr_type type;            // of the result
    double *number;          // the result, as doubles …
    int64_t *integer;        // … or as integers (the same memory)
    uint8_t *valid;          // a byte per row, so that threads never share one
    bool zeroed;             // the kernel leaves zeros in null rows
    int64_t overflow;        // the first row whose sum does not fit, or -1
} window_job;

static inline bool window_has(const window_job *j, int64_t i)
{
    return j->in->validity == NULL || fr_array_has(j->in, i);
}

int window_cumulate(window_job *j);              // window_cum.c
int window_roll(window_job *j, fr_err *err);     // window_roll.c
int window_rank(window_job *j, fr_err *err);     // window_rank.c
