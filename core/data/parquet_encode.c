#include "core/base/mem.h"
#include "core/data/bits.h"
#include "core/data/parquet_int.h"

#include <string.h>

enum { BLOCK = 128, MINIS = 4, MINI = BLOCK / MINIS };

static int64_t present_in(const fr_array *a, int64_t at, int64_t n)
{
    return a->nulls == 0 ? n : fr_bits_count(a->validity->data, a->offset + at, n);
}

// Behind their length; one run: that nothing is null, or the bitmap as it is.
void pq_put_levels(const fr_array *a, int64_t at, int64_t n, fr_buf *to)
{
    size_t start = to->size;
    fr_buf_put_u32(to, 0);
    if (present_in(a, at, n) == n) {
        fr_buf_put_varint(to, (uint64_t)n << 1);
        fr_buf_put_u8(to, 1);
    } else {
        size_t bytes = fr_bits_bytes(n);
        fr_buf_put_varint(to, (uint64_t)bytes << 1 | 1);
        if (fr_buf_reserve(to, bytes, NULL) != FR_OK) {
            to->failed = true;
            return;
        }
        memset(to->data + to->size, 0, bytes);
        fr_bits_copy(to->data + to->size, 0, a->validity->data, a->offset + at, n);
        to->size += bytes;
    }
    uint32_t size = (uint32_t)(to->size - start - sizeof size);
    if (!to->failed) {
        memcpy(to->data + start, &size, sizeof size);
    }
}

void pq_put_bools(const fr_array *a, int64_t at, int64_t n, fr_buf *to)
{
    size_t bytes = fr_bits_bytes(n);
    if (fr_buf_reserve(to, bytes, NULL) != FR_OK) {
        to->failed = true;
        return;
    }
    uint8_t *bits = to->data + to->size;
    memset(bits, 0, bytes);
    if (present_in(a, at, n) == n) {
        fr_bits_copy(bits, 0, a->values->data, a->offset + at, n);
        to->size += bytes;
        return;
    }
    int64_t k = 0;
    for (int64_t i = at; i < at + n; i++) {
        if (fr_array_has(a, i)) {
            if (fr_array_bool(a, i)) {
                fr_bits_set(bits, k);
            }
            k++;
        }
    }
    to->size += fr_bits_bytes(k);
}

// n numbers of `width` bits (at most 64), the low bits first, to at + ceil(n * width / 8).
static void pack_bits(const uint64_t *v, size_t n, unsigned width, uint8_t *at)
{
    uint64_t word = 0;
    unsigned used = 0;
    for (size_t i = 0; i < n && width > 0; i++) {
        word |= v[i] << used;
        used += width;
        if (used >= 64) {
            memcpy(at, &word, 8);
            at += 8;
            used -= 64;
            word = used > 0 ? v[i] >> (width - used) : 0;
        }
    }
    memcpy(at, &word, (used + 7) / 8);
}

static unsigned width_of(uint64_t v) { return v == 0 ? 0 : 64 - (unsigned)__builtin_clzll(v); }

// One block of up to 128 deltas, which are wrapped to `width` bytes already.
static void put_block(uint64_t *delta, size_t n, size_t width, fr_buf *to)
{
    int64_t least = INT64_MAX;
    for (size_t i = 0; i < n; i++) {
        least = FR_MIN(least, (int64_t)delta[i]);
    }
    for (size_t i = 0; i < n; i++) {
        delta[i] -= (uint64_t)least;
        delta[i] = width == 4 ? (uint32_t)delta[i] : delta[i];
    }
    memset(delta + n, 0, (BLOCK - n) * sizeof *delta);
    fr_buf_put_varint(to, (uint64_t)least << 1 ^ (uint64_t)(least >> 63));
    if (fr_buf_reserve(to, MINIS + BLOCK * 8, NULL) != FR_OK) {
        to->failed = true;
        return;
    }
    uint8_t *widths = to->data + to->size, *at = widths + MINIS;
    for (size_t m = 0; m < MINIS; m++) {
        uint64_t all = 0;
        for (size_t i = 0; i < MINI; i++) {
            all |= delta[m * MINI + i];
        }
        unsigned bits = width_of(all);
        widths[m] = (uint8_t)bits;
        if (m * MINI < n) { // behind the last number nothing is stored
            pack_bits(delta + m * MINI, MINI, bits, at);
            at += bits * MINI / 8;
        }
    }
    to->size = (size_t)(at - to->data);
}

static uint64_t number(const void *values, size_t i, size_t width)
{
    int32_t small;
    int64_t big;
    if (width == 4) {
        memcpy(&small, (const uint8_t *)values + 4 * i, 4);
        return (uint64_t)(int64_t)small;
    }
    memcpy(&big, (const uint8_t *)values + 8 * i, 8);
    return (uint64_t)big;
}

void pq_put_delta(const void *values, size_t n, size_t width, fr_buf *to)
{
    uint64_t delta[BLOCK], before = n > 0 ? number(values, 0, width) : 0;
    fr_buf_put_varint(to, BLOCK);
    fr_buf_put_varint(to, MINIS);
    fr_buf_put_varint(to, n);
    fr_buf_put_varint(to, before << 1 ^ (uint64_t)((int64_t)before >> 63));
    for (size_t at = 1; at < n && !to->failed; at += BLOCK) {
        size_t count = FR_MIN(n - at, (size_t)BLOCK);
        for (size_t i = 0; i < count; i++) {
            uint64_t v = number(values, at + i, width);
            delta[i] = width == 4 ? (uint64_t)(int64_t)(int32_t)(uint32_t)(v - before) : v - before;
            before = v;
        }
        put_block(delta, count, width, to);
    }
}

