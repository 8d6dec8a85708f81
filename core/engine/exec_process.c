// The executor "process": attempts in worker processes of our own program, so that what
// takes a process down takes that attempt only. Workers are started by the run's reaper
// (engine.md A3), stay warm for the next attempt of the run and are let go when idle.
#include "core/engine/exec_process.h"

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/engine/limit.h"

#include <unistd.h>

static process_exec *of(fr_exec *x) { return (process_exec *)(void *)x; }

// --- units ---

static int64_t rank_of(const proc_unit *u) { return fr_limit_rank(u->a->queued, u->a->priority); }

// To the end, but past those of less priority that have not waited long enough to be first.
static void push(process_exec *x, proc_unit *u)
{
    proc_unit *after = x->tail;
    while (after != NULL && after->a->priority < u->a->priority && rank_of(after) >= rank_of(u)) {
        after = after->prev;
    }
    u->queued = true;
    u->prev = after;
    u->next = after != NULL ? after->next : x->head;
    *(after != NULL ? &after->next : &x->head) = u;
    *(u->next != NULL ? &u->next->prev : &x->tail) = u;
}

static void drop(process_exec *x, proc_unit *u)
{
    if (u->queued) {
        u->queued = false;
        *(u->prev != NULL ? &u->prev->next : &x->head) = u->next;
        *(u->next != NULL ? &u->next->prev : &x->tail) = u->prev;
    }
}

static void end_unit(process_exec *x, proc_unit *u)
{
    drop(x, u);
    u->a->slot = NULL;
    *(u->all_prev != NULL ? &u->all_prev->all_next : &x->units) = u->all_next;
    if (u->all_next != NULL) {
        u->all_next->all_prev = u->all_prev;
    }
    fr_free(u);
    x->in_flight--;
    fr_mailbox_keep(x->box, -1);
}

void proc_deliver(process_exec *x, proc_unit *u, fr_done *d)
{
    fr_attempt *a = u->a;
    x->delivered = true;
    u->left -= a->list != NULL ? d->n_items : 1;
    d->last = u->left == 0;
    if (d->last) {
        end_unit(x, u); // before done: it may free the attempt
    }
    x->env.done(x->env.ctx, a, d);
}

// --- who runs what ---

static uint32_t tokens(const process_exec *x, const proc_unit *u)
{
    return FR_MIN(FR_MAX(u->a->cpu, 1), x->cores);
}

static proc_home *home_of(process_exec *x, fr_code *code)
{
    proc_home *h = x->homes;
    while (h != NULL && h->code != code) {
        h = h->next;
    }
    if (h == NULL) {
        h = fr_zalloc(sizeof *h);
        *h = (proc_home){.next = x->homes, .code = code};
        x->homes = h;
    }
    return h;
}

static proc_worker *idle_worker(process_exec *x, const proc_home *home)
{
    for (proc_worker *w = x->workers; w != NULL; w = w->next) {
        bool ours = home == NULL || w->home == home;
        if (w->u == NULL && ours && !w->ended && !w->killed && !w->hung_up && !w->retire) {
            return w;
        }
    }
    return NULL;
}

static uint32_t living(const process_exec *x)
{
    uint32_t n = 0;
    for (const proc_worker *w = x->workers; w != NULL; w = w->next) {
        n += !w->ended && !w->killed;
    }
    return n;
}

static proc_worker *worker_for(process_exec *x, const proc_unit *u, fr_err *err)
{
    proc_home *home = home_of(x, u->a->code);
    proc_worker *w = idle_worker(x, home);
    if (w != NULL) {
        return w;
    }
    if (living(x) >= x->most) { // an idle one is another run's
        w = idle_worker(x, NULL);
        if (w == NULL) {
            return NULL;
        }
        proc_worker_kill(w);
    }
    return proc_worker_new(x, home, &w, err) == FR_OK ? w : NULL;
}

static void fail_to_start(process_exec *x, proc_unit *u, const fr_err *err)
{
    uint32_t at = u->at++;
    if (u->at == u->end) {
        drop(x, u);
    }
    proc_worker_fail(x, NULL, u, at, FR_ELOST, fr_exec_error(FR_ELOST, err->text));
}

static void give(process_exec *x, proc_worker *w, proc_unit *u)
{
    fr_attempt *a = u->a;
    w->u = u;
    w->at = u->at++;
    w->index = a->list == NULL ? 0 : a->indexes != NULL ? a->indexes[w->at] : w->at;
    w->idle_ns = 0;
    u->flight++;
    x->load += tokens(x, u);
    drop(x, u);
    if (u->at < u->end) {
        push(x, u); // to the end: others have their turn
    }
    proc_worker_run(w);
}

