#include "core/engine/engine.h"

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/engine/engine_cache.h"
#include "core/engine/late.h"
#include "core/engine/mailbox.h"
#include "core/engine/reaper.h"
#include "core/engine/gpu.h"
#include "core/engine/run_limit.h"
#include "core/engine/run_memory.h"
#include "core/engine/run_outbox.h"

#include <uv.h>

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ENGINE_MARK "marker-"          // and the process's number

enum {
    BUDGET = 1024,                     // resumes per turn of the loop
    BACKLOG_MAX = 64 << 20,            // bytes the store may lag behind
    MOST_MARKERS = 256,                // workers of a dead process
    WARN = 30,                         // level of a line of the log, as fr.log.warn
};

struct fr_engine {
    fr_engine_env env;
    char *marker;                      // file of the executor (ENGINE.md D4); NULL = none
    fr_store *store;
    fr_exec *exec[FR_EXEC_KINDS];      // NULL: not used yet
    fr_exec_env exec_env;
    fr_mailbox *wake;                  // from the store thread
    fr_run *runs;
    fr_limits *limits;                 // without a store
    fr_gpus *gpus;                     // NULL: not used yet
    fr_memory_watch memory;
    uint32_t running;                  // runs that were started and have not ended
    _Atomic(int) trouble;              // a code the store thread left, with trouble_text
    fr_err trouble_text;
    uv_mutex_t lock;
};

struct fr_run {
    fr_run *next;
    fr_engine *engine;
    fr_sched *sched;
    fr_store_run *store;
    fr_code code;
    fr_run_spec spec;
    fr_value *params;
    char *flow;
    uv_timer_t timer, deadline;
    uv_idle_t idle;
    uv_poll_t poll;
    int handles;                       // open uv handles
    bool polling, started, ending, ended, pumping, closed, draining;
    fr_run_limit *limit;               // made at its first ask for a slot
    fr_turn turn;
    fr_run_outbox *outbox;             // made when it has messages to deliver
    uint32_t undelivered;
    fr_lookups *lookups;
    uint64_t barrier;                  // durable place last told to the executor
};

static void pump(fr_run *r);
static void on_deadline(uv_timer_t *t);

// --- what a dead process was doing (ENGINE.md D4) ---

// A file in the folder of the runs; the caller frees it.
static char *path_of(const char *home, const char *name, uint64_t n, const char *end)
{
    fr_buf b;
    fr_buf_init(&b, 4096);
    fr_buf_printf(&b, "%s/runs/%s%llu%s", home, name, (unsigned long long)n, end);
    char *path = fr_strdup(fr_buf_text(&b));
    fr_buf_fini(&b);
    return path;
}

static void suspect(fr_run *r, const fr_marker *m)
{
    const char *text = m->signal != 0 ? "this took the process down; it runs alone now"
                                      : "the process died while this ran; it runs alone now";
    (void)fr_store_log(r->store, m->row, m->mapped ? m->item : 0, m->attempt, WARN, text,
                       strlen(text));
    fr_sched_suspect(r->sched, m->key, m->mapped ? m->item : FR_NO_NODE, m->signal);
}

// What the process before left; where a thread saw a signal, the others are bystanders.
static void read_markers(fr_run *r, const char *path)
{
    fr_marker *all = fr_alloc(MOST_MARKERS * sizeof *all);
    uint32_t n = fr_marker_read(path, all, MOST_MARKERS);
    bool seen = false;
    for (uint32_t i = 0; i < n; i++) {
        seen = seen || (all[i].run == r->code.run && all[i].signal != 0);
    }
    for (uint32_t i = 0; i < n; i++) {
        if (all[i].run == r->code.run && (!seen || all[i].signal != 0)) {
            suspect(r, &all[i]);
        }
    }
    fr_free(all);
}

// The other name of the file, which the dead process had for it.
static void forget_engine_of(const char *home, const char *path)
{
    struct stat file;
    fr_buf b;
    fr_buf_init(&b, 4096);
    fr_buf_printf(&b, "%s/runs", home);
    DIR *d = stat(path, &file) == 0 ? opendir(fr_buf_text(&b)) : NULL;
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        if (e->d_ino == file.st_ino && strncmp(e->d_name, ENGINE_MARK, strlen(ENGINE_MARK)) == 0) {
            (void)unlinkat(dirfd(d), e->d_name, 0);
        }
    }
    if (d != NULL) {
        (void)closedir(d);
    }
    fr_buf_fini(&b);
}

// The executor's one file gets a name for every run, where its resume looks for it.
static void mark_run(fr_run *r)
{
    if (r->engine->marker == NULL || r->store == NULL) {
        return;
    }
    char *path = path_of(r->engine->env.home, "", r->code.run, ".marker");
    if (r->spec.resume != 0) {
        read_markers(r, path);
        forget_engine_of(r->engine->env.home, path);
        (void)unlink(path);
    }
    (void)!link(r->engine->marker, path);      // without links no death is told from another
    fr_free(path);
}

static void unmark_run(const fr_run *r)
{
    char *path = path_of(r->engine->env.home, "", r->code.run, ".marker");
    (void)unlink(path);
    fr_free(path);
}

