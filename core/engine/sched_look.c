// Tells people what has waited long for its turn: a row of `running` with the state QUEUED and
// what it waits for. Advice like START: it has no place in the log, and the start or the end of
// the call replaces it. Only what waits at the second look is told, at most so many at a time,
// so that a busy run writes none and one with a million calls in line not a million.
#include "core/engine/sched_int.h"

static const int64_t LOOK_NS = 500000000;
enum { MOST_TOLD = 100 };

void sched_look_later(fr_sched *s)
{
    s->look_fence = s->fence;
    sched_timer_add(s, TIMER_LOOK, s->mono + LOOK_NS, 0, 0, 0);
}

// What it waits for; FR_BECAUSE_NONE: it may be running, and has nobody told to say so.
static fr_reason waits_for(const fr_sched *s, const run_attempt *ra)
{
    if (!ra->held) {
        return ra->a.report_start ? FR_BECAUSE_WORKER : FR_BECAUSE_NONE;
    }
    if (ra->limit == SCHED_ASKED) {
        return FR_BECAUSE_LIMIT;
    }
    bool full = s->env.max_running > 0 && s->n_out >= s->env.max_running;
    return full ? FR_BECAUSE_MAX_RUNNING : FR_BECAUSE_ALONE;
}

static void tell(fr_sched *s, run_attempt *ra, fr_reason why)
{
    node *n = node_at(s, ra->node);
    ra->told = (uint8_t)why;
    if (ra->held) {
        ra->a.report_start = true;             // what was told is to be replaced
    }
    fr_record r;
    sched_record_of(s, n, &r);
    r.type = FR_REC_START;
    r.reason = why;
    s->io.append(s->io.ctx, &r);
}

void sched_look(fr_sched *s)
{
    uint32_t told = 0, at = s->look_fence;
    bool more = false;
    s->look_fence = 0;
    if (s->draining) {
        return;                                // what waits now waits for the next process
    }
    for (uint32_t i = 0; i < s->n_slots && told < MOST_TOLD; i++) {
        run_attempt *ra = s->slots[i];
        bool waits = ra != NULL && !ra->started && node_at(s, ra->node)->state == FR_QUEUED;
        fr_reason why = waits ? waits_for(s, ra) : FR_BECAUSE_NONE;
        if (why == FR_BECAUSE_NONE) {
            continue;
        }
        bool young = ra->a.fence > at;
        told += !young;
        more = more || young;
        if (!young && ra->told != why) {
            tell(s, ra, why);
        }
    }
    if (more || told == MOST_TOLD) {
        sched_look_later(s);
    }
}
