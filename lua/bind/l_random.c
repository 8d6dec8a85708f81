// flowrun.core.random -- generators of random numbers; lua/flowrun/random.lua has the
// API.

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/ml/numpy.h"
#include "lua/bind/frame_box.h"

#include <string.h>

#define CLASS "flowrun.Random"

typedef struct generator {
    bool numpy; // which of the two
    fr_rand philox;
    fr_numpy legacy;
} generator;

typedef enum kind { UNIFORM, NORMAL, EXPONENTIAL, BINOMIAL, POISSON, INTEGERS } kind;

static const char *const kinds[] = {"uniform", "normal",   "exponential", "binomial",
                                    "poisson", "integers", NULL};

static const struct {
    int arguments;
    bool real;           // the values are float64, else int64
    const char *name[2]; // of the parameters, for messages
    double preset[2];
    bool required; // the parameters have no preset
} shapes[] = {
    [UNIFORM] = {2, true, {"lower bound", "upper bound"}, {0, 1}, false},
    [NORMAL] = {2, true, {"mean", "standard deviation"}, {0, 1}, false},
    [EXPONENTIAL] = {1, true, {"mean", NULL}, {1, 0}, false},
    [BINOMIAL] = {2, false, {"number of trials", "probability"}, {0, 0}, true},
    [POISSON] = {1, false, {"mean", NULL}, {0, 0}, true},
    [INTEGERS] = {2, false, {"first bound", "second bound"}, {0, 0}, true},
};

typedef struct call {
    generator *g;
    kind kind;
    const char *what; // "random: normal"
    double scalar[2];
    fr_random_arg arg[2];
    int64_t bound[2]; // INTEGERS
    int64_t n;        // -1: nothing has said yet
} call;

static int random_gc(lua_State *L)
{
    void **slot = lua_touserdata(L, 1);
    fr_free(*slot);
    *slot = NULL;
    return 0;
}

static int random_new(lua_State *L) // (seed, stream)
{
    uint64_t seed = (uint64_t)luaL_checkinteger(L, 1), stream = 0;
    if (lua_isinteger(L, 2)) {
        stream = (uint64_t)lua_tointeger(L, 2);
    } else if (!lua_isnoneornil(L, 2)) {
        stream = fr_hash_str(luaL_checkstring(L, 2)).lo;
    }
    void **slot = bind_box(L, CLASS);
    generator *g = fr_zalloc(sizeof *g);
    *slot = g;
    fr_rand_init(&g->philox, seed, stream);
    return 1;
}

static uint32_t seed_word(lua_State *L, int idx)
{
    int whole;
    lua_Integer v = lua_tointegerx(L, idx, &whole);
    if (!whole || v < 0 || v > UINT32_MAX) {
        (void)bind_fail(
            L, FR_EINVAL,
            "random.numpy: a seed is a whole number from 0 to 4294967295, got "
            "%s",
            luaL_tolstring(L, idx, NULL));
    }
    return (uint32_t)v;
}

static int random_numpy(lua_State *L) // (seed) or ({seed, …})
{
    void **slot = bind_box(L, CLASS);
    generator *g = fr_zalloc(sizeof *g);
    *slot = g;
    g->numpy = true;
    if (lua_type(L, 1) != LUA_TTABLE) {
        fr_numpy_init(&g->legacy, seed_word(L, 1));
        return 1;
    }
    size_t n = (size_t)luaL_len(L, 1);
    if (n == 0) {
        return bind_fail(L, FR_EINVAL, "random.numpy: the list of seeds is empty");
    }
    uint32_t *seeds = lua_newuserdatauv(L, n * sizeof *seeds, 0);
    for (size_t i = 0; i < n; i++) {
        lua_geti(L, 1, (lua_Integer)i + 1);
        seeds[i] = seed_word(L, -1);
        lua_pop(L, 1);
    }
    fr_numpy_init_list(&g->legacy, seeds, n);
    lua_pop(L, 1);
    return 1;
}

