#pragma once
// exec_process -- what exec_process.c (who runs what), exec_process_worker.c (one worker
// process) and exec_process_cause.c (why it died) share. Private to them.
//
// Everything belongs to the engine's thread, except that a worker which is `preparing` lends
// its attempt and its map `sent` to a thread of libuv's pool until that has ended.

#include "core/base/map.h"
#include "core/engine/child.h"
#include "core/engine/exec_wire.h"
#include "core/engine/mailbox.h"

#include <uv.h>

enum {
    PROC_MAX_WORKERS = 256,
    PROC_STICKY_MS = 2000,           // a cancelled attempt that goes on is killed then
    PROC_IDLE_MS = 10000,            // a worker without work is let go
    PROC_MOST_RUNS = 1000,           // attempts of one process, at most
    PROC_GROWTH = 256 << 20,         // bytes that it may have grown since its first attempt
    PROC_OBJECT_BYTES = 256 << 20,   // of objects that a worker is given to keep
    PROC_TAIL = 160,                 // bytes of its last words
    PROC_LINE = 16 * 1024,
};

typedef struct process_exec process_exec;
typedef struct proc_worker proc_worker;

typedef struct proc_unit {           // an attempt in the executor (a->slot)
    fr_attempt *a;
    uint64_t serial;
    uint32_t at, end;                // positions that wait
    uint32_t left;                   // not delivered
    uint32_t flight;                 // with workers
    int code;                        // of its cancel; 0
    bool announced, queued, recalled; // recalled: what no worker has is given back
    struct proc_unit *prev, *next;               // in the queue
    struct proc_unit *all_prev, *all_next;
} proc_unit;

typedef struct proc_home {           // what is kept for a run
    struct proc_home *next;
    fr_code *code;
    fr_children *children;           // NULL: not yet, or lost
} proc_home;

struct proc_worker {
    proc_worker *next;
    process_exec *x;
    proc_home *home;
    fr_child *child;
    int fd;
    uv_poll_t *poll;
    wire_packet *out, **out_end;     // to be sent
    proc_unit *u;                    // NULL: idle
    uint32_t at, index;              // of a map: the position, the item
    uint64_t call;                   // serial of the attempt it knows
    fr_map sent, got;                // hash -> 1; hash -> fr_object *
    size_t sent_bytes;
    int64_t sent_ns, started_ns;     // wall, of this attempt; started 0: not told yet
    int64_t kill_ns, idle_ns;        // monotonic; 0: none
    bool preparing, hung_up, killed, retire, ended;
    fr_child_end end;
    uint64_t log_from, log_to;
    uint32_t runs;
    uint64_t first_bytes;            // memory at its first answer
    fr_buf line[2];
    char tail[PROC_TAIL];
};

struct process_exec {
    fr_exec_env env;
    fr_mailbox *box;
    uint32_t most, cores, load;
    uint64_t serial;
    proc_unit *head, *tail;          // queue
    proc_unit *units;                // all
    proc_home *homes;
    proc_worker *workers;
    uint32_t n_workers, preparing, in_flight;
    uv_timer_t *timer;               // kills and idle workers
    bool delivered, closing;
    wire_in in;
};

// exec_process.c
void proc_deliver(process_exec *x, proc_unit *u, fr_done *d);
void proc_answered(proc_worker *w);              // its attempt is over; it is idle now
void proc_gone(proc_worker *w);                  // it has ended: frees it
void proc_turn(process_exec *x);                 // starts what can start; ends the batch
void proc_arm(process_exec *x);

// exec_process_worker.c
FR_NODISCARD int proc_worker_new(process_exec *x, proc_home *home, proc_worker **out,
                                 fr_err *err);
void proc_worker_free(proc_worker *w);
void proc_worker_run(proc_worker *w);            // its unit's attempt, or item `index`
void proc_worker_tell(proc_worker *w, wire_type type, uint64_t value);
void proc_worker_kill(proc_worker *w);
// Outcome of an attempt whose process has ended or was never there (w NULL).
void proc_worker_fail(process_exec *x, proc_worker *w, proc_unit *u, uint32_t at, int code,
                      fr_value *error);

// exec_process_cause.c
// {code, message, signal …} of a worker that died while it ran something.
fr_value *proc_cause(const proc_worker *w, int *code);
// {code = no_memory …} of one that came to its limit; before: what it said itself.
fr_value *proc_no_memory(const proc_worker *w, uint64_t peak, const fr_value *before);
