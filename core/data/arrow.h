#pragma once
// arrow -- frames as Arrow IPC files, read and written without Arrow's libraries.
//
// Our own files hold one batch, uncompressed, every buffer at a multiple of 64 bytes, so
// that loading one is mapping it: no parsing, no copy. Files and streams of others are read
// with several batches, lz4 or zstd bodies, any integer width, dictionaries of any index
// width, utf8, large_utf8 and string views. What does not exist here (lists, structs,
// decimals, binary) is an error that names the column; other columns can be chosen.
// Hostile bytes give FR_ECORRUPT, never a crash. Stateless; any thread.

#include "core/data/frame.h"

// Users' files: read, checked and copied where needed. `columns` NULL: all.
FR_NODISCARD int fr_arrow_read(const char *path, const char *const *columns, size_t n_columns,
                               fr_frame **out, fr_err *err);
FR_NODISCARD int fr_arrow_read_bytes(const char *name, const void *bytes, size_t n,
                                     const char *const *columns, size_t n_columns,
                                     fr_frame **out, fr_err *err);
// The file appears complete or not at all.
FR_NODISCARD int fr_arrow_write(const fr_frame *f, const char *path, fr_err *err);

// fr_object_ops of frames and arrays: a new file at `path`, without fsync; and mapping it
// again (frames.md B3: only for files that nobody changes). An array is a frame of one
// column.
FR_NODISCARD int fr_arrow_save(const fr_frame *f, const char *path, fr_err *err);
FR_NODISCARD int fr_arrow_load(const char *path, fr_frame **out, fr_err *err);
FR_NODISCARD int fr_arrow_save_array(const fr_array *a, const char *path, fr_err *err);
FR_NODISCARD int fr_arrow_load_array(const char *path, fr_array **out, fr_err *err);
