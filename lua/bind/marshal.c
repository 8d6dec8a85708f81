#include "lua/bind/marshal.h"

#include "core/base/mem.h"
#include "lua/bind/bind.h"
#include "lua/bind/object_box.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FEW = 16 }; // references found by looking at each; above by map

// A pair of a table in m->out: where its key, value and end are; what it sorts by.
typedef struct marshal_entry {
    int rank; // 0 integer, 1 double, 2 string, 3 false, 4 true
    int64_t integer;
    double number;
    const char *text; // held by the Lua table
    size_t n;
    size_t key, value, end;
} marshal_entry;

// One table (or the list of arguments) on the way down, for cycles and paths.
typedef struct level {
    const struct level *up;
    const void *table;
    marshal_entry at; // the key being packed; rank -1 = argument number
} level;

typedef struct packer {
    lua_State *L;
    marshal *m;
    const char *what;
    fr_err *err;
} packer;

void marshal_init(marshal *m, size_t max_bytes)
{
    *m = (marshal){0};
    fr_buf_init(&m->out, max_bytes);
    fr_buf_init(&m->scratch, max_bytes);
    fr_map_init(&m->seen);
}

void marshal_clear(marshal *m)
{
    for (uint32_t i = 0; i < m->objects; i++) {
        fr_object_unref(m->object[i]);
    }
    if (m->seen.count > 0) {
        fr_map_fini(&m->seen);
        fr_map_init(&m->seen);
    }
    m->objects = m->deps = 0;
    m->entries = 0;
    fr_buf_clear(&m->out);
}

void marshal_fini(marshal *m)
{
    marshal_clear(m);
    fr_buf_fini(&m->out);
    fr_buf_fini(&m->scratch);
    fr_map_fini(&m->seen);
    fr_free(m->object);
    fr_free(m->dep);
    fr_free(m->entry);
    *m = (marshal){0};
}

// --- messages ---

static void put_step(fr_buf *b, const marshal_entry *at, const char *what)
{
    bool word = at->rank == 2 && at->n > 0 && at->n < 60 &&
                !(at->text[0] >= '0' && at->text[0] <= '9');
    for (size_t i = 0; word && i < at->n; i++) {
        char c = at->text[i];
        word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               (c >= '0' && c <= '9') || c == '_';
    }
    switch (at->rank) {
    case -1:
        fr_buf_printf(b, "%s %lld", what, (long long)at->integer);
        break;
    case 0:
        fr_buf_printf(b, "[%lld]", (long long)at->integer);
        break;
    case 1:
        fr_buf_printf(b, "[%.17g]", at->number);
        break;
    case 2:
        if (word) {
            fr_buf_printf(b, ".%.*s", (int)at->n, at->text);
        } else {
            fr_buf_printf(b, "[\"%.*s\"]", (int)FR_MIN(at->n, (size_t)60), at->text);
        }
        break;
    default:
        fr_buf_put_str(b, at->rank == 3 ? "[false]" : "[true]");
        break;
    }
}

// The path to the value below `l`: "argument 2 .rows[3].cb". `stop` ends it early.
static void put_path(fr_buf *b, const packer *p, const level *l, const level *stop)
{
    if (l == stop || l == NULL) {
        if (l == NULL) {
            fr_buf_put_str(b, p->what);
        }
        return;
    }
    if (l->at.rank == -1) {
        put_step(b, &l->at, p->what);
        return;
    }
    put_path(b, p, l->up, stop);
    if (l->up == NULL || l->up->at.rank == -1) {
        fr_buf_put_str(b, " ");
    }
    put_step(b, &l->at, p->what);
}

// Fails with "<path> <says>"; a long path keeps its end, which tells most.
static int refuse(const packer *p, const level *l, int code, const char *says)
{
    enum { LONGEST = 110 };
    fr_buf b;
    fr_buf_init(&b, 1 << 16);
    put_path(&b, p, l, NULL);
    const char *path = fr_buf_text(&b);
    const char *cut = b.size > LONGEST ? "..." : "";
    const char *tail = b.size > LONGEST ? path + b.size - LONGEST : path;
    int rc = fr_fail(p->err, code, "%s%s %s", cut, tail, says);
    fr_buf_fini(&b);
    return rc;
}

