#pragma once
// world -- what surrounds the scheduler in the simulation: a log whose tail can be lost,
// executions that end in any order, a clock that jumps, processes that die.
//
// One simulation at a time, one thread; `W` is it. world.c is the fake fr_io, oracle.c
// knows what must hold (engine.md, Invariants) and calls sim_fail when it does not, sim.c
// lives through the seeds.

#include "core/base/map.h"
#include "core/base/mem.h"
#include "core/base/rand.h"
#include "core/engine/item.h"
#include "lua/bind/error_value.h"
#include "lua/bind/flow_host.h"

#include <inttypes.h>

enum { MAX_FLYING = 4096, MAX_SUSPECTS = 16, PROBLEM_SIZE = 400 };

// What can happen: inputs of the scheduler, commands of the scheduler, records, ends.
#define SIM_EVENTS(X)                                                                    \
    X(boot) X(boot_strict) X(boot_rerun) X(boot_changed) X(crash) X(lost_records)        \
    X(clock_jump) X(killed_by_signal) X(killed_unseen) X(suspect) X(commit) X(started)   \
    X(done_ok) X(done_failed) X(done_stopped) X(items) X(items_failed) X(let_go_late)    \
    X(timer) X(user_cancel) X(flow_timeout) X(io_append) X(io_start) X(io_start_map)     \
    X(io_start_fallback) X(io_start_alone) X(io_cancel) X(io_timeout) X(io_timer)        \
    X(arrival) X(arrival_waited) X(second_decision) X(rec_signal) X(rec_poke)            \
    X(io_hook) X(io_undo) X(rec_hook) X(hook_failed)                                     \
    X(rec_arrival) X(poke_nothing) X(late)                                               \
    X(slot_ask) X(slot_release) X(slot_granted) X(slot_refused) X(slot_told_twice)       \
    X(other_died) X(other_released) X(rate_waited) X(queue_over)                         \
    X(io_ask) X(bad_answer) X(lost) X(lost_item)                                         \
    X(group) X(group_again) X(group_stopped) X(group_fast) X(expired)                   \
    X(skipped_itself) X(skipped_item) X(skipped_behind) X(skipped_by_rule)               \
    X(skipped_by_when) X(ran_by_rule) X(torn_down) X(torn_down_late)                     \
    X(io_resume) X(barrier_held) X(barrier_held_inside) X(rec_task) X(rec_map)           \
    X(rec_sleep) X(rec_flow) X(rec_item) X(rec_start) X(rec_retry) X(rec_value)          \
    X(rec_timer) X(rec_map_part) X(rec_cancel) X(rec_unhandled) X(rec_rerun)             \
    X(rec_death) X(again_dropped) X(again_changed) X(degraded) X(upstream)               \
    X(quarantined) X(outputs) X(empty_map) X(ended_success) X(ended_failed)              \
    X(ended_stopped) X(replayed_all) X(same_result) X(divergence) X(cache_hit)    \
    X(cache_miss) X(cache_damaged) X(cache_same) X(last_good) X(drain) X(drain_stopped) X(drained) X(posted) X(posted_item) \
    X(checkpoint) X(checkpoint_given) X(cache_hit_item)

enum {
#define X(name) EV_##name,
    SIM_EVENTS(X)
#undef X
        EV_COUNT
};

typedef struct rec { // a record in the log of the world
    fr_record r;
    char *name, *label;
    void *data;
    fr_hash *args; // values of the arguments it was made from, per item
} rec;

typedef struct facts { // what the world knows of one call or item, by key
    // what was seen outside: survives crashes
    fr_hash args; // values of the last execution's arguments
    fr_hash plain; // as they were written: handles without what they stand for
    uint32_t runs;
    uint32_t lost_runs;
    bool lost_now; // the latest execution was lost
    bool went_out; // its effect
    fr_hash out_args;
    uint32_t out_epoch; // reruns before that
    // what the log says
    uint32_t last;     // 1 + place of its terminal record; 0 = none
    uint32_t retries;  // retry records since
    uint32_t losses;   // those of attempts that went with their process
    int64_t due, delay; // of the latest retry record, wall; 0 = none
    fr_hash made_from; // arguments of the execution that record is of
    bool item_failed;
    uint64_t dropped; // seq of the rerun that drops its failure; 0 = none
    // of the process that lives
    int64_t not_before; // monotonic; its next start or end
    uint32_t boot;      // to which not_before belongs
} facts;

typedef struct flying { // an execution under way
    fr_attempt *a;
    bool started, held, recalled;
    int64_t since;
    uint32_t at; // mapped: next position
    int stop;
} flying;

typedef struct on_cpu {               // what a dead process had on a CPU
    fr_hash key;
    uint32_t item;                    // FR_NO_NODE: no mapped task
    int signal;                       // 0 = none was seen
} on_cpu;

