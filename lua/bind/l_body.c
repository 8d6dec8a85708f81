// flowrun.core.body -- what Lua code inside task bodies asks of its worker. Outside of a
// body the functions say so, except those that are useful everywhere.

#include "core/base/clock.h"
#include "core/engine/late.h"
#include "core/engine/store.h"
#include "lua/bind/body_int.h"
#include "lua/bind/flow_host.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static body_run *must_be_inside(lua_State *L, const char *what)
{
    body_run *r = body_current(L);
    if (r == NULL) {
        (void)bind_fail(L, FR_ESTATE, "%s works only in the body of a task or flow",
                        what);
    }
    return r;
}

// inside() -> whether a task body runs here.
static int body_inside(lua_State *L)
{
    lua_pushboolean(L, body_current(L) != NULL);
    return 1;
}

// now() -> seconds since 1970 UTC, not recorded.
static int body_now(lua_State *L)
{
    lua_pushnumber(L, (double)fr_clock_wall_ns() * 1e-9);
    return 1;
}

// Blocks. A signal handler that sets a hook, as Ctrl-C at the prompt does, ends it: the hook
// raises when we are back in Lua.
static void doze(lua_State *L, double seconds)
{
    seconds = FR_MIN(seconds, 1e9);
    struct timespec rest = {.tv_sec = (time_t)seconds,
                            .tv_nsec = (long)((seconds - floor(seconds)) * 1e9)};
    while (nanosleep(&rest, &rest) != 0 && errno == EINTR && lua_gethook(L) == NULL) {
    }
}

// sleep(seconds): other bodies run meanwhile. Outside bodies it blocks.
static int body_sleep_lua(lua_State *L)
{
    double seconds = luaL_checknumber(L, 1);
    body_run *r = body_current(L);
    if (r != NULL) {
        return body_sleep(L, r, seconds);
    }
    if (seconds > 0) {
        doze(L, seconds);
    }
    return 0;
}

void body_log(body_run *r, int level, const char *text, size_t n)
{
    const fr_attempt *a = r->a;
    if (a->code->line != NULL) {
        (void)a->code->line(a->code->line_ctx, a, r->item, level, text, n);
        return;
    }
    if (a->code->log == NULL) {
        (void)fprintf(stderr, "%s: %.*s\n", a->task, (int)FR_MIN(n, 1U << 20), text);
        return;
    }
    uint64_t at = fr_store_log(a->code->log, a->row, r->item, a->attempt, level, text, n);
    if (r->log_to == 0) {
        r->log_from = at;
    }
    r->log_to = at + n + 1;
}

// log(level, text) -> false outside bodies.
static int body_log_lua(lua_State *L)
{
    int level = (int)luaL_checkinteger(L, 1);
    size_t n;
    const char *text = luaL_checklstring(L, 2, &n);
    body_run *r = body_current(L);
    if (r != NULL) {
        body_log(r, level, text, n);
    }
    lua_pushboolean(L, r != NULL);
    return 1;
}

// What is the same in every attempt of this call: the key, of a map's item its own.
static fr_hash key_of(const body_run *r)
{
    const fr_attempt *a = r->a;
    if (!r->mapped) {
        return a->key;
    }
    if (a->item_args == NULL) {
        return fr_hash_mix(a->key, r->item);
    }
    uint32_t nth = a->duplicates != NULL ? a->duplicates[r->item] : 0;
    return fr_item_key(a->key, a->item_args[r->item], nth);
}

// draw() -> two 64-bit integers of the call's own stream: they depend on the run's seed,
// the call's key, and on which draw it is; not on attempt or scheduling.
static int body_draw(lua_State *L)
{
    body_run *r = must_be_inside(L, "fr.random");
    if (!r->rand_ready) {
        fr_rand_init(&r->rand, r->a->code->seed, key_of(r).lo);
        r->rand_ready = true;
    }
    lua_pushinteger(L, (lua_Integer)fr_rand_u64(&r->rand));
    lua_pushinteger(L, (lua_Integer)fr_rand_u64(&r->rand));
    return 2;
}