// --- what the scheduler wants done ---

static fr_run_outbox *outbox_of(fr_run *r);
static void slot_moved(void *ctx);

static void io_append(void *ctx, const fr_record *record)
{
    fr_run *r = ctx;
    if (r->store != NULL) {
        fr_store_append(r->store, record);
        if (record->type == FR_REC_TASK && record->size > 0) {
            fr_run_outbox_note(outbox_of(r), record->seq);
        }
    } else if (record->slot != 0) {
        fr_run_limit_release(r->limit, record->slot);
    }
}

// The executor of an attempt, opened at its first. Where it cannot be, threads do the work.
static fr_exec_kind executor(fr_engine *e, fr_attempt *a)
{
    fr_err err = FR_ERR_INIT;
    if (e->exec[a->where] == NULL &&
        fr_exec_at(a->where)->open(&e->exec[a->where], &e->exec_env, &err) != FR_OK) {
        (void)fr_wrap(&err, err.code, "executor %s", fr_exec_at(a->where)->name);
        if (e->env.trouble != NULL) {
            e->env.trouble(e->env.ctx, err.code, &err);
        }
        a->where = FR_EXEC_THREAD;
    }
    return a->where;
}

static bool watched(const fr_attempt *a)
{
    return a->memory > 0 && a->where == FR_EXEC_THREAD && a->option == NULL;
}

static void io_start(void *ctx, fr_attempt *a)
{
    fr_run *r = ctx;
    if (!r->spec.plan) {
        fr_engine *e = r->engine;
        fr_exec_kind kind = executor(e, a);
        if (a->gpu > 0 && a->option == NULL) {
            e->gpus = e->gpus != NULL ? e->gpus : fr_gpus_new(e->env.home);
            a->gpus = fr_gpus_take(e->gpus, a->gpu);
        }
        if (watched(a)) {
            fr_memory_begin(&e->memory, a);
        }
        fr_exec_at(kind)->start(e->exec[kind], a);
    }
}

static void io_cancel(void *ctx, fr_attempt *a, int code)
{
    fr_run *r = ctx;
    fr_exec_at(a->where)->cancel(r->engine->exec[a->where], a, code);
}

static void io_recall(void *ctx, fr_attempt *a)
{
    fr_run *r = ctx;
    if (fr_exec_at(a->where)->recall != NULL) {
        fr_exec_at(a->where)->recall(r->engine->exec[a->where], a);
    }
}

static fr_run_outbox *outbox_of(fr_run *r)
{
    if (r->outbox == NULL) {
        fr_run_outbox_env env = {.loop = r->engine->env.loop, .store = r->engine->store,
                                 .run = r->store, .code = &r->code, .start = io_start,
                                 .cancel = io_cancel, .moved = slot_moved, .ctx = r};
        r->outbox = fr_run_outbox_open(&env);
    }
    return r->outbox;
}

static void slot_answer(void *ctx, uint32_t ask, const char *refused)
{
    fr_run *r = ctx;
    if (ask == FR_TURN_ASK) {
        fr_turn_answer(&r->turn, refused);
    } else {
        fr_sched_slot(r->sched, ask, refused);
    }
}

static void slot_moved(void *ctx)
{
    fr_run_kick(ctx);
}

static void io_slot_ask(void *ctx, const fr_slot_ask *a)
{
    fr_run *r = ctx;
    if (r->limit == NULL) {
        fr_run_limit_env env = {.loop = r->engine->env.loop, .run = r->store,
                                .store = r->store != NULL ? r->engine->store : NULL,
                                .memory = r->engine->limits, .answer = slot_answer,
                                .moved = slot_moved, .ctx = r};
        r->limit = fr_run_limit_open(&env);
    }
    if (!r->spec.plan) {
        fr_run_limit_ask(r->limit, a);
    }
}

static void io_slot_release(void *ctx, uint32_t ask)
{
    fr_run *r = ctx;
    if (r->limit != NULL && !r->spec.plan) {
        fr_run_limit_release(r->limit, ask);
    }
}

static void on_timer(uv_timer_t *t)
{
    fr_run *r = t->data;
    fr_sched_now(r->sched, fr_clock_mono_ns(), fr_clock_wall_ns());
    fr_sched_timer(r->sched);
    pump(r);
}

static void io_timer(void *ctx, int64_t due)
{
    fr_run *r = ctx;
    if (due == INT64_MAX || r->spec.plan) {
        (void)uv_timer_stop(&r->timer);
        return;
    }
    int64_t left = FR_MAX(due - fr_clock_mono_ns(), 0);
    uv_update_time(r->engine->env.loop);
    (void)uv_timer_start(&r->timer, on_timer, (uint64_t)(left + 999999) / 1000000, 0);
}

static void io_again(void *ctx, uint32_t node, uint32_t branch)
{
    fr_run *r = ctx;
    r->spec.host.again(r->spec.host.ctx, node, branch);
}

static fr_ran io_resume(void *ctx, uint32_t branch)
{
    fr_run *r = ctx;
    return r->spec.host.resume(r->spec.host.ctx, branch);
}

