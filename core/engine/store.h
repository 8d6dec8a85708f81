#pragma once
// store -- what is durable: runs, records, results, logs, requests (engine.md A2, E).
//
// One fr_store per process. Its thread owns the one writing connection and commits in
// natural groups: take all that is queued, commit, publish the durable sequence number,
// repeat. Calls come from the engine's thread unless said otherwise.

#include "core/engine/cache.h"
#include "core/engine/limit.h"
#include "core/engine/outbox.h"
#include "core/engine/record.h"

typedef struct fr_store fr_store;
typedef struct fr_store_run fr_store_run;       // one run this process owns (holds its lock)

typedef struct fr_store_env {
    const char *home;                           // directory; made when absent (0700)
    bool read_only;                             // look-ups only: no thread, no locks for writing
    bool relaxed;                               // synchronous=NORMAL instead of FULL
    fr_object_kinds kinds;
    // Called on the store thread: everything of `run` up to seq is on disk.
    void (*durable)(void *ctx, fr_store_run *run, uint64_t seq);
    // (optional) Called on the store thread: something became of asks of `run`; the engine
    // calls fr_store_slots.
    void (*slots)(void *ctx, fr_store_run *run);
    // The store thread cannot go on (failed fsync, damage): stop acknowledging and exit.
    // FR_EFULL is not fatal: it is reported once, commits are retried until space returns
    // (then called again with FR_OK).
    void (*trouble)(void *ctx, int code, const fr_err *err);
    void *ctx;
} fr_store_env;

typedef struct fr_run_info {
    uint64_t id;
    const char *flow;                           // "storm_prep"
    const char *file;                           // as the user named it, made absolute
    fr_hash bundle;
    const fr_value *params;
    uint64_t seed;
    fr_state state;
    fr_reason reason;
    uint32_t attempt;                           // 1 + number of resumes and reruns
    int64_t started, ended;                     // wall ns
    const fr_value *result, *error;
    const char *options;                        // JSON: durable mode, tags, description
} fr_run_info;

FR_NODISCARD int fr_store_open(const fr_store_env *env, fr_store **out, fr_err *err);
// Commits everything queued, joins the thread. Runs must have been closed.
FR_NODISCARD int fr_store_close(fr_store *s, fr_err *err);

// Inserts a run (state RUNNING), takes its lock, writes its pid; info->id is ignored.
FR_NODISCARD int fr_store_run_begin(fr_store *s, const fr_run_info *info, fr_store_run **out,
                                    fr_err *err);
// Takes the lock of an existing run (FR_EBUSY names the pid that holds it), waits for an
// old reaper's lock, removes START rows of dead attempts. Marks it RUNNING again.
FR_NODISCARD int fr_store_run_resume(fr_store *s, uint64_t id, fr_store_run **out, fr_err *err);
uint64_t fr_store_run_id(const fr_store_run *r);
// Path of the lock file of the run's reaper (core/engine/reaper.h).
void fr_store_run_reaper(const fr_store_run *r, char *out, size_t size);
// Releases lock and socket after everything of the run is durable.
void fr_store_run_close(fr_store_run *r);

// Queues a record (copied, values referenced). Handed to the thread by fr_store_flush.
void fr_store_append(fr_store_run *r, const fr_record *record);
// Queues the run's end or another change of its row (state, reason, result, error, ended).
void fr_store_run_update(fr_store_run *r, const fr_run_info *info);
void fr_store_flush(fr_store *s);
// pause: returns when the thread is between commits and holds no lock; it stays so until
// called with false. For SIGTSTP: a stopped process must not keep others from the store.
void fr_store_pause(fr_store *s, bool pause);
uint64_t fr_store_durable(const fr_store_run *r);        // any thread
size_t fr_store_backlog(const fr_store *s);              // bytes queued, for back-pressure
// Writes a line to the run's log segments (any thread). Returns its offset in the run's log.
uint64_t fr_store_log(fr_store_run *r, uint32_t row, uint32_t item, uint32_t attempt, int level,
                      const char *text, size_t n);

// --- reading (own read-only connection; snapshots are short) ---
// The records of a run in log order; the callback's pointers live during the call only
// (reference values to keep them). Objects in results are loaded through env->kinds.
typedef int (*fr_record_fn)(void *ctx, const fr_record *record, fr_err *err);
FR_NODISCARD int fr_store_records(fr_store *s, uint64_t run, fr_record_fn fn, void *ctx,
                                  fr_err *err);
