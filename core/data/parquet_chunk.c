#include "core/base/cancel.h"
#include "core/base/mem.h"
#include "core/data/bits.h"
#include "core/data/parquet_int.h"
#include "core/data/thrift.h"
#include "core/data/utf8.h"

#include <string.h>
#include <zlib.h>

enum { PIECE = 1024, SHORT = 16, TEXT_FIRST = 4096 };

typedef struct header {               // of a page
    int type, encoding, levels;       // levels: how definition levels are encoded
    int64_t plain, packed;            // bytes
    int64_t values, repetition_bytes, definition_bytes;
    bool compressed, has_crc;
    uint32_t crc;
} header;

typedef struct reader {
    const pq_chunk *chunk;
    const pq_column *column;
    pq_part *part;
    const uint8_t *at, *end;
    int64_t row;                      // rows that are done
    fr_block *page, *scratch, *slots; // an unpacked page; stored values; texts or indexes
    fr_block *dictionary, *dictionary_text;   // own values or pq_text; what these point to
    size_t n_dictionary;
    bool has_dictionary;
    pq_zstd zstd;
    fr_err *err;
} reader;

static int damaged(reader *r, const char *what)
{
    return fr_fail(r->err, FR_ECORRUPT, "damaged data: %s", what);
}

// A scratch block of at least `size` bytes and the pad; what was in it is lost.
static int room(reader *r, fr_block **block, size_t size)
{
    if (*block != NULL && (*block)->size >= size + PQ_PAD) {
        return FR_OK;
    }
    fr_block_unref(*block);
    *block = NULL;
    int rc = fr_block_new(size + size / 4 + PQ_PAD, block, r->err);
    if (rc == FR_OK) {
        memset((*block)->data + (*block)->size - PQ_PAD, 0, PQ_PAD);
    }
    return rc;
}

// Page headers.
static void read_data_header(thrift_reader *t, header *h, bool second)
{
    thrift_field f = {0};
    while (thrift_next(t, &f)) {
        int64_t v = f.type == THRIFT_I32 ? thrift_int(t, &f) : 0;
        if (f.id == 1) {
            h->values = v;
        } else if (f.id == (second ? 4 : 2)) {
            h->encoding = (int)v;
        } else if (!second && f.id == 3) {
            h->levels = (int)v;
        } else if (second && f.id == 5) {
            h->definition_bytes = v;
        } else if (second && f.id == 6) {
            h->repetition_bytes = v;
        } else if (second && f.id == 7) {
            h->compressed = thrift_bool(t, &f);
        } else if (f.type != THRIFT_I32) {
            thrift_skip(t, &f);
        }
    }
}

static bool read_header(reader *r, header *h)
{
    thrift_reader t = {r->at, r->end, false};
    thrift_field f = {0};
    *h = (header){.type = -1, .levels = PQ_RLE, .compressed = true};
    while (thrift_next(&t, &f)) {
        switch (f.id) {
        case 1:
            h->type = (int)thrift_int(&t, &f);
            break;
        case 2:
            h->plain = thrift_int(&t, &f);
            break;
        case 3:
            h->packed = thrift_int(&t, &f);
            break;
        case 4:
            h->crc = (uint32_t)thrift_int(&t, &f);
            h->has_crc = true;
            break;
        case 5:
        case 7: // a dictionary's: the same first two fields
        case 8:
            if (thrift_enter(&t, &f)) {
                read_data_header(&t, h, f.id == 8);
            }
            break;
        default:
            thrift_skip(&t, &f);
            break;
        }
    }
    r->at = t.at;
    return !t.bad && h->plain >= 0 && h->packed >= 0 && h->plain <= INT32_MAX &&
           h->packed <= r->end - r->at && h->values >= 0 && h->definition_bytes >= 0 &&
           h->repetition_bytes >= 0;
}

// Unpacks `packed` bytes at `from`, which become `plain` ones; in place when nothing is packed.
static int unpack(reader *r, const uint8_t *from, size_t packed, size_t plain, const uint8_t **out)
{
    if (r->chunk->codec == PQ_NONE) {
        *out = from;
        return packed == plain ? FR_OK : damaged(r, "a page of another length than it says");
    }
    // No codec packs tighter than this; more is a lie that would cost memory.
    if (plain > packed * 200000 + 1024) {
        return damaged(r, "a page that is too large");
    }
    int rc = room(r, &r->page, plain);
    if (rc == FR_OK) {
        *out = r->page->data;
        rc = pq_unpack(r->chunk->codec, &r->zstd, from, packed, r->page->data, plain, r->err);
    }
    return rc;
}

