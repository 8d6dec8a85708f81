#pragma once
// parquet -- frames from Parquet files, without Parquet's libraries.
//
// Only the byte ranges of the wanted columns and row groups are read; columns of row groups
// are decoded side by side on the compute pool, straight into their final buffers, so the
// same bytes come out at any number of threads. What does not exist here (lists, maps,
// structs) is an error that names the column; other columns can be chosen. Hostile bytes
// give FR_ECORRUPT, never a crash. Stateless; any thread.

#include "core/data/frame.h"

typedef struct fr_parquet_options {
    const char *const *columns;   // only these, in this order; NULL = all
    size_t n_columns;
    const int64_t *groups;        // numbers of row groups, from 1; NULL = all
    size_t n_groups;
    bool scaled;                  // decimals as int64 in units of their last digit, not as text
    bool hex;                     // columns of bytes as hexadecimal text, not as UTF-8
    fr_unit int96;                // unit of the old 96-bit timestamps; FR_NANO is the usual one
    int64_t most_rows;            // 0: what frames hold; the fuzzer makes it small
} fr_parquet_options;

void fr_parquet_defaults(fr_parquet_options *o);
FR_NODISCARD int fr_parquet_read(const char *path, const fr_parquet_options *o, fr_frame **out,
                                 fr_err *err);
// The same from memory; `name` stands in errors for the file.
FR_NODISCARD int fr_parquet_read_bytes(const char *name, const void *bytes, size_t n,
                                       const fr_parquet_options *o, fr_frame **out, fr_err *err);
