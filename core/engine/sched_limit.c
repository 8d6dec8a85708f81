// Attempts that need slots of limits, and those that may not wait for ever (engine.md E4).
//
// An attempt of a limited task asks before it goes to the executor; the answer comes as
// fr_sched_slot. Its ask ends with the record of its end, so that a result and its slot are
// given back in one transaction; a question (sched_ask.c) runs outside the limits.
#include "core/engine/sched_int.h"

#include <stdio.h>

static fr_hash ask_key(uint32_t ask) { return (fr_hash){.lo = ask, .hi = 1}; }

static void ask(fr_sched *s, run_attempt *ra)
{
    node *n = node_at(s, ra->node);
    ra->limit = SCHED_ASKED;
    ra->held = true;
    *fr_map_put(&s->asks, ask_key(ra->a.fence), NULL) = ra->slot;
    if (n->state == FR_QUEUED) {
        n->reason = FR_BECAUSE_LIMIT;
    }
    fr_slot_ask a = {.ask = ra->a.fence, .row = n->row, .name = ra->a.task,
                     .priority = n->opts->priority, .since = s->wall, .needs = n->opts->limits,
                     .n_needs = n->opts->n_limits};
    s->io.slot_ask(s->io.ctx, &a);
}

void sched_send(fr_sched *s, run_attempt *ra)
{
    const fr_task_opts *o = node_at(s, ra->node)->opts;
    if (FR_UNLIKELY(sched_drain_hold(s, ra))) {
        return;
    }
    sched_will_look(s);
    if (FR_LIKELY(o->n_limits == 0 && o->queue_timeout_ns == 0) || ra->ask != FR_ASK_NOTHING) {
        sched_gate(s, ra);
        return;
    }
    if (o->queue_timeout_ns > 0) {
        sched_timer_add(s, TIMER_QUEUE, s->mono + o->queue_timeout_ns, ra->slot, ra->a.fence, 0);
    }
    if (o->n_limits > 0 && !(SEEDED(BUG_NO_SLOT) && ra->a.attempt > 1)) {
        ask(s, ra);
    } else {
        sched_gate(s, ra);
    }
}

// The ask is over: from now on an answer to it finds nobody.
static void forget(fr_sched *s, run_attempt *ra)
{
    ra->limit = 0;
    (void)fr_map_remove(&s->asks, ask_key(ra->a.fence));
}

void sched_limit_drop(fr_sched *s, run_attempt *ra)
{
    if (ra->limit != 0 && !s->freeing) {
        bool left = SEEDED(BUG_ASK_LEFT) && ra->limit == SCHED_ASKED;
        forget(s, ra);
        if (!left) {
            s->io.slot_release(s->io.ctx, ra->a.fence);
        }
    }
}

void sched_limit_ends(fr_sched *s, run_attempt *ra)
{
    if (ra->limit == SCHED_HELD) {
        s->releasing = SEEDED(BUG_SLOT_KEPT) && ra->a.attempt > 1 ? 0 : ra->a.fence;
        forget(s, ra);
    }
}

void sched_limit_ended(fr_sched *s)
{
    if (s->releasing != 0) {                   // no record took it along
        s->io.slot_release(s->io.ctx, s->releasing);
        s->releasing = 0;
    }
}

// What never ran fails for good; a fallback may still take its place.
static void fail_waiting(fr_sched *s, run_attempt *ra, fr_value *error, int code)
{
    node *n = node_at(s, ra->node);
    ra->gave_up = true;
    if (ra->held) {
        sched_take_back(s, ra);
    }
    sched_limit_drop(s, ra);
    if (n->kind == FR_CALL_MAP) {
        sched_map_unstarted(s, ra, error);
    } else {
        fr_done d = {.code = code, .error = error, .last = true};
        fr_sched_done(s, &ra->a, &d);
    }
    fr_value_unref(error);
}

void fr_sched_slot(fr_sched *s, uint32_t number, const char *refused)
{
    const uint64_t *at = s->asks.count > 0 ? fr_map_find(&s->asks, ask_key(number)) : NULL;
    run_attempt *ra = at != NULL ? sched_slot(s, (uint32_t)*at) : NULL;
    if (ra == NULL || ra->limit != SCHED_ASKED) {
        return;                                // told before, or cancelled meanwhile
    }
    node *n = node_at(s, ra->node);
    if (refused[0] != '\0') {
        fail_waiting(s, ra, sched_error_final(fr_err_name(FR_EINVAL), "%s: %s", ra->a.task,
                                              refused), FR_EINVAL);
        return;
    }
    ra->limit = SCHED_HELD;
    ra->held = false;
    if (n->state == FR_QUEUED && n->reason == FR_BECAUSE_LIMIT) {
        n->reason = FR_BECAUSE_WORKER;
    }
    sched_will_look(s);
    sched_gate(s, ra);
    if (SEEDED(BUG_SLOT_EARLY)) {
        sched_limit_drop(s, ra);
    }
}

static fr_value *queue_error(const fr_sched *s, const run_attempt *ra)
{
    const fr_task_opts *o = node_at(s, ra->node)->opts;
    char names[300] = "";
    size_t at = 0;
    uint32_t n = ra->limit == SCHED_ASKED ? o->n_limits : 0;
    for (uint32_t i = 0; i < n && at < sizeof names - 1; i++) {
        at += (size_t)FR_MAX(snprintf(names + at, sizeof names - at, "%s\"%s\"",
                                      i > 0 ? ", " : "limit ", o->limits[i].name), 0);
    }
    return sched_error_final(fr_err_name(FR_ETIMEOUT),
                             "queue_timeout: it waited %.6g s for %s and did not start",
                             (double)o->queue_timeout_ns / 1e9,
                             names[0] != '\0' ? names : "a worker");
}

void sched_queue_over(fr_sched *s, const timer_entry *e)
{
    run_attempt *ra = sched_slot(s, e->node);
    if (ra == NULL || ra->a.fence != e->fence || ra->started || ra->queue_over) {
        return;                                // it started, or is gone
    }
    node *n = node_at(s, ra->node);
    ra->queue_over = true;
    n->queue_over = n->kind != FR_CALL_MAP;
    if (ra->held) {
        fail_waiting(s, ra, queue_error(s, ra), FR_ETIMEOUT);
    } else {
        s->io.cancel(s->io.ctx, &ra->a, FR_ETIMEOUT);
    }
}

// The executor gives an attempt back that it has not started: its time in the queue is over.
bool sched_queue_gave_up(fr_sched *s, run_attempt *ra, const fr_done *d)
{
    bool unstarted = d->started == 0 && d->code != FR_OK;
    fr_item_done item;
    fr_reader r = fr_reader_of(d->items, d->size);
    if (d->size > 0 && fr_item_next(&r, &item)) {
        unstarted = !ra->started && (item.flags & FR_ITEM_CANCELLED) != 0;
    }
    if (!ra->queue_over || ra->gave_up || !unstarted || sched_stopping(s, node_at(s, ra->node))) {
        return false;
    }
    fail_waiting(s, ra, queue_error(s, ra), FR_ETIMEOUT);
    return true;
}
