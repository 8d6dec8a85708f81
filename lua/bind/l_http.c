// flowrun.core.http -- request(spec): an HTTP request. In a task body the worker goes on
// with other bodies meanwhile; elsewhere it blocks. lua/flowrun/http.lua checks the
// options.
#include "core/base/mem.h"
#include "core/net/http_client.h"
#include "lua/bind/body.h"

#include <uv.h>

#include <signal.h>
#include <string.h>

#define CALL "flowrun.HttpCall"

enum { MOST_HEADERS = 256, SPEC = 1, STATE = 2 }; // stack: the options, the call

typedef struct call { // userdata
    body_run *r;      // NULL outside bodies
    fr_http_call *call;
    bool waits, over;
    int code, status;
    char *message, *url, *headers;
    uint8_t *body;
    size_t size;
    int64_t took_ns;
} call;

static const char client_key = 0; // registry: the client of a worker's state

static void close_client(void *ctx) { fr_http_client_close(ctx); }

static fr_http_client *client_of(lua_State *L, body_run *r)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &client_key);
    fr_http_client *c = lua_touserdata(L, -1);
    lua_pop(L, 1);
    if (c == NULL) {
        fr_err err = FR_ERR_INIT;
        if (fr_http_client_open(body_loop(r), &c, &err) != FR_OK) {
            bind_raise_error(L, &err);
        }
        body_at_close(r, close_client, c);
        lua_pushlightuserdata(L, c);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &client_key);
    }
    return c;
}

static void on_done(void *ctx, const fr_http_response *r)
{
    call *c = ctx;
    c->call = NULL;
    c->over = true;
    c->code = r->code;
    c->status = r->status;
    c->took_ns = r->took_ns;
    c->message = r->message != NULL ? fr_strdup(r->message) : NULL;
    c->url = fr_strdup(r->url != NULL ? r->url : "");
    c->headers = fr_strdup(r->headers != NULL ? r->headers : "");
    if (r->size > 0) {
        c->body = fr_alloc(r->size);
        memcpy(c->body, r->body, r->size);
        c->size = r->size;
    }
    if (c->waits) {
        c->waits = false;
        body_wake(c->r);
    }
}

static int call_gc(lua_State *L)
{
    call *c = luaL_checkudata(L, 1, CALL);
    if (c->call != NULL) {
        fr_http_cancel(c->call);
        c->call = NULL;
    }
    fr_free(c->message);
    fr_free(c->url);
    fr_free(c->headers);
    fr_free(c->body);
    c->message = c->url = c->headers = NULL;
    c->body = NULL;
    return 0;
}

static bool cancel_call(void *ctx, bool now)
{
    (void)now;
    call *c = ctx;
    c->waits = false;
    fr_http_cancel(c->call);
    c->call = NULL;
    return true;
}

static const char *text(lua_State *L, const char *name)
{
    (void)lua_getfield(L, SPEC, name); // stays on the stack, and in the caller's table
    return lua_tostring(L, -1);
}

static int64_t number(lua_State *L, const char *name)
{
    (void)lua_getfield(L, SPEC, name);
    int64_t n = luaL_checkinteger(L, -1);
    lua_pop(L, 1);
    return n;
}

static void start(lua_State *L, fr_http_client *client)
{
    call *c = lua_touserdata(L, STATE);
    fr_http_request q = {.done = on_done, .ctx = c};
    const char *headers[MOST_HEADERS + 1];
    q.method = text(L, "method");
    q.url = text(L, "url");
    q.ca_file = text(L, "ca");
    (void)lua_getfield(L, SPEC, "body");
    q.body = lua_tolstring(L, -1, &q.size);
    q.timeout_ms = number(L, "timeout_ms");
    q.connect_timeout_ms = number(L, "connect_timeout_ms");
    q.max_bytes = (size_t)number(L, "max_bytes");
    q.redirects = (unsigned)number(L, "redirects");
    (void)lua_getfield(L, SPEC, "headers");
    lua_Integer n = luaL_len(L, -1);
    luaL_argcheck(L, n <= MOST_HEADERS, SPEC, "too many headers");
    for (lua_Integer i = 1; i <= n; i++) {
        (void)lua_geti(L, -1, i);
        headers[i - 1] = luaL_checkstring(L, -1);
        lua_pop(L, 1);
    }
    headers[n] = NULL;
    q.headers = headers;
    fr_err err = FR_ERR_INIT;
    if (fr_http_start(client, &q, &c->call, &err) != FR_OK) {
        bind_raise_error(L, &err);
    }
    lua_settop(L, STATE);
}

