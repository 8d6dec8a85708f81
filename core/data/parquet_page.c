#include "core/base/bigmem.h"
#include "core/data/bits.h"
#include "core/data/parquet_int.h"
#include "core/data/when.h"

#include <string.h>

enum { UNIX_JULIAN = 2440588, DECIMAL_BYTES_MAX = 64 };

static int damaged(fr_err *err, const char *what)
{
    return fr_fail(err, FR_ECORRUPT, "damaged data: %s", what);
}

static void join_streams(const uint8_t *from, size_t n, size_t width, uint8_t *to)
{
    for (size_t k = 0; k < width; k++) {
        for (size_t i = 0; i < n; i++) {
            to[i * width + k] = from[k * n + i];
        }
    }
}

bool pq_page_fixed(const pq_column *c, const pq_values *v, uint8_t *to)
{
    bool whole = c->physical == PQ_INT32 || c->physical == PQ_INT64;
    size_t have = (size_t)(v->end - v->at);
    if (v->encoding == PQ_DELTA_BINARY_PACKED && whole) {
        return v->n == 0 || pq_delta_read(v->at, v->end, v->n, c->width, to) != NULL;
    }
    if ((v->encoding != PQ_PLAIN && v->encoding != PQ_STREAM_SPLIT) || v->n > have / c->width) {
        return false;
    }
    if (v->encoding == PQ_STREAM_SPLIT) {
        join_streams(v->at, v->n, c->width, to);
    } else if (v->n > 0) {
        memcpy(to, v->at, v->n * c->width);
    }
    return true;
}

bool pq_page_bools(const pq_values *v, uint8_t *bits, int64_t at)
{
    size_t have = (size_t)(v->end - v->at);
    if (v->encoding == PQ_RLE) { // behind its length, in pages of both versions
        uint32_t size;
        if (have < sizeof size) {
            return v->n == 0;
        }
        memcpy(&size, v->at, sizeof size);
        pq_runs r = pq_runs_of(v->at + sizeof size,
                               v->at + sizeof size + FR_MIN(size, have - sizeof size), 1);
        return pq_runs_bits(&r, bits, at, v->n);
    }
    if (v->encoding != PQ_PLAIN || (v->n + 7) / 8 > have) {
        return false;
    }
    fr_bits_copy(bits, at, v->at, 0, (int64_t)v->n);
    return true;
}