static void io_moment(void *ctx, fr_moment what, uint32_t node)
{
    fr_run *r = ctx;
    r->spec.host.moment(r->spec.host.ctx, what, node);
}

static void io_lookup(void *ctx, const fr_lookup *l)
{
    fr_lookups_put(((fr_run *)ctx)->lookups, l);
}

static void io_keep(void *ctx, const fr_kept *k)
{
    fr_run *r = ctx;
    if (r->store != NULL) {
        fr_store_keep(r->store, k);
    }
}

// --- what comes back ---

static void on_started(void *ctx, fr_attempt *a, int64_t wall_ns)
{
    (void)ctx;
    fr_run *r = FR_CONTAINER(a->code, fr_run, code);
    fr_sched_now(r->sched, fr_clock_mono_ns(), fr_clock_wall_ns());
    fr_sched_started(r->sched, a, wall_ns);
}

// What an attempt that is over had of the machine.
static void give_back(fr_run *r, const fr_attempt *a)
{
    char text[FR_ERR_MAX];
    if (a->gpus != 0) {
        fr_gpus_give(r->engine->gpus, a->gpus);
    }
    if (watched(a) && fr_memory_end(&r->engine->memory, a, text, sizeof text) &&
        r->store != NULL) {
        (void)fr_store_log(r->store, a->row, a->list != NULL ? a->first : 0, a->attempt, WARN,
                           text, strlen(text));
    }
}

static void on_done(void *ctx, fr_attempt *a, const fr_done *d)
{
    (void)ctx;
    fr_run *r = FR_CONTAINER(a->code, fr_run, code);
    if (a->aside) {
        fr_run_outbox_done(r->outbox, a, d);
        return;
    }
    if (FR_UNLIKELY(d->last && (a->gpus | a->memory) != 0)) {
        give_back(r, a);
    }
    fr_sched_now(r->sched, fr_clock_mono_ns(), fr_clock_wall_ns());
    fr_late_record(r->code.late, r->sched, r->store != NULL ? r->engine->store : NULL,
                   r->code.bundle);
    fr_sched_done(r->sched, a, d);
}

static void on_checkpoint(void *ctx, fr_attempt *a, uint32_t item, const fr_value *v)
{
    (void)ctx;
    fr_run *r = FR_CONTAINER(a->code, fr_run, code);
    fr_sched_now(r->sched, fr_clock_mono_ns(), fr_clock_wall_ns());
    fr_sched_checkpoint(r->sched, a, item, v);
}

static void on_batch_end(void *ctx)
{
    fr_engine *e = ctx;
    for (fr_run *r = e->runs, *next; r != NULL; r = next) {
        next = r->next;
        pump(r);
    }
}

static void on_stuck(void *ctx, fr_attempt *a)
{
    fr_engine *e = ctx;
    fr_run *r = FR_CONTAINER(a->code, fr_run, code);
    if (e->env.stuck != NULL) {
        e->env.stuck(e->env.ctx, r);
    }
}

static void on_durable(void *ctx, fr_store_run *run, uint64_t seq)   // store thread
{
    (void)run;
    (void)seq;
    fr_engine *e = ctx;
    fr_mailbox_wake(e->wake);
}

static void on_slots(void *ctx, fr_store_run *run)                   // store thread
{
    on_durable(ctx, run, 0);
}

static void on_trouble(void *ctx, int code, const fr_err *err)       // store thread
{
    fr_engine *e = ctx;
    uv_mutex_lock(&e->lock);
    e->trouble_text = err != NULL ? *err : (fr_err)FR_ERR_INIT;
    uv_mutex_unlock(&e->lock);
    atomic_store(&e->trouble, code == FR_OK ? -1 : code);
    fr_mailbox_wake(e->wake);
}

static bool on_wake(void *ctx)
{
    fr_engine *e = ctx;
    int code = atomic_exchange(&e->trouble, 0);
    if (code != 0 && e->env.trouble != NULL) {
        uv_mutex_lock(&e->lock);
        fr_err err = e->trouble_text;
        uv_mutex_unlock(&e->lock);
        e->env.trouble(e->env.ctx, code == -1 ? FR_OK : code, &err);
    }
    on_batch_end(e);
    return true;
}

// --- runs ---

static void on_closed(uv_handle_t *h)
{
    fr_run *r = h->data;
    r->handles--;
}

static void close_handles(fr_run *r)
{
    if (r->closed) {
        return;
    }
    r->closed = true;
    uv_close((uv_handle_t *)&r->timer, on_closed);
    uv_close((uv_handle_t *)&r->deadline, on_closed);
    uv_close((uv_handle_t *)&r->idle, on_closed);
    if (r->polling) {
        uv_close((uv_handle_t *)&r->poll, on_closed);
    }
}

// Of a failed run whose flow has retries left: how long to wait; -1: it is over.
static int64_t flow_retry(const fr_run *r, const fr_outcome *o)
{
    uint32_t made = 1 + fr_sched_reruns(r->sched);
    bool again = o->state == FR_FAILED && o->reason != FR_BECAUSE_DIVERGED && r->store != NULL &&
                 r->spec.retry.retries > 0 && fr_retry_allowed(&r->spec.retry, made);
    const fr_run_info *i = &r->spec.info;
    return again ? fr_retry_delay(&r->spec.retry, made, i->seed, i->bundle) : -1;
}

