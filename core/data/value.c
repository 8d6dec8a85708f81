#include "core/data/value.h"

#include "core/base/mem.h"

#include <string.h>

static const uint64_t ONE_NAN = 0x7ff8000000000000ULL;

static uint64_t zigzag(int64_t v)
{
    return ((uint64_t)v << 1) ^ (v < 0 ? UINT64_MAX : 0);
}

static int64_t unzigzag(uint64_t v) { return (int64_t)((v >> 1) ^ (0 - (v & 1))); }

// --- writing ---

void fr_value_put_nil(fr_buf *b) { fr_buf_put_u8(b, FR_NIL); }

void fr_value_put_null(fr_buf *b) { fr_buf_put_u8(b, FR_NULL); }

void fr_value_put_bool(fr_buf *b, bool v) { fr_buf_put_u8(b, v ? FR_TRUE : FR_FALSE); }

void fr_value_put_int(fr_buf *b, int64_t v)
{
    fr_buf_put_u8(b, FR_INT);
    fr_buf_put_varint(b, zigzag(v));
}

void fr_value_put_double(fr_buf *b, double v)
{
    uint64_t bits = ONE_NAN;
    if (v == v) {
        memcpy(&bits, &v, sizeof bits);
    }
    fr_buf_put_u8(b, FR_DOUBLE);
    fr_buf_put_u64(b, bits);
}

void fr_value_put_string(fr_buf *b, const char *s, size_t n)
{
    fr_buf_put_u8(b, FR_STRING);
    fr_buf_put_varint(b, n);
    fr_buf_put(b, s, n);
}

// --- walking ---

static bool damaged(fr_reader *r)
{
    r->failed = true;
    return false;
}

static bool next_double(fr_reader *r, fr_item *out)
{
    uint64_t bits = fr_read_u64(r);
    memcpy(&out->number, &bits, sizeof bits);
    if (out->number != out->number && bits != ONE_NAN) {
        return damaged(r);
    }
    return !r->failed;
}

bool fr_value_next(fr_reader *r, fr_item *out)
{
    *out = (fr_item){.tag = FR_NIL};
    if (r->failed || r->at == r->end) {
        return false;
    }
    uint8_t tag = fr_read_u8(r);
    const uint8_t *hash = NULL;
    out->tag = (fr_tag)tag;
    switch (tag) {
    case FR_NIL:
    case FR_FALSE:
    case FR_TRUE:
    case FR_NULL:
        return true;
    case FR_INT:
        out->integer = unzigzag(fr_read_varint(r));
        return !r->failed;
    case FR_DOUBLE:
        return next_double(r, out);
    case FR_STRING:
        out->n = fr_read_varint(r);
        out->text = (const char *)fr_read_bytes(r, out->n);
        return !r->failed;
    case FR_TABLE: // each item takes a byte at least
        out->n = fr_read_varint(r);
        return out->n <= (size_t)(r->end - r->at) && !r->failed ? true : damaged(r);
    case FR_REF:
        out->kind = fr_read_u8(r);
        hash = fr_read_bytes(r, 16);
        out->n = fr_read_varint(r);
        if (hash != NULL) {
            out->hash = fr_hash_load(hash);
        }
        return !r->failed;
    case FR_HANDLE:
        out->n = fr_read_varint(r);
        return !r->failed;
    default:
        return damaged(r);
    }
}

static uint64_t next_pairs(fr_reader *r)
{
    uint64_t m = fr_read_varint(r);
    if (m > (uint64_t)(r->end - r->at) / 2) { // a key and its value: two bytes at least
        r->failed = true;
    }
    return r->failed ? 0 : m;
}

// What a walk over a whole value tells: each object, and how many dependencies there are.
typedef struct visit {
    fr_value_ref_fn fn; // or NULL
    void *ctx;
    size_t handles;
} visit;

static bool walk(fr_reader *r, visit *v, int depth)
{
    fr_item item;
    if (!fr_value_next(r, &item) || (item.tag == FR_TABLE && depth >= FR_VALUE_DEPTH)) {
        return damaged(r);
    }
    if (item.tag == FR_REF && v->fn != NULL) {
        v->fn(v->ctx, item.kind, item.hash);
    } else if (item.tag == FR_HANDLE && item.n >= v->handles) {
        v->handles = item.n + 1;
    }
    if (item.tag != FR_TABLE) {
        return true;
    }
    for (size_t i = 0; i < item.n; i++) {
        if (!walk(r, v, depth + 1)) {
            return false;
        }
    }
    for (uint64_t m = next_pairs(r); m > 0; m--) {
        if (!walk(r, v, depth + 1) || !walk(r, v, depth + 1)) {
            return false;
        }
    }
    return !r->failed;
}

bool fr_value_skip(fr_reader *r)
{
    visit none = {0};
    return walk(r, &none, 0);
}

// --- making ---