// Conversions.
static double half_to_double(uint16_t h)
{
    uint32_t exponent = h >> 10 & 31, fraction = h & 1023;
    uint64_t bits = (uint64_t)(h >> 15) << 63;
    double x;
    if (exponent == 0) {
        return (h >> 15 ? -1 : 1) * (double)fraction / 16777216; // 2^-24
    }
    bits |= (uint64_t)(exponent == 31 ? 0x7ff : exponent + 1023 - 15) << 52;
    bits |= (uint64_t)fraction << 42;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static int64_t whole_at(const pq_column *c, const uint8_t *from, size_t i)
{
    int32_t small;
    int64_t big;
    if (c->width == 4) {
        memcpy(&small, from + 4 * i, 4);
        return small;
    }
    memcpy(&big, from + 8 * i, 8);
    return big;
}

static bool int96_value(const uint8_t *s, fr_unit unit, int64_t *out)
{
    int64_t nanos, days, per = fr_unit_per_second(unit) * 86400;
    int32_t julian;
    memcpy(&nanos, s, 8);
    memcpy(&julian, s + 8, 4);
    days = (int64_t)julian - UNIX_JULIAN;
    nanos = fr_floor_div(nanos, 1000000000 / fr_unit_per_second(unit));
    if (unit == FR_MICRO) { // Spark computes both ways modulo 2^64, and writes far years so
        *out = (int64_t)((uint64_t)days * (uint64_t)per + (uint64_t)nanos);
        return true;
    }
    return !__builtin_mul_overflow(days, per, out) && !__builtin_add_overflow(*out, nanos, out);
}

// The number of a decimal, which fixed and varying bytes hold with the high byte first.
static bool scaled_value(const pq_column *c, const uint8_t *s, size_t n, int64_t *out)
{
    if (c->physical == PQ_INT32 || c->physical == PQ_INT64) {
        *out = whole_at(c, s, 0);
        return true;
    }
    uint8_t sign = n > 0 && s[0] >= 0x80 ? 0xff : 0;
    for (; n > 8; s++, n--) {
        if (s[0] != sign) {
            return false;
        }
    }
    uint64_t v = sign != 0 ? UINT64_MAX : 0;
    for (size_t i = 0; i < n; i++) {
        v = v << 8 | s[i];
    }
    *out = (int64_t)v;
    return n < 8 || (*out < 0) == (sign != 0);
}

static bool fits(fr_kind kind, int64_t v)
{
    switch ((int)kind) {
    case FR_INT8:
        return v == (int8_t)v;
    case FR_INT16:
        return v == (int16_t)v;
    case FR_UINT8:
        return v == (uint8_t)v;
    default:
        return v == (uint16_t)v;
    }
}

bool pq_page_convert(const pq_column *c, const uint8_t *s, size_t n, uint8_t *to)
{
    int64_t v = 0;
    uint16_t half;
    float x;
    bool good = true;
    switch ((int)c->layout) {
    case PQ_AS_NARROW: // of little-endian numbers the low bytes
        v = whole_at(c, s, 0);
        good = fits(c->type.kind, v);
        memcpy(to, &v, fr_kind_width(c->type.kind));
        return good;
    case PQ_AS_TIME:
        good = !__builtin_mul_overflow(whole_at(c, s, 0), 1000000000 / fr_unit_per_second(c->unit),
                                       &v);
        break;
    case PQ_AS_SECONDS:
        v = fr_floor_div(whole_at(c, s, 0), 1000);
        break;
    case PQ_AS_INT96:
        good = int96_value(s, c->type.unit, &v);
        break;
    case PQ_AS_SCALED:
        good = scaled_value(c, s, n, &v);
        break;
    default: // PQ_AS_HALF
        memcpy(&half, s, 2);
        x = (float)half_to_double(half);
        memcpy(to, &x, sizeof x);
        return true;
    }
    memcpy(to, &v, sizeof v);
    return good;
}

int pq_page_misfit(const pq_column *c, fr_err *err)
{
    char type[64];
    if (c->layout == PQ_AS_INT96) {
        return fr_fail(err, FR_EOVERFLOW, "a time that %s does not reach: int96 = \"us\" "
                       "reads it", fr_type_name(&c->type, type));
    }
    return fr_fail(err, FR_EOVERFLOW, "a value that does not fit %s%s",
                   fr_type_name(&c->type, type),
                   c->layout == PQ_AS_SCALED ? ": decimals = \"text\" reads any" : "");
}

// Texts.
static int plain_texts(const pq_values *v, pq_text *to, fr_err *err)
{
    const uint8_t *at = v->at;
    for (size_t i = 0; i < v->n; i++) {
        uint32_t n;
        if (v->end - at < 4) {
            return damaged(err, "a page is too short for its texts");
        }
        memcpy(&n, at, 4);
        at += 4;
        if (n > (size_t)(v->end - at)) {
            return damaged(err, "a text beyond its page");
        }
        to[i] = (pq_text){at, n};
        at += n;
    }
    return FR_OK;
}

// A delta block of lengths: n of them. Returns where they end.
static const uint8_t *lengths(const uint8_t *at, const uint8_t *end, size_t n, uint32_t *to)
{
    size_t count;
    if (!pq_delta_count(at, end, &count) || count != n) {
        return NULL;
    }
    return pq_delta_read(at, end, n, sizeof *to, to);
}

static int delta_length_texts(const uint8_t *at, const uint8_t *end, size_t n, uint32_t *sizes,
                              pq_text *to, fr_err *err)
{
    at = lengths(at, end, n, sizes);
    for (size_t i = 0; i < n && at != NULL; i++) {
        if (sizes[i] > (size_t)(end - at)) {
            at = NULL;
            break;
        }
        to[i] = (pq_text){at, sizes[i]};
        at += sizes[i];
    }
    return at != NULL ? FR_OK : damaged(err, "lengths of texts");
}

// Prefixes shared with the text before, then suffixes.
static int delta_texts(const pq_values *v, uint32_t *sizes, pq_text *to, fr_block **made,
                       fr_err *err)
{
    const uint8_t *at = lengths(v->at, v->end, v->n, sizes);
    if (at == NULL) {
        return damaged(err, "prefixes of texts");
    }
    int rc = delta_length_texts(at, v->end, v->n, sizes + v->n, to, err);
    uint64_t total = 0, size = 0;
    for (size_t i = 0; i < v->n && rc == FR_OK; i++) {
        if (sizes[i] > size) {
            return damaged(err, "a prefix longer than the text before");
        }
        size = sizes[i] + to[i].n;
        total += size;
        if (size > UINT32_MAX || total > (uint64_t)1 << 36) {
            return damaged(err, "prefixes that grow without end");
        }
    }
    if (rc == FR_OK) {
        rc = fr_block_new((size_t)total + PQ_PAD, made, err);
    }
    uint8_t *put = rc == FR_OK ? (*made)->data : NULL;
    const uint8_t *before = put;
    for (size_t i = 0; i < v->n && rc == FR_OK; i++) {
        memcpy(put, before, sizes[i]);
        memcpy(put + sizes[i], to[i].s, to[i].n);
        before = put;
        to[i] = (pq_text){put, sizes[i] + to[i].n};
        put += to[i].n;
    }
    return rc;
}

int pq_page_texts(const pq_values *v, pq_text *to, fr_block **made, fr_err *err)
{
    *made = NULL;
    if (v->n == 0) {
        return FR_OK;
    }
    if (v->encoding == PQ_PLAIN) {
        return plain_texts(v, to, err);
    }
    if (v->encoding != PQ_DELTA_LENGTH && v->encoding != PQ_DELTA_BYTES) {
        return damaged(err, "an encoding that its type does not have");
    }
    fr_block *sizes;
    int rc = fr_block_new(v->n * 2 * sizeof(uint32_t), &sizes, err);
    if (rc != FR_OK) {
        return rc;
    }
    uint32_t *s = (uint32_t *)(void *)sizes->data;
    rc = v->encoding == PQ_DELTA_LENGTH ? delta_length_texts(v->at, v->end, v->n, s, to, err)
                                        : delta_texts(v, s, to, made, err);
    fr_block_unref(sizes);
    return rc;
}

// Printing.
static size_t print_hex(const uint8_t *s, size_t n, bool dashes, char *to)
{
    static const char digits[] = "0123456789abcdef";
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        if (dashes && (i == 4 || i == 6 || i == 8 || i == 10)) {
            to[at++] = '-';
        }
        to[at++] = digits[s[i] >> 4];
        to[at++] = digits[s[i] & 15];
    }
    return at;
}