// Dictionaries.
static int check_text(reader *r, const uint8_t *s, size_t n)
{
    if (r->column->layout > PQ_AS_BINARY || fr_utf8_valid((const char *)s, n, NULL)) {
        return FR_OK;
    }
    if (r->column->layout <= PQ_AS_TEXT) {
        return damaged(r, "text that is not UTF-8");
    }
    return fr_fail(r->err, FR_EUNSUPPORTED,
                   "bytes that are not UTF-8 text: binary = \"hex\" reads them in hexadecimal");
}

// Stored texts to those that frames have: printed into *block, or as they are.
static int print_texts(reader *r, pq_text *t, size_t n, fr_block **block)
{
    size_t most = 0, at = 0;
    *block = NULL;
    for (size_t i = 0; i < n; i++) {
        most += t[i].n * 3 + 4 + (size_t)r->column->scale; // digits of n bytes, or hexadecimal
    }
    int rc = fr_block_new(most + PQ_PAD, block, r->err);
    for (size_t i = 0; i < n && rc == FR_OK; i++) {
        uint8_t *to = (*block)->data + at;
        size_t size = pq_page_print(r->column, t[i].s, t[i].n, (char *)to);
        if (size == SIZE_MAX) {
            return fr_fail(r->err, FR_EUNSUPPORTED, "a decimal of %zu bytes", t[i].n);
        }
        t[i] = (pq_text){to, size};
        at += size;
    }
    return rc;
}

// Whether the values can be there, before memory is asked for.
static bool enough(const reader *r, const pq_values *v)
{
    return v->encoding == PQ_DELTA_BINARY_PACKED || r->column->width == 0 ||
           v->n <= (size_t)(v->end - v->at) / r->column->width;
}

// n stored values as texts; *made owns what they point to, if anything.
static int stored_texts(reader *r, const pq_values *v, pq_text *to, fr_block **made)
{
    const pq_column *c = r->column;
    *made = NULL;
    if (c->physical == PQ_BYTES || v->encoding == PQ_DELTA_BYTES) {
        int rc = pq_page_texts(v, to, made, r->err);
        for (size_t i = 0; i < v->n && rc == FR_OK && c->physical == PQ_FIXED; i++) {
            if (to[i].n != c->width) {
                rc = damaged(r, "a value of another length than its type's");
            }
        }
        return rc;
    }
    int rc = enough(r, v) ? fr_block_new(v->n * c->width + PQ_PAD, made, r->err)
                          : damaged(r, "a page is too short for its values");
    if (rc != FR_OK) {
        return rc;
    }
    if (!pq_page_fixed(c, v, (*made)->data)) {
        return damaged(r, "a page is too short for its values");
    }
    for (size_t i = 0; i < v->n; i++) {
        to[i] = (pq_text){(*made)->data + i * c->width, c->width};
    }
    return FR_OK;
}

static int dictionary_texts(reader *r, const pq_values *v)
{
    fr_block *made = NULL, *printed = NULL;
    int rc = fr_block_new(v->n * sizeof(pq_text), &r->dictionary, r->err);
    if (rc != FR_OK) {
        return rc;
    }
    pq_text *t = (pq_text *)(void *)r->dictionary->data;
    rc = stored_texts(r, v, t, &made);
    if (rc == FR_OK && r->column->layout > PQ_AS_BINARY) {
        rc = print_texts(r, t, v->n, &printed);
        fr_block_unref(made);
        made = printed;
    } else if (rc == FR_OK && made == NULL && r->chunk->codec != PQ_NONE) {
        made = r->page; // the texts lie in it
        r->page = NULL;
    }
    r->dictionary_text = made;
    for (size_t i = 0; i < v->n && rc == FR_OK; i++) {
        rc = check_text(r, t[i].s, t[i].n);
    }
    return rc;
}

// Codes of n texts.
static int own_codes(reader *r, const pq_values *v, uint8_t *to)
{
    fr_block *made = NULL;
    int rc = room(r, &r->slots, v->n * sizeof(pq_text));
    pq_text *t = rc == FR_OK ? (pq_text *)(void *)r->slots->data : NULL;
    rc = rc == FR_OK ? pq_page_texts(v, t, &made, r->err) : rc;
    for (size_t i = 0; i < v->n && rc == FR_OK; i++) {
        rc = check_text(r, t[i].s, t[i].n);
        if (rc == FR_OK) {
            rc = pq_categories_code(&r->part->categories, t[i].s, t[i].n, (int32_t *)(void *)to + i,
                                    r->err);
        }
    }
    fr_block_unref(made);
    return rc;
}

