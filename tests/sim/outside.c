// Signals and decisions: rows of requests, which survive everything, and what must become of
// them: each is recorded once, and taken by the oldest wait it is meant for.
#include "tests/sim/world.h"

#include <stdio.h>
#include <string.h>

enum { MOST_REQUESTS = 400, EARLY = 6 };

typedef struct request {
    char name[40];
    fr_hash key;
    fr_value *value;
    bool rejects, gone;               // gone: the run ended before it was heard
    bool recorded, taken;             // as the log says
} request;

static request rows[MOST_REQUESTS];   // one simulation at a time
static uint32_t n_rows;

void outside_forget(void)
{
    for (; n_rows > 0; n_rows--) {
        fr_value_unref(rows[n_rows - 1].value);
    }
}

static void hear(uint32_t i)
{
    const request *q = &rows[i];
    fr_arrival a = {.id = i + 1, .name = q->name, .key = q->key, .value = q->value,
                    .rejects = q->rejects};
    sim_note("arrival %u for %s", i + 1, q->name);
    sim_count(arrival);
    fr_sched_arrival(W.s, &a);
}

// What was asked and is not on record is heard at the next start, in order.
void outside_boot(void)
{
    for (uint32_t i = 0; i < n_rows; i++) {
        if (!rows[i].recorded && !rows[i].gone) {
            sim_count(arrival_waited);
            hear(i);
        }
    }
}

void outside_ended(void)
{
    for (uint32_t i = 0; i < n_rows; i++) {
        rows[i].gone = rows[i].gone || !rows[i].recorded;
    }
}

static bool waits(uint32_t node, fr_node_info *info)
{
    fr_sched_info(W.s, node, info);
    return info->kind == FR_CALL_SIGNAL && info->state == FR_DEFERRED;
}

bool outside_awaited(void)
{
    fr_node_info info;
    for (uint32_t i = 0; i < fr_sched_count(W.s); i++) {
        if (waits(i, &info)) {
            return true;
        }
    }
    return false;
}

static void ask(const char *name, fr_hash key)
{
    if (n_rows == MOST_REQUESTS) {
        sim_fail("too many requests");
        return;
    }
    request *q = &rows[n_rows];
    bool decision = strncmp(name, "approve:", 8) == 0;
    *q = (request){.key = key, .value = fr_value_int((int64_t)n_rows + 1),
                   .rejects = decision && sim_pick(3) == 0};
    (void)snprintf(q->name, sizeof q->name, "%s", name);
    hear(n_rows++);
}

// A signal that nobody waits for yet, perhaps.
void outside_early(void)
{
    if (n_rows < EARLY) {
        char name[20];
        (void)snprintf(name, sizeof name, "signal:s%u", (unsigned)sim_pick(3));
        ask(name, (fr_hash){.lo = 0, .hi = 0});
    }
}

// Something for one of those that wait; of decisions sometimes a second one.
void outside_answer(void)
{
    fr_node_info info;
    uint32_t n = fr_sched_count(W.s), from = (uint32_t)sim_pick(n);
    for (uint32_t i = 0; i < n; i++) {
        if (!waits((from + i) % n, &info)) {
            continue;
        }
        bool decision = strncmp(info.name, "approve:", 8) == 0;
        char name[40];
        (void)snprintf(name, sizeof name, "%s", info.name);
        fr_hash key = decision ? info.key : (fr_hash){.lo = 0, .hi = 0};
        ask(name, key);
        if (decision && sim_pick(3) == 0) {
            sim_count(second_decision);
            ask(name, key);
        }
        return;
    }
}

// --- what the log says ---

void outside_unlearn(void)
{
    for (uint32_t i = 0; i < n_rows; i++) {
        rows[i].recorded = rows[i].taken = false;
    }
}

static void learn_end(const fr_record *r)
{
    bool by_arrival = r->reason == FR_BECAUSE_SIGNAL || r->reason == FR_BECAUSE_HUMAN;
    for (uint32_t i = 0; by_arrival && i < n_rows; i++) {
        request *q = &rows[i];
        bool fits = fr_hash_is_zero(q->key) || fr_hash_eq(q->key, r->key);
        if (!q->recorded || q->taken || strcmp(q->name, r->name) != 0 || !fits) {
            continue;
        }
        q->taken = true;
        bool same = q->rejects ? r->state == FR_FAILED
                               : r->state == FR_SUCCESS && fr_hash_eq(r->result->hash, q->value->hash);
        if (!same) {
            sim_fail("%s (row %u) took another arrival than %u, the oldest for it", r->name,
                     r->row, i + 1);
        }
        return;
    }
    if (by_arrival) {
        sim_fail("%s (row %u) took what is not there, or was taken before", r->name, r->row);
    }
}

void outside_learn(const fr_record *r)
{
    if (r->type == FR_REC_TASK && r->kind == FR_CALL_SIGNAL) {
        learn_end(r);
    } else if (r->type == FR_REC_REQUEST && strcmp(r->name, "arrival") == 0) {
        if (r->row == 0 || r->row > n_rows || rows[r->row - 1].recorded) {
            sim_fail("arrival %u is recorded twice, or never came", r->row);
            return;
        }
        rows[r->row - 1].recorded = true;
    }
}

// At the end nothing waits although something is there for it.
void outside_check(void)
{
    for (uint32_t i = 0; i < n_rows; i++) {
        fr_node_info info;
        for (uint32_t k = 0; rows[i].recorded && !rows[i].taken && k < fr_sched_count(W.s); k++) {
            bool fits = waits(k, &info) && strcmp(info.name, rows[i].name) == 0 &&
                        (fr_hash_is_zero(rows[i].key) || fr_hash_eq(rows[i].key, info.key));
            if (fits) {
                sim_fail("%s (row %u) waits although arrival %u is there", info.name, info.row,
                         i + 1);
            }
        }
    }
}
