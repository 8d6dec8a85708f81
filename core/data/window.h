#pragma once
// window -- values of a row from its neighbours: lag, rank, cumulative, rolling and
// exponential sums, gaps filled. Rows are taken in parts (equal `by` keys) and in an order
// of their own; results stand where the rows stood.
//
// Lifetime: owned by its maker and never changed, any thread. Results have the same bits
// at any thread count: sums start anew at fixed rows and nothing is ever subtracted, so
// an infinity leaves no trace behind (frames.md A2).

#include "core/data/sort.h"

typedef enum fr_window_op {
    FR_WINDOW_LAG,           // the value n rows before (after, when n < 0)
    FR_WINDOW_FORWARD,       // null: the last value, at most n rows before
    FR_WINDOW_BACKWARD,      // null: the next value, at most n rows after
    FR_WINDOW_NUMBER,        // of the row in its part, from 1
    FR_WINDOW_RANK_MIN,      // ranks are from 1; null has none
    FR_WINDOW_RANK_MAX,
    FR_WINDOW_RANK_DENSE,
    FR_WINDOW_RANK_AVERAGE,
    FR_WINDOW_CUM_SUM,       // so far; null where the row is null, but for count
    FR_WINDOW_CUM_MIN,
    FR_WINDOW_CUM_MAX,
    FR_WINDOW_CUM_COUNT,
    FR_WINDOW_EWM_MEAN,      // weights (1 - alpha)^distance, divided by their sum
    FR_WINDOW_INTERPOLATE,   // null: on the line between its neighbours with a value
    FR_WINDOW_SUM,           // of the last n rows; null below `least` values
    FR_WINDOW_MEAN,
    FR_WINDOW_MIN,
    FR_WINDOW_MAX,
    FR_WINDOW_STD,           // n - 1
    FR_WINDOW_VAR,
    FR_WINDOW_COUNT,         // here `least` counts rows, with a value or without
} fr_window_op;

typedef struct fr_window_call {
    fr_window_op op;
    int64_t n, least;
    double alpha;            // EWM_MEAN, in (0, 1]
    bool desc;               // ranks
    const fr_array *input;   // NULL for NUMBER; of the type that fr_window_type asks for
} fr_window_call;

typedef struct fr_window fr_window;

// Either list may be empty. Nulls are a key like others; the order is stable.
FR_NODISCARD int fr_window_new(const fr_array *const *by, size_t n_by,
                               const fr_sort_key *order, size_t n_order, int64_t rows,
                               fr_window **out, fr_err *err);
void fr_window_free(fr_window *w); // NULL is fine
// Of the input (`in` becomes what the op works on) and of the result; FR_ETYPE when the op
// is not defined on it.
FR_NODISCARD int fr_window_type(fr_window_op op, fr_type *in, fr_type *out, fr_err *err);
// w NULL: all rows are one part, in order. FR_EOVERFLOW names the row.
FR_NODISCARD int fr_window_run(const fr_window *w, const fr_window_call *call, int64_t rows,
                               fr_array **out, fr_err *err);
