// The store's limits as the simulation has them: asks and releases take effect with the commit
// they are part of, answers come late and twice, other runs hold, wait, give back and die. The
// arbitration is the shipped one (core/engine/limit.c).
//
// Judged here at every start: no limit is exceeded, nothing starts without its slots, a rate
// holds; and at every end: nothing is left behind.
#include "tests/sim/world.h"

#include <stdio.h>
#include <string.h>

enum { A, B, R, LIMITS, MAX_OPS = 16384, MAX_OTHERS = 6, RATE = 3, MAX_GRANTS = 4096 };
#define PERIOD (INT64_C(20) * 1000000000)

static const char *const names[LIMITS] = {"a", "b", "r"};

typedef struct op {                    // takes effect when the log is committed up to `at`
    size_t at;
    uint32_t release;                  // else an ask
    fr_slot_ask ask;
    fr_limit_need needs[4];
} op;

typedef struct other {                 // an ask of another run
    uint64_t run;
    uint32_t ask, n[LIMITS];
    bool granted;
} other;

typedef struct answer {
    uint32_t ask;
    char why[64];
} answer;

static struct {
    fr_limits *table;
    int64_t capacity[LIMITS];
    op ops[MAX_OPS];
    uint32_t n_ops;
    other others[MAX_OTHERS];
    uint32_t n_others, other_asks;
    uint64_t first_alive;              // of the other runs; smaller numbers are dead
    answer answers[MAX_OPS];
    uint32_t n_answers;
    fr_map granted;                    // asks of the run that lives, which may start
    uint32_t waiting;                  // asks of it without an answer, committed
    bool death;                        // a waiter's pidfd is readable
    uint64_t jumps;
    int64_t grants[MAX_GRANTS];        // wall, of the rate
    uint32_t n_grants;
} S;

static uint64_t life(void) { return 1000000 + W.boots; }

static bool alive(void *ctx, uint64_t run)
{
    (void)ctx;
    return run >= 1000000 ? run == life() : run >= S.first_alive;
}

static fr_hash key(uint32_t ask) { return (fr_hash){.lo = ask, .hi = 1}; }

static void needs_of(const fr_attempt *a, uint32_t n[LIMITS])
{
    bool one = world_is(a, "limited") || world_is(a, "limited_item");
    n[A] = one ? 1 : world_is(a, "greedy") ? 2 : 0;
    n[B] = world_is(a, "greedy") || world_is(a, "hurried") || world_is(a, "hurried_backed");
    n[R] = world_is(a, "rated");
}

static bool is_limited(const fr_attempt *a)
{
    uint32_t n[LIMITS];
    needs_of(a, n);
    return a->option == NULL && (n[A] | n[B] | n[R]) != 0;
}

// --- what the table says ---

static void check_rate(int64_t now)
{
    if (S.n_grants == MAX_GRANTS) {
        return;
    }
    S.grants[S.n_grants++] = now;
    bool jumped = S.jumps != W.totals.events[EV_clock_jump];
    if (S.n_grants > RATE && !jumped && now - S.grants[S.n_grants - 1 - RATE] < PERIOD) {
        sim_fail("the rate is exceeded: %d starts within its period", RATE + 1);
    }
}

static void note_other(uint64_t run, uint32_t ask, bool refused)
{
    for (uint32_t i = 0; i < S.n_others; i++) {
        if (S.others[i].run == run && S.others[i].ask == ask) {
            S.others[i].granted = !refused;
            if (!refused && S.others[i].n[R] > 0) {
                check_rate(world_wall());
            }
            if (refused) {
                S.others[i] = S.others[--S.n_others];
            }
            return;
        }
    }
}

static bool needs_rate(uint32_t ask)
{
    for (uint32_t i = 0; i < W.n_limited_rates; i++) {
        if (W.limited_rates[i] == ask) {
            return true;
        }
    }
    return false;
}

static void drain(void)
{
    uint64_t run;
    uint32_t ask;
    char why[FR_ERR_MAX];
    while (fr_limits_answer(S.table, &run, &ask, why)) {
        if (run < 1000000) {
            note_other(run, ask, why[0] != '\0');
        } else if (run == life() && S.n_answers < MAX_OPS) {
            if (why[0] == '\0' && needs_rate(ask)) {
                check_rate(world_wall());
            }
            answer *a = &S.answers[S.n_answers++];
            a->ask = ask;
            (void)snprintf(a->why, sizeof a->why, "%s", why);
            S.waiting -= S.waiting > 0;
        }
    }
}

static void apply(const op *o)
{
    if (o->release != 0) {
        fr_limits_release(S.table, life(), o->release, world_wall());
        (void)fr_map_remove(&S.granted, key(o->release));
    } else {
        fr_slot_ask a = o->ask;
        a.needs = o->needs;
        S.waiting++;
        fr_limits_ask(S.table, life(), &a, world_wall());
    }
    drain();
}

