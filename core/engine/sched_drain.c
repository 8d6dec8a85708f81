// The process is to end soon: nothing more starts, what runs may finish and is recorded, the flow
// does not go on. What an attempt leaves undone is as after a crash: a resume does it, and it
// counts for nothing.
#include "core/engine/sched_int.h"

void fr_sched_drain(fr_sched *s)
{
    bool again = s->draining;                  // then nothing may finish either
    s->draining = true;
    s->n_out = 0;
    for (uint32_t i = 0; i < s->n_slots; i++) {
        s->n_out += s->slots[i] != NULL && !s->slots[i]->held;
    }
    for (uint32_t i = 0; i < s->n_slots; i++) {
        run_attempt *ra = s->slots[i];
        if (ra == NULL || ra->held) {
            continue;
        }
        if (again) {
            s->io.cancel(s->io.ctx, &ra->a, FR_ECANCELLED);
        } else if (s->io.recall != NULL) {
            s->io.recall(s->io.ctx, &ra->a);
        }
    }
}

bool fr_sched_drained(const fr_sched *s) { return s->draining && s->n_out == 0; }

bool sched_drain_hold(fr_sched *s, run_attempt *ra)
{
    if (s->draining) {
        ra->held = true;
        queue32_push(&s->held, ra->slot);
    }
    return s->draining;
}

bool sched_drain_back(fr_sched *s, run_attempt *ra, const fr_done *d)
{
    node *n = node_at(s, ra->node);
    bool own = n->timed_out || sched_stopping(s, n);       // that end is its own
    if (!s->draining || d->code != FR_ECANCELLED || own || n->kind == FR_CALL_MAP) {
        return false;
    }
    n->slot = FR_NO_NODE;
    sched_attempt_free(s, ra);
    return true;
}