static int refuse_kind(const packer *p, const level *l, int idx)
{
    static const char can[] = "what can pass: nil, booleans, numbers, strings, tables of "
                              "those, frames, models, files";
    char says[FR_ERR_MAX];
    const char *name = lua_typename(p->L, lua_type(p->L, idx));
    const char *hint = can;
    if (lua_type(p->L, idx) == LUA_TFUNCTION) {
        hint = "pass the data it needs, and name or require the function in the task";
    } else if (lua_type(p->L, idx) == LUA_TUSERDATA && lua_getmetatable(p->L, idx)) {
        lua_pushliteral(p->L, "__name");
        lua_rawget(p->L, -2);
        name = lua_type(p->L, -1) == LUA_TSTRING ? lua_tostring(p->L, -1) : name;
        hint = strcmp(name, LUA_FILEHANDLE) == 0 ? "pass the file's path" : can;
        (void)snprintf(says, sizeof says, "is a userdata (%s); %s", name, hint);
        lua_pop(p->L, 2);
        return refuse(p, l, FR_ETYPE, says);
    }
    (void)snprintf(says, sizeof says, "is a %s; %s", name, hint);
    return refuse(p, l, FR_ETYPE, says);
}

// --- packing ---

static inline uint8_t *room(fr_buf *b, size_t n)
{
    if (FR_LIKELY(b->capacity - b->size >= n)) {
        return b->data + b->size;
    }
    if (b->failed || fr_buf_reserve(b, n, NULL) != FR_OK) {
        b->failed = true;
        return NULL;
    }
    return b->data + b->size;
}

static inline uint8_t *write_varint(uint8_t *p, uint64_t v)
{
    while (v >= 128) {
        *p++ = (uint8_t)(v | 128);
        v >>= 7;
    }
    *p++ = (uint8_t)v;
    return p;
}

static inline size_t varint_size(uint64_t v)
{
    size_t n = 1;
    for (; v >= 128; v >>= 7) {
        n++;
    }
    return n;
}

static inline void put_integer(fr_buf *b, int64_t v)
{
    uint8_t *p = room(b, 11);
    if (FR_LIKELY(p != NULL)) {
        p[0] = FR_INT;
        p = write_varint(p + 1, ((uint64_t)v << 1) ^ (v < 0 ? UINT64_MAX : 0));
        b->size = (size_t)(p - b->data);
    }
}

static inline void put_text(fr_buf *b, const char *s, size_t n)
{
    uint8_t *p = room(b, n + 11);
    if (FR_LIKELY(p != NULL)) {
        p[0] = FR_STRING;
        p = write_varint(p + 1, n);
        memcpy(p, s, n);
        b->size = (size_t)(p - b->data) + n;
    }
}

static inline void put_tag(fr_buf *b, fr_tag tag)
{
    uint8_t *p = room(b, 1);
    if (FR_LIKELY(p != NULL)) {
        *p = (uint8_t)tag;
        b->size++;
    }
}

// Moves the bytes from `at` on by `by` places and fills the gap with a varint of that
// size.
static void insert_varint(fr_buf *b, size_t at, size_t old, uint64_t v)
{
    size_t want = varint_size(v);
    if (want > old && room(b, want - old) == NULL) {
        return;
    }
    if (want != old) {
        memmove(b->data + at + want, b->data + at + old, b->size - at - old);
        b->size = b->size + want - old;
    }
    (void)write_varint(b->data + at, v);
}

static int compare_entries(const void *left, const void *right)
{
    const marshal_entry *a = left, *b = right;
    if (a->rank != b->rank) {
        return a->rank - b->rank;
    }
    if (a->rank == 0) {
        return (a->integer > b->integer) - (a->integer < b->integer);
    }
    if (a->rank == 1) {
        return (a->number > b->number) - (a->number < b->number);
    }
    if (a->rank != 2) {
        return 0;
    }
    int c = memcmp(a->text, b->text, FR_MIN(a->n, b->n));
    return c != 0 ? c : (a->n > b->n) - (a->n < b->n);
}

static void sort_entries(marshal_entry *e, size_t n)
{
    if (n > FEW) {
        qsort(e, n, sizeof *e, compare_entries);
        return;
    }
    for (size_t i = 1; i < n; i++) {
        marshal_entry x = e[i];
        size_t j = i;
        for (; j > 0 && compare_entries(&e[j - 1], &x) > 0; j--) {
            e[j] = e[j - 1];
        }
        e[j] = x;
    }
}

