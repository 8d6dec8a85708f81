#include "core/base/map.h"
#include "core/base/mem.h"
#include "core/data/arrow_int.h"
#include "core/data/bits.h"
#include "core/data/compute.h"
#include "core/data/csv_int.h"
#include "core/data/when.h"

#include <lz4frame.h>
#include <string.h>
#include <zstd.h>

enum { SPAN = 16, PREFIX = 8, VIEW_INLINE = 12 };

static const int64_t NULL_ROWS_MAX = INT64_C(1) << 26;
static const uint64_t PLAIN_MAX = UINT64_C(1) << 38;

static int corrupt(arrow_body *b, const char *what)
{
    return fr_fail(b->err, FR_ECORRUPT, "damaged data: %s", what);
}

int arrow_body_open(arrow_body *b, size_t batch, int64_t *rows)
{
    flat_reader *r = b->r;
    *rows = (int64_t)flat_get(r, batch, 0, 8, 0);
    b->nodes = flat_vector(r, batch, 1, SPAN, &b->n_nodes);
    b->buffers = flat_vector(r, batch, 2, SPAN, &b->n_buffers);
    b->views = flat_vector(r, batch, 4, 8, &b->n_views);
    b->node = b->buffer = b->view = 0;
    b->codec = -1;
    size_t compression = flat_child(r, batch, 3);
    if (compression != 0) {
        b->codec = (int)flat_get(r, compression, 0, 1, 0);
        if (flat_get(r, compression, 1, 1, 0) != 0 || b->codec > 1) {
            return fr_fail(b->err, FR_EUNSUPPORTED, "compression of an unknown kind");
        }
    }
    if (r->bad) {
        return corrupt(b, "the description of a batch");
    }
    if (*rows < 0) {
        return corrupt(b, "a negative number of rows");
    }
    return fr_compute_check_rows(*rows, b->err);
}

// One buffer: part of the body, or what it decompresses to.
typedef struct piece {
    fr_block *block;              // referenced
    size_t from, n;
} piece;

static void piece_fini(piece *p)
{
    fr_block_unref(p->block);
    *p = (piece){0};
}

static const uint8_t *piece_at(const piece *p) { return p->block->data + p->from; }

static bool unpack_lz4(const uint8_t *from, size_t n, uint8_t *to, size_t size)
{
    LZ4F_dctx *ctx = NULL;
    if (LZ4F_isError(LZ4F_createDecompressionContext(&ctx, LZ4F_VERSION))) {
        return false;
    }
    size_t done = 0, used = 0, hint = 1;
    while (hint != 0) {
        size_t give = n - used, room = size - done;
        hint = LZ4F_decompress(ctx, to + done, &room, from + used, &give, NULL);
        if (LZ4F_isError(hint) || (give == 0 && room == 0)) {
            hint = 1;
            break;
        }
        used += give;
        done += room;
    }
    (void)LZ4F_freeDecompressionContext(ctx);
    return hint == 0 && done == size;
}

static int unpack(arrow_body *b, piece *p)
{
    uint64_t size;
    if (p->n == 0) {
        return FR_OK; // an absent buffer is not compressed
    }
    if (p->n < PREFIX) {
        return corrupt(b, "a compressed buffer without its length");
    }
    memcpy(&size, piece_at(p), PREFIX);
    p->from += PREFIX;
    p->n -= PREFIX;
    if (size == UINT64_MAX) {
        return FR_OK; // stored as it is
    }
    // Neither codec packs tighter than this; more is a lie that would cost memory.
    if (size > PLAIN_MAX || size > (uint64_t)p->n * 200000 + 1024) {
        return corrupt(b, "a compressed buffer that is too large");
    }
    fr_block *plain;
    int rc = fr_block_new((size_t)size, &plain, b->err);
    if (rc != FR_OK) {
        return rc;
    }
    bool good;
    if (b->codec == 0) {
        good = unpack_lz4(piece_at(p), p->n, plain->data, (size_t)size);
    } else {
        good = ZSTD_decompress(plain->data, (size_t)size, piece_at(p), p->n) == size;
    }
    if (!good) {
        fr_block_unref(plain);
        return corrupt(b, "a compressed buffer does not unpack");
    }
    fr_block_unref(p->block);
    *p = (piece){plain, 0, (size_t)size};
    return FR_OK;
}

