#include "core/engine/run_limit.h"

#include "core/base/clock.h"
#include "core/base/map.h"
#include "core/base/mem.h"
#include "core/base/sys.h"

#include <uv.h>

#include <sys/syscall.h>
#include <unistd.h>

enum {
    REAPER_MS = 20,                    // until the children of a dead process are gone
    BLIND_MS = 1000,                   // a process that cannot be watched
};

typedef struct watcher {
    uv_poll_t poll;
    fr_run_limit *of;
    uint64_t run;
    int fd;
} watcher;

struct fr_run_limit {
    fr_run_limit_env env;
    fr_map waiting;                    // asks without an answer
    fr_map watched;                    // run -> watcher
    uv_timer_t timer;                  // a rate, or children that are being killed
    int handles;
    bool told, closed;
};

static fr_hash ask_key(uint64_t ask) { return (fr_hash){.lo = ask, .hi = 1}; }
static uint64_t number(const fr_run_limit *l) { return (uint64_t)(uintptr_t)l; }

static void free_closed(fr_run_limit *l)
{
    if (l->closed && l->handles == 0) {
        fr_map_fini(&l->waiting);
        fr_map_fini(&l->watched);
        fr_free(l);
    }
}

// Something may have become free: removes the dead, gives out, tells.
static void search(fr_run_limit *l)
{
    if (l->env.store == NULL) {
        fr_limits_look(l->env.memory, fr_clock_wall_ns());
    } else {
        fr_store_slot_look(l->env.run);
        fr_store_flush(l->env.store);
    }
    l->env.moved(l->env.ctx);
}

static void on_timer(uv_timer_t *t)
{
    search(t->data);
}

static void wait_until(fr_run_limit *l, uint64_t ms)
{
    uv_update_time(l->env.loop);
    (void)uv_timer_start(&l->timer, on_timer, ms, 0);
}

// --- watching the others ---

static void on_watcher_closed(uv_handle_t *h)
{
    watcher *w = h->data;
    fr_sys_close(w->fd);
    w->of->handles--;
    free_closed(w->of);
    fr_free(w);
}

static void on_death(uv_poll_t *p, int status, int events)
{
    (void)status;
    (void)events;
    watcher *w = p->data;
    fr_run_limit *l = w->of;
    (void)fr_map_remove(&l->watched, ask_key(w->run));
    uv_close((uv_handle_t *)p, on_watcher_closed);
    search(l);
}

// True when it watches the process from here on.
static bool watch(fr_run_limit *l, uint64_t run, int pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0), now = 0;
    // The number may have become another process's before it was opened.
    bool same = fd >= 0 && fr_store_run_alive(l->env.store, run, &now) && now == pid;
    watcher *w = fr_zalloc(sizeof *w);
    *w = (watcher){.of = l, .run = run, .fd = fd};
    w->poll.data = w;
    if (!same || uv_poll_init(l->env.loop, &w->poll, fd) != 0) {
        fr_sys_close(fd);
        fr_free(w);
        return false;
    }
    l->handles++;
    (void)uv_poll_start(&w->poll, UV_READABLE, on_death);
    uv_unref((uv_handle_t *)&w->poll);
    *fr_map_put(&l->watched, ask_key(run), NULL) = (uint64_t)(uintptr_t)w;
    return true;
}

typedef struct survey {
    fr_run_limit *l;
    bool dead;
    uint64_t again_ms;                 // 0 = not
} survey;

static void other_run(void *ctx, uint64_t run)
{
    survey *v = ctx;
    if (fr_map_find(&v->l->watched, ask_key(run)) != NULL) {
        return;
    }
    int pid = fr_store_run_pid(v->l->env.store, run);
    if (pid == (int)getpid()) {
        return;
    }
    if (pid < 0) {
        v->dead = true;
    } else if (pid == 0) {
        v->again_ms = REAPER_MS;
    } else if (!watch(v->l, run, pid)) {
        int now = 0;                   // it ended meanwhile, or has no descriptor left for it
        v->dead = v->dead || !fr_store_run_alive(v->l->env.store, run, &now);
        v->again_ms = v->again_ms == 0 ? BLIND_MS : v->again_ms;
    }
}

