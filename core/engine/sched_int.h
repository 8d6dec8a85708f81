#pragma once
// sched_int -- what the sched_*.c files share. Private to them.

#include "core/base/grow.h"
#include "core/base/map.h"
#include "core/base/mem.h"
#include "core/engine/item.h"
#include "core/engine/sched.h"

// Bugs that tests/sim plants to prove that it would find them; never compiled in otherwise.
enum {
    BUG_UNORDERED = 1, BUG_COMMIT_ORDER, BUG_NO_BARRIER, BUG_GLOBAL_INDEX, BUG_ATTEMPTS_LOST,
    BUG_STALE_TIMER, BUG_RECORDED_TWICE, BUG_EARLY_CANCEL, BUG_LOSS_COUNTS,
    BUG_DELAY_FORGOTTEN, BUG_NO_SLOT, BUG_SLOT_KEPT, BUG_ASK_LEFT, BUG_SLOT_EARLY,
    BUG_MOST_EXCEEDED,
    BUG_TAKEN_AGAIN = 30, BUG_NEWEST_FIRST, BUG_EARLY_LOST, BUG_ANY_DECISION, BUG_POKE_AT_ONCE,
    BUG_HOOK_FORGOTTEN, BUG_UNDO_FORWARD, BUG_HOOK_AGAIN,
    BUG_CACHE_BLIND = 40, BUG_CACHE_DEGRADED, BUG_RERUN_SHALLOW,
    BUG_LAST_GOOD_ANY, BUG_DEGRADED_IS_GOOD, BUG_ITEMS_ALIKE,
    BUG_SKIP_LOST = 60, BUG_RULE_HASTY, BUG_WHEN_IGNORED,
    BUG_GROUP_SAME_BRANCH, BUG_GROUP_EARLY, BUG_STOP_UNRECORDED,
    BUG_ITEMS_AT_ONCE = 70, BUG_ITEM_OBJECTS_LOST,
    BUG_CHECKPOINT_BLIND = 80, BUG_CHECKPOINT_OLDEST,
};
#ifdef FR_SEEDED_BUGS
extern int fr_seeded_bug;             // which one; tests/sim/sim.c
#define SEEDED(bug) (fr_seeded_bug == (bug))
#else
#define SEEDED(bug) false
#endif

enum { CALL_SPAWN = 0 };

typedef struct edge {                 // singly linked, in s->edges; index 0 ends a list
    uint32_t next, target;
    uint32_t serial;                  // of a branch's wait; 0 = target is a node
} edge;

typedef struct cache_state cache_state;       // sched_cache.c

typedef struct part_mark {
    uint64_t seq;                     // of the record
    size_t end;                       // in past_items.data, map_state.parts
} part_mark;

typedef struct past_items {           // of a map
    uint32_t n, failed;
    fr_buf data;                      // MAP parts, packed items one after the other
    part_mark *marks;                 // where each part ends
    uint32_t n_marks, cap_marks;
    uint32_t objects;                 // items with a record of their own
    uint64_t gone;                    // items up to this place are made anew
    uint64_t opened, ended;           // place of the rerun before it last began, before its end
} past_items;

typedef struct past {                 // what the log says of one key
    fr_hash key, args;
    uint64_t seq;                     // place of the terminal record; 0 = none
    uint64_t retry_seq;               // of the latest failed attempt
    uint32_t row, parent, attempt, name;   // name: task number
    uint32_t lost;                    // attempts that went with their process
    uint32_t epoch;                   // reruns before it
    uint32_t node;                    // the call that claimed it
    uint8_t kind, state, reason;
    bool value_only, began;           // VALUE record; a map has a TIMER record
    fr_hash made;                     // of a result that was not kept; zero = it was
    bool indexed;                     // past_index knows its key
    int64_t queued, started, ended, due;
    int64_t delay;                    // of the retry that is due; POKE: failures in a row
    int64_t deadline;                 // wall; 0 = none
    // Of a subflow or group: attempts whose begin is on record, the latest that was stopped.
    uint32_t begun, passed, again, stop_attempt;   // passed: begins seen; again: retries on record
    uint64_t stops;                   // bit per attempt (modulo 64) that was stopped
    fr_value *result, *error;
    past_items *items;                // NULL = none
    fr_value **why;                   // the error of each attempt that was tried again, from 1
    uint32_t n_why;
} past;

