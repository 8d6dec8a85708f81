#include "lua/bind/dump.h"

#include "core/base/buf.h"
#include "core/base/mem.h"
#include "lua/bind/bind.h"

#include <string.h>

// From lopcodes.h of Lua 5.4: opcode 7 bits, A 8 bits at 7, k at 15, B 8 bits at 16, C
// at 24.
enum { OP_SETUPVAL = 10, OP_GETTABUP = 11, OP_SETTABUP = 15 };
enum { NESTING = 200 };

typedef struct text {
    const char *s;
    size_t n;
} text;

typedef struct proto {
    const struct proto *parent;
    const uint8_t *code, *lineinfo, *upvalues;
    const uint8_t *constants; // start of the constants, walked again to find one
    size_t n_code, n_upvalues, n_constants, n_lineinfo;
    int line; // linedefined
    fr_reader abslines;
    size_t n_abslines;
} proto;

// The result is built on the Lua stack: assigns, sets, reads at base + 1, 2, 3.
typedef struct inspector {
    lua_State *L;
    fr_reader r;
    int base, depth;
    fr_reader names; // upvalue names of the outermost function
    size_t n_names;
} inspector;

static size_t read_size(fr_reader *r) // 7 bits a byte, high first, last byte marked
{
    size_t v = 0;
    for (int i = 0; i < 10; i++) {
        uint8_t b = fr_read_u8(r);
        v = v << 7 | (b & 0x7f);
        if (b & 0x80) {
            return v;
        }
    }
    r->failed = true;
    return 0;
}

static text read_text(fr_reader *r)
{
    size_t n = read_size(r);
    if (n == 0) {
        return (text){"", 0};
    }
    const uint8_t *s = fr_read_bytes(r, n - 1);
    return (text){s != NULL ? (const char *)s : "", s != NULL ? n - 1 : 0};
}

// One constant; its text when it is a string.
static text read_constant(fr_reader *r)
{
    switch (fr_read_u8(r)) {
    case 0: // nil, false, true
    case 1:
    case 17:
        break;
    case 3:  // integer
    case 19: // float
        (void)fr_read_bytes(r, 8);
        break;
    case 4: // short and long string
    case 20:
        return read_text(r);
    default:
        r->failed = true;
        break;
    }
    return (text){"", 0};
}

static text constant_at(const proto *p, size_t i, const fr_reader *all)
{
    fr_reader r = fr_reader_of(p->constants, (size_t)(all->end - p->constants));
    text t = {"", 0};
    for (size_t k = 0; k <= i && k < p->n_constants; k++) {
        t = read_constant(&r);
    }
    return t;
}

// The line of an instruction: from the last absolute line before it, by differences.
static int line_at(const proto *p, size_t pc)
{
    enum { ABSOLUTE = -0x80 };
    fr_reader abs = p->abslines;
    int line = p->line;
    size_t from = 0;
    for (size_t i = 0; i < p->n_abslines; i++) {
        size_t at = read_size(&abs);
        int l = (int)read_size(&abs);
        if (at <= pc) {
            line = l;
            from = at + 1;
        }
    }
    for (size_t i = from; i <= pc && i < p->n_lineinfo; i++) {
        int8_t step = (int8_t)p->lineinfo[i];
        line += step == ABSOLUTE ? 0 : step;
    }
    return line;
}

// The outermost function's upvalue behind upvalue i of p, or -1 when it is a local
// inside.
static int outer_upvalue(const proto *p, size_t i)
{
    while (p->parent != NULL) {
        if (i >= p->n_upvalues || p->upvalues[3 * i] != 0) {
            return -1;
        }
        i = p->upvalues[3 * i + 1];
        p = p->parent;
    }
    return (int)i;
}

static text upvalue_name(const inspector *x, int i)
{
    fr_reader names = x->names;
    text t = {"?", 1};
    for (int k = 0; k <= i && (size_t)k < x->n_names; k++) {
        t = read_text(&names);
    }
    return t;
}

static bool is_env(const inspector *x, int i)
{
    text name = upvalue_name(x, i);
    return name.n == 4 && memcmp(name.s, "_ENV", 4) == 0;
}

static void add(inspector *x, int list, text name, int line)
{
    lua_State *L = x->L;
    lua_createtable(L, 0, 2);
    lua_pushlstring(L, name.s, name.n);
    lua_setfield(L, -2, "name");
    lua_pushinteger(L, line);
    lua_setfield(L, -2, "line");
    lua_seti(L, x->base + list, luaL_len(L, x->base + list) + 1);
}

static void add_read(inspector *x, text name)
{
    lua_State *L = x->L;
    lua_pushlstring(L, name.s, name.n);
    lua_pushvalue(L, -1);
    if (lua_rawget(L, x->base + 3) == LUA_TNIL) { // {name = true} until the end
        lua_pushvalue(L, -2);
        lua_pushboolean(L, 1);
        lua_rawset(L, x->base + 3);
    }
    lua_pop(L, 2);
}

static void scan_code(inspector *x, const proto *p)
{
    for (size_t pc = 0; pc < p->n_code; pc++) {
        uint32_t i;
        memcpy(&i, p->code + 4 * pc, 4);
        unsigned op = i & 0x7f, a = i >> 7 & 0xff, b = i >> 16 & 0xff, c = i >> 24;
        if (op == OP_SETUPVAL) {
            int outer = outer_upvalue(p, b);
            if (outer >= 0) {
                add(x, 1, upvalue_name(x, outer), line_at(p, pc));
            }
        } else if (op == OP_SETTABUP) {
            int outer = outer_upvalue(p, a);
            if (outer >= 0 && is_env(x, outer)) {
                add(x, 2, constant_at(p, b, &x->r), line_at(p, pc));
            }
        } else if (op == OP_GETTABUP) {
            int outer = outer_upvalue(p, b);
            if (outer >= 0 && is_env(x, outer)) {
                add_read(x, constant_at(p, c, &x->r));
            }
        }
    }
}