static int count_owned(void *ctx, const fr_outbox_row *row, fr_err *err)
{
    fr_run *r = ctx;
    (void)err;
    r->undelivered += row->owner == r->code.run;
    return FR_OK;
}

static void close_outbox(fr_run *r)
{
    if (r->outbox != NULL) {
        (void)!fr_store_outbox(r->engine->store, 0, 0, 1U << FR_OUTBOX_PENDING, SIZE_MAX,
                               count_owned, r, NULL);
        fr_run_outbox_close(r->outbox);
        r->outbox = NULL;
    }
}

// Messages are given some time, but not by a run that was stopped or goes on soon.
static bool outbox_holds(fr_run *r)
{
    if (r->outbox == NULL) {
        return false;
    }
    fr_outcome o;
    fr_sched_outcome(r->sched, &o);
    bool now = o.state == FR_STOPPED || flow_retry(r, &o) >= 0;
    return fr_run_outbox_holds(r->outbox, now ? 0 : r->spec.outbox_wait_ns);
}

static void end_run(fr_run *r)
{
    fr_outcome o;
    int64_t retry_ns = -1;
    if (r->draining) {
        o = (fr_outcome){.state = FR_PAUSED, .reason = FR_BECAUSE_DRAINED,
                         .failed_node = FR_NO_NODE};
    } else if (r->turn.state == FR_TURN_NEVER) {
        fr_turn_outcome(&r->turn, &o);
    } else {
        fr_sched_outcome(r->sched, &o);
        retry_ns = flow_retry(r, &o);
    }
    fr_run_limit_close(r->limit);
    r->limit = NULL;
    close_outbox(r);
    if (r->store != NULL) {
        fr_run_info info = r->spec.info;
        info.state = retry_ns >= 0 ? FR_SCHEDULED : o.state;
        info.reason = retry_ns >= 0 ? FR_BECAUSE_RETRY : o.reason;
        info.ended = retry_ns >= 0 || r->draining ? 0 : fr_clock_wall_ns();
        info.result = o.result;
        info.error = o.error;
        fr_store_run_update(r->store, &info);
        fr_store_flush(r->engine->store);
        unmark_run(r);
        fr_store_run_close(r->store);             // returns when all of it is durable
        r->store = NULL;
        r->code.log = NULL;
    }
    close_handles(r);
    fr_mailbox_keep(r->engine->wake, -1);
    r->ended = true;
    if (--r->engine->running == 0) {
        fr_exec_thread.watch(r->engine->exec[FR_EXEC_THREAD], false);
    }
    r->spec.host.ended(r->spec.host.ctx, &o, retry_ns);
}

static void tell_durable(fr_run *r)
{
    uint64_t seq = r->store != NULL ? fr_store_durable(r->store) : fr_sched_seq(r->sched);
    if (seq > r->barrier) {
        r->barrier = seq;
        atomic_store(&r->code.durable, seq);
        fr_sched_durable(r->sched, seq);
        for (int i = 0; i < FR_EXEC_KINDS; i++) {
            if (r->engine->exec[i] != NULL) {
                fr_exec_at((fr_exec_kind)i)->durable(r->engine->exec[i]);
            }
        }
    }
}

static void on_idle(uv_idle_t *h)
{
    pump(h->data);
}

static bool closing(fr_run *r)
{
    fr_outcome o;
    fr_sched_outcome(r->sched, &o);
    bool more = fr_sched_closing(r->sched, flow_retry(r, &o) >= 0);
    if (r->store != NULL) {
        fr_store_flush(r->engine->store);
    }
    return more;
}

static void begin(fr_run *r)
{
    if (r->spec.timeout_ns > 0) {
        (void)uv_timer_start(&r->deadline, on_deadline, (uint64_t)r->spec.timeout_ns / 1000000, 0);
    }
    if (r->store != NULL && fr_store_outbox_left(r->store)) {
        fr_run_outbox_adopt(outbox_of(r));
    }
    fr_sched_begin(r->sched);
    (void)uv_idle_start(&r->idle, on_idle);
}

static void show_turn(fr_run *r, fr_state state, fr_reason reason)
{
    if (r->store != NULL) {
        fr_run_info info = r->spec.info;
        info.state = state;
        info.reason = reason;
        fr_store_run_update(r->store, &info);
    }
}

// Limits in memory: the runs of this engine.
static void stop_older(const fr_run *r)
{
    const fr_limit_need *need = &r->turn.need;
    uint32_t newer = 1, most = 1;
    fr_limit *l = fr_alloc(sizeof *l);
    for (uint32_t i = 0; fr_limits_at(r->engine->limits, i, l); i++) {
        most = strcmp(l->name, need->name) == 0 ? (uint32_t)FR_MAX(l->capacity, 1) : most;
    }
    fr_free(l);
    for (fr_run *o = r->next; o != NULL; o = o->next) {    // newest first
        bool same = !o->ended && o->turn.full != FR_FULL_NONE && strcmp(o->flow, r->flow) == 0;
        if (same && ++newer > most) {
            fr_run_cancel(o, FR_ECANCELLED, "a newer run of its flow takes its place");
        }
    }
}

