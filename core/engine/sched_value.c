// Small packed values the scheduler makes and looks into: errors, outputs, lists.
#include "core/engine/sched_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static FR_PRINTF(3, 0) fr_value *make_error(const char *code, bool retry, const char *format,
                                            va_list args)
{
    char message[1024];
    (void)vsnprintf(message, sizeof message, format, args);
    fr_buf b;
    fr_buf_init(&b, 8192);
    fr_buf_put_u8(&b, FR_TABLE);
    fr_buf_put_varint(&b, 0);
    fr_buf_put_varint(&b, retry ? 2 : 3);           // keys in byte order: code, message, retry
    fr_value_put_string(&b, "code", 4);
    fr_value_put_string(&b, code, strlen(code));
    fr_value_put_string(&b, "message", 7);
    fr_value_put_string(&b, message, strlen(message));
    if (!retry) {
        fr_value_put_string(&b, "retry", 5);
        fr_buf_put_u8(&b, FR_FALSE);
    }
    fr_value *v = fr_value_new(b.data, b.size, NULL, 0);
    fr_buf_fini(&b);
    return v;
}

fr_value *sched_error(const char *code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fr_value *v = make_error(code, true, format, args);
    va_end(args);
    return v;
}

fr_value *sched_error_final(const char *code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fr_value *v = make_error(code, false, format, args);
    va_end(args);
    return v;
}

// Leaves the reader at the first pair of a table and returns how many pairs follow.
static uint64_t at_pairs(fr_reader *r, const fr_value *v)
{
    fr_item item;
    *r = fr_reader_of(v->bytes, v->size);
    if (!fr_value_next(r, &item) || item.tag != FR_TABLE) {
        return 0;
    }
    for (size_t i = 0; i < item.n; i++) {
        if (!fr_value_skip(r)) {
            return 0;
        }
    }
    return fr_read_varint(r);
}

bool sched_field(const fr_value *v, const char *key, fr_item *out)
{
    fr_reader r;
    size_t n = strlen(key);
    for (uint64_t left = v != NULL ? at_pairs(&r, v) : 0; left > 0; left--) {
        fr_item k;
        if (!fr_value_next(&r, &k)) {
            return false;
        }
        if (k.tag == FR_STRING && k.n == n && memcmp(k.text, key, n) == 0) {
            return fr_value_next(&r, out);
        }
        if (!fr_value_skip(&r)) {
            return false;
        }
    }
    return false;
}

bool sched_error_retry(const fr_value *error)
{
    fr_item item;
    return !(sched_field(error, "retry", &item) && item.tag == FR_FALSE);
}

void sched_error_text(const fr_value *error, char *out, size_t size)
{
    fr_item item;
    if (sched_field(error, "message", &item) && item.tag == FR_STRING) {
        (void)snprintf(out, size, "%.*s", (int)FR_MIN(item.n, size), item.text);
    } else {
        (void)snprintf(out, size, "unknown error");
    }
}

int sched_error_code(const fr_value *error)
{
    fr_item item;
    char name[64];
    if (!sched_field(error, "code", &item) || item.tag != FR_STRING || item.n >= sizeof name) {
        return FR_ETASK;
    }
    memcpy(name, item.text, item.n);
    name[item.n] = '\0';
    int code = fr_err_from_name(name);
    return code < 0 ? FR_ETASK : code;
}

// Copies one packed value, numbering its objects anew by first appearance.
static bool copy_value(fr_reader *r, const fr_value *from, fr_buf *out, fr_object **objects,
                       uint32_t *n)
{
    const uint8_t *start = r->at;
    fr_item item;
    if (!fr_value_next(r, &item)) {
        return false;
    }
    if (item.tag == FR_REF) {
        fr_buf_put(out, start, 1 + 1 + 16);         // tag, kind, hash
        fr_object *o = item.n < from->objects ? from->object[item.n] : NULL;
        uint32_t i = 0;
        while (i < *n && objects[i] != o) {
            i++;
        }
        if (i == *n) {
            objects[(*n)++] = o;
        }
        fr_buf_put_varint(out, i);
        return o != NULL;
    }
    fr_buf_put(out, start, (size_t)(r->at - start));
    if (item.tag != FR_TABLE) {
        return true;
    }
    for (size_t i = 0; i < item.n; i++) {
        if (!copy_value(r, from, out, objects, n)) {
            return false;
        }
    }
    uint64_t pairs = fr_read_varint(r);
    fr_buf_put_varint(out, pairs);
    for (uint64_t i = 0; i < 2 * pairs; i++) {
        if (!copy_value(r, from, out, objects, n)) {
            return false;
        }
    }
    return true;
}