static void skip_debug(inspector *x, proto *p)
{
    fr_reader *r = &x->r;
    p->n_lineinfo = read_size(r);
    p->lineinfo = fr_read_bytes(r, p->n_lineinfo);
    p->n_abslines = read_size(r);
    p->abslines = *r;
    for (size_t i = 0; i < p->n_abslines && !r->failed; i++) {
        (void)read_size(r);
        (void)read_size(r);
    }
    size_t n = read_size(r);
    for (size_t i = 0; i < n && !r->failed; i++) { // local variables
        (void)read_text(r);
        (void)read_size(r);
        (void)read_size(r);
    }
    n = read_size(r);
    if (p->parent == NULL) {
        x->names = *r;
        x->n_names = n;
    }
    for (size_t i = 0; i < n && !r->failed; i++) {
        (void)read_text(r);
    }
}

static void read_head(fr_reader *r, proto *p)
{
    (void)read_text(r); // source
    p->line = (int)read_size(r);
    (void)read_size(r);        // lastlinedefined
    (void)fr_read_bytes(r, 3); // numparams, is_vararg, maxstacksize
    p->n_code = read_size(r);
    p->code = fr_read_bytes(r, p->n_code < (1U << 28) ? 4 * p->n_code : SIZE_MAX);
    p->n_constants = read_size(r);
    p->constants = r->at;
    for (size_t i = 0; i < p->n_constants && !r->failed; i++) {
        (void)read_constant(r);
    }
    p->n_upvalues = read_size(r);
    p->upvalues = fr_read_bytes(r, p->n_upvalues < 256 ? 3 * p->n_upvalues : SIZE_MAX);
}

// The debug part, which names the outermost upvalues, stands behind the inner functions:
// the first pass only finds it, the second one looks at the code.
static void read_function(inspector *x, const proto *parent, bool look)
{
    proto p = {.parent = parent};
    fr_reader *r = &x->r;
    if (++x->depth > NESTING) {
        r->failed = true;
        return;
    }
    read_head(r, &p);
    fr_reader inner = *r;
    size_t n = r->failed ? 0 : read_size(r);
    for (size_t i = 0; i < n && !r->failed; i++) {
        read_function(x, &p, false);
    }
    skip_debug(x, &p);
    if (look && !r->failed) {
        fr_reader after = *r;
        scan_code(x, &p);
        *r = inner;
        n = read_size(r);
        for (size_t i = 0; i < n && !r->failed; i++) {
            read_function(x, &p, true);
        }
        *r = after;
    }
    x->depth--;
}

// As string.dump does: the buffer may use the stack only once lua_dump has seen the
// function.
typedef struct writer {
    bool started;
    luaL_Buffer b;
} writer;

static int write_dump(lua_State *L, const void *bytes, size_t n, void *ctx)
{
    writer *w = ctx;
    if (!w->started) {
        w->started = true;
        luaL_buffinit(L, &w->b);
    }
    luaL_addlstring(&w->b, bytes, n);
    return 0;
}

static bool known_version(fr_reader *r)
{
    static const uint8_t head[] = "\x1bLua\x54\x00\x19\x93\r\n\x1a\n\x04\x08\x08";
    const uint8_t *h = fr_read_bytes(r, sizeof head - 1);
    (void)fr_read_bytes(r, 8 + 8 + 1); // sample integer and number, count of upvalues
    return h != NULL && !r->failed && memcmp(h, head, sizeof head - 1) == 0;
}

static void reads_to_list(lua_State *L, int set)
{
    lua_newtable(L);
    lua_Integer n = 0;
    for (lua_pushnil(L); lua_next(L, set) != 0; lua_pop(L, 1)) {
        lua_pushvalue(L, -2);
        lua_seti(L, -4, ++n);
    }
}

void fr_dump_inspect(lua_State *L)
{
    static const char *const names[] = {"assigns", "sets", "reads"};
    luaL_checkstack(L, 12, "inspect");
    inspector x = {.L = L, .base = lua_gettop(L) + 1};
    writer w = {0};
    size_t size;
    lua_pushvalue(L, -1);
    if (lua_iscfunction(L, -1) || lua_dump(L, write_dump, &w, 0) != 0 || !w.started) {
        lua_pop(L, 1);
        lua_pushnil(L);
        return;
    }
    luaL_pushresult(&w.b);
    lua_replace(L, x.base);
    const char *bytes = lua_tolstring(L, x.base, &size);
    for (int i = 0; i < 3; i++) {
        lua_newtable(L);
    }
    x.r = fr_reader_of(bytes, size);
    if (known_version(&x.r)) {
        read_function(&x, NULL, true);
    } else {
        x.r.failed = true;
    }
    if (x.r.failed) {
        lua_settop(L, x.base - 1);
        lua_pushnil(L);
        return;
    }
    reads_to_list(L, x.base + 3);
    lua_replace(L, x.base + 3);
    lua_createtable(L, 0, 3);
    for (int i = 1; i <= 3; i++) {
        lua_pushvalue(L, x.base + i);
        lua_setfield(L, -2, names[i - 1]);
    }
    lua_replace(L, x.base);
    lua_settop(L, x.base);
}
