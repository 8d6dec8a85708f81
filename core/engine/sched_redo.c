// store = false: the log has the hash of a result and not the result. A resume computes it again
// at its place in the log, and goes on only with the same one.
#include "core/engine/sched_int.h"

static fr_hash hash_of(const fr_hash *outputs, uint32_t n)
{
    fr_hash h = {.lo = n, .hi = 1};
    for (uint32_t i = 0; i < n; i++) {
        h = fr_hash_pair(h, outputs[i]);
    }
    return h;
}

void sched_redo_record(const node *n, fr_record *r, fr_hash hashes[64])
{
    if (n->opts == NULL || !n->opts->no_store || n->state != FR_SUCCESS || n->result == NULL) {
        return;
    }
    if (r->n_outputs == 0) {
        hashes[0] = n->result->hash;
        r->n_outputs = 1;
        r->outputs = hashes;
    }
    r->result = NULL;
}

fr_hash sched_redo_load(const fr_record *r)
{
    bool gone = r->kind == FR_CALL_TASK && r->state == FR_SUCCESS && r->result == NULL;
    return gone && r->n_outputs > 0 ? hash_of(r->outputs, r->n_outputs) : (fr_hash){0};
}

void sched_redo_adopt(fr_sched *s, node *n, uint32_t id, past *p)
{
    n->row = p->row;
    n->seq = p->seq;
    n->made = p->made;
    n->redo = true;
    p->node = id;
    s->n_unindexed -= !p->indexed;
}

bool sched_redo_ended(fr_sched *s, node *n)
{
    if (!n->redo) {
        return false;
    }
    fr_hash hashes[64];
    fr_record r = {0};
    n->redo = false;
    n->recorded = true;
    s->redoing = false;
    if (n->state == FR_SUCCESS) {
        r.n_outputs = sched_output_hashes(n, hashes);
        r.outputs = hashes;
        sched_redo_record(n, &r, hashes);
    }
    if (n->state == FR_STOPPED && s->past_cancel == 0) {
        s->n_order = s->cursor;                // of the past nothing more is seen: the cancel is
    }
    bool same = r.n_outputs > 0 && fr_hash_eq(hash_of(r.outputs, r.n_outputs), n->made);
    if (!same && n->state != FR_STOPPED) {
        char why[300] = "another result than the recorded one";
        if (n->error != NULL) {
            sched_error_text(n->error, why, sizeof why);
        }
        sched_diverge(s,
                      "diverged: %s (row %u) keeps no result (store = false); computed again it "
                      "gave %s; run it again and all that depends on it: `flowrun rerun RUN "
                      "--from %s`",
                      s->tasks[n->task].name, n->row, why, s->tasks[n->task].name);
    }
    return true;
}