// What was cancelled before a worker had it.
static void deliver_cancelled(process_exec *x, proc_unit *u)
{
    fr_attempt *a = u->a;
    drop(x, u);
    if (a->list == NULL) {
        u->at = u->end;
        int code = u->code != 0 ? u->code : FR_ECANCELLED;
        fr_value *error = fr_exec_error(code, fr_err_text(code));
        proc_deliver(x, u, &(fr_done){.code = code, .error = error});
        fr_value_unref(error);
        return;
    }
    fr_buf b;
    fr_buf_init(&b, SIZE_MAX);
    uint32_t n = u->end - u->at;
    for (; u->at < u->end; u->at++) {
        fr_item_done item = fr_exec_item_cancelled(a, u->at);
        fr_item_put(&b, &item);
    }
    if (n > 0 || u->left == 0) {
        proc_deliver(x, u, &(fr_done){.items = b.data, .size = b.size, .n_items = n});
    }
    fr_buf_fini(&b);
}

static bool next_is_cancelled(const process_exec *x)
{
    const proc_unit *u = x->head;
    return u != NULL && (u->code != 0 || u->recalled || u->at == u->end);
}

void proc_turn(process_exec *x)
{
    while (x->head != NULL && !x->closing) {
        proc_unit *u = x->head;
        if (next_is_cancelled(x)) {
            deliver_cancelled(x, u);
            continue;
        }
        if (x->load > 0 && x->load + tokens(x, u) > x->cores) {
            break;
        }
        fr_err err = FR_ERR_INIT;
        proc_worker *w = worker_for(x, u, &err);
        if (w != NULL) {
            give(x, w, u);
        } else if (err.code != FR_OK) {
            fail_to_start(x, u, &err);
        } else {
            break;
        }
    }
    proc_arm(x);
    if (x->delivered) {
        x->delivered = false;
        if (x->env.batch_end != NULL) {
            x->env.batch_end(x->env.ctx);
        }
    }
}

static bool on_wake(void *ctx)
{
    proc_turn(ctx);
    return true;
}

void proc_answered(proc_worker *w)
{
    process_exec *x = w->x;
    x->load -= tokens(x, w->u);
    w->u->flight--;
    w->retire = w->retire || w->u->a->gpus != 0; // libraries look at their environment once
    w->u = NULL;
    w->kill_ns = 0;
    w->log_from = w->log_to = 0;
    w->started_ns = 0;
    w->idle_ns = fr_clock_mono_ns();
    if (w->retire || ++w->runs >= PROC_MOST_RUNS) {
        proc_worker_kill(w);
    }
}

void proc_gone(proc_worker *w)
{
    process_exec *x = w->x;
    for (proc_worker **p = &x->workers; *p != NULL; p = &(*p)->next) {
        if (*p == w) {
            *p = w->next;
            break;
        }
    }
    x->n_workers--;
    proc_worker_free(w);
}

// --- time ---

static int64_t due_of(const proc_worker *w)
{
    if (w->ended || w->killed) {
        return INT64_MAX;
    }
    int64_t idle = w->u == NULL ? w->idle_ns + (int64_t)PROC_IDLE_MS * 1000000 : INT64_MAX;
    return w->kill_ns != 0 ? w->kill_ns : idle;
}

static void on_timer(uv_timer_t *t)
{
    process_exec *x = t->data;
    int64_t now = fr_clock_mono_ns();
    for (proc_worker *w = x->workers; w != NULL; w = w->next) {
        if (due_of(w) <= now) {
            proc_worker_kill(w);
        }
    }
    proc_arm(x);
}

void proc_arm(process_exec *x)
{
    int64_t due = INT64_MAX, now = fr_clock_mono_ns();
    for (const proc_worker *w = x->workers; w != NULL; w = w->next) {
        due = FR_MIN(due, due_of(w));
    }
    if (due == INT64_MAX || x->closing) {
        (void)uv_timer_stop(x->timer);
        return;
    }
    uv_update_time(x->env.loop);
    uint64_t ms = (uint64_t)(FR_MAX(due - now, 0) + 999999) / 1000000;
    (void)uv_timer_start(x->timer, on_timer, ms, 0);
}

// --- operations ---

static int process_open(fr_exec **out, const fr_exec_env *env, fr_err *err)
{
    *out = NULL;
    if (env->worker_argv == NULL || env->reaper_argv == NULL) {
        return fr_fail(err, FR_EUNSUPPORTED, "this program cannot start worker processes");
    }
    process_exec *x = fr_zalloc(sizeof *x);
    x->env = *env;
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    x->cores = n < 1 ? 1 : (uint32_t)n;
    x->most = FR_MIN(env->workers != 0 ? env->workers : x->cores, PROC_MAX_WORKERS);
    x->cores = FR_MAX(x->most, x->cores);
    x->in.fd = -1;
    int rc = FR_OK;
    if (env->mailbox == NULL) {
        rc = fr_mailbox_open(env->loop, on_wake, x, &x->box, err);
    } else {
        x->box = env->mailbox;
        fr_mailbox_listen(x->box, on_wake, x);
    }
    if (rc != FR_OK) {
        fr_free(x);
        return rc;
    }
    x->timer = fr_alloc(sizeof *x->timer);
    (void)uv_timer_init(env->loop, x->timer);
    uv_unref((uv_handle_t *)x->timer);
    x->timer->data = x;
    *out = (fr_exec *)(void *)x;
    return FR_OK;
}