static void take_length(lua_State *L, call *c, int64_t n, const char *from)
{
    if (c->n >= 0 && c->n != n) {
        (void)bind_fail(L, FR_EINVAL, "%s: the %s has %lld values, %lld are to be drawn",
                        c->what, from, (long long)n, (long long)c->n);
    }
    c->n = n;
}

// A parameter is a number, an array or a list. What it needs stays on the stack.
static void take_argument(lua_State *L, call *c, int i, int idx)
{
    const char *name = shapes[c->kind].name[i];
    c->arg[i] = (fr_random_arg){&c->scalar[i], 0};
    c->scalar[i] = shapes[c->kind].preset[i];
    if (lua_isnoneornil(L, idx) && !shapes[c->kind].required) {
        return;
    }
    if (lua_type(L, idx) == LUA_TNUMBER) {
        c->scalar[i] = lua_tonumber(L, idx);
        return;
    }
    if (lua_type(L, idx) != LUA_TTABLE && bind_array_test(L, idx) == NULL) {
        (void)bind_fail(L, FR_ETYPE, "%s: the %s is a %s, expected a number or an array",
                        c->what, name, luaL_typename(L, idx));
    }
    const fr_array *a = bind_array_from(L, idx, NULL, name);
    take_length(L, c, a->length, name);
    if (a->type.kind == FR_FLOAT64 && a->nulls == 0) {
        c->arg[i] = (fr_random_arg){fr_array_f64(a), 1};
        return;
    }
    double *copy = lua_newuserdatauv(L, (size_t)a->length * sizeof *copy + 1, 0);
    fr_err err = FR_ERR_INIT;
    int rc = fr_array_to_f64(a, copy, &err);
    if (rc != FR_OK) {
        (void)fr_wrap(&err, rc, "%s: the %s", c->what, name);
        bind_raise_error(L, &err);
    }
    c->arg[i] = (fr_random_arg){copy, 1};
}

static void take_bound(lua_State *L, call *c, int i, int idx)
{
    int whole;
    c->bound[i] = lua_tointegerx(L, idx, &whole);
    if (!whole) {
        (void)bind_fail(L, FR_ETYPE, "%s: the %s must be a whole number, got %s", c->what,
                        shapes[c->kind].name[i], luaL_tolstring(L, idx, NULL));
    }
}

static int fill(const call *c, void *out, size_t n, fr_err *err)
{
    generator *g = c->g;
    fr_random_arg a = c->arg[0], b = c->arg[1];
    switch (c->kind) {
    case UNIFORM:
        return g->numpy ? fr_numpy_uniform(&g->legacy, a, b, out, n, err)
                        : fr_random_uniform(&g->philox, a, b, out, n, err);
    case NORMAL:
        return g->numpy ? fr_numpy_normal(&g->legacy, a, b, out, n, err)
                        : fr_random_normal(&g->philox, a, b, out, n, err);
    case EXPONENTIAL:
        return g->numpy ? fr_numpy_exponential(&g->legacy, a, out, n, err)
                        : fr_random_exponential(&g->philox, a, out, n, err);
    case BINOMIAL:
        return g->numpy ? fr_numpy_binomial(&g->legacy, a, b, out, n, err)
                        : fr_random_binomial(&g->philox, a, b, out, n, err);
    case POISSON:
        return g->numpy ? fr_numpy_poisson(&g->legacy, a, out, n, err)
                        : fr_random_poisson(&g->philox, a, out, n, err);
    case INTEGERS:
        break;
    }
    return g->numpy
               ? fr_numpy_integers(&g->legacy, c->bound[0], c->bound[1], out, n, err)
               : fr_random_integers(&g->philox, c->bound[0], c->bound[1], out, n, err);
}

static int draw_one(lua_State *L, const call *c)
{
    union {
        double real;
        int64_t whole;
    } v;
    fr_err err = FR_ERR_INIT;
    int rc = fill(c, &v, 1, &err);
    if (rc != FR_OK) {
        return bind_raise(L, fr_wrap(&err, rc, "%s", c->what), &err);
    }
    if (shapes[c->kind].real) {
        lua_pushnumber(L, v.real);
    } else {
        lua_pushinteger(L, v.whole);
    }
    return 1;
}

