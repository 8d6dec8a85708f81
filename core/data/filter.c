// Rows by mask. Three steps: count the true rows of each chunk, turn the counts into
// places, then every column copies its chunks independently of the others.

#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/data/bits.h"
#include "core/data/compress.h"
#include "core/data/compute.h"

#include <string.h>

typedef struct filtering {
    const fr_array *mask;
    int64_t *start; // per chunk: where its rows go; [chunks] is the total
    size_t chunks;
} filtering;

// The mask's bits of rows [at, at + 64) with null as false.
static inline uint64_t mask_word(const fr_array *m, int64_t at, int64_t end)
{
    uint64_t w = fr_bits_word(m->values->data, m->offset + at, m->offset + end);
    if (m->validity != NULL) {
        w &= fr_bits_word(m->validity->data, m->offset + at, m->offset + end);
    }
    return w;
}

static void count_chunk(void *ctx, size_t c)
{
    filtering *g = ctx;
    int64_t at = (int64_t)c * FR_CHUNK_ROWS,
            end = FR_MIN(at + FR_CHUNK_ROWS, g->mask->length);
    int64_t ones = 0;
    for (; at < end; at += 64) {
        ones += __builtin_popcountll(mask_word(g->mask, at, end));
    }
    g->start[c] = ones;
}

static int filtering_init(filtering *g, const fr_array *mask, fr_err *err)
{
    if (mask->type.kind != FR_BOOL) {
        char name[64];
        return fr_fail(err, FR_ETYPE, "a filter needs a bool, got %s",
                       fr_type_name(&mask->type, name));
    }
    *g = (filtering){.mask = mask, .chunks = fr_compute_chunks(mask->length)};
    g->start = fr_alloc((g->chunks + 1) * sizeof *g->start);
    int rc = fr_pool_run(g->chunks, count_chunk, g);
    int64_t total = 0;
    for (size_t c = 0; c < g->chunks; c++) {
        int64_t ones = g->start[c];
        g->start[c] = total;
        total += ones;
    }
    g->start[g->chunks] = total;
    return fr_compute_failed(err, rc);
}

typedef struct filtering_array {
    const filtering *g;
    const fr_array *from;
    fr_array *to;
    int64_t *text; // UTF8: where the bytes of each chunk go
    // Bits of each chunk from a word of its own: chunks of the result share words of a bitmap.
    uint64_t *valid, *bools;
} filtering_array;

enum {
    WORDS = FR_CHUNK_ROWS / 64,
    AREA = WORDS + 1,
    FAR_BYTES = 16 << 20 // a column of this size does not wait in a cache for its reader
};

static void mask_words(const fr_array *m, int64_t at, int64_t end, uint64_t words[WORDS])
{
    for (size_t i = 0; at < end; at += 64) {
        words[i++] = mask_word(m, at, end);
    }
}

#define COMPRESS(type)                                                                   \
    do {                                                                                 \
        const type *x = (const type *)fr_array_data(t->from) + at;                       \
        type *y = (type *)(void *)t->to->values->data + to;                              \
        for (size_t i = 0; i < n; i += 64) {                                             \
            for (uint64_t w = words[i / 64]; w != 0; w &= w - 1) {                       \
                *y++ = x[i + (size_t)__builtin_ctzll(w)];                                \
            }                                                                            \
        }                                                                                \
    } while (0)

static void compress_fixed(const filtering_array *t, const uint64_t *words, int64_t at, size_t n,
                           int64_t to)
{
    const uint8_t *from = fr_array_data(t->from);
    uint8_t *out = t->to->values->data;
    switch (fr_kind_width(t->from->type.kind)) {
    case 1:
        COMPRESS(uint8_t);
        break;
    case 2:
        COMPRESS(uint16_t);
        break;
    case 4:
        (void)fr_compress_32((const uint32_t *)(const void *)from + at, words, n,
                             (uint32_t *)(void *)out + to);
        break;
    default: // 8 bytes
        (t->to->values->size >= FAR_BYTES ? fr_compress_64_far : fr_compress_64)(
            (const uint64_t *)(const void *)from + at, words, n, (uint64_t *)(void *)out + to);
        break;
    }
}

