#include "lua/bind/flow_host.h"

#include "core/base/clock.h"
#include "core/engine/exec_thread.h"
#include "lua/bind/error_value.h"
#include "lua/bind/flow_tick.h"

#include <stdio.h>
#include <string.h>

static const char current_key;        // its address: registry key of the current host

fr_host *flow_host_new(lua_State *L)
{
    lua_newtable(L);
    int held = luaL_ref(L, LUA_REGISTRYINDEX);     // may raise: nothing is owned yet
    fr_host *h = fr_zalloc(sizeof *h);
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
    h->L = lua_tothread(L, -1);
    lua_pop(L, 1);
    h->branch = FR_NO_BRANCH;
    h->kept = LUA_NOREF;
    h->born = fr_clock_mono_ns();
    h->held = held;
    fr_arena_init(&h->places);
    fr_map_init(&h->place_index);
    fr_map_init(&h->bodies);
    return h;
}

void flow_host_tick(fr_host *h, bool on)
{
    if (h->ticks != on) {
        h->ticks = on;
        on ? flow_tick_hold() : flow_tick_release();
    }
}

void flow_host_free(fr_host *h)
{
    if (h == NULL) {
        return;
    }
    flow_host_tick(h, false);
    for (uint32_t i = 0; i < h->n_co; i++) {
        luaL_unref(h->L, LUA_REGISTRYINDEX, h->co[i]);
    }
    luaL_unref(h->L, LUA_REGISTRYINDEX, h->kept);
    luaL_unref(h->L, LUA_REGISTRYINDEX, h->held);
    fr_free(h->co);
    fr_free(h->defaults);
    fr_arena_fini(&h->places);
    fr_map_fini(&h->place_index);
    fr_map_fini(&h->bodies);
    fr_free(h->sources);
    fr_free(h->hooks_of);
    fr_value_unref(h->packed);
    fr_free(h->arrival);
    fr_free(h->arrival_by);
    fr_free(h);
}

void flow_host_keep(fr_host *h, lua_State *L, int idx, flow_opts *o)
{
    if (FR_LIKELY(o->kept_by == h->born)) {
        return;
    }
    idx = lua_absindex(L, idx);
    if (h->kept == LUA_NOREF) {
        lua_newtable(L);
        h->kept = luaL_ref(L, LUA_REGISTRYINDEX);
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, h->kept);
    lua_pushvalue(L, idx);
    lua_pushboolean(L, 1);
    lua_rawset(L, -3);
    lua_pop(L, 1);
    o->kept_by = h->born;
}

fr_host *flow_host_current(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &current_key);
    fr_host *h = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return h;
}

static void set_current(lua_State *L, fr_host *h)
{
    lua_pushlightuserdata(L, h);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &current_key);
}

const char *flow_host_place(fr_host *h, lua_State *L, int level)
{
    lua_Debug ar;
    if (!lua_getstack(L, level, &ar) || !lua_getinfo(L, "Sl", &ar)) {
        return NULL;
    }
    fr_hash key = {.lo = fr_hash_str(ar.short_src).lo, .hi = (uint64_t)ar.currentline + 1};
    bool fresh;
    uint64_t *at = fr_map_put(&h->place_index, key, &fresh);
    if (fresh) {
        char text[LUA_IDSIZE + 16];
        int n = snprintf(text, sizeof text, "%s:%d", ar.short_src, ar.currentline);
        *at = (uint64_t)(uintptr_t)fr_arena_strndup(&h->places, text, (size_t)n);
    }
    return (const char *)(uintptr_t)*at;
}

fr_value **flow_host_slot(fr_host *h)
{
    fr_value_unref(h->packed);
    h->packed = NULL;
    return &h->packed;
}

void flow_push_value(lua_State *L, const fr_value *v)
{
    if (v == NULL) {
        lua_pushnil(L);
    } else {
        marshal_push(L, v, NULL, 0);
    }
}

