// The executor "thread": N workers in this process, each with its own uv loop and one
// fr_body. This file is the engine's side; all of it runs on the engine's thread.
#include "core/engine/exec_thread.h"

#include "core/base/clock.h"
#include "core/base/mem.h"

#include <uv.h>

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    CHUNK_ITEMS = 4096, // of one env->done call, at most
    CHUNK_BYTES = 1 << 20,
    EXEC_LATER_MS = 10,
    JOIN_TRIES = 50, // of EXEC_REARM_MS, at close
};

static thread_exec *of(fr_exec *x) { return (thread_exec *)(void *)x; }

// --- results ---

static void forget_late(thread_exec *x, exec_unit *u)
{
    for (exec_unit **p = &x->lates; u->late && *p != NULL; p = &(*p)->next_late) {
        if (*p == u) {
            *p = u->next_late;
            u->late = false;
            break;
        }
    }
}

static void forget_stop(thread_exec *x, exec_unit *u)
{
    for (exec_unit **p = &x->stops; u->stopping && *p != NULL; p = &(*p)->next_stop) {
        if (*p == u) {
            *p = u->next_stop;
            break;
        }
    }
}

static void end_unit(thread_exec *x, exec_unit *u)
{
    forget_stop(x, u);
    forget_late(x, u);
    u->a->slot = NULL;
    x->in_flight--;
    fr_mailbox_expect(x->box, -1);
    *(u->prev != NULL ? &u->prev->next : &x->units) = u->next;
    if (u->next != NULL) {
        u->next->prev = u->prev;
    }
    u->next = x->spare;
    x->spare = u;
}

static void deliver(thread_exec *x, fr_attempt *a, fr_done *d)
{
    exec_unit *u = a->slot;
    x->delivered = true;
    d->last = u->left == 0 && atomic_load(&u->chunks) == 0;
    if (d->last) {
        end_unit(x, u); // before done: it may free the attempt
    }
    x->env.done(x->env.ctx, a, d);
}

// Hands over the items gathered so far. after_end: the attempt's last chunk has ended,
// which must be told even when no item came since.
static void deliver_items(thread_exec *x, bool after_end)
{
    fr_attempt *a = x->chunk;
    if (a == NULL || (x->n_items == 0 && !after_end)) {
        x->chunk = NULL;
        return;
    }
    exec_unit *u = a->slot;
    u->left -= x->n_items;
    fr_done d = {.items = x->items.data, .size = x->items.size, .n_items = x->n_items};
    x->chunk = NULL;
    x->n_items = 0;
    if (d.n_items > 0 || (u->left == 0 && atomic_load(&u->chunks) == 0)) {
        deliver(x, a, &d);
    }
    fr_buf_clear(&x->items);
}

static void gather_item(thread_exec *x, fr_attempt *a, const void *bytes, size_t size)
{
    if (x->chunk != a || x->n_items >= CHUNK_ITEMS ||
        x->items.size + size > CHUNK_BYTES) {
        deliver_items(x, false);
    }
    x->chunk = a;
    fr_buf_put(&x->items, bytes, size);
    FR_ASSERT(!x->items.failed);
    x->n_items++;
}

static void take_record(thread_exec *x, const exec_record *r)
{
    fr_attempt *a = r->a;
    if (r->kind == EXEC_ITEM) {
        gather_item(x, a, r->u.item, r->size - offsetof(exec_record, u.item));
        return;
    }
    if (r->kind == EXEC_CHUNK_END) {
        exec_unit *u = a->slot;
        bool over = atomic_fetch_sub(&u->chunks, 1) == 1;
        if (x->chunk != a) {
            deliver_items(x, false);
            x->chunk = a;
        }
        if (over && u->left == x->n_items) {
            deliver_items(x, true);
        }
        return;
    }
    deliver_items(x, false);
    if (r->kind == EXEC_STARTED) {
        x->delivered = true;
        if (x->env.started != NULL) {
            x->env.started(x->env.ctx, a, r->u.wall_ns);
        }
        return;
    }
    if (r->kind == EXEC_CHECKPOINT) {
        if (x->env.checkpoint != NULL) {
            x->env.checkpoint(x->env.ctx, a, r->u.kept.item, r->u.kept.value);
        }
        fr_value_unref(r->u.kept.value);
        return;
    }
    fr_done d = r->u.done;
    exec_unit *u = a->slot;
    u->left--;
    deliver(x, a, &d);
    fr_value_unref(d.result);
    fr_value_unref(d.error);
    fr_value_unref(d.outbox);
}