static void compress_bits(const filtering_array *t, const uint64_t *words, const uint8_t *bits,
                          int64_t at, int64_t end, uint64_t *area)
{
    uint64_t x[WORDS];
    size_t n = (size_t)(end - at);
    for (size_t i = 0; i * 64 < n; i++) {
        x[i] = fr_bits_word(bits, t->from->offset + at + (int64_t)i * 64, t->from->offset + end);
    }
    (void)fr_compress_bits(x, words, n, area, 0);
}

static void compress_chunk(void *ctx, size_t c)
{
    filtering_array *t = ctx;
    int64_t at = (int64_t)c * FR_CHUNK_ROWS,
            end = FR_MIN(at + FR_CHUNK_ROWS, t->from->length);
    uint64_t words[WORDS];
    mask_words(t->g->mask, at, end, words);
    if (t->valid != NULL) {
        compress_bits(t, words, t->from->validity->data, at, end, t->valid + c * AREA);
    }
    if (t->bools != NULL) {
        compress_bits(t, words, t->from->values->data, at, end, t->bools + c * AREA);
    } else {
        compress_fixed(t, words, at, (size_t)(end - at), t->g->start[c]);
    }
}

static void measure_text(void *ctx, size_t c)
{
    filtering_array *t = ctx;
    int64_t at = (int64_t)c * FR_CHUNK_ROWS,
            end = FR_MIN(at + FR_CHUNK_ROWS, t->from->length);
    const int64_t *o = fr_array_offsets(t->from);
    int64_t sum = 0;
    for (; at < end; at += 64) {
        for (uint64_t w = mask_word(t->g->mask, at, end); w != 0; w &= w - 1) {
            int64_t i = at + __builtin_ctzll(w);
            sum += o[i + 1] - o[i];
        }
    }
    t->text[c] = sum;
}

static void copy_text(void *ctx, size_t c)
{
    filtering_array *t = ctx;
    int64_t at = (int64_t)c * FR_CHUNK_ROWS,
            end = FR_MIN(at + FR_CHUNK_ROWS, t->from->length);
    const int64_t *o = fr_array_offsets(t->from);
    int64_t *p = (int64_t *)(void *)t->to->offsets->data + t->g->start[c];
    int64_t to = t->text[c];
    if (t->valid != NULL) {
        uint64_t words[WORDS];
        mask_words(t->g->mask, at, end, words);
        compress_bits(t, words, t->from->validity->data, at, end, t->valid + c * AREA);
    }
    for (; at < end; at += 64) {
        for (uint64_t w = mask_word(t->g->mask, at, end); w != 0; w &= w - 1) {
            int64_t i = at + __builtin_ctzll(w);
            *p++ = to;
            memcpy(t->to->values->data + to, t->from->values->data + o[i],
                   (size_t)(o[i + 1] - o[i]));
            to += o[i + 1] - o[i];
        }
    }
    if (c + 1 == t->g->chunks) {
        *p = to;
    }
}

// The chunks' bits one after the other.
static int pack(const filtering *g, const uint64_t *areas, fr_block **out, fr_err *err)
{
    int rc = fr_block_new_zero(fr_bits_bytes(g->start[g->chunks]), out, err);
    for (size_t c = 0; rc == FR_OK && c < g->chunks; c++) {
        fr_bits_copy((*out)->data, g->start[c], (const uint8_t *)(areas + c * AREA), 0,
                     g->start[c + 1] - g->start[c]);
    }
    return rc;
}

static int new_areas(const filtering *g, uint64_t **out)
{
    size_t size = (g->chunks * AREA + 1) * sizeof **out;
    *out = fr_try_alloc(size);
    if (*out == NULL) {
        return FR_ENOMEM;
    }
    memset(*out, 0, size);
    return FR_OK;
}