static fr_value *make(const void *bytes, size_t size, fr_object *const *objects,
                      uint32_t n)
{
    const size_t align = sizeof(fr_object *);
    size_t head = (sizeof(fr_value) + size + align - 1) / align * align;
    fr_value *v = fr_try_alloc(head + n * sizeof *v->object);
    if (v == NULL) {
        return NULL;
    }
    atomic_init(&v->refs, 1);
    v->objects = n;
    v->handles = 0;
    v->size = size;
    v->object = (fr_object **)(void *)((char *)v + head);
    memcpy(v->bytes, bytes, size);
    for (uint32_t i = 0; i < n; i++) {
        v->object[i] = fr_object_ref(objects[i]);
    }
    v->hash = fr_hash_bytes(v->bytes, size); // object references carry their content hash
    return v;
}

fr_value *fr_value_new_counted(const void *bytes, size_t size, fr_object *const *objects,
                               uint32_t n, uint32_t handles)
{
    FR_ASSERT(size > 0);
    fr_value *v = make(bytes, size, objects, n);
    FR_ASSERT(v != NULL);
    v->handles = handles;
    return v;
}

fr_value *fr_value_new(const void *bytes, size_t size, fr_object *const *objects,
                       uint32_t n)
{
    visit seen = {0};
    if (memchr(bytes, FR_HANDLE, size) != NULL) {
        fr_reader r = fr_reader_of(bytes, size);
        FR_ASSERT(walk(&r, &seen, 0));
    }
    return fr_value_new_counted(bytes, size, objects, n, (uint32_t)seen.handles);
}

fr_value *fr_value_ref(const fr_value *v)
{
    fr_value *mine = (fr_value *)(uintptr_t)v; // const means shared, not unowned
    (void)atomic_fetch_add_explicit(&mine->refs, 1, memory_order_relaxed);
    return mine;
}

void fr_value_unref(const fr_value *v)
{
    if (v == NULL) {
        return;
    }
    fr_value *mine = (fr_value *)(uintptr_t)v;
    if (atomic_fetch_sub_explicit(&mine->refs, 1, memory_order_acq_rel) == 1) {
        for (uint32_t i = 0; i < mine->objects; i++) {
            fr_object_unref(mine->object[i]);
        }
        fr_free(mine);
    }
}

static fr_value *take_buf(fr_buf *b)
{
    FR_ASSERT(!b->failed);
    fr_value *v = fr_value_new(b->data, b->size, NULL, 0);
    fr_buf_fini(b);
    return v;
}

fr_value *fr_value_nil(void)
{
    const uint8_t nil = FR_NIL;
    return fr_value_new(&nil, 1, NULL, 0);
}

fr_value *fr_value_int(int64_t i)
{
    fr_buf b;
    fr_buf_init(&b, 64);
    fr_value_put_int(&b, i);
    return take_buf(&b);
}

fr_value *fr_value_text(const char *s, size_t n)
{
    fr_buf b;
    fr_buf_init(&b, n + 64);
    fr_value_put_string(&b, s, n);
    return take_buf(&b);
}

fr_hash fr_value_hash_with(const fr_value *v, const fr_hash *deps)
{
    fr_hash h = v->hash;
    for (uint32_t i = 0; i < v->handles; i++) {
        h = fr_hash_pair(h, deps[i]);
    }
    return h;
}

// --- parsing hostile bytes ---

typedef struct parser {
    fr_reader r;
    const uint8_t *start;
    fr_object *const *objects;
    uint32_t n, seen, handles;
    fr_err *err;
} parser;

static int bad(const parser *p, const uint8_t *at, const char *what)
{
    return fr_fail(p->err, FR_ECORRUPT, "packed value: %s at byte %zu", what,
                   (size_t)(at - p->start));
}

// -1, 0, 1 by the order of keys; an equal key is a duplicate.
static int compare_keys(const fr_item *a, const fr_item *b)
{
    static const int rank[] = {
        [FR_INT] = 0, [FR_DOUBLE] = 1, [FR_STRING] = 2, [FR_FALSE] = 3, [FR_TRUE] = 4};
    if (a->tag != b->tag) {
        return rank[a->tag] < rank[b->tag] ? -1 : 1;
    }
    if (a->tag == FR_INT) {
        return (a->integer > b->integer) - (a->integer < b->integer);
    }
    if (a->tag == FR_DOUBLE) {
        return (a->number > b->number) - (a->number < b->number);
    }
    if (a->tag != FR_STRING) {
        return 0;
    }
    size_t common = FR_MIN(a->n, b->n);
    int c = common > 0 ? memcmp(a->text, b->text, common) : 0;
    return c != 0 ? c : (a->n > b->n) - (a->n < b->n);
}

static bool whole_number(double x)
{
    return x >= -0x1p63 && x < 0x1p63 && (double)(int64_t)x == x;
}

