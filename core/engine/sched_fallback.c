// Fallbacks tried in turn: a value, a function, another task's body, the last good result. What
// one of them gives makes the call degraded; when all fail the call fails with the last error.
// Once the deadline of the call is over only those count that need no body: a value, the last
// good result.
#include "core/engine/sched_int.h"

static const fr_fallback *last_good_of(const node *n)
{
    const fr_task_opts *o = n->opts;
    for (uint32_t i = 0; o != NULL && i < o->n_fallbacks; i++) {
        if (o->fallbacks[i].kind == FR_FALLBACK_LAST_GOOD) {
            return &o->fallbacks[i];
        }
    }
    return NULL;
}

// Arguments count as they were written: what a handle stands for is data that differs each time.
static fr_hash good_key(const fr_sched *s, const node *n, const fr_fallback *f)
{
    fr_hash h = fr_hash_mix(s->tasks[n->task].hash, 0x600d);
    if (!f->any_arguments && n->argv != NULL && !SEEDED(BUG_LAST_GOOD_ANY)) {
        h = fr_hash_pair(h, n->argv->hash);
    }
    return h;
}

static fr_value *error_or(const fr_value *error, int code)
{
    return error != NULL ? fr_value_ref(error)
                         : sched_error(fr_err_name(code), "%s", fr_err_text(code));
}

static void try_task(fr_sched *s, uint32_t id, const fr_fallback *f)
{
    node *n = node_at(s, id);
    run_attempt *ra = sched_attempt_new(s, id);
    ra->a.attempt = n->attempt;
    ra->a.task = f->task;
    ra->ask = FR_ASK_FALLBACK;
    n->slot = ra->slot;
    sched_send(s, ra);
}

static void try_function(fr_sched *s, uint32_t id, const fr_fallback *f, const fr_value *error)
{
    node *n = node_at(s, id);
    run_attempt *ra = sched_attempt_new(s, id);
    ra->a.attempt = n->attempt;
    sched_ask(s, ra, FR_ASK_FALLBACK, error);
    ra->a.option = f->option;
    n->slot = ra->slot;
    sched_send(s, ra);
}

static void try_last_good(fr_sched *s, uint32_t id, const fr_fallback *f)
{
    node *n = node_at(s, id);
    n->good_key = good_key(s, n, f);
    n->looks = true;
    fr_lookup l = {.node = id, .task = s->tasks[n->task].name, .keys = &n->good_key, .n = 1,
                   .oldest = f->max_age_ns > 0 ? s->wall - f->max_age_ns : 0};
    s->io.lookup(s->io.ctx, &l);
}

bool sched_fall_back(fr_sched *s, uint32_t id, const fr_value *error, int code)
{
    node *n = node_at(s, id);
    fr_value *kept = error_or(error, code);    // error may be n->error
    fr_value_unref(n->error);
    n->error = kept;
    while (n->fell < n->opts->n_fallbacks) {
        const fr_fallback *f = &n->opts->fallbacks[n->fell++];
        n->timed_out = false;
        switch (f->kind) {
        case FR_FALLBACK_VALUE:
            fr_value_unref(n->error);
            n->error = NULL;
            sched_finish(s, id, FR_SUCCESS, FR_BECAUSE_DEGRADED, fr_value_ref(f->value), NULL);
            return true;
        case FR_FALLBACK_FUNCTION:
            try_function(s, id, f, n->error);
            return true;
        case FR_FALLBACK_TASK:
            try_task(s, id, f);
            return true;
        case FR_FALLBACK_LAST_GOOD:
            if (s->io.lookup != NULL) {
                try_last_good(s, id, f);
                return true;
            }
            break;
        }
    }
    return false;
}

// Nothing of before starts it any more while the store is asked.
static void settle(fr_sched *s, node *n)
{
    n->begun = true;
    if (n->state == FR_WAITING || n->state == FR_SCHEDULED) {
        sched_move(s, n, FR_QUEUED, FR_BECAUSE_DEADLINE);
    }
    if (n->state == FR_QUEUED) {
        sched_move(s, n, FR_RUNNING, FR_BECAUSE_DEADLINE);
    }
}

static const fr_value *late_value(fr_sched *s, uint32_t id, bool *looks)
{
    node *n = node_at(s, id);
    bool asks = n->state == FR_WAITING && n->cache != NULL;    // the store was asked already
    *looks = false;
    while (n->fell < n->opts->n_fallbacks) {
        const fr_fallback *f = &n->opts->fallbacks[n->fell++];
        if (f->kind == FR_FALLBACK_VALUE) {
            return f->value;
        }
        if (f->kind == FR_FALLBACK_LAST_GOOD && s->io.lookup != NULL && !asks) {
            *looks = true;
            settle(s, n);
            try_last_good(s, id, f);
            return NULL;
        }
    }
    return n->opts->fallback;
}

void sched_fall_back_late(fr_sched *s, uint32_t id)
{
    node *n = node_at(s, id);
    bool looks = false;
    const fr_value *v = n->kind == FR_CALL_TASK && !sched_stopped(s, n) ? late_value(s, id, &looks)
                                                                         : NULL;
    if (v != NULL) {
        sched_finish(s, id, FR_SUCCESS, FR_BECAUSE_DEGRADED, fr_value_ref(v), NULL);
    } else if (!looks) {
        sched_finish(s, id, FR_FAILED, FR_BECAUSE_DEADLINE, NULL, sched_stop_error(s, n));
    }
}

void sched_good_found(fr_sched *s, uint32_t id, fr_found *f)
{
    node *n = node_at(s, id);
    n->looks = false;
    if (f->result != NULL) {
        fr_value_unref(n->error);
        n->error = NULL;
        s->good = f;
        sched_finish(s, id, FR_SUCCESS, FR_BECAUSE_DEGRADED, f->result, NULL);
        return;
    }
    if (n->expired) {
        sched_fall_back_late(s, id);
        return;
    }
    int code = sched_error_code(n->error);
    if (!sched_fall_back(s, id, n->error, code)) {
        fr_value *error = n->error;
        n->error = NULL;
        sched_finish(s, id, FR_FAILED, sched_reason_of(code), NULL, error);
    }
}

void sched_keep_good(fr_sched *s, const node *n)
{
    if (s->good != NULL) {
        fr_kept from = {.seq = n->seq, .task = s->tasks[n->task].name, .run = s->good->run,
                        .at = s->good->at, .verdict = FR_CACHE_LAST_GOOD, .origin = s->good->seq};
        s->good = NULL;
        sched_keep(s, &from);
    }
    const fr_fallback *f = last_good_of(n);
    bool good = n->reason != FR_BECAUSE_DEGRADED || SEEDED(BUG_DEGRADED_IS_GOOD);
    if (f == NULL || n->state != FR_SUCCESS || !good) {
        return;
    }
    fr_kept k = {.seq = n->seq, .task = s->tasks[n->task].name, .key = good_key(s, n, f),
                 .verdict = FR_CACHE_GOOD, .at = n->ended};
    sched_keep(s, &k);
}