static int next_piece(arrow_body *b, piece *out)
{
    *out = (piece){0};
    if (b->buffer >= b->n_buffers) {
        return corrupt(b, "too few buffers");
    }
    size_t at = b->buffers + SPAN * b->buffer++;
    uint64_t offset = flat_at(b->r, at, 8), n = flat_at(b->r, at + 8, 8);
    if (offset > b->size || n > b->size - offset) {
        return corrupt(b, "a buffer beyond its batch");
    }
    *out = (piece){fr_block_ref(b->block), b->from + (size_t)offset, (size_t)n};
    int rc = b->codec >= 0 ? unpack(b, out) : FR_OK;
    if (rc != FR_OK) {
        piece_fini(out);
    }
    return rc;
}

static int next_node(arrow_body *b, int64_t *rows)
{
    if (b->node >= b->n_nodes) {
        return corrupt(b, "too few columns");
    }
    *rows = (int64_t)flat_at(b->r, b->nodes + SPAN * b->node++, 8);
    if (*rows < 0) {
        return corrupt(b, "a negative number of rows");
    }
    return fr_compute_check_rows(*rows, b->err);
}

int arrow_skip(arrow_body *b, const arrow_field *f)
{
    b->node += f->nodes;
    b->buffer += f->buffers;
    for (size_t i = 0; i < f->views; i++) {
        if (b->view >= b->n_views) {
            return corrupt(b, "too few counts of views");
        }
        uint64_t n = flat_at(b->r, b->views + 8 * b->view++, 8);
        if (n > b->n_buffers) {
            return corrupt(b, "a count of views");
        }
        b->buffer += (size_t)n;
    }
    return FR_OK;
}

static bool aligned(const piece *p, size_t to) { return (uintptr_t)piece_at(p) % to == 0; }

// The first `size` bytes of the buffer as a block: a view where it lies right and readers
// may look behind its end, else a copy.
static int to_block(const piece *p, size_t size, size_t align, fr_block **out, fr_err *err)
{
    size_t readable = (p->block->size + ARROW_ALIGN - 1) / ARROW_ALIGN * ARROW_ALIGN;
    size_t wanted = (size + ARROW_ALIGN - 1) / ARROW_ALIGN * ARROW_ALIGN;
    if (aligned(p, align) && p->from + wanted <= readable) {
        *out = fr_block_view(p->block, p->from, size);
        return FR_OK;
    }
    int rc = fr_block_new(size, out, err);
    if (rc == FR_OK && size > 0) {
        memcpy((*out)->data, piece_at(p), size);
    }
    return rc;
}

static fr_array *array_new(const fr_type *t, int64_t rows)
{
    fr_array *a = fr_zalloc(sizeof *a);
    fr_object_init(&a->object, &fr_array_ops);
    a->type = *t;
    a->length = rows;
    return a;
}

// The number of nulls is counted, not believed.
static int set_validity(arrow_body *b, fr_array *a, const piece *p)
{
    size_t need = fr_bits_bytes(a->length);
    if (p->n == 0 || a->length == 0) {
        return FR_OK;
    }
    if (p->n < need) {
        return corrupt(b, "a validity bitmap is too short");
    }
    a->nulls = a->length - fr_bits_count(piece_at(p), 0, a->length);
    return a->nulls == 0 ? FR_OK : to_block(p, need, 1, &a->validity, b->err);
}

static int set_values(arrow_body *b, fr_array *a, const piece *p, size_t width)
{
    size_t need = width == 0 ? fr_bits_bytes(a->length) : (size_t)a->length * width;
    if (p->n < need) {
        return corrupt(b, "a buffer is too short for its rows");
    }
    if (need == 0) {
        return fr_block_new(0, &a->values, b->err);
    }
    return to_block(p, need, FR_MAX(width, 1), &a->values, b->err);
}