static const char *key_fault(const fr_item *key, const fr_item *last, size_t array)
{
    bool scalar = key->tag == FR_INT || key->tag == FR_DOUBLE || key->tag == FR_STRING ||
                  key->tag == FR_FALSE || key->tag == FR_TRUE;
    if (!scalar) {
        return "a key is neither number, string nor boolean";
    }
    if (key->tag == FR_DOUBLE &&
        (key->number != key->number || whole_number(key->number))) {
        return "a double key is NaN or a whole number";
    }
    if (key->tag == FR_INT && key->integer >= 1 &&
        (uint64_t)key->integer <= (uint64_t)array + 1) {
        return "a key belongs into the array part";
    }
    if (last != NULL && compare_keys(last, key) >= 0) {
        return "keys are not in order";
    }
    return NULL;
}

static int check_ref(parser *p, const fr_item *item, const uint8_t *at)
{
    if (item->n > p->seen || item->n >= p->n) {
        return bad(p, at, "an object index is out of order");
    }
    const fr_object *o = p->objects[item->n];
    if (o->ops->kind != item->kind || !fr_hash_eq(o->ops->hash(o), item->hash)) {
        return bad(p, at, "an object is not the one that is named");
    }
    p->seen += item->n == p->seen;
    return FR_OK;
}

static int check(parser *p, int depth);

static int check_pairs(parser *p, size_t array, int depth)
{
    fr_item key, last;
    uint64_t m = next_pairs(&p->r);
    if (p->r.failed) {
        return bad(p, p->r.at, "a count of pairs is wrong");
    }
    for (uint64_t i = 0; i < m; i++) {
        const uint8_t *at = p->r.at;
        if (!fr_value_next(&p->r, &key)) {
            return bad(p, at, "a key is damaged");
        }
        const char *fault = key_fault(&key, i > 0 ? &last : NULL, array);
        if (fault != NULL) {
            return bad(p, at, fault);
        }
        last = key;
        if (p->r.at < p->r.end && *p->r.at == FR_NIL) {
            return bad(p, p->r.at, "a nil inside a table");
        }
        int rc = check(p, depth + 1);
        if (rc != FR_OK) {
            return rc;
        }
    }
    return FR_OK;
}

static int check_table(parser *p, size_t array, int depth)
{
    if (depth >= FR_VALUE_DEPTH) {
        return bad(p, p->r.at, "tables are nested too deep");
    }
    for (size_t i = 0; i < array; i++) {
        if (depth > 0 && p->r.at < p->r.end && *p->r.at == FR_NIL) {
            return bad(p, p->r.at, "a nil inside a table");
        }
        int rc = check(p, depth + 1);
        if (rc != FR_OK) {
            return rc;
        }
    }
    return check_pairs(p, array, depth);
}

static int check(parser *p, int depth)
{
    const uint8_t *at = p->r.at;
    fr_item item;
    if (!fr_value_next(&p->r, &item)) {
        return bad(p, at, "unknown tag, wrong number or too few bytes");
    }
    if (item.tag == FR_TABLE) {
        return check_table(p, item.n, depth);
    }
    if (item.tag == FR_REF) {
        return check_ref(p, &item, at);
    }
    if (item.tag == FR_HANDLE) {
        if (item.n > p->handles) {
            return bad(p, at, "a handle index is out of order");
        }
        p->handles += item.n == p->handles;
    }
    return FR_OK;
}

int fr_value_parse(const void *bytes, size_t size, fr_object *const *objects, uint32_t n,
                   fr_value **out, fr_err *err)
{
    *out = NULL;
    if (size > FR_VALUE_MAX) {
        return fr_fail(err, FR_ELIMIT, "packed value: %zu bytes, at most %d are allowed",
                       size, FR_VALUE_MAX);
    }
    parser p = {.r = fr_reader_of(bytes, size),
                .start = bytes,
                .objects = objects,
                .n = n,
                .err = err};
    int rc = check(&p, 0);
    if (rc != FR_OK) {
        return rc;
    }
    if (p.r.at != p.r.end) {
        return bad(&p, p.r.at, "more bytes than the value");
    }
    if (p.seen != n) {
        return bad(&p, p.r.at, "objects are given that it does not mention");
    }
    fr_value *v = make(bytes, size, objects, n);
    if (v == NULL) {
        return fr_fail(err, FR_ENOMEM, "no memory for a value of %zu bytes", size);
    }
    v->handles = p.handles;
    *out = v;
    return FR_OK;
}

int fr_value_scan_refs(const void *bytes, size_t size, fr_value_ref_fn fn, void *ctx,
                       fr_err *err)
{
    fr_reader r = fr_reader_of(bytes, size);
    visit v = {.fn = fn, .ctx = ctx};
    if (!walk(&r, &v, 0) || r.at != r.end) {
        return fr_fail(err, FR_ECORRUPT, "packed value: damaged at byte %zu",
                       (size_t)(r.at - (const uint8_t *)bytes));
    }
    return FR_OK;
}
