#pragma once
// jsonl -- JSON lines to frames and back: one object per line, a column per key.
//
// Reading: regions of lines are scanned on all cores, which checks every byte of JSON and
// notes where values are; types follow from all of them, then columns are filled side by
// side. Nothing becomes null silently; errors name line and column. Stateless; any thread.

#include "core/data/csv.h"

typedef struct fr_jsonl_options {
    const fr_csv_type *types;         // instead of inferring
    size_t n_types;
    const char *const *columns;       // only these, in this order; NULL: all, as keys first appear
    size_t n_columns;
    bool nested;                      // objects and arrays as their JSON text; false: refused
    size_t chunk;                     // bytes per region, 0: the standard; tests make it small
} fr_jsonl_options;

// Several files are one table. gzip and zstd are recognised by content.
FR_NODISCARD int fr_jsonl_read(const char *const *paths, size_t n, const fr_jsonl_options *o,
                               fr_frame **out, fr_err *err);
// The same from memory; `name` stands in errors for the file.
FR_NODISCARD int fr_jsonl_read_bytes(const char *name, const void *bytes, size_t n,
                                     const fr_jsonl_options *o, fr_frame **out, fr_err *err);

typedef struct fr_jsonl_write_options {
    bool omit;                        // leaves null values out, else they are written
    bool nan_null;                    // NaN and infinities as null instead of an error
} fr_jsonl_write_options;

// Times are written as ISO 8601 text. A path that ends in .gz is compressed. The file appears
// complete or not at all.
FR_NODISCARD int fr_jsonl_write(const fr_frame *f, const char *path,
                                const fr_jsonl_write_options *o, fr_err *err);
FR_NODISCARD int fr_jsonl_write_buf(const fr_frame *f, const fr_jsonl_write_options *o,
                                    fr_buf *out, fr_err *err);
