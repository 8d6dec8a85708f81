// The content hash of an array (frames.md B4): of logical values, so that a slice,
// another numbering of a dictionary or garbage under nulls make no difference. Chunks
// have a fixed number of rows and are hashed in parallel, then folded in order.

#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/data/array.h"
#include "core/data/bits.h"

#include <math.h>
#include <string.h>

enum { CHUNK_ROWS = 1 << 16 };

typedef struct hashing {
    const fr_array *array;
    const fr_hash *dict; // CATEGORY: a hash per dictionary entry
    fr_hash *chunks;
} hashing;

static fr_hash hash_bits(const uint8_t *bits, int64_t at, int64_t n)
{
    uint64_t words[CHUNK_ROWS / 64];
    size_t k = 0;
    for (int64_t i = 0; i < n; i += 64) {
        words[k++] = fr_bits_word(bits, at + i, at + n);
    }
    return fr_hash_bytes(words, k * sizeof(uint64_t));
}

// BOOL with nulls as false.
static fr_hash hash_bools(const fr_array *a, int64_t at, int64_t n)
{
    uint64_t words[CHUNK_ROWS / 64];
    size_t k = 0;
    int64_t from = a->offset + at, end = from + n;
    for (int64_t i = from; i < end; i += 64) {
        uint64_t w = fr_bits_word(a->values->data, i, end);
        words[k++] = a->validity ? w & fr_bits_word(a->validity->data, i, end) : w;
    }
    return fr_hash_bytes(words, k * sizeof(uint64_t));
}

static bool has_nan(const fr_array *a, int64_t at, int64_t n)
{
    bool nan = false;
    if (a->type.kind == FR_FLOAT64) {
        const double *x = fr_array_f64(a) + at;
        for (int64_t i = 0; i < n; i++) {
            nan |= x[i] != x[i];
        }
    } else if (a->type.kind == FR_FLOAT32) {
        const float *x = (const float *)fr_array_data(a) + at;
        for (int64_t i = 0; i < n; i++) {
            nan |= x[i] != x[i];
        }
    }
    return nan;
}

static fr_hash hash_fixed(const fr_array *a, int64_t at, int64_t n)
{
    size_t width = fr_kind_width(a->type.kind);
    const uint8_t *from = (const uint8_t *)fr_array_data(a) + (size_t)at * width;
    bool nan = has_nan(a, at, n);
    if (a->nulls == 0 && !nan) {
        return fr_hash_bytes(from, (size_t)n * width);
    }
    uint8_t *copy = fr_alloc((size_t)n * width);
    memcpy(copy, from, (size_t)n * width);
    const double one_nan = (double)NAN;
    const float one_nanf = NAN;
    for (int64_t i = 0; i < n; i++) {
        uint8_t *p = copy + (size_t)i * width;
        if (!fr_array_has(a, at + i)) {
            memset(p, 0, width);
        } else if (nan && isnan(fr_array_number(a, at + i))) {
            memcpy(p, width == 8 ? (const void *)&one_nan : (const void *)&one_nanf,
                   width);
        }
    }
    fr_hash h = fr_hash_bytes(copy, (size_t)n * width);
    fr_free(copy);
    return h;
}

static fr_hash hash_codes(const fr_array *a, const fr_hash *dict, int64_t at, int64_t n)
{
    fr_hash *row = fr_alloc((size_t)n * sizeof *row);
    const int32_t *code = fr_array_i32(a) + at;
    for (int64_t i = 0; i < n; i++) {
        row[i] = fr_array_has(a, at + i) ? dict[code[i]] : (fr_hash){0, 0};
    }
    fr_hash h = fr_hash_bytes(row, (size_t)n * sizeof *row);
    fr_free(row);
    return h;
}