// The run has not begun: it needs a slot of its flow's limit.
static void wait_turn(fr_run *r)
{
    fr_turn *t = &r->turn;
    (void)uv_idle_stop(&r->idle);
    if (t->state == FR_TURN_WAITS) {
        (void)fr_run_limit_look(r->limit);
    }
    if (t->state == FR_TURN_WAITS && fr_turn_full(t, r->engine->store, r->store)) {
        show_turn(r, FR_QUEUED, FR_BECAUSE_LIMIT);
        if (r->store == NULL && t->full == FR_FULL_CANCEL_OLD) {
            stop_older(r);
        }
    }
    if (t->state == FR_TURN_HAS) {
        if (t->told) {
            show_turn(r, FR_RUNNING, r->spec.info.reason);
        }
        t->state = FR_TURN_FREE;
        begin(r);
    } else if (t->state == FR_TURN_NEVER) {
        end_run(r);
    }
    if (r->store != NULL) {
        fr_store_flush(r->engine->store);
    }
}

// Nothing of the run is out any more: it is let go as it is.
static void pump_drained(fr_run *r)
{
    fr_sched_now(r->sched, fr_clock_mono_ns(), fr_clock_wall_ns());
    tell_durable(r);
    if (r->store != NULL) {
        fr_store_flush(r->engine->store);
    }
    bool mail = r->outbox != NULL && fr_run_outbox_holds(r->outbox, 0);
    if (fr_sched_drained(r->sched) && !mail) {
        end_run(r);
    } else {
        (void)uv_idle_stop(&r->idle);
    }
}

static void pump(fr_run *r)
{
    if (!r->started || r->ended || r->pumping) {
        return;
    }
    r->pumping = true;
    if (r->draining) {
        pump_drained(r);
        r->pumping = false;
        return;
    }
    if (r->turn.state != FR_TURN_FREE) {
        wait_turn(r);
        r->pumping = false;
        return;
    }
    fr_sched_now(r->sched, fr_clock_mono_ns(), fr_clock_wall_ns());
    tell_durable(r);
    if (r->limit != NULL) {
        (void)fr_run_limit_look(r->limit);
    }
    if (r->outbox != NULL) {
        fr_run_outbox_look(r->outbox, r->barrier);
    }
    bool full = r->store != NULL && fr_store_backlog(r->engine->store) > BACKLOG_MAX;
    if (!full) {
        fr_lookups_answer(r->lookups, r->engine->store, r->store, r->sched);
        fr_sched_run(r->sched, BUDGET);
    }
    if (r->store == NULL) {
        tell_durable(r);
    } else {
        fr_store_flush(r->engine->store);
    }
    bool more = r->limit != NULL && r->store == NULL && fr_run_limit_look(r->limit);
    r->pumping = false;
    bool idle = !fr_sched_busy(r->sched) && !fr_lookups_waiting(r->lookups);
    if (idle && r->spec.plan) {
        end_run(r);
    } else if (idle && fr_sched_ended(r->sched) && closing(r)) {
        (void)uv_idle_stop(&r->idle);              // the hooks of the run are at work
    } else if (idle && fr_sched_ended(r->sched) && outbox_holds(r)) {
        (void)uv_idle_stop(&r->idle);
    } else if (idle && fr_sched_ended(r->sched)) {
        fr_sched_close_log(r->sched);
        end_run(r);
    } else if (!full && (more || !idle)) {
        (void)uv_idle_start(&r->idle, on_idle);
    } else {
        (void)uv_idle_stop(&r->idle);
    }
}

static void take_request(void *ctx, uint64_t id, const char *kind, const char *json)
{
    fr_run *r = ctx;
    fr_arrival a = {.name = NULL};
    fr_value *value = NULL;
    if (strcmp(kind, "cancel") == 0) {
        fr_run_cancel(r, FR_ECANCELLED, "requested");
    } else if (r->spec.host.arrival != NULL &&
               r->spec.host.arrival(r->spec.host.ctx, kind, json, &a, &value)) {
        a.id = (uint32_t)id;
        a.value = value;
        fr_sched_now(r->sched, fr_clock_mono_ns(), fr_clock_wall_ns());
        fr_sched_arrival(r->sched, &a);
        fr_value_unref(value);
        fr_run_kick(r);
    }
}

// What was asked of the run while it had no process, or between its row and its socket.
static void take_requests(fr_run *r)
{
    if (r->store != NULL) {
        (void)!fr_store_requests(r->store, take_request, r, NULL);
    }
}

static void on_readable(uv_poll_t *p, int status, int events)
{
    (void)events;
    fr_run *r = p->data;
    if (status == 0) {
        take_requests(r);
        if (r->outbox != NULL && !r->ended) {
            fr_run_outbox_told(r->outbox);
            fr_run_kick(r);
        }
        if (r->limit != NULL && !r->ended) {
            fr_run_limit_told(r->limit);
            pump(r);
        }
    }
}