// Values that have to be converted one by one.
static double half_to_double(uint16_t h)
{
    uint32_t exponent = h >> 10 & 31, fraction = h & 1023;
    uint64_t bits = (uint64_t)(h >> 15) << 63;
    double sign = h >> 15 ? -1 : 1, x;
    if (exponent == 0) {
        return sign * (double)fraction / 16777216; // 2^-24
    }
    if (exponent == 31) {
        bits |= UINT64_C(0x7ff) << 52 | (uint64_t)fraction << 42;
    } else {
        bits |= (uint64_t)(exponent + 1023 - 15) << 52 | (uint64_t)fraction << 42;
    }
    memcpy(&x, &bits, sizeof x);
    return x;
}

static int convert_values(arrow_body *b, fr_array *a, const piece *p, const arrow_field *f)
{
    size_t n = (size_t)a->length;
    size_t width = f->layout == ARROW_L_HALF ? 2 : f->layout == ARROW_L_TIME32 ? 4 : 8;
    if (p->n < n * width) {
        return corrupt(b, "a buffer is too short for its rows");
    }
    int rc = fr_block_new(n * fr_kind_width(a->type.kind), &a->values, b->err);
    if (rc != FR_OK) {
        return rc;
    }
    const uint8_t *from = n > 0 ? piece_at(p) : NULL;
    int64_t factor = 1000000000 / fr_unit_per_second(f->time_unit);
    for (size_t i = 0; i < n; i++) {
        int64_t v = 0;
        int32_t small;
        uint16_t half;
        switch ((int)f->layout) {
        case ARROW_L_HALF:
            memcpy(&half, from + 2 * i, 2);
            ((float *)(void *)a->values->data)[i] = (float)half_to_double(half);
            continue;
        case ARROW_L_TIME32:
            memcpy(&small, from + 4 * i, 4);
            v = small;
            break;
        default:
            memcpy(&v, from + 8 * i, 8);
            break;
        }
        if (f->layout == ARROW_L_DATE64) {
            v = fr_floor_div(v, INT64_C(86400000));
            ((int32_t *)(void *)a->values->data)[i] = (int32_t)v;
            if (v != (int32_t)v && fr_array_has(a, (int64_t)i)) {
                return corrupt(b, "a date out of range");
            }
        } else if (__builtin_mul_overflow(v, factor,
                                          (int64_t *)(void *)a->values->data + i) &&
                   fr_array_has(a, (int64_t)i)) {
            return corrupt(b, "a time out of range");
        }
    }
    return FR_OK;
}

// Text.
static int check_text(arrow_body *b, const fr_array *a)
{
    const int64_t *o = fr_array_offsets(a);
    const uint8_t *s = a->values->data;
    size_t first = (size_t)o[0], end = (size_t)o[a->length];
    if (b->trusted) {
        return FR_OK;
    }
    if (csv_utf8_bad(s + first, end - first) != SIZE_MAX) {
        return corrupt(b, "text that is not UTF-8");
    }
    for (int64_t i = 0; i < a->length; i++) {
        if (o[i] < (int64_t)end && (s[o[i]] & 0xc0) == 0x80) {
            return corrupt(b, "a text that starts inside a character");
        }
    }
    return FR_OK;
}

static int check_offsets(arrow_body *b, const int64_t *o, int64_t n, size_t bytes)
{
    int64_t wrong = o[0] < 0 || o[n] < 0 || (uint64_t)o[n] > bytes;
    for (int64_t i = 0; i < n; i++) {
        wrong |= o[i + 1] < o[i];
    }
    return wrong ? corrupt(b, "offsets of text that do not grow") : FR_OK;
}