// stream() -> seed, stream number: of the generator that flowrun.random makes for this
// call.
static int body_stream(lua_State *L)
{
    body_run *r = must_be_inside(L, "fr.task_random");
    (void)body_draw(L);
    lua_settop(L, 0);
    lua_pushinteger(L, (lua_Integer)r->a->code->seed);
    lua_pushinteger(L, (lua_Integer)fr_rand_u64(&r->rand));
    return 2;
}

// checkpoint() -> what was kept last, by this attempt or one before it; nil: nothing was.
// checkpoint(v): keeps v.
static int body_checkpoint(lua_State *L)
{
    body_run *r = must_be_inside(L, "fr.checkpoint");
    if (lua_isnone(L, 1)) {
        const fr_value *v = r->kept != NULL ? r->kept : r->a->checkpoint;
        if (v == NULL) {
            return 0;
        }
        marshal_push(L, v, NULL, 0);
        return 1;
    }
    fr_err err = FR_ERR_INIT;
    fr_value *v;
    int rc = marshal_value(L, 1, "checkpoint", marshal_scratch(L), &v, &err);
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    body_keep(r, v);
    return 0;
}

// run_info() -> {id, flow, attempt, seed, params, task, item}; nil outside bodies.
static int body_run_info(lua_State *L)
{
    const body_run *r = body_current(L);
    if (r == NULL) {
        return 0;
    }
    const fr_code *code = r->a->code;
    lua_createtable(L, 0, 7);
    lua_pushinteger(L, (lua_Integer)code->run);
    lua_setfield(L, -2, "id");
    lua_pushstring(L, code->name);
    lua_setfield(L, -2, "flow");
    lua_pushinteger(L, code->flow_attempt);
    lua_setfield(L, -2, "attempt");
    lua_pushinteger(L, (lua_Integer)code->seed);
    lua_setfield(L, -2, "seed");
    lua_pushstring(L, r->a->task);
    lua_setfield(L, -2, "task");
    lua_pushinteger(L, r->a->attempt);
    lua_setfield(L, -2, "task_attempt");
    if (code->params != NULL) {
        marshal_push(L, code->params, NULL, 0);
        lua_setfield(L, -2, "params");
    }
    return 1;
}

// Also of this run: numbers of runs start anew in every home, seeds are drawn.
static fr_hash key_in_run(const body_run *r)
{
    const fr_code *code = r->a->code;
    return fr_hash_mix(fr_hash_mix(key_of(r), code->run), code->seed);
}

// effect_key() -> idempotency key of the next effect of this call (engine.md D5): 32 hex
// digits, and the number of the effect within the call. The same in every attempt.
static int body_effect_key(lua_State *L)
{
    body_run *r = must_be_inside(L, "an effect's key");
    char text[FR_HASH_TEXT];
    // A delivery may be another run's: its key comes from the message alone.
    fr_hash key = r->a->aside ? r->a->key : key_in_run(r);
    fr_hash_text(key, text);
    lua_pushfstring(L, "%s-%d", text, (int)++r->effects);
    return 1;
}

// late(module) -> text, path of a module that this run required late; nil: not yet.
// late(module, path, text) -> text, path that count: these, or those another worker was first
// with. Outside of runs they are as given.
static int body_late(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1), *path = luaL_optstring(L, 2, NULL);
    body_run *r = body_current(L);
    fr_late *late = r != NULL ? r->a->code->late : NULL;
    const fr_late_module *m = NULL;
    if (path != NULL) {
        size_t n;
        const char *text = luaL_checklstring(L, 3, &n);
        if (late == NULL) {
            lua_insert(L, 2);
            return 2;
        }
        m = fr_late_put(late, name, path, text, n);
    } else if (late != NULL) {
        m = fr_late_find(late, name);
    }
    if (m == NULL) {
        return 0;
    }
    lua_pushlstring(L, m->text, m->size);
    lua_pushstring(L, m->path);
    return 2;
}