static void take_cancelled(thread_exec *x, fr_attempt *a, exec_span *s)
{
    uint8_t room[128];
    for (uint32_t at = s->at; at < s->end; at++) {
        fr_item_done item = fr_exec_item_cancelled(a, at);
        fr_buf b = {.data = room, .capacity = sizeof room, .max = sizeof room};
        fr_item_put(&b, &item);
        gather_item(x, a, b.data, b.size);
    }
    if (s->extra) {
        fr_free(s);
    }
    x->chunk = a; // also of a map without items
    deliver_items(x, true);
}

// Spans that were cancelled before a worker took them.
static void take_local(thread_exec *x)
{
    exec_list list = x->local;
    x->local = (exec_list){NULL, NULL};
    while (list.head != NULL) {
        exec_span *s = list.head;
        fr_exec_list_remove(&list, s);
        exec_unit *u = s->u;
        fr_attempt *a = u->a;
        int flag = atomic_load(&a->cancel.flag), code = flag != 0 ? flag : FR_ECANCELLED;
        if (a->list == NULL) {
            fr_value *error = fr_exec_error(code, fr_err_text(code));
            u->left = 0;
            deliver(x, a, &(fr_done){.code = code, .error = error});
            fr_value_unref(error);
            continue;
        }
        take_cancelled(x, a, s);
    }
}

static void arm_rescue(thread_exec *x, bool needed);

static bool drain(void *ctx)
{
    thread_exec *x = ctx;
    bool several = false;
    take_local(x);
    for (uint32_t i = 0; i < x->workers; i++) {
        exec_worker *w = x->worker[i];
        const exec_record *r;
        while ((r = fr_stream_peek(&w->out)) != NULL) {
            size_t size = r->size;
            take_record(x, r);
            fr_stream_drop(&w->out, size);
        }
        deliver_items(x, false);
        several = several || atomic_load(&w->multi_since) != 0;
    }
    if (x->delivered) {
        x->delivered = false;
        if (x->env.batch_end != NULL) {
            x->env.batch_end(x->env.ctx);
        }
    }
    arm_rescue(x, several);
    return true;
}

static uint32_t cores(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : (uint32_t)n;
}

static void start_workers(thread_exec *x, uint32_t n)
{
    for (; n > 0 && x->workers < x->most; n--) {
        fr_err err = FR_ERR_INIT;
        if (fr_exec_worker_start(x, x->workers, &err) != FR_OK) {
            break; // those that run do the work
        }
    }
}

// --- timers ---

static void on_rescue(uv_timer_t *timer)
{
    thread_exec *x = timer->data;
    (void)drain(x);
    bool more;
    arm_rescue(x, fr_exec_queue_rescue(x, fr_clock_mono_ns(), &more));
    start_workers(x, more ? 1 : 0);
}

static void arm_rescue(thread_exec *x, bool needed)
{
    if (needed && !uv_is_active((uv_handle_t *)x->rescue)) {
        (void)uv_timer_start(x->rescue, on_rescue, EXEC_RESCUE_MS, 0);
    }
}

static int64_t or_default(uint32_t ms, uint32_t otherwise)
{
    return (int64_t)(ms != 0 ? ms : otherwise) * 1000000;
}

static void on_rearm(uv_timer_t *timer)
{
    thread_exec *x = timer->data;
    int64_t now = fr_clock_mono_ns();
    for (exec_unit *u = x->stops; u != NULL;) {
        exec_unit *next = u->next_stop; // stuck() may end it
        int64_t past = now - u->cancel_ns;
        bool late = past > or_default(x->env.sticky_ms, EXEC_STICKY_MS);
        bool runs =
            fr_exec_stop_kick(x, u->a, late ? FR_INTERRUPT_STICKY : FR_INTERRUPT_ONCE);
        if (runs && !u->stuck && past > or_default(x->env.stuck_ms, EXEC_STUCK_MS)) {
            u->stuck = true;
            if (x->env.stuck != NULL) {
                x->env.stuck(x->env.ctx, u->a);
            }
        }
        u = next;
    }
    if (x->stops == NULL) {
        (void)uv_timer_stop(x->rearm);
    }
}

static void cancel_unit(thread_exec *x, exec_unit *u, int code);

// Timeouts that were put off: the time that their worker was blocked has been added.
static void on_later(uv_timer_t *timer)
{
    thread_exec *x = timer->data;
    int64_t now = fr_clock_mono_ns();
    for (exec_unit *u = x->lates; u != NULL;) {
        exec_unit *next = u->next_late;
        if (u->cancel_ns <= now) {
            forget_late(x, u);
            cancel_unit(x, u, FR_ETIMEOUT);
        }
        u = next;
    }
    if (x->lates == NULL) {
        (void)uv_timer_stop(x->later);
    }
}