enum { SCHED_ASKED = 1, SCHED_HELD };

typedef struct run_attempt {
    fr_attempt a;                     // first
    uint32_t node, slot;
    uint32_t item;                    // a single item's attempt: its index
    bool single_item;
    bool alone, held;                 // alone: nothing beside it; held: not with the executor yet
    bool started, queue_over, gave_up;     // its time in the queue is over; it was told so
    uint8_t limit;                    // what became of its ask: SCHED_ASKED, SCHED_HELD or 0
    uint8_t told;                     // what people were told it waits for (sched_look.c)
    fr_ask ask;                       // what a.option is; its answer is acted on
    uint32_t *own_indexes;
    fr_value **own_deps;
    fr_value *own_lead[FR_LEADS];
    fr_value *own_checkpoint;
} run_attempt;

typedef struct map_state {
    fr_value *list;
    uint64_t *offsets;                // n + 1
    fr_hash *hashes;
    uint32_t *duplicates;             // NULL when all zero
    uint32_t n, done, failed, skipped;
    uint32_t out;                     //  attempts the executor has
    uint32_t next;                    // windowed dispatch: next item to start
    bool windowed;                    // one attempt per item (timeout)
    uint8_t *have;                    // bitmap: item is final
    uint32_t *todo;                   // indexes to run when some are recorded; else NULL
    uint32_t n_todo;
    fr_buf parts;                     // all final items as they ended, packed (sched_items.c)
    size_t shown;                     // the flow has observed those before
    uint64_t shown_seq;               // place in the log of the last of them
    part_mark *marks;                 // of those found in the log; next_mark is not shown yet
    uint32_t n_marks, cap_marks, next_mark;
    bool replaced;                    // an index may stand there twice: the latest counts
    uint64_t *last;                   // end of the latest of each index; NULL: not looked for
    fr_value **objects;               // results that refer to objects, by index
    fr_map attempts;                  // item -> attempts made | lost << 32, once it failed
    fr_map dues;                      // item -> monotonic time of a retry that a crash interrupted
    fr_value *first_error;
    uint32_t first_failed;
    fr_hash *cache_keys;              // per item; NULL = without a cache
    fr_value *parts_of_key;
    fr_cache_verdict cache_verdict;
} map_state;

typedef struct wait_state {           // of a node that waits (sched_wait.c)
    fr_wait spec;                     // its pointers are owned
    uint32_t failures, recorded;      // POKE: failed pokes in a row; those on record
    int64_t told;                     // POKE: when its row of `running` was last written
    bool over;                        // POKE: its time ended while one ran
} wait_state;

typedef struct node {
    fr_hash key, args;
    uint32_t row, task, branch, use;
    uint32_t attempt, slot;           // slot of the live attempt or FR_NO_NODE
    uint32_t lost;                    // attempts that went with their process, apart from retries
    uint32_t pending;                 // dependencies that have not arrived
    uint32_t dependents, waiters;     // edges
    uint32_t watchers;                // edges: branches that wait for its next items
    uint32_t live_prev, live_next;
    uint32_t cause;                   // the failed node whose error this one carries on
    uint32_t inside;                  // FLOW: calls of its body that have not ended
    uint32_t failures, next_failure;  // FLOW: what failed in it, latest first; FR_NO_NODE ends
    uint32_t n_args, n_deps, n_after; // has_when: the last of after
    uint32_t n_setups;                // the first of after; not 0: it tears down
    uint32_t body;                    // FLOW, GROUP, SPAWN: the branch of its body
    uint32_t fast;                    // the failure that stopped the others; FR_NO_NODE
    int stop_code;                    // FLOW, GROUP: this attempt is being stopped
    uint32_t epoch;                   // reruns before it ended; names its hooks
    uint8_t kind, state, reason;
    bool seen, handled, recorded, user_key, live, timed_out, counted, degraded;
    bool known;                       // the log has something of it
    bool queue_over;                  // queue_timeout
    bool gone;                        // it failed in an attempt of a group that was tried again
    bool expired;                     // its deadline has passed
    bool tuples;                      // MAP
    bool begun, has_when;             // begun: what it waited for let it run, or not
    bool body_over;                   // FLOW: its body has ended, something inside may run on
    fr_dep *deps;                     // n_deps slots, then n_after
    fr_dep list_dep;
    const fr_task_opts *opts;
    fr_value *argv, *list;
    fr_value *result, *error;
    map_state *map;
    wait_state *wait;
    cache_state *cache;               // NULL = without
    fr_hash made;                     // with redo: the hash on record
    bool redo;                        // computed again, see sched_redo.c
    fr_hash good_key;                 // of the last good result, while it is looked for
    uint32_t fell;                    // fallbacks that were tried
    bool looks;                       // for the last good result
    const char *where, *label;        // label: the user's key
    int64_t queued, started, ended, due;
    int64_t sleep_ns;                 // of a task: its retry's delay
    uint64_t seq, need;
} node;