static void on_deadline(uv_timer_t *t)
{
    fr_run_cancel(t->data, FR_ETIMEOUT, "the flow's timeout is over");
}

static int load_record(void *ctx, const fr_record *record, fr_err *err)
{
    fr_run *r = ctx;
    fr_late_load(r->code.late, record, r->code.bundle);
    return fr_sched_load(r->sched, record, err);
}

typedef struct copying {
    fr_run *run;
    uint64_t until, bytes;
} copying;

static int copy_record(void *ctx, const fr_record *record, fr_err *err)
{
    copying *c = ctx;
    if (record->type == FR_REC_START || record->seq >= c->until) {
        return FR_OK;
    }
    fr_record copy = *record;
    copy.log_from = copy.log_to = 0;           // its lines are in the log of the other run
    fr_late_load(c->run->code.late, &copy, c->run->code.bundle);
    fr_store_append(c->run->store, &copy);
    if (fr_sched_seq(c->run->sched) % 1024 == 0) {
        fr_store_flush(c->run->engine->store);
    }
    return fr_sched_load(c->run->sched, &copy, err);
}

// What the run begins with: its own records, or those of the run it was forked from.
static int load_past(fr_run *r, fr_err *err)
{
    const fr_run_spec *spec = &r->spec;
    fr_store *store = r->engine->store;
    int rc = FR_OK;
    if (spec->fork != 0) {
        copying c = {.run = r, .until = spec->fork_at};
        rc = fr_store_records(store, spec->fork, copy_record, &c, err);
    } else {
        rc = fr_store_records(store, spec->resume, load_record, r, err);
    }
    rc = rc == FR_OK ? fr_late_fetch(r->code.late, store, err) : rc;
    if (rc == FR_OK && (spec->rerun || spec->fork != 0)) {
        fr_sched_rerun(r->sched, &(fr_rerun){.keys = spec->again, .n = spec->n_again,
                                             .only = spec->only,
                                             .params = spec->new_params ? r->params : NULL});
        fr_sched_code(r->sched, r->code.bundle);
    }
    r->code.flow_attempt = spec->fork != 0 ? 1 : 1 + fr_sched_reruns(r->sched);
    return rc;
}

static int open_store_run(fr_run *r, fr_err *err)
{
    fr_store *store = r->engine->store;
    if (store == NULL || r->spec.plan) {
        return FR_OK;
    }
    if (r->spec.resume == 0 || r->spec.rerun) {   // in the commit of what names it, or before
        int rc = fr_store_blob_put(store, r->spec.info.bundle, r->spec.sources,
                                   r->spec.sources_size, err);
        if (rc != FR_OK) {
            return rc;
        }
    }
    return r->spec.resume == 0 ? fr_store_run_begin(store, &r->spec.info, &r->store, err)
                               : fr_store_run_resume(store, r->spec.resume, &r->store, err);
}

static void make_sched(fr_run *r)
{
    fr_io io = {.ctx = r, .append = io_append, .start = io_start, .cancel = io_cancel,
                .recall = io_recall,
                .timer = io_timer, .resume = io_resume, .again = io_again, .slot_ask = io_slot_ask,
                .slot_release = io_slot_release,
                .moment = r->spec.host.moment != NULL ? io_moment : NULL,
                .lookup = r->spec.plan ? NULL : io_lookup, .keep = io_keep};
    fr_sched_env env = {.io = &io, .code = &r->code, .seed = r->spec.info.seed,
                        .strict = r->spec.strict, .keep_args = r->spec.plan,
                        .cache = r->spec.cache, .cache_session = r->spec.cache_session,
                        .flow = r->spec.plan ? NULL : r->spec.hooks_of,
                        .flow_asks = r->spec.hooks, .params = r->params,
                        .rollback = r->spec.rollback, .fail_fast = r->spec.fail_fast,
                        .max_running = r->spec.max_running};
    r->lookups = fr_lookups_new();
    r->sched = fr_sched_new(&env);
    fr_sched_now(r->sched, fr_clock_mono_ns(), fr_clock_wall_ns());
}

static void open_handles(fr_run *r)
{
    uv_loop_t *loop = r->engine->env.loop;
    r->timer.data = r->deadline.data = r->idle.data = r->poll.data = r;
    (void)uv_timer_init(loop, &r->timer);
    (void)uv_timer_init(loop, &r->deadline);
    (void)uv_idle_init(loop, &r->idle);
    r->handles = 3;
    int fd = r->store != NULL ? fr_store_run_wakeup_fd(r->store) : -1;
    if (fd >= 0 && uv_poll_init(loop, &r->poll, fd) == 0) {
        r->polling = true;
        r->handles++;
        (void)uv_poll_start(&r->poll, UV_READABLE, on_readable);
        uv_unref((uv_handle_t *)&r->poll);
    }
}

enum { MOST_LIMITS = 256 };            // that a script may name

typedef struct limits_known {
    const fr_limit *limits;
    size_t n;
    bool *known;                       // those that are as the script says
} limits_known;

