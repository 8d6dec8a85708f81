#pragma once
// body_int -- what body.c, body_wait.c and l_body.c share. Private to them; worker's thread.

#include "core/base/map.h"
#include "core/base/rand.h"
#include "lua/bind/body.h"
#include "lua/bind/marshal.h"
#include "lua/bind/running.h"

#include <uv.h>

enum { BODY_COROUTINES = 128 };                // kept for reuse

typedef struct body_function {
    int ref;                                   // of the Lua function; LUA_NOREF: not found
    uint32_t mean_ns;                          // of its calls; 0 = not known
    bool watched;                              // it reaches tables of the script (C2)
    bool compared;                             // after its first call
    bool called;                               // since they were compared last
    char *changed;                             // what is wrong: its calls fail; NULL = nothing
} body_function;

struct body_run {
    fr_body *b;
    fr_attempt *a;
    body_function *f;
    lua_State *co;
    int co_ref;
    uint32_t item;
    bool mapped;
    bool detached, was_detached;               // an item that waited: its chunk went on
    bool open;                                 // a call is under way
    bool over;                                 // it ended; its outcome waits to be sent
    int64_t started, ended;                    // wall ns
    int64_t cpu_ns;
    int code;
    fr_value *result, *error;
    uint64_t log_from, log_to;
    fr_rand rand;
    bool rand_ready;
    uint32_t effects;                          // keys given out
    fr_value *kept;                            // by this attempt, with fr.checkpoint
    int64_t kept_ns;                           // when it was last sent; wall ns, 0 = never
    bool kept_unsent;
    uint32_t messages;                         // in `outbox`
    fr_buf outbox;                             // left for fr.outbox; kept between calls
    fr_value *sent;                            // the same when the call has succeeded
    // waiting
    bool waits, barrier, stopping;
    body_cancel_fn cancel;
    lua_KFunction k;
    void *ctx;
    uv_timer_t *timer;                         // made at first use, kept
    body_run *prev, *next;                     // in b->waiting; or spare
};

typedef struct body_closer {                   // see body_at_close
    struct body_closer *next;
    void (*fn)(void *ctx);
    void *ctx;
} body_closer;

struct fr_body {
    fr_body_env env;
    lua_State *L;
    bind_running running;
    body_run *current;                         // executing now
    body_run *waiting;                         // latest first
    uint32_t n_waiting;
    uint32_t items;                            // begun in this chunk
    body_run *spare;
    struct {
        lua_State *co;
        int ref;
    } pool[BODY_COROUTINES];
    unsigned pooled;
    marshal m;
    fr_map functions;                          // (bundle, task, option) -> body_function *
    // the function asked for last
    body_function *last;
    fr_hash last_bundle;
    char *last_task, *last_option;
    body_closer *closers;
    int64_t compared_ns;                       // when tables were last compared; mono
    uint32_t n_watched;
};

fr_body *body_of_state(lua_State *L);          // NULL: not a worker's state
// Runs r's coroutine until it ends or waits; between enter and leave.
void body_resume(body_run *r, int nargs);
// After leave: sends the outcome of a call that is over and frees r.
void body_finish(body_run *r);
void body_set_error(body_run *r, int code, const char *text);
void body_keep(body_run *r, fr_value *v);      // fr.checkpoint; takes v
void body_look(fr_body *b);                    // fr_body_ops.look
int body_sleep(lua_State *L, body_run *r, double seconds);