static int set_text(arrow_body *b, fr_array *a, const piece *offsets, const piece *bytes,
                    bool large)
{
    size_t width = large ? 8 : 4, count = (size_t)a->length + 1;
    int rc;
    if (offsets->n == 0 && a->length == 0) {
        rc = fr_block_new_zero(sizeof(int64_t), &a->offsets, b->err);
    } else if (offsets->n < count * width) {
        return corrupt(b, "a buffer is too short for its rows");
    } else if (large) {
        rc = to_block(offsets, count * 8, 8, &a->offsets, b->err);
    } else {
        rc = fr_block_new(count * sizeof(int64_t), &a->offsets, b->err);
        for (size_t i = 0; i < count && rc == FR_OK; i++) {
            int32_t v;
            memcpy(&v, piece_at(offsets) + 4 * i, 4);
            ((int64_t *)(void *)a->offsets->data)[i] = v;
        }
    }
    if (rc == FR_OK) {
        rc = check_offsets(b, (const int64_t *)(void *)a->offsets->data, a->length, bytes->n);
    }
    if (rc == FR_OK && bytes->n == 0) {
        rc = fr_block_new(0, &a->values, b->err);
    } else if (rc == FR_OK) {
        rc = to_block(bytes, bytes->n, 1, &a->values, b->err);
    }
    return rc == FR_OK && bytes->n > 0 ? check_text(b, a) : rc;
}

static int text_column(arrow_body *b, fr_array *a, bool large)
{
    piece offsets = {0}, bytes = {0};
    int rc = next_piece(b, &offsets);
    if (rc == FR_OK) {
        rc = next_piece(b, &bytes);
    }
    if (rc == FR_OK) {
        rc = set_text(b, a, &offsets, &bytes, large);
    }
    piece_fini(&offsets);
    piece_fini(&bytes);
    return rc;
}

// One string view: 12 bytes beside its length, or a place in one of the data buffers.
static const uint8_t *view_text(const uint8_t *view, const piece *data, size_t n_data, size_t *n)
{
    int32_t length, buffer, offset;
    memcpy(&length, view, 4);
    if (length < 0) {
        return NULL;
    }
    *n = (size_t)length;
    if (length <= VIEW_INLINE) {
        return view + 4;
    }
    memcpy(&buffer, view + 8, 4);
    memcpy(&offset, view + 12, 4);
    if (buffer < 0 || (size_t)buffer >= n_data || offset < 0 ||
        (size_t)offset > data[buffer].n || *n > data[buffer].n - (size_t)offset) {
        return NULL;
    }
    return piece_at(&data[buffer]) + offset;
}

static int fill_views(arrow_body *b, fr_array *a, const piece *views, const piece *data,
                      size_t n_data)
{
    size_t total = 0, n = 0;
    if (views->n < (size_t)a->length * SPAN) {
        return corrupt(b, "a buffer is too short for its rows");
    }
    int rc = fr_block_new(((size_t)a->length + 1) * sizeof(int64_t), &a->offsets, b->err);
    if (rc != FR_OK) {
        return rc;
    }
    int64_t *o = (int64_t *)(void *)a->offsets->data;
    o[0] = 0;
    for (int64_t i = 0; i < a->length; i++) {
        if (fr_array_has(a, i)) {
            if (view_text(piece_at(views) + i * SPAN, data, n_data, &n) == NULL) {
                return corrupt(b, "a string view beyond its buffers");
            }
            total += n;
        }
        o[i + 1] = (int64_t)total;
    }
    rc = fr_block_new(total, &a->values, b->err);
    for (int64_t i = 0; i < a->length && rc == FR_OK; i++) {
        if (fr_array_has(a, i) && o[i + 1] > o[i]) {
            const uint8_t *s = view_text(piece_at(views) + i * SPAN, data, n_data, &n);
            memcpy(a->values->data + o[i], s, n);
        }
    }
    return rc == FR_OK && total > 0 ? check_text(b, a) : rc;
}

