// flowrun.core.sh -- run(spec): a child process. In a task body the worker goes on with
// other bodies meanwhile; elsewhere it blocks. lua/flowrun/sh.lua checks the options.
#include "core/base/mem.h"
#include "core/engine/gpu.h"
#include "core/engine/child.h"
#include "lua/bind/body.h"
#include "lua/bind/self.h"

#include <uv.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CALL "flowrun.ShellCall"

enum { LINE_MAX_BYTES = 16 * 1024, MOST_WORDS = 4096, LEVEL_OUT = 20, LEVEL_ERR = 30 };

// The channels of one loop, one for each reaper in use.
typedef struct channel {
    struct channel *next;
    fr_reaper *reaper;
    fr_children *children;
} channel;

typedef struct shell {
    uv_loop_t *loop;
    channel *list;
    fr_reaper *own; // for attempts whose run has none
} shell;

typedef struct stream {
    fr_buf kept;
    fr_buf line; // not yet ended
    bool cut;    // more came than max_bytes
} stream;

typedef struct call { // userdata
    body_run *r;      // NULL outside bodies
    fr_child *child;
    stream out[2];
    bool keep, log, waits, over;
    fr_child_end end;
} call;

// --- channels ---

static void close_channel(channel *c)
{
    fr_children_close(c->children);
    fr_free(c);
}

static void close_shell(void *ctx)
{
    shell *s = ctx;
    while (s->list != NULL) {
        channel *c = s->list;
        s->list = c->next;
        close_channel(c);
    }
    fr_reaper_free(s->own);
    fr_free(s);
}

static const char shell_key = 0; // registry: the shell of a worker's state

static shell *shell_of(lua_State *L, body_run *r)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &shell_key);
    shell *s = lua_touserdata(L, -1);
    lua_pop(L, 1);
    if (s == NULL) {
        s = fr_zalloc(sizeof *s);
        s->loop = body_loop(r);
        body_at_close(r, close_shell, s);
        lua_pushlightuserdata(L, s);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &shell_key);
    }
    return s;
}

static void forget_lost(shell *s)
{
    for (channel **p = &s->list; *p != NULL;) {
        channel *c = *p;
        if (fr_children_lost(c->children)) {
            *p = c->next;
            close_channel(c);
        } else {
            p = &c->next;
        }
    }
}

static int channel_of(shell *s, fr_reaper *reaper, fr_children **out, fr_err *err)
{
    forget_lost(s);
    if (reaper == NULL) {
        s->own = s->own != NULL ? s->own : fr_reaper_new(NULL);
        reaper = s->own;
    }
    for (channel *c = s->list; c != NULL; c = c->next) {
        if (c->reaper == reaper) {
            *out = c->children;
            return FR_OK;
        }
    }
    self_command command;
    int rc = self_command_make(SELF_REAPER, NULL, &command, err);
    if (rc == FR_OK) {
        rc = fr_children_open(s->loop, reaper, command.words, out, err);
    }
    if (rc == FR_OK) {
        channel *c = fr_alloc(sizeof *c);
        *c = (channel){.next = s->list, .reaper = reaper, .children = *out};
        s->list = c;
    }
    return rc;
}

// --- output ---

static void log_line(call *c, int which)
{
    fr_buf *line = &c->out[which].line;
    if (c->log && c->r != NULL) {
        body_log(c->r, which == 0 ? LEVEL_OUT : LEVEL_ERR, (const char *)line->data,
                 line->size);
    }
    fr_buf_clear(line);
}

static void on_output(void *ctx, int number, const char *bytes, size_t n)
{
    call *c = ctx;
    stream *s = &c->out[number - 1];
    if (c->keep && !s->cut) {
        size_t room = s->kept.max - s->kept.size;
        fr_buf_put(&s->kept, bytes, FR_MIN(n, room));
        s->cut = n > room;
    }
    while (n > 0) {
        const char *end = memchr(bytes, '\n', n);
        size_t part = FR_MIN(end != NULL ? (size_t)(end - bytes) : n,
                             LINE_MAX_BYTES - s->line.size);
        fr_buf_put(&s->line, bytes, part);
        bool whole = end != NULL && bytes + part == end;
        if (whole || s->line.size == LINE_MAX_BYTES) {
            log_line(c, number - 1);
        }
        part += whole;
        bytes += part;
        n -= part;
    }
}

