// The fake store of results used again: what was kept and is on disk is found, at a time of its
// own, sometimes not at all; and what must hold of it.
#include "tests/sim/world.h"

#include <string.h>

enum { MAX_KEPT = 4096, MAX_ASKED = 512 };

typedef struct kept {
    fr_hash key, args, plain;   // args, plain: of the execution it is of, by value and as written
    uint64_t seq;
    uint32_t item;              // 1 + index in the part that seq is; 0 = a whole call
    bool good;
    char task[32];
} kept;

static kept all[MAX_KEPT];
static uint32_t n_all;
static struct {
    uint32_t node, n;
    fr_hash keys[64];
} asked[MAX_ASKED];
static uint32_t n_asked;

void kept_forget(void) { n_all = n_asked = 0; }

// The process died; so did the questions, and what was kept of records that are lost.
void kept_crash(size_t records)
{
    n_asked = 0;
    uint32_t n = 0;
    for (uint32_t i = 0; i < n_all; i++) {
        if (all[i].seq <= records) {
            all[n++] = all[i];
        }
    }
    n_all = n;
}

bool kept_waits(void) { return n_asked > 0; }

static void check_origin(const fr_kept *k)
{
    const fr_record *mine = &W.log[k->seq - 1].r;
    if (k->origin == 0 || k->origin > W.n_log) {
        sim_fail("a cached result comes from a record that is not there");
        return;
    }
    const fr_record *from = &W.log[k->origin - 1].r;
    if (from->reason == FR_BECAUSE_DEGRADED || from->state != FR_SUCCESS) {
        sim_fail("the result of %s is taken from a degraded or failed call", k->task);
    } else if (!fr_hash_eq(from->result->hash, mine->result->hash)) {
        sim_fail("the result of %s is not that of the record it came from", k->task);
    }
}

// An item of a part; its value borrows from the log.
static bool item_at(uint64_t seq, uint32_t index, fr_item_done *out)
{
    const fr_record *r = &W.log[seq - 1].r;
    fr_reader at = fr_reader_of(r->data, r->size);
    while (r->type == FR_REC_MAP_PART && fr_item_next(&at, out)) {
        if (out->index == index) {
            return true;
        }
    }
    return false;
}

// An item found has the result of one that ended well, of an item with its arguments.
static void check_item_origin(const fr_kept *k, const fr_item_done *mine)
{
    for (uint32_t i = 0; i < n_all; i++) {
        fr_item_done from;
        if (all[i].seq == k->origin && all[i].item > 0 && item_at(k->origin, all[i].item - 1, &from) &&
            fr_hash_eq(from.args, mine->args) && from.size == mine->size &&
            memcmp(from.value, mine->value, from.size) == 0) {
            return;
        }
    }
    sim_fail("item %u of %s has a result that its origin does not hold", k->item - 1, k->task);
}

static void put_item(const fr_kept *k)
{
    fr_item_done item;
    bool found = k->verdict == FR_CACHE_HIT;
    if (!item_at(k->seq, k->item - 1, &item)) {
        sim_fail("item %u of %s is kept and is not in its record", k->item - 1, k->task);
    } else if ((item.flags & (FR_ITEM_FAILED | FR_ITEM_DEGRADED | FR_ITEM_SKIPPED)) != 0) {
        sim_fail("a degraded or failed item of %s is kept", k->task);
    } else if (((item.flags & FR_ITEM_CACHED) != 0) != found) {
        sim_fail("item %u of %s says another origin than is kept", k->item - 1, k->task);
    } else if (found) {
        check_item_origin(k, &item);
        sim_count(cache_hit_item);
    } else if (n_all < MAX_KEPT && !fr_hash_is_zero(k->key)) {
        fr_hash key = fr_item_key(W.log[k->seq - 1].r.key, item.args, item.duplicate);
        all[n_all] = (kept){.key = k->key, .args = oracle_facts(key)->args, .seq = k->seq,
                            .item = k->item};
        strncpy(all[n_all++].task, k->task, sizeof all[0].task - 1);
    }
}

