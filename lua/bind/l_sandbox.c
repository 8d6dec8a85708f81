// flowrun.core.sandbox -- the deterministic pairs, next, sort and tostring of scripts,
// and gates around what a flow body must not call (engine.md B8).
//
// A gatekeeper (class flowrun.Gate) holds the mode of one environment: "load" while the
// script's top level runs, "flow" in flow bodies, "task" in task bodies, "free" at the
// REPL and in unit tests. All functions of one environment share its gatekeeper as
// upvalue 1.

#include "lua/bind/bind.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define GATE "flowrun.Gate"

typedef enum mode { LOAD, FLOW, TASK, FREE } mode;
static const char *const mode_names[] = {"load", "flow", "task", "free", NULL};

typedef struct gate {
    mode mode;
} gate;

static const gate *gate_of(lua_State *L)
{
    return lua_touserdata(L, lua_upvalueindex(1));
}

static bool is_pure(const gate *g) { return g->mode == FLOW || g->mode == LOAD; }

// --- keys in order: numbers, strings by bytes, booleans, handles by their key, others
// ---

typedef enum rank { NUMBER, TEXT, BOOLEAN, ORDERED, OTHER } rank;

typedef struct key {
    rank rank;
    bool integer;
    int64_t i; // integer; boolean as 0 or 1; OTHER by appearance
    double x;
    const char *s; // TEXT, ORDERED: held by the table of keys
    size_t n;
    lua_Integer at; // place in the table of keys
} key;

static int compare_mixed(int64_t i, double x) // exact, for any int64 and double
{
    if (x >= 0x1p63) {
        return -1;
    }
    if (x < -0x1p63) {
        return 1;
    }
    int64_t whole = (int64_t)floor(x);
    if (i != whole) {
        return i < whole ? -1 : 1;
    }
    return (double)whole < x ? -1 : 0;
}

static int compare_numbers(const key *a, const key *b)
{
    if (a->integer && b->integer) {
        return (a->i > b->i) - (a->i < b->i);
    }
    if (!a->integer && !b->integer) {
        return (a->x > b->x) - (a->x < b->x);
    }
    return a->integer ? compare_mixed(a->i, b->x) : -compare_mixed(b->i, a->x);
}

static int compare_keys(const void *left, const void *right)
{
    const key *a = left, *b = right;
    if (a->rank != b->rank) {
        return (int)a->rank - (int)b->rank;
    }
    if (a->rank == NUMBER) {
        return compare_numbers(a, b);
    }
    if (a->rank == BOOLEAN || a->rank == OTHER) {
        return (a->i > b->i) - (a->i < b->i);
    }
    size_t common = a->n < b->n ? a->n : b->n;
    int c = common > 0 ? memcmp(a->s, b->s, common) : 0;
    return c != 0 ? c : (a->n > b->n) - (a->n < b->n);
}

// Handles have a metafield __order, a function that gives their key as text. The text is
// kept at keys[-at], so that it lives as long as the comparison.
static bool read_order(lua_State *L, int keys, key *k)
{
    if (luaL_getmetafield(L, -1, "__order") == LUA_TNIL) {
        return false;
    }
    lua_pushvalue(L, -2);
    lua_call(L, 1, 1);
    k->s = luaL_tolstring(L, -1, &k->n);
    lua_rawseti(L, keys, -k->at);
    lua_pop(L, 1);
    k->rank = ORDERED;
    return true;
}

// Reads the key at the top of the stack.
static void read_key(lua_State *L, int keys, lua_Integer at, key *k)
{
    *k = (key){.rank = OTHER, .i = at, .at = at};
    switch (lua_type(L, -1)) {
    case LUA_TNUMBER:
        k->rank = NUMBER;
        k->integer = lua_isinteger(L, -1);
        k->i = k->integer ? lua_tointeger(L, -1) : 0;
        k->x = k->integer ? 0 : lua_tonumber(L, -1);
        break;
    case LUA_TSTRING:
        k->rank = TEXT;
        k->s = lua_tolstring(L, -1, &k->n);
        break;
    case LUA_TBOOLEAN:
        k->rank = BOOLEAN;
        k->i = lua_toboolean(L, -1);
        break;
    default:
        if (!read_order(L, keys, k) && gate_of(L)->mode == FLOW) {
            (void)bind_fail(
                L, FR_EINVAL,
                "pairs: a key is a %s, whose place differs from run to run; use "
                "a number, text or boolean as key in a flow",
                luaL_typename(L, -1));
        }
        break;
    }
}