static int view_column(arrow_body *b, fr_array *a)
{
    if (b->view >= b->n_views) {
        return corrupt(b, "too few counts of views");
    }
    uint64_t n_data = flat_at(b->r, b->views + 8 * b->view++, 8);
    if (n_data > b->n_buffers) {
        return corrupt(b, "a count of views");
    }
    piece views = {0}, *data = fr_zalloc((size_t)(n_data + 1) * sizeof *data);
    int rc = next_piece(b, &views);
    for (size_t i = 0; i < n_data && rc == FR_OK; i++) {
        rc = next_piece(b, &data[i]);
    }
    if (rc == FR_OK) {
        rc = fill_views(b, a, &views, data, (size_t)n_data);
    }
    piece_fini(&views);
    for (size_t i = 0; i < n_data; i++) {
        piece_fini(&data[i]);
    }
    fr_free(data);
    return rc;
}

static int null_column(arrow_body *b, fr_array *a)
{
    if (a->length > NULL_ROWS_MAX) {
        return fr_fail(b->err, FR_ELIMIT, "%lld rows of nothing", (long long)a->length);
    }
    int rc = fr_block_new_zero(((size_t)a->length + 1) * 8, &a->offsets, b->err);
    if (rc == FR_OK) {
        rc = fr_block_new(0, &a->values, b->err);
    }
    if (rc == FR_OK && a->length > 0) {
        rc = fr_block_new_zero(fr_bits_bytes(a->length), &a->validity, b->err);
        a->nulls = a->length;
    }
    return rc;
}

static int fixed_column(arrow_body *b, fr_array *a, const arrow_field *f)
{
    piece values = {0};
    int rc = next_piece(b, &values);
    if (rc == FR_OK) {
        if (f->layout == ARROW_L_FIXED || f->layout == ARROW_L_BOOL) {
            rc = set_values(b, a, &values, fr_kind_width(a->type.kind));
        } else {
            rc = convert_values(b, a, &values, f);
        }
    }
    piece_fini(&values);
    return rc;
}

int arrow_column(arrow_body *b, const arrow_field *f, fr_array **out)
{
    int64_t rows;
    piece validity = {0};
    *out = NULL;
    int rc = next_node(b, &rows);
    if (rc != FR_OK) {
        return rc;
    }
    fr_array *a = array_new(&f->type, rows);
    if (f->layout != ARROW_L_NULL) {
        rc = next_piece(b, &validity);
    }
    if (rc == FR_OK && f->layout != ARROW_L_NULL) {
        rc = set_validity(b, a, &validity);
    }
    piece_fini(&validity);
    if (rc == FR_OK) {
        switch (f->layout) {
        case ARROW_L_NULL:
            rc = null_column(b, a);
            break;
        case ARROW_L_UTF8:
            rc = text_column(b, a, false);
            break;
        case ARROW_L_LARGE_UTF8:
            rc = text_column(b, a, true);
            break;
        case ARROW_L_UTF8_VIEW:
            rc = view_column(b, a);
            break;
        case ARROW_L_NONE:
            rc = fr_fail(b->err, FR_EUNSUPPORTED, "%s", f->problem);
            break;
        case ARROW_L_BOOL:
        case ARROW_L_FIXED:
        case ARROW_L_HALF:
        case ARROW_L_DATE64:
        case ARROW_L_TIME32:
        case ARROW_L_TIME64:
            rc = fixed_column(b, a, f);
            break;
        }
    }
    if (rc != FR_OK) {
        fr_array_unref(a);
        return rc;
    }
    *out = a;
    return FR_OK;
}

// Dictionaries.
static int64_t index_at(const uint8_t *p, const arrow_field *f, size_t i)
{
    uint64_t v = 0;
    size_t width = f->index_bits / 8;
    memcpy(&v, p + i * width, width);
    if (f->index_signed && width < 8 && (v >> (f->index_bits - 1) & 1) != 0) {
        return -1;
    }
    return v > INT64_MAX ? -1 : (int64_t)v;
}