static marshal_entry *new_entry(marshal *m)
{
    if (m->entries == m->entry_room) {
        m->entry_room = m->entry_room * 2 + 32;
        m->entry = fr_realloc(m->entry, m->entry_room * sizeof *m->entry);
    }
    return &m->entry[m->entries++];
}

// The key at the top but one; false when such a key cannot cross.
static inline bool read_key(lua_State *L, marshal_entry *key)
{
    switch (lua_type(L, -2)) {
    case LUA_TSTRING:
        key->rank = 2;
        key->text = lua_tolstring(L, -2, &key->n);
        return true;
    case LUA_TNUMBER:
        key->rank = lua_isinteger(L, -2) ? 0 : 1;
        key->integer = key->rank == 0 ? lua_tointeger(L, -2) : 0;
        key->number = key->rank == 1 ? lua_tonumber(L, -2) : 0;
        return true;
    case LUA_TBOOLEAN:
        key->rank = lua_toboolean(L, -2) ? 4 : 3;
        return true;
    default:
        return false;
    }
}

static void put_key(fr_buf *b, const marshal_entry *key)
{
    switch (key->rank) {
    case 0:
        put_integer(b, key->integer);
        break;
    case 1:
        fr_value_put_double(b, key->number);
        break;
    case 2:
        put_text(b, key->text, key->n);
        break;
    default:
        put_tag(b, key->rank == 3 ? FR_FALSE : FR_TRUE);
        break;
    }
}

static int pack(packer *p, int idx, const level *up, int depth);

// Writes the pairs collected since `base` in order behind the array part of `n` values at
// `start`; integer keys that continue the array join it.
static void finish_pairs(packer *p, size_t start, size_t pairs, size_t n, size_t old,
                         size_t base)
{
    marshal *m = p->m;
    marshal_entry *e = m->entry + base;
    size_t count = m->entries - base, first = 0, bytes = m->out.size - pairs;
    sort_entries(e, count);
    while (first < count && e[first].rank == 0 && e[first].integer <= (int64_t)n) {
        first++;
    }
    size_t last = first; // [first, last) joins the array
    while (last < count && e[last].rank == 0 && e[last].integer == (int64_t)(n + 1)) {
        n++;
        last++;
    }
    fr_buf_clear(&m->scratch);
    fr_buf_put(&m->scratch, m->out.data + pairs, bytes);
    if (m->scratch.failed || room(&m->out, 20) == NULL) {
        m->out.failed = true;
        return;
    }
    const uint8_t *from = m->scratch.data;
    m->out.size = pairs;
    for (size_t i = first; i < last; i++) {
        fr_buf_put(&m->out, from + (e[i].value - pairs), e[i].end - e[i].value);
    }
    fr_buf_put_varint(&m->out, count - (last - first));
    for (size_t i = 0; i < count; i++) {
        if (i < first || i >= last) {
            fr_buf_put(&m->out, from + (e[i].key - pairs), e[i].end - e[i].key);
        }
    }
    insert_varint(&m->out, start + 1, old, n);
    m->entries = base;
}

// Packs the pairs of the table at idx (absolute). One pass with lua_next: keys 1, 2, 3,
// ... that come in turn are the array part, all others are collected and sorted.
static int pack_pairs(packer *p, int idx, level *here, int depth)
{
    lua_State *L = p->L;
    marshal *m = p->m;
    size_t start = m->out.size, base = m->entries, pairs = 0, n = 0;
    size_t old = varint_size(lua_rawlen(L, idx));
    put_tag(&m->out, FR_TABLE);
    if (room(&m->out, old) == NULL) {
        return FR_ELIMIT;
    }
    m->out.size += old;
    for (lua_pushnil(L); lua_next(L, idx) != 0; lua_pop(L, 1)) {
        marshal_entry *at = &here->at;
        if (!read_key(L, at)) {
            char says[FR_ERR_MAX];
            (void)snprintf(
                says, sizeof says,
                "has a key that is a %s; keys are numbers, strings or booleans",
                luaL_typename(L, -2));
            lua_pop(L, 2);
            return refuse(p, here->up, FR_ETYPE, says);
        }
        bool in_turn =
            m->entries == base && at->rank == 0 && at->integer == (int64_t)(n + 1);
        size_t key = m->out.size, value = key;
        if (!in_turn) {
            pairs = m->entries == base ? key : pairs;
            put_key(&m->out, at);
            value = m->out.size;
        }
        size_t mine = m->entries;
        if (!in_turn) {
            *new_entry(m) = *at;
        }
        int rc = pack(p, lua_gettop(L), here, depth + 1);
        if (rc != FR_OK) {
            lua_pop(L, 2);
            return rc;
        }
        if (in_turn) {
            n++;
        } else {
            m->entry[mine].key = key;
            m->entry[mine].value = value;
            m->entry[mine].end = m->out.size;
        }
    }
    if (m->entries > base) {
        finish_pairs(p, start, pairs, n, old, base);
    } else {
        insert_varint(&m->out, start + 1, old, n);
        fr_buf_put_u8(&m->out, 0);
    }
    return m->out.failed ? FR_ELIMIT : FR_OK;
}