fr_value *sched_slice(const fr_value *v, size_t from, size_t size)
{
    if (v->objects == 0) {
        return fr_value_new(v->bytes + from, size, NULL, 0);
    }
    fr_buf out;
    fr_buf_init(&out, FR_VALUE_MAX);
    fr_object **objects = fr_alloc(v->objects * sizeof(fr_object *));
    uint32_t n = 0;
    fr_reader r = fr_reader_of(v->bytes + from, size);
    fr_value *slice = NULL;
    if (copy_value(&r, v, &out, objects, &n) && !out.failed) {
        slice = fr_value_new(out.data, out.size, objects, n);
    }
    fr_free(objects);
    fr_buf_fini(&out);
    return slice != NULL ? slice : fr_value_nil();
}

fr_value *sched_element(const fr_value *table, uint32_t k)
{
    fr_reader r = fr_reader_of(table->bytes, table->size);
    fr_item item;
    if (!fr_value_next(&r, &item) || item.tag != FR_TABLE) {
        return fr_value_nil();
    }
    for (uint32_t i = 1; i <= item.n; i++) {
        size_t from = (size_t)(r.at - table->bytes);
        if (!fr_value_skip(&r)) {
            return fr_value_nil();
        }
        if (i == k) {
            return sched_slice(table, from, (size_t)(r.at - table->bytes) - from);
        }
    }
    for (uint64_t left = fr_read_varint(&r); left > 0; left--) {
        fr_item key;
        if (!fr_value_next(&r, &key)) {
            break;
        }
        size_t from = (size_t)(r.at - table->bytes);
        if (!fr_value_skip(&r)) {
            break;
        }
        if (key.tag == FR_INT && key.integer == (int64_t)k) {
            return sched_slice(table, from, (size_t)(r.at - table->bytes) - from);
        }
    }
    return fr_value_nil();
}

static bool put_whole(fr_buf *out, const fr_value *v, fr_object ***objects, uint32_t *n)
{
    fr_reader r = fr_reader_of(v->bytes, v->size);
    *objects = fr_realloc(*objects, (*n + v->objects + 1) * sizeof(fr_object *));
    return copy_value(&r, v, out, *objects, n);
}

static bool is_nil(const uint8_t *item, const fr_value *whole)
{
    return (whole != NULL ? whole->bytes[0] : item[0]) == FR_NIL;
}

fr_value *sched_list(const uint8_t *const *item, const size_t *size, fr_value *const *whole,
                     uint32_t n, fr_err *err)
{
    fr_buf out;
    fr_buf_init(&out, FR_VALUE_MAX);
    fr_object **objects = NULL;
    uint32_t n_objects = 0, border = 0, pairs = 0;
    while (border < n && !is_nil(item[border], whole != NULL ? whole[border] : NULL)) {
        border++;
    }
    for (uint32_t i = border; i < n; i++) {
        pairs += !is_nil(item[i], whole != NULL ? whole[i] : NULL);
    }
    fr_buf_put_u8(&out, FR_TABLE);
    fr_buf_put_varint(&out, border);
    bool ok = true;
    for (uint32_t i = 0; i < n && ok; i++) {
        if (i == border) {
            fr_buf_put_varint(&out, pairs);
        }
        const fr_value *w = whole != NULL ? whole[i] : NULL;
        if (i >= border) {
            if (is_nil(item[i], w)) {
                continue;
            }
            fr_value_put_int(&out, (int64_t)i + 1);
        }
        if (w != NULL) {
            ok = put_whole(&out, w, &objects, &n_objects);
        } else {
            fr_buf_put(&out, item[i], size[i]);
        }
    }
    if (border == n) {
        fr_buf_put_varint(&out, 0);
    }
    fr_value *v = NULL;
    if (!ok) {
        (void)fr_fail(err, FR_ECORRUPT, "a result of the map is damaged");
    } else if (fr_buf_check(&out, err) == FR_OK) {
        v = fr_value_new(out.data, out.size, objects, n_objects);
    }
    fr_free(objects);
    fr_buf_fini(&out);
    return v;
}

fr_hash sched_fingerprint(const fr_sched *s, const fr_call *c)
{
    fr_hash h = {.lo = (uint64_t)c->n_args, .hi = (uint64_t)c->kind};
    if (c->args != NULL) {
        h = fr_hash_pair(h, c->args->hash);
    }
    if (c->list != NULL) {
        h = fr_hash_pair(h, c->list->hash);
    } else if (c->kind == FR_CALL_MAP) {
        h = fr_hash_mix(fr_hash_pair(h, node_at(s, c->list_dep.node)->key), c->list_dep.output);
    }
    for (uint32_t i = 0; i < c->n_deps; i++) {
        h = fr_hash_mix(fr_hash_pair(h, node_at(s, c->deps[i].node)->key), c->deps[i].output);
    }
    return h;
}
