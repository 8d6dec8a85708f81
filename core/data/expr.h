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

#include "core/data/compute.h"
#include "core/data/window.h"

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
bool fr_expr_is_own(const fr_expr *e);               // no row looks at others: no row(), no lag()
// The column as the frame's rows say. A bare column name gives the frame's own array.
FR_NODISCARD int fr_expr_eval(const fr_expr *e, fr_array **out, fr_err *err);
// As above; lag, rank, rolling_mean … see the parts and the order of w (NULL: all rows).
FR_NODISCARD int fr_expr_eval_window(const fr_expr *e, const fr_window *w, fr_array **out,
                                     fr_err *err);
// Which rows need not be looked at. `columns` has, for every column of the frame that e was
// compiled against, what is known of some rows; false: e is true for none of them.
typedef struct fr_expr_value {
    int64_t i;                    // as the column's type has it
    double x;
    const char *s;
    size_t n;
} fr_expr_value;

typedef struct fr_expr_bounds {
    bool known;                   // all values that are not null lie in [least, most]
    bool empty, full;             // every row is null; none is
    fr_expr_value least, most;
} fr_expr_bounds;

bool fr_expr_may(const fr_expr *e, const fr_expr_bounds *columns);
bool fr_expr_by_rows(const fr_expr *e);              // what it says of a row depends on that row
bool fr_expr_uses(const fr_expr *e, size_t column);
// Aggregates, for group():agg. "sum(a) / count()" compiles to two calls (sum of the
// expression a, count of rows) and an outer expression over their results:
//   compile_agg; for each call: agg_input (one value per row), aggregate per group into
//   an array of the call's output type; then agg_finish over these.
// In a plain expression an aggregate is an error that points to agg.
typedef struct fr_expr_agg {
    fr_op op;                     // FR_OP_ROWS for count()
    double quantile;              // QUANTILE; in [0, 1]
    size_t at, end;               // the call in the text
    fr_type input, output;        // output as fr_op_type says; bools are cast to int64 where
} fr_expr_agg;                    // the op wants numbers, so that sum(kw > 5) counts

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
