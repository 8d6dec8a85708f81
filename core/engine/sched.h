#pragma once
// sched -- the pure state machine of one run (ARCHITECTURE.md, engine.md B).
//
// Naming: a *call* is a task, map, sleep or subflow that a flow body asked for; inside it is
// a *node*, named by its number. A *branch* is one coroutine of flow code (the body itself,
// what fr.spawn started, a subflow). An *observation* is anything a body can notice; each has
// a place in the log and they are handed over one at a time, only when every branch is
// blocked, in log order -- live and in replay alike.
//
// The scheduler does no I/O, reads no clock and owns all its memory; all effects go through
// fr_io, which the engine implements on libuv and tests/sim with fakes. It belongs to one
// thread (the engine's). Inputs are the functions below; fr_sched_run then does what became
// possible. A completion costs O(out-degree); nothing ever scans.

#include "core/engine/cache.h"
#include "core/engine/exec.h"
#include "core/engine/limit.h"
#include "core/engine/record.h"
#include "core/engine/retry.h"
#include "core/engine/rule.h"

typedef struct fr_sched fr_sched;

#define FR_NO_NODE   UINT32_MAX
#define FR_NO_BRANCH UINT32_MAX
enum { FR_ROOT_BRANCH = 0 };

// Options that may be functions: they run in a worker, addressed as (task, option), and the
// scheduler acts on the answer (sched_ask.c). X(id, option)
#define FR_ASK_LIST(X)                                                                   \
    X(FALLBACK, "fallback")    /* (err, ...): the result */                              \
    X(RETRY_IF, "retry_if")    /* (err, attempt, ...): whether to try again */           \
    X(DELAY, "delay")          /* (attempt, err, ...): seconds before the retry */       \
    X(CACHE_KEY, "cache.key")  /* (...): what counts in place of the arguments */ \
    X(ON_START, "on_start")        /* hooks (sched_hook.c): (...) */                     \
    X(ON_SUCCESS, "on_success")    /* (result, ...) */                                   \
    X(ON_FAILURE, "on_failure")    /* (err, ...) */                                      \
    X(ON_RETRY, "on_retry")        /* (err, ...) */                                      \
    X(ON_CANCEL, "on_cancel")      /* (err, ...) */                                      \
    X(ON_SKIP, "on_skip")          /* (...) */                                           \
    X(UNDO, "undo")                /* (result, ...) */

typedef enum fr_ask {
    FR_ASK_NOTHING = 0,               // the body itself runs
#define X(id, option) FR_ASK_##id,
    FR_ASK_LIST(X)
#undef X
} fr_ask;
const char *fr_ask_option(fr_ask ask);             // "fallback"; NULL for the body
fr_ask fr_ask_from_option(const char *option);     // FR_ASK_NOTHING when there is none
#define FR_ASKS(ask) (1u << (ask))

typedef enum fr_fallback_kind {
    FR_FALLBACK_VALUE, FR_FALLBACK_FUNCTION, FR_FALLBACK_TASK, FR_FALLBACK_LAST_GOOD,
} fr_fallback_kind;

typedef struct fr_fallback {          // one of several that are tried in turn
    fr_fallback_kind kind;
    const fr_value *value;
    const char *option, *task;        // FUNCTION: its address, "fallback.f2"; TASK: whose body
    int64_t max_age_ns;               // LAST_GOOD; 0 = any age
    bool any_arguments;               // LAST_GOOD: not only of the same plain arguments
} fr_fallback;