typedef struct sim_totals { // over all seeds; crosses a pipe
    uint64_t events[EV_COUNT];
    uint64_t moves[FR_STOPPED + 1][FR_STOPPED + 1];
    uint64_t seeds, calls, usual; // usual: seeds with 5 to 60 calls
} sim_totals;

typedef struct world {
    fr_rand rand;
    uint64_t seed;
    bool trace;
    lua_State *L;
    fr_host *host;
    fr_sched *s;
    fr_code code;
    rec *log;
    size_t n_log, cap_log, synced;
    flying fly[MAX_FLYING];
    uint32_t n_fly;
    int64_t boot_wall;
    int64_t now, skew, due; // monotonic; wall = now + skew
    fr_map keys;            // key -> index of facts
    facts *facts;
    uint32_t n_facts, cap_facts;
    fr_map nonces; // result -> seq of its record
    fr_map rows;   // row -> node, of the process that lives
    uint32_t rows_known;
    uint64_t nonce, executions, rerun_seq;
    uint32_t boots, crashes, reruns, change, calls;
    bool pure, strict, cancelled, committing, jumped;
    bool over;                        // the run has ended, this is a replay
    bool stops;                       // some of it was stopped by itself: see oracle_cancel
    bool drains;                      // the process is to end
    bool deadly, dead;                // deadly: some bodies take the process down
    on_cpu marks[MAX_SUSPECTS];       // what the last process left
    uint32_t n_marks;
    fr_map suspects;                  // by call and item: 1 + deaths that count
    uint32_t limited_rates[1024], n_limited_rates;   // asks of the rate, of this process
    fr_value *errors[5];
    char problem[PROBLEM_SIZE];
    sim_totals totals;
} world;

extern world W;
extern int fr_seeded_bug; // the planted bug that is alive (core/engine/sched_int.h)

void sim_fail(const char *format, ...) FR_PRINTF(1, 2); // the first one counts
void sim_note(const char *format, ...) FR_PRINTF(1, 2); // with --seed only
uint64_t sim_pick(uint64_t n);                          // 0 .. n - 1
#define sim_count(name) (W.totals.events[EV_##name]++)

// limits.c
void limits_ask(const fr_slot_ask *a);
void limits_release(uint32_t ask);
bool limits_uncommitted(void);         // asks or releases wait for a commit
void limits_committed(void);
bool limits_can(void);                 // something can become of what waits
void limits_step(void);
void limits_others(void);              // another run asks, gives back or dies
void limits_started(const fr_attempt *a);
void limits_end(void);
void limits_boot(void);
void limits_crash(size_t kept);
void limits_forget(void);              // before a seed

// world.c
extern const fr_io world_io;
uint32_t world_most(void);             // executions at once; 0 = any number
void world_commit(void);
void world_step(void); // one execution goes on
void world_crash(void);               // unless a body has done it
void world_drained(void);             // the process ended in order
void world_forget(void); // before a seed
static inline int64_t world_wall(void) { return W.now + W.skew; }
bool world_is(const fr_attempt *a, const char *kind);
bool world_sensor(const fr_attempt *a);
bool world_stops(const fr_record *r); // the time of a subflow or group is over
bool world_asked(const fr_attempt *a); // a question, not a fallback
uint32_t world_retries(const fr_attempt *a);

bool world_hook(const fr_attempt *a);  // a hook or undo

// hooks.c
void hooks_check(void);        // the run ended: all that was to be told was, in order

// outside.c
void outside_forget(void);
void outside_boot(void);
void outside_ended(void);      // what was not heard is gone
bool outside_awaited(void);    // some wait can be answered
void outside_early(void);
void outside_answer(void);
void outside_learn(const fr_record *r);
void outside_unlearn(void);    // the log was cut: it is learnt anew
void outside_check(void);

// kept.c
// checkpoints.c -- what bodies keep for their next attempt
void checkpoints_forget(void);
void checkpoints_crash(size_t records);       // so many are left
void checkpoints_start(const fr_attempt *a);
void checkpoints_keep(fr_attempt *a, uint32_t k);     // k: place in its list

void kept_forget(void);
void kept_crash(size_t records);       // so many are left
bool kept_waits(void);                 // a question is not answered
void kept_answer(void);
void kept_put(void *ctx, const fr_kept *k);
void kept_ask(void *ctx, const fr_lookup *l);

// oracle.c
facts *oracle_facts(fr_hash key);       // valid until the next call
void oracle_append(const fr_record *r); // before it is in the log
void oracle_learn(size_t place);        // from what the log holds
void oracle_relearn(void);              // the log lost its tail
void oracle_start(const fr_attempt *a);
fr_hash oracle_args(const fr_attempt *a);     // values of its arguments
void oracle_goes_out(const fr_attempt *a); // an effect happens
void oracle_cancel(const fr_attempt *a, const flying *f, int code);
void oracle_saw(int64_t v);    // flow code holds this value
void oracle_end(void);         // the run ended and is durable
enum { NONCE_BASE = 1 << 30 }; // results; other integers are smaller