// Values of own type from stored ones, n of them densely.
static int own_values(reader *r, const pq_values *v, uint8_t *to)
{
    const pq_column *c = r->column;
    size_t width = fr_kind_width(c->type.kind);
    fr_block *made = NULL;
    int rc = FR_OK;
    bool good = true;
    if (c->layout == PQ_AS_CATEGORY) {
        return own_codes(r, v, to);
    }
    if (c->layout == PQ_AS_IS) {
        good = pq_page_fixed(c, v, to);
    } else if (c->physical == PQ_BYTES) { // decimals
        rc = room(r, &r->slots, v->n * sizeof(pq_text));
        pq_text *t = rc == FR_OK ? (pq_text *)(void *)r->slots->data : NULL;
        rc = rc == FR_OK ? pq_page_texts(v, t, &made, r->err) : rc;
        for (size_t i = 0; i < v->n && rc == FR_OK; i++) {
            rc = pq_page_convert(c, t[i].s, t[i].n, to + i * width) ? FR_OK
                                                                    : pq_page_misfit(c, r->err);
        }
    } else {
        rc = enough(r, v) ? room(r, &r->scratch, v->n * c->width)
                          : damaged(r, "a page is too short for its values");
        good = rc == FR_OK && pq_page_fixed(c, v, r->scratch->data);
        for (size_t i = 0; i < v->n && rc == FR_OK && good; i++) {
            if (!pq_page_convert(c, r->scratch->data + i * c->width, c->width, to + i * width)) {
                rc = pq_page_misfit(c, r->err);
            }
        }
    }
    fr_block_unref(made);
    return rc == FR_OK && !good ? damaged(r, "a page is too short for its values") : rc;
}

static int read_dictionary(reader *r, const header *h)
{
    const uint8_t *at;
    if (r->has_dictionary || r->column->layout == PQ_AS_BOOL) {
        return damaged(r, "a dictionary where none belongs");
    }
    int rc = unpack(r, r->at, (size_t)h->packed, (size_t)h->plain, &at);
    if (rc != FR_OK) {
        return rc;
    }
    pq_values v = {at, at + h->plain, PQ_PLAIN, (size_t)h->values};
    size_t least = FR_MAX(r->column->width, r->column->physical == PQ_BYTES ? 4 : 1);
    if ((h->encoding != PQ_PLAIN && h->encoding != PQ_PLAIN_DICTIONARY) ||
        v.n > (size_t)h->plain / least) {
        return damaged(r, "a dictionary page");
    }
    r->has_dictionary = true;
    r->n_dictionary = v.n;
    if (pq_layout_text(r->column->layout)) {
        return dictionary_texts(r, &v);
    }
    rc = fr_block_new(v.n * fr_kind_width(r->column->type.kind), &r->dictionary, r->err);
    return rc == FR_OK ? own_values(r, &v, r->dictionary->data) : rc;
}

// Definition levels of n rows at r->row: bits of the part. *present: how many are not null.
static int make_validity(reader *r)
{
    int rc = fr_block_new_zero(fr_bits_bytes(r->part->rows), &r->part->validity, r->err);
    if (rc == FR_OK) {
        fr_bits_fill(r->part->validity->data, 0, r->row, true);
    }
    return rc;
}

// Levels of the deprecated encoding: bits from the high end of each byte.
static bool old_levels(const uint8_t *at, const uint8_t *end, uint8_t *bits, int64_t row, size_t n)
{
    if ((size_t)(end - at) < (n + 7) / 8) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (at[i >> 3] >> (7 - (i & 7)) & 1) {
            fr_bits_set(bits, row + (int64_t)i);
        }
    }
    return true;
}

