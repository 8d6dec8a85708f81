#include "lua/bind/flow_tick.h"

#include "core/base/mem.h"
#include "lua/bind/running.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>

enum {
    TICK_NS = 100000000,
    PATIENCE = 20,               // stops that a body may catch before every instruction raises
};

// Listed in tests/tidy: what runs on the loop's thread, for a signal handler.
static bind_running running;
static struct {
    timer_t timer;
    struct sigaction before;
    uint32_t holds;
    bool armed;
} tick;

static void stop_hook(lua_State *L, lua_Debug *ar);

static void raise_stop(lua_State *L, fr_host *h, int code)
{
    bool sticky = h->stops++ >= PATIENCE;
    lua_sethook(L, sticky ? stop_hook : NULL, sticky ? LUA_MASKCOUNT : 0, sticky ? 1 : 0);
    (void)bind_fail(L, code, "%s", code == FR_ETIMEOUT ? "stopped: it took longer than its timeout"
                                                       : "cancelled");
}

static void stop_hook(lua_State *L, lua_Debug *ar)
{
    (void)ar;
    fr_host *h = flow_host_current(L);
    int code = h != NULL && h->branch != FR_NO_BRANCH ? fr_sched_stop_due(h->sched, h->branch) : 0;
    if (code != FR_OK) {
        raise_stop(L, h, code);
    }
    lua_sethook(L, NULL, 0, 0);
}

static void give_way_hook(lua_State *L, lua_Debug *ar)
{
    (void)ar;
    lua_sethook(L, NULL, 0, 0);
    fr_host *h = flow_host_current(L);
    if (h == NULL || h->branch == FR_NO_BRANCH) {
        return;
    }
    int code = fr_sched_stop_due(h->sched, h->branch);
    if (code == FR_OK && lua_isyieldable(L) && !running.refused) {
        h->gave_way = h->cut = true;
        running.engine_yield = L != h->running;
        (void)lua_yield(L, 0);
        return;
    }
    if (code == FR_OK && h->run != NULL) {   // inside C that cannot be suspended
        fr_run_look(h->run);
        code = fr_sched_stop_due(h->sched, h->branch);
    }
    if (code != FR_OK) {
        raise_stop(L, h, code);
    }
}

bool flow_tick_now(void)
{
    lua_State *L = atomic_load(&running.now);
    if (L == NULL) {
        return false;
    }
    if (lua_gethook(L) != stop_hook) {
        lua_sethook(L, give_way_hook, LUA_MASKCOUNT, 1);
    }
    return true;
}

static void on_tick(int sig)
{
    (void)sig;
    (void)flow_tick_now();
}

void flow_tick_hold(void)
{
    if (tick.holds++ > 0) {
        return;
    }
    struct sigaction mine = {.sa_handler = on_tick, .sa_flags = SA_RESTART};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGVTALRM};
    event._sigev_un._tid = gettid();
    struct itimerspec every = {.it_value.tv_nsec = TICK_NS, .it_interval.tv_nsec = TICK_NS};
    (void)sigaction(SIGVTALRM, &mine, &tick.before);
    tick.armed = timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &tick.timer) == 0;
    if (tick.armed) {
        (void)timer_settime(tick.timer, 0, &every, NULL);
    }
}

void flow_tick_release(void)
{
    if (--tick.holds > 0) {
        return;
    }
    if (tick.armed) {
        (void)timer_delete(tick.timer);
    }
    // One that is under way finds the handler that was, whose default would end the process.
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGVTALRM, &ignore, NULL);
    (void)sigaction(SIGVTALRM, &tick.before, NULL);
}

void flow_tick_coroutines(lua_State *L) { bind_running_install(L, &running); }

lua_State *flow_tick_enter(lua_State *L)
{
    lua_State *before = atomic_load(&running.now);
    running.refused = false;
    atomic_store(&running.now, L);
    return before;
}

void flow_tick_leave(lua_State *before)
{
    running.engine_yield = false;
    atomic_store(&running.now, before);
}

void flow_tick_cut(fr_host *h, lua_State *co)
{
    if (fr_sched_stop_due(h->sched, h->branch) != FR_OK) {
        lua_sethook(co, give_way_hook, LUA_MASKCOUNT, 1);
    }
}