static uv_timer_t *new_timer(thread_exec *x)
{
    uv_timer_t *t = fr_alloc(sizeof *t);
    (void)uv_timer_init(x->env.loop, t);
    uv_unref((uv_handle_t *)t);
    t->data = x;
    return t;
}

static void on_timer_closed(uv_handle_t *h) { fr_free(h); }

// --- operations ---

static int open_box(thread_exec *x, fr_err *err)
{
    if (x->env.mailbox == NULL) {
        return fr_mailbox_open(x->env.loop, drain, x, &x->box, err);
    }
    x->box = x->env.mailbox;
    fr_mailbox_listen(x->box, drain, x);
    return FR_OK;
}

static int thread_open(fr_exec **out, const fr_exec_env *env, fr_err *err)
{
    *out = NULL;
    thread_exec *x = fr_zalloc(sizeof *x);
    x->env = *env;
    x->cores = cores();
    x->most = FR_MIN(env->workers != 0 ? env->workers : x->cores, EXEC_MAX_WORKERS);
    x->cores = FR_MAX(x->most, x->cores);
    (void)pthread_mutex_init(&x->lock, NULL);
    fr_map_init(&x->stats);
    fr_buf_init(&x->items, SIZE_MAX);
    int rc = fr_exec_stop_open(x, err);
    if (rc == FR_OK) {
        rc = open_box(x, err);
        if (rc == FR_OK) {
            x->rescue = new_timer(x);
            x->rearm = new_timer(x);
            x->later = new_timer(x);
            // The first worker makes its Lua state while the engine reads the script.
            rc = fr_exec_worker_start(x, 0, err);
            *out = (fr_exec *)(void *)x;
        }
    }
    if (rc != FR_OK && *out != NULL) {
        fr_exec_thread.close(*out);
        *out = NULL;
    } else if (rc != FR_OK) {
        fr_free(x);
    }
    return rc;
}

static exec_stat *stat_of(thread_exec *x, const fr_attempt *a)
{
    fr_hash key = fr_hash_str(a->task);
    if (a->option != NULL) {
        key = fr_hash_pair(key, fr_hash_str(a->option));
    }
    if (a->code != NULL) {
        key = fr_hash_mix(key, a->code->bundle.lo);
    }
    bool fresh;
    uint64_t *at = fr_map_put(&x->stats, key, &fresh);
    if (fresh) {
        *at = (uint64_t)(uintptr_t)fr_zalloc(sizeof(exec_stat));
    }
    return (exec_stat *)(uintptr_t)*at;
}

static exec_unit *new_unit(thread_exec *x, fr_attempt *a)
{
    exec_unit *u = x->spare;
    if (u != NULL) {
        x->spare = u->next;
        memset(u, 0, sizeof *u);
    } else {
        u = fr_zalloc(sizeof *u);
    }
    u->a = a;
    u->span.u = u;
    u->span.at = a->list != NULL ? a->first : 0;
    u->span.end = a->list != NULL ? a->first + a->count : 1;
    u->left = u->span.end - u->span.at;
    u->tokens = FR_MIN(FR_MAX(a->cpu, 1), x->cores);
    u->stat = stat_of(x, a);
    u->next = x->units;
    if (u->next != NULL) {
        u->next->prev = u;
    }
    x->units = u;
    x->in_flight++;
    fr_mailbox_expect(x->box, 1);
    a->slot = u;
    return u;
}

static void enqueue(thread_exec *x, exec_unit *u)
{
    start_workers(x, fr_exec_queue_push(x, &u->span, false));
}

static void thread_start(fr_exec *exec, fr_attempt *a)
{
    thread_exec *x = of(exec);
    exec_unit *u = new_unit(x, a);
    if (u->left == 0 || atomic_load(&a->cancel.flag) != 0) {
        fr_exec_list_push(&x->local, &u->span);
        fr_mailbox_wake(x->box);
    } else if (a->effect && atomic_load(&a->code->durable) < a->need) {
        u->held = true;
        fr_exec_list_push(&x->held, &u->span);
    } else {
        enqueue(x, u);
        arm_rescue(x, true);
    }
}

static void look_all(thread_exec *x)
{
    for (uint32_t i = 0; i < x->workers; i++) {
        fr_exec_worker_look(x->worker[i]);
    }
}

