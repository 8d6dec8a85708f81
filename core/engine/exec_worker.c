// The worker threads of exec_thread: each takes batches, runs bodies, sends results.
#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/engine/exec_thread.h"

#include <uv.h>

#include <string.h>
#include <unistd.h>

enum {
    ITEM_HEADER = 80,  // bytes of a packed item besides its value
    POLL_NS = 1000000, // while busy, suspended bodies are served so often
    STACK_BYTES = 8 << 20,
};

// --- to the engine ---

// A worker that was given up must not act when it comes back to life after all.
static void check_lost(const exec_worker *w)
{
    while (FR_UNLIKELY(atomic_load_explicit(&w->lost, memory_order_relaxed))) {
        (void)pause();
    }
}

static exec_record *record_new(exec_worker *w, exec_kind kind, fr_attempt *a, size_t size)
{
    check_lost(w);
    exec_record *r = fr_stream_reserve(&w->out, size);
    r->kind = kind;
    r->a = a;
    r->size = (uint32_t)size;
    return r;
}

static void wake_engine(exec_worker *w, int64_t now)
{
    w->woke_ns = now;
    fr_mailbox_wake(w->x->box);
}

// A result must not wait for others longer than EXEC_HELD_NS. When the next body is long,
// or the batch is over, the engine is woken at once; see run_batch.
static void wake_engine_sometimes(exec_worker *w, int64_t now)
{
    if (now - w->woke_ns > EXEC_HELD_NS) {
        wake_engine(w, now);
    }
}

static void send_done(exec_worker *w, fr_attempt *a, const fr_done *d)
{
    exec_record *r = record_new(w, EXEC_DONE, a, sizeof *r);
    r->u.done = *d;
    if (d->result != NULL) {
        r->u.done.result = fr_value_ref(d->result);
    }
    if (d->error != NULL) {
        r->u.done.error = fr_value_ref(d->error);
    }
    if (d->outbox != NULL) {
        r->u.done.outbox = fr_value_ref(d->outbox);
    }
    fr_stream_commit(&w->out, sizeof *r);
}

static void on_done(void *ctx, fr_attempt *a, const fr_done *d)
{
    exec_worker *w = ctx;
    send_done(w, a, d);
    if (atomic_load_explicit(&w->multi_since, memory_order_relaxed) == 0) {
        wake_engine(w, fr_clock_wall_ns());
    }
}

static void on_item(void *ctx, fr_attempt *a, const fr_item_done *item)
{
    exec_worker *w = ctx;
    size_t head = offsetof(exec_record, u.item);
    size_t room = head + ITEM_HEADER + item->size;
    exec_record *r = record_new(w, EXEC_ITEM, a, room);
    fr_buf b = {.data = r->u.item, .capacity = room - head, .max = room - head};
    fr_item_put(&b, item);
    FR_ASSERT(!b.failed);
    r->size = (uint32_t)(head + b.size);
    fr_stream_commit(&w->out, r->size);
    if (atomic_load_explicit(&w->multi_since, memory_order_relaxed) == 0) {
        wake_engine(w, fr_clock_wall_ns());
    }
}

// Items [from, to) of the chunk that will not run.
static void send_cancelled(exec_worker *w, fr_attempt *a, uint32_t from, uint32_t to)
{
    for (uint32_t at = from; at < to; at++) {
        fr_item_done item = fr_exec_item_cancelled(a, at);
        on_item(w, a, &item);
    }
}

// --- what bodies call ---

static void mark(exec_worker *w, const fr_attempt *a, uint32_t item)
{
    fr_marker *m = w->marker;
    if (m != NULL) {
        m->run = a->code != NULL ? a->code->run : 0;
        m->key = a->key;
        m->row = a->row;
        m->mapped = a->list != NULL;
        m->attempt = a->attempt;
        m->item = item;
        atomic_signal_fence(memory_order_seq_cst);
        *(volatile uint32_t *)&m->busy = 1;
    }
}