static void process_start(fr_exec *exec, fr_attempt *a)
{
    process_exec *x = of(exec);
    proc_unit *u = fr_zalloc(sizeof *u);
    u->a = a;
    u->serial = ++x->serial;
    u->at = a->list != NULL ? a->first : 0;
    u->end = a->list != NULL ? a->first + a->count : 1;
    u->left = u->end - u->at;
    u->code = atomic_load(&a->cancel.flag);
    u->all_next = x->units;
    if (u->all_next != NULL) {
        u->all_next->all_prev = u;
    }
    x->units = u;
    a->slot = u;
    x->in_flight++;
    fr_mailbox_keep(x->box, 1);
    push(x, u);
    fr_mailbox_wake(x->box);
}

// First in the queue: what no worker has ends at once.
static void to_front(process_exec *x, proc_unit *u)
{
    if (u->queued) {
        drop(x, u);
        u->prev = NULL;
        u->next = x->head;
        *(x->head != NULL ? &x->head->prev : &x->tail) = u;
        x->head = u;
        u->queued = true;
        fr_mailbox_wake(x->box);
    }
}

static void process_cancel(fr_exec *exec, fr_attempt *a, int code)
{
    process_exec *x = of(exec);
    proc_unit *u = a->slot;
    if (u == NULL || u->code != 0) {
        return;
    }
    u->code = code;
    fr_cancel_set(&a->cancel, code);
    int64_t sticky = x->env.sticky_ms != 0 ? x->env.sticky_ms : PROC_STICKY_MS;
    for (proc_worker *w = x->workers; w != NULL; w = w->next) {
        if (w->u == u) {
            w->kill_ns = fr_clock_mono_ns() + sticky * 1000000;
            if (!w->preparing) {
                proc_worker_tell(w, WIRE_CANCEL, (uint64_t)code);
            }
        }
    }
    proc_arm(x);
    to_front(x, u);
}

static void process_recall(fr_exec *exec, fr_attempt *a)
{
    proc_unit *u = a->slot;
    if (u != NULL && u->queued) {
        u->recalled = true;
        to_front(of(exec), u);
    }
}

static void process_durable(fr_exec *exec)
{
    process_exec *x = of(exec);
    for (proc_worker *w = x->workers; w != NULL; w = w->next) {
        if (w->u != NULL && !w->preparing && w->u->a->need > 0) {
            proc_worker_tell(w, WIRE_DURABLE, atomic_load(&w->home->code->durable));
        }
    }
}

static uint32_t process_running(fr_exec *exec)
{
    uint32_t n = 0;
    for (const proc_worker *w = of(exec)->workers; w != NULL; w = w->next) {
        n += w->u != NULL;
    }
    return n;
}

static void close_home(process_exec *x, proc_home *h)
{
    for (proc_worker *w = x->workers, *next; w != NULL; w = next) {
        next = w->next;
        if (w->home == h) {
            proc_gone(w);
        }
    }
    fr_children_close(h->children); // and with it its processes
    fr_free(h);
}

static void process_forget(fr_exec *exec, fr_code *code)
{
    process_exec *x = of(exec);
    while (x->preparing > 0) { // its thread still reads an attempt
        (void)uv_run(x->env.loop, UV_RUN_ONCE);
    }
    for (proc_home **p = &x->homes; *p != NULL; p = &(*p)->next) {
        proc_home *h = *p;
        if (h->code == code) {
            *p = h->next;
            close_home(x, h);
            return;
        }
    }
}

static void on_timer_closed(uv_handle_t *h) { fr_free(h); }

static void process_close(fr_exec *exec)
{
    process_exec *x = of(exec);
    if (x == NULL) {
        return;
    }
    x->closing = true;
    while (x->preparing > 0) {
        (void)uv_run(x->env.loop, UV_RUN_ONCE);
    }
    while (x->homes != NULL) {
        proc_home *h = x->homes;
        x->homes = h->next;
        close_home(x, h);
    }
    for (proc_unit *u = x->units, *next; u != NULL; u = next) {
        next = u->all_next;
        fr_free(u);
    }
    uv_close((uv_handle_t *)x->timer, on_timer_closed);
    fr_mailbox_keep(x->box, -(int)x->in_flight);
    if (x->env.mailbox == NULL) {
        fr_mailbox_close(x->box);
    } else {
        fr_mailbox_unlisten(x->box, x);
    }
    fr_free(x);
}

const fr_exec_ops fr_exec_process = {
    .name = "process",
    .open = process_open,
    .start = process_start,
    .cancel = process_cancel,
    .recall = process_recall,
    .durable = process_durable,
    .running = process_running,
    .forget = process_forget,
    .close = process_close,
};
