#include "core/data/flat.h"

#include "core/base/mem.h"

#include <string.h>

enum { FIRST_CAPACITY = 1024 };

void flat_init(flat_writer *w)
{
    *w = (flat_writer){.capacity = FIRST_CAPACITY, .align = 1};
    w->bytes = fr_alloc(w->capacity);
}

void flat_fini(flat_writer *w)
{
    fr_free(w->bytes);
    *w = (flat_writer){0};
}

static void push(flat_writer *w, const void *bytes, size_t n)
{
    if (w->used + n > w->capacity) {
        size_t capacity = w->capacity * 2 + n;
        uint8_t *more = fr_alloc(capacity);
        memcpy(more + capacity - w->used, w->bytes + w->capacity - w->used, w->used);
        fr_free(w->bytes);
        w->bytes = more;
        w->capacity = capacity;
    }
    w->used += n;
    if (n > 0) {
        memcpy(w->bytes + w->capacity - w->used, bytes, n);
    }
}

static void push_le(flat_writer *w, uint64_t v, size_t size)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(v >> (8 * i));
    }
    push(w, bytes, size);
}

// Zeros so that after `more` further bytes we stand at a multiple of `size`.
static void align(flat_writer *w, size_t size, size_t more)
{
    static const uint8_t zeros[64] = {0};
    w->align = FR_MAX(w->align, size);
    push(w, zeros, (size - (w->used + more) % size) % size);
}

flat_ref flat_string(flat_writer *w, const char *s, size_t n)
{
    align(w, 4, n + 1);
    push_le(w, 0, 1);
    push(w, s, n);
    push_le(w, n, 4);
    return (flat_ref)w->used;
}

flat_ref flat_refs(flat_writer *w, const flat_ref *items, size_t n)
{
    align(w, 4, n * 4);
    for (size_t i = n; i-- > 0;) {
        push_le(w, w->used + 4 - items[i], 4);
    }
    push_le(w, n, 4);
    return (flat_ref)w->used;
}

flat_ref flat_structs(flat_writer *w, const void *items, size_t size, size_t n)
{
    align(w, 4, n * size); // the count stands in front of the items, which are 8-aligned
    align(w, 8, n * size);
    push(w, items, n * size);
    push_le(w, n, 4);
    return (flat_ref)w->used;
}

void flat_table(flat_writer *w, size_t fields)
{
    FR_ASSERT(fields <= FLAT_FIELDS_MAX);
    memset(w->fields, 0, sizeof w->fields);
    w->n_fields = fields;
    w->table_start = w->used;
}

void flat_put(flat_writer *w, size_t field, uint64_t v, size_t size)
{
    align(w, size, 0);
    push_le(w, v, size);
    w->fields[field] = w->used;
}

void flat_put_ref(flat_writer *w, size_t field, flat_ref child)
{
    align(w, 4, 0);
    push_le(w, w->used + 4 - child, 4);
    w->fields[field] = w->used;
}

flat_ref flat_end(flat_writer *w)
{
    align(w, 4, 0);
    push_le(w, 0, 4); // the distance to the vtable, below
    size_t table = w->used;
    for (size_t i = w->n_fields; i-- > 0;) {
        push_le(w, w->fields[i] != 0 ? table - w->fields[i] : 0, 2);
    }
    push_le(w, table - w->table_start, 2);
    push_le(w, 4 + 2 * w->n_fields, 2);
    uint64_t distance = w->used - table;
    for (size_t i = 0; i < 4; i++) {
        w->bytes[w->capacity - table + i] = (uint8_t)(distance >> (8 * i));
    }
    return (flat_ref)table;
}

const uint8_t *flat_finish(flat_writer *w, flat_ref root, size_t *n)
{
    align(w, w->align, 4);
    push_le(w, w->used + 4 - root, 4);
    *n = w->used;
    return w->bytes + w->capacity - w->used;
}

// Reading.
static bool inside(flat_reader *r, size_t at, size_t n)
{
    bool good = at <= r->n && n <= r->n - at;
    r->bad = r->bad || !good;
    return good;
}

uint64_t flat_at(flat_reader *r, size_t at, size_t size)
{
    uint64_t v = 0;
    if (!inside(r, at, size)) {
        return 0;
    }
    for (size_t i = size; i-- > 0;) {
        v = v << 8 | r->bytes[at + i];
    }
    return v;
}

static size_t follow(flat_reader *r, size_t at)
{
    uint64_t distance = flat_at(r, at, 4);
    if (distance == 0 || at + distance >= r->n) {
        r->bad = true;
        return 0;
    }
    return at + (size_t)distance;
}

size_t flat_root(flat_reader *r) { return follow(r, 0); }

size_t flat_field(flat_reader *r, size_t table, size_t field, size_t size)
{
    if (table == 0) {
        return 0;
    }
    int32_t back = (int32_t)(uint32_t)flat_at(r, table, 4);
    int64_t vtable = (int64_t)table - back;
    if (vtable < 0 || vtable > (int64_t)r->n - 4) {
        r->bad = true;
        return 0;
    }
    size_t bytes = (size_t)flat_at(r, (size_t)vtable, 2);
    size_t entry = 4 + 2 * field;
    if (entry + 2 > bytes) {
        return 0; // written by an older version: absent
    }
    size_t offset = (size_t)flat_at(r, (size_t)vtable + entry, 2);
    if (offset == 0 || !inside(r, table + offset, size)) {
        return 0;
    }
    return table + offset;
}

uint64_t flat_get(flat_reader *r, size_t table, size_t field, size_t size, uint64_t standard)
{
    size_t at = flat_field(r, table, field, size);
    return at == 0 ? standard : flat_at(r, at, size);
}

size_t flat_child(flat_reader *r, size_t table, size_t field)
{
    size_t at = flat_field(r, table, field, 4);
    return at == 0 ? 0 : follow(r, at);
}

const char *flat_text(flat_reader *r, size_t table, size_t field, size_t *n)
{
    size_t at = flat_child(r, table, field);
    *n = 0;
    if (at == 0) {
        return NULL;
    }
    size_t size = (size_t)flat_at(r, at, 4);
    if (!inside(r, at + 4, size)) {
        return NULL;
    }
    *n = size;
    return (const char *)r->bytes + at + 4;
}

size_t flat_vector(flat_reader *r, size_t table, size_t field, size_t size, size_t *n)
{
    size_t at = flat_child(r, table, field);
    *n = 0;
    if (at == 0) {
        return 0;
    }
    size_t count = (size_t)flat_at(r, at, 4);
    if (!inside(r, at + 4, 0) || count > (r->n - at - 4) / size) {
        r->bad = true;
        return 0;
    }
    *n = count;
    return at + 4;
}

size_t flat_item(flat_reader *r, size_t vector, size_t i) { return follow(r, vector + 4 * i); }
