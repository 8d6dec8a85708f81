#include "lua/bind/body.h"

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/engine/store.h"
#include "lua/bind/body_int.h"
#include "lua/bind/error_value.h"
#include "lua/bind/vm.h"

#include <stdio.h>
#include <string.h>

enum {
    MEASURE_CPU_NS = 50000, // bodies shorter than this count their time as CPU time
    COMPARE_NS = 100000000, // tables of the script are compared no more often
};

static const char body_key = 0;  // registry: the fr_body of a worker's state
static const char trace_key = 0; // registry: traceback of the latest error

fr_body *body_of_state(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &body_key);
    fr_body *b = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return b;
}

body_run *body_current(lua_State *L)
{
    const fr_body *b = body_of_state(L);
    return b != NULL ? b->current : NULL;
}

fr_attempt *body_attempt(const body_run *r) { return r->a; }

uv_loop_t *body_loop(const body_run *r) { return r->b->env.loop; }

// --- coroutines and runs, reused ---

static lua_State *take_coroutine(fr_body *b, int *ref)
{
    if (b->pooled > 0) {
        b->pooled--;
        *ref = b->pool[b->pooled].ref;
        return b->pool[b->pooled].co;
    }
    lua_State *co = lua_newthread(b->L);
    *ref = luaL_ref(b->L, LUA_REGISTRYINDEX);
    return co;
}

static void give_coroutine(fr_body *b, lua_State *co, int ref)
{
    if (lua_status(co) != LUA_OK) {
        (void)lua_resetthread(co); // runs what is left of <close> variables
    }
    lua_settop(co, 0);
    if (b->pooled < BODY_COROUTINES) {
        b->pool[b->pooled].co = co;
        b->pool[b->pooled++].ref = ref;
    } else {
        luaL_unref(b->L, LUA_REGISTRYINDEX, ref);
    }
}

static body_run *new_run(fr_body *b, fr_attempt *a, body_function *f)
{
    body_run *r = b->spare;
    if (r != NULL) {
        b->spare = r->next;
    } else {
        r = fr_zalloc(sizeof *r);
        fr_buf_init(&r->outbox, FR_VALUE_MAX / 2);
    }
    uv_timer_t *timer = r->timer;
    fr_buf outbox = r->outbox;
    *r = (body_run){.b = b, .a = a, .f = f, .timer = timer, .outbox = outbox};
    fr_buf_clear(&r->outbox);
    r->co = take_coroutine(b, &r->co_ref);
    return r;
}

static void free_run(body_run *r)
{
    fr_body *b = r->b;
    if (r->co != NULL) {
        give_coroutine(b, r->co, r->co_ref);
    }
    fr_value_unref(r->result);
    fr_value_unref(r->error);
    fr_value_unref(r->kept);
    fr_value_unref(r->sent);
    r->next = b->spare;
    b->spare = r;
}

// --- outcome of one call ---

static void set_error(body_run *r, fr_value *error, int code)
{
    int asked = atomic_load(&r->a->cancel.flag);
    r->error = error;
    r->code = asked != 0 ? asked : code;
}

void body_set_error(body_run *r, int code, const char *text)
{
    fr_body *b = r->b;
    bind_push_error(b->L, code, text, NULL);
    int ignored;
    set_error(r, bind_error_pack(b->L, -1, NULL, &ignored), code);
    lua_pop(b->L, 1);
}

// Message handler: keeps the traceback of the place where the error was raised.
static int keep_traceback(lua_State *L)
{
    luaL_traceback(L, L, NULL, 1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &trace_key);
    lua_settop(L, 1);
    return 1;
}

static void take_lua_error(lua_State *L, body_run *r)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &trace_key);
    const char *trace = lua_tostring(L, -1);
    int code;
    fr_value *error = bind_error_pack(L, -2, trace, &code);
    set_error(r, error, code);
    lua_pop(L, 2);
}

// C7: `local x, y = t()` would lose y silently, so the numbers must agree.
static bool check_count(body_run *r, int n)
{
    uint32_t want = FR_MAX(r->a->n_outputs, 1);
    if ((uint32_t)n == want || (want == 1 && n == 0)) {
        return true;
    }
    char text[FR_ERR_MAX];
    (void)snprintf(
        text, sizeof text,
        want == 1 ? "the body returned %d values, but the task has one result; return a "
                    "table, or name them with outputs = {\"a\", \"b\"}"
                  : "the body returned %d values, but `outputs` names %u",
        n, want);
    body_set_error(r, FR_ETYPE, text);
    return false;
}

