// What happens when an attempt starts, ends, or its time comes.
#include "core/engine/sched_int.h"

void fr_sched_started(fr_sched *s, fr_attempt *a, int64_t wall_ns)
{
    run_attempt *ra = a->owner;
    node *n = node_at(s, ra->node);
    if (n->started == 0 || n->kind != FR_CALL_MAP) {
        n->started = wall_ns;
    }
    if (n->state == FR_QUEUED) {
        sched_move(s, n, FR_RUNNING, n->attempt > 0 ? FR_BECAUSE_RETRY : FR_BECAUSE_FIRST);
        fr_record r;
        sched_record_of(s, n, &r);
        r.type = FR_REC_START;
        r.attempt = a->attempt;
        s->io.append(s->io.ctx, &r);
        if (s->n_running == s->cap_running) {
            s->cap_running = s->cap_running == 0 ? 32 : s->cap_running * 2;
            s->running = fr_realloc(s->running, s->cap_running * sizeof *s->running);
        }
        s->running[s->n_running++] = ra->node;
        fr_task_stats *t = &s->tasks[n->task].stats;
        t->running++;
        n->counted = true;
        t->first_started = t->first_started == 0 ? wall_ns : t->first_started;
        sched_event(s, FR_MOMENT_STARTED, ra->node);
    }
    if (n->opts->timeout_ns > 0) {
        sched_timer_add(s, TIMER_TIMEOUT, s->mono + n->opts->timeout_ns, ra->slot, a->fence, 0);
    }
}

static fr_reason reason_of(int code)
{
    switch (code) {
    case FR_ETIMEOUT:
        return FR_BECAUSE_TIMEOUT;
    case FR_EQUALITY:
        return FR_BECAUSE_QUALITY;
    case FR_ELOST:
        return FR_BECAUSE_CRASHED;
    case FR_EPOISON:
        return FR_BECAUSE_QUARANTINED;
    default:
        return FR_BECAUSE_ERROR;
    }
}

static void start_retry(fr_sched *s, uint32_t id, const fr_value *error)
{
    node *n = node_at(s, id);
    int64_t delay = fr_retry_delay(&n->opts->retry, n->attempt, s->env.seed, n->key);
    n->due = n->ended + delay;
    sched_move(s, n, FR_SCHEDULED, FR_BECAUSE_RETRY);
    s->stats.retries++;
    s->tasks[n->task].stats.retries++;
    s->tasks[n->task].stats.running -= n->counted;
    n->counted = false;
    fr_record r;
    sched_record_of(s, n, &r);
    r.type = FR_REC_RETRY;
    r.error = error;
    sched_record(s, &r);
    n->need = s->seq;
    fr_value_unref(n->error);
    n->error = fr_value_ref(error);
    sched_event(s, FR_MOMENT_RETRY, id);
    int64_t left = FR_MAX(n->due - s->wall, 0);
    n->ended = 0;
    sched_timer_add(s, TIMER_RETRY, s->mono + FR_MIN(left, delay), id, n->attempt, 0);
}

static void start_fallback(fr_sched *s, uint32_t id, const fr_done *d)
{
    node *n = node_at(s, id);
    if (n->opts->fallback_fn) {
        fr_value_unref(n->error);
        n->error = d->error != NULL ? fr_value_ref(d->error) : NULL;
        n->state = FR_QUEUED;
        s->stats.running--;
        s->stats.queued++;
        n->ended = 0;
        run_attempt *ra = sched_attempt_new(s, id);
        ra->a.option = "fallback";
        ra->a.error = ra->own_error = d->error != NULL ? fr_value_ref(d->error) : NULL;
        ra->a.attempt = n->attempt;
        n->slot = ra->slot;
        sched_send(s, ra);
        return;
    }
    sched_finish(s, id, FR_SUCCESS, FR_BECAUSE_DEGRADED, fr_value_ref(n->opts->fallback), NULL);
}

static void body_failed(fr_sched *s, uint32_t id, const fr_attempt *a, const fr_done *d)
{
    node *n = node_at(s, id);
    int code = n->timed_out ? FR_ETIMEOUT : d->code;
    bool stopping = sched_stopping(s);
    if (stopping && (code == FR_ECANCELLED || code == FR_ETIMEOUT)) {
        fr_value *error = d->error != NULL ? fr_value_ref(d->error)
                                           : sched_error("cancelled", "the run was cancelled");
        sched_finish(s, id, FR_STOPPED, FR_BECAUSE_CANCELLED, NULL, error);
        return;
    }
    if (a->option == NULL && !stopping) {
        if (fr_retry_allowed(&n->opts->retry, n->attempt) && sched_error_retry(d->error)) {
            if (n->state == FR_CANCELLING) {
                n->state = FR_RUNNING;         // its time was up, the task itself goes on
            }
            n->timed_out = false;
            start_retry(s, id, d->error);
            return;
        }
        if (n->opts->fallback != NULL || n->opts->fallback_fn) {
            if (n->state == FR_CANCELLING) {
                n->state = FR_RUNNING;
            }
            n->timed_out = false;
            start_fallback(s, id, d);
            return;
        }
    }
    fr_value *error = d->error != NULL ? fr_value_ref(d->error)
                                       : sched_error(fr_err_name(code), "%s", fr_err_text(code));
    sched_finish(s, id, FR_FAILED, reason_of(code), NULL, error);
}

