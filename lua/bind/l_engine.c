// flowrun.core.engine -- makes engines and runs, turns their loop, reads how a run stands.
#include "lua/bind/body.h"
#include "lua/bind/vm.h"
#include "lua/bind/engine_loop.h"
#include "core/base/clock.h"
#include "lua/bind/error_value.h"
#include "lua/bind/flow_host.h"
#include "lua/bind/flow_tick.h"
#include "lua/bind/object_box.h"
#include "lua/bind/self.h"

#include <uv.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ENGINE "flowrun.Engine"

typedef struct l_run l_run;

typedef struct l_engine {
    fr_engine *engine;
    uv_loop_t loop;
    uv_timer_t tick;
    char *home, *dev;
    body_config bodies;
    self_command reaper, worker;
    int trouble;                      // FR_OK, or the last code the store reported
    fr_err trouble_text;
    lua_State *L;
    int on_tick;                      // registry reference of what a tick calls
    l_run *runs;                      // all that are not closed
    bool open;
} l_engine;

struct l_run {
    fr_host *host;                    // NULL when closed
    l_engine *engine;
    l_run *next;
};

// --- signals: the handler counts, wakes the loop and interrupts running flow code ---

static volatile sig_atomic_t interrupts;
static volatile sig_atomic_t patient;     // a session: a second Ctrl-C does not kill
static volatile sig_atomic_t stop_asked;  // Ctrl-Z
static lua_State *volatile called;        // by engine_call
static uv_async_t *volatile wake_handle;

static void stop_hook(lua_State *L, lua_Debug *ar)
{
    (void)ar;
    if (interrupts < 2) {                  // the second one ends what catches the first, too
        lua_sethook(L, NULL, 0, 0);
    }
    (void)bind_fail(L, FR_ECANCELLED, "interrupted");
}

static void on_signal(int sig)
{
    if (++interrupts >= 2 && !patient) {
        (void)signal(sig, SIG_DFL);        // the second one kills
        (void)raise(sig);
    }
    uv_async_t *w = wake_handle;
    if (w != NULL) {
        (void)uv_async_send(w);
    }
    if (!flow_tick_now() && called != NULL) {
        lua_sethook(called, stop_hook, LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT, 1);
    }
}

static void on_stop_signal(int sig)
{
    (void)sig;
    uv_async_t *w = wake_handle;
    stop_asked = 1;
    if (w != NULL) {
        (void)uv_async_send(w);
    }
}

// A stopped process must not keep others from the store (engine.md E1): the store rests between
// two commits meanwhile. SIGCONT goes on from here.
static void stop_here(fr_store *store)
{
    struct sigaction stop = {.sa_handler = SIG_DFL}, ours;
    stop_asked = 0;
    if (store != NULL) {
        fr_store_pause(store, true);
    }
    (void)sigaction(SIGTSTP, &stop, &ours);
    (void)raise(SIGTSTP);
    (void)sigaction(SIGTSTP, &ours, NULL);
    if (store != NULL) {
        fr_store_pause(store, false);
    }
}

// --- engine ---

static l_engine *check_engine(lua_State *L)
{
    l_engine *e = luaL_checkudata(L, 1, ENGINE);
    if (!e->open) {
        (void)bind_fail(L, FR_ESTATE, "the engine is closed");
    }
    return e;
}

struct uv_loop_s *bind_engine_loop(lua_State *L, int arg)
{
    l_engine *e = luaL_checkudata(L, arg, ENGINE);
    luaL_argcheck(L, e->open, arg, "the engine is closed");
    return &e->loop;
}

static void on_trouble(void *ctx, int code, const fr_err *err)
{
    l_engine *e = ctx;
    e->trouble = code;
    e->trouble_text = *err;
}

// What does not stop makes the run execute itself anew, as resume (engine.md D3).
static void on_stuck(void *ctx, fr_run *run)
{
    l_engine *e = ctx;
    char id[32];
    (void)snprintf(id, sizeof id, "%llu", (unsigned long long)fr_run_id(run));
    fr_err err = FR_ERR_INIT;
    if (fr_engine_store(e->engine) == NULL || fr_run_id(run) == 0) {
        (void)fr_fail(&err, FR_ESTATE, "a task cannot be stopped (C code that does not return)");
        on_trouble(e, FR_ESTATE, &err);
        return;
    }
    (void)fprintf(stderr, "flowrun: a task does not stop; the run executes itself anew\n");
    (void)execl("/proc/self/exe", "flowrun", "resume", id, "--home", e->home, (char *)NULL);
    _exit(EXIT_FAILURE);
}