typedef struct fr_task_opts {         // lives as long as the scheduler
    fr_retry_plan retry;
    uint64_t retry_codes;             // bit per error code worth a retry; 0 = all
    uint32_t infra_retries;           // attempts that may be lost with their process
    uint32_t asks;                    // FR_ASKS of the options that are functions
    int64_t timeout_ns;               // 0 = none; counted from the start of the body
    int64_t queue_timeout_ns;         // 0 = none; from ready to the start of the body
    const fr_limit_need *limits;      // slots that an attempt holds
    uint32_t n_limits;
    int32_t priority;
    uint32_t cpu, n_outputs;          // both at least 1
    uint64_t memory;                  // bytes, 0 = not given
    uint32_t gpu;
    fr_exec_kind executor;
    int64_t deadline_ns;              // from the call to its end; 0 = none
    bool fail_fast;                   // of a subflow or group: the first failure stops the rest
    fr_rule rule;                     // which ends of what it depends on let it run
    bool effect;
    bool no_store;                    // its result is not kept (sched_redo.c)
    const fr_value *fallback;         // NULL = none, or a function (see asks)
    const fr_fallback *fallbacks;     // several; then `fallback` is NULL
    uint32_t n_fallbacks;
    const fr_cache_opts *cache;       // NULL: without the option
    fr_hash source;                   // of the task's code (engine.md C3), where a cache needs it
} fr_task_opts;

typedef struct fr_dep {
    uint32_t node;
    uint32_t output;                  // 0 = the whole result, k = its k-th named output
} fr_dep;

// How a call waits; copied.
typedef struct fr_wait {
    int64_t at_ns;                    // SLEEP: until this wall time; 0 = for sleep_ns
    int64_t timeout_ns;               // SIGNAL, POKE: -1 = none
    bool human;                       // SIGNAL: somebody decides
    const fr_value *late;             // its result when the time is over; NULL: it fails,
    const char *late_code;            // with this code: "timeout", "rejected"
    fr_retry_plan every;              // POKE: the time between two pokes
} fr_wait;

typedef struct fr_call {
    fr_call_kind kind;
    uint32_t branch;
    uint32_t task;                    // from fr_sched_task
    const fr_task_opts *opts;
    const fr_value *args;             // packed table of arguments; handle slots index deps
    uint32_t n_args;
    const fr_dep *deps, *after;       // after: only waited for
    uint32_t n_deps, n_after;
    uint32_t n_setups;                // the first of after set up what this call tears down
    const fr_dep *when;               // its value says whether the call runs; NULL = it does
    bool skip;                        // `when` was a function, and said no
    const char *key;                  // the user's, or NULL
    const char *where;                // "load.lua:41" of the call; lives as long as the scheduler
    const fr_value *list;             // MAP: the items, or NULL when they come from list_dep
    bool tuples;                      // MAP: an item is a list of arguments
    fr_dep list_dep;                  // MAP: node FR_NO_NODE when `list` is given
    int64_t sleep_ns;                 // SLEEP
    const fr_wait *wait;              // SIGNAL, POKE, SLEEP until a time; borrowed
} fr_call;

// What happened to a branch that io->resume ran.
typedef enum fr_ran { FR_RAN_BLOCKED, FR_RAN_YIELDED, FR_RAN_ENDED } fr_ran;

typedef enum fr_moment {              // for progress displays and logs
    FR_MOMENT_STARTED, FR_MOMENT_RETRY, FR_MOMENT_ENDED, FR_MOMENT_ITEMS,
} fr_moment;

typedef struct fr_io {
    void *ctx;
    void (*append)(void *ctx, const fr_record *r);
    void (*start)(void *ctx, fr_attempt *a);              // fr_sched_done follows
    void (*cancel)(void *ctx, fr_attempt *a, int code);
    // (optional) Gives back as cancelled what of it has not started; what runs goes on.
    void (*recall)(void *ctx, fr_attempt *a);
    // Asks for slots; fr_sched_slot answers. The ask ends by release, or with the record that
    // names it (fr_record.slot).
    void (*slot_ask)(void *ctx, const fr_slot_ask *a);
    void (*slot_release)(void *ctx, uint32_t ask);
    void (*timer)(void *ctx, int64_t due_mono_ns);        // the one timer; INT64_MAX = none
    // Runs flow code until it blocks (fr_sched_wait returned false), gives way, or ended
    // (fr_sched_branch_end was called).
    fr_ran (*resume)(void *ctx, uint32_t branch);
    // The body of a subflow or group runs once more, in that new branch.
    void (*again)(void *ctx, uint32_t node, uint32_t branch);
    void (*moment)(void *ctx, fr_moment what, uint32_t node);   // (optional)
    // (optional) Looks for results of earlier calls; fr_sched_found follows, never from inside.
    void (*lookup)(void *ctx, const fr_lookup *l);
    void (*keep)(void *ctx, const fr_kept *k);            // (optional) behind the record it is of
} fr_io;

