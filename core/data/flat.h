#pragma once
// flat -- flatbuffers by hand, as far as Arrow's metadata needs them.
//
// Writing goes from the back to the front: children first, so that offsets are known.
// Reading checks every offset against the bytes; damage makes `bad` sticky and gives zeros.
// Both belong to one thread.

#include "core/base/base.h"

#include <stdbool.h>
#include <stdint.h>

enum { FLAT_FIELDS_MAX = 8 };

typedef struct flat_writer {
    uint8_t *bytes;
    size_t capacity, used;            // used bytes lie at the end
    size_t align;                     // largest alignment so far
    size_t fields[FLAT_FIELDS_MAX];   // of the table in the making: `used` behind each
    size_t n_fields, table_start;
} flat_writer;

typedef uint32_t flat_ref;            // where something starts, counted from the end

void flat_init(flat_writer *w);
void flat_fini(flat_writer *w);
flat_ref flat_string(flat_writer *w, const char *s, size_t n);
flat_ref flat_refs(flat_writer *w, const flat_ref *items, size_t n);        // vector of tables
// A vector of n structs of `size` bytes (8-byte aligned), or of int64.
flat_ref flat_structs(flat_writer *w, const void *items, size_t size, size_t n);
void flat_table(flat_writer *w, size_t fields);       // children are made already
void flat_put(flat_writer *w, size_t field, uint64_t v, size_t size);       // a scalar
void flat_put_ref(flat_writer *w, size_t field, flat_ref child);
flat_ref flat_end(flat_writer *w);
// The finished bytes (valid until fini).
const uint8_t *flat_finish(flat_writer *w, flat_ref root, size_t *n);

typedef struct flat_reader {
    const uint8_t *bytes;
    size_t n;
    bool bad;
} flat_reader;

// Positions in the bytes; 0 stands for absent.
size_t flat_root(flat_reader *r);
size_t flat_field(flat_reader *r, size_t table, size_t field, size_t size); // 0: the default
uint64_t flat_get(flat_reader *r, size_t table, size_t field, size_t size, uint64_t standard);
size_t flat_child(flat_reader *r, size_t table, size_t field);              // table
const char *flat_text(flat_reader *r, size_t table, size_t field, size_t *n);   // NULL: absent
// A vector's first item and count; items of `size` bytes are checked to be inside.
size_t flat_vector(flat_reader *r, size_t table, size_t field, size_t size, size_t *n);
size_t flat_item(flat_reader *r, size_t vector, size_t i);  // the i-th table of a vector
uint64_t flat_at(flat_reader *r, size_t at, size_t size);   // little-endian integer