static int new_array(lua_State *L, bool real, int64_t n, fr_array ***slot, fr_err *err)
{
    *slot = bind_array_box(L);
    return fr_array_new(fr_type_of(real ? FR_FLOAT64 : FR_INT64), n, 0, *slot, err);
}

static int64_t check_count(lua_State *L, int idx, const char *what)
{
    int whole;
    lua_Integer n = lua_tointegerx(L, idx, &whole);
    if (!whole || n < 0) {
        (void)bind_fail(L, FR_EINVAL, "%s: the number of draws must be 0 or more, got %s",
                        what, luaL_tolstring(L, idx, NULL));
    }
    return n;
}

static int
random_draw(lua_State *L) // (generator, kind, a, b, n), (generator, kind, a, n)
{
    call c = {.g = bind_check(L, 1, CLASS), .n = -1};
    c.kind = (kind)luaL_checkoption(L, 2, NULL, kinds);
    int arguments = shapes[c.kind].arguments, at = 3 + arguments;
    lua_settop(L, at);
    c.what = lua_pushfstring(L, "random: %s", kinds[c.kind]);
    if (!lua_isnil(L, at)) {
        c.n = check_count(L, at, c.what);
    }
    for (int i = 0; i < arguments; i++) {
        if (c.kind == INTEGERS) {
            take_bound(L, &c, i, 3 + i);
        } else {
            take_argument(L, &c, i, 3 + i);
        }
    }
    if (c.n < 0) {
        return draw_one(L, &c);
    }
    fr_array **slot;
    fr_err err = FR_ERR_INIT;
    int rc = new_array(L, shapes[c.kind].real, c.n, &slot, &err);
    rc = rc != FR_OK ? rc : fill(&c, (*slot)->values->data, (size_t)c.n, &err);
    if (rc != FR_OK) {
        return bind_raise(L, fr_wrap(&err, rc, "%s", c.what), &err);
    }
    bind_array_sealed(L, *slot);
    return 1;
}

static int random_permutation(lua_State *L) // (generator, n): 1..n, numpy's 0..n-1
{
    generator *g = bind_check(L, 1, CLASS);
    int64_t n = check_count(L, 2, "random: permutation");
    fr_array **slot;
    fr_err err = FR_ERR_INIT;
    int rc = new_array(L, false, n, &slot, &err);
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    int64_t *v = (int64_t *)(void *)(*slot)->values->data;
    for (int64_t i = 0; i < n; i++) {
        v[i] = i + !g->numpy;
    }
    if (g->numpy) {
        fr_numpy_shuffle(&g->legacy, v, (size_t)n);
    } else {
        fr_random_shuffle(&g->philox, v, (size_t)n);
    }
    bind_array_sealed(L, *slot);
    return 1;
}

static int random_is_numpy(lua_State *L)
{
    lua_pushboolean(L, ((generator *)bind_check(L, 1, CLASS))->numpy);
    return 1;
}

static int random_tostring(lua_State *L)
{
    generator *g = bind_test(L, 1, CLASS);
    lua_pushstring(L, g == NULL  ? "random generator (closed)"
                      : g->numpy ? "random generator (numpy's legacy stream)"
                                 : "random generator (Philox)");
    return 1;
}

int luaopen_flowrun_core_random(lua_State *L)
{
    static const luaL_Reg meta[] = {{"__tostring", random_tostring}, {NULL, NULL}};
    static const luaL_Reg functions[] = {
        {"new", random_new},           {"numpy", random_numpy},
        {"draw", random_draw},         {"permutation", random_permutation},
        {"is_numpy", random_is_numpy}, {NULL, NULL}};
    bind_class(L, CLASS, NULL, meta, random_gc);
    luaL_newlib(L, functions);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "methods"); // random.lua fills it
    luaL_getmetatable(L, CLASS);
    lua_pushvalue(L, -2);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 2);
    return 1;
}