static void stop_executing(exec_worker *w)
{
    fr_exec_stop_clear(w);
    (void)fr_cancel_enter(w->outer);
    if (w->marker != NULL) {
        *(volatile uint32_t *)&w->marker->busy = 0;
    }
}

static bool on_enter(void *ctx, fr_attempt *a, uint32_t item)
{
    exec_worker *w = ctx;
    check_lost(w);
    mark(w, a, item);
    w->outer = fr_cancel_enter(&a->cancel);
    (void)fr_pool_limit(a->cpu);
    // Either this thread sees the flag, or the canceller sees `current`: both are
    // seq_cst.
    atomic_store(&w->current, a);
    return atomic_load(&a->cancel.flag) == 0;
}

static void learn(exec_stat *stat, int64_t ns, uint32_t n)
{
    uint64_t mean = (uint64_t)FR_MAX(ns, 1) / n;
    uint64_t old = atomic_load_explicit(&stat->mean_ns, memory_order_relaxed);
    if (old != 0) {
        mean = n > 1 ? (old + mean) / 2 : (7 * old + mean) / 8;
    }
    atomic_store_explicit(&stat->mean_ns, (uint32_t)FR_MIN(FR_MAX(mean, 1), UINT32_MAX),
                          memory_order_relaxed);
}

static void on_leave(void *ctx, fr_attempt *a, int64_t ns, uint32_t n)
{
    exec_worker *w = ctx;
    check_lost(w);
    exec_unit *u = a->slot;
    if (ns > 0) {
        learn(u->stat, ns, FR_MAX(n, 1));
    }
    if (ns > (int64_t)EXEC_BLOCKING_NS * FR_MAX(n, 1)) {
        atomic_store(&u->stat->blocking, true);
    }
    if (ns > EXEC_BLOCKING_NS && w->x->env.bodies->waiting(w->body) > 0) {
        (void)atomic_fetch_add(&w->blocked, ns);
    }
    stop_executing(w);
}

static bool is_full(const exec_worker *w)
{
    return w->body != NULL && w->x->env.bodies->waiting(w->body) >= EXEC_SUSPENDED;
}

static bool on_claim(void *ctx, fr_attempt *a, int64_t now, uint32_t *index)
{
    exec_worker *w = ctx;
    check_lost(w);
    wake_engine_sometimes(w, now);
    if (is_full(w)) {
        return false;
    }
    bool cancelled = atomic_load_explicit(&a->cancel.flag, memory_order_relaxed) != 0;
    uint64_t range = atomic_load_explicit(&w->range, memory_order_relaxed), next;
    uint32_t at, end;
    do {
        at = (uint32_t)range;
        end = (uint32_t)(range >> 32);
        if (at == end) {
            return false;
        }
        next = cancelled ? end | (uint64_t)end << 32 : range + 1;
    } while (!atomic_compare_exchange_weak(&w->range, &range, next));
    if (cancelled) {
        send_cancelled(w, a, at, end);
        return false;
    }
    *index = a->indexes != NULL ? a->indexes[at] : at;
    atomic_store_explicit(&w->item, *index, memory_order_relaxed);
    if (w->marker != NULL) {
        w->marker->item = *index;
    }
    return true;
}

static void on_barrier(void *ctx, bool waiting)
{
    exec_worker *w = ctx;
    (void)atomic_fetch_add(&w->x->barriers, waiting ? 1U : UINT32_MAX);
}

static void on_checkpoint(void *ctx, fr_attempt *a, uint32_t item, const fr_value *v)
{
    exec_worker *w = ctx;
    exec_record *r = record_new(w, EXEC_CHECKPOINT, a, sizeof *r);
    r->u.kept.value = fr_value_ref(v);
    r->u.kept.item = item;
    fr_stream_commit(&w->out, sizeof *r);
    wake_engine(w, fr_clock_wall_ns());
}

// --- the loop ---