static fr_hash hash_text(const fr_array *a, int64_t at, int64_t n)
{
    const int64_t *o = fr_array_offsets(a) + at;
    int64_t *size = fr_alloc((size_t)n * sizeof *size);
    fr_hash bytes;
    if (a->nulls == 0) {
        for (int64_t i = 0; i < n; i++) {
            size[i] = o[i + 1] - o[i];
        }
        bytes = fr_hash_bytes(a->values->data + o[0], (size_t)(o[n] - o[0]));
    } else {
        fr_hasher *h = fr_hasher_new();
        for (int64_t i = 0; i < n; i++) {
            bool there = fr_array_has(a, at + i);
            size[i] = there ? o[i + 1] - o[i] : 0;
            fr_hasher_put(h, a->values->data + o[i], (size_t)size[i]);
        }
        bytes = fr_hasher_end(h);
        fr_hasher_free(h);
    }
    fr_hash h = fr_hash_pair(fr_hash_bytes(size, (size_t)n * sizeof *size), bytes);
    fr_free(size);
    return h;
}

static void hash_chunk(void *ctx, size_t c)
{
    hashing *g = ctx;
    const fr_array *a = g->array;
    int64_t at = (int64_t)c * CHUNK_ROWS, n = FR_MIN(a->length - at, CHUNK_ROWS);
    fr_hash h;
    switch ((int)a->type.kind) {
    case FR_BOOL:
        h = hash_bools(a, at, n);
        break;
    case FR_UTF8:
        h = hash_text(a, at, n);
        break;
    case FR_CATEGORY:
        h = hash_codes(a, g->dict, at, n);
        break;
    default:
        h = hash_fixed(a, at, n);
        break;
    }
    if (a->nulls > 0) {
        h = fr_hash_pair(h, hash_bits(a->validity->data, a->offset + at, n));
    }
    g->chunks[c] = h;
}

static fr_hash hash_type(const fr_array *a)
{
    char name[64];
    fr_hash h =
        fr_hash_mix(fr_hash_str(fr_type_name(&a->type, name)), (uint64_t)a->length);
    h = fr_hash_mix(h, (uint64_t)a->nulls);
    if (a->type.kind == FR_CATEGORY && a->type.ordered) {
        h = fr_hash_pair(
            h, fr_array_hash(a->dict)); // there the order is a part of the value
    }
    return h;
}

static fr_hash *hash_dict(const fr_array *dict)
{
    fr_hash *h = fr_alloc(FR_MAX((size_t)dict->length, 1) * sizeof *h);
    for (int64_t i = 0; i < dict->length; i++) {
        size_t n;
        const char *s = fr_array_text(dict, i, &n);
        h[i] = fr_hash_bytes(s, n);
    }
    return h;
}

static fr_hash compute(const fr_array *a)
{
    size_t n = ((size_t)a->length + CHUNK_ROWS - 1) / CHUNK_ROWS;
    fr_hash *chunks = fr_alloc(FR_MAX(n, 1) * sizeof *chunks);
    fr_hash *dict = a->type.kind == FR_CATEGORY ? hash_dict(a->dict) : NULL;
    hashing g = {a, dict, chunks};
    if (fr_pool_run(n, hash_chunk, &g) != FR_OK) {
        // A hash must be made even for a cancelled attempt: finish alone.
        for (size_t i = 0; i < n; i++) {
            hash_chunk(&g, i);
        }
    }
    fr_hash h = hash_type(a);
    for (size_t i = 0; i < n; i++) {
        h = fr_hash_pair(h, chunks[i]);
    }
    fr_free(chunks);
    fr_free(dict);
    return h;
}

fr_hash fr_array_hash(const fr_array *a)
{
    fr_array *mine = (fr_array *)(uintptr_t)a; // the cache is not part of the value
    uint64_t lo = atomic_load_explicit(&mine->hash_lo, memory_order_acquire);
    if (lo != 0) {
        return (fr_hash){lo, atomic_load_explicit(&mine->hash_hi, memory_order_relaxed)};
    }
    fr_hash h = compute(a);
    if (h.lo == 0) {
        h.lo = 1;
    }
    atomic_store_explicit(&mine->hash_hi, h.hi, memory_order_relaxed);
    atomic_store_explicit(&mine->hash_lo, h.lo, memory_order_release);
    return h;
}
