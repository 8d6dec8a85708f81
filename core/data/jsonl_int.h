#pragma once
// jsonl_int -- what the parts of the JSON lines reader share. Private to core/data/jsonl*.c.
//
// jsonl_scan: one region of lines to cells. jsonl.c: files, regions, names, types.
// jsonl_build: cells of one column to an array.

#include "core/base/map.h"
#include "core/data/csv_int.h"
#include "core/data/jsonl.h"

typedef enum jsonl_kind {
    JSONL_FALSE, JSONL_TRUE, JSONL_NUMBER,
    JSONL_TEXT,                       // without escapes; without its quotes
    JSONL_ESCAPED,
    JSONL_NESTED,
} jsonl_kind;

enum { JSONL_ROWS_MAX = 1 << 28 };    // of a region

typedef struct jsonl_cell {           // null and missing values have none
    uint32_t row : 28, kind : 4;
    uint32_t at, n;                   // in the region
} jsonl_cell;

enum {                                // what was seen in a column, to be united
    JSONL_SAW_BOOL = 1,
    JSONL_SAW_INT = 2,                // an int64 that is exact as a double
    JSONL_SAW_BIG = 4,                // an int64 that is not
    JSONL_SAW_FLOAT = 8,              // or an integer beyond int64 that is exact as a double
    JSONL_SAW_HUGE = 16,              // an integer that neither holds
    JSONL_SAW_TEXT = 32, JSONL_SAW_NESTED = 64,
};

typedef struct jsonl_column {         // of a region
    const uint8_t *raw;               // the key as it stands in the text
    size_t n_raw;
    char *name;
    bool wanted;
    unsigned saw;
    uint32_t last;                    // row that had it last, + 1
    jsonl_cell nested;                // the first one
    jsonl_cell *cells;                // in the order of rows
    size_t n_cells, capacity;
    size_t text;                      // bytes of all cells
} jsonl_column;

typedef struct jsonl_region {
    const char *file;
    const uint8_t *text;              // of the file
    size_t from, to;                  // whole lines
    size_t rows, first_row;
    jsonl_column *columns;
    size_t n_columns, capacity;
    fr_map names;                     // hash of a name -> index of its column
    uint32_t *column_of;              // of the table's columns: which here, UINT32_MAX: none
} jsonl_region;

typedef struct jsonl_table {
    const fr_jsonl_options *o;
    jsonl_region *regions;
    size_t n_regions, rows;
    fr_map wanted;                    // hashes of the names that are asked for -> their order
} jsonl_table;

int jsonl_scan(const jsonl_table *t, jsonl_region *r, fr_err *err);
// "a.jsonl: line 3, column 12: ..." for a byte of the region. Returns code.
int jsonl_fail(const jsonl_region *r, size_t at, fr_err *err, int code, const char *format, ...)
    FR_PRINTF(5, 6);
// The text of an ESCAPED cell; room for n bytes. Returns its length.
size_t jsonl_unescape(const uint8_t *s, size_t n, char *to);
// The table's column `column` as an array of the type.
int jsonl_build(const jsonl_table *t, size_t column, const char *name, const fr_type *type,
                fr_array **out, fr_err *err);