static void announce(exec_worker *w, exec_unit *u)
{
    if (u->a->report_start && !atomic_exchange(&u->announced, true)) {
        exec_record *r = record_new(w, EXEC_STARTED, u->a, sizeof *r);
        r->u.wall_ns = fr_clock_wall_ns();
        fr_stream_commit(&w->out, sizeof *r);
        wake_engine(w, fr_clock_wall_ns());
    }
}

// Ends an attempt that cannot or must not run. Of a map: claims are refused one by one.
static bool refuse(exec_worker *w, fr_attempt *a)
{
    int code = atomic_load(&a->cancel.flag);
    if (code == 0 && w->body != NULL) {
        return false;
    }
    const char *text = code != 0 ? fr_err_text(code) : w->failed.text;
    code = code != 0 ? code : w->failed.code;
    fr_value *error = fr_exec_error(code, text);
    int64_t now = fr_clock_wall_ns();
    fr_done d = {.code = code, .error = error, .started = now, .ended = now};
    bool single = a->list == NULL;
    if (single) {
        on_done(w, a, &d); // from here on the engine may free it
    }
    for (uint32_t i; !single && on_claim(w, a, now, &i);) {
        d.n_items = 1;
        d.index = i;
        on_done(w, a, &d);
    }
    fr_value_unref(error);
    return true;
}

static void run_singles(exec_worker *w)
{
    for (exec_unit *u; !is_full(w) && (u = fr_exec_queue_next(w)) != NULL;) {
        fr_attempt *a = u->a;
        uint32_t mean = atomic_load_explicit(&u->stat->mean_ns, memory_order_relaxed);
        int64_t now = fr_clock_wall_ns();
        if (mean == 0 || mean > EXEC_LONG_NS) {
            wake_engine(w, now); // what is finished must not wait for this one
        } else {
            wake_engine_sometimes(w, now);
        }
        announce(w, u);
        if (!refuse(w, a)) {
            w->x->env.bodies->start(w->body, a);
        }
    }
}

static void run_chunk(exec_worker *w)
{
    exec_unit *u = w->chunk;
    fr_attempt *a = u->a;
    announce(w, u);
    if (!refuse(w, a)) {
        w->x->env.bodies->start(w->body, a);
    }
    if (!is_full(w) && atomic_load(&a->cancel.flag) != 0) {
        uint32_t none;
        (void)on_claim(w, a, w->woke_ns, &none); // reports the rest as cancelled
    }
    uint64_t range = atomic_load(&w->range);
    if ((uint32_t)range != (uint32_t)(range >> 32)) {
        fr_exec_queue_put_back(w);
    }
    exec_record *r = record_new(w, EXEC_CHUNK_END, a, offsetof(exec_record, u));
    fr_stream_commit(&w->out, r->size);
}

static void run_batch(exec_worker *w)
{
    bool map = w->chunk != NULL;
    if (w->several) {
        atomic_store(&w->multi_since, fr_clock_mono_ns());
    }
    if (map) {
        run_chunk(w);
        w->chunk = NULL;
    } else {
        run_singles(w);
        if (is_full(w)) {
            fr_exec_queue_put_back(w);
        }
    }
    atomic_store(&w->multi_since, 0);
    if (w->several || map) {
        wake_engine(w, fr_clock_wall_ns());
    }
}

static bool on_wake(void *ctx)
{
    (void)ctx;
    return false; // the worker's own loop looks what there is
}

static void serve(exec_worker *w)
{
    const fr_body_ops *bodies = w->x->env.bodies;
    int64_t polled = 0;
    for (;;) {
        if (atomic_exchange(&w->look, false) && w->body != NULL) {
            bodies->look(w->body);
        }
        uint32_t suspended = w->body != NULL ? bodies->waiting(w->body) : 0;
        atomic_store(&w->suspended, suspended);
        if (atomic_load(&w->x->stopping) && suspended == 0) {
            return;
        }
        if (fr_exec_queue_take(w)) {
            run_batch(w);
            int64_t now = suspended > 0 ? fr_clock_wall_ns() : 0;
            if (now - polled > POLL_NS) {
                polled = now;
                (void)uv_run(w->loop, UV_RUN_NOWAIT);
            }
        } else if (suspended > 0 || !fr_mailbox_spin(w->box)) {
            if (w->body != NULL && bodies->idle != NULL) {
                bodies->idle(w->body);
            }
            (void)uv_run(w->loop, UV_RUN_ONCE);
        }
    }
}