static int engine_open(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    static const char *const known[] = {"home", "workers", "relaxed", NULL};
    bind_options(L, 1, "engine.open", known);
    l_engine *e = lua_newuserdatauv(L, sizeof *e, 0);
    memset(e, 0, sizeof *e);
    e->on_tick = LUA_NOREF;
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
    e->L = lua_tothread(L, -1);
    lua_pop(L, 1);
    luaL_setmetatable(L, ENGINE);
    lua_getfield(L, 1, "home");
    const char *home = luaL_optstring(L, -1, NULL);
    lua_getfield(L, 1, "workers");
    uint32_t workers = (uint32_t)luaL_optinteger(L, -1, 0);
    lua_getfield(L, 1, "relaxed");
    bool relaxed = lua_toboolean(L, -1);
    int failed = uv_loop_init(&e->loop);
    if (failed != 0) {
        return bind_fail(L, FR_EIO, "cannot make an event loop: %s",
                         strerror(-failed));
    }
    (void)uv_timer_init(&e->loop, &e->tick);
    e->tick.data = e;
    e->home = home != NULL ? fr_strdup(home) : NULL;
    e->dev = fr_vm_dev(L) != NULL ? fr_strdup(fr_vm_dev(L)) : NULL;
    e->bodies.dev = e->dev;
    fr_engine_env env = {.loop = &e->loop, .home = e->home, .relaxed = relaxed,
                         .workers = workers, .bodies = &bind_body_ops,
                         .bodies_config = &e->bodies,
                         .kinds = bind_object_kinds(), .reaper_argv = e->reaper.words,
                         .worker_argv = e->worker.words, .trouble = on_trouble,
                         .stuck = on_stuck, .ctx = e};
    fr_err err = FR_ERR_INIT;
    int rc = self_command_make(SELF_REAPER, NULL, &e->reaper, &err);
    if (rc == FR_OK) {
        rc = self_command_make(SELF_WORKER, e->dev, &e->worker, &err);
    }
    if (rc == FR_OK) {
        rc = fr_engine_open(&env, &e->engine, &err);
    }
    if (rc != FR_OK) {
        uv_close((uv_handle_t *)&e->tick, NULL);
        (void)uv_run(&e->loop, UV_RUN_DEFAULT);
        (void)uv_loop_close(&e->loop);
        fr_free(e->home);
        fr_free(e->dev);
        return bind_raise(L, rc, &err);
    }
    e->open = true;
    lua_settop(L, 2);
    return 1;
}

static void close_async(uv_handle_t *h)
{
    fr_free(h);
}

static void close_wake(void)
{
    uv_async_t *w = wake_handle;
    wake_handle = NULL;
    uv_close((uv_handle_t *)w, close_async);
}

// Frees what the engine has of a run; its handles go on to say that it is closed.
static void close_run(l_run *r)
{
    for (l_run **p = &r->engine->runs; *p != NULL; p = &(*p)->next) {
        if (*p == r) {
            *p = r->next;
            break;
        }
    }
    fr_run_free(r->host->run);
    r->host->run = NULL;
    r->host->sched = NULL;
    r->host->dead = true;
}

// close([leave]): with leave the process ends next, and what runs hold goes with it.
static int engine_close(lua_State *L)
{
    l_engine *e = luaL_checkudata(L, 1, ENGINE);
    bool leave = lua_isboolean(L, 2) && lua_toboolean(L, 2);   // <close> passes an error here
    if (e->open) {
        for (l_run *r = e->runs, *next; r != NULL; r = next) {
            next = r->next;
            if (r->host->ended && !leave) {  // the others go with the process
                close_run(r);
            }
        }
        e->open = false;
        fr_engine_close(e->engine);
        if (wake_handle != NULL && wake_handle->loop == &e->loop) {
            close_wake();                    // the handler wakes nobody from now on
        }
        uv_close((uv_handle_t *)&e->tick, NULL);
        (void)uv_run(&e->loop, UV_RUN_DEFAULT);
        (void)uv_loop_close(&e->loop);
        fr_free(e->home);
        fr_free(e->dev);
    }
    return 0;
}

