#pragma once
// parquet -- frames from Parquet files and to them, without Parquet's libraries.
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
    const char *filter;           // an expression: only rows for which it is true; NULL = all
    const struct fr_expr_param *params;   // of the filter
    size_t n_params;
    bool scaled;                  // decimals as int64 in units of their last digit, not as text
    bool hex;                     // columns of bytes as hexadecimal text, not as UTF-8
    fr_unit int96;                // unit of the old 96-bit timestamps; FR_NANO is the usual one
    size_t *groups_read;          // how many row groups were not skipped; may be NULL
    int64_t most_rows;            // 0: what frames hold; the fuzzer makes it small
} fr_parquet_options;

void fr_parquet_defaults(fr_parquet_options *o);
FR_NODISCARD int fr_parquet_read(const char *path, const fr_parquet_options *o, fr_frame **out,
                                 fr_err *err);
// The same from memory; `name` stands in errors for the file.
FR_NODISCARD int fr_parquet_read_bytes(const char *name, const void *bytes, size_t n,
                                       const fr_parquet_options *o, fr_frame **out, fr_err *err);

typedef struct fr_parquet_write_options {
    int codec;                    // fr_parquet_codec("zstd")
    int level;                    // of zstd and gzip; 0: their fast one
    bool dictionary;              // texts that repeat are stored once per row group
    int64_t group_rows;           // rows per row group
} fr_parquet_write_options;

void fr_parquet_write_defaults(fr_parquet_write_options *o);
int fr_parquet_codec(const char *name);           // "zstd", "snappy", "gzip", "none"; else -1
// Whole numbers are stored as deltas, texts by dictionary or as lengths and bytes, each column
// of a row group with its bounds, and Arrow's schema beside, so that types come back. The
// file appears complete or not at all; its bytes do not depend on threads.
FR_NODISCARD int fr_parquet_write(const fr_frame *f, const char *path,
                                  const fr_parquet_write_options *o, fr_err *err);