static void sort_keys(key *k, size_t n)
{
    enum { FEW = 16 };
    if (n > FEW) {
        qsort(k, n, sizeof *k, compare_keys);
        return;
    }
    for (size_t i = 1; i < n; i++) {
        key x = k[i];
        size_t j = i;
        for (; j > 0 && compare_keys(&k[j - 1], &x) > 0; j--) {
            k[j] = k[j - 1];
        }
        k[j] = x;
    }
}

// Pushes the list of the n keys of the table at t in order.
static void push_sorted(lua_State *L, int t, lua_Integer n)
{
    enum { AT_ONCE = 32 };
    key few[AT_ONCE];
    luaL_checkstack(L, 8, "pairs");
    lua_createtable(L, (int)n, 0);
    int sorted = lua_gettop(L);
    key *k = n <= AT_ONCE ? few : lua_newuserdatauv(L, (size_t)n * sizeof *k, 0);
    lua_createtable(L, (int)n, 0); // the keys as lua_next gives them, kept alive
    int found = lua_gettop(L);
    lua_Integer i = 0;
    lua_pushnil(L);
    while (lua_next(L, t) != 0 && i < n) {
        lua_pop(L, 1);
        i++;
        lua_pushvalue(L, -1);
        lua_rawseti(L, found, i);
        read_key(L, found, i, &k[i - 1]);
    }
    lua_settop(L, found);
    sort_keys(k, (size_t)i);
    for (lua_Integer j = 0; j < i; j++) {
        lua_rawgeti(L, found, k[j].at);
        lua_rawseti(L, sorted, j + 1);
    }
    lua_settop(L, sorted);
}

// The number of keys; *sequence when they are 1 … n and lua_next gives them so.
static lua_Integer count_keys(lua_State *L, int t, bool *sequence)
{
    lua_Integer n = 0;
    *sequence = true;
    for (lua_pushnil(L); lua_next(L, t) != 0; lua_pop(L, 1)) {
        n++;
        *sequence = *sequence && lua_isinteger(L, -2) && lua_tointeger(L, -2) == n;
    }
    return n;
}

// Upvalues: gate, keys in order, position. Keys removed meanwhile are left out.
static int iterate_keys(lua_State *L)
{
    lua_Integer at = lua_tointeger(L, lua_upvalueindex(3));
    for (;;) {
        if (lua_rawgeti(L, lua_upvalueindex(2), ++at) == LUA_TNIL) {
            return 1;
        }
        lua_pushvalue(L, -1);
        if (lua_rawget(L, 1) != LUA_TNIL) {
            break;
        }
        lua_pop(L, 2);
    }
    lua_pushinteger(L, at);
    lua_replace(L, lua_upvalueindex(3));
    return 2;
}

// Upvalues: gate, length at the start.
static int iterate_sequence(lua_State *L)
{
    lua_Integer n = lua_tointeger(L, lua_upvalueindex(2));
    for (lua_Integer i = lua_tointeger(L, 2) + 1; i <= n; i++) {
        if (lua_rawgeti(L, 1, i) != LUA_TNIL) {
            lua_pushinteger(L, i);
            lua_insert(L, -2);
            return 2;
        }
        lua_pop(L, 1);
    }
    lua_pushnil(L);
    return 1;
}

static int finish_pairs(lua_State *L, int status, lua_KContext ctx)
{
    (void)L;
    (void)status;
    (void)ctx;
    return 3;
}

