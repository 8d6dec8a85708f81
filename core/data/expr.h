#pragma once
// expr -- what analysts type, "amount > $lo and zone in ('N', 'S')": compiled once against
// a frame (names, types, parameters), then run over morsels of 2,048 rows on all cores.
// The grammar is docs/reference/expressions.md.
//
// Lifetime: fr_expr_compile returns one owner (fr_expr_free). A compiled expression keeps a
// reference to its frame, copies of its parameters, and never changes: evaluating it from
// several threads at once is fine. Results have the same bits at any thread count.
// Errors are FR_EPARSE (grammar), FR_ENOTFOUND (names), FR_ETYPE (types) with the text and
// a caret under the place, or FR_EOVERFLOW / FR_EINVAL at evaluation with row and column.

#include "core/data/frame.h"

typedef struct fr_expr fr_expr;

typedef enum fr_param_kind {
    FR_PARAM_NULL, FR_PARAM_BOOL, FR_PARAM_INT, FR_PARAM_FLOAT, FR_PARAM_TEXT,
    FR_PARAM_LIST,                // an array, for `in $list`; of length 1 it is a scalar too
} fr_param_kind;

typedef struct fr_expr_param {
    const char *name;             // without the $
    fr_param_kind kind;
    int64_t integer;              // INT, BOOL (0 or 1)
    double number;                // FLOAT
    const char *text;             // TEXT; need not end with a NUL
    size_t size;
    const fr_array *list;         // LIST
} fr_expr_param;

// Everything is copied or referenced; params may be NULL when there are none. A parameter
// that the text does not use is not an error (one table serves several expressions).
FR_NODISCARD int fr_expr_compile(const char *text, size_t n, const fr_frame *f,
                                 const fr_expr_param *params, size_t n_params, fr_expr **out,
                                 fr_err *err);
void fr_expr_free(fr_expr *e);                       // NULL is fine
const fr_type *fr_expr_type(const fr_expr *e);       // of the result
// The column as the frame's rows say. A bare column name gives the frame's own array.
FR_NODISCARD int fr_expr_eval(const fr_expr *e, fr_array **out, fr_err *err);
// The rows for which a bool expression is true (not false, not null), as a bitmap of
// f->rows bits, padded with zeros, and their number. FR_ETYPE when it is not bool.
FR_NODISCARD int fr_expr_filter(const fr_expr *e, fr_block **bits, int64_t *count, fr_err *err);

// Aggregates, for group():agg. "sum(a) / count()" compiles to two calls (sum of the
// expression a, count of rows) and an outer expression over their results:
//   compile_agg; for each call: agg_input (one value per row), aggregate per group into
//   an array of the call's output type; then agg_finish over these.
typedef enum fr_agg_op {
    FR_AGG_COUNT,                 // rows, or values that are not null when it has an input
    FR_AGG_SUM, FR_AGG_MEAN, FR_AGG_MIN, FR_AGG_MAX, FR_AGG_STD, FR_AGG_VAR, FR_AGG_QUANTILE,
    FR_AGG_FIRST, FR_AGG_LAST,    // null when the group's first (last) row is null
    FR_AGG_NUNIQUE,               // distinct values, nulls not counted
} fr_agg_op;                      // median(x) is QUANTILE with .5

typedef struct fr_expr_agg {
    fr_agg_op op;
    bool has_input;               // false for count()
    double quantile;              // in [0, 1]
    fr_type input, output;        // input is INT64 or FLOAT64 for arithmetic ones (casts are
} fr_expr_agg;                    // done); MIN MAX FIRST LAST NUNIQUE COUNT take any type

// `keys` are the columns that one may use outside of aggregates.
FR_NODISCARD int fr_expr_compile_agg(const char *text, size_t n, const fr_frame *f,
                                     const char *const *keys, size_t n_keys,
                                     const fr_expr_param *params, size_t n_params,
                                     fr_expr **out, fr_err *err);
size_t fr_expr_agg_count(const fr_expr *e);
const fr_expr_agg *fr_expr_agg_at(const fr_expr *e, size_t i);
// The i-th call's argument for every row of the frame; *out = NULL for count().
FR_NODISCARD int fr_expr_agg_input(const fr_expr *e, size_t i, fr_array **out, fr_err *err);
// `results[i]` has one value per group and the i-th call's output type; `keys[k]` one value
// per group for the k-th of the key columns (may be NULL when there are no keys).
FR_NODISCARD int fr_expr_agg_finish(const fr_expr *e, fr_array *const *results,
                                    fr_array *const *keys, int64_t groups, fr_array **out,
                                    fr_err *err);
// The type that `op` gives for an input type; FR_ETYPE with a sentence when it has none.
FR_NODISCARD int fr_agg_output(fr_agg_op op, const fr_type *input, fr_type *out, fr_err *err);
const char *fr_agg_name(fr_agg_op op);