typedef struct fr_sched_env {
    const fr_io *io;
    fr_code *code;                    // handed to attempts
    uint64_t seed;
    bool strict;                      // a result is durable before the flow sees it
    bool fail_fast;                   // the first failure stops the rest of the run
    bool keep_args;                   // of calls that succeeded, for fr_sched_arguments
    uint32_t next_row;                // first unused row number of the run
    fr_cache_mode cache;
    fr_hash cache_session;            // of `flowrun watch`: all tasks are cached; zero = none
    // hooks of the run: its flow as a worker finds it, NULL = none; FR_ASKS of its hooks
    const char *flow;
    uint32_t flow_asks;
    const fr_value *params;           // their last argument
    bool rollback;                    // the flow asks for undo when the run does not succeed
    uint32_t max_running;             // attempts with the executor at once; 0 = any number
} fr_sched_env;

fr_sched *fr_sched_new(const fr_sched_env *env);
void fr_sched_free(fr_sched *s);                          // no attempt may be out any more
// The time, before each group of inputs.
void fr_sched_now(fr_sched *s, int64_t mono_ns, int64_t wall_ns);

// --- before the first run: the recorded past, in log order ---
FR_NODISCARD int fr_sched_load(fr_sched *s, const fr_record *r, fr_err *err);
// How often the run was continued by fr_sched_drop_unhandled before.
uint32_t fr_sched_reruns(const fr_sched *s);
// A rerun: drops what was stopped and the failures that nobody handled, so that they and what
// depends on them run again. From here on other arguments than the recorded ones mean that a
// call of before is made anew, not divergence. Recorded: a resume of the rerun knows it.
void fr_sched_drop_unhandled(fr_sched *s);
typedef struct fr_rerun {
    const fr_hash *keys;              // calls to make again though they succeeded, with all that
    uint32_t n;                       // a subflow or map holds
    bool only;                        // nothing else: failures and what depends on the calls stay
    const fr_value *params;           // of the flow from here on; NULL = as before
} fr_rerun;
void fr_sched_rerun(fr_sched *s, const fr_rerun *what);   // as fr_sched_drop_unhandled, and that
// Records the code that runs from here on, for a resume of a rerun.
void fr_sched_code(fr_sched *s, fr_hash bundle);

// This call (item: of a map, else FR_NO_NODE) was on a CPU when the process before died, by
// `signal` (0 = none was seen). Recorded; it now runs with nothing beside it, and after three
// deaths that count it fails as quarantined (ENGINE.md D4).
void fr_sched_suspect(fr_sched *s, fr_hash call, uint32_t item, int signal);

// --- flow code (on the engine thread, from inside io->resume) ---
uint32_t fr_sched_task(fr_sched *s, const char *name);    // same number for the same name
FR_NODISCARD int fr_sched_call(fr_sched *s, const fr_call *c, uint32_t *node, fr_err *err);
// A FLOW or GROUP returns the branch its body must run in, or FR_NO_BRANCH when it is recorded.
FR_NODISCARD int fr_sched_subflow(fr_sched *s, const fr_call *c, uint32_t *node, uint32_t *branch,
                                  fr_err *err);
uint32_t fr_sched_spawn(fr_sched *s, uint32_t branch, uint32_t *node);   // the new branch
// The recorded value of this use of `name`, or `fresh`, which is then recorded. Borrowed.
FR_NODISCARD int fr_sched_value(fr_sched *s, uint32_t branch, const char *name, fr_value *fresh,
                                const fr_value **out, fr_err *err);