int flow_host_thread(lua_State *L, int nargs)
{
    lua_State *co = lua_newthread(L);
    lua_insert(L, -2 - nargs);                         // below the function and its arguments
    lua_xmove(L, co, nargs + 1);
    return luaL_ref(L, LUA_REGISTRYINDEX);
}

void flow_host_branch(fr_host *h, uint32_t branch, int thread)
{
    if (branch >= h->n_co) {
        h->co = fr_realloc(h->co, (branch + 1) * sizeof *h->co);
        h->defaults = fr_realloc(h->defaults, (branch + 1) * sizeof *h->defaults);
        for (uint32_t i = h->n_co; i <= branch; i++) {
            h->co[i] = h->defaults[i] = LUA_NOREF;
        }
        h->n_co = branch + 1;
    }
    h->co[branch] = thread;
    h->defaults[branch] = h->branch != FR_NO_BRANCH ? h->defaults[h->branch] : LUA_NOREF;
}

int flow_host_hold(fr_host *h, lua_State *L)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, h->held);
    lua_insert(L, -2);
    int ref = luaL_ref(L, -2);
    lua_pop(L, 1);
    return ref;
}

void flow_host_defaults(fr_host *h, uint32_t branch, int held)
{
    h->defaults[branch] = held;
}

void flow_host_body(fr_host *h, uint32_t node, uint32_t branch, int held)
{
    *fr_map_put(&h->bodies, (fr_hash){.lo = node, .hi = 1}, NULL) = (uint64_t)held;
    if (h->defaults[branch] != LUA_NOREF) {
        *fr_map_put(&h->bodies, (fr_hash){.lo = node, .hi = 2}, NULL) =
            (uint64_t)h->defaults[branch];
    }
}

// Protected: (host, held body) -> reference of a coroutine.
static int new_thread(lua_State *L)
{
    fr_host *h = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, h->held);
    lua_rawgeti(L, -1, lua_tointeger(L, 2));
    lua_rawgeti(L, -1, 1);
    lua_rawgeti(L, -2, 2);
    lua_pushinteger(L, flow_host_thread(L, 1));
    return 1;
}

static void host_again(void *ctx, uint32_t node, uint32_t branch)
{
    fr_host *h = ctx;
    lua_State *L = h->L;
    uint64_t *held = fr_map_find(&h->bodies, (fr_hash){.lo = node, .hi = 1});
    FR_ASSERT(held != NULL);
    lua_pushcfunction(L, new_thread);
    lua_pushlightuserdata(L, h);
    lua_pushinteger(L, (lua_Integer)*held);
    bool ok = lua_pcall(L, 2, 1, 0) == LUA_OK;
    flow_host_branch(h, branch, ok ? (int)lua_tointeger(L, -1) : LUA_NOREF);   // NOREF: no memory
    lua_pop(L, 1);
    const uint64_t *defaults = fr_map_find(&h->bodies, (fr_hash){.lo = node, .hi = 2});
    h->defaults[branch] = defaults != NULL ? (int)*defaults : LUA_NOREF;
}

static lua_State *branch_thread(fr_host *h, uint32_t branch)
{
    lua_rawgeti(h->L, LUA_REGISTRYINDEX, h->co[branch]);
    lua_State *co = lua_tothread(h->L, -1);
    lua_pop(h->L, 1);
    return co;
}

static fr_value *pack_result(fr_host *h, lua_State *co, int n, fr_value **error)
{
    *error = NULL;
    if (n == 0) {
        return fr_value_nil();
    }
    lua_settop(co, lua_gettop(co) - n + 1);            // the first result
    marshal *m = marshal_scratch(co);
    fr_err err = FR_ERR_INIT;
    fr_value *v = NULL;
    if (marshal_value(co, -1, "result of the flow", m, &v, &err) == FR_OK) {
        return v;
    }
    bind_push_error(h->L, err.code, err.text, NULL);
    *error = bind_error_pack(h->L, -1, NULL, NULL);
    lua_pop(h->L, 1);
    return NULL;
}