void kept_put(void *ctx, const fr_kept *k)
{
    (void)ctx;
    const fr_record *r = &W.log[k->seq - 1].r;
    if (k->seq == 0 || k->seq > W.n_log) {
        sim_fail("an entry is kept before its record");
        return;
    }
    if (k->item > 0) {
        put_item(k);
        return;
    }
    bool found = k->verdict == FR_CACHE_HIT || k->verdict == FR_CACHE_SAME ||
                 k->verdict == FR_CACHE_LAST_GOOD;
    if (found) {
        W.totals.events[EV_cache_same] += k->verdict == FR_CACHE_SAME;
        check_origin(k);
        return;
    }
    if (r->state != FR_SUCCESS || r->reason == FR_BECAUSE_DEGRADED) {
        sim_fail("a degraded or failed result of %s is kept", k->task);
    }
    if (n_all < MAX_KEPT && !fr_hash_is_zero(k->key)) {
        const facts *f = oracle_facts(r->key);
        all[n_all] = (kept){.key = k->key, .args = f->args, .plain = f->plain, .seq = k->seq,
                            .good = k->verdict == FR_CACHE_GOOD};
        strncpy(all[n_all++].task, k->task, sizeof all[0].task - 1);
    }
}

void kept_ask(void *ctx, const fr_lookup *l)
{
    (void)ctx;
    if (n_asked == MAX_ASKED || l->n > 64) {
        sim_fail("too many questions to the store");
        return;
    }
    asked[n_asked].node = l->node;
    asked[n_asked].n = l->n;
    memcpy(asked[n_asked++].keys, l->keys, l->n * sizeof(fr_hash));
}

// What the call that asks passes now, by value and as written.
static void arguments(uint32_t node, fr_hash *args, fr_hash *plain)
{
    fr_value *deps[16];
    uint32_t n = 0;
    const fr_value *v = fr_sched_arguments(W.s, node, deps, FR_COUNT(deps), &n);
    *plain = v != NULL ? v->hash : (fr_hash){.lo = 1, .hi = 1};
    *args = *plain;
    for (uint32_t i = 0; i < n; i++) {
        *args = fr_hash_pair(*args, deps[i]->hash);
        fr_value_unref(deps[i]);
    }
}

static void answer_one(uint32_t node, fr_hash key, fr_found *out)
{
    fr_hash args, plain;
    *out = (fr_found){.verdict = FR_CACHE_MISS};
    for (uint32_t i = n_all; i > 0; i--) {
        const kept *k = &all[i - 1];
        if (!fr_hash_eq(k->key, key) || k->seq > W.synced) {
            continue;
        }
        if (sim_pick(6) == 0) {
            out->verdict = FR_CACHE_DAMAGED;
            sim_count(cache_damaged);
            return;
        }
        arguments(node, &args, &plain);
        fr_item_done item;
        if (k->item > 0 && item_at(k->seq, k->item - 1, &item)) {
            if (!fr_hash_eq(k->args, fr_hash_pair(args, item.args))) {
                sim_fail("an item of %s is found that was made with other constants", k->task);
            }
            *out = (fr_found){.verdict = FR_CACHE_HIT, .seq = k->seq, .run = 1, .at = 1,
                              .result = fr_value_new(item.value, item.size, NULL, 0)};
            return;
        }
        if (k->good ? !fr_hash_eq(k->plain, plain) : !fr_hash_eq(k->args, args)) {
            sim_fail("row of %s takes a %s result of other arguments", k->task,
                     k->good ? "last good" : "cached");
        }
        *out = (fr_found){.verdict = FR_CACHE_HIT, .seq = k->seq, .run = 1, .at = 1,
                          .result = fr_value_ref(W.log[k->seq - 1].r.result)};
        W.totals.events[EV_cache_hit] += !k->good;
        W.totals.events[EV_last_good] += k->good;
        return;
    }
    sim_count(cache_miss);
}

void kept_answer(void)
{
    uint32_t i = (uint32_t)sim_pick(n_asked), node = asked[i].node, n = asked[i].n;
    fr_found found[64];
    for (uint32_t k = 0; k < n; k++) {
        answer_one(node, asked[i].keys[k], &found[k]);
    }
    asked[i] = asked[--n_asked];
    fr_sched_found(W.s, node, found, n, NULL);
}