static int refuse_cycle(const packer *p, const level *up, const level *same)
{
    fr_buf b;
    fr_buf_init(&b, 1 << 16);
    fr_buf_put_str(&b, "is the same table as ");
    put_path(&b, p, same->up, NULL);
    fr_buf_put_str(&b, ", which contains it; a cycle cannot pass");
    int rc = refuse(p, up, FR_ETYPE, fr_buf_text(&b));
    fr_buf_fini(&b);
    return rc;
}

// --- objects and handles ---

static bool find_seen(marshal *m, fr_hash key, uint32_t count, uint32_t *index)
{
    if (count <= FEW) {
        return false;
    }
    uint64_t *at = fr_map_find(&m->seen, key);
    *index = at != NULL ? (uint32_t)*at : 0;
    return at != NULL;
}

static fr_hash dep_key(uint64_t id) { return fr_hash_mix((fr_hash){.lo = 1}, id); }

static uint32_t dep_index(marshal *m, uint64_t id)
{
    uint32_t index;
    if (find_seen(m, dep_key(id), m->deps, &index)) {
        return index;
    }
    for (uint32_t i = 0; i < m->deps && m->deps <= FEW; i++) {
        if (m->dep[i] == id) {
            return i;
        }
    }
    if (m->deps == m->dep_room) {
        m->dep_room = m->dep_room * 2 + 4;
        m->dep = fr_realloc(m->dep, m->dep_room * sizeof *m->dep);
    }
    m->dep[m->deps++] = id;
    for (uint32_t i = m->deps == FEW + 1 ? 0 : m->deps - 1; m->deps > FEW && i < m->deps;
         i++) {
        bool fresh;
        *fr_map_put(&m->seen, dep_key(m->dep[i]), &fresh) = i;
    }
    return m->deps - 1;
}

static fr_hash object_key(const fr_object *o)
{
    return fr_hash_mix(o->ops->hash(o), o->ops->kind);
}

static uint32_t object_index(marshal *m, fr_object *o, fr_hash hash)
{
    uint32_t index;
    if (find_seen(m, fr_hash_mix(hash, o->ops->kind), m->objects, &index)) {
        return index;
    }
    for (uint32_t i = 0; i < m->objects && m->objects <= FEW; i++) {
        const fr_object *other = m->object[i];
        if (other == o || (other->ops->kind == o->ops->kind &&
                           fr_hash_eq(other->ops->hash(other), hash))) {
            return i;
        }
    }
    if (m->objects == m->object_room) {
        m->object_room = m->object_room * 2 + 4;
        m->object = fr_realloc(m->object, m->object_room * sizeof *m->object);
    }
    m->object[m->objects++] = fr_object_compact(o);
    for (uint32_t i = m->objects == FEW + 1 ? 0 : m->objects - 1;
         m->objects > FEW && i < m->objects; i++) {
        bool fresh;
        *fr_map_put(&m->seen, object_key(m->object[i]), &fresh) = i;
    }
    return m->objects - 1;
}

static void put_object(marshal *m, fr_object *o)
{
    uint8_t hash[16];
    fr_hash content = o->ops->hash(o);
    fr_hash_store(content, hash);
    put_tag(&m->out, FR_REF);
    fr_buf_put_u8(&m->out, o->ops->kind);
    fr_buf_put(&m->out, hash, sizeof hash);
    fr_buf_put_varint(&m->out, object_index(m, o, content));
}