static int sandbox_pairs(lua_State *L)
{
    luaL_checkany(L, 1);
    if (luaL_getmetafield(L, 1, "__pairs") != LUA_TNIL) {
        lua_pushvalue(L, 1);
        lua_callk(L, 1, 3, 0, finish_pairs);
        return 3;
    }
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    bool sequence;
    lua_Integer n = count_keys(L, 1, &sequence);
    lua_pushvalue(L, lua_upvalueindex(1));
    if (sequence) {
        lua_pushinteger(L, n);
        lua_pushcclosure(L, iterate_sequence, 2);
    } else {
        push_sorted(L, 1, n);
        lua_pushinteger(L, 0);
        lua_pushcclosure(L, iterate_keys, 3);
    }
    lua_pushvalue(L, 1);
    lua_pushnil(L);
    return 3;
}

// The place of the key at 2 in the sorted keys at 5; when it was removed meanwhile, that
// of the key before it.
static lua_Integer place_of(lua_State *L)
{
    key wanted, other;
    lua_newtable(L);
    int held = lua_gettop(L);
    lua_pushvalue(L, 2);
    read_key(L, held, 0, &wanted);
    lua_pop(L, 1);
    for (lua_Integer at = 1;; at++) {
        bool end = lua_rawgeti(L, 5, at) == LUA_TNIL;
        if (!end && lua_rawequal(L, -1, 2)) {
            return at;
        }
        if (!end) {
            read_key(L, held, at, &other);
        }
        if (end || compare_keys(&other, &wanted) > 0) {
            return at - 1;
        }
        lua_pop(L, 1);
    }
}

// next(t, k): the state between calls, {table, its keys in order, position}, is the user
// value of the gate; a call that does not continue it sorts again.
static int sandbox_next(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 2);
    lua_pushnil(L);
    if (lua_next(L, 1) == 0) {
        lua_pushnil(L); // the table is empty, the common question
        return 1;
    }
    lua_settop(L, 2);
    lua_Integer at = 0;
    bool fresh = lua_isnil(L, 2);
    if (lua_getiuservalue(L, lua_upvalueindex(1), 1) == LUA_TTABLE && !fresh) {
        lua_rawgeti(L, 3, 1);
        lua_rawgeti(L, 3, 2); // 4: table, 5: keys
        lua_rawgeti(L, 3, 3);
        at = lua_tointeger(L, -1);
        fresh = !lua_rawequal(L, 4, 1) || lua_rawgeti(L, 5, at) == LUA_TNIL ||
                !lua_rawequal(L, -1, 2);
    } else {
        fresh = true;
    }
    if (fresh) {
        bool sequence;
        lua_settop(L, 2);
        lua_createtable(L, 3, 0);
        lua_pushvalue(L, 1);
        lua_pushvalue(L, -1);
        lua_rawseti(L, 3, 1);
        push_sorted(L, 1, count_keys(L, 1, &sequence));
        lua_pushvalue(L, -1);
        lua_rawseti(L, 3, 2);
        lua_pushvalue(L, 3);
        (void)lua_setiuservalue(L, lua_upvalueindex(1), 1);
        at = lua_isnil(L, 2) ? 0 : place_of(L);
    }
    lua_settop(L, 5);
    for (at++; lua_rawgeti(L, 5, at) != LUA_TNIL; at++) {
        lua_pushvalue(L, -1);
        if (lua_rawget(L, 1) != LUA_TNIL) {
            lua_pushinteger(L, at);
            lua_rawseti(L, 3, 3);
            return 2;
        }
        lua_settop(L, 5);
    }
    lua_pushnil(L);
    (void)lua_setiuservalue(L, lua_upvalueindex(1), 1); // do not keep the table alive
    lua_pushnil(L);
    return 1;
}

// --- sort: a stable merge sort; stock Lua draws pivots from the clock ---

typedef struct sorter {
    lua_State *L;
    bool by_function; // at 2; the values are the list at 3
} sorter;

