// Hooks and undo: whatever was to be told is on record when the run has ended, and what was taken
// back was so in the reverse order of its ends.
#include "tests/sim/world.h"

#include <string.h>

static const fr_record *hook_of(fr_hash key, const char *option, uint64_t epoch)
{
    fr_hash h = fr_hash_mix(fr_hash_pair(key, fr_hash_str(option)), epoch << 32);
    const facts *f = oracle_facts(h);
    return f->last != 0 ? &W.log[f->last - 1].r : NULL;
}

static void must_be_told(const fr_record *r, const char *option, uint64_t epoch)
{
    if (hook_of(r->key, option, epoch) == NULL) {
        sim_fail("%s (row %u) ended %s and its hook %s did not run", r->name, r->row,
                 fr_state_name(r->state), option);
    }
}

static void check_told(void)
{
    uint64_t epoch = 0;
    for (size_t i = 0; i < W.n_log; i++) {
        const fr_record *r = &W.log[i].r;
        epoch += r->type == FR_REC_REQUEST && strcmp(r->name, "rerun") == 0;
        bool ours = r->type == FR_REC_TASK && r->kind == FR_CALL_TASK &&
                    strcmp(r->name, "sim:hooked") == 0 && r->reason != FR_BECAUSE_UPSTREAM &&
                    r->state != FR_SKIPPED;
        // A change of the code may leave a call of before out of the flow.
        if (!ours || W.change != 0) {
            continue;
        }
        must_be_told(r, r->state == FR_SUCCESS   ? "on_success"
                        : r->state == FR_STOPPED ? "on_cancel"
                                                 : "on_failure", epoch);
        if (r->attempt > 0) {
            must_be_told(r, "on_start", epoch);
        }
    }
}

// Undo of what this process knows to have succeeded.
static void check_undone(void)
{
    uint64_t last = UINT64_MAX;
    for (size_t i = (size_t)W.rerun_seq; i < W.n_log; i++) {
        const fr_record *r = &W.log[i].r;
        if (r->type != FR_REC_TASK || r->kind != FR_CALL_HOOK || r->label == NULL ||
            strcmp(r->label, "undo") != 0) {
            continue;
        }
        uint64_t owner = 0;
        for (uint32_t k = 0; k < fr_sched_count(W.s); k++) {
            fr_node_info n;
            fr_sched_info(W.s, k, &n);
            const facts *f = oracle_facts(n.key);
            for (uint64_t e = 0; n.state == FR_SUCCESS && e <= W.reruns; e++) {
                const fr_record *u = n.kind != FR_CALL_HOOK ? hook_of(n.key, "undo", e) : NULL;
                owner = u == r && f->last != 0 ? W.log[f->last - 1].r.seq : owner;
            }
        }
        if (owner != 0 && owner > last) {
            sim_fail("%s (row %u) is taken back before what ended later", r->name, r->row);
        }
        last = owner != 0 ? owner : last;
    }
}

void hooks_check(void)
{
    fr_outcome o;
    fr_sched_outcome(W.s, &o);
    if (W.problem[0] != '\0' || fr_sched_divergence(W.s) != NULL) {
        return;
    }
    check_told();
    if (o.state != FR_SUCCESS && W.seed % 3 == 0) {
        check_undone();
        for (uint32_t k = 0; k < fr_sched_count(W.s); k++) {
            fr_node_info n;
            fr_sched_info(W.s, k, &n);
            bool undone = n.state != FR_SUCCESS || strcmp(n.name, "sim:hooked") != 0 ||
                          n.kind != FR_CALL_TASK;
            for (uint64_t e = 0; !undone && e <= W.reruns; e++) {
                undone = hook_of(n.key, "undo", e) != NULL;
            }
            if (!undone) {
                sim_fail("%s (row %u) succeeded and was not taken back", n.name, n.row);
            }
        }
    }
}