static void on_ended(void *ctx, const fr_child_end *end)
{
    call *c = ctx;
    c->end = *end;
    c->over = true;
    c->child = NULL;
    for (int i = 0; i < 2; i++) {
        if (c->out[i].line.size > 0) {
            log_line(c, i);
        }
    }
    if (c->waits) {
        c->waits = false;
        body_wake(c->r);
    }
}

// --- calls ---

static int call_gc(lua_State *L)
{
    call *c = luaL_checkudata(L, 1, CALL);
    if (c->child != NULL) {
        fr_child_drop(c->child);
        c->child = NULL;
    }
    for (int i = 0; i < 2; i++) {
        fr_buf_fini(&c->out[i].kept);
        fr_buf_fini(&c->out[i].line);
    }
    return 0;
}

static bool cancel_call(void *ctx, bool now)
{
    call *c = ctx;
    if (now) {
        c->waits = false;
        fr_child_drop(c->child);
        c->child = NULL;
        return true;
    }
    fr_child_stop(c->child);
    return false; // on_ended wakes the body: then it has really stopped
}

// Copies a list of strings at field `name` into an array of the Lua heap; NULL when
// absent.
static const char **string_list(lua_State *L, int spec, const char *name)
{
    if (lua_getfield(L, spec, name) == LUA_TNIL) {
        return NULL;
    }
    lua_Integer n = luaL_len(L, -1);
    luaL_argcheck(L, n <= MOST_WORDS, spec, "too many words");
    const char **list = lua_newuserdatauv(L, ((size_t)n + 1) * sizeof *list, 0);
    for (lua_Integer i = 1; i <= n; i++) {
        (void)lua_geti(L, -2, i);
        list[i - 1] = luaL_checkstring(L, -1); // lives in the caller's table
        lua_pop(L, 1);
    }
    list[n] = NULL;
    return list;
}

static bool flag(lua_State *L, int spec, const char *name)
{
    (void)lua_getfield(L, spec, name);
    bool on = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return on;
}

static lua_Integer number(lua_State *L, int spec, const char *name)
{
    (void)lua_getfield(L, spec, name);
    lua_Integer n = luaL_checkinteger(L, -1);
    lua_pop(L, 1);
    return n;
}

enum { SPEC = 1, STATE = 2 }; // stack: the options, the call

// Starts the call's child through a channel of s. A reaper that is gone is replaced once.
static void start(lua_State *L, shell *s, fr_reaper *reaper)
{
    call *c = lua_touserdata(L, STATE);
    fr_child_spec spec = {.output = on_output, .ended = on_ended, .ctx = c};
    spec.argv = string_list(L, SPEC, "argv");
    spec.env = string_list(L, SPEC, "env");
    spec.timeout_ms = number(L, SPEC, "timeout_ms");
    spec.grace_ms = number(L, SPEC, "grace_ms");
    (void)lua_getfield(L, SPEC, "cwd");
    spec.dir = lua_tostring(L, -1);
    (void)lua_getfield(L, SPEC, "stdin");
    spec.input = lua_tolstring(L, -1, &spec.input_size);
    fr_err err = FR_ERR_INIT;
    int rc = FR_ELOST;
    for (int i = 0; i < 2 && rc == FR_ELOST; i++) {
        fr_children *children;
        rc = channel_of(s, reaper, &children, &err);
        if (rc == FR_OK) {
            rc = fr_child_start(children, &spec, &c->child, &err);
        }
    }
    if (rc != FR_OK) {
        bind_raise_error(L, &err);
    }
    lua_settop(L, STATE);
}

static void push_stream(lua_State *L, call *c, int i, const char *name)
{
    stream *s = &c->out[i];
    lua_pushlstring(L, s->kept.size > 0 ? (const char *)s->kept.data : "", s->kept.size);
    lua_setfield(L, -2, name);
    if (s->cut) {
        lua_pushboolean(L, true);
        lua_setfield(L, -2, "cut");
    }
}

