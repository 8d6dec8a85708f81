#pragma once
// show -- columns and frames as people read them. Pure, any thread.

#include "core/base/buf.h"
#include "core/base/zone.h"
#include "core/data/frame.h"

// Prints single cells of one column exactly: shortest floats, ISO dates and times, zoned
// times in their zone with the offset. Borrows the array.
typedef struct fr_show {
    const fr_array *array;
    fr_zone *zone;
    const char *name; // of the column, for errors; NULL: unknown
} fr_show;
FR_NODISCARD int fr_show_init(fr_show *s, const fr_array *a,
                              fr_err *err); // a zone may be unknown
void fr_show_fini(fr_show *s);
void fr_show_cell(const fr_show *s, int64_t i, fr_buf *out); // "null" for a null

// A table: names, types, the first and last rows, "12 rows x 4 columns". Numbers are
// right- aligned with six digits; columns that do not fit `width` are left out in the
// middle.
void fr_show_frame(const fr_frame *f, int64_t most_rows, size_t width, fr_buf *out);
// One line: "float64[3]: 1.5, null, 2".
void fr_show_array(const fr_array *a, int64_t most, fr_buf *out);
