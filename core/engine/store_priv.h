#pragma once
// store_priv -- what the files of the store share; nobody else includes it.
//
// Threads: fields marked E belong to the engine's thread, T to the store's thread, M are
// guarded by `mutex`, C are constant while the store is open. Entries travel from the engine
// to the thread in one byte buffer: `front` (E) is swapped with `ready` (M) by a flush, and
// `ready` with `work` (T) when the thread takes it; nothing is copied twice or allocated for
// one record unless its values are large.

#include "core/base/buf.h"
#include "core/base/hash.h"
#include "core/base/map.h"
#include "core/engine/store.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    FR_STORE_SCHEMA = 4,                       // PRAGMA user_version
    FR_STORE_INLINE = 64 * 1024,               // larger values become files
    FR_STORE_COPY = 2048,                      // larger values are referenced in the queue
    FR_STORE_PATH = 1024,                      // bytes of a path, home included
    FR_STORE_OUTPUTS = 256,                    // named outputs of one task
    FR_STORE_ROWS = 4000,                      // of one commit, nobody waiting
    FR_STORE_ROWS_SHARED = 1000,               // of one commit, others waiting
    FR_STORE_BYTES = 8 << 20,                  // of one commit
    FR_STORE_WAL_PAGES = 4096,                 // 16 MiB: checkpoint
    FR_STORE_WAL_PAGES_MAX = 16384,            // 64 MiB: keep readers out and checkpoint
    FR_STORE_LOG_SEGMENT = 64 << 20,           // bytes of a log file
    FR_STORE_LOG_BUFFER = 64 << 20,            // lines beyond it are dropped, and counted
};

typedef struct fr_db fr_db;                    // store_sqlite.h
typedef struct fr_files fr_files;              // store_object.c
typedef struct fr_files_job fr_files_job;

// --- the queue (store_queue.c) ---

typedef enum fr_entry { FR_ENTRY_RECORD, FR_ENTRY_NAME, FR_ENTRY_RUN, FR_ENTRY_BLOB,
                       FR_ENTRY_SLOT, FR_ENTRY_CACHE, FR_ENTRY_OUTBOX } fr_entry;

// Types of SLOT entries.
enum { FR_SLOT_ASK = 1, FR_SLOT_RELEASE, FR_SLOT_LOOK };

// How a value is stored. Bits.
enum { FR_STORED_FILE = 1, FR_STORED_OBJECTS = 2 };

typedef struct fr_queued {
    uint32_t size;                             // of the whole entry; a multiple of 8
    uint8_t entry, type, kind, state, reason;
    uint8_t result_how, error_how;             // FR_STORED_*
    bool has_result, has_error, has_label;
    uint32_t row, attempt;
    uint32_t slot;                             // ask whose slots this record gives back; 0 = none
    uint32_t name;                             // index of the process, not of the database
    uint32_t items, failed_items, parent;
    uint32_t n_outputs, label_size;
    size_t result_size, error_size, data_size;
    fr_store_run *run;
    uint64_t seq;
    fr_hash key, args;
    int64_t queued, started, ended, due;
    uint64_t log_from, log_to;
    const fr_value *result, *error;            // referenced, or NULL when the bytes follow
    fr_files_job *files;                       // held back until done; or NULL
    // Behind it: label, outputs (16 bytes each), result, error, data. RUN: see fr_queued_run.
} fr_queued;

// The parts that follow an entry, or that it refers to.
typedef struct fr_queued_parts {
    const char *label;
    const uint8_t *outputs, *result, *error, *data;
} fr_queued_parts;

fr_queued_parts fr_queued_open(const fr_queued *q);
void fr_queued_release(const fr_queued *q);    // drops references
void fr_queue_cache(fr_store_run *r, const fr_kept *k, uint64_t origin);

// --- files of values and objects (store_object.c) ---

// kind 0: a packed value; else the object's kind.
void fr_store_object_path(const fr_store *s, uint8_t kind, fr_hash hash, char out[FR_STORE_PATH]);
fr_files *fr_files_new(fr_store *s);
void fr_files_free(fr_files *f);               // waits for the helpers
// Starts writing what the values need; NULL when they need no file.
fr_files_job *fr_files_start(fr_files *f, const fr_value *result, const fr_value *error);
bool fr_files_ready(const fr_files_job *job);
// T, under the store's lock: marks the files as used just now, writes again what is gone.
int fr_files_touch(fr_files *f, fr_files_job *job, fr_err *err);
void fr_files_done(fr_files_job *job);         // frees it
// Writes in the calling thread; returns FR_STORED_* bits in *how.
int fr_files_save(fr_files *f, const fr_value *v, uint8_t *how, fr_err *err);
uint8_t fr_files_how(const fr_value *v);

// --- locks (store_lock.c) ---

typedef void (*fr_lock_slow_fn)(void *ctx, int pid, const char *what);
typedef struct fr_store_lock fr_store_lock;
// slow is called, on a thread of its own, once per wait that lasts longer than slow_ms.
int fr_store_lock_open(const char *home, fr_lock_slow_fn slow, int slow_ms, void *ctx,
                       fr_store_lock **out, fr_err *err);
void fr_store_lock_close(fr_store_lock *l);
int fr_store_lock_take(fr_store_lock *l, fr_err *err);
bool fr_store_lock_wanted(fr_store_lock *l);   // somebody waits for it
void fr_store_lock_release(fr_store_lock *l);
int fr_store_lock_readers(fr_store_lock *l, bool exclusive, fr_err *err);
void fr_store_lock_readers_release(fr_store_lock *l);

