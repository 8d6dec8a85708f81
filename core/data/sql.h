#pragma once
// sql -- queries by SQLite: over frames, which it sees as tables, and over database files.
//
// Integers, floats, texts and bools of a frame are what they are; bools are 1 and 0, times
// are texts as they print. A result's column is int64, float64 or utf8, by its values;
// integers beside floats become floats. Any thread; blocks; stops when the task is cancelled.

#include "core/data/compute.h"

typedef struct fr_sql_table {
    const char *name;
    const fr_frame *frame;
} fr_sql_table;

typedef struct fr_sql_param {
    const char *name;             // without the $
    fr_scalar value;              // INT64, FLOAT64, BOOL, UTF8 or null
} fr_sql_param;

typedef struct fr_sql_query {
    const char *text;             // one statement that only reads
    size_t size;
    const char *path;             // a database file, opened for reading; NULL: frames only
    const fr_sql_table *tables;
    size_t n_tables;
    const fr_sql_param *params;
    size_t n_params;
} fr_sql_query;

// FR_EPARSE with SQLite's words for a mistake in the text, FR_EINVAL for a parameter that is
// not given, FR_ETYPE for a column with texts beside numbers, or blobs.
FR_NODISCARD int fr_sql_run(const fr_sql_query *q, fr_frame **out, fr_err *err);
