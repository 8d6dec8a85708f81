#pragma once
// exec_thread -- what exec_thread.c (the engine's side), exec_queue.c (who runs what),
// exec_worker.c (the threads) and exec_stop.c (hard cancel, markers) share. Private to them.
//
// Locks: x->lock guards the queue, the list of idle workers and the cpu account; w->lock
// guards w->batch. Order: x->lock before w->lock. Everything else is atomic, or belongs to
// the engine's thread (M) or to one worker (W).

#include "core/base/map.h"
#include "core/engine/exec.h"
#include "core/engine/mailbox.h"
#include "core/engine/stream.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    EXEC_MAX_WORKERS = 256,
    EXEC_SUSPENDED = 64,                 // bodies that may wait on one worker (D2)
    EXEC_BATCH = 256,                    // items in one batch, at most (D1)
    EXEC_BATCH_NS = 1000000,             // of estimated work in one batch
    EXEC_LONG_NS = 100000,               // a mean above it: one at a time
    EXEC_HELD_NS = 500000,               // a finished result waits for others no longer
    EXEC_RESCUE_MS = 2,                  // then a batch's results and unstarted items are taken
    EXEC_BLOCKING_NS = 20000000,         // without a wait: the task prefers a free worker (D2)
    EXEC_REARM_MS = 100,                 // hard cancel (D3)
    EXEC_STICKY_MS = 2000,
    EXEC_STUCK_MS = 5000,                // until a cancelled attempt counts as stuck
};

// What is known of a task: estimates shared by all workers.
typedef struct exec_stat {
    _Atomic(uint32_t) mean_ns;           // of a body's execution; 0 = unknown
    atomic_bool blocking;
} exec_stat;

typedef struct exec_worker exec_worker;
typedef struct exec_unit exec_unit;

// A part of an attempt that waits: positions [at, end) of a map, or [0, 1) of a single call.
typedef struct exec_span {
    struct exec_span *prev, *next;       // x->lock: queue; w->lock: batch; M: held, local
    exec_unit *u;
    uint32_t at, end;
    bool queued;                         // x->lock
    bool extra;                          // allocated: not the one inside its unit
    _Atomic(exec_worker *) batch;        // whose batch it is in; both locks, or w->lock to leave
} exec_span;

struct exec_unit {                       // an attempt in the executor (a->slot)
    exec_span span;
    fr_attempt *a;
    exec_stat *stat;
    uint32_t tokens;                     // cores it holds while executing
    uint32_t extra;                      // x->lock: spans of it in the queue besides `span`
    atomic_bool announced;               // report_start was sent
    _Atomic(uint32_t) chunks;            // taken by workers and not yet ended
    uint32_t left;                       // M: items not yet delivered
    _Atomic(exec_worker *) worker;       // of a single call: that took it
    int64_t blocked;                     // w->blocked when its time began to count
    bool held, cancelled, stopping, stuck, late;   // M
    int64_t cancel_ns;                   // M: when its cancel began; late: when it is to
    exec_unit *next_stop;                // M: list of attempts being stopped
    exec_unit *next_late;                // M: list of timeouts that are put off
    exec_unit *prev, *next;              // M: all that are in the executor; or spare
};

typedef struct exec_list {
    exec_span *head, *tail;
} exec_list;

typedef struct exec_lane {               // spans of one priority that is not 0, oldest first
    int32_t priority;
    exec_list list;
} exec_lane;

struct exec_worker {
    struct thread_exec *x;
    uint32_t number;
    pthread_t thread;
    pthread_mutex_t lock;
    exec_list batch;                     // w->lock: taken, not started
    _Atomic(uint64_t) range;             // positions of the chunk: next | end << 32
    exec_unit *chunk;                    // w->lock to change
    _Atomic(fr_attempt *) current;       // executing now
    atomic_int interrupt;                // how the next signal interrupts
    atomic_bool look;                    // suspended bodies are to be looked at
    _Atomic(uint32_t) suspended;
    _Atomic(int64_t) blocked;            // ns in which suspended bodies could not go on (D2)
    _Atomic(uint32_t) item;              // of the chunk, executing now
    _Atomic(int64_t) multi_since;        // when a batch of several began; 0 = none
    fr_stream out;                       // results to the engine
    fr_mailbox *box;                     // on the worker's loop; valid while it runs
    struct uv_loop_s *loop;
    fr_body *body;                       // W
    fr_err failed;                       // W: why there is no body
    fr_cancel *outer;                    // W
    int64_t woke_ns;                     // W: when the engine was last woken; wall ns
    uint32_t load;                       // x->lock: cores it holds
    bool several;                        // x->lock: its batch has more than one body
    bool idle;                           // x->lock
    atomic_bool lost;                    // given up with its stuck body
    exec_worker *idle_next;              // x->lock
    fr_marker *marker;                   // NULL = none
};

