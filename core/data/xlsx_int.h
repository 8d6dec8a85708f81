#pragma once
// xlsx_int -- what the parts of the Excel reader share. Private to core/data/xlsx*.c.
//
// xlsx_part: the zip file and its XML parts. xlsx_book: sheets, texts, styles. xlsx_cells:
// the cells of one sheet. xlsx_build: columns of them. Owned by the reading thread.

#include "core/data/xlsx.h"

#include <stdint.h>

// xlsx_part.
typedef struct xlsx_zip {
    void *file;                       // unzFile
    uint64_t left;                    // bytes that may still come out of it
} xlsx_zip;

typedef struct xlsx_sink {            // element and attribute names without namespaces
    int (*start)(void *ctx, const char *name, const char *const *attributes, fr_err *err);
    int (*end)(void *ctx, const char *name, fr_err *err);
    int (*text)(void *ctx, const char *s, size_t n, fr_err *err);
} xlsx_sink;

int xlsx_zip_open(const char *path, xlsx_zip *out, fr_err *err);
void xlsx_zip_close(xlsx_zip *z);
// *found false when there is no such part (then nothing was called).
int xlsx_parse(xlsx_zip *z, const char *part, const xlsx_sink *sink, void *ctx, bool *found,
               fr_err *err);
const char *xlsx_attribute(const char *const *attributes, const char *name);   // or NULL

// xlsx_book.
typedef enum xlsx_style {             // what a number means
    XLSX_PLAIN, XLSX_DATE, XLSX_STAMP, XLSX_TIME, XLSX_ELAPSED,
} xlsx_style;

typedef struct xlsx_texts {           // texts one after the other
    fr_buf bytes;
    size_t *ends;
    size_t n, capacity;
} xlsx_texts;

typedef struct xlsx_book {
    xlsx_zip zip;
    bool from_1904;
    struct xlsx_listed {
        char *name, *id, *part;
    } *sheets;
    size_t n_sheets;
    xlsx_texts texts;
    size_t n_shared;                  // texts of the shared list; others follow
    uint8_t *styles;                  // xlsx_style of each cell format
    size_t n_styles;
} xlsx_book;

int xlsx_book_open(const char *path, xlsx_book *out, fr_err *err);   // sheets only
int xlsx_book_read(xlsx_book *b, fr_err *err);                       // texts and styles
void xlsx_book_close(xlsx_book *b);
xlsx_style xlsx_style_of(const char *code, size_t n);                // of a number format
int xlsx_texts_add(xlsx_texts *t, const char *s, size_t n, bool more, fr_err *err);
void xlsx_texts_end(xlsx_texts *t);                      // the last one is complete: _x000D_ is CR
const char *xlsx_text(const xlsx_texts *t, size_t i, size_t *n);

// xlsx_cells.
typedef enum xlsx_kind { XLSX_NUMBER, XLSX_TEXT, XLSX_BOOL } xlsx_kind;

typedef struct xlsx_cell {
    union {
        double number;
        size_t text;                  // of the book's texts
    };
    uint32_t row;                     // from 0
    uint8_t kind;                     // xlsx_kind
    uint8_t style;                    // xlsx_style of a number
} xlsx_cell;

typedef struct xlsx_column {
    xlsx_cell *cells;                 // rows ascend
    size_t n, capacity;
} xlsx_column;

typedef struct xlsx_area {            // first and last, from 0; both included
    int64_t top, left, bottom, right;
} xlsx_area;

typedef struct xlsx_cells {
    xlsx_book *book;
    const char *sheet;
    xlsx_area wanted;                 // cells outside are not kept
    xlsx_area used;                   // of those that are kept; empty: bottom < top
    xlsx_column *columns;             // [FR_XLSX_COLUMNS]
} xlsx_cells;

int xlsx_range(const char *range, xlsx_area *out, fr_err *err);
int xlsx_cells_read(xlsx_cells *c, const char *part, fr_err *err);
void xlsx_cells_fini(xlsx_cells *c);
enum { XLSX_PLACE_MAX = 32 };
const char *xlsx_place(int64_t row, int64_t column, char out[XLSX_PLACE_MAX]);  // "B3"

// xlsx_build.
int xlsx_build(xlsx_cells *c, const char *path, const fr_xlsx_options *o, fr_frame **out,
               fr_buf *notes, fr_err *err);
