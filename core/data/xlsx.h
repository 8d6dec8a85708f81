#pragma once
// xlsx -- sheets of Excel files to frames and back. Reading uses minizip and expat, writing
// libxlsxwriter, all opened at first use (decision 004).
//
// Reading believes the cells: numbers, text, true and false, dates by their style; a cell
// without a value is null, and so is #N/A. A text that looks like a number stays text. Hostile
// files are bounded: parts are read in pieces, rows and columns are Excel's own limits, a
// document type is refused.
// Stateless; any thread.

#include "core/base/buf.h"
#include "core/data/csv.h"

enum { FR_XLSX_ROWS = 1048576, FR_XLSX_COLUMNS = 16384 };

typedef struct fr_xlsx_options {
    const char *sheet;                // by name; NULL: by number
    int64_t number;                   // from 1
    const char *range;                // "B3:F20", "B3", "B:F"; NULL: all that has values
    bool header;                      // the first row has the names
    const fr_csv_type *types;         // instead of what the cells say
    size_t n_types;
} fr_xlsx_options;

void fr_xlsx_defaults(fr_xlsx_options *o);
// `notes` (may be NULL) receives lines about renamed columns. Errors name file, sheet and cell.
FR_NODISCARD int fr_xlsx_read(const char *path, const fr_xlsx_options *o, fr_frame **out,
                              fr_buf *notes, fr_err *err);
// The names of the sheets, each with a NUL behind.
FR_NODISCARD int fr_xlsx_sheets(const char *path, fr_buf *names, fr_err *err);

typedef struct fr_xlsx_sheet {
    const char *name;
    const fr_frame *frame;
} fr_xlsx_sheet;

// One file with one sheet per frame, a header row each. NaN becomes an empty cell. What Excel
// cannot hold (infinities, integers beyond 2^53, days before 1900, texts of over 32,767
// characters) is an error that names sheet, cell and column. Zoned times are written as local
// time. The file appears complete or not at all.
FR_NODISCARD int fr_xlsx_write(const fr_xlsx_sheet *sheets, size_t n, const char *path,
                               fr_err *err);