// Some asks wait: what will wake us?
static void prepare(fr_run_limit *l, int64_t next)
{
    survey v = {.l = l};
    int64_t now = fr_clock_wall_ns();
    if (l->env.store != NULL) {
        (void)!fr_store_slot_runs(l->env.run, other_run, &v, NULL);
    }
    if (next != INT64_MAX) {
        uint64_t ms = (uint64_t)(FR_MAX(next - now, 0) / 1000000) + 1;
        v.again_ms = v.again_ms == 0 ? ms : FR_MIN(ms, v.again_ms);
    }
    if (v.again_ms > 0) {
        wait_until(l, v.again_ms);
    }
    if (v.dead) {
        search(l);
    }
}

// --- asks and answers ---

fr_run_limit *fr_run_limit_open(const fr_run_limit_env *env)
{
    fr_run_limit *l = fr_zalloc(sizeof *l);
    l->env = *env;
    fr_map_init(&l->waiting);
    fr_map_init(&l->watched);
    (void)uv_timer_init(env->loop, &l->timer);
    uv_unref((uv_handle_t *)&l->timer);
    l->timer.data = l;
    l->handles = 1;
    return l;
}

void fr_run_limit_ask(fr_run_limit *l, const fr_slot_ask *a)
{
    *fr_map_put(&l->waiting, ask_key(a->ask), NULL) = 1;
    if (l->env.store == NULL) {
        fr_limits_ask(l->env.memory, number(l), a, fr_clock_wall_ns());
        l->told = true;
    } else {
        fr_store_slot_ask(l->env.run, a);
    }
}

void fr_run_limit_release(fr_run_limit *l, uint32_t ask)
{
    (void)fr_map_remove(&l->waiting, ask_key(ask));
    if (l->env.store == NULL) {
        fr_limits_release(l->env.memory, number(l), ask, fr_clock_wall_ns());
        l->told = true;
    } else {
        fr_store_slot_release(l->env.run, ask);
    }
}

void fr_run_limit_told(fr_run_limit *l)
{
    l->told = true;
}

static void answered(void *ctx, uint32_t ask, const char *refused)
{
    fr_run_limit *l = ctx;
    if (fr_map_remove(&l->waiting, ask_key(ask))) {
        l->env.answer(l->env.ctx, ask, refused);
    }
}

// Answers of a table in memory may be another run's.
static void take_answers(fr_run_limit *l)
{
    uint64_t whose;
    uint32_t ask;
    char why[FR_ERR_MAX];
    while (fr_limits_answer(l->env.memory, &whose, &ask, why)) {
        fr_run_limit *to = (fr_run_limit *)(uintptr_t)whose;
        answered(to, ask, why);
        to->env.moved(to->env.ctx);
    }
}

bool fr_run_limit_look(fr_run_limit *l)
{
    bool moved = l->env.store != NULL && fr_store_slots_moved(l->env.run);
    if (!moved && !l->told) {
        return false;
    }
    l->told = false;
    int64_t next = INT64_MAX;
    size_t before = l->waiting.count;
    if (l->env.store == NULL) {
        take_answers(l);
        next = fr_limits_next(l->env.memory, fr_clock_wall_ns());
    } else if (before > 0 && fr_store_slots(l->env.run, answered, l, &next, NULL) != FR_OK) {
        wait_until(l, BLIND_MS);       // the store's trouble is told elsewhere
        return false;
    }
    if (l->waiting.count > 0) {
        prepare(l, next);
    } else {
        (void)uv_timer_stop(&l->timer);
    }
    return l->waiting.count != before;
}

static void on_timer_closed(uv_handle_t *h)
{
    fr_run_limit *l = h->data;
    l->handles--;
    free_closed(l);
}

void fr_run_limit_close(fr_run_limit *l)
{
    if (l == NULL || l->closed) {
        return;
    }
    l->closed = true;
    if (l->env.store == NULL) {
        fr_limits_forget(l->env.memory, number(l), fr_clock_wall_ns());
    }
    for (size_t i = 0; i < l->watched.capacity; i++) {
        if (!fr_hash_is_zero(l->watched.slots[i].key)) {
            watcher *w = (watcher *)(uintptr_t)l->watched.slots[i].value;
            uv_close((uv_handle_t *)&w->poll, on_watcher_closed);
        }
    }
    uv_close((uv_handle_t *)&l->timer, on_timer_closed);
}