// Packs the n values on top of L into b->m.
static bool pack_results(lua_State *L, body_run *r, int n)
{
    fr_body *b = r->b;
    if (!check_count(r, n)) {
        return false;
    }
    if (n == 0) {
        lua_pushnil(L);
        n = 1;
    }
    fr_err err = FR_ERR_INIT;
    marshal_clear(&b->m);
    int rc = r->a->n_outputs > 1
                 ? marshal_pack_list(L, lua_gettop(L) - n + 1, n, "output", &b->m, &err)
                 : marshal_pack(L, -1, "result", &b->m, &err);
    if (rc != FR_OK) {
        marshal_clear(&b->m);
        body_set_error(r, rc, err.text);
        return false;
    }
    return true;
}

static fr_done done_of(const body_run *r, int64_t now)
{
    return (fr_done){
        .code = r->code,
        .result = r->result,
        .error = r->error,
        .outbox = r->sent,
        .started = r->started,
        .ended = now,
        .cpu_ns = r->cpu_ns,
        .log_from = r->log_from,
        .log_to = r->log_to,
    };
}

static void send_item(body_run *r, int64_t now, const uint8_t *bytes, size_t size)
{
    const fr_attempt *a = r->a;
    int64_t waited = r->started - a->queued, took = now - r->started;
    uint8_t flags = r->code == FR_OK         ? 0
                    : r->code == FR_ESKIPPED ? FR_ITEM_SKIPPED
                                             : FR_ITEM_FAILED;
    if (r->code == FR_ECANCELLED || r->code == FR_ETIMEOUT) {
        flags |= FR_ITEM_CANCELLED;
    }
    fr_item_done item = {
        .index = r->item,
        .flags = flags,
        .attempt = a->attempt,
        .start_us = (uint64_t)FR_MAX(waited, 0) / 1000,
        .duration_us = (uint64_t)FR_MAX(took, 0) / 1000,
        .log_offset = r->log_from,
        .value = bytes,
        .size = size,
    };
    if (a->item_args != NULL) {
        item.args = a->item_args[r->item];
    }
    if (a->duplicates != NULL) {
        item.duplicate = a->duplicates[r->item];
    }
    r->b->env.item(r->b->env.ctx, r->a, &item);
}

// Sends a finished call that keeps its outcome in r.
static void send_outcome(body_run *r)
{
    fr_body *b = r->b;
    const fr_value *v = r->code == FR_OK ? r->result : r->error;
    if (r->mapped && v->objects == 0 && r->sent == NULL) {
        send_item(r, r->ended, v->bytes, v->size);
        return;
    }
    fr_done d = done_of(r, r->ended);
    d.n_items = r->mapped ? 1 : 0;
    d.index = r->item;
    b->env.done(b->env.ctx, r->a, &d);
}

// A call ended with n results, or with an error, on top of L. Items of the chunk that is
// being run leave at once, straight from the marshal's buffer.
// --- what a body keeps for its next attempt ---

enum { KEEP_NS = 100000000 }; // a record is made no more often; the next attempt gets the last

static void send_kept(body_run *r, int64_t now)
{
    if (r->b->env.checkpoint != NULL) {
        r->b->env.checkpoint(r->b->env.ctx, r->a, r->item, r->kept);
    }
    r->kept_ns = now;
    r->kept_unsent = false;
}

void body_keep(body_run *r, fr_value *v)
{
    int64_t now = fr_clock_wall_ns(), since = now - r->kept_ns;
    fr_value_unref(r->kept);
    r->kept = v;
    r->kept_unsent = true;
    if (r->kept_ns == 0 || since < 0 || since > KEEP_NS) {
        send_kept(r, now);
    }
}

// --- tables of the script that a body changed (engine.md C2) ---

// Protected: (function's reference, name of what to ask) -> the answer.
static int ask_worker(lua_State *L)
{
    lua_getglobal(L, "require");
    lua_pushliteral(L, "flowrun.worker");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, lua_tostring(L, 2));
    lua_rawgeti(L, LUA_REGISTRYINDEX, lua_tointeger(L, 1));
    lua_call(L, 1, 1);
    return 1;
}

// The answer on top of b->L; false, and nothing there, when it failed.
static bool ask(fr_body *b, const body_function *f, const char *what)
{
    lua_pushcfunction(b->L, ask_worker);
    lua_pushinteger(b->L, f->ref);
    lua_pushstring(b->L, what);
    bool ok = lua_pcall(b->L, 2, 1, 0) == LUA_OK;
    if (!ok) {
        lua_pop(b->L, 1);
    }
    return ok;
}