typedef struct branch {
    fr_hash path;
    char *label;                      // "0.2"
    uint32_t node;                    // whose end it is; FR_NO_NODE for the root
    uint32_t flow_row, flow_node;     // enclosing subflow; 0, FR_NO_NODE = the flow itself
    uint32_t serial, pending, kids, raising;
    uint64_t newest;                  // place in the log of the latest thing it saw
    bool any, blocked, ready, ended;
    uint32_t *uses;                   // by task number
    uint32_t n_uses;
} branch;

typedef enum timer_kind {
    TIMER_RETRY, TIMER_TIMEOUT, TIMER_ITEM, TIMER_QUEUE,
    TIMER_WAIT,                       // a sleep is over, a wait has lasted too long
    TIMER_POKE,
    TIMER_LOOK,                       // whether something waits for its turn (sched_look.c)
    TIMER_AGAIN, TIMER_SCOPE, TIMER_DEADLINE,      // see sched_scope.c
} timer_kind;

typedef struct timer_entry {
    int64_t due;                      // mono ns
    uint64_t order;                   // equal deadlines stay FIFO
    uint32_t node, fence, item;
    timer_kind kind;
} timer_entry;

typedef struct queue32 {              // FIFO of numbers
    uint32_t *data;
    size_t head, tail, capacity;      // capacity: a power of two
} queue32;

typedef struct barrier {              // waits until the log is durable up to need
    uint64_t need;
    uint32_t node, item;              // item: FR_NO_NODE for a whole node
} barrier;

typedef struct suspect {              // what was on a CPU when a process died
    fr_hash call;
    uint32_t item;                    // of a map; FR_NO_NODE for a whole call
    uint32_t deaths;                  // that count
    int signal;                       // of the last death, 0 = none seen
} suspect;

typedef struct arrival {              // came for a wait
    fr_hash key;                      // of the one it is meant for; zero = any
    fr_value *value;                  // NULL: taken
    bool rejects;
} arrival;

typedef struct wait_line {            // waits of one name, and what came for them
    queue32 waiting;                  // nodes; some may have ended
    arrival *came;
    size_t first, n_came, cap_came;   // before `first` all are taken
} wait_line;

typedef struct task_name {
    char *name;
    wait_line *line;                  // NULL: nothing waits by that name
    fr_hash hash;
    double mean_ns;                   // of finished bodies; 0 = unknown
    fr_task_stats stats;
} task_name;