// engine:turn([wait]): one turn of the loop; wait = false does not block.
static int engine_turn(lua_State *L)
{
    l_engine *e = check_engine(L);
    bool wait = lua_isnoneornil(L, 2) || lua_toboolean(L, 2);
    (void)uv_run(&e->loop, wait ? UV_RUN_ONCE : UV_RUN_NOWAIT);
    return 0;
}

static void on_tick(uv_timer_t *t)
{
    l_engine *e = t->data;
    if (e->on_tick == LUA_NOREF) {
        return;
    }
    lua_rawgeti(e->L, LUA_REGISTRYINDEX, e->on_tick);
    if (lua_pcall(e->L, 0, 0, 0) != LUA_OK) {
        lua_pop(e->L, 1);              // a display that fails must not stop the run
    }
}

// engine:tick(ms [, fn]): turn() returns at least that often, after fn(); 0 = only when
// something happened.
static int engine_tick(lua_State *L)
{
    l_engine *e = check_engine(L);
    uint64_t ms = (uint64_t)luaL_checkinteger(L, 2);
    luaL_unref(L, LUA_REGISTRYINDEX, e->on_tick);
    e->on_tick = LUA_NOREF;
    if (lua_isfunction(L, 3)) {
        lua_pushvalue(L, 3);
        e->on_tick = luaL_ref(L, LUA_REGISTRYINDEX);
    }
    if (ms == 0) {
        (void)uv_timer_stop(&e->tick);
    } else {
        (void)uv_timer_start(&e->tick, on_tick, ms, ms);
        // It keeps the loop alive: a pause between attempts has nothing else.
    }
    return 0;
}

// engine:trouble(): nil, or code and message of what the store reported.
static int engine_trouble(lua_State *L)
{
    l_engine *e = check_engine(L);
    if (e->trouble == FR_OK) {
        return 0;
    }
    lua_pushstring(L, fr_err_name(e->trouble));
    lua_pushstring(L, e->trouble_text.text);
    return 2;
}

static void on_signal_wake(uv_async_t *w)
{
    l_engine *e = w->data;
    if (stop_asked) {
        stop_here(fr_engine_store(e->engine));
    }
}

// engine:signals(true [, patient]): SIGINT and SIGTERM are counted from now on, the second
// kills unless patient; SIGTSTP stops the process between two commits; (false) as they were.
static int engine_signals(lua_State *L)
{
    static struct sigaction before[3];         // listed in tests/tidy: what signals were
    l_engine *e = check_engine(L);
    bool on = lua_toboolean(L, 2);
    patient = lua_toboolean(L, 3);
    const int sigs[FR_COUNT(before)] = {SIGINT, SIGTERM, SIGTSTP};
    if (on == (wake_handle != NULL)) {
        return 0;
    }
    if (on) {
        uv_async_t *w = fr_alloc(sizeof *w);
        (void)uv_async_init(&e->loop, w, on_signal_wake);
        w->data = e;
        uv_unref((uv_handle_t *)w);
        interrupts = 0;
        wake_handle = w;
    }
    for (size_t i = 0; i < FR_COUNT(before); i++) {
        struct sigaction now = {.sa_handler = sigs[i] == SIGTSTP ? on_stop_signal : on_signal,
                                .sa_flags = SA_RESTART};
        (void)sigaction(sigs[i], on ? &now : &before[i], on ? &before[i] : NULL);
        if (on && sigs[i] == SIGTSTP && before[i].sa_handler == SIG_IGN) {
            (void)sigaction(sigs[i], &before[i], NULL);    // a shell without job control
        }
    }
    if (!on) {
        close_wake();
        (void)uv_run(&e->loop, UV_RUN_NOWAIT);
    }
    return 0;
}

static int engine_interrupts(lua_State *L)
{
    lua_pushinteger(L, interrupts);
    return 1;
}

// call(fn, ...): as pcall, and Ctrl-C ends it (between signals(true) and signals(false)).
static int engine_call(lua_State *L)
{
    luaL_checkany(L, 1);
    lua_State *outer = called;
    called = L;
    int status = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
    called = outer;
    lua_sethook(L, NULL, 0, 0);
    lua_pushboolean(L, status == LUA_OK);
    lua_insert(L, 1);
    return lua_gettop(L);
}

