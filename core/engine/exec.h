#pragma once
// exec -- where task attempts run.
//
// The engine thread fills an fr_attempt and calls start; the executor calls env->done on the
// engine thread: once per single attempt, once per chunk of a mapped attempt (the final one
// has `last`). Nothing here assumes a shared address space: an attempt is (bundle hash, task
// name, packed arguments).

#include "core/base/cancel.h"
#include "core/data/value.h"
#include "core/engine/item.h"

typedef struct fr_exec fr_exec;
struct fr_store_run;
struct fr_attempt;
struct fr_body_ops;
struct uv_loop_s;

// The executors, as numbers in options and attempts (the table is in exec.c).
typedef enum fr_exec_kind { FR_EXEC_THREAD, FR_EXEC_PROCESS, FR_EXEC_KINDS } fr_exec_kind;

// The code of a run, as every worker loads it (made once; lives as long as the run).
typedef struct fr_code {
    fr_hash bundle;
    const char *name;            // flow name, for messages
    const void *sources;         // the bundle, packed by lua/flowrun/bundle.lua
    size_t size;
    uint64_t run;                // run id, 0 outside a store
    uint64_t seed;
    struct fr_store_run *log;    // where fr_store_log lines go; NULL = stderr
    struct fr_reaper *reaper;    // starts the children of its tasks (core/engine/reaper.h)
    const fr_value *params;
    struct fr_late *late;        // modules that bodies require (core/engine/late.h); NULL = none
    uint32_t flow_attempt;
    _Atomic(uint64_t) durable;   // everything of this run up to here is on disk
    // Takes log lines instead of `log`, where there is no store; any thread. NULL: `log`.
    // Returns the line's offset.
    uint64_t (*line)(void *ctx, const struct fr_attempt *a, uint32_t item, int level,
                     const char *text, size_t n);
    void *line_ctx;
} fr_code;

enum { FR_LEADS = 2 };
typedef struct fr_lead {         // an argument of an option function before the task's own
    const fr_value *value;
    bool error;                  // it is pushed as an error object
} fr_lead;

typedef struct fr_attempt {
    // set by the engine, constant while the attempt lives
    fr_code *code;
    const char *task;            // "module:name"
    // NULL: the body; else the function given as this option: "fallback", "cache.key". It is
    // called with the lead values, then the task's arguments.
    const char *option;
    fr_lead lead[FR_LEADS];
    uint32_t n_lead;
    uint32_t row, attempt, fence;
    fr_hash key;                 // idempotency key of effects: (run, key)
    const fr_value *args;        // a packed table of n_args arguments (nil-padded: use n_args)
    uint32_t n_args, n_outputs;  // n_outputs: 1, or the number of named outputs
    fr_value *const *deps;       // values for handle slots
    uint32_t n_deps;
    const fr_value *checkpoint;  // what an earlier attempt kept with fr.checkpoint; or NULL
    uint64_t need;               // effects wait until code->durable >= need (engine.md D5)
    uint32_t cpu;                // resources.cpu, >= 1
    int32_t priority;            // who is first, see fr_limit_rank; with `queued`
    uint64_t memory;             // resources.memory in bytes, 0 = not given
    uint32_t gpu;                // resources.gpu
    uint64_t gpus;               // which ones it has (gpu.h); set before start
    uint64_t resident, peak;     // of the process when it began (run_memory.h)
    fr_exec_kind where;          // which executor it is for
    bool effect, report_start;   // report_start: env->started is wanted (timeout, progress)
    bool aside;                  // not the scheduler's: a delivery (core/engine/run_outbox.c)
    // a mapped task: items of one list; args are the constants that follow the item
    const fr_value *list;        // NULL for a single call
    const uint64_t *offsets;     // byte offset of item i in list->bytes (one more at the end)
    const fr_hash *item_args;    // args hash per item, copied into fr_item_done.args
    const uint32_t *duplicates;  // per item; NULL = all zero
    const uint32_t *indexes;     // items to run; NULL = first .. first + count - 1
    uint32_t first, count;       // with indexes: positions in it
    bool tuples;                 // items are lists of arguments
    int64_t queued;              // wall ns; item times count from here
    void *owner;                 // the engine's
    // the executor's
    fr_cancel cancel;
    void *slot;
    struct fr_attempt *next;
} fr_attempt;

