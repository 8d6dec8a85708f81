#pragma once
// body -- task bodies in Lua: the fr_body_ops of a worker (core/engine/exec.h).
//
// One fr_body per worker thread: a Lua state, the bundles it has loaded, a pool of
// coroutines. Bindings that wait (fr.sleep, fr.sh, fr.http) suspend the body that calls
// them with body_suspend and let it go on with body_wake from a callback of body_loop.
// Everything here is used on the worker's thread only.

#include "core/engine/exec.h"
#include "lua/bind/bind.h"

extern const fr_body_ops bind_body_ops;

// What fr_exec_env.bodies_config points to; may be NULL.
typedef struct body_config {
    const char *dev;                     // see fr_vm_new
} body_config;

typedef struct body_run body_run;        // one call of a body: an attempt or an item of it

// The body that runs in this state now; NULL outside task bodies.
body_run *body_current(lua_State *L);
fr_attempt *body_attempt(const body_run *r);
struct uv_loop_s *body_loop(const body_run *r);
// Raises FR_ECANCELLED or FR_ETIMEOUT when the attempt is cancelled.
void body_check(lua_State *L, const body_run *r);
// As body_check; also raises where nothing can be waited for: inside table.sort, gsub ….
// Call it before starting what body_suspend will wait for.
void body_can_wait(lua_State *L, const body_run *r);
// How to stop what a body waits for. now = false: the attempt is cancelled; return true when
// it has stopped (the body is woken with the error), false when body_wake follows later.
// now = true: forget it at once, body_wake must not follow.
typedef bool (*body_cancel_fn)(void *ctx, bool now);
// Suspends the body until body_wake; then k(L, LUA_YIELD, ctx) runs. When the attempt is
// cancelled meanwhile, `cancel` (NULL: nothing to stop) is called and the error is raised
// instead of k. Use as `return body_suspend(…)`.
int body_suspend(lua_State *L, body_run *r, body_cancel_fn cancel, lua_KFunction k, void *ctx);
// The wait is over. From a callback of the loop; the body runs before this returns.
void body_wake(body_run *r);
// engine.md D5: k runs when all that the flow has consumed is durable; at once if it is.
int body_barrier(lua_State *L, body_run *r, lua_KFunction k, void *ctx);
// A line of the attempt's log.
void body_log(body_run *r, int level, const char *text, size_t n);
// Calls fn(ctx) before the worker's Lua state and loop are closed.
void body_at_close(body_run *r, void (*fn)(void *ctx), void *ctx);