// --- runs ---

static l_run *check_run(lua_State *L)
{
    l_run *r = luaL_checkudata(L, 1, FLOW_RUN);
    if (r->host == NULL || r->host->run == NULL) {
        (void)bind_fail(L, FR_ESTATE, "the run is closed");
    }
    return r;
}

struct fr_run *bind_engine_run(lua_State *L, int arg)
{
    l_run *r = luaL_checkudata(L, arg, FLOW_RUN);
    luaL_argcheck(L, r->host != NULL && r->host->run != NULL, arg, "the run is closed");
    return r->host->run;
}

static const char *string_field(lua_State *L, int t, const char *name, const char *otherwise)
{
    lua_getfield(L, t, name);
    return luaL_optstring(L, -1, otherwise);   // stays on the stack while it is used
}

static bool bool_field(lua_State *L, int t, const char *name)
{
    lua_getfield(L, t, name);
    bool v = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return v;
}

static int64_t ns_field(lua_State *L, int t, const char *name, double preset)
{
    lua_getfield(L, t, name);
    double s = luaL_optnumber(L, -1, preset);
    lua_pop(L, 1);
    return (int64_t)(FR_MIN(s, 1e9) * 1e9);
}

static void fill_spec(lua_State *L, fr_host *h, fr_value **params, fr_run_spec *spec)
{
    fr_err err = FR_ERR_INIT;
    size_t n = 0;
    lua_getfield(L, 2, "sources");
    const char *sources = luaL_optlstring(L, -1, "", &n);
    h->sources = fr_alloc(n + 1);
    memcpy(h->sources, sources, n);
    lua_getfield(L, 2, "params");
    if (marshal_value(L, -1, "params", marshal_scratch(L), params, &err) != FR_OK) {
        bind_raise_error(L, &err);
    }
    *spec = (fr_run_spec){.sources = h->sources, .sources_size = n, .host = flow_host_ops(h)};
    spec->info = (fr_run_info){.flow = string_field(L, 2, "flow", "?"),
                               .file = string_field(L, 2, "file", ""),
                               .options = string_field(L, 2, "options", NULL),
                               .params = *params, .state = FR_RUNNING, .reason = FR_BECAUSE_FIRST,
                               .attempt = 1, .started = fr_clock_wall_ns()};
    const char *hash = string_field(L, 2, "bundle", "");
    if (!fr_hash_parse(hash, strlen(hash), &spec->info.bundle)) {
        spec->info.bundle = fr_hash_bytes(sources, n);
    }
    lua_getfield(L, 2, "seed");
    spec->info.seed = (uint64_t)luaL_optinteger(L, -1, 0);
    lua_getfield(L, 2, "resume");
    spec->resume = (uint64_t)luaL_optinteger(L, -1, 0);
    lua_getfield(L, 2, "attempt");
    spec->info.attempt = (uint32_t)luaL_optinteger(L, -1, 1);
    spec->timeout_ns = ns_field(L, 2, "timeout", 0);
    spec->outbox_wait_ns = ns_field(L, 2, "outbox_wait", 10);
    spec->strict = bool_field(L, 2, "strict");
    spec->rerun = bool_field(L, 2, "rerun");
    spec->plan = bool_field(L, 2, "plan");
    spec->only = bool_field(L, 2, "only");
    spec->new_params = bool_field(L, 2, "new_params");
    lua_getfield(L, 2, "fork");
    spec->fork = (uint64_t)luaL_optinteger(L, -1, 0);
    lua_getfield(L, 2, "fork_at");
    spec->fork_at = (uint64_t)luaL_optinteger(L, -1, 0);
    if (lua_getfield(L, 2, "again") == LUA_TTABLE) {
        spec->n_again = (uint32_t)luaL_len(L, -1);
        fr_hash *keys = lua_newuserdatauv(L, (spec->n_again + 1) * sizeof *keys, 0);
        for (uint32_t i = 0; i < spec->n_again; i++) {
            size_t size = 0;
            lua_geti(L, -2, (lua_Integer)i + 1);
            const char *hex = luaL_checklstring(L, -1, &size);
            luaL_argcheck(L, fr_hash_parse(hex, size, &keys[i]), 2, "again: a key expected");
            lua_pop(L, 1);
        }
        spec->again = keys;                    // the stack keeps it while the run is made
    }
    lua_getfield(L, 2, "cache");
    static const char *const modes[] = {"use", "refresh", "off", NULL};
    spec->cache = (fr_cache_mode)luaL_checkoption(L, -1, "use", modes);
    const char *watch = string_field(L, 2, "cache_session", "");
    (void)fr_hash_parse(watch, strlen(watch), &spec->cache_session);
    h->cache_all = !fr_hash_is_zero(spec->cache_session);
    lua_getfield(L, 2, "retry");
    flow_opts *o = luaL_testudata(L, -1, FLOW_OPTS);
    if (o != NULL) {
        spec->retry = o->o.retry;
        spec->hooks = o->o.asks;
    }
    spec->rollback = bool_field(L, 2, "rollback");
    lua_getfield(L, 2, "hooks_of");
    if (lua_isstring(L, -1)) {
        h->hooks_of = fr_strdup(lua_tostring(L, -1));
        spec->hooks_of = h->hooks_of;
    }
    lua_getfield(L, 2, "started");
    spec->info.started = (int64_t)luaL_optinteger(L, -1, spec->info.started);
    spec->host.moment = bool_field(L, 2, "moments") ? spec->host.moment : NULL;
}

