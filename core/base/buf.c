#include "core/base/buf.h"

#include "core/base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void fr_buf_init(fr_buf *b, size_t max)
{
    *b = (fr_buf){.max = max};
}

void fr_buf_fini(fr_buf *b)
{
    fr_free(b->data);
    *b = (fr_buf){.max = b->max};
}

void fr_buf_clear(fr_buf *b)
{
    b->size = 0;
    b->failed = false;
}

int fr_buf_reserve(fr_buf *b, size_t more, fr_err *err)
{
    if (FR_LIKELY(b->capacity - b->size >= more)) {
        return FR_OK;
    }
    if (more > b->max || b->size > b->max - more) {
        return fr_fail(err, FR_ELIMIT, "more than %zu bytes", b->max);
    }
    size_t want = b->size + more;
    size_t grown = b->capacity + b->capacity / 2 + 64;
    want = FR_MIN(FR_MAX(want, grown), b->max);
    uint8_t *p = fr_try_realloc(b->data, want);
    if (p == NULL) {
        return fr_fail(err, FR_ENOMEM, "no memory for %zu bytes", want);
    }
    b->data = p;
    b->capacity = want;
    return FR_OK;
}

static bool room(fr_buf *b, size_t n)
{
    if (FR_LIKELY(!b->failed && b->capacity - b->size >= n)) {
        return true;
    }
    if (b->failed || fr_buf_reserve(b, n, NULL) != FR_OK) {
        b->failed = true;
        return false;
    }
    return true;
}

void fr_buf_put(fr_buf *b, const void *bytes, size_t n)
{
    if (n > 0 && room(b, n)) {
        memcpy(b->data + b->size, bytes, n);
        b->size += n;
    }
}

void fr_buf_put_u8(fr_buf *b, uint8_t v)
{
    if (room(b, 1)) {
        b->data[b->size++] = v;
    }
}

void fr_buf_put_u32(fr_buf *b, uint32_t v)
{
    uint8_t x[4];
    for (int i = 0; i < 4; i++) {
        x[i] = (uint8_t)(v >> (8 * i));
    }
    fr_buf_put(b, x, sizeof x);
}

void fr_buf_put_u64(fr_buf *b, uint64_t v)
{
    uint8_t x[8];
    for (int i = 0; i < 8; i++) {
        x[i] = (uint8_t)(v >> (8 * i));
    }
    fr_buf_put(b, x, sizeof x);
}

void fr_buf_put_varint(fr_buf *b, uint64_t v)
{
    uint8_t x[10];
    bool direct = !b->failed && b->capacity - b->size >= sizeof x;
    uint8_t *start = direct ? b->data + b->size : x, *p = start;
    while (v >= 128) {
        *p++ = (uint8_t)(v | 128);
        v >>= 7;
    }
    *p++ = (uint8_t)v;
    if (direct) {
        b->size += (size_t)(p - start);
    } else {
        fr_buf_put(b, x, (size_t)(p - start));
    }
}

void fr_buf_put_str(fr_buf *b, const char *s)
{
    fr_buf_put(b, s, strlen(s));
}

void fr_buf_printf(fr_buf *b, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n >= 0 && room(b, (size_t)n + 1)) {
        (void)vsnprintf((char *)b->data + b->size, (size_t)n + 1, format, again);
        b->size += (size_t)n;
    }
    va_end(again);
}

int fr_buf_check(const fr_buf *b, fr_err *err)
{
    if (b->failed) {
        return fr_fail(err, FR_ELIMIT, "more than %zu bytes", b->max);
    }
    return FR_OK;
}

const char *fr_buf_text(fr_buf *b)
{
    if (b->capacity - b->size < 1) {
        b->data = fr_realloc(b->data, b->capacity + 1);   // the NUL may exceed max by one
        b->capacity++;
    }
    b->data[b->size] = '\0';
    return (const char *)b->data;
}

uint8_t *fr_buf_take(fr_buf *b, size_t *size)
{
    uint8_t *p = b->data;
    *size = b->size;
    *b = (fr_buf){.max = b->max};
    return p;
}

fr_reader fr_reader_of(const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    return (fr_reader){.at = p, .end = n > 0 ? p + n : p};
}

const uint8_t *fr_read_bytes(fr_reader *r, size_t n)
{
    if (r->failed || (size_t)(r->end - r->at) < n) {
        r->failed = true;
        return NULL;
    }
    const uint8_t *p = r->at;
    r->at += n;
    return p;
}

uint8_t fr_read_u8(fr_reader *r)
{
    const uint8_t *p = fr_read_bytes(r, 1);
    return p != NULL ? *p : 0;
}

uint32_t fr_read_u32(fr_reader *r)
{
    const uint8_t *p = fr_read_bytes(r, 4);
    uint32_t v = 0;
    for (int i = 0; p != NULL && i < 4; i++) {
        v |= (uint32_t)p[i] << (8 * i);
    }
    return v;
}

uint64_t fr_read_u64(fr_reader *r)
{
    const uint8_t *p = fr_read_bytes(r, 8);
    uint64_t v = 0;
    for (int i = 0; p != NULL && i < 8; i++) {
        v |= (uint64_t)p[i] << (8 * i);
    }
    return v;
}

uint64_t fr_read_varint(fr_reader *r)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t c = fr_read_u8(r);
        if (r->failed) {
            return 0;
        }
        if (shift == 63 && c > 1) {
            break;                                  // more than 64 bits
        }
        v |= (uint64_t)(c & 127) << shift;
        if (c < 128) {
            if (c == 0 && shift > 0) {
                break;                              // not the shortest form: not canonical
            }
            return v;
        }
    }
    r->failed = true;
    return 0;
}
