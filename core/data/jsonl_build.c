#include "core/base/decimal.h"
#include "core/base/mem.h"
#include "core/data/bits.h"
#include "core/data/compute.h"
#include "core/data/jsonl_int.h"
#include "core/data/when.h"

#include <stdlib.h>
#include <string.h>

enum { SHOWN = 40, ROOM = 64 };

typedef struct building {
    fr_array *a;
    size_t n_text;                    // bytes so far
    int64_t row;                      // offsets are filled up to here
    fr_err *err;
} building;

static int misfit(const jsonl_region *g, const jsonl_cell *c, const char *name, const fr_type *t,
                  fr_err *err)
{
    char type[64];
    const char *s = (const char *)g->text + g->from + c->at;
    bool quoted = c->kind == JSONL_TEXT || c->kind == JSONL_ESCAPED;
    return jsonl_fail(g, c->at, err, FR_EPARSE, "key \"%.60s\": expected %s, got %s%.*s%s%s", name,
                      fr_type_name(t, type), quoted ? "\"" : "", (int)FR_MIN(c->n, (uint32_t)SHOWN),
                      s, c->n > SHOWN ? "..." : "", quoted ? "\"" : "");
}

static bool parse_stamp(const char *s, size_t n, const fr_type *t, int64_t *out)
{
    fr_when w;
    bool zoned = t->zone[0] != '\0';
    return fr_when_parse(s, n, &w) && w.has_offset == zoned && fr_when_value(&w, t->unit, out);
}

static bool parse_date(const char *s, size_t n, int64_t *out)
{
    fr_when w;
    if (!fr_when_parse(s, n, &w) || w.has_time) {
        return false;
    }
    *out = fr_floor_div(w.seconds, 86400);
    return true;
}

static bool in_range(fr_kind kind, int64_t v)
{
    switch ((int)kind) {
    case FR_INT8:
        return v == (int8_t)v;
    case FR_INT16:
        return v == (int16_t)v;
    case FR_INT32:
        return v == (int32_t)v;
    case FR_UINT8:
        return v == (uint8_t)v;
    case FR_UINT16:
        return v == (uint16_t)v;
    case FR_UINT32:
        return v == (uint32_t)v;
    default:
        return true;
    }
}

static bool parse_uint64(const char *s, size_t n, int64_t *out)
{
    char text[ROOM], *end;
    if (n == 0 || n >= sizeof text || s[0] < '0' || s[0] > '9') {
        return false;
    }
    memcpy(text, s, n);
    text[n] = '\0';
    unsigned long long v = strtoull(text, &end, 10);
    *out = (int64_t)v;
    return end == text + n && (v != UINT64_MAX || strcmp(text, "18446744073709551615") == 0);
}

// Whole numbers, times, dates: as they are stored.
static bool parse_whole(const char *s, size_t n, bool quoted, const fr_type *t, int64_t *out)
{
    int64_t nanos;
    switch ((int)t->kind) {
    case FR_DATE:
        return quoted && parse_date(s, n, out);
    case FR_TIMESTAMP:
        return quoted && parse_stamp(s, n, t, out);
    case FR_TIME:
        return quoted && fr_when_parse_time(s, n, out);
    case FR_DURATION:
        if (!quoted || !fr_when_parse_duration(s, n, &nanos)) {
            return false;
        }
        *out = nanos / (1000000000 / fr_unit_per_second(t->unit));
        return true;
    case FR_UINT64:
        return parse_uint64(s, n, out);
    default:
        return fr_decimal_parse_int(s, n, out) && in_range(t->kind, *out);
    }
}

static bool put_number(building *b, int64_t row, const jsonl_cell *c, const char *s)
{
    const fr_type *t = &b->a->type;
    uint8_t *to = b->a->values->data;
    size_t width = fr_kind_width(t->kind);
    bool quoted = c->kind == JSONL_TEXT || c->kind == JSONL_ESCAPED;
    double x;
    float small;
    int64_t v;
    if (t->kind == FR_BOOL) {
        if (c->kind == JSONL_TRUE) {
            fr_bits_set(to, row);
        }
        return c->kind == JSONL_TRUE || c->kind == JSONL_FALSE;
    }
    if (c->kind != JSONL_NUMBER && !quoted) {
        return false;
    }
    if (t->kind == FR_FLOAT64 || t->kind == FR_FLOAT32) {
        if (!fr_decimal_parse(s, c->n, &x)) {
            return false;
        }
        small = (float)x;
        memcpy(to + (size_t)row * width, width == 4 ? (void *)&small : (void *)&x, width);
        return true;
    }
    if (!parse_whole(s, c->n, quoted, t, &v)) {
        return false;
    }
    memcpy(to + (size_t)row * width, &v, width); // little endian
    return true;
}