struct fr_sched {
    fr_sched_env env;
    fr_io io;
    int64_t mono, wall;
    uint64_t seq, durable;
    fr_grow nodes;
    uint32_t n_live, live_head, live_tail;
    branch *branches;
    uint32_t n_branches, cap_branches, branches_alive;
    task_name *tasks;
    uint32_t n_tasks, last_task;
    fr_map task_index, used_keys;
    edge *edges;
    uint32_t n_edges, cap_edges, free_edge;
    queue32 ready, seen_queue;        // branches; nodes to be observed (CANCEL_MARK: the cancel)
    part_mark *ends;                  // of the PART_MARKs in seen_queue, in its order
    uint32_t first_end, n_ends, cap_ends;
    uint32_t yielded;                 // branch that gave way: it goes on first
    barrier *barriers;
    size_t barrier_head, n_barriers, cap_barriers;
    timer_entry *timers;
    size_t n_timers, cap_timers;
    uint64_t timer_order;
    int64_t timer_armed;
    run_attempt **slots;
    uint32_t n_slots, cap_slots;
    queue32 free_slots;
    uint32_t fence, next_row;
    uint32_t look_fence;              // 0 = nobody will look; else the newest attempt by then
    // the past
    fr_grow pasts;
    fr_map past_index;                // key -> past
    uint32_t *past_rows;              // row of a call -> past number + 1; 0 = none
    uint32_t cap_rows, next_past;     // next_past: row of the call that likely comes next
    uint32_t n_unindexed;             // calls that only past_rows knows and nobody claimed
    uint32_t n_checkpoints;           // records of bodies that kept something
    uint32_t *order;                  // by seq: past number + 1; 0 = not an observation
    uint64_t n_order, cap_order, cursor;
    uint64_t past_cancel;             // seq of a recorded cancel, 0 = none
    int past_cancel_code;
    fr_hash *unhandled;
    uint32_t n_unhandled, reruns;
    bool redoing;                     // the cursor waits for a result that was not kept
    bool only;                        // of the latest rerun: what is recorded stays as it is
    uint64_t rerun_seq;               // records before it are those of an earlier attempt
    // suspects (sched_alone.c)
    suspect *suspects;
    uint32_t n_suspects, n_out;       // n_out: attempts the executor has
    fr_map suspect_index;
    uint64_t deaths_seq;              // of the latest record of a death
    bool alone;                       // a suspect runs
    bool draining;                    // sched_drain.c
    queue32 held;                     // slots of attempts that wait for their turn
    bool held_mixed;                  // some have another priority than 0
    fr_map asks;                      // ask -> slot of its attempt (sched_limit.c)
    uint32_t releasing;               // ask that the next record gives back; 0 = none
    // results used again (sched_cache.c)
    fr_map same_calls;                // key -> the first call with it
    // how it ends
    enum { CLOSING_NOT, CLOSING_UNDO, CLOSED } closing;
    bool rollback;
    fr_task_opts flow_opts;
    uint64_t *undo;                   // what can be taken back: place in the log, node
    uint32_t n_undo, next_undo;
    int cancel_code;
    bool cancel_seen, begun, log_closed, degraded, freeing;
    fr_value *root_result, *root_error;
    uint32_t root_cause, root_fast;   // root_fast: the failure that stopped the others
    uint32_t n_scopes_stopping;
    uint32_t *failures;
    uint32_t n_failures, cap_failures;
    char *divergence;
    const fr_found *good;             // the last good result that ends a call just now
    const fr_value *outbox;           // messages of the attempt that ends now; for its record
    fr_sched_stats stats;
    uint32_t moves[FR_STOPPED + 1][FR_STOPPED + 1];   // made, by state before and after
    uint32_t all_calls, late;         // of planted bugs; late: 1 + node whose end is held back
    uint32_t *running;                // nodes reported as started, oldest first (may be stale)
    uint32_t n_running, cap_running;
};

#define CANCEL_MARK UINT32_MAX

static inline node *node_at(const fr_sched *s, uint32_t i)
{
    return fr_grow_at(&s->nodes, i, sizeof(node));
}
static inline past *past_at(const fr_sched *s, uint32_t i)
{
    return fr_grow_at(&s->pasts, i, sizeof(past));
}
static inline bool node_final(const node *n)
{
    return fr_state_is_final((fr_state)n->state);
}

// sched.c
void sched_move(fr_sched *s, node *n, fr_state to, fr_reason why);
void sched_finish(fr_sched *s, uint32_t id, fr_state state, fr_reason why, fr_value *result,
                  fr_value *error);                       // takes result and error