static int know_limit(void *ctx, const fr_limit *l, fr_err *err)
{
    const limits_known *k = ctx;
    (void)err;
    for (size_t i = 0; i < k->n; i++) {
        const fr_limit *mine = &k->limits[i];
        bool same = l->capacity == mine->capacity && l->rate == mine->rate &&
                    l->period_ns == mine->period_ns;
        if (strcmp(l->name, mine->name) == 0 && (same || l->source == FR_LIMIT_COMMAND)) {
            k->known[i] = true;
        }
    }
    return FR_OK;
}

// What the script says of limits. A commit only when it says something new.
static int tell_limits(fr_run *r, fr_err *err)
{
    fr_store *store = r->engine->store;
    bool known[MOST_LIMITS] = {false};
    size_t n = r->spec.plan ? 0 : FR_MIN(r->spec.n_limits, (size_t)MOST_LIMITS);
    limits_known k = {r->spec.limits, n, known};
    int rc = n > 0 && store != NULL ? fr_store_limits(store, know_limit, &k, err) : FR_OK;
    for (size_t i = 0; i < n && rc == FR_OK; i++) {
        if (store == NULL) {
            fr_limits_set(r->engine->limits, &r->spec.limits[i], fr_clock_wall_ns());
        } else if (!known[i]) {
            rc = fr_store_limit_set(store, &r->spec.limits[i], err);
        }
    }
    r->spec.limits = NULL;             // the caller's
    return rc;
}

int fr_engine_run(fr_engine *e, const fr_run_spec *spec, fr_run **out, fr_err *err)
{
    *out = NULL;
    fr_run *r = fr_zalloc(sizeof *r);
    r->engine = e;
    r->spec = *spec;
    r->flow = fr_strdup(spec->info.flow);
    r->spec.info.flow = r->flow;
    r->params = spec->info.params != NULL ? fr_value_ref(spec->info.params) : NULL;
    r->spec.info.params = r->params;
    int rc = tell_limits(r, err);
    if (rc == FR_OK) {
        rc = open_store_run(r, err);
    }
    if (rc != FR_OK) {
        fr_value_unref(r->params);
        fr_free(r->flow);
        fr_free(r);
        return rc;
    }
    r->code = (fr_code){.bundle = spec->info.bundle, .name = r->flow, .sources = spec->sources,
                        .size = spec->sources_size, .seed = spec->info.seed, .log = r->store,
                        .run = r->store != NULL ? fr_store_run_id(r->store) : 0,
                        .params = r->params, .flow_attempt = 1};
    r->spec.info.id = r->code.run;
    char lock[1024];
    if (r->store != NULL) {
        fr_store_run_reaper(r->store, lock, sizeof lock);
    }
    r->code.late = fr_late_new();
    r->code.reaper = fr_reaper_new(r->store != NULL ? lock : NULL);
    make_sched(r);
    if ((spec->resume != 0 || spec->fork != 0) && e->store != NULL) {
        rc = load_past(r, err);
    }
    if (rc == FR_OK) {
        mark_run(r);
    }
    open_handles(r);
    r->next = e->runs;
    e->runs = r;
    if (rc != FR_OK) {
        if (r->store != NULL) {
            fr_store_run_close(r->store);
            r->store = NULL;
        }
        r->ended = true;
        fr_run_free(r);
        return rc;
    }
    *out = r;
    return FR_OK;
}

void fr_run_start(fr_run *r)
{
    r->started = true;
    if (r->engine->running++ == 0) {
        fr_exec_thread.watch(r->engine->exec[FR_EXEC_THREAD], true);
    }
    fr_mailbox_keep(r->engine->wake, 1);         // keeps the loop alive until the end
    if (r->spec.full != FR_FULL_NONE && !r->spec.plan) {
        fr_slot_ask a = fr_turn_ask(&r->turn, r->spec.full, r->flow, fr_clock_wall_ns());
        io_slot_ask(r, &a);
    }
    if (r->spec.resume != 0 && !r->spec.plan) {
        take_requests(r);
    }
    if (r->turn.state == FR_TURN_FREE) {
        begin(r);
    } else {
        (void)uv_idle_start(&r->idle, on_idle);
    }
}

void fr_run_free(fr_run *r)
{
    if (r == NULL) {
        return;
    }
    FR_ASSERT(r->ended);
    close_handles(r);
    while (r->handles > 0) {
        (void)uv_run(r->engine->env.loop, UV_RUN_NOWAIT);
    }
    for (fr_run **p = &r->engine->runs; *p != NULL; p = &(*p)->next) {
        if (*p == r) {
            *p = r->next;
            break;
        }
    }
    for (int i = 0; i < FR_EXEC_KINDS; i++) {
        if (r->engine->exec[i] != NULL && fr_exec_at((fr_exec_kind)i)->forget != NULL) {
            fr_exec_at((fr_exec_kind)i)->forget(r->engine->exec[i], &r->code);
        }
    }
    fr_sched_free(r->sched);
    fr_lookups_free(r->lookups);
    fr_reaper_free(r->code.reaper);
    fr_late_free(r->code.late);
    fr_turn_fini(&r->turn);
    fr_value_unref(r->params);
    fr_free(r->flow);
    fr_free(r);
}

