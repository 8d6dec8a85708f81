#pragma once
// buf -- a growing byte buffer with a maximum. Owned by one thread; embed it in place.

#include "core/base/err.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct fr_buf {
    uint8_t *data;
    size_t size, capacity;
    size_t max;              // growing beyond it fails with FR_ELIMIT (put_*: sticky flag)
    bool failed;             // a put did not fit; everything after it was dropped
} fr_buf;

void fr_buf_init(fr_buf *b, size_t max);
void fr_buf_fini(fr_buf *b);
void fr_buf_clear(fr_buf *b);                                // keeps the memory
FR_NODISCARD int fr_buf_reserve(fr_buf *b, size_t more, fr_err *err);   // FR_ELIMIT, FR_ENOMEM
// The puts set `failed` instead of returning a code, so that a writer checks once at the end.
void fr_buf_put(fr_buf *b, const void *bytes, size_t n);
void fr_buf_put_u8(fr_buf *b, uint8_t v);
void fr_buf_put_u32(fr_buf *b, uint32_t v);                  // little endian
void fr_buf_put_u64(fr_buf *b, uint64_t v);
void fr_buf_put_varint(fr_buf *b, uint64_t v);               // LEB128
void fr_buf_put_str(fr_buf *b, const char *s);               // without the NUL
void fr_buf_printf(fr_buf *b, const char *format, ...) FR_PRINTF(2, 3);
FR_NODISCARD int fr_buf_check(const fr_buf *b, fr_err *err); // FR_ELIMIT when a put failed
const char *fr_buf_text(fr_buf *b);                          // NUL-terminated view
uint8_t *fr_buf_take(fr_buf *b, size_t *size);               // the caller owns the bytes (fr_free)

// Reading what the puts wrote. Never reads beyond `end`; `failed` is sticky.
typedef struct fr_reader {
    const uint8_t *at, *end;
    bool failed;
} fr_reader;

fr_reader fr_reader_of(const void *bytes, size_t n);
uint8_t fr_read_u8(fr_reader *r);
uint32_t fr_read_u32(fr_reader *r);
uint64_t fr_read_u64(fr_reader *r);
uint64_t fr_read_varint(fr_reader *r);
const uint8_t *fr_read_bytes(fr_reader *r, size_t n);        // NULL when too few are left
