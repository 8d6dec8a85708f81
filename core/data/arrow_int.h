#pragma once
// arrow_int -- numbers of the Arrow format (Schema.fbs, Message.fbs, File.fbs, version 5)
// and what the reader's parts share. Private to core/data/arrow*.c.

#include "core/data/arrow.h"
#include "core/data/flat.h"

enum { ARROW_V5 = 4, ARROW_ALIGN = 64, ARROW_MAGIC = 6 };

enum {                                // Message.header
    ARROW_SCHEMA = 1, ARROW_DICTIONARY = 2, ARROW_BATCH = 3,
};

enum {                                // Field.type
    ARROW_NULL = 1, ARROW_INT = 2, ARROW_FLOAT = 3, ARROW_BINARY = 4, ARROW_UTF8 = 5,
    ARROW_BOOL = 6, ARROW_DECIMAL = 7, ARROW_DATE = 8, ARROW_TIME = 9, ARROW_TIMESTAMP = 10,
    ARROW_INTERVAL = 11, ARROW_LIST = 12, ARROW_STRUCT = 13, ARROW_UNION = 14,
    ARROW_FIXED_BINARY = 15, ARROW_FIXED_LIST = 16, ARROW_MAP = 17, ARROW_DURATION = 18,
    ARROW_LARGE_BINARY = 19, ARROW_LARGE_UTF8 = 20, ARROW_LARGE_LIST = 21, ARROW_RUNS = 22,
    ARROW_BINARY_VIEW = 23, ARROW_UTF8_VIEW = 24, ARROW_LIST_VIEW = 25,
    ARROW_LARGE_LIST_VIEW = 26,
};

// How a column's values lie in a batch.
typedef enum arrow_layout {
    ARROW_L_NONE,                     // not supported; why is in `problem`
    ARROW_L_NULL, ARROW_L_BOOL,
    ARROW_L_FIXED,                    // as our own type
    ARROW_L_HALF,                     // 16-bit floats
    ARROW_L_DATE64, ARROW_L_TIME32, ARROW_L_TIME64,
    ARROW_L_UTF8, ARROW_L_LARGE_UTF8, ARROW_L_UTF8_VIEW,
} arrow_layout;

typedef struct arrow_field {
    char *name;
    fr_type type;                     // of the values (of the dictionary when there is one)
    arrow_layout layout;
    const char *problem;
    fr_unit time_unit;
    bool dictionary, ordered;
    int64_t dictionary_id;
    uint8_t index_bits;
    bool index_signed;
    size_t nodes, buffers, views;     // what it takes of a batch, children included
    bool wanted;
    size_t column;                    // of the result, when wanted
} arrow_field;

typedef struct arrow_schema {
    arrow_field *fields;
    size_t n;
} arrow_schema;

int arrow_schema_read(flat_reader *r, size_t schema, arrow_schema *out, fr_err *err);
void arrow_schema_fini(arrow_schema *s);
// Writes the schema table of f; column i's dictionary has id i.
flat_ref arrow_schema_write(flat_writer *w, const fr_frame *f);

// A record batch (or a dictionary's values) in the making of arrays.
typedef struct arrow_body {
    flat_reader *r;
    size_t nodes, n_nodes, node;      // vectors in the metadata and where we are
    size_t buffers, n_buffers, buffer;
    size_t views, n_views, view;      // numbers of data buffers of string views
    int codec;                        // -1 none, 0 lz4 frames, 1 zstd
    fr_block *block;                  // the body is [from, from + size) of it
    size_t from, size;
    bool trusted;                     // our own file: text is not looked at again
    fr_err *err;
} arrow_body;

int arrow_body_open(arrow_body *b, size_t batch, int64_t *rows);
// The next column's values, not through the dictionary. Advances.
int arrow_column(arrow_body *b, const arrow_field *f, fr_array **out);
// The next column through its dictionary's values.
int arrow_column_coded(arrow_body *b, const arrow_field *f, fr_array *values, fr_array **out);
int arrow_skip(arrow_body *b, const arrow_field *f);
