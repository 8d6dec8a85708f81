#pragma once
// forecaster_file -- a forecaster as bytes. Private to core/ml/forecaster*.c.
//
//    0  "flowfcst"    8  u32 format    12  u32 0    16  checksum of all from 32
//   32  title, target, time, spacing, regressors, training hash, library version, tag
//       of the kind of model, the model
// Numbers are little-endian.

#include "core/ml/forecaster.h"

fr_forecaster *fr_forecaster_new(void); // empty, one reference
FR_NODISCARD int fr_forecaster_seal(fr_forecaster *f, fr_err *err); // computes f->hash
FR_NODISCARD int fr_forecaster_write(const fr_forecaster *f, const char *path,
                                     fr_err *err);
