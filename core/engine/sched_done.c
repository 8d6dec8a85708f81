// What happens when an attempt starts, ends, or its time comes.
#include "core/engine/sched_int.h"

void fr_sched_started(fr_sched *s, fr_attempt *a, int64_t wall_ns)
{
    run_attempt *ra = a->owner;
    node *n = node_at(s, ra->node);
    ra->started = true;
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

static void learn_cost(fr_sched *s, const node *n, const fr_done *d, uint32_t items)
{
    double ns = (double)(d->ended - d->started) / FR_MAX(items, 1);
    double *mean = &s->tasks[n->task].mean_ns;
    *mean = *mean == 0 ? FR_MAX(ns, 1) : *mean + (ns - *mean) / 8;
}

static void attempt_done(fr_sched *s, fr_attempt *a, const fr_done *d)
{
    run_attempt *ra = a->owner;
    uint32_t id = ra->node;
    node *n = node_at(s, id);
    if ((d->started != 0 || d->n_items > 0) && n->kind != FR_CALL_HOOK) {
        learn_cost(s, n, d, d->n_items);
    }
    if (sched_queue_gave_up(s, ra, d) || sched_drain_back(s, ra, d)) {
        return;
    }
    if (ra->limit != 0 && (d->last || d->n_items > 0 || d->result != NULL)) {
        sched_limit_ends(s, ra);
    }
    if (n->kind == FR_CALL_MAP) {
        sched_map_done(s, ra, d);
        sched_limit_ended(s);
        return;
    }
    FR_ASSERT(n->slot == ra->slot);            // each attempt is answered once
    n->slot = FR_NO_NODE;
    if (n->state == FR_QUEUED && d->started != 0) {
        sched_move(s, n, FR_RUNNING, FR_BECAUSE_FIRST);
    }
    if (d->started != 0 && ra->ask == FR_ASK_NOTHING) {
        n->started = d->started;
        n->attempt++;
    }
    if (d->started != 0 && (ra->ask == FR_ASK_NOTHING || ra->ask == FR_ASK_FALLBACK)) {
        n->ended = d->ended;                   // a delay counts from the end of the attempt
    }
    if (n->kind == FR_CALL_POKE && ra->ask == FR_ASK_NOTHING && sched_poke_done(s, id, d)) {
        sched_limit_ended(s);
        sched_attempt_free(s, ra);
        return;
    }
    if (n->kind == FR_CALL_HOOK) {
        sched_hook_done(s, id, d);
        sched_attempt_free(s, ra);
        return;
    }
    fr_value *before = n->error;
    n->error = NULL;
    if (ra->ask != FR_ASK_NOTHING) {
        sched_answered(s, id, ra, d);
    } else if (d->code == FR_OK) {
        fr_value *result = d->result != NULL ? fr_value_ref(d->result) : fr_value_nil();
        sched_finish(s, id, FR_SUCCESS, FR_BECAUSE_RAN, result, NULL);
    } else {
        sched_attempt_failed(s, id, d->error, d->code);
    }
    fr_value_unref(before);
    sched_limit_ended(s);
    sched_attempt_free(s, ra);
}

void fr_sched_addendum(fr_sched *s, const char *name, const void *data, size_t size)
{
    fr_record r = {.type = FR_REC_ADDENDUM, .name = name, .data = data, .size = size,
                   .ended = s->wall};
    sched_record(s, &r);
}

void fr_sched_done(fr_sched *s, fr_attempt *a, const fr_done *d)
{
    s->outbox = d->code == FR_OK ? d->outbox : NULL;
    attempt_done(s, a, d);
    s->outbox = NULL;
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
        } else if (!node_final(n) && n->state != FR_CANCELLING && !n->expired) {
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
    if (ra == NULL || (ra->a.fence != e->fence && !(SEEDED(BUG_STALE_TIMER) && ra->started))) {
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
    if (n->state != FR_SCHEDULED || n->attempt + n->lost != e->fence) {
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
        case TIMER_WAIT:
            sched_wait_due(s, e.node);
            break;
        case TIMER_POKE:
            sched_poke_due(s, &e);
            break;
        case TIMER_LOOK:
            sched_look(s);
            break;
        case TIMER_QUEUE:
            sched_queue_over(s, &e);
            break;
        case TIMER_AGAIN:
            sched_scope_due(s, e.node);
            break;
        case TIMER_SCOPE:
            sched_scope_time(s, e.node, e.fence);
            break;
        case TIMER_DEADLINE:
            sched_deadline(s, e.node);
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
