#pragma once
// frame -- named columns of one length. Immutable; verbs make new frames that share columns.
// Lifetime: an fr_object, any thread. No row index (frames.md A6).

#include "core/data/array.h"

typedef struct fr_frame {
    fr_object object;             // first
    int64_t rows;
    size_t columns;
    char **names;                 // UTF-8, unique
    fr_array **cols;
    uint32_t *index;              // open addressing over names, for frames with many columns
    size_t index_size;            // a power of two, or 0: search in order
    _Atomic(uint64_t) hash_lo, hash_hi;
} fr_frame;

extern const fr_object_ops fr_frame_ops;

// Takes nothing: columns are referenced, names copied. Fails with FR_EINVAL on unequal
// lengths or duplicate names (the message names them).
FR_NODISCARD int fr_frame_new(size_t columns, const char *const *names, fr_array *const *cols,
                              fr_frame **out, fr_err *err);
FR_NODISCARD int fr_frame_empty(int64_t rows, fr_frame **out, fr_err *err);   // no columns
fr_frame *fr_frame_ref(const fr_frame *f);
void fr_frame_unref(const fr_frame *f);
fr_hash fr_frame_hash(const fr_frame *f);
// Index of a column or -1.
ptrdiff_t fr_frame_find(const fr_frame *f, const char *name);
// As above; FR_ENOTFOUND with "did you mean" when absent.
FR_NODISCARD int fr_frame_column(const fr_frame *f, const char *name, const fr_array **out,
                                 fr_err *err);
FR_NODISCARD int fr_frame_slice(const fr_frame *f, int64_t start, int64_t length,
                                fr_frame **out, fr_err *err);