static void compare(fr_body *b, body_function *f)
{
    f->compared = true;
    f->called = false;
    if (f->changed == NULL && ask(b, f, "changed")) {
        const char *text = lua_tostring(b->L, -1);
        f->changed = text != NULL ? fr_strdup(text) : NULL;
        lua_pop(b->L, 1);
    }
}

// The first call tells most; later ones are looked at when the worker has nothing to do.
static bool spoilt(fr_body *b, body_run *r)
{
    body_function *f = r->f;
    if (!f->watched) {
        return false;
    }
    f->called = true;
    if (!f->compared) {
        compare(b, f);
    }
    if (f->changed != NULL) {
        body_set_error(r, FR_EINVAL, f->changed);
    }
    return f->changed != NULL;
}

static void body_idle(fr_body *b)
{
    int64_t now = b->n_watched > 0 ? fr_clock_mono_ns() : 0;
    if (now - b->compared_ns < COMPARE_NS) {
        return;
    }
    b->compared_ns = now;
    for (size_t i = 0; i < b->functions.capacity; i++) {
        const fr_map_slot *slot = &b->functions.slots[i];
        body_function *f = fr_hash_is_zero(slot->key) ? NULL
                                                      : (body_function *)(uintptr_t)slot->value;
        if (f != NULL && f->watched && f->called) {
            compare(b, f);
        }
    }
}

static void finish_call(lua_State *L, body_run *r, bool ok, int n)
{
    if (!ok && r->kept_unsent) {
        send_kept(r, fr_clock_wall_ns());
    }
    fr_body *b = r->b;
    bool packed = false;
    bind_running_pause(&b->running, L); // an interrupt now must not spoil the outcome
    if (ok && !spoilt(b, r)) {
        packed = pack_results(L, r, n);
    } else if (!ok) {
        take_lua_error(L, r);
    }
    bool direct = r->mapped && !r->detached;
    r->ended = fr_clock_wall_ns();
    r->open = false;
    r->over = !direct;
    if (packed && r->outbox.size > 0) { // only success leaves messages
        r->sent = fr_value_text((const char *)r->outbox.data, r->outbox.size);
    }
    if (packed && direct && b->m.objects == 0 && r->sent == NULL) {
        send_item(r, r->ended, b->m.out.data, b->m.out.size);
        marshal_clear(&b->m);
        bind_running_go_on(&b->running, L);
        return;
    }
    if (packed) {
        r->result = marshal_take(&b->m);
    }
    if (direct) {
        send_outcome(r);
        fr_value_unref(r->result);
        fr_value_unref(r->error);
        fr_value_unref(r->sent);
        r->result = r->error = r->sent = NULL;
        bind_running_go_on(&b->running, L);
    }
}

// --- inside the coroutine ---

enum { HANDLER = 1, FUNCTION = 2, BASE = 2 };

// What an option function is told before the task's arguments: fallback(err, ...).
static int push_lead(lua_State *L, const fr_attempt *a)
{
    for (uint32_t i = 0; i < a->n_lead; i++) {
        if (a->lead[i].error) {
            bind_error_push(L, a->lead[i].value);
        } else {
            marshal_push(L, a->lead[i].value, NULL, 0);
        }
    }
    return (int)a->n_lead;
}

static int push_constants(lua_State *L, const fr_attempt *a)
{
    if (a->n_args == 0) {
        return 0;
    }
    luaL_checkstack(L, (int)a->n_args + 8, "too many arguments");
    int n = a->args != NULL ? marshal_push_list(L, a->args, a->deps, a->n_deps) : 0;
    for (; n < (int)a->n_args; n++) {
        lua_pushnil(L);
    }
    return n;
}

static int after_single(lua_State *L, int status, lua_KContext ctx)
{
    bool ok = status == LUA_OK || status == LUA_YIELD;
    finish_call(L, (body_run *)ctx, ok, lua_gettop(L) - HANDLER);
    lua_settop(L, 0);
    return 0;
}

static int drive_single(lua_State *L)
{
    body_run *r = lua_touserdata(L, 1);
    lua_settop(L, 0);
    lua_pushcfunction(L, keep_traceback);
    lua_rawgeti(L, LUA_REGISTRYINDEX, r->f->ref);
    int n = push_lead(L, r->a);
    n += push_constants(L, r->a);
    r->started = fr_clock_wall_ns();
    int status = lua_pcallk(L, n, LUA_MULTRET, HANDLER, (lua_KContext)r, after_single);
    return after_single(L, status, (lua_KContext)r);
}