// As above from place `from` on, only records whose bit 1 << type is set in `types` (0 = all).
// What is running now comes last, as START records with seq 0. Not to be called from fn.
FR_NODISCARD int fr_store_scan(fr_store *s, uint64_t run, unsigned types, uint64_t from,
                               fr_record_fn fn, void *ctx, fr_err *err);
typedef int (*fr_run_fn)(void *ctx, const fr_run_info *info, fr_err *err);
// Newest first; run = 0 for all; at most `limit`.
FR_NODISCARD int fr_store_runs(fr_store *s, uint64_t run, size_t limit, fr_run_fn fn, void *ctx,
                               fr_err *err);
bool fr_store_run_alive(fr_store *s, uint64_t run, int *pid);   // its lock is held

// Lines of a run's log from offset *from on, in order of writing; *from moves behind the last
// complete line that was accepted. fn returns FR_OK, or a code that ends the reading.
typedef struct fr_log_line {
    uint64_t offset;
    int64_t time_us;                            // wall
    uint32_t row, item, attempt;
    int level;
    const char *text;
    size_t n;
} fr_log_line;
typedef int (*fr_log_fn)(void *ctx, const fr_log_line *line, fr_err *err);
FR_NODISCARD int fr_store_log_read(fr_store *s, uint64_t run, uint64_t *from, fr_log_fn fn,
                                   void *ctx, fr_err *err);

// Removes files of values and objects that no row names and that are older than `age_s`
// (at least the hour within which a file may be waiting for its row; tests use less).
typedef struct fr_store_gc_result {
    uint64_t files, bytes, kept;
} fr_store_gc_result;
enum { FR_STORE_GC_AGE_S = 3600 };
FR_NODISCARD int fr_store_gc(fr_store *s, int64_t age_s, fr_store_gc_result *out, fr_err *err);

// Recomputes the audit chain of a run and of all runs' anchors: FR_ECORRUPT says where
// something is not as it was recorded.
FR_NODISCARD int fr_store_audit(fr_store *s, uint64_t run, fr_err *err);

typedef struct fr_store_stats {
    uint64_t runs, tasks, journal, map_parts, running, requests;   // rows
    uint64_t database_bytes, wal_bytes;
} fr_store_stats;
FR_NODISCARD int fr_store_stat(fr_store *s, fr_store_stats *out, fr_err *err);

// --- results that later calls find by their key (store_sqlite_cache.c) ---
// Queues an entry behind the record that it is of.
void fr_store_keep(fr_store_run *r, const fr_kept *k);
// Looks for keys[0 .. l->n - 1] (l->keys completed by the files' content). Every found[i] is
// set; the code is FR_OK, or that of the last result that cannot be read.
FR_NODISCARD int fr_store_find(fr_store *s, const fr_lookup *l, const fr_hash *keys,
                               fr_found *found, fr_err *err);
typedef int (*fr_cache_fn)(void *ctx, uint64_t run, const fr_kept *k, fr_err *err);
// The entries of a run in log order (task = NULL), or those of a task before record `before`
// of `run`, newest first.
FR_NODISCARD int fr_store_cache_rows(fr_store *s, uint64_t run, const char *task, uint64_t before,
                                     size_t limit, fr_cache_fn fn, void *ctx, fr_err *err);

// --- bundles: content-addressed sources ---
FR_NODISCARD int fr_store_blob_put(fr_store *s, fr_hash key, const void *bytes, size_t n,
                                   fr_err *err);
FR_NODISCARD int fr_store_blob_get(fr_store *s, fr_hash key, fr_buf *out, fr_err *err);

// --- requests to a run: first a row, then an empty datagram that says "look" ---
FR_NODISCARD int fr_store_request_put(fr_store *s, uint64_t run, const char *kind,
                                      const char *json, fr_err *err);
// A descriptor that becomes readable when there is something to look for (for uv_poll).
int fr_store_run_wakeup_fd(const fr_store_run *r);
// Requests not yet given to this process. They are taken for good when a REQUEST record whose
// row is their id is committed, or the run's end is; before that the next start hears them again.
typedef void (*fr_request_fn)(void *ctx, uint64_t id, const char *kind, const char *json);
FR_NODISCARD int fr_store_requests(fr_store_run *r, fr_request_fn fn, void *ctx, fr_err *err);

// --- limits (core/engine/limit.h): what an attempt asks for, and who has it ---