static void commit_up_to(size_t at)
{
    uint32_t done = 0;
    for (; done < S.n_ops && S.ops[done].at <= at; done++) {
        apply(&S.ops[done]);
    }
    memmove(S.ops, S.ops + done, (S.n_ops - done) * sizeof S.ops[0]);
    S.n_ops -= done;
}

// --- the scheduler's side ---

void limits_ask(const fr_slot_ask *a)
{
    sim_count(slot_ask);
    if (S.n_ops == MAX_OPS) {
        sim_fail("too many asks");
        return;
    }
    op *o = &S.ops[S.n_ops++];
    *o = (op){.at = W.n_log, .ask = *a};
    for (uint32_t i = 0; i < a->n_needs && i < FR_COUNT(o->needs); i++) {
        o->needs[i] = a->needs[i];
        if (strcmp(a->needs[i].name, "r") == 0 && W.n_limited_rates < FR_COUNT(W.limited_rates)) {
            W.limited_rates[W.n_limited_rates++] = a->ask;
        }
    }
}

void limits_release(uint32_t ask)
{
    sim_count(slot_release);
    if (S.n_ops < MAX_OPS) {
        S.ops[S.n_ops++] = (op){.at = W.n_log, .release = ask};
    }
}

bool limits_uncommitted(void) { return S.n_ops > 0; }
void limits_committed(void) { commit_up_to(W.synced); }

static void deliver(void)
{
    uint32_t i = (uint32_t)sim_pick(S.n_answers);
    answer a = S.answers[i];
    if (sim_pick(6) > 0) {             // else it will come once more
        S.answers[i] = S.answers[--S.n_answers];
    } else {
        sim_count(slot_told_twice);
    }
    if (a.why[0] == '\0') {
        *fr_map_put(&S.granted, key(a.ask), NULL) = 1;
    }
    W.totals.events[a.why[0] != '\0' ? EV_slot_refused : EV_slot_granted]++;
    fr_sched_slot(W.s, a.ask, a.why);
}

// --- other runs ---

static void other_asks(void)
{
    if (S.n_others == MAX_OTHERS) {
        return;
    }
    other *o = &S.others[S.n_others++];
    *o = (other){.run = S.first_alive + sim_pick(3), .ask = ++S.other_asks};
    uint32_t which = (uint32_t)sim_pick(LIMITS);
    o->n[which] = 1;
    if (which == A && sim_pick(3) == 0) {
        o->n[A] = S.capacity[A] > 1 ? 2 : 1;
        o->n[B] = 1;
    }
    fr_limit_need needs[LIMITS];
    uint32_t n = 0;
    for (uint32_t i = 0; i < LIMITS; i++) {
        if (o->n[i] > 0) {
            needs[n++] = (fr_limit_need){.name = names[i], .n = o->n[i]};
        }
    }
    fr_slot_ask a = {.ask = o->ask, .name = "other", .since = world_wall(), .needs = needs,
                     .n_needs = n, .priority = (int32_t)sim_pick(3) - 1};
    fr_limits_ask(S.table, o->run, &a, world_wall());
    drain();
}

static void other_dies(void)
{
    uint64_t dead = S.first_alive++;
    sim_count(other_died);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < S.n_others; i++) {
        if (S.others[i].run != dead) {
            S.others[kept++] = S.others[i];
        }
    }
    S.n_others = kept;
    S.death = true;
}

static bool other_releases(void)
{
    for (uint32_t i = 0; i < S.n_others; i++) {
        if (S.others[i].granted) {
            other o = S.others[i];
            S.others[i] = S.others[--S.n_others];
            fr_limits_release(S.table, o.run, o.ask, world_wall());
            drain();
            return true;
        }
    }
    return false;
}

static void look(void)
{
    S.death = false;
    fr_limits_look(S.table, world_wall());
    drain();
}

static bool others_hold(void)
{
    for (uint32_t i = 0; i < S.n_others; i++) {
        if (S.others[i].granted) {
            return true;
        }
    }
    return false;
}

// What may happen next to the asks that wait.
bool limits_can(void)
{
    bool rate = fr_limits_next(S.table, world_wall()) != INT64_MAX;
    return S.n_answers > 0 || (S.waiting > 0 && (S.death || others_hold() || rate));
}

void limits_step(void)
{
    int64_t now = world_wall(), next = fr_limits_next(S.table, now);
    if (S.n_answers > 0 && sim_pick(3) > 0) {
        deliver();
    } else if (S.death) {
        look();
    } else if (sim_pick(2) == 0 && other_releases()) {
        sim_count(other_released);
    } else if (next != INT64_MAX) {
        sim_count(rate_waited);
        W.now += FR_MAX(next - now, 0);
        fr_sched_now(W.s, W.now, world_wall());
        look();
    } else if (S.n_answers > 0) {
        deliver();
    } else {
        (void)other_releases();
    }
}

