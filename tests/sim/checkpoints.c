// What bodies keep with fr.checkpoint, and what their next attempts must be given: the latest
// that is on record for that work, which is named by the call (or item) and its arguments.
#include "tests/sim/world.h"

#include <string.h>

enum { MOST = 512 };

typedef struct note {
    fr_hash call, args;               // by value
    int64_t value;
    size_t log;                       // records behind it: a crash that leaves fewer loses it
} note;

static note notes[MOST];
static uint32_t n_notes;
static int64_t next;

void checkpoints_forget(void)
{
    n_notes = 0;
    next = 0;
}

void checkpoints_crash(size_t records)
{
    while (n_notes > 0 && notes[n_notes - 1].log > records) {
        n_notes--;
    }
}

static bool keeps(const fr_attempt *a)
{
    return a->option == NULL && (world_is(a, "keeper") || world_is(a, "keeper_item"));
}

// The call or the item that is at place k of the attempt's list.
static fr_hash call_of(const fr_attempt *a, uint32_t k, fr_hash *args, uint32_t *item)
{
    *args = oracle_args(a);
    *item = 0;
    if (a->list == NULL) {
        return a->key;
    }
    *item = a->indexes != NULL ? a->indexes[k] : k;
    *args = fr_hash_pair(*args, a->item_args[*item]);
    return fr_item_key(a->key, a->item_args[*item], a->duplicates != NULL ? a->duplicates[*item] : 0);
}

static const note *latest(fr_hash call, fr_hash args)
{
    for (uint32_t i = n_notes; i > 0; i--) {
        if (fr_hash_eq(notes[i - 1].call, call) && fr_hash_eq(notes[i - 1].args, args)) {
            return &notes[i - 1];
        }
    }
    return NULL;
}

static void check_given(const fr_attempt *a, const note *n)
{
    fr_item v = {0};
    if (a->checkpoint != NULL) {
        fr_reader r = fr_reader_of(a->checkpoint->bytes, a->checkpoint->size);
        (void)fr_value_next(&r, &v);
    }
    if (n == NULL && a->checkpoint != NULL) {
        sim_fail("%s (row %u) is given a checkpoint of other work", a->task, a->row);
    } else if (n != NULL && a->checkpoint == NULL) {
        sim_fail("%s (row %u) is not given its checkpoint", a->task, a->row);
    } else if (n != NULL && v.integer != n->value) {
        sim_fail("%s (row %u) is given a checkpoint that is not the latest", a->task, a->row);
    }
    W.totals.events[EV_checkpoint_given] += n != NULL;
}

void checkpoints_start(const fr_attempt *a)
{
    if (!keeps(a)) {
        return;
    }
    for (uint32_t k = a->list != NULL ? a->first : 0; k < (a->list != NULL ? a->first + a->count : 1);
         k++) {
        fr_hash args;
        uint32_t item;
        const note *n = latest(call_of(a, k, &args, &item), args);
        check_given(a, n);
    }
}

// The body of what flies at place k keeps something.
void checkpoints_keep(fr_attempt *a, uint32_t k)
{
    if (!keeps(a) || n_notes == MOST || sim_pick(3) > 0) {
        return;
    }
    note n = {.value = ++next};
    uint32_t item;
    n.call = call_of(a, k, &n.args, &item);
    fr_value *v = fr_value_int(n.value);
    fr_sched_checkpoint(W.s, a, item, v);
    fr_value_unref(v);
    n.log = W.n_log;
    notes[n_notes++] = n;
    sim_count(checkpoint);
}