// full=, max_running=, limits = {{name=, slots=, rate=, period= (s)} ...}: the array stays on the
// stack.
static void fill_limits(lua_State *L, fr_run_spec *spec)
{
    static const char *const full[] = {"no", "queue", "skip", "cancel_new", "cancel_old", NULL};
    lua_getfield(L, 2, "full");
    spec->full = (fr_full)luaL_checkoption(L, -1, "no", full);
    lua_getfield(L, 2, "max_running");
    spec->max_running = (uint32_t)luaL_optinteger(L, -1, 0);
    if (lua_getfield(L, 2, "limits") != LUA_TTABLE || lua_rawlen(L, -1) == 0) {
        return;
    }
    int list = lua_gettop(L);
    size_t n = (size_t)lua_rawlen(L, list);
    fr_limit *all = lua_newuserdatauv(L, n * sizeof *all, 0);
    memset(all, 0, n * sizeof *all);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, list, (lua_Integer)i + 1);
        int t = lua_gettop(L);
        all[i].source = FR_LIMIT_SCRIPT;
        lua_getfield(L, t, "name");
        (void)snprintf(all[i].name, FR_LIMIT_NAME, "%s", luaL_checkstring(L, -1));
        lua_getfield(L, t, "slots");
        all[i].capacity = luaL_optinteger(L, -1, -1);
        lua_getfield(L, t, "rate");
        all[i].rate = (uint32_t)luaL_optinteger(L, -1, 0);
        lua_getfield(L, t, "period");
        all[i].period_ns = (int64_t)(luaL_optnumber(L, -1, 0) * 1e9);
        lua_settop(L, t - 1);
    }
    spec->limits = all;
    spec->n_limits = n;
}

static int run_gc(lua_State *L)
{
    l_run *r = luaL_checkudata(L, 1, FLOW_RUN);
    if (r->host != NULL && r->host->run == NULL) {
        flow_host_free(r->host);
        r->host = NULL;
    }
    return 0;
}