void limits_others(void)               // now and then, whatever else happens
{
    uint64_t what = sim_pick(10);
    if (what < 6) {
        other_asks();
    } else if (what < 9) {
        (void)other_releases();
    } else {
        other_dies();
    }
}

// --- judging ---

void limits_started(const fr_attempt *a)
{
    if (!is_limited(a)) {
        return;
    }
    if (fr_map_find(&S.granted, key(a->fence)) == NULL) {
        sim_fail("%s (row %u) starts without its slots", a->task, a->row);
    }
    uint64_t used[LIMITS] = {0};
    uint32_t n[LIMITS];
    for (uint32_t i = 0; i <= W.n_fly; i++) {
        const fr_attempt *f = i < W.n_fly ? W.fly[i].a : a;
        bool over = i < W.n_fly && f->list != NULL && W.fly[i].at == f->first + f->count;
        needs_of(f, n);
        for (uint32_t k = 0; k < LIMITS && f->option == NULL && !over; k++) {
            used[k] += n[k];
        }
    }
    for (uint32_t i = 0; i < S.n_others; i++) {
        for (uint32_t k = 0; k < LIMITS && S.others[i].granted; k++) {
            used[k] += S.others[i].n[k];
        }
    }
    for (uint32_t k = 0; k < LIMITS; k++) {
        if (S.capacity[k] >= 0 && used[k] > (uint64_t)S.capacity[k]) {
            sim_fail("limit %s is exceeded: %" PRIu64 " of %d", names[k], used[k],
                     (int)S.capacity[k]);
        }
    }
}

void limits_end(void)
{
    commit_up_to(W.n_log);
    if (S.n_ops > 0) {
        sim_fail("an ask or release is left behind the end of the log");
    }
    for (uint64_t run = 1; run < S.first_alive; run++) {       // rows of the dead do not count
        fr_limits_forget(S.table, run, world_wall());
    }
    for (uint64_t run = 1000001; run < life(); run++) {
        fr_limits_forget(S.table, run, world_wall());
    }
    look();
    uint64_t held[LIMITS] = {0}, waits[LIMITS] = {0};
    for (uint32_t i = 0; i < S.n_others; i++) {
        for (uint32_t k = 0; k < LIMITS; k++) {
            held[k] += S.others[i].granted ? S.others[i].n[k] : 0;
            waits[k] += !S.others[i].granted && S.others[i].n[k] > 0;
        }
    }
    fr_limit *l = fr_alloc(sizeof *l);
    for (uint32_t k = 0; k < LIMITS && W.problem[0] == '\0'; k++) {
        if (fr_limits_at(S.table, k, l) &&
            (l->used != (int64_t)held[k] || l->waiting != (int64_t)waits[k])) {
            sim_fail("slots leak: limit %s has %d held and %d waiting at the end, others %d and %d",
                     names[k], (int)l->used, (int)l->waiting, (int)held[k], (int)waits[k]);
        }
    }
    fr_free(l);
}

// --- lives ---

void limits_boot(void)
{
    S.n_answers = S.waiting = 0;
    W.n_limited_rates = 0;
    fr_map_fini(&S.granted);
    fr_map_init(&S.granted);
    if (W.boots > 1 && sim_pick(2) == 0) {         // as the store does; else it is swept later
        fr_limits_forget(S.table, life() - 1, world_wall());
    } else {
        S.death = true;
    }
    drain();
}

void limits_crash(size_t kept)         // what was committed happened, the rest did not
{
    commit_up_to(kept);
    S.n_ops = 0;
    S.n_answers = S.waiting = 0;
}

void limits_forget(void)
{
    fr_limits_free(S.table);
    S.table = fr_limits_new(alive, NULL);
    S.n_ops = S.n_others = S.n_answers = S.waiting = S.n_grants = 0;
    S.first_alive = 1;
    S.death = false;
    S.jumps = W.totals.events[EV_clock_jump];
    S.capacity[A] = 1 + (int64_t)(W.seed % 3);
    S.capacity[B] = 1 + (int64_t)(W.seed / 3 % 2);
    S.capacity[R] = -1;
    fr_limit *l = fr_zalloc(sizeof *l);
    for (uint32_t i = 0; i < LIMITS; i++) {
        (void)snprintf(l->name, sizeof l->name, "%s", names[i]);
        l->capacity = S.capacity[i];
        l->rate = i == R ? RATE : 0;
        l->period_ns = i == R ? PERIOD : 0;
        fr_limits_set(S.table, l, world_wall());
    }
    fr_free(l);
}
