#include "core/data/thrift.h"

#include <string.h>

static uint64_t varint(thrift_reader *r)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (r->at >= r->end) {
            break;
        }
        uint8_t byte = *r->at++;
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            return v;
        }
    }
    r->bad = true;
    r->at = r->end;
    return 0;
}

static int64_t zigzag(uint64_t v) { return (int64_t)(v >> 1) ^ -(int64_t)(v & 1); }

static uint8_t byte(thrift_reader *r)
{
    if (r->at >= r->end) {
        r->bad = true;
        return 0;
    }
    return *r->at++;
}

static void wrong(thrift_reader *r)
{
    r->bad = true;
    r->at = r->end;
}

bool thrift_next(thrift_reader *r, thrift_field *f)
{
    uint8_t head = byte(r);
    if (head == 0 || r->bad) {
        return false;
    }
    int64_t id = head >> 4 != 0 ? f->id + (head >> 4) : zigzag(varint(r));
    f->type = head & 15;
    if (id < INT16_MIN || id > INT16_MAX || f->type > THRIFT_STRUCT) {
        wrong(r);
    }
    f->id = (int)id;
    return !r->bad;
}

int64_t thrift_int(thrift_reader *r, const thrift_field *f)
{
    if (f->type == THRIFT_I8) {
        return (int8_t)byte(r);
    }
    if (f->type < THRIFT_I16 || f->type > THRIFT_I64) {
        wrong(r);
        return 0;
    }
    return zigzag(varint(r));
}

bool thrift_bool(thrift_reader *r, const thrift_field *f)
{
    if (f->type != THRIFT_TRUE && f->type != THRIFT_FALSE) {
        wrong(r);
    }
    return f->type == THRIFT_TRUE;
}

const uint8_t *thrift_bytes(thrift_reader *r, const thrift_field *f, size_t *n)
{
    uint64_t size = f->type == THRIFT_BINARY ? varint(r) : UINT64_MAX;
    const uint8_t *at = r->at;
    if (r->bad || size > (uint64_t)(r->end - r->at)) {
        wrong(r);
        *n = 0;
        return r->end;
    }
    *n = (size_t)size;
    r->at += size;
    return at;
}

// The head of a list or set; items need at least a byte each (but structs of no fields, too).
static size_t list_head(thrift_reader *r, uint8_t *type)
{
    uint8_t head = byte(r);
    uint64_t n = head >> 4 == 15 ? varint(r) : head >> 4;
    *type = head & 15;
    if (n > (uint64_t)(r->end - r->at)) {
        wrong(r);
        return 0;
    }
    return (size_t)n;
}

size_t thrift_list(thrift_reader *r, const thrift_field *f, uint8_t type)
{
    uint8_t found;
    if (f->type != THRIFT_LIST && f->type != THRIFT_SET) {
        wrong(r);
        return 0;
    }
    size_t n = list_head(r, &found);
    if (n > 0 && found != type) {
        wrong(r);
        return 0;
    }
    return n;
}

static void skip(thrift_reader *r, uint8_t type, bool item, int depth);

static void skip_items(thrift_reader *r, int depth)
{
    uint8_t type;
    for (size_t n = list_head(r, &type); n > 0 && !r->bad; n--) {
        skip(r, type, true, depth);
    }
}

static void skip_map(thrift_reader *r, int depth)
{
    uint64_t n = varint(r);
    if (n == 0 || r->bad) {
        return;
    }
    uint8_t types = byte(r);
    for (; n > 0 && !r->bad; n--) {
        skip(r, types >> 4, true, depth);
        skip(r, types & 15, true, depth);
    }
}

static void skip(thrift_reader *r, uint8_t type, bool item, int depth)
{
    size_t n;
    if (depth >= THRIFT_DEPTH_MAX) {
        wrong(r);
        return;
    }
    thrift_field f = {0, type};
    switch (type) {
    case THRIFT_TRUE:
    case THRIFT_FALSE:
        if (item) {
            (void)byte(r);
        }
        break;
    case THRIFT_I8:
    case THRIFT_I16:
    case THRIFT_I32:
    case THRIFT_I64:
        (void)thrift_int(r, &f);
        break;
    case THRIFT_DOUBLE:
        if (r->end - r->at < 8) {
            wrong(r);
        } else {
            r->at += 8;
        }
        break;
    case THRIFT_BINARY:
        (void)thrift_bytes(r, &f, &n);
        break;
    case THRIFT_LIST:
    case THRIFT_SET:
        skip_items(r, depth + 1);
        break;
    case THRIFT_MAP:
        skip_map(r, depth + 1);
        break;
    case THRIFT_STRUCT:
        while (thrift_next(r, &f)) {
            skip(r, f.type, false, depth + 1);
        }
        break;
    default:
        wrong(r);
        break;
    }
}

void thrift_skip(thrift_reader *r, const thrift_field *f) { skip(r, f->type, false, 0); }

bool thrift_enter(thrift_reader *r, const thrift_field *f)
{
    if (f->type == THRIFT_STRUCT) {
        return true;
    }
    thrift_skip(r, f);
    return false;
}

// Writing.
thrift_writer thrift_writer_of(fr_buf *to) { return (thrift_writer){.to = to, .depth = -1}; }

static void put_varint(thrift_writer *w, int64_t v)
{
    fr_buf_put_varint(w->to, (uint64_t)v << 1 ^ (uint64_t)(v >> 63));
}

static void put_field(thrift_writer *w, int id, uint8_t type)
{
    int *last = &w->last[w->depth], step = id - *last;
    FR_ASSERT(step > 0 && step < 16); // Parquet's fields are that dense
    fr_buf_put_u8(w->to, (uint8_t)(step << 4 | type));
    *last = id;
}

void thrift_put_int(thrift_writer *w, int id, uint8_t type, int64_t v)
{
    put_field(w, id, type);
    if (type == THRIFT_I8) {
        fr_buf_put_u8(w->to, (uint8_t)v);
    } else {
        put_varint(w, v);
    }
}

void thrift_put_bool(thrift_writer *w, int id, bool v)
{
    put_field(w, id, v ? THRIFT_TRUE : THRIFT_FALSE);
}

void thrift_put_bytes(thrift_writer *w, int id, const void *bytes, size_t n)
{
    put_field(w, id, THRIFT_BINARY);
    thrift_item_bytes(w, bytes, n);
}

void thrift_put_list(thrift_writer *w, int id, uint8_t type, size_t n)
{
    put_field(w, id, THRIFT_LIST);
    fr_buf_put_u8(w->to, (uint8_t)((n < 15 ? n : 15) << 4 | type));
    if (n >= 15) {
        fr_buf_put_varint(w->to, n);
    }
}

void thrift_item_int(thrift_writer *w, int64_t v) { put_varint(w, v); }

void thrift_item_bytes(thrift_writer *w, const void *bytes, size_t n)
{
    fr_buf_put_varint(w->to, n);
    fr_buf_put(w->to, bytes, n);
}

void thrift_begin(thrift_writer *w, int id)
{
    if (id > 0) {
        put_field(w, id, THRIFT_STRUCT);
    }
    FR_ASSERT(w->depth + 1 < THRIFT_DEPTH_MAX);
    w->last[++w->depth] = 0;
}

void thrift_end(thrift_writer *w)
{
    fr_buf_put_u8(w->to, 0);
    w->depth--;
}