void sched_arrived(fr_sched *s, uint32_t id);             // dependents may start
void sched_observe(fr_sched *s, uint32_t id);             // the flow sees it
void sched_dispatch(fr_sched *s, uint32_t id);
void sched_record(fr_sched *s, fr_record *r);             // gives it a seq and appends it
void sched_record_of(const fr_sched *s, const node *n, fr_record *r);
void sched_event(fr_sched *s, fr_moment what, uint32_t id);
run_attempt *sched_attempt_new(fr_sched *s, uint32_t id);
void sched_attempt_free(fr_sched *s, run_attempt *ra);
run_attempt *sched_slot(const fr_sched *s, uint32_t slot);
void sched_wait_durable(fr_sched *s, uint64_t need, uint32_t node, uint32_t item);
bool sched_stopping_run(const fr_sched *s);               // the run is cancelled or diverged
// Cancelled or diverged, or what is around the call is being stopped; or its deadline is over.
bool sched_stopped(const fr_sched *s, const node *n);
bool sched_stopping(const fr_sched *s, const node *n);
int sched_stop_code(const fr_sched *s, const node *n);
void sched_stop_node(fr_sched *s, uint32_t id);
void sched_see_cancel(fr_sched *s);                       // the flow does
void sched_stop_all(fr_sched *s);                         // every live call
fr_value *sched_dep_value(fr_sched *s, fr_dep d);         // a new reference, or NULL
void sched_free_args(node *n);
void sched_degraded(fr_sched *s, const node *n);          // counts it
void sched_note_failure(fr_sched *s, uint32_t id);
uint32_t sched_cause(const fr_sched *s, uint32_t id);    // whose failure it carries on
bool sched_failed(const fr_sched *s, uint32_t id);        // it ended, and not well
uint32_t sched_new_node(fr_sched *s);
uint32_t sched_new_edge(fr_sched *s, uint32_t next, uint32_t target, uint32_t serial);
uint32_t sched_take_edge(fr_sched *s, uint32_t i, uint32_t *target, uint32_t *serial);
void sched_live_add(fr_sched *s, uint32_t id);
void sched_ready_to_start(fr_sched *s, uint32_t id);      // all it waited for has arrived

// sched_call.c
void sched_handled_inside(fr_sched *s, uint32_t id);      // before it ends
void sched_end_flow(fr_sched *s, uint32_t id);            // its body and all inside have ended
void sched_record_unhandled(fr_sched *s, uint32_t flow);   // FR_NO_NODE: of the whole run
void sched_count_end(fr_sched *s, const node *n);         // in the statistics of its task
void sched_make_ready(fr_sched *s, uint32_t branch);      // it may go on
uint32_t sched_new_branch(fr_sched *s, fr_hash path, char *label);   // takes label
char *sched_branch_label(const fr_sched *s, uint32_t parent, const char *what, uint32_t kid);

// sched_timer.c
void sched_timer_add(fr_sched *s, timer_kind kind, int64_t due_mono, uint32_t id, uint32_t fence,
                     uint32_t item);
bool sched_timer_pop(fr_sched *s, timer_entry *out);      // one that is due
void sched_timer_arm(fr_sched *s);
void queue32_push(queue32 *q, uint32_t v);
bool queue32_pop(queue32 *q, uint32_t *v);
static inline bool queue32_empty(const queue32 *q)
{
    return q->head == q->tail;
}

// sched_replay.c
past *sched_past(fr_sched *s, fr_hash key);               // of a call; NULL: the log has nothing
past *sched_past_other(const fr_sched *s, fr_hash key);   // of an item or a value
int sched_adopt(fr_sched *s, uint32_t id, past *p, fr_err *err);
// A group's body ran again and has ended: its record of before is what counts.
bool sched_recall_end(fr_sched *s, node *n);
bool sched_recall(fr_sched *s, uint32_t id, bool failed);
bool sched_outdated(const fr_sched *s, const node *n, uint64_t seq);
bool sched_advance(fr_sched *s);                  // one step of the cursor; false at the end
void sched_past_free(fr_sched *s);
// Of the attempt with that number, lost ones counted; NULL: the log does not say.
const fr_value *sched_past_why(fr_sched *s, const node *n, uint32_t attempt);
past *sched_past_kept(fr_sched *s, fr_hash key, const fr_value *v);   // a value, from now on
void sched_diverge(fr_sched *s, const char *format, ...) FR_PRINTF(2, 3);

// sched_wait.c
void sched_wait_copy(node *n, const fr_wait *w);
void sched_wait_free(wait_state *w);
void sched_line_free(wait_line *l);
void sched_wait_start(fr_sched *s, uint32_t id);          // all that it waited for has arrived
void sched_wait_due(fr_sched *s, uint32_t id);            // its time is over
void sched_load_arrival(fr_sched *s, const fr_record *r);
void sched_load_taken(fr_sched *s, const fr_record *r);   // a wait had ended by an arrival
void sched_poke_due(fr_sched *s, const timer_entry *e);
// A poke ended; true: it said nothing, or may fail, and the call goes on.
bool sched_poke_done(fr_sched *s, uint32_t id, const fr_done *d);
// A poke failed and is made again; delay < 0: as its curve says.
void sched_poke_again(fr_sched *s, uint32_t id, int64_t delay);
bool sched_poke_unasked(fr_sched *s, uint32_t id);        // a poke that ends, whatever is answered