static int filter_text(filtering_array *t, int64_t n, fr_err *err)
{
    size_t chunks = t->g->chunks;
    t->text = fr_alloc(FR_MAX(chunks, 1) * sizeof *t->text);
    int rc = fr_pool_run(chunks, measure_text, t);
    int64_t total = 0;
    for (size_t c = 0; rc == FR_OK && c < chunks; c++) {
        int64_t bytes = t->text[c];
        t->text[c] = total;
        total += bytes;
    }
    if (rc == FR_OK) {
        rc = fr_array_new(t->from->type, n, (size_t)total, &t->to, err);
    }
    if (rc == FR_OK) {
        rc = fr_pool_run(chunks, copy_text, t);
    }
    fr_free(t->text);
    return rc;
}

static int filter_array(const filtering *g, const fr_array *a, fr_array **out,
                        fr_err *err)
{
    *out = NULL;
    int64_t n = g->start[g->chunks];
    if (n == a->length) {
        *out = fr_array_ref(a);
        return FR_OK;
    }
    filtering_array t = {.g = g, .from = a};
    int rc = FR_OK;
    if (a->nulls > 0) {
        rc = new_areas(g, &t.valid);
    }
    if (rc == FR_OK && a->type.kind == FR_BOOL) {
        rc = new_areas(g, &t.bools);
    }
    if (rc == FR_OK && a->type.kind == FR_UTF8) {
        rc = filter_text(&t, n, err);
    } else if (rc == FR_OK) {
        rc = fr_array_new(a->type, n, 0, &t.to, err);
        rc = rc == FR_OK ? fr_pool_run(g->chunks, compress_chunk, &t) : rc;
    }
    if (rc == FR_OK && t.bools != NULL) {
        fr_block_unref(t.to->values);
        t.to->values = NULL;
        rc = pack(g, t.bools, &t.to->values, err);
    }
    if (rc == FR_OK && t.valid != NULL) {
        rc = pack(g, t.valid, &t.to->validity, err);
    }
    fr_free(t.valid);
    fr_free(t.bools);
    if (rc != FR_OK) {
        fr_array_unref(t.to);
        return fr_compute_failed(err, rc);
    }
    t.to->dict = a->dict != NULL ? fr_array_ref(a->dict) : NULL;
    fr_array_count_nulls(t.to);
    *out = t.to;
    return FR_OK;
}

static int check_length(const fr_array *mask, int64_t rows, fr_err *err)
{
    if (mask->length != rows) {
        return fr_fail(err, FR_EINVAL, "a mask of %lld rows for %lld rows",
                       (long long)mask->length, (long long)rows);
    }
    return FR_OK;
}

int fr_compute_filter_array(const fr_array *a, const fr_array *mask, fr_array **out,
                            fr_err *err)
{
    *out = NULL;
    filtering g = {0};
    int rc = check_length(mask, a->length, err);
    if (rc == FR_OK) {
        rc = filtering_init(&g, mask, err);
    }
    if (rc == FR_OK) {
        rc = filter_array(&g, a, out, err);
    }
    fr_free(g.start);
    return rc;
}

typedef struct filtering_frame {
    const filtering *g;
    const fr_frame *from;
    fr_array **cols;
} filtering_frame;

static int filter_column(void *ctx, size_t i)
{
    filtering_frame *t = ctx;
    return filter_array(t->g, t->from->cols[i], &t->cols[i], NULL);
}

int fr_compute_filter(const fr_frame *f, const fr_array *mask, fr_frame **out,
                      fr_err *err)
{
    *out = NULL;
    filtering g = {0};
    int rc = check_length(mask, f->rows, err);
    if (rc == FR_OK) {
        rc = filtering_init(&g, mask, err);
    }
    if (rc != FR_OK || f->columns == 0) {
        rc = rc == FR_OK ? fr_frame_empty(g.start[g.chunks], out, err) : rc;
        fr_free(g.start);
        return rc;
    }
    filtering_frame t = {&g, f, fr_zalloc(f->columns * sizeof(fr_array *))};
    rc = fr_compute_failed(err, fr_pool_try(f->columns, filter_column, &t));
    if (rc == FR_OK) {
        rc = fr_frame_new(f->columns, (const char *const *)f->names, t.cols, out, err);
    }
    for (size_t i = 0; i < f->columns; i++) {
        fr_array_unref(t.cols[i]);
    }
    fr_free(t.cols);
    fr_free(g.start);
    return rc;
}

