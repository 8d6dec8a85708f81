// What bodies keep for their next attempt: fr.checkpoint. A record of its own, no observation of
// the flow: the latest one of a call, or of an item, is given to its next attempt.
#include "core/engine/sched_int.h"

// By what the call is and by its arguments: other arguments are other work. What handles stand
// for counts, as a rerun may have computed that anew.
static fr_hash key_of(fr_sched *s, const node *n, uint32_t item)
{
    fr_hash key = n->key, args = n->args;
    if (item != NO_ITEM) {
        uint32_t dup = n->map->duplicates != NULL ? n->map->duplicates[item] : 0;
        args = n->map->hashes[item];
        key = fr_item_key(n->key, args, dup);
        args = n->argv != NULL ? fr_hash_pair(args, n->argv->hash) : args;
    }
    for (uint32_t i = 0; i < n->n_deps && !SEEDED(BUG_CHECKPOINT_BLIND); i++) {
        fr_value *v = sched_dep_value(s, n->deps[i]);
        args = fr_hash_pair(args, v->hash);
        fr_value_unref(v);
    }
    return fr_hash_pair(fr_hash_pair(key, args), fr_hash_str(CHECKPOINT));
}

void fr_sched_checkpoint(fr_sched *s, fr_attempt *a, uint32_t item, const fr_value *v)
{
    const run_attempt *ra = a->owner;
    const node *n = node_at(s, ra->node);
    fr_hash key = key_of(s, n, n->map != NULL ? item : NO_ITEM);
    fr_record r = {.type = FR_REC_VALUE, .key = key, .name = CHECKPOINT, .result = v,
                   .parent = s->branches[n->branch].flow_row, .ended = s->wall};
    sched_record(s, &r);
    if (!SEEDED(BUG_CHECKPOINT_OLDEST) || sched_past_other(s, key) == NULL) {
        (void)sched_past_kept(s, key, v);
    }
    s->n_checkpoints++;
}

bool sched_has_checkpoint(fr_sched *s, const node *n, uint32_t item)
{
    return s->n_checkpoints > 0 && sched_past_other(s, key_of(s, n, item)) != NULL;
}

void sched_give_checkpoint(fr_sched *s, run_attempt *ra, uint32_t item)
{
    if (s->n_checkpoints == 0) {
        return;
    }
    const past *p = sched_past_other(s, key_of(s, node_at(s, ra->node), item));
    if (p != NULL && p->result != NULL) {
        ra->own_checkpoint = fr_value_ref(p->result);
        ra->a.checkpoint = ra->own_checkpoint;
    }
}
