#pragma once
// array -- one immutable column in Arrow's memory layout, shared freely between threads.
//
// Lifetime: an fr_object; fr_array_new/-builders return one reference the caller owns,
// every fr_array_ref needs one fr_array_unref, from any thread.
// Mutation: only between fr_array_new and publishing it, by the thread that made it.
// Missing is the validity bitmap (bit set = present), never NaN (frames.md A1).

#include "core/base/bigmem.h"
#include "core/data/object.h"

#include <stdbool.h>

// Stored in files and values: append only.
typedef enum fr_kind {
    FR_BOOL = 1,             // bitmap, one bit a value, as Arrow
    FR_INT64 = 2,
    FR_FLOAT64 = 3,
    FR_UTF8 = 4,             // int64 offsets (length + 1) and bytes (Arrow large_utf8)
    FR_CATEGORY = 5,         // int32 codes into `dict` (a UTF8 array); codes by first appearance
    FR_DATE = 6,             // int32 days since 1970-01-01
    FR_TIMESTAMP = 7,        // int64 in `unit` since 1970 (UTC when zoned, local when naive)
    FR_INT8 = 8, FR_INT16 = 9, FR_INT32 = 10,
    FR_UINT8 = 11, FR_UINT16 = 12, FR_UINT32 = 13, FR_UINT64 = 14,
    FR_FLOAT32 = 15,
    FR_TIME = 16,            // int64 nanoseconds since midnight
    FR_DURATION = 17,        // int64 in `unit`
} fr_kind;

typedef enum fr_unit { FR_SECOND = 0, FR_MILLI = 1, FR_MICRO = 2, FR_NANO = 3 } fr_unit;

enum { FR_ZONE_MAX = 40 };

typedef struct fr_type {
    fr_kind kind;
    fr_unit unit;                 // TIMESTAMP, DURATION
    bool ordered;                 // CATEGORY: codes compare, not text
    char zone[FR_ZONE_MAX];       // TIMESTAMP: "" = naive, else an IANA name or "UTC"
} fr_type;

typedef struct fr_array {
    fr_object object;             // first
    fr_type type;
    int64_t length;
    int64_t offset;               // first element, in elements (bits for BOOL and validity)
    int64_t nulls;                // exact count
    fr_block *validity;           // NULL when nulls == 0
    fr_block *values;             // data; for UTF8 the bytes
    fr_block *offsets;            // UTF8 only: int64[], indexed from `offset`
    struct fr_array *dict;        // CATEGORY only, referenced
    _Atomic(uint64_t) hash_lo, hash_hi;   // content hash, 0 = not made yet
} fr_array;

extern const fr_object_ops fr_array_ops;

static inline fr_type fr_type_of(fr_kind kind)            // no unit, no zone
{
    return (fr_type){.kind = kind};
}

// A new array with uninitialised values (validity absent). UTF8: `bytes` of text are reserved.
FR_NODISCARD int fr_array_new(fr_type type, int64_t length, size_t bytes, fr_array **out,
                              fr_err *err);
fr_array *fr_array_ref(const fr_array *a);
void fr_array_unref(const fr_array *a);
// A view of [start, start + length) that shares the buffers.
fr_array *fr_array_slice(const fr_array *a, int64_t start, int64_t length);
// Gives an array in the making a validity bitmap, all present. Count `nulls` afterwards.
FR_NODISCARD int fr_array_add_validity(fr_array *a, fr_err *err);
// Counts the nulls of an array in the making and drops a bitmap without any.
void fr_array_count_nulls(fr_array *a);
fr_hash fr_array_hash(const fr_array *a);               // frames.md B4; computed once
size_t fr_array_bytes(const fr_array *a);               // memory it keeps alive, roughly
// A reference to a, or a copy when a is a slice under a quarter of what it keeps alive.
fr_array *fr_array_compact(const fr_array *a);
size_t fr_kind_width(fr_kind kind);                     // bytes per value; 0 for BOOL and UTF8
const char *fr_type_name(const fr_type *t, char out[64]);   // "timestamp[us, UTC]"
bool fr_type_eq(const fr_type *a, const fr_type *b);

// Reading. i counts from 0 within the array (offset applied here).
static inline bool fr_array_has(const fr_array *a, int64_t i)        // not null
{
    int64_t k = a->offset + i;
    return a->validity == NULL || (a->validity->data[k >> 3] >> (k & 7) & 1);
}
static inline bool fr_array_bool(const fr_array *a, int64_t i)
{
    int64_t k = a->offset + i;
    return a->values->data[k >> 3] >> (k & 7) & 1;
}
static inline const void *fr_array_data(const fr_array *a)   // first value; not BOOL, UTF8
{
    return a->values->data + (size_t)a->offset * fr_kind_width(a->type.kind);
}
static inline const double *fr_array_f64(const fr_array *a)
{
    return (const double *)(const void *)a->values->data + a->offset;
}
static inline const int64_t *fr_array_i64(const fr_array *a)
{
    return (const int64_t *)(const void *)a->values->data + a->offset;
}
static inline const int32_t *fr_array_i32(const fr_array *a)
{
    return (const int32_t *)(const void *)a->values->data + a->offset;
}
static inline const int64_t *fr_array_offsets(const fr_array *a)   // UTF8: length + 1 of them
{
    return (const int64_t *)(const void *)a->offsets->data + a->offset;
}
// Any integer-like kind (ints, DATE, TIME, TIMESTAMP, DURATION, CATEGORY's code, BOOL) as
// int64; FLOAT64/32 are refused by an assert. UINT64 above 2^63-1 wraps: check the kind.
int64_t fr_array_int(const fr_array *a, int64_t i);
double fr_array_number(const fr_array *a, int64_t i);    // any kind but text, as a double
bool fr_kind_integer(fr_kind kind);                      // INT8..UINT64
bool fr_kind_number(fr_kind kind);                       // integers and floats
bool fr_kind_temporal(fr_kind kind);                     // DATE, TIME, TIMESTAMP, DURATION
// Text of UTF8 and (decoded) CATEGORY elements; undefined for nulls.
const char *fr_array_text(const fr_array *a, int64_t i, size_t *n);

// Builder: values one by one, of a type known at the start. Owned by one thread.
typedef struct fr_builder fr_builder;
fr_builder *fr_builder_new(fr_type type, int64_t expected);
void fr_builder_free(fr_builder *b);
FR_NODISCARD int fr_builder_null(fr_builder *b, fr_err *err);
FR_NODISCARD int fr_builder_bool(fr_builder *b, bool v, fr_err *err);
// Integers, dates, times, timestamps.
FR_NODISCARD int fr_builder_int(fr_builder *b, int64_t v, fr_err *err);
FR_NODISCARD int fr_builder_float(fr_builder *b, double v, fr_err *err);
// UTF8, CATEGORY.
FR_NODISCARD int fr_builder_text(fr_builder *b, const char *s, size_t n, fr_err *err);
// Empties the builder.
FR_NODISCARD int fr_builder_finish(fr_builder *b, fr_array **out, fr_err *err);

// A float64 (no nulls: NaN where null) or int32-coded copy, for models; refuses text and times.
FR_NODISCARD int fr_array_to_f64(const fr_array *a, double *out, fr_err *err);