// Replaces the list on top by its items.
static int spread(lua_State *L)
{
    int n = (int)lua_rawlen(L, -1), list = lua_gettop(L);
    luaL_checkstack(L, n + 8, "too many arguments");
    for (int i = 1; i <= n; i++) {
        lua_rawgeti(L, list, i);
    }
    lua_remove(L, list);
    return n;
}

static int after_item(lua_State *L, int status, lua_KContext ctx);

// Items of the chunk, one after the other, until none is left or one waits.
static int next_item(lua_State *L, body_run *r)
{
    fr_body *b = r->b;
    const fr_attempt *a = r->a;
    int64_t now = fr_clock_wall_ns();
    while (b->env.claim(b->env.ctx, r->a, now, &r->item)) {
        r->started = now;
        r->open = true;
        r->rand_ready = false;
        r->effects = r->messages = 0;
        fr_value_unref(r->kept);
        r->kept = NULL;
        r->kept_ns = 0;
        r->kept_unsent = false;
        fr_buf_clear(&r->outbox);
        r->code = FR_OK;
        r->log_from = r->log_to = 0;
        b->items++;
        lua_pushvalue(L, FUNCTION);
        int n = push_lead(L, a);
        marshal_push_part(L, a->list, a->list->bytes + a->offsets[r->item],
                          a->offsets[r->item + 1] - a->offsets[r->item], a->deps,
                          a->n_deps);
        n += a->tuples ? spread(L) : 1;
        n += push_constants(L, a);
        int status = lua_pcallk(L, n, LUA_MULTRET, HANDLER, (lua_KContext)r, after_item);
        finish_call(L, r, status == LUA_OK, lua_gettop(L) - FUNCTION);
        lua_settop(L, FUNCTION);
        now = r->ended;
    }
    return 0;
}

static int after_item(lua_State *L, int status, lua_KContext ctx)
{
    body_run *r = (body_run *)ctx;
    finish_call(L, r, status == LUA_OK || status == LUA_YIELD, lua_gettop(L) - FUNCTION);
    lua_settop(L, FUNCTION);
    return r->detached ? 0 : next_item(L, r);
}

static int drive_chunk(lua_State *L)
{
    body_run *r = lua_touserdata(L, 1);
    lua_settop(L, 0);
    lua_pushcfunction(L, keep_traceback);
    lua_rawgeti(L, LUA_REGISTRYINDEX, r->f->ref);
    return next_item(L, r);
}

// --- a stretch of execution ---

// The driver itself failed: damaged arguments, no memory, or a yield that is not ours. An
// interrupt that came when the call had ended already has nothing to fail.
static void fail_driver(body_run *r)
{
    lua_State *co = r->co;
    if (!r->open) {
        return;
    }
    if (lua_status(co) == LUA_YIELD) {
        body_set_error(r, FR_ESTATE, "coroutine.yield outside a coroutine");
    } else {
        int code;
        fr_value *error = bind_error_of(r->b->L, co, &code);
        set_error(r, error, code);
    }
    r->ended = fr_clock_wall_ns();
    r->open = false;
    r->over = true;
}

void body_resume(body_run *r, int nargs)
{
    fr_body *b = r->b;
    body_run *outer = b->current;
    b->current = r;
    int results;
    bind_running_enter(&b->running, r->co);
    int status = lua_resume(r->co, b->L, nargs, &results);
    bind_running_leave(&b->running, r->co);
    b->current = outer;
    if (status != LUA_OK && !r->waits) {
        fail_driver(r);
    }
}

// After leave.
void body_finish(body_run *r)
{
    if (r->over) {
        send_outcome(r);
        free_run(r);
    }
}

static void resume_first(body_run *r, lua_CFunction driver)
{
    lua_pushcfunction(r->co, driver);
    lua_pushlightuserdata(r->co, r);
    body_resume(r, 1);
}

static void learn(body_function *f, int64_t ns)
{
    uint64_t old = f->mean_ns, new = (uint64_t)FR_MIN(FR_MAX(ns, 1), UINT32_MAX);
    f->mean_ns = (uint32_t)(old == 0 ? new : (7 * old + new) / 8);
}