// of sched_replay.c, for reruns
past *sched_past_of_row(const fr_sched *s, uint32_t row);
past_items *sched_items_of(past *p);

// sched_redo.c
void sched_redo_record(const node *n, fr_record *r, fr_hash hashes[64]);   // leaves out the result
fr_hash sched_redo_load(const fr_record *r);              // zero: the record has its result
void sched_redo_adopt(fr_sched *s, node *n, uint32_t id, past *p);
bool sched_redo_ended(fr_sched *s, node *n);              // false: it is no such call
uint32_t sched_output_hashes(const node *n, fr_hash *out);   // sched.c

// sched_rerun.c
bool sched_load_rerun(fr_sched *s, const fr_record *r);   // false: it is something else
// sched_hook.c
enum { SCHED_HOOKS = FR_ASKS(FR_ASK_ON_START) | FR_ASKS(FR_ASK_ON_SUCCESS) |
                     FR_ASKS(FR_ASK_ON_FAILURE) | FR_ASKS(FR_ASK_ON_RETRY) |
                     FR_ASKS(FR_ASK_ON_CANCEL) | FR_ASKS(FR_ASK_ON_SKIP) | FR_ASKS(FR_ASK_UNDO) };
static inline bool sched_keeps_args(const node *n)        // hooks and undo are given them
{
    return n->opts != NULL && (n->opts->asks & SCHED_HOOKS) != 0;
}
void sched_hook_start(fr_sched *s, uint32_t id);          // its first attempt starts
void sched_hook_retry(fr_sched *s, uint32_t id, const fr_value *error);
void sched_hook_end(fr_sched *s, uint32_t id);            // it has ended
void sched_hook_recorded(fr_sched *s, uint32_t id);       // all that, found in the log
void sched_hook_begin(fr_sched *s);                       // the run starts
void sched_hook_done(fr_sched *s, uint32_t id, const fr_done *d);

// sched_alone.c
void sched_load_death(fr_sched *s, const fr_record *r);
void sched_forgive(fr_sched *s);                          // a rerun was asked for
enum { FR_ANY_ITEM = INT32_MAX };
bool sched_is_suspect(const fr_sched *s, fr_hash call, uint32_t item);
fr_value *sched_quarantine(const fr_sched *s, fr_hash call, uint32_t item);   // or NULL
void sched_gate(fr_sched *s, run_attempt *ra);            // to the executor, when it may
void sched_take_back(fr_sched *s, run_attempt *ra);       // what is held
void sched_release(fr_sched *s);                          // what may go now
void sched_returned(fr_sched *s, const run_attempt *ra);
void sched_cancel_attempt(fr_sched *s, run_attempt *ra, int code);

// sched_drain.c
bool sched_drain_hold(fr_sched *s, run_attempt *ra);      // true: it does not start any more
bool sched_drain_back(fr_sched *s, run_attempt *ra, const fr_done *d);    // true: it was given back

// sched_look.c
void sched_look(fr_sched *s);                             // the time has come
void sched_look_later(fr_sched *s);
// Something waits from now on, or for something else.
static inline void sched_will_look(fr_sched *s)
{
    if (FR_UNLIKELY(s->look_fence == 0)) {
        sched_look_later(s);
    }
}

// sched_limit.c
void sched_send(fr_sched *s, run_attempt *ra);            // asks for its slots, then the gate
void sched_limit_drop(fr_sched *s, run_attempt *ra);      // gives back what it asked for
void sched_limit_ends(fr_sched *s, run_attempt *ra);      // the next record gives it back
void sched_limit_ended(fr_sched *s);                      // there was none
void sched_queue_over(fr_sched *s, const timer_entry *e);
bool sched_queue_gave_up(fr_sched *s, run_attempt *ra, const fr_done *d);

// sched_rule.c -- whether what a call waited for lets it run
uint32_t sched_before(const node *n);                     // calls before it, the list included
uint32_t sched_before_at(const node *n, uint32_t i);
bool sched_early(const fr_sched *s, const node *n, uint32_t dep);   // runs though others go on
// Whether it may run now that all have ended (or enough have); else it is ended.
bool sched_let(fr_sched *s, uint32_t id);
void sched_consume(fr_sched *s, uint32_t id);             // its rule ran: failures are handled
void sched_skip(fr_sched *s, uint32_t id, fr_reason why, fr_value *error);   // takes error
fr_value *sched_skip_note(const char *format, ...) FR_PRINTF(1, 2);