// engine:run(spec, body): a run whose flow body is body(params). Nothing runs before
// run:start(). The Run stays alive (handles point into it) until the state is closed.
static int engine_run(lua_State *L)
{
    l_engine *e = check_engine(L);
    luaL_checktype(L, 2, LUA_TTABLE);
    luaL_checktype(L, 3, LUA_TFUNCTION);
    lua_settop(L, 3);
    l_run *r = lua_newuserdatauv(L, sizeof *r, 1);
    *r = (l_run){.engine = e};
    luaL_setmetatable(L, FLOW_RUN);
    lua_pushvalue(L, 1);
    (void)lua_setiuservalue(L, 4, 1);
    r->host = flow_host_new(L);
    fr_value **params = marshal_box(L);
    fr_run_spec spec;
    fill_spec(L, r->host, params, &spec);
    spec.fail_fast = bool_field(L, 2, "fail_fast");
    fill_limits(L, &spec);
    lua_pushvalue(L, 3);
    lua_getfield(L, 2, "params");
    int thread = flow_host_thread(L, 1), defaults = LUA_NOREF;
    if (lua_getfield(L, 2, "defaults") == LUA_TTABLE) {
        defaults = flow_host_hold(r->host, L);
    }
    lua_pushvalue(L, 4);
    lua_rawsetp(L, LUA_REGISTRYINDEX, r);              // anchored until closed
    fr_err err = FR_ERR_INIT;
    int rc = fr_engine_run(e->engine, &spec, &r->host->run, &err);
    if (rc != FR_OK) {
        luaL_unref(L, LUA_REGISTRYINDEX, thread);
        lua_pushnil(L);
        lua_rawsetp(L, LUA_REGISTRYINDEX, r);
        return bind_raise(L, rc, &err);
    }
    r->next = e->runs;
    e->runs = r;
    r->host->sched = fr_run_sched(r->host->run);
    const fr_code *code = fr_run_code(r->host->run);
    r->host->info.id = code->run;
    r->host->info.seed = code->seed;
    r->host->info.name = code->name;
    r->host->info.flow_attempt = code->flow_attempt;
    r->host->info.params = code->params;
    r->host->info.log = code->log;
    flow_host_branch(r->host, FR_ROOT_BRANCH, thread);
    if (defaults != LUA_NOREF) {
        flow_host_defaults(r->host, FR_ROOT_BRANCH, defaults);
    }
    lua_settop(L, 4);
    return 1;
}

static int run_start(lua_State *L)
{
    l_run *r = check_run(L);
    flow_host_tick(r->host, true);
    fr_run_start(r->host->run);
    return 0;
}

static int run_id(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)fr_run_id(check_run(L)->host->run));
    return 1;
}

static int run_seed(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)check_run(L)->host->info.seed);
    return 1;
}

static int run_ended(lua_State *L)
{
    lua_pushboolean(L, check_run(L)->host->ended);
    return 1;
}

// run:waits(): its flow runs as often as it may; this run has not begun.
static int run_waits(lua_State *L)
{
    lua_pushboolean(L, fr_run_waits(check_run(L)->host->run));
    return 1;
}

static int run_cancel(lua_State *L)
{
    l_run *r = check_run(L);
    int code = fr_err_from_name(luaL_optstring(L, 2, "cancelled"));
    luaL_argcheck(L, code == FR_ECANCELLED || code == FR_ETIMEOUT, 2, "cancelled or timeout");
    fr_run_cancel(r->host->run, code, luaL_optstring(L, 3, ""));
    return 0;
}

static void set_error(lua_State *L, const fr_value *error)
{
    if (error != NULL) {
        bind_error_push(L, error);
        lua_setfield(L, -2, "error");
    }
}

static int run_outcome(lua_State *L)
{
    l_run *r = check_run(L);
    if (!r->host->ended) {
        return 0;
    }
    const fr_outcome *o = &r->host->outcome;
    lua_newtable(L);
    lua_pushstring(L, fr_state_name(o->state));
    lua_setfield(L, -2, "state");
    lua_pushstring(L, fr_reason_name(o->reason));
    lua_setfield(L, -2, "reason");
    flow_push_value(L, o->result);
    lua_setfield(L, -2, "result");
    set_error(L, o->error);
    if (r->host->retry_ns >= 0) {
        lua_pushnumber(L, (double)r->host->retry_ns / 1e9);
        lua_setfield(L, -2, "retry_in");
    }
    if (o->failed_node != FR_NO_NODE) {
        lua_pushinteger(L, o->failed_node);
        lua_setfield(L, -2, "failed");
    }
    return 1;
}

static void set_int(lua_State *L, const char *name, lua_Integer v)
{
    lua_pushinteger(L, v);
    lua_setfield(L, -2, name);
}

static int run_stats(lua_State *L)
{
    l_run *r = check_run(L);
    fr_sched_stats s;
    fr_sched_get_stats(r->host->sched, &s);
    lua_newtable(L);
#define SET(name) set_int(L, #name, (lua_Integer)s.name)
    SET(calls);
    SET(waiting);
    SET(queued);
    SET(running);
    SET(succeeded);
    SET(failed);
    SET(stopped);
    SET(skipped);
    SET(retries);
    SET(cached);
    SET(degraded);
    SET(replayed);
    SET(items);
    SET(items_done);
    SET(items_failed);
#undef SET
    set_int(L, "undelivered", fr_run_undelivered(r->host->run));
    return 1;
}