// -> code name or nil, message, status, url, headers, body, seconds
static int push_result(lua_State *L)
{
    call *c = lua_touserdata(L, STATE);
    lua_settop(L, STATE);
    if (c->code == FR_OK) {
        lua_pushnil(L);
    } else {
        lua_pushstring(L, fr_err_name(c->code));
    }
    lua_pushstring(L, c->message);
    lua_pushinteger(L, c->status);
    lua_pushstring(L, c->url);
    lua_pushstring(L, c->headers);
    lua_pushlstring(L, c->size > 0 ? (const char *)c->body : "", c->size);
    lua_pushnumber(L, (double)c->took_ns * 1e-9);
    return 7;
}

static int ended(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    (void)ctx;
    return push_result(L);
}

// After the effect barrier, where there is one.
static int request_in_body(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    body_run *r = (body_run *)ctx;
    call *c = lua_touserdata(L, STATE);
    body_can_wait(L, r);
    start(L, client_of(L, r));
    c->r = r;
    c->waits = true;
    return body_suspend(L, r, cancel_call, ended, c);
}

static int request_loop(lua_State *L) // protected: (spec, call, loop, client)
{
    uv_loop_t *loop = lua_touserdata(L, 3);
    fr_http_client *client = lua_touserdata(L, 4);
    lua_settop(L, STATE);
    start(L, client);
    const call *c = lua_touserdata(L, STATE);
    while (!c->over) {
        (void)uv_run(loop, UV_RUN_ONCE);
    }
    return push_result(L);
}

static int request_alone(lua_State *L)
{
    uv_loop_t loop;
    fr_http_client *client;
    fr_err err = FR_ERR_INIT;
    if (uv_loop_init(&loop) != 0) {
        return bind_fail(L, FR_EIO, "no event loop for a request");
    }
    int rc = fr_http_client_open(&loop, &client, &err);
    if (rc != FR_OK) {
        (void)uv_loop_close(&loop);
        return bind_raise(L, rc, &err);
    }
    sigset_t pipe_signal, before;
    (void)sigemptyset(&pipe_signal);
    (void)sigaddset(&pipe_signal, SIGPIPE);
    (void)pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
    lua_pushcfunction(L, request_loop);
    lua_pushvalue(L, SPEC);
    lua_pushvalue(L, STATE);
    lua_pushlightuserdata(L, &loop);
    lua_pushlightuserdata(L, client);
    int lua_rc = lua_pcall(L, 4, LUA_MULTRET, 0);
    call *c = lua_touserdata(L, STATE);
    c->call = NULL; // freed with the client when it did not end
    fr_http_client_close(client);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&loop);
    static const struct timespec at_once = {0, 0};
    (void)sigtimedwait(&pipe_signal, NULL, &at_once);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return lua_rc == LUA_OK ? lua_gettop(L) - STATE : lua_error(L);
}

// request(spec): spec.effect: waits at the effect barrier first.
static int http_request(lua_State *L)
{
    luaL_checktype(L, SPEC, LUA_TTABLE);
    lua_settop(L, SPEC);
    call *c = lua_newuserdatauv(L, sizeof *c, 0);
    memset(c, 0, sizeof *c);
    luaL_setmetatable(L, CALL);
    body_run *r = body_current(L);
    if (r == NULL) {
        return request_alone(L);
    }
    (void)lua_getfield(L, SPEC, "effect");
    bool effect = lua_toboolean(L, -1);
    lua_settop(L, STATE);
    return effect ? body_barrier(L, r, request_in_body, r)
                  : request_in_body(L, LUA_OK, (lua_KContext)r);
}

int luaopen_flowrun_core_http(lua_State *L)
{
    static const luaL_Reg functions[] = {{"request", http_request}, {NULL, NULL}};
    bind_class(L, CALL, NULL, NULL, call_gc);
    luaL_newlib(L, functions);
    return 1;
}