// sched_scope.c -- subflows and groups: attempts, stops; deadlines
// Marks beside the numbers of nodes and of the past, in seen_queue and order.
#define BEGIN_MARK (1u << 31)
#define STOP_MARK  (1u << 30)
#define PART_MARK  (1u << 29)              // items of a map have ended (sched_items.c)
#define NO_MARKS   (PART_MARK - 1)
static inline bool is_scope(const node *n)
{
    return n->kind == FR_CALL_FLOW || n->kind == FR_CALL_GROUP;
}
uint32_t sched_scope_stopped(const fr_sched *s, uint32_t branch);   // around it, or FR_NO_NODE
bool sched_inside(const fr_sched *s, uint32_t branch, uint32_t scope);
void sched_scope_opened(fr_sched *s, uint32_t id);        // its attempt has begun
bool sched_scope_again(fr_sched *s, uint32_t id, const fr_value *error);   // false: no retries left
void sched_scope_due(fr_sched *s, uint32_t id);           // the delay before its retry is over
bool sched_scope_goes_on(fr_sched *s, const node *n);
void sched_scope_begin(fr_sched *s, uint32_t id);         // the flow sees its next attempt
void sched_scope_time(fr_sched *s, uint32_t id, uint32_t attempt);   // its timeout is over
void sched_scope_stop(fr_sched *s, uint32_t id);          // the flow sees that
bool sched_scope_early(fr_sched *s, const node *n);       // the log says it is stopped later
void sched_failed_fast(fr_sched *s, uint32_t id);         // this failure was observed
void sched_deadline_set(fr_sched *s, uint32_t id);
void sched_deadline(fr_sched *s, uint32_t id);
fr_value *sched_stop_error(const fr_sched *s, const node *n);

// sched_ask.c -- what follows a failed attempt, and functions given as options
// Whether this failure may be tried again, as far as plain options say; *lost: at the expense
// of the budget for lost processes.
bool sched_may_retry(const fr_sched *s, const node *n, uint32_t attempt, uint32_t lost,
                     const fr_value *error, int code, bool *lost_one);
// Makes ra a question; error may be NULL.
void sched_ask(fr_sched *s, run_attempt *ra, fr_ask ask, const fr_value *error);
const fr_value *sched_asked_about(const run_attempt *ra);  // the failure, borrowed
// Asks the functions, if there are any, whether and when failure n is followed by an attempt.
bool sched_ask_first(fr_sched *s, uint32_t id, uint32_t n, const fr_value *error);
// Reads an answer. FALSE, or an error for people when the function failed or answered nonsense.
bool sched_answer_yes(const fr_value *answer);
bool sched_answer_delay(const fr_value *answer, int64_t *ns);
fr_value *sched_bad_answer(const fr_sched *s, uint32_t id, const run_attempt *ra,
                           const fr_value *error);
void sched_attempt_failed(fr_sched *s, uint32_t id, const fr_value *error, int code);
void sched_answered(fr_sched *s, uint32_t id, const run_attempt *ra, const fr_done *d);
fr_reason sched_reason_of(int code);

// sched_cache.c
bool sched_cache_first(fr_sched *s, uint32_t id);         // true: it need not run yet
void sched_cache_key(fr_sched *s, uint32_t id, const fr_done *d);   // the function answered
void sched_cache_ended(fr_sched *s, uint32_t id);
bool sched_cache_items(fr_sched *s, uint32_t id);         // true: sched_map_found follows
void sched_cache_files(fr_sched *s, uint32_t id, const fr_hash *files);
// found: the item came from the cache.
void sched_cache_keep_item(fr_sched *s, uint32_t id, const fr_item_done *item, uint64_t seq,
                           const fr_found *found);
void sched_cache_free(cache_state *c);

// sched_fallback.c
bool sched_fall_back(fr_sched *s, uint32_t id, const fr_value *error, int code);   // false: none
void sched_fall_back_late(fr_sched *s, uint32_t id);      // its deadline is over; nothing runs
void sched_good_found(fr_sched *s, uint32_t id, fr_found *f);
void sched_keep(fr_sched *s, const fr_kept *k);    // tells the store; not of a diverged run
void sched_keep_good(fr_sched *s, const node *n);