static void set_text(lua_State *L, const char *name, const char *text)
{
    lua_pushstring(L, text);
    lua_setfield(L, -2, name);
}

static void set_args(lua_State *L, const fr_value *args)
{
    if (args == NULL) {
        return;
    }
    marshal *m = marshal_scratch(L);
    fr_value_json(args, &m->out, 400);
    lua_pushlstring(L, fr_buf_text(&m->out), m->out.size);
    lua_setfield(L, -2, "args");
}

static const char *kind_name(fr_call_kind kind)
{
    switch (kind) {
    case FR_CALL_TASK:
        return "task";
    case FR_CALL_MAP:
        return "map";
    case FR_CALL_SLEEP:
        return "sleep";
    case FR_CALL_GROUP:
        return "group";
    case FR_CALL_FLOW:
        return "flow";
    case FR_CALL_ITEM:
        return "item";
    case FR_CALL_SIGNAL:
        return "signal";
    case FR_CALL_POKE:
        return "poke";
    case FR_CALL_HOOK:
        return "hook";
    }
    return "spawn";
}

// run:info(node): what displays need of one call, as a table; times in wall ns.
static int run_info(lua_State *L)
{
    l_run *r = check_run(L);
    lua_Integer node = luaL_checkinteger(L, 2);
    luaL_argcheck(L, node >= 0 && node < (lua_Integer)fr_sched_count(r->host->sched), 2,
                  "no such call");
    fr_node_info i;
    fr_sched_info(r->host->sched, (uint32_t)node, &i);
    lua_newtable(L);
    set_text(L, "name", i.name);
    set_text(L, "key", i.label);
    set_text(L, "where", i.where);
    set_text(L, "kind", kind_name(i.kind));
    set_text(L, "state", fr_state_name(i.state));
    set_text(L, "reason", fr_reason_name(i.reason));
    set_int(L, "row", i.row);
    set_int(L, "attempt", i.attempt);
    set_int(L, "retries", i.retries);
    if (i.flow != FR_NO_NODE) {
        set_int(L, "flow", i.flow);
    }
    lua_newtable(L);
    uint32_t dep;
    for (uint32_t k = 0; fr_sched_dep(r->host->sched, (uint32_t)node, k, &dep); k++) {
        lua_pushinteger(L, dep);
        lua_rawseti(L, -2, (lua_Integer)k + 1);
    }
    lua_setfield(L, -2, "deps");
    set_int(L, "items", i.items);
    set_int(L, "items_done", i.items_done);
    set_int(L, "items_failed", i.items_failed);
    set_int(L, "queued", i.queued);
    set_int(L, "started", i.started);
    set_int(L, "ended", i.ended);
    set_int(L, "due", i.due);
    lua_pushboolean(L, i.handled);
    lua_setfield(L, -2, "handled");
    lua_pushboolean(L, i.recorded);
    lua_setfield(L, -2, "recorded");
    set_error(L, i.error);
    set_args(L, i.args);
    return 1;
}

// run:tasks(): statistics per task in order of first use (see fr_task_stats).
static int run_tasks(lua_State *L)
{
    l_run *r = check_run(L);
    fr_task_stats t;
    lua_newtable(L);
    lua_Integer k = 0;
    for (uint32_t i = 0; fr_sched_task_stats(r->host->sched, i, &t); i++) {
        if (t.calls == 0) {
            continue;
        }
        lua_newtable(L);
        set_text(L, "name", t.name);
        set_int(L, "calls", t.calls);
        set_int(L, "ended", t.ended);
        set_int(L, "failed", t.failed);
        set_int(L, "running", t.running);
        set_int(L, "retries", t.retries);
        set_int(L, "recorded", t.recorded);
        set_int(L, "cached", t.cached);
        set_int(L, "degraded", t.degraded);
        set_int(L, "items", (lua_Integer)t.items);
        set_int(L, "items_done", (lua_Integer)t.items_done);
        set_int(L, "first_started", t.first_started);
        set_int(L, "last_ended", t.last_ended);
        set_int(L, "busy", t.busy_ns);
        set_int(L, "longest", t.longest_ns);
        lua_rawseti(L, -2, ++k);
    }
    return 1;
}