typedef struct fr_done {
    int code;                    // FR_OK or the error's code
    const fr_value *result;      // of several outputs: a table of them; NULL on failure
    const fr_value *error;       // {code=, message=, where=, traceback=, retry=}
    const fr_value *outbox;      // a text: messages (core/engine/outbox.h); NULL = none
    int64_t started, ended;      // wall ns
    int64_t cpu_ns;              // CPU time of the body
    uint64_t log_from, log_to;
    // a mapped attempt: finished items (core/engine/item.h); done is called per chunk
    const void *items;
    size_t size;
    uint32_t n_items;
    uint32_t index;              // of the item, when a mapped item's result is in `result`
    bool last;                   // no further done for this attempt
} fr_done;

typedef struct fr_exec_env {
    struct uv_loop_s *loop;      // the engine's
    struct fr_mailbox *mailbox;  // the one of that loop; NULL: the executor opens its own
    const struct fr_body_ops *bodies;   // what Lua implements; core contains no Lua
    const void *bodies_config;   // handed to each fr_body; lives as long as the executor
    uint32_t workers;            // 0 = one per core
    fr_object_kinds kinds;       // what a process may send back
    // How to start this program as reaper and as worker process; NULL: it cannot be.
    const char *const *reaper_argv, *const *worker_argv;
    const char *marker;          // shared-memory marker file for D4; NULL = none
    // Of a hard cancel: when it turns sticky, when the attempt counts as stuck. 0: 2 s, 5 s.
    uint32_t sticky_ms, stuck_ms;
    void (*started)(void *ctx, fr_attempt *a, int64_t wall_ns);   // only when report_start
    void (*done)(void *ctx, fr_attempt *a, const fr_done *d);     // borrows d's pointers
    // (optional) A body keeps v for its next attempt (item: of a map). Before its done.
    void (*checkpoint)(void *ctx, fr_attempt *a, uint32_t item, const fr_value *v);
    void (*batch_end)(void *ctx);                // after a group of done/started calls
    // a worker is stuck beyond hard cancel: the engine executes itself anew (D3)
    void (*stuck)(void *ctx, fr_attempt *a);
    void *ctx;
} fr_exec_env;

typedef struct fr_exec_ops {
    const char *name;                                        // as in task{ executor = "…" }
    int (*open)(fr_exec **out, const fr_exec_env *env, fr_err *err);
    void (*start)(fr_exec *x, fr_attempt *a);                // takes it into the queue
    // Best effort; done still follows. code is FR_ECANCELLED or FR_ETIMEOUT. Items of a
    // mapped attempt that did not start come back as FR_ITEM_CANCELLED.
    void (*cancel)(fr_exec *x, fr_attempt *a, int code);
    // (optional) What of it no worker has begun comes back as cancelled; what runs goes on.
    void (*recall)(fr_exec *x, fr_attempt *a);
    void (*durable)(fr_exec *x);                             // some code->durable moved on
    uint32_t (*running)(fr_exec *x);                         // attempts on a worker now
    // (optional) Gives the thread of a stuck attempt up: another takes its place, done
    // follows with FR_ELOST. Its memory is never freed. For processes that hold a session.
    void (*abandon)(fr_exec *x, fr_attempt *a);
    // (optional) The run has ended: lets go of what is kept for it, its reaper first of all.
    void (*forget)(fr_exec *x, fr_code *code);
    // (optional) From the first run's start to the last one's end: may catch signals. With
    // false the process's handlers are again what they were.
    void (*watch)(fr_exec *x, bool on);
    void (*close)(fr_exec *x);                               // waits for workers to end
} fr_exec_ops;