static bool put_handle(packer *p, int idx)
{
    uint64_t id;
    if (p->m->handle == NULL || !p->m->handle(p->m->ctx, p->L, idx, &id)) {
        return false;
    }
    put_tag(&p->m->out, FR_HANDLE);
    fr_buf_put_varint(&p->m->out, dep_index(p->m, id));
    return true;
}

static int pack_userdata(packer *p, int idx, const level *up)
{
    fr_object *o = bind_object_test(p->L, idx);
    if (o != NULL) {
        put_object(p->m, o);
        return FR_OK;
    }
    if (put_handle(p, idx)) {
        return FR_OK;
    }
    return refuse_kind(p, up, idx);
}

// A table with a metatable: an error packs as a plain table, a handle as one, others
// would lose what makes them what they are.
static int pack_classed(packer *p, int idx, const level *up, bool *done)
{
    *done = put_handle(p, idx);
    if (*done) {
        return FR_OK;
    }
    (void)lua_getmetatable(p->L, idx);
    lua_pushliteral(p->L, "__name");
    lua_rawget(p->L, -2);
    const char *name = lua_type(p->L, -1) == LUA_TSTRING ? lua_tostring(p->L, -1) : "";
    bool plain = strcmp(name, BIND_ERROR) == 0;
    int rc = FR_OK;
    if (!plain) {
        char says[FR_ERR_MAX];
        (void)snprintf(says, sizeof says,
                       "is a table with a metatable%s%.40s%s; pass plain data",
                       *name != '\0' ? " (" : "", name, *name != '\0' ? ")" : "");
        rc = refuse(p, up, FR_ETYPE, says);
    }
    lua_pop(p->L, 2);
    return rc;
}

static int pack_table(packer *p, int idx, const level *up, int depth)
{
    level here = {.up = up, .table = lua_topointer(p->L, idx)};
    for (const level *l = up; l != NULL; l = l->up) {
        if (l->table == here.table) {
            return refuse_cycle(p, up, l);
        }
    }
    if (depth >= FR_VALUE_DEPTH) {
        return refuse(p, up, FR_ELIMIT, "is nested deeper than 100 tables");
    }
    if (!lua_checkstack(p->L, 6)) {
        return fr_fail(p->err, FR_ENOMEM, "no memory to pack a table");
    }
    if (lua_getmetatable(p->L, idx)) {
        bool done;
        lua_pop(p->L, 1);
        int rc = pack_classed(p, idx, up, &done);
        if (rc != FR_OK || done) {
            return rc;
        }
    }
    return pack_pairs(p, idx, &here, depth);
}

// idx is absolute. `up` is the table (or argument list) that holds the value, or NULL.
static int pack(packer *p, int idx, const level *up, int depth)
{
    lua_State *L = p->L;
    fr_buf *b = &p->m->out;
    size_t n;
    const char *s;
    switch (lua_type(L, idx)) {
    case LUA_TNIL:
        put_tag(b, FR_NIL);
        break;
    case LUA_TBOOLEAN:
        put_tag(b, lua_toboolean(L, idx) ? FR_TRUE : FR_FALSE);
        break;
    case LUA_TNUMBER:
        if (lua_isinteger(L, idx)) {
            put_integer(b, lua_tointeger(L, idx));
        } else {
            fr_value_put_double(b, lua_tonumber(L, idx));
        }
        break;
    case LUA_TSTRING:
        s = lua_tolstring(L, idx, &n);
        put_text(b, s, n);
        break;
    case LUA_TTABLE:
        return pack_table(p, idx, up, depth);
    case LUA_TUSERDATA:
        return pack_userdata(p, idx, up);
    case LUA_TLIGHTUSERDATA:
        if (lua_touserdata(L, idx) == NULL) {
            put_tag(b, FR_NULL);
            break;
        }
        return refuse_kind(p, up, idx);
    default:
        return refuse_kind(p, up, idx);
    }
    return b->failed ? FR_ELIMIT : FR_OK;
}

// --- the whole value ---

typedef struct renumber {
    fr_reader r;
    marshal *m;
    uint32_t *object, *dep; // new index of each old one, UINT32_MAX = none yet
    uint32_t objects, deps;
} renumber;