// Offsets of rows without text, up to `row`.
static void fill_offsets(building *b, int64_t row)
{
    int64_t *o = (int64_t *)(void *)b->a->offsets->data;
    for (; b->row < row; b->row++) {
        o[b->row + 1] = (int64_t)b->n_text;
    }
}

static void put_text(building *b, int64_t row, const jsonl_cell *c, const char *s)
{
    char *to = (char *)b->a->values->data + b->n_text;
    fill_offsets(b, row);
    if (c->kind == JSONL_ESCAPED) {
        b->n_text += jsonl_unescape((const uint8_t *)s, c->n, to);
    } else {
        memcpy(to, s, c->n);
        b->n_text += c->n;
    }
    fill_offsets(b, row + 1);
}

static int fill_region(building *b, const jsonl_region *g, const jsonl_column *c, const char *name)
{
    bool text = b->a->type.kind == FR_UTF8;
    for (size_t i = 0; i < c->n_cells; i++) {
        const jsonl_cell *cell = &c->cells[i];
        const char *s = (const char *)g->text + g->from + cell->at;
        int64_t row = (int64_t)(g->first_row + cell->row);
        fr_bits_set(b->a->validity->data, row);
        if (text) {
            put_text(b, row, cell, s);
        } else if (!put_number(b, row, cell, s)) {
            return misfit(g, cell, name, &b->a->type, b->err);
        }
    }
    return FR_OK;
}

static int make_room(const jsonl_table *t, size_t column, fr_array *a, fr_err *err)
{
    size_t text = 0;
    for (size_t g = 0; g < t->n_regions; g++) {
        uint32_t at = t->regions[g].column_of[column];
        text += at != UINT32_MAX ? t->regions[g].columns[at].text : 0;
    }
    int rc = fr_block_new_zero(fr_bits_bytes(a->length), &a->validity, err);
    if (rc == FR_OK && a->type.kind == FR_UTF8) {
        rc = fr_block_new(((size_t)a->length + 1) * sizeof(int64_t), &a->offsets, err);
    }
    if (rc != FR_OK) {
        return rc;
    }
    if (a->type.kind == FR_UTF8) {
        ((int64_t *)(void *)a->offsets->data)[0] = 0;
        return fr_block_new(text, &a->values, err);
    }
    size_t width = fr_kind_width(a->type.kind);
    return fr_block_new_zero(width == 0 ? fr_bits_bytes(a->length) : (size_t)a->length * width,
                             &a->values, err);
}

int jsonl_build(const jsonl_table *t, size_t column, const char *name, const fr_type *type,
                fr_array **out, fr_err *err)
{
    fr_array *a = fr_zalloc(sizeof *a);
    building b = {.a = a, .err = err};
    fr_object_init(&a->object, &fr_array_ops);
    a->type = type->kind == FR_CATEGORY ? fr_type_of(FR_UTF8) : *type;
    a->length = (int64_t)t->rows;
    *out = NULL;
    int rc = make_room(t, column, a, err);
    for (size_t g = 0; g < t->n_regions && rc == FR_OK; g++) {
        const jsonl_region *r = &t->regions[g];
        if (r->column_of[column] != UINT32_MAX) {
            rc = fill_region(&b, r, &r->columns[r->column_of[column]], name);
        }
    }
    if (rc == FR_OK && a->type.kind == FR_UTF8) {
        fill_offsets(&b, a->length);
        rc = fr_block_shrink(a->values, b.n_text, err);
    }
    if (rc == FR_OK) {
        fr_array_count_nulls(a);
    }
    if (rc == FR_OK && type->kind == FR_CATEGORY) {
        rc = fr_compute_cast(a, *type, out, err);
        fr_array_unref(a);
        return rc;
    }
    if (rc != FR_OK) {
        fr_array_unref(a);
        return rc;
    }
    *out = a;
    return FR_OK;
}
