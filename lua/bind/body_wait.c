// How bodies wait without holding their worker: the coroutine is suspended, a callback of
// the worker's loop lets it go on.
#include "core/base/clock.h"
#include "core/base/mem.h"
#include "lua/bind/body_int.h"

#include <math.h>

void body_check(lua_State *L, const body_run *r)
{
    int code = atomic_load(&r->a->cancel.flag);
    if (code != 0) {
        (void)bind_fail(L, code, "%s",
                        code == FR_ETIMEOUT ? "stopped: it took longer than its timeout"
                                            : "cancelled");
    }
}

static void link_waiting(body_run *r)
{
    fr_body *b = r->b;
    r->waits = true;
    r->prev = NULL;
    r->next = b->waiting;
    if (r->next != NULL) {
        r->next->prev = r;
    }
    b->waiting = r;
    b->n_waiting++;
}

static void unlink_waiting(body_run *r)
{
    fr_body *b = r->b;
    *(r->prev != NULL ? &r->prev->next : &b->waiting) = r->next;
    if (r->next != NULL) {
        r->next->prev = r->prev;
    }
    r->waits = false;
    b->n_waiting--;
}

static void end_barrier(body_run *r)
{
    if (r->barrier) {
        r->barrier = false;
        r->b->env.barrier(r->b->env.ctx, false);
    }
}

// True: nothing will wake it any more.
static bool stop_waiting_for(body_run *r, bool now)
{
    end_barrier(r);
    r->stopping = true;
    return r->cancel == NULL || r->cancel(r->ctx, now);
}

// The continuation of every wait.
static int woken(lua_State *L, int status, lua_KContext ctx)
{
    body_run *r = (body_run *)ctx;
    fr_body *b = r->b;
    b->running.engine_yield = false;
    if (b->running.refused) { // the wait never began for the loop
        b->running.refused = false;
        r->detached = r->was_detached;
        unlink_waiting(r);
        (void)stop_waiting_for(r, true);
        return bind_fail(L, FR_ESTATE,
                         "cannot wait here: a coroutine inside %s is resumed "
                         "by a function that cannot be suspended",
                         "table.sort, gsub or require");
    }
    body_check(L, r);
    return r->k(L, status, (lua_KContext)r->ctx);
}

void body_can_wait(lua_State *L, const body_run *r)
{
    body_check(L, r);
    if (!lua_isyieldable(L)) {
        (void)bind_fail(L, FR_ESTATE,
                        "cannot wait here: inside a function called by table.sort, "
                        "gsub, require or a finalizer; wait before it");
    }
}

int body_suspend(lua_State *L, body_run *r, body_cancel_fn cancel, lua_KFunction k,
                 void *ctx)
{
    r->stopping = false;
    r->cancel = cancel;
    r->k = k;
    r->ctx = ctx;
    r->b->running.engine_yield = true;
    r->was_detached = r->detached;
    r->detached = r->mapped;
    link_waiting(r);
    return lua_yieldk(L, 0, (lua_KContext)r, woken);
}

void body_wake(body_run *r)
{
    fr_body *b = r->b;
    unlink_waiting(r);
    int64_t start = fr_clock_wall_ns(), cpu = fr_clock_thread_cpu_ns();
    (void)b->env.enter(b->env.ctx, r->a, r->item);
    body_resume(r, 0);
    r->cpu_ns += fr_clock_thread_cpu_ns() - cpu;
    b->env.leave(b->env.ctx, r->a, FR_MAX(fr_clock_wall_ns() - start, 0), 1);
    body_finish(r);
}

static bool is_durable(const body_run *r)
{
    return atomic_load(&r->a->code->durable) >= r->a->need;
}

int body_barrier(lua_State *L, body_run *r, lua_KFunction k, void *ctx)
{
    if (is_durable(r)) { // also for the cleanup of a cancelled body
        return k(L, LUA_OK, (lua_KContext)ctx);
    }
    body_can_wait(L, r);
    r->b->env.barrier(r->b->env.ctx, true); // from here on the engine tells
    if (is_durable(r)) {
        r->b->env.barrier(r->b->env.ctx, false);
        return k(L, LUA_OK, (lua_KContext)ctx);
    }
    r->barrier = true;
    return body_suspend(L, r, NULL, k, ctx);
}

static bool is_ready(body_run *r)
{
    if (atomic_load(&r->a->cancel.flag) != 0) {
        return !r->stopping && stop_waiting_for(r, false);
    }
    return r->barrier && is_durable(r);
}

// The oldest that can go on now, or NULL.
static body_run *next_ready(fr_body *b)
{
    body_run *r = b->waiting;
    while (r != NULL && r->next != NULL) {
        r = r->next;
    }
    while (r != NULL && !is_ready(r)) {
        r = r->prev;
    }
    return r;
}

void body_look(fr_body *b)
{
    for (body_run *r; (r = next_ready(b)) != NULL;) {
        end_barrier(r);
        body_wake(r);
    }
}

// --- fr.sleep ---

static void on_sleep_over(uv_timer_t *timer) { body_wake(timer->data); }

static bool cancel_sleep(void *ctx, bool now)
{
    (void)now;
    (void)uv_timer_stop(ctx);
    return true;
}

static int slept(lua_State *L, int status, lua_KContext ctx)
{
    (void)L;
    (void)status;
    (void)ctx;
    return 0;
}

int body_sleep(lua_State *L, body_run *r, double seconds)
{
    enum { LONGEST = 1000000000 }; // seconds
    if (!(seconds >= 0) || seconds > LONGEST) {
        return bind_fail(L, FR_EINVAL, "fr.sleep: expected 0 to %d seconds, got %g",
                         LONGEST, seconds);
    }
    body_can_wait(L, r);
    if (r->timer == NULL) {
        r->timer = fr_zalloc(sizeof *r->timer);
        (void)uv_timer_init(r->b->env.loop, r->timer);
    }
    r->timer->data = r;
    uv_update_time(r->b->env.loop);
    (void)uv_timer_start(r->timer, on_sleep_over, (uint64_t)ceil(seconds * 1e3), 0);
    return body_suspend(L, r, cancel_sleep, slept, r->timer);
}