typedef struct ending {
    fr_host *host;
    lua_State *co;
    int status, n;
    fr_value *result, *error;
} ending;

static int pack_ending(lua_State *L)
{
    ending *e = lua_touserdata(L, 1);
    if (e->status == LUA_OK) {
        e->result = pack_result(e->host, e->co, e->n, &e->error);
    } else {
        e->error = bind_error_of(L, e->co, NULL);
    }
    return 0;
}

// We are called from the loop: nothing may be raised through it, not even that memory ran out.
static void branch_over(fr_host *h, uint32_t branch, lua_State *co, int status, int n)
{
    ending e = {.host = h, .co = co, .status = status, .n = n};
    lua_pushcfunction(h->L, pack_ending);
    lua_pushlightuserdata(h->L, &e);
    if (lua_pcall(h->L, 1, 0, 0) != LUA_OK) {
        lua_pop(h->L, 1);
        if (e.result == NULL && e.error == NULL) {
            e.error = bind_error_plain();
        }
    }
    if (status != LUA_OK) {
        (void)lua_resetthread(co);                     // runs its <close> variables
        lua_settop(co, 0);
    }
    luaL_unref(h->L, LUA_REGISTRYINDEX, h->co[branch]);
    h->co[branch] = LUA_NOREF;
    fr_sched_branch_end(h->sched, branch, e.result, e.error);
}

static fr_ran host_resume(void *ctx, uint32_t branch)
{
    fr_host *h = ctx;
    if (h->co[branch] == LUA_NOREF) {
        fr_sched_branch_end(h->sched, branch, NULL, fr_exec_error(FR_ENOMEM, "out of memory"));
        return FR_RAN_ENDED;
    }
    lua_State *co = branch_thread(h, branch);
    int nargs = 0, n = 0;
    if (lua_status(co) == LUA_OK) {
        nargs = lua_gettop(co) - 1;                    // first time: the function's arguments
    }
    fr_host *before = flow_host_current(h->L);
    set_current(h->L, h);
    h->branch = branch;
    h->running = co;
    h->gave_way = false;
    lua_State *outer = flow_tick_enter(co);
    if (h->cut) {
        h->cut = false;
        flow_tick_cut(h, co);
    }
    int status = lua_resume(co, h->L, nargs, &n);
    flow_tick_leave(outer);
    h->branch = FR_NO_BRANCH;
    h->running = NULL;
    set_current(h->L, before);
    if (status == LUA_YIELD) {
        lua_pop(co, n);
        return h->gave_way ? FR_RAN_YIELDED : FR_RAN_BLOCKED;
    }
    branch_over(h, branch, co, status, n);
    return FR_RAN_ENDED;
}

static void host_moment_note(void *ctx, fr_moment what, uint32_t node)
{
    fr_host *h = ctx;
    host_moment *last = &h->moments[(h->moment_tail - 1) % HOST_MOMENTS];
    if (h->moment_tail != h->moment_head && what == FR_MOMENT_ITEMS && last->what == what &&
        last->node == node) {
        return;
    }
    if (h->moment_tail - h->moment_head == HOST_MOMENTS) {
        h->moment_head++;
        h->moments_lost++;
    }
    h->moments[h->moment_tail++ % HOST_MOMENTS] = (host_moment){what, node};
}

static void host_ended(void *ctx, const fr_outcome *outcome, int64_t retry_ns)
{
    fr_host *h = ctx;
    h->ended = true;
    flow_host_tick(h, false);
    h->outcome = *outcome;
    h->retry_ns = retry_ns;
}

static bool host_arrival(void *ctx, const char *kind, const char *json, fr_arrival *out,
                         fr_value **value)
{
    return flow_read_arrival(ctx, kind, json, out, value);
}

fr_flow_host flow_host_ops(fr_host *h)
{
    return (fr_flow_host){.ctx = h, .resume = host_resume, .again = host_again,
                          .moment = host_moment_note, .arrival = host_arrival, .ended = host_ended};
}
