// Reruns: what a finished run does again. Each is a record of the log, so that a resume of the
// rerun knows it; records before it are those of an earlier attempt.
#include "core/engine/sched_int.h"

#include <string.h>

static void drop(past *p)
{
    p->seq = 0;                                // its place in the log is skipped
    p->deadline = p->due = 0;
    p->attempt = p->lost = 0;
}

// The subflows around a call: their bodies run again, so that it is called.
static void drop_around(const fr_sched *s, const past *p)
{
    for (uint32_t row = p->parent; row != 0;) {
        past *flow = sched_past_of_row(s, row);
        if (flow == NULL) {
            return;
        }
        drop(flow);
        row = flow->parent;
    }
}

static bool inside_of(const fr_sched *s, const past *p, uint32_t flow_row)
{
    for (uint32_t row = p->parent; row != 0;) {
        if (row == flow_row) {
            return true;
        }
        const past *flow = sched_past_of_row(s, row);
        row = flow != NULL ? flow->parent : 0;
    }
    return false;
}

static void drop_all_of(fr_sched *s, past *p)
{
    drop(p);
    if (p->kind == FR_CALL_MAP) {
        sched_items_of(p)->gone = s->seq;
    }
}

// A call that was asked for: with all that a subflow or a map holds.
static void drop_call(fr_sched *s, fr_hash key)
{
    past *p = sched_past(s, key);
    if (p == NULL) {
        return;
    }
    drop_all_of(s, p);
    drop_around(s, p);
    if ((p->kind != FR_CALL_FLOW && p->kind != FR_CALL_GROUP) || SEEDED(BUG_RERUN_SHALLOW)) {
        return;
    }
    for (uint32_t i = 0; i < s->pasts.n; i++) {
        past *q = past_at(s, i);
        if (!q->value_only && inside_of(s, q, p->row)) {
            drop_all_of(s, q);
        }
    }
}

// Subflows and groups that run again count their attempts anew: one of before may now go another
// way, so that what the log says of when the next began means nothing.
static void forget_attempts(fr_sched *s)
{
    for (uint64_t i = 1; i <= s->n_order; i++) {
        bool marked = s->order[i] != CANCEL_MARK && (s->order[i] & (BEGIN_MARK | STOP_MARK)) != 0;
        s->order[i] = marked ? 0 : s->order[i];
    }
    for (uint32_t i = 0; i < s->pasts.n; i++) {
        past *p = past_at(s, i);
        p->begun = FR_MIN(p->begun, 1);
        p->passed = p->again = p->stop_attempt = 0;
        p->stops = 0;
    }
}

static void begin_again(fr_sched *s, bool only, const void *keys, size_t size)
{
    for (uint32_t i = 0; i < s->n_unhandled && !only; i++) {
        past *p = sched_past(s, s->unhandled[i]);
        if (p != NULL) {
            drop(p);
        }
    }
    for (const uint8_t *at = keys; size >= 16; size -= 16, at += 16) {
        drop_call(s, fr_hash_load(at));
    }
    forget_attempts(s);
    s->n_unhandled = 0;
    s->past_cancel = 0;
    s->reruns++;
    s->rerun_seq = s->seq;
    s->only = only;
    sched_forgive(s);
}

bool sched_load_rerun(fr_sched *s, const fr_record *r)
{
    bool only = strcmp(r->name, "rerun_only") == 0;
    if (only || strcmp(r->name, "rerun") == 0) {
        begin_again(s, only, r->data, r->size);
        return true;
    }
    return false;
}

void fr_sched_rerun(fr_sched *s, const fr_rerun *what)
{
    uint8_t *keys = fr_alloc(((size_t)what->n + 1) * 16);
    for (uint32_t i = 0; i < what->n; i++) {
        fr_hash_store(what->keys[i], keys + 16 * (size_t)i);
    }
    fr_record r = {.type = FR_REC_REQUEST, .name = what->only ? "rerun_only" : "rerun",
                   .data = keys, .size = 16 * (size_t)what->n, .result = what->params,
                   .ended = s->wall};
    sched_record(s, &r);
    begin_again(s, what->only, keys, r.size);
    fr_free(keys);
}

void fr_sched_code(fr_sched *s, fr_hash bundle)
{
    uint8_t code[16];
    fr_hash_store(bundle, code);
    fr_record r = {.type = FR_REC_REQUEST, .name = "code", .data = code, .size = sizeof code,
                   .ended = s->wall};
    sched_record(s, &r);
}

void fr_sched_drop_unhandled(fr_sched *s)
{
    fr_sched_rerun(s, &(fr_rerun){0});
}

uint32_t fr_sched_reruns(const fr_sched *s)
{
    return s->reruns;
}