int fr_store_home_check(const char *home, long filesystem, fr_err *err);   // statfs f_type
int fr_run_lock_take(const fr_store *s, uint64_t id, int *fd, fr_err *err);
bool fr_run_lock_probe(const fr_store *s, uint64_t id, int *pid);
bool fr_run_reaper_probe(const fr_store *s, uint64_t id);   // children are being killed
void fr_run_lock_release(const fr_store *s, uint64_t id, int fd);
int fr_run_reaper_wait(const fr_store *s, uint64_t id, fr_err *err);

// --- wake-up sockets (store_wake.c) ---

int fr_wake_open(const fr_store *s, uint64_t id, int *fd, fr_err *err);
void fr_wake_close(const fr_store *s, uint64_t id, int fd);
void fr_wake_send(const fr_store *s, uint64_t id);
void fr_wake_drain(int fd);

// --- logs (store_log.c) ---

typedef struct fr_log {
    pthread_mutex_t mutex;
    fr_buf lines;                              // not yet written
    uint64_t end;                              // offset behind the last line, written or not
    uint64_t dropped;
    fr_buf writing;                            // T
    uint64_t written, segment;                 // T: offset on disk, start of the open segment
    int fd;                                    // T
} fr_log;

// fresh: the run is new, and what lies there is of another database.
int fr_log_open(fr_log *l, const fr_store *s, uint64_t run, bool fresh, fr_err *err);
int fr_log_write(fr_log *l, const fr_store *s, uint64_t run, fr_err *err);   // T
void fr_log_close(fr_log *l);

// --- runs and the store ---

struct fr_store_run {
    fr_store *store;
    fr_store_run *next;                        // M
    uint64_t id;
    int lock_fd, wake_fd;
    uint64_t appended;                         // E: last seq queued
    uint64_t request_seen;                     // E
    atomic_ullong durable;
    uint64_t batch_seq, disk_seq;              // T: last seq of this batch; already there
    uint8_t chain[FR_SHA256_SIZE];             // T: last seal of the audit chain
    fr_sha256_state audit;                     // T: of this batch
    bool audited;                              // T: it has records that are not sealed
    fr_map running;                            // T: rows with a START
    bool limited, slots_news;                  // T: it has asked for slots; to be told
    uint64_t outbox_sent, outbox_batch;        // E: entries queued; T: the last one written
    atomic_ullong outbox_done;                 // the last one on disk
    bool outbox_waits;                         // C: others had left messages when it began
    atomic_bool slots_moved;                   // the engine shall look at its asks
    bool logging;                              // the log is open
    fr_log log;
};

typedef struct fr_store_job fr_store_job;
struct fr_store_job {
    int (*run)(fr_store *s, fr_store_job *job, fr_err *err);   // on the thread
    void (*committed)(fr_store *s, fr_store_job *job);         // (optional) then, when transact
    bool transact;                             // inside a write transaction
    bool ran;                                  // T: the transaction has it
    bool done;                                 // M
    int rc;
    fr_err err;
    void *ctx;
    fr_store_job *next;
};

// What the asks and releases of one batch lead to (store_sqlite_limit.c).
typedef struct fr_slot_batch {
    int64_t *limits;                           // to be settled
    uint64_t *runs;                            // of other processes, to be woken
    uint64_t *probed;                          // run << 1, lowest bit: alive
    uint32_t n_limits, limits_room, n_runs, runs_room, n_probed, probed_room;
} fr_slot_batch;

typedef struct fr_name_slot {
    const char *pointer;                       // as the caller passed it last
    uint32_t index;
} fr_name_slot;

enum { FR_STORE_NAME_SLOTS = 64 };

struct fr_store {
    fr_store_env env;                          // C
    char *home, *path;                         // C: folder, database file
    fr_store_lock *locks;
    fr_files *files;
    pthread_t thread;
    bool threaded;                             // C
    // engine
    fr_buf front;
    fr_map names;                              // hash of the text -> index
    char **name_texts;
    uint32_t n_names, name_room;
    fr_name_slot name_slots[FR_STORE_NAME_SLOTS];
    fr_db *reader;                             // E: opened at the first look-up
    // shared
    pthread_mutex_t mutex;
    pthread_cond_t wake, done;
    fr_buf ready;
    fr_store_job *jobs, **jobs_tail;
    fr_store_run *runs;
    bool stop, sleeping, paused, idle;
    atomic_bool log_dirty, files_moved;
    atomic_size_t backlog;
    atomic_int fatal;                          // code; nothing is written any more
    fr_err fatal_err;                          // set before `fatal`
    // thread
    fr_db *db;
    fr_buf work;
    size_t work_at;
    fr_buf starts;                             // offsets of START entries of this batch
    fr_buf scratch;
    fr_slot_batch slots;
    uint64_t *name_ids;                        // index -> id in the database, 0 = unknown
    char **name_known;                         // index -> text
    uint32_t name_ids_room;
    bool full;                                 // reported
    int retry_ms;
    bool log_stuck;                            // T: some lines wait for space
};

FR_NODISCARD int fr_store_call(fr_store *s, fr_store_job *job, fr_err *err);
void fr_store_wake(fr_store *s);
void fr_store_path(const fr_store *s, char out[FR_STORE_PATH], const char *format, ...)
    FR_PRINTF(3, 4);