static int push_result(lua_State *L)
{
    call *c = lua_touserdata(L, STATE);
    const fr_child_end *e = &c->end;
    lua_createtable(L, 0, 8);
    if (e->start_errno != 0) {
        lua_pushstring(L, strerror(e->start_errno));
        lua_setfield(L, -2, "failed");
        return 1;
    }
    lua_pushboolean(L, e->lost);
    lua_setfield(L, -2, "lost");
    lua_pushboolean(L, e->timed_out);
    lua_setfield(L, -2, "timed_out");
    lua_pushinteger(L, e->code);
    lua_setfield(L, -2, "code");
    if (e->signal != 0) {
        lua_pushinteger(L, e->signal);
        lua_setfield(L, -2, "signal");
        lua_pushstring(L, sigabbrev_np(e->signal));
        lua_setfield(L, -2, "signal_name");
    }
    lua_pushnumber(L, (double)e->cpu_ns * 1e-9);
    lua_setfield(L, -2, "cpu_s");
    lua_pushinteger(L, (lua_Integer)e->max_rss_kib * 1024);
    lua_setfield(L, -2, "max_rss_bytes");
    push_stream(L, c, 0, "out");
    push_stream(L, c, 1, "err");
    return 1;
}

static int ended(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    (void)ctx;
    return push_result(L);
}

// After the effect barrier.
static int run_in_body(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    body_run *r = (body_run *)ctx;
    call *c = lua_touserdata(L, STATE);
    body_can_wait(L, r);
    c->r = r;
    start(L, shell_of(L, r), body_attempt(r)->code->reaper);
    c->waits = true;
    return body_suspend(L, r, cancel_call, ended, c);
}

static int run_loop(lua_State *L) // protected: (spec, call, shell)
{
    shell *s = lua_touserdata(L, 3);
    lua_settop(L, STATE);
    start(L, s, NULL);
    call *c = lua_touserdata(L, STATE);
    while (!c->over) {
        (void)uv_run(s->loop, UV_RUN_ONCE);
    }
    return push_result(L);
}

static int run_alone(lua_State *L)
{
    uv_loop_t loop;
    if (uv_loop_init(&loop) != 0) {
        return bind_fail(L, FR_EIO, "no event loop for a child process");
    }
    sigset_t pipe_signal, before;
    (void)sigemptyset(&pipe_signal);
    (void)sigaddset(&pipe_signal, SIGPIPE); // a child may close its input early
    (void)pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
    shell *s = fr_zalloc(sizeof *s);
    s->loop = &loop;
    lua_pushcfunction(L, run_loop);
    lua_pushvalue(L, SPEC);
    lua_pushvalue(L, STATE);
    lua_pushlightuserdata(L, s);
    int rc = lua_pcall(L, 3, 1, 0);
    call *c = lua_touserdata(L, STATE);
    c->child = NULL;
    close_shell(s);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&loop);
    static const struct timespec at_once = {0, 0};
    (void)sigtimedwait(&pipe_signal, NULL, &at_once);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc == LUA_OK ? 1 : lua_error(L);
}

static int sh_run(lua_State *L)
{
    luaL_checktype(L, SPEC, LUA_TTABLE);
    lua_settop(L, SPEC);
    lua_Integer most = number(L, SPEC, "max_bytes");
    call *c = lua_newuserdatauv(L, sizeof *c, 0);
    memset(c, 0, sizeof *c);
    luaL_setmetatable(L, CALL);
    for (int i = 0; i < 2; i++) {
        fr_buf_init(&c->out[i].kept, (size_t)FR_MAX(most, 0));
        fr_buf_init(&c->out[i].line, LINE_MAX_BYTES);
    }
    c->keep = flag(L, SPEC, "capture");
    c->log = flag(L, SPEC, "log");
    body_run *r = body_current(L);
    return r != NULL ? body_barrier(L, r, run_in_body, r) : run_alone(L);
}

// environment() -> list of "NAME=value".
static int sh_environment(lua_State *L)
{
    lua_newtable(L);
    for (lua_Integer i = 0; environ[i] != NULL; i++) {
        lua_pushstring(L, environ[i]);
        lua_seti(L, -2, i + 1);
    }
    return 1;
}

// devices() -> "0,3": the graphics processors of the task that runs; nil when it asked for none.
static int sh_devices(lua_State *L)
{
    const body_run *r = body_current(L);
    uint64_t bits = r != NULL ? body_attempt(r)->gpus : 0;
    if (bits == 0) {
        return 0;
    }
    char text[4 * FR_GPUS];
    fr_gpus_text(bits, text, sizeof text);
    lua_pushstring(L, text);
    return 1;
}

int luaopen_flowrun_core_sh(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"run", sh_run}, {"environment", sh_environment}, {"devices", sh_devices}, {NULL, NULL}};
    bind_class(L, CALL, NULL, NULL, call_gc);
    luaL_newlib(L, functions);
    return 1;
}