extern const fr_exec_ops fr_exec_thread, fr_exec_process;
const fr_exec_ops *fr_exec_at(fr_exec_kind kind);
// For executors: an error {code=, message=}, and the item at position `at` that did not run.
fr_value *fr_exec_error(int code, const char *message);
fr_item_done fr_exec_item_cancelled(const fr_attempt *a, uint32_t at);
int fr_exec_find(const char *name);              // its kind; -1 when there is none

// What Lua implements (lua/bind/body.c): one fr_body per worker thread, used only there.
typedef struct fr_body fr_body;
typedef struct fr_body_env {
    struct uv_loop_s *loop;      // the worker's own
    // Around every stretch of execution. enter returns false when the attempt is cancelled
    // already: do not start its body, but resume a suspended one, with the error. leave tells
    // how long the stretch was and how many bodies it served. The results of a stretch are
    // sent after its leave, except those of the chunk that start was given.
    bool (*enter)(void *ctx, fr_attempt *a, uint32_t item);
    void (*leave)(void *ctx, fr_attempt *a, int64_t ns, uint32_t n);
    // A single attempt has ended; or an item whose result refers to objects (n_items = 1,
    // index). References are taken.
    void (*done)(void *ctx, fr_attempt *a, const fr_done *d);
    // An item of a mapped attempt has ended; its bytes are copied.
    void (*item)(void *ctx, fr_attempt *a, const fr_item_done *item);
    // The next item of the chunk given to start: its number in the list. False: none is left
    // for this worker. now: fr_clock_wall_ns.
    bool (*claim)(void *ctx, fr_attempt *a, int64_t now, uint32_t *index);
    // Set while bodies wait at the effect barrier (D5).
    void (*barrier)(void *ctx, bool waiting);
    // (optional) Keeps v for the next attempt of the call, or of the item. A reference is taken.
    void (*checkpoint)(void *ctx, fr_attempt *a, uint32_t item, const fr_value *v);
    void *ctx;
    const void *config;          // fr_exec_env.bodies_config
    uint32_t worker;
} fr_body_env;

enum { FR_INTERRUPT_ONCE = 1, FR_INTERRUPT_STICKY = 2 };

typedef struct fr_body_ops {
    int (*open)(fr_body **out, const fr_body_env *env, fr_err *err);
    // Runs the body until it ends or waits. When it ends env->done is called (perhaps before
    // this returns). Of a mapped attempt: items as claimed, until none is left.
    void (*start)(fr_body *b, fr_attempt *a);
    // Looks at the suspended bodies: those whose attempt's cancel flag is set are resumed
    // with the error, those at the barrier whose need is durable go on.
    void (*look)(fr_body *b);
    void (*idle)(fr_body *b);                                // (optional) nothing is to be run
    uint32_t (*waiting)(fr_body *b);                         // suspended bodies
    // Calls fn for each suspended body. For abandon, while the worker is stuck in C code.
    void (*each)(fr_body *b, void (*fn)(void *ctx, fr_attempt *a, uint32_t item), void *ctx);
    // From a signal handler on the worker's thread between enter and leave (in TSan builds
    // from another thread): raise FR_ECANCELLED or FR_ETIMEOUT in what runs now.
    void (*interrupt)(fr_body *b, int how);
    void (*close)(fr_body *b);                               // nothing runs or waits
} fr_body_ops;

// The marker file (D4): one per worker, in shared memory that survives the process.
typedef struct fr_marker {
    uint64_t run;
    fr_hash key;                 // of the call; item means nothing unless `mapped`
    uint32_t row, attempt, item, mapped;
    uint32_t busy;               // 1: this attempt was on a CPU
    int32_t signal;              // the fatal signal its thread got; 0 = none (SIGKILL, power)
} fr_marker;
// Reads what a dead process left: markers with busy set. Returns their number, at most `most`.
uint32_t fr_marker_read(const char *path, fr_marker *out, uint32_t most);