static bool less(const sorter *s, uint32_t a, uint32_t b)
{
    lua_State *L = s->L;
    bool yes;
    if (s->by_function) {
        lua_pushvalue(L, 2);
        lua_rawgeti(L, 3, a);
        lua_rawgeti(L, 3, b);
        lua_call(L, 2, 1);
        yes = lua_toboolean(L, -1);
        lua_pop(L, 1);
        return yes;
    }
    lua_rawgeti(L, 3, a);
    lua_rawgeti(L, 3, b);
    yes = lua_compare(L, -2, -1, LUA_OPLT);
    lua_pop(L, 2);
    return yes;
}

static void merge_sort(const sorter *s, uint32_t *x, uint32_t *spare, size_t n)
{
    enum { SHORT = 6 };
    if (n <= SHORT) {
        for (size_t i = 1; i < n; i++) {
            uint32_t v = x[i];
            size_t j = i;
            for (; j > 0 && less(s, v, x[j - 1]); j--) {
                x[j] = x[j - 1];
            }
            x[j] = v;
        }
        return;
    }
    size_t half = n / 2;
    merge_sort(s, x, spare, half);
    merge_sort(s, x + half, spare, n - half);
    if (!less(s, x[half], x[half - 1])) {
        return; // in order already
    }
    memcpy(spare, x, half * sizeof *x);
    size_t i = 0, j = half, to = 0;
    while (i < half && j < n) {
        if (less(s, x[j], spare[i])) {
            x[to++] = x[j++];
        } else {
            x[to++] = spare[i++];
        }
    }
    memcpy(x + to, spare + i, (half - i) * sizeof *x);
}

static int sandbox_sort(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_Integer n = luaL_len(L, 1);
    if (!lua_isnoneornil(L, 2)) {
        luaL_checktype(L, 2, LUA_TFUNCTION);
    }
    lua_settop(L, 2);
    if (n < 2) {
        return 0;
    }
    luaL_argcheck(L, n < INT32_MAX, 1, "array too big");
    luaL_checkstack(L, 8, "sort");
    lua_createtable(L, (int)n, 0);
    uint32_t *order = lua_newuserdatauv(L, (size_t)n * 2 * sizeof *order, 0);
    for (lua_Integer i = 1; i <= n; i++) {
        (void)lua_geti(L, 1, i);
        lua_rawseti(L, 3, i);
        order[i - 1] = (uint32_t)i;
    }
    sorter s = {.L = L, .by_function = !lua_isnil(L, 2)};
    merge_sort(&s, order, order + n, (size_t)n);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, 3, order[i - 1]);
        lua_seti(L, 1, i);
    }
    return 0;
}

// --- text of values without addresses ---

static bool shows_address(lua_State *L, int arg)
{
    int type = lua_type(L, arg);
    if (type != LUA_TTABLE && type != LUA_TFUNCTION && type != LUA_TUSERDATA &&
        type != LUA_TTHREAD && type != LUA_TLIGHTUSERDATA) {
        return false;
    }
    if (luaL_getmetafield(L, arg, "__tostring") != LUA_TNIL) {
        lua_pop(L, 1);
        return false;
    }
    return true;
}

static void push_hidden(lua_State *L, int arg)
{
    const char *name = luaL_typename(L, arg);
    if (luaL_getmetafield(L, arg, "__name") == LUA_TSTRING) {
        name = lua_tostring(L, -1);
        lua_pushfstring(L, "%s: (no address)", name);
        lua_remove(L, -2);
        return;
    }
    lua_pushfstring(L, "%s: (no address)", name);
}

static int sandbox_tostring(lua_State *L)
{
    luaL_checkany(L, 1);
    if (is_pure(gate_of(L)) && shows_address(L, 1)) {
        push_hidden(L, 1);
        return 1;
    }
    luaL_tolstring(L, 1, NULL);
    return 1;
}