// Codes checked and as int32; 0 where null.
static int set_codes(arrow_body *b, fr_array *a, const piece *p, const arrow_field *f,
                     int64_t n_values)
{
    size_t n = (size_t)a->length;
    bool in_place = f->index_bits == 32 && aligned(p, 4) && a->nulls == 0;
    if (p->n < n * f->index_bits / 8) {
        return corrupt(b, "a buffer is too short for its rows");
    }
    for (size_t i = 0; i < n; i++) {
        int64_t v = index_at(piece_at(p), f, i);
        if ((v < 0 || v >= n_values) && fr_array_has(a, (int64_t)i)) {
            return corrupt(b, "an index beyond its dictionary");
        }
    }
    if (in_place && n > 0) {
        return to_block(p, n * 4, 4, &a->values, b->err);
    }
    int rc = fr_block_new(n * 4, &a->values, b->err);
    for (size_t i = 0; i < n && rc == FR_OK; i++) {
        bool present = fr_array_has(a, (int64_t)i);
        ((int32_t *)(void *)a->values->data)[i] =
            present ? (int32_t)index_at(piece_at(p), f, i) : 0;
    }
    return rc;
}

static bool clean_dictionary(const fr_array *values)
{
    fr_map seen;
    bool fresh = values->nulls == 0;
    fr_map_init(&seen);
    for (int64_t i = 0; i < values->length && fresh; i++) {
        size_t n;
        const char *s = fr_array_text(values, i, &n);
        (void)fr_map_put(&seen, fr_hash_bytes(s, n), &fresh);
    }
    fr_map_fini(&seen);
    return fresh;
}

// Each row's value itself: for dictionaries of numbers, or with nulls or repetitions.
static int decode_codes(arrow_body *b, const fr_array *codes, const fr_array *values,
                        fr_array **out)
{
    fr_block *block;
    int rc = fr_block_new((size_t)codes->length * sizeof(uint32_t), &block, b->err);
    if (rc != FR_OK) {
        return rc;
    }
    uint32_t *index = (uint32_t *)(void *)block->data;
    for (int64_t i = 0; i < codes->length; i++) {
        int32_t v = fr_array_i32(codes)[i];
        bool present = fr_array_has(codes, i) && fr_array_has(values, v);
        index[i] = present ? (uint32_t)v : FR_TAKE_NULL;
    }
    rc = fr_compute_take(values, index, codes->length, true, out, b->err);
    fr_block_unref(block);
    return rc;
}

static int to_category(arrow_body *b, fr_array *codes, fr_array *values, const arrow_field *f,
                       fr_array **out)
{
    if (f->type.kind == FR_UTF8 && (b->trusted || clean_dictionary(values))) {
        codes->dict = fr_array_ref(values);
        *out = fr_array_ref(codes);
        return FR_OK;
    }
    fr_array *plain = NULL;
    int rc = decode_codes(b, codes, values, &plain);
    if (rc == FR_OK && f->type.kind == FR_UTF8) {
        rc = fr_compute_cast(plain, fr_type_of(FR_CATEGORY), out, b->err);
        fr_array_unref(plain);
    } else if (rc == FR_OK) {
        *out = plain;
    }
    return rc;
}

int arrow_column_coded(arrow_body *b, const arrow_field *f, fr_array *values, fr_array **out)
{
    int64_t rows;
    piece validity = {0}, indexes = {0};
    *out = NULL;
    int rc = next_node(b, &rows);
    if (rc != FR_OK) {
        return rc;
    }
    fr_type t = {.kind = FR_CATEGORY, .ordered = f->ordered};
    fr_array *codes = array_new(&t, rows);
    if (values->length > INT32_MAX) {
        rc = fr_fail(b->err, FR_ELIMIT, "a dictionary of more than 2^31 values");
    }
    if (rc == FR_OK) {
        rc = next_piece(b, &validity);
    }
    if (rc == FR_OK) {
        rc = set_validity(b, codes, &validity);
    }
    if (rc == FR_OK) {
        rc = next_piece(b, &indexes);
    }
    if (rc == FR_OK) {
        rc = set_codes(b, codes, &indexes, f, values->length);
    }
    if (rc == FR_OK) {
        rc = to_category(b, codes, values, f, out);
    }
    piece_fini(&validity);
    piece_fini(&indexes);
    fr_array_unref(codes);
    return rc;
}