fr_sched *fr_run_sched(fr_run *r)
{
    return r->sched;
}

fr_store_run *fr_run_store(fr_run *r)
{
    return r->store;
}

void fr_run_keep_source(fr_run *r, fr_hash source, const void *bytes, size_t n)
{
    if (r->store != NULL) {
        (void)!fr_store_blob_put(r->engine->store, source, bytes, n, NULL);
    }
}

uint64_t fr_run_id(const fr_run *r)
{
    return r->code.run;
}

fr_code *fr_run_code(fr_run *r)
{
    return &r->code;
}

bool fr_run_ended(const fr_run *r)
{
    return r->ended;
}

uint32_t fr_run_undelivered(const fr_run *r)
{
    return r->undelivered;
}

void fr_run_cancel(fr_run *r, int code, const char *why)
{
    if (r->ended) {
        return;
    }
    if (r->turn.state != FR_TURN_FREE) {
        bool late = code == FR_ETIMEOUT;
        fr_turn_over(&r->turn, late ? FR_FAILED : FR_STOPPED,
                     late ? FR_BECAUSE_TIMEOUT : FR_BECAUSE_CANCELLED, code, why);
        fr_run_kick(r);
        return;
    }
    fr_sched_now(r->sched, fr_clock_mono_ns(), fr_clock_wall_ns());
    fr_sched_cancel(r->sched, code, why);
    fr_run_kick(r);
}

void fr_run_look(fr_run *r)
{
    uv_update_time(r->deadline.loop);
    if (uv_is_active((const uv_handle_t *)&r->deadline) &&
        uv_timer_get_due_in(&r->deadline) == 0) {
        on_deadline(&r->deadline);
    }
}

void fr_run_drain(fr_run *r)
{
    if (r->ended) {
        return;
    }
    r->draining = true;
    fr_sched_now(r->sched, fr_clock_mono_ns(), fr_clock_wall_ns());
    fr_sched_drain(r->sched);
    fr_run_kick(r);
}

bool fr_run_waits(const fr_run *r)
{
    return r->turn.state == FR_TURN_WAITS && r->turn.told;
}

void fr_run_kick(fr_run *r)
{
    if (r->started && !r->ended) {
        (void)uv_idle_start(&r->idle, on_idle);
    }
}

// --- the engine itself ---

int fr_engine_open(const fr_engine_env *env, fr_engine **out, fr_err *err)
{
    *out = NULL;
    fr_engine *e = fr_zalloc(sizeof *e);
    e->env = *env;
    e->limits = fr_limits_new(NULL, NULL);
    (void)uv_mutex_init(&e->lock);
    int rc = fr_mailbox_open(env->loop, on_wake, e, &e->wake, err);
    if (rc != FR_OK) {
        goto fail;
    }
    if (env->home != NULL) {
        fr_store_env store = {.home = env->home, .relaxed = env->relaxed, .kinds = env->kinds,
                              .durable = on_durable, .slots = on_slots, .trouble = on_trouble,
                              .ctx = e};
        rc = fr_store_open(&store, &e->store, err);
        if (rc != FR_OK) {
            goto fail;
        }
    }
    if (env->home != NULL) {
        e->marker = path_of(env->home, ENGINE_MARK, (uint64_t)getpid(), "");
    }
    e->exec_env = (fr_exec_env){
        .loop = env->loop, .mailbox = e->wake, .marker = e->marker, .bodies = env->bodies,
        .bodies_config = env->bodies_config, .workers = env->workers, .kinds = env->kinds,
        .reaper_argv = env->reaper_argv, .worker_argv = env->worker_argv,
        .started = on_started, .done = on_done, .checkpoint = on_checkpoint,
        .batch_end = on_batch_end, .stuck = on_stuck, .ctx = e};
    rc = fr_exec_thread.open(&e->exec[FR_EXEC_THREAD], &e->exec_env, err);
    if (rc == FR_OK) {
        *out = e;
        return FR_OK;
    }
fail:
    if (e->store != NULL) {
        (void)!fr_store_close(e->store, NULL);
    }
    if (e->wake != NULL) {
        fr_mailbox_close(e->wake);
    }
    uv_mutex_destroy(&e->lock);
    fr_limits_free(e->limits);
    fr_free(e->marker);
    fr_free(e);
    return rc;
}

void fr_engine_close(fr_engine *e)
{
    if (e == NULL) {
        return;
    }
    for (int i = 0; i < FR_EXEC_KINDS; i++) {
        if (e->exec[i] != NULL) {
            fr_exec_at((fr_exec_kind)i)->close(e->exec[i]);
        }
    }
    if (e->store != NULL) {
        (void)!fr_store_close(e->store, NULL);
    }
    fr_mailbox_close(e->wake);
    (void)uv_run(e->env.loop, UV_RUN_NOWAIT);
    uv_mutex_destroy(&e->lock);
    fr_gpus_free(e->gpus);
    fr_limits_free(e->limits);
    fr_free(e->marker);
    fr_free(e);
}

fr_store *fr_engine_store(fr_engine *e)
{
    return e->store;
}
