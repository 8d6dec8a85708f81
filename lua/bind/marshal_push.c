#include "lua/bind/bind.h"
#include "lua/bind/marshal.h"
#include "lua/bind/object_box.h"

// --- pushing ---

typedef struct pusher {
    lua_State *L;
    fr_reader r;
    const fr_value *v; // whose objects are meant
    fr_value *const *deps;
    uint32_t n;
} pusher;

static void push(pusher *p);

static void damaged(pusher *p)
{
    (void)bind_fail(p->L, FR_ECORRUPT,
                    "packed value: damaged, or it refers to something absent");
}

static void push_pairs(pusher *p)
{
    for (uint64_t m = fr_read_varint(&p->r); m > 0; m--) {
        push(p);
        push(p);
        if (p->r.failed || lua_isnil(p->L, -2)) {
            damaged(p);
        }
        lua_rawset(p->L, -3);
    }
}

static void push_table(pusher *p, size_t n)
{
    enum { AT_ONCE = 1 << 20 };
    luaL_checkstack(p->L, 4, "value");
    fr_reader ahead = p->r;
    uint64_t pairs = n == 0 ? fr_read_varint(&ahead) : 0;
    lua_createtable(p->L, (int)FR_MIN(n, (size_t)AT_ONCE),
                    (int)FR_MIN(pairs, (uint64_t)AT_ONCE));
    for (size_t i = 1; i <= n; i++) {
        push(p);
        if (p->r.failed) {
            damaged(p);
        }
        lua_rawseti(p->L, -2, (lua_Integer)i);
    }
    push_pairs(p);
    if (p->r.failed) {
        damaged(p);
    }
}

// What is rare, through the general reader; the cursor stands before the tag.
static void push_rare(pusher *p)
{
    fr_item item;
    if (!fr_value_next(&p->r, &item)) {
        damaged(p);
    }
    if (item.tag == FR_DOUBLE) {
        lua_pushnumber(p->L, item.number);
    } else if (item.tag == FR_REF && item.n < p->v->objects) {
        bind_object_push(p->L, p->v->object[item.n]);
    } else if (item.tag == FR_HANDLE && item.n < p->n && p->deps[item.n] != NULL) {
        marshal_push(p->L, p->deps[item.n], NULL, 0);
    } else if (item.tag == FR_NULL) {
        marshal_push_null(p->L);
    } else {
        damaged(p);
    }
}

// A varint at `at`; one byte is the common case. Sets r->failed when it is damaged.
static inline uint64_t varint(fr_reader *r)
{
    if (FR_LIKELY(r->at < r->end && *r->at < 128)) {
        return *r->at++;
    }
    return fr_read_varint(r);
}

static void push(pusher *p)
{
    fr_reader *r = &p->r;
    uint64_t v;
    const uint8_t *s;
    if (r->failed || r->at == r->end) {
        damaged(p);
    }
    switch (*r->at) {
    case FR_NIL:
        r->at++;
        lua_pushnil(p->L);
        break;
    case FR_FALSE:
    case FR_TRUE:
        lua_pushboolean(p->L, *r->at++ == FR_TRUE);
        break;
    case FR_INT:
        r->at++;
        v = varint(r);
        lua_pushinteger(p->L, (lua_Integer)((v >> 1) ^ (0 - (v & 1))));
        break;
    case FR_STRING:
        r->at++;
        v = varint(r);
        s = r->at;
        if (r->failed || v > (uint64_t)(r->end - r->at)) {
            damaged(p);
        }
        r->at += v;
        lua_pushlstring(p->L, (const char *)s, v);
        break;
    case FR_TABLE:
        r->at++;
        v = varint(r);
        if (r->failed || v > (uint64_t)(r->end - r->at)) {
            damaged(p);
        }
        push_table(p, v);
        break;
    default:
        push_rare(p);
        break;
    }
}

void marshal_push_part(lua_State *L, const fr_value *v, const uint8_t *bytes, size_t size,
                       fr_value *const *deps, uint32_t n)
{
    pusher p = {.L = L, .r = fr_reader_of(bytes, size), .v = v, .deps = deps, .n = n};
    luaL_checkstack(L, 6, "value");
    push(&p);
    if (p.r.at != p.r.end) {
        damaged(&p);
    }
}

void marshal_push(lua_State *L, const fr_value *v, fr_value *const *deps, uint32_t n)
{
    marshal_push_part(L, v, v->bytes, v->size, deps, n);
}

int marshal_push_list(lua_State *L, const fr_value *list, fr_value *const *deps,
                      uint32_t n)
{
    enum { MOST = 200000 }; // below the limit of a Lua stack
    pusher p = {.L = L,
                .r = fr_reader_of(list->bytes, list->size),
                .v = list,
                .deps = deps,
                .n = n};
    fr_item head;
    if (!fr_value_next(&p.r, &head) || head.tag != FR_TABLE || head.n > MOST) {
        damaged(&p);
    }
    luaL_checkstack(L, (int)head.n + 6, "too many arguments");
    for (size_t i = 0; i < head.n; i++) {
        push(&p);
    }
    return (int)head.n;
}

void marshal_push_null(lua_State *L) { lua_pushlightuserdata(L, NULL); }

fr_value **marshal_box(lua_State *L)
{
    if (luaL_getmetatable(L, MARSHAL_VALUE) != LUA_TTABLE) {
        luaL_requiref(L, "flowrun.core.value", luaopen_flowrun_core_value, 0);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return (fr_value **)bind_box(L, MARSHAL_VALUE);
}

static int scratch_gc(lua_State *L)
{
    marshal_fini(lua_touserdata(L, 1));
    return 0;
}

marshal *marshal_scratch(lua_State *L)
{
    static const char key;
    marshal *m = NULL;
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &key) == LUA_TUSERDATA) {
        m = lua_touserdata(L, -1);
        marshal_clear(m);
        m->handle = NULL;
        lua_pop(L, 1);
        return m;
    }
    lua_pop(L, 1);
    m = lua_newuserdatauv(L, sizeof *m, 0);
    marshal_init(m, FR_VALUE_MAX);
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, scratch_gc);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &key);
    return m;
}