// Upvalue 2: the real string.format.
static int sandbox_format(lua_State *L)
{
    const char *format = luaL_checkstring(L, 1);
    if (is_pure(gate_of(L))) {
        for (const char *p = strchr(format, '%'); p != NULL; p = strchr(p + 1, '%')) {
            p += 1 + strspn(p + 1, "-+ #0123456789.");
            if (*p == 'p') {
                return bind_fail(L, FR_EINVAL,
                                 "string.format: %%p writes an address, which "
                                 "differs from run to run");
            }
            if (*p == '\0') {
                break;
            }
        }
        for (int i = 2; i <= lua_gettop(L); i++) {
            if (shows_address(L, i)) {
                push_hidden(L, i);
                lua_replace(L, i);
            }
        }
    }
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, 1);
    return 1;
}

// --- gates ---

static int finish_call(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    (void)ctx;
    return lua_gettop(L);
}

// Upvalues: gate, real function (or nil), name, hint, allowed modes ("task free").
static int sandbox_gated(lua_State *L)
{
    const char *allowed = lua_tostring(L, lua_upvalueindex(5));
    mode now = gate_of(L)->mode;
    if (strstr(allowed, mode_names[now]) == NULL || lua_isnil(L, lua_upvalueindex(2))) {
        static const char *const places[] = {
            [LOAD] = "at the top level of a script, which only defines",
            [FLOW] = "in a flow, which must replay exactly",
            [TASK] = "in a task",
            [FREE] = "here"};
        return bind_fail(L, FR_EINVAL, "%s cannot be used %s; %s",
                         lua_tostring(L, lua_upvalueindex(3)), places[now],
                         lua_tostring(L, lua_upvalueindex(4)));
    }
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_insert(L, 1);
    lua_callk(L, lua_gettop(L) - 1, LUA_MULTRET, 0, finish_call);
    return lua_gettop(L);
}

// gated(gate, real, name, hint, modes) -> function
static int sandbox_gate_around(lua_State *L)
{
    (void)luaL_checkudata(L, 1, GATE);
    (void)luaL_checkstring(L, 3);
    (void)luaL_checkstring(L, 4);
    (void)luaL_checkstring(L, 5);
    lua_settop(L, 5);
    lua_pushcclosure(L, sandbox_gated, 5);
    return 1;
}

static int gate_mode(lua_State *L)
{
    gate *g = luaL_checkudata(L, 1, GATE);
    lua_pushstring(L, mode_names[g->mode]);
    if (!lua_isnoneornil(L, 2)) {
        g->mode = (mode)luaL_checkoption(L, 2, NULL, mode_names);
    }
    return 1;
}

static int sandbox_gate(lua_State *L)
{
    mode m = (mode)luaL_checkoption(L, 1, "load", mode_names);
    gate *g = lua_newuserdatauv(L, sizeof *g, 1);
    g->mode = m;
    luaL_setmetatable(L, GATE);
    return 1;
}

// functions(gate) -> {pairs, next, sort, tostring, format}
static int sandbox_functions(lua_State *L)
{
    static const luaL_Reg masked[] = {
        {"pairs", sandbox_pairs},       {"next", sandbox_next}, {"sort", sandbox_sort},
        {"tostring", sandbox_tostring}, {NULL, NULL},
    };
    (void)luaL_checkudata(L, 1, GATE);
    lua_settop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, 1);
    luaL_setfuncs(L, masked, 1);
    lua_pushvalue(L, 1);
    lua_getglobal(L, "string");
    lua_getfield(L, -1, "format");
    lua_remove(L, -2);
    lua_pushcclosure(L, sandbox_format, 2);
    lua_setfield(L, -2, "format");
    return 1;
}

int luaopen_flowrun_core_sandbox(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"gate", sandbox_gate},
        {"gated", sandbox_gate_around},
        {"functions", sandbox_functions},
        {NULL, NULL},
    };
    static const luaL_Reg methods[] = {{"mode", gate_mode}, {NULL, NULL}};
    bind_class(L, GATE, methods, NULL, NULL);
    luaL_newlib(L, functions);
    return 1;
}