typedef struct listing {
    const filtering *g;
    uint32_t *rows;
} listing;

static void list_chunk(void *ctx, size_t c)
{
    listing *t = ctx;
    int64_t at = (int64_t)c * FR_CHUNK_ROWS,
            end = FR_MIN(at + FR_CHUNK_ROWS, t->g->mask->length);
    uint32_t *to = t->rows + t->g->start[c];
    for (; at < end; at += 64) {
        for (uint64_t w = mask_word(t->g->mask, at, end); w != 0; w &= w - 1) {
            *to++ = (uint32_t)(at + __builtin_ctzll(w));
        }
    }
}

int fr_compute_rows(const fr_array *mask, fr_block **out, int64_t *n, fr_err *err)
{
    *out = NULL;
    filtering g = {0};
    int rc = fr_compute_check_rows(mask->length, err);
    if (rc == FR_OK) {
        rc = filtering_init(&g, mask, err);
    }
    if (rc == FR_OK) {
        *n = g.start[g.chunks];
        rc = fr_block_new((size_t)*n * sizeof(uint32_t), out, err);
    }
    if (rc == FR_OK) {
        listing t = {&g, (uint32_t *)(void *)(*out)->data};
        rc = fr_compute_failed(err, fr_pool_run(g.chunks, list_chunk, &t));
        if (rc != FR_OK) {
            fr_block_unref(*out);
            *out = NULL;
        }
    }
    fr_free(g.start);
    return rc;
}

static void drop_missing(uint8_t *mask, const fr_array *a, int64_t at, int64_t end,
                         bool nan)
{
    for (int64_t i = at; i < end && a->nulls > 0; i += 64) {
        uint64_t w = 0,
                 there = fr_bits_word(a->validity->data, a->offset + i, a->offset + end);
        size_t bytes = (size_t)(FR_MIN(end - i, 64) + 7) / 8;
        memcpy(&w, mask + (i >> 3), bytes);
        w &= there;
        memcpy(mask + (i >> 3), &w, bytes);
    }
    bool floats = a->type.kind == FR_FLOAT64 || a->type.kind == FR_FLOAT32;
    for (int64_t i = at; i < end && nan && floats; i++) {
        double v = fr_array_number(a, i);
        if (v != v) {
            fr_bits_clear(mask, i);
        }
    }
}

typedef struct dropping {
    const fr_array *const *cols;
    size_t n;
    fr_array *mask;
    bool nan;
} dropping;

static void drop_chunk(void *ctx, size_t c)
{
    dropping *d = ctx;
    int64_t at = (int64_t)c * FR_CHUNK_ROWS,
            end = FR_MIN(at + FR_CHUNK_ROWS, d->mask->length);
    uint8_t *mask = d->mask->values->data;
    fr_bits_fill(mask, at, end - at, true);
    for (size_t k = 0; k < d->n; k++) {
        drop_missing(mask, d->cols[k], at, end, d->nan);
    }
}

int fr_compute_present(const fr_array *const *cols, size_t n, int64_t rows, bool nan,
                       fr_array **mask, fr_err *err)
{
    *mask = NULL;
    dropping d = {.cols = cols, .n = n, .nan = nan};
    int rc = fr_array_new(fr_type_of(FR_BOOL), rows, 0, &d.mask, err);
    if (rc == FR_OK) {
        rc = fr_compute_failed(err, fr_pool_run(fr_compute_chunks(rows), drop_chunk, &d));
    }
    if (rc != FR_OK) {
        fr_array_unref(d.mask);
        return rc;
    }
    *mask = d.mask;
    return FR_OK;
}
