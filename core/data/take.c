// Rows by index. The random reads are what costs, so every loop asks for the lines of
// rows some steps ahead; the pool runs columns and, within one, chunks of rows.

#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/data/bits.h"
#include "core/data/compute.h"

#include <string.h>

enum { AHEAD = 24 };

typedef struct taking {
    const fr_array *from;
    fr_array *to;
    const uint32_t *index;
    int64_t n;
    bool nullable;
    int64_t *chunk_bytes; // UTF8: bytes of each chunk, then where it starts
} taking;

int fr_compute_check_rows(int64_t rows, fr_err *err)
{
    if (rows < 0 || rows >= (int64_t)FR_TAKE_NULL) {
        return fr_fail(err, FR_ELIMIT, "%lld rows: frames end at 4,294,967,294",
                       (long long)rows);
    }
    return FR_OK;
}

int fr_compute_failed(fr_err *err, int rc)
{
    if (rc != FR_OK && err != NULL && err->code != rc) {
        return fr_fail(err, rc, "%s", fr_err_text(rc));
    }
    return rc;
}

// Without nulls the loop is bound by the reads alone.
#define GATHER(type)                                                                     \
    do {                                                                                 \
        const type *x = (const type *)fr_array_data(t->from);                            \
        type *y = (type *)(void *)t->to->values->data;                                   \
        int64_t safe = FR_MIN(end, t->n - AHEAD), i = at;                                \
        for (; i < safe && !t->nullable; i++) {                                          \
            __builtin_prefetch(x + index[i + AHEAD]);                                    \
            y[i] = x[index[i]];                                                          \
        }                                                                                \
        for (; i < safe; i++) {                                                          \
            uint32_t later = index[i + AHEAD];                                           \
            __builtin_prefetch(x + (later == FR_TAKE_NULL ? 0 : later));                 \
            y[i] = index[i] == FR_TAKE_NULL ? 0 : x[index[i]];                           \
        }                                                                                \
        for (; i < end; i++) {                                                           \
            y[i] = index[i] == FR_TAKE_NULL ? 0 : x[index[i]];                           \
        }                                                                                \
    } while (0)

static void gather_fixed(const taking *t, int64_t at, int64_t end)
{
    const uint32_t *index = t->index;
    switch (fr_kind_width(t->from->type.kind)) {
    case 1:
        GATHER(uint8_t);
        break;
    case 2:
        GATHER(uint16_t);
        break;
    case 4:
        GATHER(uint32_t);
        break;
    default:
        GATHER(uint64_t);
        break;
    }
}

// Chunks start at multiples of 64 rows, so threads never share a byte of a bitmap.
static void gather_bits(const taking *t, const uint8_t *from, uint8_t *to, int64_t at,
                        int64_t end)
{
    int64_t offset = t->from->offset;
    for (int64_t i = at; i < end; i += 8) {
        unsigned byte = 0;
        for (int64_t j = i; j < FR_MIN(i + 8, end); j++) {
            uint32_t row = t->index[j];
            bool bit =
                row != FR_TAKE_NULL && (from == NULL || fr_bits_get(from, offset + row));
            byte |= (unsigned)bit << (j - i);
        }
        to[i >> 3] = (uint8_t)byte;
    }
}

static void take_chunk(void *ctx, size_t c)
{
    taking *t = ctx;
    int64_t at = (int64_t)c * FR_CHUNK_ROWS, end = FR_MIN(at + FR_CHUNK_ROWS, t->n);
    if (t->to->validity != NULL) {
        const uint8_t *valid = t->from->validity != NULL ? t->from->validity->data : NULL;
        gather_bits(t, valid, t->to->validity->data, at, end);
    }
    if (t->from->type.kind == FR_BOOL) {
        gather_bits(t, t->from->values->data, t->to->values->data, at, end);
    } else if (t->from->type.kind != FR_UTF8) {
        gather_fixed(t, at, end);
    }
}

static void measure_text(void *ctx, size_t c)
{
    taking *t = ctx;
    int64_t at = (int64_t)c * FR_CHUNK_ROWS, end = FR_MIN(at + FR_CHUNK_ROWS, t->n),
            sum = 0;
    const int64_t *o = fr_array_offsets(t->from);
    for (int64_t i = at; i < end; i++) {
        if (i + AHEAD < t->n && t->index[i + AHEAD] != FR_TAKE_NULL) {
            __builtin_prefetch(o + t->index[i + AHEAD]);
        }
        uint32_t row = t->index[i];
        if (row != FR_TAKE_NULL) {
            sum += o[row + (size_t)1] - o[row];
        }
    }
    t->chunk_bytes[c] = sum;
}

