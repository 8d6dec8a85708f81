#pragma once
// model_file -- the image of a model: header, description, payload. Private to
// core/ml/model*.c.
//
//    0  "flowmodl"                 8  u32 format version       12  u32 payload version
//   16  checksum of all from 32   32  u64 size of the file     40  u64 offset of the
//   payload 48  kind, library version, options, features, target, labels, rows, training
//   hash
//       payload, 64-byte aligned, to the end
// Numbers are little-endian.

#include "core/ml/model.h"

enum { FR_MODEL_FORMAT = 1, FR_MODEL_HEADER = 48 };

// Makes the image from a model without one (its description filled in) and its payload.
FR_NODISCARD int fr_model_file_write(const fr_model *m, const fr_buf *payload,
                                     fr_block **out, fr_err *err);
// Fills the description of *m from its image; `path` is for messages.
FR_NODISCARD int fr_model_file_read(fr_model *m, const char *path, fr_err *err);
