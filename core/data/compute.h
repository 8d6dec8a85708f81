#pragma once
// compute -- kernels over columns: rows by index, rows by mask, joining ends, aggregates.
//
// All are pure: immutable in, new arrays out, from any thread; large ones run in chunks
// of fixed size on the compute pool, so results have the same bits at any thread count.
// They stop early with FR_ECANCELLED. Rows are indexed by uint32: frames end at 2^32 - 2
// rows.

#include "core/data/frame.h"

#define FR_TAKE_NULL UINT32_MAX   // as an index: a null row
enum { FR_CHUNK_ROWS = 1 << 16 }; // the fixed chunk of all kernels

FR_NODISCARD int fr_compute_check_rows(int64_t rows, fr_err *err);
// Gives err a message when a pool call ended with a bare code; returns rc.
int fr_compute_failed(fr_err *err, int rc);
static inline size_t fr_compute_chunks(int64_t rows)
{
    return ((size_t)rows + FR_CHUNK_ROWS - 1) / FR_CHUNK_ROWS;
}

// Row j of the result is row index[j] of a. Indexes are trusted; FR_TAKE_NULL only if
// nullable.
FR_NODISCARD int fr_compute_take(const fr_array *a, const uint32_t *index, int64_t n,
                                 bool nullable, fr_array **out, fr_err *err);
FR_NODISCARD int fr_compute_take_frame(const fr_frame *f, const uint32_t *index,
                                       int64_t n, fr_frame **out, fr_err *err);
// The rows where mask (BOOL) is true; null counts as false.
FR_NODISCARD int fr_compute_filter(const fr_frame *f, const fr_array *mask,
                                   fr_frame **out, fr_err *err);
FR_NODISCARD int fr_compute_filter_array(const fr_array *a, const fr_array *mask,
                                         fr_array **out, fr_err *err);
// A mask of the rows that are present in all columns; with `nan`, NaN counts as missing.
FR_NODISCARD int fr_compute_present(const fr_array *const *cols, size_t n, int64_t rows, bool nan,
                                    fr_array **mask, fr_err *err);
// A block of uint32 indexes of the true rows.
FR_NODISCARD int fr_compute_rows(const fr_array *mask, fr_block **out, int64_t *n,
                                 fr_err *err);
// Parts of one type, end to end. INT64 and FLOAT64 together become FLOAT64; UTF8 and
// CATEGORY become UTF8. `name` is for the message.
FR_NODISCARD int fr_compute_concat(const fr_array *const *parts, size_t n,
                                   const char *name, fr_array **out, fr_err *err);
FR_NODISCARD int fr_compute_copy(const fr_array *a, fr_array **out, fr_err *err);
FR_NODISCARD int fr_compute_concat_frames(const fr_frame *const *parts, size_t n,
                                          fr_frame **out, fr_err *err);
// An array of n equal values, as the constant is (null: all null of that type).
struct fr_scalar;
FR_NODISCARD int fr_compute_repeat(const struct fr_scalar *v, int64_t n, fr_array **out,
                                   fr_err *err);
// Null rows of a replaced by v (converted to a's type; FR_ETYPE when it cannot be).
FR_NODISCARD int fr_compute_fill(const fr_array *a, const struct fr_scalar *v,
                                 fr_array **out, fr_err *err);
// INT64 or FLOAT64 from any numeric kind or BOOL; DATE to TIMESTAMP; CATEGORY <-> UTF8;
// the same type is a new reference. A value that does not fit is an error naming the row.
FR_NODISCARD int fr_compute_cast(const fr_array *a, fr_type type, fr_array **out,
                                 fr_err *err);

// One value of any type.
typedef struct fr_scalar {
    fr_type type;
    bool null;
    int64_t integer;  // integers, BOOL, DATE, TIMESTAMP, TIME, DURATION
    double number;    // floats
    const char *text; // UTF8, CATEGORY: borrowed
    size_t n;
} fr_scalar;
void fr_compute_get(const fr_array *a, int64_t i, fr_scalar *out);
// Total order: numbers, then NaN, then null; text by bytes. Both of one type.
int fr_compute_compare(const fr_array *a, int64_t i, const fr_array *b, int64_t j);

// fn of every number as FLOAT64; null stays null.
FR_NODISCARD int fr_compute_map(const fr_array *a, double (*fn)(double), fr_array **out,
                                fr_err *err);

// Aggregates skip nulls (first and last do not). NaN is an ordinary number: it makes sum,
// mean, min, max, std, var, median and quantile NaN. Of no values: sum 0, count 0,
// nunique 0, all others null.
typedef enum fr_op {
    FR_OP_COUNT, // values that are not null
    FR_OP_ROWS,  // count(): all rows
    FR_OP_SUM,
    FR_OP_MEAN,
    FR_OP_MIN,
    FR_OP_MAX,
    FR_OP_STD,
    FR_OP_VAR, // n - 1; null below two values
    FR_OP_MEDIAN,
    FR_OP_QUANTILE, // linear between neighbours
    FR_OP_FIRST,
    FR_OP_LAST, // of the values that are not null
    FR_OP_NUNIQUE,
    FR_OP_MAX_
} fr_op;
int fr_op_find(const char *name); // "mean" -> FR_OP_MEAN; -1 when unknown
const char *fr_op_name(fr_op op);
// The type of the result; FR_ETYPE when op is not defined on it ("mean of utf8").
FR_NODISCARD int fr_op_type(fr_op op, const fr_type *in, fr_type *out, fr_err *err);
// q only for QUANTILE. Text results borrow from a.
FR_NODISCARD int fr_compute_aggregate(const fr_array *a, fr_op op, double q,
                                      fr_scalar *out, fr_err *err);
FR_NODISCARD int fr_compute_quantiles(const fr_array *a, const double *q, size_t n,
                                      double *out,
                                      fr_err *err);    // NaN where there are no values
double fr_compute_pairwise(const double *x, size_t n); // sum; fixed order
