#pragma once
// csv_plan -- one reading in progress: files, regions, columns. Private to core/data/csv*.c.
//
// csv.c fills a plan and runs it; csv_head.c makes files and columns of it (names, types);
// csv_build.c makes arrays of the parsed parts. Owned by the reading thread; jobs on the
// pool write only their own region's parts.

#include "core/data/csv_int.h"

typedef struct csv_file {
    const char *name;
    csv_text text;
    csv_dialect dialect;
    int64_t lines_before;             // of the file, not in the text
    size_t body;                      // where the first record starts
    size_t fields;                    // per record
    int32_t *column_of;               // field -> column of the plan, -1: not wanted
} csv_file;

typedef struct csv_region {
    const csv_file *file;
    size_t from, to;                  // text between two records
    size_t rows, first_row;
    bool quotes, high;
} csv_region;

typedef struct csv_column {
    char *name;
    csv_kind kind;
    fr_type type;
    const char *format;
    bool fixed;                       // the type was asked for
    bool pending;                     // to be parsed in the next run
    unsigned saw;
    fr_block *values;                 // numbers, or the offsets of text
} csv_column;

typedef struct csv_plan {
    const fr_csv_options *options;
    csv_nulls nulls;
    csv_file *files;
    size_t n_files;
    csv_column *columns;
    size_t n_columns;
    csv_region *regions;
    size_t n_regions;
    csv_part *parts;                  // [region * n_columns + column]
    size_t rows;
    bool exact;                       // records are cut one by one, by the book
    fr_buf *notes;
} csv_plan;

int csv_head(csv_plan *p, fr_err *err);                  // files are loaded: find columns
int csv_build(csv_plan *p, size_t column, fr_array **out, fr_err *err);
int64_t csv_line(const csv_file *f, size_t at);          // 1-based line of a byte
// "line 7, column 3 \"kw\": " for messages.
int csv_fail_cell(const csv_plan *p, const csv_region *r, size_t row_at, size_t column,
                  const uint8_t *s, size_t n, fr_err *err);
// Rewrites a text as the options describe it into one with separators and doubled quotes.
int csv_recast(csv_text *t, const fr_csv_options *o, fr_err *err);

// Bad records of all files, taken out of their texts. Owned by the reading.
typedef struct csv_sieve csv_sieve;
csv_sieve *csv_sieve_new(void);
void csv_sieve_free(csv_sieve *s);
int csv_sieve_run(csv_sieve *s, csv_plan *p, fr_err *err);
int csv_sieve_finish(csv_sieve *s, fr_frame **out, fr_err *err);