// An ask is a row before its attempt starts. It ends with the record that names it (fr_record
// .slot), or by a release. A slot counts only while its run's lock is held.
void fr_store_slot_ask(fr_store_run *r, const fr_slot_ask *a);
void fr_store_slot_release(fr_store_run *r, uint32_t ask);
// Removes dead owners and gives out what is free: a time has come, an owner has died.
void fr_store_slot_look(fr_store_run *r);
bool fr_store_slots_moved(fr_store_run *r);      // since the last call, fr_store_slots is due
// Asks of the run that have been answered, also those of before. refused: "" or why it can
// never be had. *next: wall ns at which a rate lets somebody start; INT64_MAX = none waits so.
typedef void (*fr_slot_fn)(void *ctx, uint32_t ask, const char *refused);
FR_NODISCARD int fr_store_slots(fr_store_run *r, fr_slot_fn fn, void *ctx, int64_t *next,
                                fr_err *err);
// The other runs that use limits, which those that wait watch.
typedef void (*fr_slot_run_fn)(void *ctx, uint64_t run);
FR_NODISCARD int fr_store_slot_runs(fr_store_run *r, fr_slot_run_fn fn, void *ctx, fr_err *err);
// Where a run lives; 0: it is dead and its reaper still kills its children; -1: dead.
int fr_store_run_pid(fr_store *s, uint64_t run);
// Sets capacity, rate and period of limit what->name, which is made when absent. A script's
// word does not change a command's.
FR_NODISCARD int fr_store_limit_set(fr_store *s, const fr_limit *what, fr_err *err);
FR_NODISCARD int fr_store_limit_remove(fr_store *s, const char *name, fr_err *err);
typedef int (*fr_limit_fn)(void *ctx, const fr_limit *l, fr_err *err);
FR_NODISCARD int fr_store_limits(fr_store *s, fr_limit_fn fn, void *ctx, fr_err *err);
typedef struct fr_slot_info {
    const char *limit, *name;                   // name: of the task
    uint64_t run;
    uint32_t row, n, ask;
    int priority;
    int64_t since, granted;                     // wall ns; granted 0: it waits
} fr_slot_info;
typedef int (*fr_slot_info_fn)(void *ctx, const fr_slot_info *slot, fr_err *err);
// By limit; holders before waiters, these in the order in which they will be served.
FR_NODISCARD int fr_store_slot_list(fr_store *s, size_t limit, fr_slot_info_fn fn, void *ctx,
                                    fr_err *err);

// --- messages to other systems (core/engine/outbox.h), rows made by the record they came with ---

// A row is delivered by its owner: the run it came from or, when that run's process is dead, a
// run that took it over. It is the owner's only while the owner's lock is held.
typedef struct fr_outbox_row {
    uint64_t id, run, seq, owner;               // run, seq: the record it came with
    uint32_t n, attempts;                       // n: which of that record's, from 1
    fr_outbox_state state;
    int64_t due, made, changed;                 // wall ns
    const char *task, *name, *key, *error;      // error of the latest attempt
    const void *message;
    size_t size;
} fr_outbox_row;
typedef int (*fr_outbox_fn)(void *ctx, const fr_outbox_row *row, fr_err *err);
// Of a run (0 = all) or one (id > 0), of the states whose bit 1 << state is set, oldest first.
FR_NODISCARD int fr_store_outbox(fr_store *s, uint64_t run, uint64_t id, unsigned states,
                                 size_t limit, fr_outbox_fn fn, void *ctx, fr_err *err);
// Pending ones that r owns and that are due at `now`; *next: when others will be (INT64_MAX).
FR_NODISCARD int fr_store_outbox_due(fr_store_run *r, int64_t now, size_t limit, fr_outbox_fn fn,
                                     void *ctx, int64_t *next, fr_err *err);
bool fr_store_outbox_left(const fr_store_run *r);   // somebody's were pending when it began
// Takes over what dead owners have left. Both return the number of the entry;
// fr_store_outbox_done tells which is on disk (env.slots is called then).
uint64_t fr_store_outbox_adopt(fr_store_run *r);
uint64_t fr_store_outbox_set(fr_store_run *r, const fr_outbox_row *row);   // id, state … error
uint64_t fr_store_outbox_done(fr_store_run *r);
// A person's word: dead or dropped ones are tried again, from the start; pending or dead ones are
// dropped; FR_OUTBOX_DELIVERED: all pending ones are due now. FR_ENOTFOUND: no such row.
FR_NODISCARD int fr_store_outbox_change(fr_store *s, uint64_t id, fr_outbox_state to, fr_err *err);