// run:arguments(node): the arguments of a call, as far as they are known (runs opened with
// plan = true keep them).
static int run_arguments(lua_State *L)
{
    fr_sched *s = check_run(L)->host->sched;
    lua_Integer node = luaL_checkinteger(L, 2);
    luaL_argcheck(L, node >= 0 && node < (lua_Integer)fr_sched_count(s), 2, "no such call");
    fr_value *deps[64];
    uint32_t n = 0, at;
    const fr_value *args = fr_sched_arguments(s, (uint32_t)node, deps, FR_COUNT(deps), &n);
    if (args == NULL) {
        return 0;
    }
    int top = lua_gettop(L), got = marshal_push_list(L, args, deps, n);
    for (at = 0; at < n; at++) {
        fr_value_unref(deps[at]);
    }
    return lua_gettop(L) - top == got ? got : 0;
}

static int run_count(lua_State *L)
{
    lua_pushinteger(L, fr_sched_count(check_run(L)->host->sched));
    return 1;
}

// run:running([most]): nodes running now, oldest first, and how many there are.
static int run_running(lua_State *L)
{
    enum { MOST = 64 };
    l_run *r = check_run(L);
    uint32_t nodes[MOST];
    uint32_t most = (uint32_t)FR_MIN(FR_MAX(luaL_optinteger(L, 2, MOST), 0), MOST);
    uint32_t n = fr_sched_running(r->host->sched, nodes, most);
    lua_createtable(L, (int)FR_MIN(n, most), 0);
    for (uint32_t i = 0; i < FR_MIN(n, most); i++) {
        lua_pushinteger(L, nodes[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_pushinteger(L, n);
    return 2;
}

// run:moments(): what happened since the last call: list of {what, node}, and how many
// were dropped because nobody asked in time; nil when nothing did.
static int run_moments(lua_State *L)
{
    static const char *const names[] = {"started", "retry", "ended", "items"};
    fr_host *h = check_run(L)->host;
    uint32_t n = h->moment_tail - h->moment_head;
    if (n == 0) {
        return 0;
    }
    lua_createtable(L, (int)n, 0);
    for (uint32_t i = 0; i < n; i++) {
        host_moment *m = &h->moments[h->moment_head++ % HOST_MOMENTS];
        lua_createtable(L, 2, 0);
        lua_pushstring(L, names[m->what]);
        lua_rawseti(L, -2, 1);
        lua_pushinteger(L, m->node);
        lua_rawseti(L, -2, 2);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_pushinteger(L, (lua_Integer)h->moments_lost);
    h->moments_lost = 0;
    return 2;
}

// run:close(): after it ended; frees all but what handles need to say that it is over.
static int run_close(lua_State *L)
{
    l_run *r = luaL_checkudata(L, 1, FLOW_RUN);
    if (r->host != NULL && r->host->run != NULL) {
        if (!r->host->ended) {
            return bind_fail(L, FR_ESTATE, "the run has not ended; cancel it first");
        }
        close_run(r);
        lua_pushnil(L);
        lua_rawsetp(L, LUA_REGISTRYINDEX, r);          // its handles keep what they need
    }
    return 0;
}

static const luaL_Reg engine_methods[] = {
    {"run", engine_run},         {"turn", engine_turn},       {"tick", engine_tick},
    {"trouble", engine_trouble}, {"signals", engine_signals}, {"interrupts", engine_interrupts},
    {"close", engine_close},     {NULL, NULL},
};

static const luaL_Reg run_methods[] = {
    {"start", run_start},     {"id", run_id},         {"seed", run_seed},     {"ended", run_ended},
    {"cancel", run_cancel},   {"outcome", run_outcome}, {"stats", run_stats},
    {"info", run_info},       {"count", run_count},   {"running", run_running},
    {"moments", run_moments}, {"tasks", run_tasks},   {"arguments", run_arguments},
    {"close", run_close},     {"waits", run_waits},
    {NULL, NULL},
};

static const luaL_Reg no_meta[] = {{NULL, NULL}};

static const luaL_Reg functions[] = {
    {"open", engine_open}, {"call", engine_call}, {NULL, NULL}};

int luaopen_flowrun_core_engine(lua_State *L)
{
    bind_class(L, ENGINE, engine_methods, no_meta, engine_close);
    bind_class(L, FLOW_RUN, run_methods, no_meta, run_gc);
    luaL_newlib(L, functions);
    return 1;
}