static void run_single(fr_body *b, fr_attempt *a, body_function *f)
{
    body_run *r = new_run(b, a, f);
    int64_t start = fr_clock_wall_ns(), cpu = 0;
    r->started = start;
    r->open = true;
    bool measure = f->mean_ns == 0 || f->mean_ns > MEASURE_CPU_NS;
    if (measure) {
        cpu = fr_clock_thread_cpu_ns();
    }
    if (b->env.enter(b->env.ctx, a, 0)) {
        resume_first(r, drive_single);
    } else {
        int code = atomic_load(&a->cancel.flag);
        body_set_error(r, code, fr_err_text(code));
        r->ended = start;
        r->open = false;
        r->over = true;
    }
    int64_t took = FR_MAX((r->over ? r->ended : fr_clock_wall_ns()) - start, 0);
    r->cpu_ns = measure ? fr_clock_thread_cpu_ns() - cpu : took;
    learn(f, took);
    b->env.leave(b->env.ctx, a, took, 1);
    body_finish(r);
}

static void run_chunk(fr_body *b, fr_attempt *a, body_function *f)
{
    int64_t start = fr_clock_wall_ns();
    bool go = b->env.enter(b->env.ctx, a, 0);
    b->items = 0;
    while (go) {
        uint32_t before = b->items;
        body_run *r = new_run(b, a, f);
        r->mapped = true;
        resume_first(r, drive_chunk);
        go = b->items > before; // an item waits, or the driver failed
        if (r->waits) {
            continue;
        }
        go = go && lua_status(r->co) != LUA_OK;
        if (r->over) {
            send_outcome(r); // the item at which the driver failed
        }
        free_run(r);
    }
    b->env.leave(b->env.ctx, a, FR_MAX(fr_clock_wall_ns() - start, 0), b->items);
}

// --- functions ---

static int push_sources(lua_State *L)
{
    const fr_code *code = lua_touserdata(L, lua_upvalueindex(1));
    lua_pushlstring(L, code->sources, code->size);
    return 1;
}

// Protected: (attempt) -> reference to the function.
static int load_function(lua_State *L)
{
    const fr_attempt *a = lua_touserdata(L, 1);
    char hash[FR_HASH_TEXT];
    fr_hash_text(a->code->bundle, hash);
    lua_getglobal(L, "require");
    lua_pushliteral(L, "flowrun.worker");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "find");
    lua_pushstring(L, hash);
    lua_pushlightuserdata(L, a->code);
    lua_pushcclosure(L, push_sources, 1);
    lua_pushstring(L, a->task);
    lua_pushstring(L, a->option);
    lua_call(L, 4, 1);
    luaL_checktype(L, -1, LUA_TFUNCTION);
    lua_pushinteger(L, luaL_ref(L, LUA_REGISTRYINDEX));
    return 1;
}

static bool same(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static void remember(fr_body *b, const fr_attempt *a, body_function *f)
{
    fr_free(b->last_task);
    fr_free(b->last_option);
    b->last = f;
    b->last_bundle = a->code->bundle;
    b->last_task = fr_strdup(a->task);
    b->last_option = a->option != NULL ? fr_strdup(a->option) : NULL;
}

// NULL: *error says why.
static body_function *find_function(fr_body *b, fr_attempt *a, fr_value **error,
                                    int *code)
{
    if (b->last != NULL && fr_hash_eq(b->last_bundle, a->code->bundle) &&
        same(b->last_task, a->task) && same(b->last_option, a->option)) {
        return b->last;
    }
    fr_hash key = fr_hash_pair(a->code->bundle, fr_hash_str(a->task));
    if (a->option != NULL) {
        key = fr_hash_pair(key, fr_hash_str(a->option));
    }
    const uint64_t *known = fr_map_find(&b->functions, key);
    body_function *f = known != NULL ? (body_function *)(uintptr_t)*known : NULL;
    if (f == NULL) {
        lua_pushcfunction(b->L, keep_traceback);
        lua_pushcfunction(b->L, load_function);
        lua_pushlightuserdata(b->L, a);
        if (lua_pcall(b->L, 1, 1, -3) != LUA_OK) {
            lua_rawgetp(b->L, LUA_REGISTRYINDEX, &trace_key);
            *error = bind_error_pack(b->L, -2, lua_tostring(b->L, -1), code);
            lua_pop(b->L, 3);
            return NULL;
        }
        f = fr_zalloc(sizeof *f);
        f->ref = (int)lua_tointeger(b->L, -1);
        lua_pop(b->L, 2);
        if (a->option == NULL && ask(b, f, "watches")) {
            f->watched = lua_toboolean(b->L, -1);
            b->n_watched += f->watched;
            lua_pop(b->L, 1);
        }
        bool fresh;
        *fr_map_put(&b->functions, key, &fresh) = (uint64_t)(uintptr_t)f;
    }
    remember(b, a, f);
    return f;
}

static void fail_attempt(fr_body *b, fr_attempt *a, const fr_value *error, int code)
{
    int64_t now = fr_clock_wall_ns();
    fr_done d = {.code = code, .error = error, .started = now, .ended = now};
    if (a->list == NULL) {
        b->env.done(b->env.ctx, a, &d);
        return;
    }
    for (d.n_items = 1; b->env.claim(b->env.ctx, a, now, &d.index);) {
        b->env.done(b->env.ctx, a, &d);
    }
}

// --- operations ---

static void body_start(fr_body *b, fr_attempt *a)
{
    fr_value *error = NULL;
    int code = FR_OK;
    body_function *f = find_function(b, a, &error, &code);
    if (f == NULL) {
        fail_attempt(b, a, error, code);
        fr_value_unref(error);
    } else if (a->list != NULL) {
        run_chunk(b, a, f);
    } else {
        run_single(b, a, f);
    }
}

static uint32_t body_waiting(fr_body *b) { return b->n_waiting; }

static void body_each(fr_body *b, void (*fn)(void *ctx, fr_attempt *a, uint32_t item),
                      void *ctx)
{
    for (const body_run *r = b->waiting; r != NULL; r = r->next) {
        fn(ctx, r->a, r->item);
    }
}

static void body_interrupt(fr_body *b, int how)
{
    bind_running_interrupt(&b->running, how);
}

static int prepare_state(lua_State *L)
{
    fr_body *b = lua_touserdata(L, 1);
    lua_pushlightuserdata(L, b);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &body_key);
    bind_running_install(L, &b->running);
    return 0;
}