static void renumber_item(renumber *x)
{
    const uint8_t *from = x->r.at;
    fr_buf *b = &x->m->scratch;
    fr_item item;
    FR_ASSERT(fr_value_next(&x->r, &item));
    if (item.tag != FR_REF && item.tag != FR_HANDLE) {
        fr_buf_put(b, from, (size_t)(x->r.at - from));
    }
    if (item.tag == FR_REF) {
        uint32_t *to = &x->object[item.n];
        *to = *to == UINT32_MAX ? x->objects++ : *to;
        fr_buf_put(b, from, 18); // tag, kind, hash
        fr_buf_put_varint(b, *to);
    } else if (item.tag == FR_HANDLE) {
        uint32_t *to = &x->dep[item.n];
        *to = *to == UINT32_MAX ? x->deps++ : *to;
        fr_buf_put_u8(b, FR_HANDLE);
        fr_buf_put_varint(b, *to);
    } else if (item.tag == FR_TABLE) {
        for (size_t i = 0; i < item.n; i++) {
            renumber_item(x);
        }
        uint64_t pairs = fr_read_varint(&x->r);
        fr_buf_put_varint(b, pairs);
        for (; pairs > 0; pairs--) {
            renumber_item(x);
            renumber_item(x);
        }
    }
}

// Tables are packed in the order of lua_next and sorted afterwards, so references have to
// be numbered again by first appearance.
static void number_references(marshal *m)
{
    uint32_t n = m->objects + m->deps;
    renumber x = {.r = fr_reader_of(m->out.data, m->out.size), .m = m};
    x.object = fr_alloc(n * sizeof *x.object);
    x.dep = x.object + m->objects;
    memset(x.object, 0xff, n * sizeof *x.object);
    fr_buf_clear(&m->scratch);
    renumber_item(&x);
    FR_ASSERT(!m->scratch.failed);
    fr_buf out = m->out;
    m->out = m->scratch;
    m->scratch = out;
    fr_object **object = fr_alloc((m->objects + 1) * sizeof *object);
    uint64_t *dep = fr_alloc((m->deps + 1) * sizeof *dep);
    for (uint32_t i = 0; i < m->objects; i++) {
        object[x.object[i]] = m->object[i];
    }
    for (uint32_t i = 0; i < m->deps; i++) {
        dep[x.dep[i]] = m->dep[i];
    }
    fr_free(m->object);
    fr_free(m->dep);
    fr_free(x.object);
    m->object = object;
    m->object_room = m->objects + 1;
    m->dep = dep;
    m->dep_room = m->deps + 1;
}

static int finish(packer *p, int rc, const level *at)
{
    marshal *m = p->m;
    if (rc == FR_OK && (m->objects > 1 || m->deps > 1)) {
        number_references(m);
    }
    if (m->out.failed) {
        char says[FR_ERR_MAX];
        (void)snprintf(
            says, sizeof says,
            "is larger than %zu bytes packed; pass a frame, or a file and its path",
            m->out.max);
        level whole = at != NULL ? *at : (level){0};
        rc = refuse(p, at != NULL ? &whole : NULL, FR_ELIMIT, says);
    }
    return rc;
}

int marshal_pack(lua_State *L, int idx, const char *what, marshal *m, fr_err *err)
{
    packer p = {.L = L, .m = m, .what = what, .err = err};
    int rc = pack(&p, lua_absindex(L, idx), NULL, 0);
    return finish(&p, rc, NULL);
}

int marshal_pack_list(lua_State *L, int first, int n, const char *what, marshal *m,
                      fr_err *err)
{
    packer p = {.L = L, .m = m, .what = what, .err = err};
    level list = {.at = {.rank = -1}};
    int rc = FR_OK;
    first = lua_absindex(L, first);
    put_tag(&m->out, FR_TABLE);
    fr_buf_put_varint(&m->out, (uint64_t)n);
    for (int i = 0; i < n && rc == FR_OK; i++) {
        list.at.integer = i + 1;
        rc = pack(&p, first + i, &list, 1);
    }
    fr_buf_put_u8(&m->out, 0);
    return finish(&p, rc, &list);
}

fr_value *marshal_take(marshal *m)
{
    fr_value *v =
        fr_value_new_counted(m->out.data, m->out.size, m->object, m->objects, m->deps);
    marshal_clear(m);
    return v;
}

int marshal_value(lua_State *L, int idx, const char *what, marshal *m, fr_value **out,
                  fr_err *err)
{
    *out = NULL;
    marshal_clear(m);
    int rc = marshal_pack(L, idx, what, m, err);
    if (rc == FR_OK) {
        *out = marshal_take(m);
    }
    return rc;
}