static int read_levels(reader *r, const uint8_t *at, const uint8_t *end, int encoding, size_t n,
                       size_t *present)
{
    // Mostly one run says that nothing is null.
    pq_runs runs = pq_runs_of(at, end, 1);
    uint32_t first = 0;
    *present = n;
    if (encoding == PQ_RLE && n > 0 && pq_runs_read(&runs, &first, 1) == 1 && first == 1 &&
        !runs.packed && runs.left >= n - 1) {
        if (r->part->validity != NULL) {
            fr_bits_fill(r->part->validity->data, r->row, (int64_t)n, true);
        }
        return FR_OK;
    }
    int rc = r->part->validity == NULL ? make_validity(r) : FR_OK;
    if (rc != FR_OK) {
        return rc;
    }
    uint8_t *bits = r->part->validity->data;
    runs = pq_runs_of(at, end, 1);
    bool good = encoding == PQ_BIT_PACKED ? old_levels(at, end, bits, r->row, n)
                                          : pq_runs_bits(&runs, bits, r->row, n);
    if (!good) {
        return damaged(r, "definition levels end too early");
    }
    *present = (size_t)fr_bits_count(bits, r->row, (int64_t)n);
    return FR_OK;
}

// Dense values to their slots, from the back; null slots become zero.
#define SPREAD(type)                                                                     \
    do {                                                                                 \
        type *x = (type *)(void *)at;                                                    \
        for (size_t i = n, k = present; i > k;) {                                        \
            i--;                                                                         \
            x[i] = fr_bits_get(bits, row + (int64_t)i) ? x[--k] : 0;                     \
        }                                                                                \
    } while (0)

static void spread(uint8_t *at, size_t width, size_t n, size_t present, const uint8_t *bits,
                   int64_t row)
{
    switch (width) {
    case 1:
        SPREAD(uint8_t);
        break;
    case 2:
        SPREAD(uint16_t);
        break;
    case 4:
        SPREAD(uint32_t);
        break;
    default:
        SPREAD(uint64_t);
        break;
    }
}

#define GATHER(type)                                                                     \
    do {                                                                                 \
        const type *from = (const type *)(const void *)r->dictionary->data;              \
        for (size_t i = 0; i < take; i++) {                                              \
            ((type *)(void *)to)[done + i] = from[index[i]];                             \
        }                                                                                \
    } while (0)

static int open_indexes(reader *r, const pq_values *v, pq_runs *runs)
{
    if (!r->has_dictionary) {
        return damaged(r, "its dictionary is missing");
    }
    if (v->n > 0 && (v->at >= v->end || v->at[0] > 32)) {
        return damaged(r, "the width of indexes");
    }
    *runs = pq_runs_of(v->at + (v->n > 0), v->end, v->n > 0 ? v->at[0] : 0);
    return FR_OK;
}

static int read_indexes(reader *r, pq_runs *runs, uint32_t *index, size_t n)
{
    uint32_t most = 0;
    if (pq_runs_read(runs, index, n) < n) {
        return damaged(r, "indexes end too early");
    }
    for (size_t i = 0; i < n; i++) {
        most = FR_MAX(most, index[i]);
    }
    return n == 0 || most < r->n_dictionary ? FR_OK : damaged(r, "an index beyond its dictionary");
}