// The key of this use, for fr.random.
fr_hash fr_sched_draw(fr_sched *s, uint32_t branch, const char *name);
// true: satisfied (any/all of the nodes were observed, or the run is being cancelled).
bool fr_sched_wait(fr_sched *s, uint32_t branch, const uint32_t *nodes, uint32_t n, bool any);
// The items of a map as they end. false: the branch is blocked until more are behind place `at`
// (0 = the beginning) or the map has ended.
bool fr_sched_wait_item(fr_sched *s, uint32_t branch, uint32_t node, uint64_t at);
typedef struct fr_map_item {
    uint32_t index;
    bool failed;
    fr_value *value;                  // a new reference; of a failed one the error
} fr_map_item;
// The next one that was observed, and the place behind it; false: none at the moment.
bool fr_sched_next_item(fr_sched *s, uint32_t node, uint64_t *at, fr_map_item *out);
// The map was observed, and nothing but its items says how it ended.
bool fr_sched_items_over(const fr_sched *s, uint32_t node);
void fr_sched_branch_end(fr_sched *s, uint32_t branch, fr_value *result, fr_value *error);
bool fr_sched_seen(const fr_sched *s, uint32_t node);     // observed: its result may be read
fr_state fr_sched_state(const fr_sched *s, uint32_t node, fr_reason *reason);   // as observed
// Of an observed node. The result of a map is put together at the first call. Borrowed.
FR_NODISCARD int fr_sched_result(fr_sched *s, fr_dep d, const fr_value **out, fr_err *err);
const fr_value *fr_sched_error(const fr_sched *s, uint32_t node);
void fr_sched_handled(fr_sched *s, uint32_t node);        // try() delivered its failure
void fr_sched_raised(fr_sched *s, uint32_t branch, uint32_t node);   // get() raised it
// FR_OK, or the code of the cancel or of what stopped the subflow or group around the branch.
int fr_sched_cancelled(const fr_sched *s, uint32_t branch);
// The same for a branch that computes and gave way unasked: stops that wait to be observed count.
int fr_sched_stop_due(fr_sched *s, uint32_t branch);
bool fr_sched_replaying(const fr_sched *s);       // the cursor has not passed the last record

// --- the engine ---
void fr_sched_begin(fr_sched *s);                         // makes the root branch ready
void fr_sched_run(fr_sched *s, uint32_t budget);          // at most `budget` resumes
bool fr_sched_busy(const fr_sched *s);                    // run has more to do right now
void fr_sched_started(fr_sched *s, fr_attempt *a, int64_t wall_ns);
void fr_sched_done(fr_sched *s, fr_attempt *a, const fr_done *d);
// The answer to a lookup: one per key, with its files' content. Takes the results.
void fr_sched_found(fr_sched *s, uint32_t node, fr_found *found, uint32_t n, const fr_hash *files);
// What the body keeps for the next attempt of its call (item: of a map); the latest counts.
void fr_sched_checkpoint(fr_sched *s, fr_attempt *a, uint32_t item, const fr_value *v);
// A module that a body required after loading: a record only (core/engine/late.h).
void fr_sched_addendum(fr_sched *s, const char *name, const void *data, size_t size);
void fr_sched_durable(fr_sched *s, uint64_t seq);
// What became of an ask; refused: "", or why its slots can never be had. Repeats are harmless.
void fr_sched_slot(fr_sched *s, uint32_t ask, const char *refused);
void fr_sched_timer(fr_sched *s);                         // the time asked for has come
void fr_sched_cancel(fr_sched *s, int code, const char *why);   // FR_ECANCELLED, FR_ETIMEOUT
// The process is to end: nothing starts any more and the flow does not go on; what runs may end
// and is recorded. Asked again it is stopped, as by a crash. Drained: nothing is out any more.
void fr_sched_drain(fr_sched *s);
bool fr_sched_drained(const fr_sched *s);
// Something came from outside for a wait (sched_wait.c). It is recorded; the oldest wait of
// that name takes it, or the next one: nothing that arrives early is lost.
typedef struct fr_arrival {
    uint32_t id;                      // of its row among the requests; 0 = none
    const char *name;                 // of the wait: "signal:go", "approve:release"
    fr_hash key;                      // of the one wait it is meant for; zero = any of that name
    const fr_value *value;            // what the wait gives
    const char *by;                   // who sent it; for the journal, may be NULL
    bool rejects;                     // the wait fails
} fr_arrival;
void fr_sched_arrival(fr_sched *s, const fr_arrival *a);
bool fr_sched_ended(const fr_sched *s);                   // everything it started has ended