static void learn_cost(fr_sched *s, const node *n, const fr_done *d, uint32_t items)
{
    double ns = (double)(d->ended - d->started) / FR_MAX(items, 1);
    double *mean = &s->tasks[n->task].mean_ns;
    *mean = *mean == 0 ? FR_MAX(ns, 1) : *mean + (ns - *mean) / 8;
}

void fr_sched_done(fr_sched *s, fr_attempt *a, const fr_done *d)
{
    run_attempt *ra = a->owner;
    uint32_t id = ra->node;
    node *n = node_at(s, id);
    if (d->started != 0 || d->n_items > 0) {
        learn_cost(s, n, d, d->n_items);
    }
    if (n->kind == FR_CALL_MAP) {
        sched_map_done(s, ra, d);
        return;
    }
    FR_ASSERT(n->slot == ra->slot);            // each attempt is answered once
    if (n->state == FR_QUEUED) {
        bool ran = d->started != 0;
        if (ran) {
            sched_move(s, n, FR_RUNNING, FR_BECAUSE_FIRST);
        }
    }
    if (d->started != 0) {
        n->started = d->started;
        n->ended = d->ended;
        n->attempt += a->option == NULL;
    }
    n->slot = FR_NO_NODE;
    if (d->code == FR_OK) {
        fr_reason why = a->option != NULL ? FR_BECAUSE_DEGRADED : FR_BECAUSE_RAN;
        fr_value_unref(n->error);
        n->error = NULL;
        fr_value *result = d->result != NULL ? fr_value_ref(d->result) : fr_value_nil();
        sched_finish(s, id, FR_SUCCESS, why, result, NULL);
    } else {
        fr_value *before = n->error;
        n->error = NULL;
        body_failed(s, id, a, d);
        fr_value_unref(before);
    }
    sched_attempt_free(s, ra);
}

void fr_sched_durable(fr_sched *s, uint64_t seq)
{
    if (seq <= s->durable) {
        return;
    }
    s->durable = seq;
    sched_release(s);
    while (s->barrier_head < s->n_barriers && s->barriers[s->barrier_head].need <= seq) {
        barrier b = s->barriers[s->barrier_head++];
        node *n = node_at(s, b.node);
        if (b.item != FR_NO_NODE) {
            sched_map_retry(s, b.node, b.item);
        } else if (!node_final(n) && n->state != FR_CANCELLING) {
            sched_dispatch(s, b.node);
        }
    }
    if (s->barrier_head == s->n_barriers) {
        s->barrier_head = s->n_barriers = 0;
    }
}

static void time_out(fr_sched *s, const timer_entry *e)
{
    run_attempt *ra = sched_slot(s, e->node);
    if (ra == NULL || (ra->a.fence != e->fence && !SEEDED(BUG_STALE_TIMER))) {
        return;                                // it ended before; the timer is stale
    }
    node *n = node_at(s, ra->node);
    if (n->kind != FR_CALL_MAP && n->state == FR_RUNNING) {
        sched_move(s, n, FR_CANCELLING, FR_BECAUSE_TIMEOUT);
        n->timed_out = true;
    }
    sched_cancel_attempt(s, ra, FR_ETIMEOUT);
}

static void retry_due(fr_sched *s, const timer_entry *e)
{
    node *n = node_at(s, e->node);
    if (n->state != FR_SCHEDULED || n->attempt != e->fence) {
        return;
    }
    if (s->durable < n->need) {                // an attempt is never lost from the count
        sched_wait_durable(s, s->seq, e->node, FR_NO_NODE);
    } else {
        sched_dispatch(s, e->node);
    }
}

void fr_sched_timer(fr_sched *s)
{
    timer_entry e;
    while (sched_timer_pop(s, &e)) {
        switch (e.kind) {
        case TIMER_RETRY:
            retry_due(s, &e);
            break;
        case TIMER_TIMEOUT:
            time_out(s, &e);
            break;
        case TIMER_SLEEP:
            if (node_at(s, e.node)->state == FR_DEFERRED) {
                sched_finish(s, e.node, FR_SUCCESS, FR_BECAUSE_TIMER, fr_value_nil(), NULL);
            }
            break;
        case TIMER_ITEM:
            sched_wait_durable(s, s->seq, e.node, e.item);
            break;
        }
    }
    s->timer_armed = -1;
    sched_timer_arm(s);
    uint64_t durable = s->durable;
    if (s->barrier_head < s->n_barriers && s->barriers[s->barrier_head].need <= durable) {
        s->durable = 0;
        fr_sched_durable(s, durable);
    }
}