static int body_open(fr_body **out, const fr_body_env *env, fr_err *err)
{
    *out = NULL;
    const body_config *config = env->config;
    fr_body *b = fr_zalloc(sizeof *b);
    b->env = *env;
    fr_map_init(&b->functions);
    marshal_init(&b->m, FR_VALUE_MAX);
    b->L = fr_vm_new(config != NULL ? config->dev : NULL);
    int rc = FR_OK;
    if (b->L == NULL) {
        rc = fr_fail(err, FR_ENOMEM, "no memory for the Lua state of a worker");
    } else {
        lua_pushcfunction(b->L, prepare_state);
        lua_pushlightuserdata(b->L, b);
        if (lua_pcall(b->L, 1, 0, 0) != LUA_OK) {
            rc = bind_take_error(b->L, -1, err);
        }
    }
    if (rc != FR_OK) {
        bind_body_ops.close(b);
        return rc;
    }
    *out = b;
    return FR_OK;
}

void body_at_close(body_run *r, void (*fn)(void *ctx), void *ctx)
{
    body_closer *c = fr_alloc(sizeof *c);
    *c = (body_closer){.next = r->b->closers, .fn = fn, .ctx = ctx};
    r->b->closers = c;
}

static void on_timer_closed(uv_handle_t *h) { fr_free(h); }

static void free_runs(fr_body *b)
{
    while (b->spare != NULL) {
        body_run *r = b->spare;
        b->spare = r->next;
        fr_buf_fini(&r->outbox);
        if (r->timer != NULL) {
            uv_close((uv_handle_t *)r->timer, on_timer_closed);
        }
        fr_free(r);
    }
}

static void body_close(fr_body *b)
{
    while (b->closers != NULL) {
        body_closer *c = b->closers;
        b->closers = c->next;
        c->fn(c->ctx);
        fr_free(c);
    }
    if (b->L != NULL) {
        lua_close(b->L);
    }
    free_runs(b);
    for (size_t i = 0; i < b->functions.capacity; i++) {
        if (!fr_hash_is_zero(b->functions.slots[i].key)) {
            body_function *f = (body_function *)(uintptr_t)b->functions.slots[i].value;
            fr_free(f->changed);
            fr_free(f);
        }
    }
    fr_map_fini(&b->functions);
    marshal_fini(&b->m);
    fr_free(b->last_task);
    fr_free(b->last_option);
    fr_free(b);
}

const fr_body_ops bind_body_ops = {
    .open = body_open,
    .start = body_start,
    .look = body_look,
    .idle = body_idle,
    .waiting = body_waiting,
    .each = body_each,
    .interrupt = body_interrupt,
    .close = body_close,
};