static void copy_text(void *ctx, size_t c)
{
    taking *t = ctx;
    int64_t at = (int64_t)c * FR_CHUNK_ROWS, end = FR_MIN(at + FR_CHUNK_ROWS, t->n);
    const int64_t *o = fr_array_offsets(t->from);
    const uint8_t *x = t->from->values->data;
    uint8_t *y = t->to->values->data;
    int64_t *p = (int64_t *)(void *)t->to->offsets->data;
    int64_t to = t->chunk_bytes[c];
    for (int64_t i = at; i < end; i++) {
        if (i + AHEAD / 2 < t->n && t->index[i + AHEAD / 2] != FR_TAKE_NULL) {
            __builtin_prefetch(x + o[t->index[i + AHEAD / 2]]);
        }
        uint32_t row = t->index[i];
        p[i] = to;
        if (row != FR_TAKE_NULL) {
            size_t size = (size_t)(o[row + (size_t)1] - o[row]);
            memcpy(y + to, x + o[row], size);
            to += (int64_t)size;
        }
    }
    if (end == t->n) {
        p[end] = to;
    }
}

static int take_text(taking *t, size_t chunks, fr_err *err)
{
    t->chunk_bytes = fr_alloc(FR_MAX(chunks, 1) * sizeof *t->chunk_bytes);
    int rc = fr_pool_run(chunks, measure_text, t);
    int64_t total = 0;
    for (size_t c = 0; c < chunks && rc == FR_OK; c++) {
        int64_t bytes = t->chunk_bytes[c];
        t->chunk_bytes[c] = total;
        total += bytes;
    }
    if (rc == FR_OK) {
        rc = fr_array_new(t->from->type, t->n, (size_t)total, &t->to, err);
    }
    if (rc == FR_OK) {
        rc = fr_pool_run(chunks, copy_text, t);
    }
    fr_free(t->chunk_bytes);
    return rc;
}

int fr_compute_take(const fr_array *a, const uint32_t *index, int64_t n, bool nullable,
                    fr_array **out, fr_err *err)
{
    *out = NULL;
    size_t chunks = fr_compute_chunks(n);
    taking t = {.from = a, .index = index, .n = n, .nullable = nullable};
    int rc;
    if (a->type.kind == FR_UTF8) {
        rc = take_text(&t, chunks, err);
    } else {
        rc = fr_array_new(a->type, n, 0, &t.to, err);
    }
    if (rc == FR_OK && (nullable || a->nulls > 0)) {
        rc = fr_block_new_zero(fr_bits_bytes(n), &t.to->validity, err);
    }
    if (rc == FR_OK && a->dict != NULL) {
        t.to->dict = fr_array_ref(a->dict);
    }
    if (rc == FR_OK) {
        rc = fr_pool_run(chunks, take_chunk, &t);
    }
    if (rc != FR_OK) {
        fr_array_unref(t.to);
        return fr_compute_failed(err, rc);
    }
    fr_array_count_nulls(t.to);
    *out = t.to;
    return FR_OK;
}

typedef struct taking_frame {
    const fr_frame *from;
    fr_array **cols;
    const uint32_t *index;
    int64_t n;
} taking_frame;

static int take_column(void *ctx, size_t i)
{
    taking_frame *t = ctx;
    return fr_compute_take(t->from->cols[i], t->index, t->n, false, &t->cols[i], NULL);
}

int fr_compute_take_frame(const fr_frame *f, const uint32_t *index, int64_t n,
                          fr_frame **out, fr_err *err)
{
    *out = NULL;
    if (f->columns == 0) {
        return fr_frame_empty(n, out, err);
    }
    taking_frame t = {f, fr_zalloc(f->columns * sizeof(fr_array *)), index, n};
    int rc = fr_pool_try(f->columns, take_column, &t);
    if (rc == FR_OK) {
        rc = fr_frame_new(f->columns, (const char *const *)f->names, t.cols, out, err);
    } else {
        rc = fr_compute_failed(err, rc);
    }
    for (size_t i = 0; i < f->columns; i++) {
        fr_array_unref(t.cols[i]);
    }
    fr_free(t.cols);
    return rc;
}
