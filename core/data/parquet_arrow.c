#include "core/base/mem.h"
#include "core/data/arrow_int.h"
#include "core/data/parquet_int.h"

#include <string.h>

// What Arrow's libraries note beside a file: the schema as it was before Parquet's types took
// its place. It tells categories, zones, seconds and durations, and is only a hint: what
// does not fit the file is passed over.

enum { MESSAGE_HEAD = 8 };

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int digit(uint8_t c)
{
    const char *at = c != 0 ? strchr(digits, c) : NULL;
    return at != NULL ? (int)(at - digits) : -1;
}

// The bytes of base64 text; stops at what is none. `to` has room for n * 3 / 4 + 3.
static size_t from_base64(const uint8_t *s, size_t n, uint8_t *to)
{
    uint32_t word = 0;
    size_t size = 0;
    for (size_t i = 0; i < n && digit(s[i]) >= 0; i++) {
        word = word << 6 | (uint32_t)digit(s[i]);
        if (i % 4 != 0) {
            to[size++] = (uint8_t)(word >> (6 - 2 * (i % 4)));
        }
    }
    return size;
}

static void apply(pq_column *c, const arrow_field *f)
{
    if (f->dictionary && f->type.kind == FR_UTF8 && c->layout == PQ_AS_TEXT) {
        c->layout = PQ_AS_CATEGORY;
        c->type = (fr_type){.kind = FR_CATEGORY, .ordered = f->ordered};
    } else if (f->type.kind == FR_TIMESTAMP && c->type.kind == FR_TIMESTAMP) {
        if (f->type.unit == FR_SECOND && c->layout == PQ_AS_IS && c->unit == FR_MILLI) {
            c->layout = PQ_AS_SECONDS;
            c->type.unit = FR_SECOND;
        }
        if (c->adjusted && f->type.zone[0] != '\0') {
            memcpy(c->type.zone, f->type.zone, sizeof c->type.zone);
        }
    } else if (f->type.kind == FR_DURATION && c->type.kind == FR_INT64 && c->logical == 0) {
        c->type = f->type;
    }
}

void pq_arrow_hints(pq_meta *m)
{
    if (m->arrow.n == 0) {
        return;
    }
    uint8_t *bytes = fr_try_alloc(m->arrow.n * 3 / 4 + 3);
    size_t n = bytes != NULL ? from_base64(m->arrow.at, m->arrow.n, bytes) : 0;
    arrow_schema schema = {0};
    if (n > MESSAGE_HEAD) {
        flat_reader r = {bytes + MESSAGE_HEAD, n - MESSAGE_HEAD, false};
        size_t root = flat_root(&r), header = flat_child(&r, root, 2);
        bool good = flat_get(&r, root, 1, 1, 0) == ARROW_SCHEMA && header != 0 && !r.bad &&
                    arrow_schema_read(&r, header, &schema, NULL) == FR_OK && !r.bad;
        for (size_t i = 0; good && i < schema.n && i < m->n_columns; i++) {
            pq_column *c = &m->columns[i];
            if (strcmp(c->name, schema.fields[i].name) == 0 && c->problem == NULL) {
                apply(c, &schema.fields[i]);
            }
        }
    }
    arrow_schema_fini(&schema);
    fr_free(bytes);
}

static void to_base64(const uint8_t *s, size_t n, fr_buf *to)
{
    for (size_t i = 0; i < n; i += 3) {
        uint32_t word = (uint32_t)s[i] << 16 | (i + 1 < n ? (uint32_t)s[i + 1] << 8 : 0) |
                        (i + 2 < n ? s[i + 2] : 0);
        for (size_t k = 0; k < 4; k++) {
            fr_buf_put_u8(to, i + k <= n ? (uint8_t)digits[word >> (18 - 6 * k) & 63] : '=');
        }
    }
}

void pq_arrow_note(const fr_frame *f, fr_buf *to)
{
    flat_writer w;
    fr_buf message;
    size_t n;
    flat_init(&w);
    fr_buf_init(&message, UINT32_MAX);
    flat_ref header = arrow_schema_write(&w, f);
    flat_table(&w, 4);
    flat_put(&w, 3, 0, 8);
    flat_put_ref(&w, 2, header);
    flat_put(&w, 0, ARROW_V5, 2);
    flat_put(&w, 1, ARROW_SCHEMA, 1);
    const uint8_t *bytes = flat_finish(&w, flat_end(&w), &n);
    size_t padded = (n + 7) / 8 * 8;
    fr_buf_put_u32(&message, UINT32_MAX);
    fr_buf_put_u32(&message, (uint32_t)padded);
    fr_buf_put(&message, bytes, n);
    while (message.size < MESSAGE_HEAD + padded) {
        fr_buf_put_u8(&message, 0);
    }
    to_base64(message.data, message.size, to);
    fr_buf_fini(&message);
    flat_fini(&w);
}