// A record in the stream from a worker to the engine.
// CHUNK_END: the worker touches the mapped attempt no more for this chunk.
typedef enum exec_kind {
    EXEC_DONE, EXEC_ITEM, EXEC_STARTED, EXEC_CHUNK_END, EXEC_CHECKPOINT,
} exec_kind;
typedef struct exec_record {
    uint32_t size;                       // of the whole record
    uint32_t kind;
    fr_attempt *a;
    union {
        fr_done done;                    // owns one reference to each value
        int64_t wall_ns;
        uint8_t item[1];                 // packed
        struct {
            const fr_value *value;       // owns a reference
            uint32_t item;
        } kept;                          // by fr.checkpoint
    } u;
} exec_record;

typedef struct thread_exec {
    fr_exec_env env;
    fr_mailbox *box;                     // on the engine's loop
    pthread_mutex_t lock;
    exec_list queue;                     // x->lock: of priority 0
    exec_lane *lanes;                    // x->lock: of the others
    uint32_t n_lanes;
    uint64_t queued;                     // x->lock: items in it
    uint32_t spans;                      // x->lock: spans in it
    exec_worker *idle;                   // x->lock: latest first
    uint32_t load, cores;                // x->lock: cores held, of
    uint32_t workers, booting;           // x->lock: threads started, of them not yet ready
    uint32_t most;                       // workers wanted
    exec_worker *worker[EXEC_MAX_WORKERS];
    atomic_bool stopping;
    _Atomic(uint32_t) barriers;          // bodies at the effect barrier
    // M
    fr_map stats;                        // hash of task -> exec_stat *
    exec_list held;                      // effect = true: wait for durability
    exec_list local;                     // ended without a worker
    exec_unit *units;                    // all
    exec_unit *stops;                    // those being cancelled on a worker
    exec_unit *lates;                    // those whose timeout is put off
    exec_unit *spare;
    fr_buf items;                        // of the chunk being delivered
    fr_attempt *chunk;                   // and whose they are
    uint32_t n_items;
    bool delivered;                      // something since the last batch_end
    bool watching;                       // the signal handlers are ours
    struct uv_timer_s *rescue, *rearm, *later;
    uint32_t in_flight;
    fr_marker *markers;                  // mapped file, NULL = none
} thread_exec;

// exec_queue.c
void fr_exec_list_push(exec_list *l, exec_span *s);
void fr_exec_list_remove(exec_list *l, exec_span *s);
// Queues a span and wakes a worker. Returns how many more threads would be of use.
uint32_t fr_exec_queue_push(thread_exec *x, exec_span *s, bool front);
// Moves what no worker has started of an attempt to the list `out`.
void fr_exec_queue_remove(thread_exec *x, exec_unit *u, exec_list *out);
// The same, and what is left of the chunks that workers have of it.
void fr_exec_queue_recall(thread_exec *x, exec_unit *u, exec_list *out);
bool fr_exec_queue_take(exec_worker *w);                // false: w is now on the idle list
exec_unit *fr_exec_queue_next(exec_worker *w);          // of the batch of single calls
void fr_exec_queue_put_back(exec_worker *w);            // what it has not started
void fr_exec_queue_forget(exec_worker *w);              // as put_back; it will take nothing more
// Takes unstarted parts of slow batches back while a worker is idle. True while any worker
// has a batch of several. *more: another thread would be of use.
bool fr_exec_queue_rescue(thread_exec *x, int64_t now, bool *more);

void fr_exec_queue_fini(thread_exec *x);                // no worker is left

// exec_worker.c
FR_NODISCARD int fr_exec_worker_start(thread_exec *x, uint32_t number, fr_err *err);
void fr_exec_worker_look(exec_worker *w);               // any thread
void fr_exec_worker_free(exec_worker *w);               // its thread has been joined

// exec_stop.c
FR_NODISCARD int fr_exec_stop_open(thread_exec *x, fr_err *err);
void fr_exec_stop_watch(thread_exec *x, bool on);       // signal handlers, ours or as they were
void fr_exec_stop_close(thread_exec *x, bool stuck);    // stuck: a thread is left behind
void fr_exec_stop_enroll(exec_worker *w);               // this thread is that worker
void fr_exec_stop_leave(void);
void fr_exec_stop_clear(exec_worker *w);                // it executes nothing now
// Interrupts every worker that executes a now; returns whether one does.
bool fr_exec_stop_kick(thread_exec *x, const fr_attempt *a, int how);
