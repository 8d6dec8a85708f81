// value_json -- packed values as people and other programs read them.
#include "core/base/mem.h"
#include "core/data/value.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct printer {
    fr_reader r;
    const fr_value *v;
    fr_buf *out;
    size_t max; // out->size must not pass it
} printer;

static bool full(const printer *p) { return p->out->size > p->max || p->out->failed; }

// The length of the UTF-8 character at s, or 0 when it is none.
static size_t utf8(const uint8_t *s, size_t n)
{
    size_t len = s[0] < 0x80                   ? 1
                 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2
                 : s[0] >= 0xe0 && s[0] < 0xf0 ? 3
                 : s[0] >= 0xf0 && s[0] < 0xf5 ? 4
                                               : 0;
    if (len == 0 || len > n) {
        return 0;
    }
    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool wrong = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
                 (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f);
    return wrong ? 0 : len;
}

static void put_text(printer *p, const char *text, size_t n)
{
    const uint8_t *s = (const uint8_t *)text;
    fr_buf_put_u8(p->out, '"');
    for (size_t i = 0; i < n && !full(p);) {
        size_t len = utf8(s + i, n - i);
        if (len == 0) {
            fr_buf_put_str(p->out, "\\ufffd");
            len = 1;
        } else if (s[i] == '"' || s[i] == '\\') {
            fr_buf_put_u8(p->out, '\\');
            fr_buf_put_u8(p->out, s[i]);
        } else if (s[i] == '\n') {
            fr_buf_put_str(p->out, "\\n");
        } else if (s[i] == '\t') {
            fr_buf_put_str(p->out, "\\t");
        } else if (s[i] < 0x20 || s[i] == 0x7f) {
            fr_buf_printf(p->out, "\\u%04x", s[i]);
        } else {
            fr_buf_put(p->out, s + i, len);
        }
        i += len;
    }
    fr_buf_put_u8(p->out, '"');
}

// The shortest digits that read back as the same double, always marked as a double.
static void put_double(fr_buf *out, double x)
{
    char text[40];
    if (isnan(x) || isinf(x)) { // JSON has no such numbers
        fr_buf_put_str(out, isnan(x) ? "\"nan\"" : x > 0 ? "\"inf\"" : "\"-inf\"");
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, x);
        if (strtod(text, NULL) == x) {
            break;
        }
    }
    fr_buf_put_str(out, text);
    if (strpbrk(text, ".e") == NULL) {
        fr_buf_put_str(out, ".0");
    }
}

static void put_ref(printer *p, const fr_item *item)
{
    char hash[FR_HASH_TEXT];
    fr_hash_text(item->hash, hash);
    const char *name =
        item->n < p->v->objects ? p->v->object[item->n]->ops->name : "object";
    fr_buf_printf(p->out, "{\"$%s\":\"%s\"}", name, hash);
}

static void put_item(printer *p, int depth);

static void put_key(printer *p)
{
    fr_item key;
    if (!fr_value_next(&p->r, &key)) {
        return;
    }
    if (key.tag == FR_STRING) {
        put_text(p, key.text, key.n);
    } else if (key.tag == FR_INT) {
        fr_buf_printf(p->out, "\"%lld\"", (long long)key.integer);
    } else if (key.tag == FR_DOUBLE && isfinite(key.number)) {
        fr_buf_put_u8(p->out, '"');
        put_double(p->out, key.number);
        fr_buf_put_u8(p->out, '"');
    } else if (key.tag == FR_DOUBLE) {
        put_double(p->out, key.number); // quoted already
    } else {
        fr_buf_put_str(p->out, key.tag == FR_TRUE ? "\"true\"" : "\"false\"");
    }
    fr_buf_put_u8(p->out, ':');
}

// A table is a list when it has only an array part, else an object whose keys are text.
static void put_table(printer *p, size_t n, int depth)
{
    fr_reader ahead = p->r;
    for (size_t i = 0; i < n; i++) {
        if (!fr_value_skip(&ahead)) {
            return;
        }
    }
    uint64_t m = fr_read_varint(&ahead);
    fr_buf_put_u8(p->out, m > 0 ? '{' : '[');
    for (size_t i = 0; i < n && !full(p); i++) {
        if (i > 0) {
            fr_buf_put_u8(p->out, ',');
        }
        if (m > 0) {
            fr_buf_printf(p->out, "\"%zu\":", i + 1);
        }
        put_item(p, depth + 1);
    }
    (void)fr_read_varint(&p->r);
    for (uint64_t i = 0; i < m && !full(p) && !p->r.failed; i++) {
        if (n > 0 || i > 0) {
            fr_buf_put_u8(p->out, ',');
        }
        put_key(p);
        put_item(p, depth + 1);
    }
    fr_buf_put_u8(p->out, m > 0 ? '}' : ']');
}

static void put_item(printer *p, int depth)
{
    fr_item item;
    if (depth > FR_VALUE_DEPTH || full(p) || !fr_value_next(&p->r, &item)) {
        return;
    }
    switch (item.tag) {
    case FR_NIL:
    case FR_NULL:
        fr_buf_put_str(p->out, "null");
        break;
    case FR_FALSE:
        fr_buf_put_str(p->out, "false");
        break;
    case FR_TRUE:
        fr_buf_put_str(p->out, "true");
        break;
    case FR_INT:
        fr_buf_printf(p->out, "%lld", (long long)item.integer);
        break;
    case FR_DOUBLE:
        put_double(p->out, item.number);
        break;
    case FR_STRING:
        put_text(p, item.text, item.n);
        break;
    case FR_TABLE:
        put_table(p, item.n, depth);
        break;
    case FR_REF:
        put_ref(p, &item);
        break;
    case FR_HANDLE:
        fr_buf_printf(p->out, "{\"$handle\":%zu}", item.n);
        break;
    }
}

void fr_value_json(const fr_value *v, fr_buf *out, size_t max)
{
    size_t start = out->size;
    printer p = {
        .r = fr_reader_of(v->bytes, v->size), .v = v, .out = out, .max = start + max};
    put_item(&p, 0);
    if (out->size > start + max) { // cut at a character, with a mark
        size_t end = start + (max > 3 ? max - 3 : 0);
        while (end > start && (out->data[end] & 0xc0) == 0x80) {
            end--;
        }
        out->size = end;
        fr_buf_put_str(out, "...");
    }
}
