#pragma once
// csv -- delimited text to frames and back.
//
// Reading: whole files in memory (gzip and zstd are recognised by content), records found 64
// bytes at a time, columns parsed straight into their final buffers by chunks on all cores;
// the same bytes come out at any number of threads. Types are guessed from a sample; a value
// that does not fit makes that column be read again with a wider type: nothing becomes null
// silently. Errors name file, line and column.
// Stateless; any thread.

#include "core/base/buf.h"
#include "core/data/frame.h"

typedef struct fr_csv_type {
    const char *column;
    fr_type type;
} fr_csv_type;

typedef struct fr_csv_format {
    const char *column;
    const char *format;           // strptime, core/data/when.h
} fr_csv_format;

typedef struct fr_csv_options {
    char sep;                     // ','
    char quote;                   // '"'; 0: quotes are ordinary characters
    bool header;                  // the first record has the names
    const char *const *names;     // names instead of the header's (or where there is none)
    size_t n_names;
    int64_t skip;                 // physical lines before the header
    const char *encoding;         // "utf-8", "latin-1", "windows-1252", "utf-16"; NULL = utf-8
    const char *const *nulls;     // spellings of null instead of the default ones
    size_t n_nulls;
    const fr_csv_type *types;     // instead of guessing
    size_t n_types;
    const fr_csv_format *formats; // dates and timestamps that are not ISO 8601
    size_t n_formats;
    const char *const *columns;   // only these, in this order; NULL = all
    size_t n_columns;
    char escape;                  // inside quotes, what follows it is meant as it stands; 0: none
    char comment;                 // lines that start with it do not count; 0: none
    const int64_t *widths;        // fields of fixed widths, in characters, instead of sep
    size_t n_widths;
    fr_frame **bad;               // receives records that cannot be read (file, line, reason,
                                  // text); NULL: the first one is the error
    int64_t lines_before;         // of the file, when the text is a part of it: for messages
    size_t chunk;                 // bytes per region, 0: the standard; tests make it small
} fr_csv_options;

// "", NA, N/A, NaN, nan, null, NULL. A quoted field of a text column is never null.
extern const char *const fr_csv_nulls[7];
void fr_csv_defaults(fr_csv_options *o);
// Several files are one table: the same columns by name, in any order; the first file's
// order counts. `notes` (may be NULL) receives lines about what was read but deserves a word
// (renamed columns).
FR_NODISCARD int fr_csv_read(const char *const *paths, size_t n, const fr_csv_options *o,
                             fr_frame **out, fr_buf *notes, fr_err *err);
// The same from memory; `name` stands in errors for the file.
FR_NODISCARD int fr_csv_read_bytes(const char *name, const void *bytes, size_t n,
                                   const fr_csv_options *o, fr_frame **out, fr_buf *notes,
                                   fr_err *err);

typedef struct fr_csv_write_options {
    char sep;                     // ','
    bool header;                  // true
    bool crlf;                    // lines end with \r\n
    bool bom;                     // for spreadsheets that guess otherwise
    const char *null;             // how null is written; "" by default
} fr_csv_write_options;

void fr_csv_write_defaults(fr_csv_write_options *o);
// Doubles are written with the fewest digits that read back as the same number (NaN as NaN,
// which reads as null); text that holds separators, quotes, line ends or outer blanks, or is
// spelled as null, is quoted. Zoned timestamps are local time with an offset. A path that
// ends in .gz is compressed. A file appears complete or not at all (written beside its
// place, then renamed).
FR_NODISCARD int fr_csv_write(const fr_frame *f, const char *path,
                              const fr_csv_write_options *o, fr_err *err);
FR_NODISCARD int fr_csv_write_buf(const fr_frame *f, const fr_csv_write_options *o, fr_buf *out,
                                  fr_err *err);

// Frames of the same columns one after the other into one file, as fr_csv_write writes it.
// Owned by one thread; the options are borrowed.
typedef struct fr_csv_out fr_csv_out;
FR_NODISCARD int fr_csv_out_open(const char *path, const fr_csv_write_options *o,
                                 fr_csv_out **out, fr_err *err);
FR_NODISCARD int fr_csv_out_put(fr_csv_out *o, const fr_frame *f, fr_err *err);
// Frees it; with rc FR_OK the file gets its name, else nothing stays. Returns rc or the
// failure of finishing.
FR_NODISCARD int fr_csv_out_close(fr_csv_out *o, int rc, fr_err *err);