static int open_body(exec_worker *w)
{
    fr_body_env env = {
        .loop = w->loop,
        .enter = on_enter,
        .leave = on_leave,
        .done = on_done,
        .item = on_item,
        .claim = on_claim,
        .barrier = on_barrier,
        .checkpoint = on_checkpoint,
        .ctx = w,
        .config = w->x->env.bodies_config,
        .worker = w->number,
    };
    return w->x->env.bodies->open(&w->body, &env, &w->failed);
}

static void *worker_main(void *arg)
{
    exec_worker *w = arg;
    fr_exec_stop_enroll(w);
    if (open_body(w) != FR_OK) {
        w->body = NULL;
    }
    (void)pthread_mutex_lock(&w->x->lock);
    w->x->booting--;
    (void)pthread_mutex_unlock(&w->x->lock);
    serve(w);
    if (w->body != NULL) {
        w->x->env.bodies->close(w->body);
    }
    fr_exec_stop_leave();
    return NULL; // others may still wake it: the joiner frees it
}

void fr_exec_worker_look(exec_worker *w)
{
    atomic_store(&w->look, true);
    fr_mailbox_wake(w->box);
}

int fr_exec_worker_start(thread_exec *x, uint32_t number, fr_err *err)
{
    exec_worker *w = fr_zalloc(sizeof *w);
    w->x = x;
    w->number = number;
    w->loop = fr_alloc(sizeof *w->loop);
    w->marker = x->markers != NULL ? &x->markers[number] : NULL;
    (void)pthread_mutex_init(&w->lock, NULL);
    fr_stream_init(&w->out);
    int rc = uv_loop_init(w->loop);
    if (rc != 0) {
        rc = fr_fail(err, FR_EIO, "no event loop for a worker: %s", uv_strerror(rc));
        goto no_loop;
    }
    rc = fr_mailbox_open(w->loop, on_wake, w, &w->box, err);
    if (rc != FR_OK) {
        goto no_box;
    }
    fr_mailbox_expect(w->box, 1); // the loop lives until the mailbox is closed
    (void)pthread_mutex_lock(&x->lock);
    uint32_t workers = x->workers;
    exec_worker *before = x->worker[number]; // one that was given up, or NULL
    x->worker[number] = w;
    x->workers = FR_MAX(workers, number + 1);
    x->booting++;
    (void)pthread_mutex_unlock(&x->lock);
    pthread_attr_t attr;
    (void)pthread_attr_init(&attr);
    (void)pthread_attr_setstacksize(&attr, STACK_BYTES);
    int failed = pthread_create(&w->thread, &attr, worker_main, w);
    (void)pthread_attr_destroy(&attr);
    if (failed == 0) {
        return FR_OK;
    }
    (void)pthread_mutex_lock(&x->lock);
    x->worker[number] = before;
    x->workers = workers;
    x->booting--;
    (void)pthread_mutex_unlock(&x->lock);
    rc = fr_fail(err, FR_EIO, "no thread for worker %u: error %d", number, failed);
    goto no_box;
no_loop:
    fr_free(w->loop);
    w->loop = NULL;
no_box:
    fr_exec_worker_free(w);
    return rc;
}

void fr_exec_worker_free(exec_worker *w)
{
    if (w->loop != NULL) {
        fr_mailbox_close(w->box);
        (void)uv_run(w->loop, UV_RUN_DEFAULT);
        int rc = uv_loop_close(w->loop);
        FR_ASSERT(rc == 0); // a body left a handle open
    }
    fr_stream_fini(&w->out);
    (void)pthread_mutex_destroy(&w->lock);
    fr_free(w->loop);
    fr_free(w);
}