#define DENSE(from_type, to_type)                                                        \
    do {                                                                                 \
        const from_type *x = (const from_type *)fr_array_data(a) + at;                   \
        to_type *y = (to_type *)(void *)out;                                             \
        for (int64_t i = 0; i < n; i++) {                                                \
            y[k] = (to_type)x[i];                                                        \
            k += all || fr_array_has(a, at + i);                                         \
        }                                                                                \
    } while (0)

// The values that are not null, at `width` bytes; as they lie when that is the same.
static const void *dense(const fr_array *a, int64_t at, int64_t n, size_t width, fr_buf *scratch,
                         size_t *count)
{
    bool all = present_in(a, at, n) == n;
    size_t own = fr_kind_width(a->type.kind), k = 0;
    *count = (size_t)n;
    if (all && own == width && !(a->type.kind == FR_TIMESTAMP && a->type.unit == FR_SECOND)) {
        return (const uint8_t *)fr_array_data(a) + (size_t)at * own;
    }
    fr_buf_clear(scratch);
    if (fr_buf_reserve(scratch, ((size_t)n + 1) * width, NULL) != FR_OK) {
        scratch->failed = true;
        *count = 0;
        return NULL;
    }
    uint8_t *out = scratch->data;
    switch ((int)a->type.kind) {
    case FR_INT8:
        DENSE(int8_t, int32_t);
        break;
    case FR_INT16:
        DENSE(int16_t, int32_t);
        break;
    case FR_UINT8:
        DENSE(uint8_t, int32_t);
        break;
    case FR_UINT16:
        DENSE(uint16_t, int32_t);
        break;
    default:
        if (width == 4) {
            DENSE(uint32_t, uint32_t);
        } else {
            DENSE(uint64_t, uint64_t);
        }
        break;
    }
    *count = k;
    return out;
}

void pq_put_fixed(const fr_array *a, int64_t at, int64_t n, size_t width, bool deltas,
                  fr_buf *scratch, fr_buf *to)
{
    size_t count;
    const void *values = dense(a, at, n, width, scratch, &count);
    if (a->type.kind == FR_TIMESTAMP && a->type.unit == FR_SECOND && values != NULL) {
        uint64_t *x = (uint64_t *)(void *)scratch->data; // as milliseconds; checked before
        for (size_t i = 0; i < count; i++) {
            x[i] *= 1000;
        }
    }
    if (scratch->failed) {
        to->failed = true;
    } else if (deltas) {
        pq_put_delta(values, count, width, to);
    } else {
        fr_buf_put(to, values, count * width);
    }
}

// Lengths as deltas, then the bytes.
void pq_put_texts(const fr_array *a, int64_t at, int64_t n, fr_buf *scratch, fr_buf *to)
{
    fr_buf_clear(scratch);
    if (fr_buf_reserve(scratch, ((size_t)n + 1) * sizeof(uint32_t), NULL) != FR_OK) {
        to->failed = true;
        return;
    }
    uint32_t *sizes = (uint32_t *)(void *)scratch->data;
    size_t k = 0, size;
    for (int64_t i = at; i < at + n; i++) {
        if (fr_array_has(a, i)) {
            (void)fr_array_text(a, i, &size);
            sizes[k++] = (uint32_t)size;
        }
    }
    pq_put_delta(sizes, k, sizeof *sizes, to);
    if (a->type.kind == FR_UTF8 && k == (size_t)n) {
        const int64_t *o = fr_array_offsets(a);
        fr_buf_put(to, a->values->data + o[at], (size_t)(o[at + n] - o[at]));
        return;
    }
    for (int64_t i = at; i < at + n; i++) {
        if (fr_array_has(a, i)) {
            const char *s = fr_array_text(a, i, &size);
            fr_buf_put(to, s, size);
        }
    }
}

void pq_put_indexes(const uint32_t *codes, size_t n, unsigned width, fr_buf *to)
{
    size_t groups = (n + 7) / 8, same = 0;
    fr_buf_put_u8(to, (uint8_t)width);
    while (same < n && codes[same] == codes[0]) {
        same++;
    }
    if (same == n && n > 0) { // one run of equal ones
        fr_buf_put_varint(to, (uint64_t)n << 1);
        fr_buf_put(to, codes, (width + 7) / 8);
        return;
    }
    fr_buf_put_varint(to, (uint64_t)groups << 1 | 1);
    if (fr_buf_reserve(to, groups * width + 8, NULL) != FR_OK) {
        to->failed = true;
        return;
    }
    uint8_t *at = to->data + to->size;
    uint64_t word = 0;
    unsigned used = 0;
    for (size_t i = 0; i < groups * 8; i++) {
        uint64_t v = i < n ? codes[i] : 0;
        word |= v << used;
        used += width;
        if (used >= 64) {
            memcpy(at, &word, 8);
            at += 8;
            used -= 64;
            word = used > 0 ? v >> (width - used) : 0;
        }
    }
    memcpy(at, &word, 8);
    to->size += groups * width;
}