typedef struct fr_outcome {
    fr_state state;
    fr_reason reason;
    const fr_value *result, *error;   // borrowed
    uint32_t failed_node;             // what made it fail, or FR_NO_NODE
} fr_outcome;
void fr_sched_outcome(fr_sched *s, fr_outcome *out);
// Everything the flow started has ended: runs undo and the hooks of the run. true: they are not
// over, call again when fr_sched_ended. again: the flow will be tried once more.
bool fr_sched_closing(fr_sched *s, bool again);
void fr_sched_ask_rollback(fr_sched *s);                  // the flow does, from here on
// Writes the record that `rerun` needs; once, when ended and not SUCCESS.
void fr_sched_close_log(fr_sched *s);
uint64_t fr_sched_seq(const fr_sched *s);                 // last place in the log

typedef struct fr_sched_stats {
    uint32_t calls, waiting, queued, running, succeeded, failed, stopped, skipped;
    uint32_t retries, cached, degraded, replayed;
    uint64_t items, items_done, items_failed;
} fr_sched_stats;
void fr_sched_get_stats(const fr_sched *s, fr_sched_stats *out);

typedef struct fr_task_stats {        // of all calls of one task (or map, subflow …) so far
    const char *name;
    uint32_t calls, ended, failed, running, retries, recorded, cached, degraded;
    uint64_t items, items_done;
    int64_t first_started, last_ended;    // wall ns, 0 = none yet
    int64_t busy_ns, longest_ns;          // sum and maximum over calls, of their last attempts
} fr_task_stats;
// By order of first call; false when there is no i-th.
bool fr_sched_task_stats(const fr_sched *s, uint32_t i, fr_task_stats *out);

typedef struct fr_node_info {         // of one call, for displays; pointers are borrowed
    fr_hash key;
    uint32_t row, attempt, retries, items, items_done, items_failed, branch;
    uint32_t flow;                    // node of the enclosing subflow, FR_NO_NODE = none
    fr_call_kind kind;
    const char *name, *label, *where;
    fr_state state;
    fr_reason reason;
    int64_t queued, started, ended, due;
    const fr_value *args, *error;
    bool handled, recorded;           // recorded: it came from an earlier process
} fr_node_info;
void fr_sched_info(const fr_sched *s, uint32_t node, fr_node_info *out);
// The i-th call that `node` waits for (arguments, after, the list); false when there are fewer.
bool fr_sched_dep(const fr_sched *s, uint32_t node, uint32_t i, uint32_t *dep);
// The packed arguments of a call and new references to what its handle slots stand for (at
// most `most`); NULL when it has none or they are gone.
const fr_value *fr_sched_arguments(fr_sched *s, uint32_t node, fr_value **deps, uint32_t most,
                                   uint32_t *n);
uint32_t fr_sched_count(const fr_sched *s);               // nodes are 0 .. count - 1
// Nodes that are running now, oldest first; returns how many there are.
uint32_t fr_sched_running(const fr_sched *s, uint32_t *nodes, uint32_t max);
// How often each move from state `from` to `to` was made (tests/sim).
uint32_t fr_sched_moves(const fr_sched *s, fr_state from, fr_state to);
// The log's divergence, if one stopped the run: message or NULL.
const char *fr_sched_divergence(const fr_sched *s);