static int gather(reader *r, const pq_values *v, uint8_t *to)
{
    uint32_t index[PIECE];
    pq_runs runs;
    int rc = open_indexes(r, v, &runs);
    for (size_t done = 0, take; done < v->n && rc == FR_OK; done += take) {
        take = FR_MIN(v->n - done, (size_t)PIECE);
        rc = read_indexes(r, &runs, index, take);
        if (rc != FR_OK) {
            break;
        }
        switch (fr_kind_width(r->column->type.kind)) {
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
    return rc;
}

static bool by_dictionary(const pq_values *v)
{
    return v->encoding == PQ_PLAIN_DICTIONARY || v->encoding == PQ_RLE_DICTIONARY;
}

static int put_fixed(reader *r, const pq_values *v, size_t n)
{
    size_t width = fr_kind_width(r->column->type.kind);
    uint8_t *to = r->part->values + (size_t)r->row * width;
    int rc = by_dictionary(v) ? gather(r, v, to) : own_values(r, v, to);
    if (rc == FR_OK && v->n < n) {
        spread(to, width, n, v->n, r->part->validity->data, r->row);
    }
    return rc;
}

static int put_bools(reader *r, const pq_values *v, size_t n)
{
    uint8_t *to = r->part->values;
    if (v->n == n) {
        return pq_page_bools(v, to, r->row) ? FR_OK : damaged(r, "booleans end too early");
    }
    int rc = room(r, &r->scratch, (v->n + 7) / 8);
    if (rc != FR_OK) {
        return rc;
    }
    memset(r->scratch->data, 0, (v->n + 7) / 8);
    if (!pq_page_bools(v, r->scratch->data, 0)) {
        return damaged(r, "booleans end too early");
    }
    int64_t k = 0;
    for (int64_t i = r->row; i < r->row + (int64_t)n; i++) {
        if (fr_bits_get(r->part->validity->data, i) && fr_bits_get(r->scratch->data, k++)) {
            fr_bits_set(to, i);
        }
    }
    return FR_OK;
}

// Text.
static int text_room(reader *r, size_t more)
{
    pq_part *p = r->part;
    if (p->text != NULL && p->text_room - p->n_text >= more) {
        return FR_OK;
    }
    fr_block *bigger;
    size_t size = FR_MAX(FR_MAX(p->n_text + more, p->text_room * 2), (size_t)TEXT_FIRST);
    int rc = fr_block_new(size + PQ_PAD, &bigger, r->err);
    if (rc == FR_OK) {
        if (p->n_text > 0) {
            memcpy(bigger->data, p->text->data, p->n_text);
        }
        fr_block_unref(p->text);
        p->text = bigger;
        p->text_room = size;
    }
    return rc;
}

// Sources and targets are padded, so that short texts are one move.
static inline void copy_text(uint8_t *to, const uint8_t *from, size_t n)
{
    if (FR_LIKELY(n <= SHORT)) {
        memcpy(to, from, SHORT);
    } else {
        memcpy(to, from, n);
    }
}

// The texts of v->n values to n rows.
static int emit(reader *r, const pq_text *t, size_t present, size_t n)
{
    pq_part *p = r->part;
    size_t total = 0;
    for (size_t i = 0; i < present; i++) {
        total += t[i].n;
    }
    int rc = text_room(r, total);
    if (rc != FR_OK) {
        return rc;
    }
    int64_t *offsets = p->offsets + r->row;
    uint8_t *start = p->text->data, *to = start + p->n_text;
    if (present == n) {
        for (size_t i = 0; i < n; i++) {
            copy_text(to, t[i].s, t[i].n);
            to += t[i].n;
            offsets[i] = to - start;
        }
    } else {
        for (size_t i = 0, k = 0; i < n; i++) {
            if (fr_bits_get(p->validity->data, r->row + (int64_t)i)) {
                copy_text(to, t[k].s, t[k].n);
                to += t[k++].n;
            }
            offsets[i] = to - start;
        }
    }
    p->n_text = (size_t)(to - start);
    return FR_OK;
}

static int index_texts(reader *r, const pq_values *v, pq_text *to)
{
    uint32_t index[PIECE];
    pq_runs runs;
    int rc = open_indexes(r, v, &runs);
    const pq_text *from = rc == FR_OK ? (const pq_text *)(void *)r->dictionary->data : NULL;
    for (size_t done = 0, take; done < v->n && rc == FR_OK; done += take) {
        take = FR_MIN(v->n - done, (size_t)PIECE);
        rc = read_indexes(r, &runs, index, take);
        for (size_t i = 0; i < take && rc == FR_OK; i++) {
            to[done + i] = from[index[i]];
        }
    }
    return rc;
}

static int put_texts(reader *r, const pq_values *v, size_t n)
{
    fr_block *made = NULL, *printed = NULL;
    size_t before = r->part->n_text;
    bool known = by_dictionary(v);
    int rc = room(r, &r->slots, v->n * sizeof(pq_text));
    if (rc != FR_OK) {
        return rc;
    }
    pq_text *t = (pq_text *)(void *)r->slots->data;
    rc = known ? index_texts(r, v, t) : stored_texts(r, v, t, &made);
    if (rc == FR_OK && !known && r->column->layout > PQ_AS_BINARY) {
        rc = print_texts(r, t, v->n, &printed);
    }
    if (rc == FR_OK) {
        rc = emit(r, t, v->n, n);
    }
    fr_block_unref(made);
    fr_block_unref(printed);
    if (rc != FR_OK || known || v->n == 0) {
        return rc;
    }
    const uint8_t *s = r->part->text->data;
    rc = check_text(r, s + before, r->part->n_text - before);
    for (size_t i = 1; i < n && rc == FR_OK; i++) { // a text may not start inside a character
        int64_t at = r->part->offsets[r->row + (int64_t)i - 1];
        if (at < (int64_t)r->part->n_text && (s[at] & 0xc0) == 0x80) {
            rc = check_text(r, (const uint8_t *)"\x80", 1);
        }
    }
    return rc;
}

static int read_values(reader *r, const pq_values *v, size_t n)
{
    if (pq_layout_text(r->column->layout)) {
        return put_texts(r, v, n);
    }
    return r->column->layout == PQ_AS_BOOL ? put_bools(r, v, n) : put_fixed(r, v, n);
}

// A page of version 1: levels and values are packed together.
static int data_page(reader *r, const header *h)
{
    const uint8_t *at;
    size_t n = (size_t)h->values, present = n;
    int rc = unpack(r, r->at, (size_t)h->packed, (size_t)h->plain, &at);
    if (rc != FR_OK) {
        return rc;
    }
    const uint8_t *end = at + h->plain;
    if (r->column->optional && n > 0) {
        uint32_t size = (uint32_t)(n + 7) / 8;
        if (h->levels == PQ_RLE) {
            if (end - at < 4) {
                return damaged(r, "definition levels end too early");
            }
            memcpy(&size, at, 4);
            at += 4;
        }
        if (size > (size_t)(end - at)) {
            return damaged(r, "definition levels end too early");
        }
        rc = read_levels(r, at, at + size, h->levels, n, &present);
        at += size;
    }
    pq_values v = {at, end, h->encoding, present};
    return rc == FR_OK ? read_values(r, &v, n) : rc;
}

// A page of version 2: levels lie before what is packed.
static int data_page_2(reader *r, const header *h)
{
    size_t n = (size_t)h->values, present = n;
    int64_t levels = h->repetition_bytes + h->definition_bytes;
    if (levels > h->packed || levels > h->plain) {
        return damaged(r, "levels longer than their page");
    }
    const uint8_t *at = r->at + h->repetition_bytes, *values = r->at + levels;
    size_t packed = (size_t)(h->packed - levels), plain = (size_t)(h->plain - levels);
    int rc = FR_OK;
    if (r->column->optional && n > 0) {
        rc = read_levels(r, at, values, PQ_RLE, n, &present);
    }
    if (rc == FR_OK && h->compressed && packed > 0) {
        rc = unpack(r, values, packed, plain, &values);
    } else if (packed < plain) { // nothing was packed, so nothing may be missing
        plain = packed;
    }
    pq_values v = {values, values + plain, h->encoding, present};
    return rc == FR_OK ? read_values(r, &v, n) : rc;
}

static int read_page(reader *r)
{
    header h;
    if (!read_header(r, &h)) {
        return damaged(r, "a page that ends too early");
    }
    int rc = FR_OK;
    if (h.has_crc && crc32(crc32(0, NULL, 0), r->at, (uInt)h.packed) != h.crc) {
        return fr_fail(r->err, FR_ECORRUPT, "damaged data: a page differs from its checksum");
    }
    if (h.type == PQ_DICTIONARY_PAGE) {
        rc = read_dictionary(r, &h);
    } else if (h.type == PQ_DATA_PAGE || h.type == PQ_DATA_PAGE_2) {
        if (h.values > r->part->rows - r->row) {
            return damaged(r, "more values than rows");
        }
        rc = h.type == PQ_DATA_PAGE ? data_page(r, &h) : data_page_2(r, &h);
        r->row += h.values;
    }
    r->at += h.packed;
    if (rc == FR_OK && fr_cancelled()) {
        rc = fr_fail(r->err, fr_cancel_code(), "reading stopped");
    }
    return rc;
}

int pq_chunk_decode(const pq_chunk *chunk, const uint8_t *bytes, size_t n, pq_part *part,
                    fr_err *err)
{
    reader r = {.chunk = chunk, .column = part->column, .part = part, .at = bytes,
                .end = bytes + n, .err = err};
    int rc = FR_OK;
    if (part->column->layout == PQ_AS_CATEGORY) {
        pq_categories_init(&part->categories);
    }
    while (r.row < part->rows && rc == FR_OK) {
        rc = r.at < r.end ? read_page(&r) : damaged(&r, "fewer values than rows");
    }
    pq_zstd_fini(&r.zstd);
    fr_block_unref(r.page);
    fr_block_unref(r.scratch);
    fr_block_unref(r.slots);
    fr_block_unref(r.dictionary);
    fr_block_unref(r.dictionary_text);
    if (rc == FR_OK && part->validity != NULL) {
        part->nulls = part->rows - fr_bits_count(part->validity->data, 0, part->rows);
    }
    return rc;
}