// D2: a body's timeout does not count the time in which its worker could not resume it.
static bool put_off(thread_exec *x, exec_unit *u)
{
    const exec_worker *w = atomic_load(&u->worker);
    if (w == NULL || atomic_load(&w->current) == u->a) {
        return false;
    }
    int64_t blocked = atomic_load(&w->blocked);
    int64_t lost = blocked - u->blocked;
    u->blocked = blocked;
    if (lost <= 0) {
        return false;
    }
    u->late = true;
    u->cancel_ns = fr_clock_mono_ns() + lost;
    u->next_late = x->lates;
    x->lates = u;
    if (!uv_is_active((uv_handle_t *)x->later)) {
        (void)uv_timer_start(x->later, on_later, EXEC_LATER_MS, EXEC_LATER_MS);
    }
    return true;
}

static void cancel_unit(thread_exec *x, exec_unit *u, int code)
{
    fr_attempt *a = u->a;
    if (code == FR_ETIMEOUT && put_off(x, u)) {
        return;
    }
    u->cancelled = true;
    fr_cancel_set(&a->cancel, code);
    if (u->held) {
        u->held = false;
        fr_exec_list_remove(&x->held, &u->span);
        fr_exec_list_push(&x->local, &u->span);
    } else {
        fr_exec_queue_remove(x, u, &x->local);
    }
    if (x->local.head != NULL) {
        fr_mailbox_wake(x->box);
    }
    if (a->list == NULL && x->local.tail == &u->span) {
        return; // no worker had it
    }
    u->stopping = true;
    u->cancel_ns = fr_clock_mono_ns();
    u->next_stop = x->stops;
    x->stops = u;
    (void)fr_exec_stop_kick(x, a, FR_INTERRUPT_ONCE);
    look_all(x);
    if (!uv_is_active((uv_handle_t *)x->rearm)) {
        (void)uv_timer_start(x->rearm, on_rearm, EXEC_REARM_MS, EXEC_REARM_MS);
    }
}

static void thread_cancel(fr_exec *exec, fr_attempt *a, int code)
{
    thread_exec *x = of(exec);
    exec_unit *u = a->slot;
    if (u == NULL || u->cancelled || (u->late && code == FR_ETIMEOUT)) {
        return;
    }
    forget_late(x, u);
    cancel_unit(x, u, code);
}

static void thread_recall(fr_exec *exec, fr_attempt *a)
{
    thread_exec *x = of(exec);
    exec_unit *u = a->slot;
    if (u == NULL || u->cancelled) {
        return;
    }
    if (u->held) {
        u->held = false;
        fr_exec_list_remove(&x->held, &u->span);
        fr_exec_list_push(&x->local, &u->span);
    } else {
        fr_exec_queue_recall(x, u, &x->local);
    }
    if (x->local.head != NULL) {
        fr_mailbox_wake(x->box);
    }
}

static void thread_durable(fr_exec *exec)
{
    thread_exec *x = of(exec);
    for (exec_span *s = x->held.head, *next; s != NULL; s = next) {
        next = s->next;
        const fr_attempt *a = s->u->a;
        if (atomic_load(&a->code->durable) >= a->need) {
            fr_exec_list_remove(&x->held, s);
            s->u->held = false;
            enqueue(x, s->u);
        }
    }
    if (atomic_load(&x->barriers) > 0) {
        look_all(x);
    }
}

// --- giving a stuck thread up ---

// What was on the lost worker ends as FR_ELOST.
static void lose(thread_exec *x, fr_attempt *a, uint32_t item)
{
    exec_unit *u = a->slot;
    fr_value *error =
        fr_exec_error(FR_ELOST, "given up together with a task that did not stop");
    u->left--;
    deliver(x, a,
            &(fr_done){.code = FR_ELOST,
                       .error = error,
                       .index = item,
                       .n_items = a->list != NULL ? 1 : 0});
    fr_value_unref(error);
}

static void lose_suspended(void *ctx, fr_attempt *a, uint32_t item)
{
    lose(ctx, a, item);
}

static void thread_abandon(fr_exec *exec, fr_attempt *a)
{
    thread_exec *x = of(exec);
    uint32_t i = 0;
    while (i < x->workers && atomic_load(&x->worker[i]->current) != a) {
        i++;
    }
    if (i == x->workers) {
        return; // it has just ended after all
    }
    exec_worker *w = x->worker[i];
    atomic_store(&w->lost, true);
    (void)drain(x); // what it had finished
    fr_exec_queue_forget(w);
    if (w->chunk != NULL) {
        (void)atomic_fetch_sub(&w->chunk->chunks, 1);
    }
    lose(x, a, atomic_load(&w->item));
    x->env.bodies->each(w->body, lose_suspended, x);
    (void)pthread_detach(w->thread);
    fr_err err = FR_ERR_INIT;
    if (fr_exec_worker_start(x, i, &err) != FR_OK) {
        (void)pthread_mutex_lock(&x->lock); // one worker less
        x->worker[i] = x->worker[--x->workers];
        x->worker[x->workers] = NULL;
        (void)pthread_mutex_unlock(&x->lock);
    }
    if (x->env.batch_end != NULL) {
        x->delivered = false;
        x->env.batch_end(x->env.ctx);
    }
}