// sched_checkpoint.c
#define CHECKPOINT "checkpoint"                           // name of the records
#define NO_ITEM UINT32_MAX
bool sched_has_checkpoint(fr_sched *s, const node *n, uint32_t item);
void sched_give_checkpoint(fr_sched *s, run_attempt *ra, uint32_t item);

// sched_map.c
static inline bool sched_map_has(const map_state *m, uint32_t i)      // the item is final
{
    return m->have[i >> 3] >> (i & 7) & 1;
}
static inline void sched_map_set(map_state *m, uint32_t i)
{
    m->have[i >> 3] |= (uint8_t)(1u << (i & 7));
}
void sched_map_failure(map_state *m, const fr_item_done *item);       // counts and keeps it
// A row of its own for an item that failed for good or whose result is one.
void sched_map_record_item(fr_sched *s, const node *n, const fr_item_done *item,
                           const fr_value *result, const fr_value *error);
void sched_map_found(fr_sched *s, uint32_t id, fr_found *found, const fr_hash *files);
void sched_map_start(fr_sched *s, uint32_t id);
// Before it starts, or is not to start any more: finds the items that the log has.
void sched_map_recall(fr_sched *s, uint32_t id);
void sched_map_reopen(fr_sched *s, uint32_t id, const past_items *p); // it ended unfinished
void sched_map_done(fr_sched *s, run_attempt *ra, const fr_done *d);
void sched_map_unstarted(fr_sched *s, run_attempt *ra, const fr_value *error);   // it failed so
void sched_map_retry(fr_sched *s, uint32_t id, uint32_t item);   // its delay is over
void sched_map_stop(fr_sched *s, uint32_t id);
void sched_map_free(map_state *m);

// sched_items.c -- the finished items of a map, in the order in which they ended
void sched_items_load(fr_sched *s, past *map, const void *data, size_t size, uint64_t seq);
bool sched_items_load_object(fr_sched *s, const fr_record *r);        // one with its own record
void sched_items_recall(fr_sched *s, uint32_t id, const past_items *p, uint64_t rerun_seq);
void sched_items_adopt(fr_sched *s, uint32_t id, past *p);            // a finished map
// Keeps and records items that have ended. Of one whose record is written: only keeps it.
void sched_items_part(fr_sched *s, uint32_t id, const void *data, size_t size, uint32_t n);
void sched_items_object_ended(fr_sched *s, uint32_t id, const fr_item_done *item);
void sched_items_object(map_state *m, uint32_t i, const fr_value *v); // its result, or NULL
// The flow observes the next part in seen_queue; its place in the log.
void sched_items_seen(fr_sched *s, uint32_t id);
uint64_t sched_items_next_seq(const fr_sched *s);
void sched_items_show(fr_sched *s, uint32_t id, uint64_t cursor);     // what it has passed
bool sched_items_pass(fr_sched *s, const past *p);        // replay; true: a branch may go on
bool sched_items_wake(fr_sched *s, uint32_t id, uint64_t seq);
fr_value *sched_map_result(fr_sched *s, node *n, fr_err *err);

// sched_value.c
fr_value *sched_error(const char *code, const char *format, ...) FR_PRINTF(2, 3);
fr_value *sched_error_final(const char *code, const char *format, ...) FR_PRINTF(2, 3);  // no retry
// Its end record takes the messages of the attempt (core/engine/outbox.h) along.
void sched_take_outbox(fr_sched *s, fr_record *r);
bool sched_field(const fr_value *v, const char *key, fr_item *out);   // of a packed table
bool sched_error_retry(const fr_value *error);            // false when it forbids retries
void sched_error_text(const fr_value *error, char *out, size_t size);   // its message
int sched_error_code(const fr_value *error);
fr_value *sched_slice(const fr_value *v, size_t from, size_t size);   // one nested value
fr_value *sched_element(const fr_value *table, uint32_t k);           // t[k]; nil when absent
fr_value *sched_list(const uint8_t *const *item, const size_t *size, fr_value *const *whole,
                     uint32_t n, fr_err *err);            // builds a table of n values
fr_hash sched_fingerprint(const fr_sched *s, const fr_call *c);