// outbox_key() -> the same for the next message of this call: messages count by themselves.
static int body_outbox_key(lua_State *L)
{
    const body_run *r = must_be_inside(L, "fr.outbox");
    char text[FR_HASH_TEXT];
    fr_hash_text(key_in_run(r), text);
    lua_pushfstring(L, "%s-o%d", text, (int)r->messages + 1);
    return 1;
}

// Whether a success of what runs here has a record that takes messages along.
static bool leaves_messages(const fr_attempt *a)
{
    const char *o = a->option;
    return !a->aside && (o == NULL || strncmp(o, "on_", 3) == 0 || strcmp(o, "undo") == 0 ||
                         strcmp(o, "fallback") == 0);
}

// outbox(opts, task, name, key, args): leaves a message with the result of this call.
static int body_outbox(lua_State *L)
{
    body_run *r = must_be_inside(L, "fr.outbox");
    const flow_opts *o = luaL_checkudata(L, 1, FLOW_OPTS);
    fr_outbox_message m = {.task = luaL_checkstring(L, 2), .name = luaL_checkstring(L, 3),
                           .key = luaL_checkstring(L, 4), .retry = o->o.retry};
    luaL_checktype(L, 5, LUA_TTABLE);
    m.n_args = (uint32_t)lua_rawlen(L, 5);
    if (r->a->code->run == 0) {
        return bind_fail(L, FR_ESTATE, "fr.outbox needs a store to keep the message in; this "
                                       "run has none (--home)");
    }
    if (!leaves_messages(r->a)) {
        return bind_fail(L, FR_ESTATE, "fr.outbox works in the body of a task, its fallback, "
                                       "hooks and undo, not in option '%s' or a sender",
                         r->a->option != NULL ? r->a->option : "task");
    }
    if (r->messages >= FR_OUTBOX_MOST) {
        return bind_fail(L, FR_ELIMIT, "fr.outbox: a call leaves at most %d messages; map over "
                                       "them", FR_OUTBOX_MOST);
    }
    fr_value **args = marshal_box(L);
    fr_err err = FR_ERR_INIT;
    int rc = marshal_value(L, 5, "args", marshal_scratch(L), args, &err);
    if (rc == FR_OK && (*args)->objects > 0) {
        rc = fr_fail(&err, FR_ETYPE, "fr.outbox: args hold a frame, model or other object; send "
                                     "what it says as text or tables");
    }
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    m.args = (*args)->bytes;
    m.args_size = (*args)->size;
    fr_outbox_put(&r->outbox, &m);
    rc = fr_buf_check(&r->outbox, &err);
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    r->messages++;
    return 0;
}

static int nothing(lua_State *L, int status, lua_KContext ctx)
{
    (void)L;
    (void)status;
    (void)ctx;
    return 0;
}

// barrier(): waits until all that the flow has consumed is durable. Nothing outside
// bodies.
static int body_barrier_lua(lua_State *L)
{
    body_run *r = body_current(L);
    return r != NULL ? body_barrier(L, r, nothing, NULL) : 0;
}

int luaopen_flowrun_core_body(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"inside", body_inside},
        {"now", body_now},
        {"sleep", body_sleep_lua},
        {"log", body_log_lua},
        {"draw", body_draw},
        {"stream", body_stream},
        {"effect_key", body_effect_key},
        {"checkpoint", body_checkpoint},
        {"late", body_late},
        {"outbox_key", body_outbox_key},
        {"outbox", body_outbox},
        {"run_info", body_run_info},
        {"barrier", body_barrier_lua},
        {NULL, NULL},
    };
    luaL_newlib(L, functions);
    return 1;
}
