#pragma once
// type -- names of column types as people write them. Pure, any thread.

#include "core/data/array.h"

// "int64", "float64", "bool", "utf8" (also "text", "string"), "category", "date",
// "timestamp" (microseconds), "timestamp[ms]", "timestamp[us, Europe/Paris]", "time",
// "duration[s]", "int8" … "uint64", "float32"; also "int", "float".
// FR_EINVAL with "did you mean" when it is none.
FR_NODISCARD int fr_type_parse(const char *text, fr_type *out, fr_err *err);