static uint32_t thread_running(fr_exec *exec)
{
    thread_exec *x = of(exec);
    uint32_t held = 0;
    for (const exec_span *s = x->held.head; s != NULL; s = s->next) {
        held++;
    }
    (void)pthread_mutex_lock(&x->lock);
    uint32_t queued = x->spans;
    (void)pthread_mutex_unlock(&x->lock);
    return x->in_flight - FR_MIN(x->in_flight, queued + held);
}

static void thread_watch(fr_exec *exec, bool on) { fr_exec_stop_watch(of(exec), on); }

// --- close ---

static bool join(thread_exec *x, exec_worker *w)
{
    for (int i = 0; i < JOIN_TRIES; i++) {
        struct timespec until;
        (void)clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += (long)EXEC_REARM_MS * 1000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        if (pthread_timedjoin_np(w->thread, NULL, &until) == 0) {
            return true;
        }
        fr_exec_worker_look(w);
        for (exec_unit *u = x->units; u != NULL; u = u->next) {
            (void)fr_exec_stop_kick(x, u->a,
                                    i < 20 ? FR_INTERRUPT_ONCE : FR_INTERRUPT_STICKY);
        }
    }
    return false;
}

static void drop_results(exec_worker *w)
{
    const exec_record *r;
    while ((r = fr_stream_peek(&w->out)) != NULL) {
        if (r->kind == EXEC_DONE) {
            fr_value_unref(r->u.done.result);
            fr_value_unref(r->u.done.error);
            fr_value_unref(r->u.done.outbox);
        } else if (r->kind == EXEC_CHECKPOINT) {
            fr_value_unref(r->u.kept.value);
        }
        fr_stream_drop(&w->out, r->size);
    }
}

static void free_units(exec_unit *u)
{
    while (u != NULL) {
        exec_unit *next = u->next;
        fr_free(u);
        u = next;
    }
}

static bool join_all(thread_exec *x)
{
    atomic_store(&x->stopping, true);
    for (exec_unit *u = x->units; u != NULL; u = u->next) {
        fr_cancel_set(&u->a->cancel, FR_ECANCELLED);
        (void)fr_exec_stop_kick(x, u->a, FR_INTERRUPT_ONCE);
    }
    look_all(x);
    bool all = true;
    for (uint32_t i = 0; i < x->workers; i++) {
        all = join(x, x->worker[i]) && all;
    }
    return all;
}

static void close_box(thread_exec *x, fr_mailbox *box)
{
    if (x->env.mailbox == NULL) {
        fr_mailbox_close(box);
        return;
    }
    fr_mailbox_unlisten(box, x);
    fr_mailbox_expect(box, -(int)x->in_flight);
}

static void thread_close(fr_exec *exec)
{
    thread_exec *x = of(exec);
    if (x == NULL) {
        return;
    }
    bool all = join_all(x);
    fr_exec_stop_close(x, !all);
    uv_close((uv_handle_t *)x->later, on_timer_closed);
    uv_close((uv_handle_t *)x->rescue, on_timer_closed);
    uv_close((uv_handle_t *)x->rearm, on_timer_closed);
    fr_mailbox *box = x->box;
    x->box = all ? NULL : fr_mailbox_deaf();
    close_box(x, box);
    if (!all) {
        return; // a stuck thread still uses x
    }
    for (uint32_t i = 0; i < x->workers; i++) {
        drop_results(x->worker[i]);
        fr_exec_worker_free(x->worker[i]);
    }
    fr_exec_queue_fini(x);
    free_units(x->units);
    free_units(x->spare);
    for (size_t i = 0; i < x->stats.capacity; i++) {
        if (!fr_hash_is_zero(x->stats.slots[i].key)) {
            fr_free((void *)(uintptr_t)x->stats.slots[i].value);
        }
    }
    fr_map_fini(&x->stats);
    fr_buf_fini(&x->items);
    (void)pthread_mutex_destroy(&x->lock);
    fr_free(x);
}

const fr_exec_ops fr_exec_thread = {
    .name = "thread",
    .open = thread_open,
    .start = thread_start,
    .cancel = thread_cancel,
    .recall = thread_recall,
    .durable = thread_durable,
    .running = thread_running,
    .abandon = thread_abandon,
    .watch = thread_watch,
    .close = thread_close,
};
