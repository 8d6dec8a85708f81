#pragma once
// thrift -- the compact protocol by hand, as far as Parquet's metadata needs it.
//
// Reading checks every length against the bytes; damage makes `bad` sticky and gives zeros,
// so that a caller looks once at the end. Both sides belong to one thread.
//
//     thrift_field f = {0};
//     while (thrift_next(r, &f)) {
//         switch (f.id) {
//         case 1: x = thrift_int(r, &f); break;
//         default: thrift_skip(r, &f);
//         }
//     }

#include "core/base/buf.h"

#include <stdbool.h>
#include <stdint.h>

enum { THRIFT_DEPTH_MAX = 32 };

enum {                                // types on the wire
    THRIFT_TRUE = 1, THRIFT_FALSE = 2, THRIFT_I8 = 3, THRIFT_I16 = 4, THRIFT_I32 = 5,
    THRIFT_I64 = 6, THRIFT_DOUBLE = 7, THRIFT_BINARY = 8, THRIFT_LIST = 9, THRIFT_SET = 10,
    THRIFT_MAP = 11, THRIFT_STRUCT = 12,
};

typedef struct thrift_reader {
    const uint8_t *at, *end;
    bool bad;
} thrift_reader;

typedef struct thrift_field {
    int id;                           // 0 before the first
    uint8_t type;
} thrift_field;

// The next field of the struct we are in; false at its end or when bytes are bad.
bool thrift_next(thrift_reader *r, thrift_field *f);
// The value of the field f; another type than asked for is bad.
int64_t thrift_int(thrift_reader *r, const thrift_field *f);
bool thrift_bool(thrift_reader *r, const thrift_field *f);
const uint8_t *thrift_bytes(thrift_reader *r, const thrift_field *f, size_t *n);   // in place
// Items of a list of structs or binaries; at most as many as bytes are left.
size_t thrift_list(thrift_reader *r, const thrift_field *f, uint8_t type);
// True when f is a struct, whose fields come next; else it is skipped.
bool thrift_enter(thrift_reader *r, const thrift_field *f);
void thrift_skip(thrift_reader *r, const thrift_field *f);

typedef struct thrift_writer {
    fr_buf *to;
    int last[THRIFT_DEPTH_MAX];       // id of the field before, per struct we are in
    int depth;
} thrift_writer;

thrift_writer thrift_writer_of(fr_buf *to);
void thrift_put_int(thrift_writer *w, int id, uint8_t type, int64_t v);     // I16, I32, I64
void thrift_put_bool(thrift_writer *w, int id, bool v);
void thrift_put_bytes(thrift_writer *w, int id, const void *bytes, size_t n);
void thrift_put_list(thrift_writer *w, int id, uint8_t type, size_t n);     // items follow
void thrift_item_int(thrift_writer *w, int64_t v);
void thrift_item_bytes(thrift_writer *w, const void *bytes, size_t n);
void thrift_begin(thrift_writer *w, int id);          // a struct as a field; 0: as an item or root
void thrift_end(thrift_writer *w);