// Divides a number of n base-256 digits, high first, by ten; returns the remainder.
static unsigned divide(uint8_t *digits, size_t n)
{
    unsigned rest = 0;
    for (size_t i = 0; i < n; i++) {
        rest = rest << 8 | digits[i];
        digits[i] = (uint8_t)(rest / 10);
        rest %= 10;
    }
    return rest;
}

static size_t print_decimal(const pq_column *c, const uint8_t *s, size_t n, char *to)
{
    uint8_t big[DECIMAL_BYTES_MAX];
    char back[DECIMAL_BYTES_MAX * 3 + PQ_SCALE_MAX + 2]; // digits from the last one
    if (n > DECIMAL_BYTES_MAX) {
        return SIZE_MAX;
    }
    bool little = c->physical == PQ_INT32 || c->physical == PQ_INT64, zero = false;
    for (size_t i = 0; i < n; i++) {
        big[i] = little ? s[n - 1 - i] : s[i];
    }
    bool negative = n > 0 && big[0] >= 0x80;
    for (size_t i = n, carry = 1; negative && i > 0; i--) {
        carry += (uint8_t)~big[i - 1];
        big[i - 1] = (uint8_t)carry;
        carry >>= 8;
    }
    size_t digits = 0, at = 0, scale = (size_t)c->scale;
    while (digits <= scale || !zero) {
        back[digits++] = (char)('0' + divide(big, n));
        zero = true;
        for (size_t i = 0; i < n; i++) {
            zero = zero && big[i] == 0;
        }
    }
    if (negative) {
        to[at++] = '-';
    }
    while (digits > 0) {
        to[at++] = back[--digits];
        if (digits == scale && scale > 0) {
            to[at++] = '.';
        }
    }
    return at;
}

size_t pq_page_print(const pq_column *c, const uint8_t *s, size_t n, char *to)
{
    if (c->layout == PQ_AS_DECIMAL) {
        return print_decimal(c, s, n, to);
    }
    return print_hex(s, n, c->layout == PQ_AS_UUID, to);
}
