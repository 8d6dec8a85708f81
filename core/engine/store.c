// The store: opening, its thread and natural group commit. What is queued while one commit
// is on its way makes up the next one; there is no artificial delay.

#include "core/engine/store.h"

#include "core/base/clock.h"
#include "core/base/fault.h"
#include "core/base/mem.h"
#include "core/base/sys.h"
#include "core/engine/store_sqlite.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <time.h>
#include <unistd.h>

enum {
    RETRY_MS = 10, RETRY_MAX_MS = 1000,        // disk full, or locked by a foreign program
    LOG_RETRY_MS = 100,
    SLOW_MS = 2000,                            // a wait for the store's lock that is told
    SHARE_NS = 5 * 1000 * 1000,                // of a commit, others waiting
    SHARE_ROWS = 128,                          // how often that is checked
    CLOSE_WAL_PAGES = 256,                     // 1 MiB: makes the next start slower
    KEEP_BYTES = 1 << 20,                      // of a queue buffer that has been emptied
};

void fr_store_path(const fr_store *s, char out[FR_STORE_PATH], const char *format, ...)
{
    size_t n = (size_t)snprintf(out, FR_STORE_PATH, "%s/", s->home);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(out + n, FR_STORE_PATH - n, format, args);
    va_end(args);
}

// --- one commit ---

static void trouble(fr_store *s, int code, const fr_err *err)
{
    if (s->env.trouble != NULL) {
        s->env.trouble(s->env.ctx, code, err);
    }
}

// Nothing is written or acknowledged from here on.
static void give_up(fr_store *s, int code, const fr_err *err)
{
    (void)pthread_mutex_lock(&s->mutex);
    s->fatal_err = *err;
    atomic_store(&s->fatal, code);
    (void)pthread_mutex_unlock(&s->mutex);
    trouble(s, code, err);
}

static void report_full(fr_store *s, int code, const fr_err *err)
{
    if (!s->full) {
        s->full = true;
        trouble(s, code, err);
    }
}

static const fr_queued *entry_at(const fr_store *s, size_t offset)
{
    return (const fr_queued *)(const void *)(s->work.data + offset);
}

// Writes entries until the share of this commit is used up or one is not ready yet.
static int write_entries(fr_store *s, size_t *end, fr_err *err)
{
    int64_t began = fr_clock_mono_ns();
    size_t at = s->work_at;
    bool shared = fr_store_lock_wanted(s->locks);
    int rc = FR_OK;
    fr_buf_clear(&s->starts);
    fr_slot_begin(s);
    for (unsigned rows = 0; at < s->work.size && rows < FR_STORE_ROWS; rows++) {
        if (rows % SHARE_ROWS == SHARE_ROWS - 1) {
            shared = shared || fr_store_lock_wanted(s->locks);
            if (shared && fr_clock_mono_ns() - began > SHARE_NS) {
                break;
            }
        }
        const fr_queued *q = entry_at(s, at);
        if ((shared && rows >= FR_STORE_ROWS_SHARED) || at - s->work_at > FR_STORE_BYTES ||
            (q->files != NULL && !fr_files_ready(q->files))) {
            break;
        }
        rc = fr_write_entry(s, q, at, err);
        if (rc != FR_OK) {
            return rc;
        }
        at += q->size;
    }
    *end = at;
    return fr_write_end(s, err);
}

static void release_range(const fr_buf *b, size_t at, size_t end)
{
    while (at < end) {
        const fr_queued *q = (const fr_queued *)(const void *)(b->data + at);
        at += q->size;
        if (q->result != NULL || q->error != NULL || q->files != NULL) {
            fr_queued_release(q);
        }
    }
}

static void release_entries(fr_store *s, size_t end)
{
    release_range(&s->work, s->work_at, end);
    (void)atomic_fetch_sub(&s->backlog, end - s->work_at);
    s->work_at = end;
    if (s->work_at == s->work.size) {
        s->work_at = 0;
        fr_buf_clear(&s->work);
        if (s->work.capacity > 64 * KEEP_BYTES) {
            fr_buf_fini(&s->work);
        }
    }
}

static void publish(fr_store *s)
{
    (void)FR_FAULT("store.durable.before");
    for (fr_store_run *r = s->runs; r != NULL; r = r->next) {
        if (r->batch_seq > atomic_load_explicit(&r->durable, memory_order_relaxed)) {
            atomic_store_explicit(&r->durable, r->batch_seq, memory_order_release);
            if (s->env.durable != NULL) {
                s->env.durable(s->env.ctx, r, r->batch_seq);
            }
        }
        bool outbox = r->outbox_batch > atomic_load_explicit(&r->outbox_done, memory_order_relaxed);
        if (outbox) {
            atomic_store(&r->outbox_done, r->outbox_batch);
        }
        if (outbox && s->env.slots != NULL) {
            s->env.slots(s->env.ctx, r);
        }
        if (r->slots_news) {
            r->slots_news = false;
            atomic_store(&r->slots_moved, true);
            if (s->env.slots != NULL) {
                s->env.slots(s->env.ctx, r);
            }
        }
    }
    fr_slot_tell(s);
}

// A job inside the transaction: its failure undoes only what it did itself.
static int run_job(fr_store *s, fr_store_job *job, fr_err *err)
{
    int rc = fr_db_run(s->db, FR_SQL_SAVEPOINT, err);
    if (rc != FR_OK) {
        return rc;
    }
    job->rc = job->run(s, job, &job->err);
    if (job->rc != FR_OK) {
        rc = fr_db_run(s->db, FR_SQL_SAVEPOINT_BACK, err);
    }
    return rc == FR_OK ? fr_db_run(s->db, FR_SQL_SAVEPOINT_END, err) : rc;
}

// The commit before it holds whatever a checkpoint does, unless a sync failed.
static void checkpointed(fr_store *s, int rc, const fr_err *err)
{
    if (rc == FR_EFULL || rc == FR_EBUSY) {
        report_full(s, rc, err);
    } else if (rc != FR_OK) {
        give_up(s, rc, err);
    }
}

// Everything under the store's lock. *end is behind the last entry that is now on disk.
static int commit(fr_store *s, fr_store_job *job, size_t *end, fr_err *err)
{
    int rc = fr_store_lock_take(s->locks, err);
    if (rc != FR_OK) {
        return rc;
    }
    rc = fr_db_begin(s->db, err);
    if (rc == FR_OK) {
        rc = write_entries(s, end, err);
    }
    if (rc == FR_OK && job != NULL && *end == s->work.size) {
        rc = run_job(s, job, err);
        job->ran = rc == FR_OK;
    }
    if (rc == FR_OK) {
        rc = fr_db_commit(s->db, err);
    }
    if (rc != FR_OK) {
        fr_db_rollback(s->db);
        fr_store_lock_release(s->locks);
        return rc;
    }
    if (s->db->wal_new >= FR_STORE_WAL_PAGES) {
        fr_err late = FR_ERR_INIT;
        checkpointed(s, fr_db_checkpoint(s->db, false, &late), &late);
    }
    fr_store_lock_release(s->locks);
    return FR_OK;
}

// The WAL outgrows its limit when some reader's snapshot always stands in the way.
static int cut_wal(fr_store *s, fr_err *err)
{
    int rc = fr_store_lock_readers(s->locks, true, err);
    if (rc != FR_OK) {
        return rc;
    }
    rc = fr_store_lock_take(s->locks, err);
    if (rc == FR_OK) {
        rc = fr_db_checkpoint(s->db, true, err);
        fr_store_lock_release(s->locks);
    }
    fr_store_lock_readers_release(s->locks);
    return rc;
}

// True when the store is being closed meanwhile.
static bool pause_a_little(fr_store *s)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    s->retry_ms = FR_MIN(FR_MAX(2 * s->retry_ms, RETRY_MS), RETRY_MAX_MS);
    until.tv_nsec += s->retry_ms * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    (void)pthread_mutex_lock(&s->mutex);
    s->sleeping = s->idle = true;
    (void)pthread_cond_broadcast(&s->done);
    int e = 0;
    while ((e == 0 && !s->stop) || s->paused) {
        e = s->paused ? pthread_cond_wait(&s->wake, &s->mutex)
                      : pthread_cond_timedwait(&s->wake, &s->mutex, &until);
    }
    s->sleeping = s->idle = false;
    bool stop = s->stop;
    (void)pthread_mutex_unlock(&s->mutex);
    return stop;
}

// After a failed commit: the same entries are tried again when that makes sense.
static void recover(fr_store *s, int rc, fr_err *err)
{
    if (rc != FR_EFULL && rc != FR_EBUSY) {
        give_up(s, rc, err);
        return;
    }
    report_full(s, rc, err);
    if (pause_a_little(s)) {
        give_up(s, rc, err);
        return;
    }
    // A commit that reported an error may have happened: what is there decides.
    rc = fr_write_reload(s, err);
    if (rc != FR_OK && rc != FR_EFULL && rc != FR_EBUSY) {
        give_up(s, rc, err);
    }
}

// --- the thread ---

static void finish_job(fr_store *s, fr_store_job *job)
{
    (void)pthread_mutex_lock(&s->mutex);
    s->jobs = job->next;
    s->jobs_tail = s->jobs == NULL ? &s->jobs : s->jobs_tail;
    job->done = true;
    (void)pthread_cond_broadcast(&s->done);
    (void)pthread_mutex_unlock(&s->mutex);
}

static void write_logs(fr_store *s)
{
    if (!atomic_exchange_explicit(&s->log_dirty, false, memory_order_acq_rel)) {
        return;
    }
    bool stuck = false;
    fr_err err = FR_ERR_INIT;
    for (fr_store_run *r = s->runs; r != NULL; r = r->next) {
        int rc = fr_log_write(&r->log, s, r->id, &err);
        if (rc != FR_OK) {                     // lines are kept, up to a limit
            stuck = true;
            report_full(s, FR_EFULL, &err);
        }
    }
    if (s->log_stuck && !stuck && s->retry_ms == 0 && s->full) {
        s->full = false;
        trouble(s, FR_OK, &err);
    }
    s->log_stuck = stuck;
}

// Sleeps until woken; lines that the disk did not take are tried again now and then.
static void wait_for_work(fr_store *s)
{
    if (!s->log_stuck) {
        (void)pthread_cond_wait(&s->wake, &s->mutex);
        return;
    }
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += LOG_RETRY_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    (void)pthread_cond_timedwait(&s->wake, &s->mutex, &until);
    atomic_store(&s->log_dirty, true);
}

// Commits what is ready, with the job at its end when there is nothing before it.
static void commit_some(fr_store *s, fr_store_job *job)
{
    fr_err err = FR_ERR_INIT;
    size_t end = s->work_at;
    job = job != NULL && job->transact ? job : NULL;
    if (job != NULL) {
        job->ran = false;
    }
    int rc = commit(s, job, &end, &err);
    if (rc != FR_OK) {
        if (job != NULL && s->work.size == 0 && (rc == FR_EFULL || rc == FR_EBUSY)) {
            job->rc = rc;                      // somebody waits: let them decide
            job->err = err;
            finish_job(s, job);
        }
        recover(s, rc, &err);
        return;
    }
    s->retry_ms = 0;
    if (s->full && !s->log_stuck) {
        s->full = false;
        trouble(s, FR_OK, &err);
    }
    publish(s);
    release_entries(s, end);
    if (job != NULL && job->ran) {
        if (job->rc == FR_OK && job->committed != NULL) {
            job->committed(s, job);
        }
        finish_job(s, job);
    }
    if (s->db->wal_new >= FR_STORE_WAL_PAGES_MAX) {
        checkpointed(s, cut_wal(s, &err), &err);
    }
}

static bool held_back(const fr_store *s)
{
    const fr_queued *q = entry_at(s, s->work_at);
    return q->files != NULL && !fr_files_ready(q->files);
}

// Takes what the engine handed over once the last batch is used up. Called with the mutex.
static void take_ready(fr_store *s)
{
    if (s->work.size == 0 && s->ready.size > 0) {
        fr_buf empty = s->work;
        s->work = s->ready;
        s->ready = empty;
        s->work_at = 0;
    }
}

static bool something_to_do(const fr_store *s)
{
    if (atomic_load(&s->log_dirty) || s->stop) {
        return true;
    }
    if (atomic_load(&s->fatal) != FR_OK) {
        return s->jobs != NULL;
    }
    if (s->paused) {
        return false;
    }
    return s->work.size > 0 ? !held_back(s) : s->jobs != NULL;
}

static void fail_job(fr_store *s, fr_store_job *job)
{
    job->rc = atomic_load(&s->fatal);
    job->err = s->fatal_err;
    finish_job(s, job);
}

static void *store_thread(void *arg)
{
    fr_store *s = arg;
    for (;;) {
        (void)pthread_mutex_lock(&s->mutex);
        take_ready(s);
        s->idle = true;
        (void)pthread_cond_broadcast(&s->done);
        while (!something_to_do(s)) {
            s->sleeping = true;
            wait_for_work(s);
            s->sleeping = false;
            take_ready(s);
        }
        s->idle = false;
        fr_store_job *job = s->jobs;
        bool dead = atomic_load(&s->fatal) != FR_OK;
        bool over = s->stop && job == NULL && (dead || s->work.size == 0);
        (void)pthread_mutex_unlock(&s->mutex);
        write_logs(s);
        if (over) {
            return NULL;
        }
        if (dead) {
            if (job != NULL) {
                fail_job(s, job);
            }
        } else if (s->work.size > 0 ? !held_back(s) : job != NULL && job->transact) {
            commit_some(s, job);
        } else if (s->work.size == 0 && job != NULL) {
            job->rc = job->run(s, job, &job->err);
            finish_job(s, job);
        }
    }
}

void fr_store_wake(fr_store *s)
{
    (void)pthread_mutex_lock(&s->mutex);
    if (s->sleeping) {
        (void)pthread_cond_signal(&s->wake);
    }
    (void)pthread_mutex_unlock(&s->mutex);
}

int fr_store_call(fr_store *s, fr_store_job *job, fr_err *err)
{
    if (!s->threaded) {
        return fr_fail(err, FR_ESTATE, "the store is open for looking only");
    }
    job->done = false;
    job->next = NULL;
    job->rc = FR_OK;
    job->err = (fr_err)FR_ERR_INIT;
    fr_store_flush(s);
    (void)pthread_mutex_lock(&s->mutex);
    *s->jobs_tail = job;
    s->jobs_tail = &job->next;
    (void)pthread_cond_signal(&s->wake);
    while (!job->done) {
        (void)pthread_cond_wait(&s->done, &s->mutex);
    }
    (void)pthread_mutex_unlock(&s->mutex);
    if (job->rc != FR_OK && err != NULL) {
        *err = job->err;
    }
    return job->rc;
}

void fr_store_flush(fr_store *s)
{
    if (s->front.size == 0) {
        return;
    }
    (void)atomic_fetch_add(&s->backlog, s->front.size);
    (void)pthread_mutex_lock(&s->mutex);
    if (s->ready.size == 0) {
        fr_buf empty = s->ready;
        s->ready = s->front;
        s->front = empty;
    } else {
        fr_buf_put(&s->ready, s->front.data, s->front.size);
        FR_ASSERT(!s->ready.failed);
    }
    if (s->sleeping) {
        (void)pthread_cond_signal(&s->wake);
    }
    (void)pthread_mutex_unlock(&s->mutex);
    fr_buf_clear(&s->front);
}

size_t fr_store_backlog(const fr_store *s)
{
    return atomic_load_explicit(&s->backlog, memory_order_relaxed) + s->front.size;
}

void fr_store_pause(fr_store *s, bool pause)
{
    (void)pthread_mutex_lock(&s->mutex);
    s->paused = pause;
    if (!pause) {
        (void)pthread_cond_signal(&s->wake);
    }
    while (pause && s->threaded && !s->idle) {
        (void)pthread_cond_wait(&s->done, &s->mutex);
    }
    (void)pthread_mutex_unlock(&s->mutex);
}

// --- opening and closing ---

static void slow_lock(void *ctx, int pid, const char *what)
{
    fr_store *s = ctx;
    fr_err err = FR_ERR_INIT;
    (void)fr_fail(&err, FR_EBUSY, "waiting for the store: process %d (%s) holds it for over 2 s",
                  pid, what);
    trouble(s, FR_EBUSY, &err);
}

static int another_home(int rc, fr_err *err)
{
    fr_err before = *err;
    return fr_fail(err, rc, "%s; use another folder with --home DIR", before.text);
}

// For looking only, a folder that cannot be written needs no locks: nothing cuts its WAL.
static int open_locks(fr_store *s, fr_err *err)
{
    int rc = fr_store_lock_open(s->home, slow_lock, SLOW_MS, s, &s->locks, err);
    bool cannot = rc == FR_EIO && access(s->home, W_OK) != 0;
    if (cannot && s->env.read_only) {
        *err = (fr_err)FR_ERR_INIT;
        return FR_OK;
    }
    return cannot ? another_home(rc, err) : rc;
}

static int open_home(fr_store *s, fr_err *err)
{
    if (strlen(s->home) > FR_STORE_PATH - 128) {
        return fr_fail(err, FR_ELIMIT, "the path of the home folder is too long (%zu bytes)",
                       strlen(s->home));
    }
    struct statfs fs;
    if (s->env.read_only) {
        if (statfs(s->home, &fs) != 0 || access(s->path, F_OK) != 0) {   // leave no trace there
            return fr_fail(err, FR_ENOTFOUND, "there are no runs yet: %s does not exist",
                           statfs(s->home, &fs) != 0 ? s->home : s->path);
        }
    } else {
        int rc = fr_sys_mkdirs(s->home, 0700, err);
        if (rc != FR_OK) {
            return another_home(rc, err);
        }
        if (statfs(s->home, &fs) != 0) {
            return fr_fail_errno(err, FR_EIO, "looking at %s", s->home);
        }
    }
    return fr_store_home_check(s->home, (long)fs.f_type, err);
}

static int start(fr_store *s, fr_err *err)
{
    int rc = open_home(s, err);
    if (rc == FR_OK) {
        rc = open_locks(s, err);
    }
    if (rc != FR_OK) {
        return rc;
    }
    if (s->env.read_only) {
        return fr_db_open(s, true, &s->reader, err);
    }
    rc = fr_db_open(s, false, &s->db, err);
    char runs[FR_STORE_PATH];
    fr_store_path(s, runs, "runs");
    if (rc == FR_OK) {
        rc = fr_sys_mkdir(runs, 0700, err);
    }
    if (rc == FR_OK) {
        s->files = fr_files_new(s);
        int e = pthread_create(&s->thread, NULL, store_thread, s);
        s->threaded = e == 0;
        if (e != 0) {
            errno = e;
            rc = fr_fail_errno(err, FR_EIO, "starting the thread of the store");
        }
    }
    return rc;
}

static void destroy(fr_store *s)
{
    fr_files_free(s->files);
    fr_db_close(s->reader);
    fr_db_close(s->db);
    fr_store_lock_close(s->locks);
    fr_buf_fini(&s->front);
    fr_buf_fini(&s->ready);
    fr_buf_fini(&s->work);
    fr_buf_fini(&s->starts);
    fr_buf_fini(&s->scratch);
    fr_slot_fini(s);
    fr_map_fini(&s->names);
    for (uint32_t i = 0; i < s->n_names; i++) {
        fr_free(s->name_texts[i]);
    }
    for (uint32_t i = 0; i < s->name_ids_room; i++) {
        fr_free(s->name_known[i]);
    }
    fr_free(s->name_texts);
    fr_free(s->name_known);
    fr_free(s->name_ids);
    (void)pthread_cond_destroy(&s->wake);
    (void)pthread_cond_destroy(&s->done);
    (void)pthread_mutex_destroy(&s->mutex);
    fr_free(s->home);
    fr_free(s->path);
    fr_free(s);
}

int fr_store_open(const fr_store_env *env, fr_store **out, fr_err *err)
{
    fr_err local = FR_ERR_INIT;
    err = err != NULL ? err : &local;
    *out = NULL;
    fr_store *s = fr_zalloc(sizeof *s);
    s->env = *env;
    s->home = fr_strdup(env->home);
    s->env.home = s->home;
    s->path = fr_alloc(strlen(s->home) + sizeof "/flowrun.db");
    (void)snprintf(s->path, strlen(s->home) + sizeof "/flowrun.db", "%s/flowrun.db", s->home);
    (void)pthread_mutex_init(&s->mutex, NULL);
    pthread_condattr_t attr;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&s->wake, &attr);
    (void)pthread_condattr_destroy(&attr);
    (void)pthread_cond_init(&s->done, NULL);
    s->jobs_tail = &s->jobs;
    fr_buf *const buffers[] = {&s->front, &s->ready, &s->work, &s->starts, &s->scratch};
    for (size_t i = 0; i < FR_COUNT(buffers); i++) {
        fr_buf_init(buffers[i], SIZE_MAX / 4);
    }
    fr_map_init(&s->names);
    int rc = start(s, err);
    if (rc != FR_OK) {
        destroy(s);
        return rc;
    }
    *out = s;
    return FR_OK;
}

// Leaves a short WAL: whoever opens the store first has to read all of it.
static int tidy_up(fr_store *s, fr_err *err)
{
    if (s->db->wal_pages < CLOSE_WAL_PAGES) {
        return FR_OK;
    }
    int rc = fr_store_lock_take(s->locks, err);
    if (rc == FR_OK) {
        rc = fr_db_checkpoint(s->db, true, err);
        fr_store_lock_release(s->locks);
    }
    return rc;
}

int fr_store_close(fr_store *s, fr_err *err)
{
    if (s == NULL) {
        return FR_OK;
    }
    fr_err local = FR_ERR_INIT;
    err = err != NULL ? err : &local;
    int rc = FR_OK;
    if (s->threaded) {
        fr_store_flush(s);
        (void)pthread_mutex_lock(&s->mutex);
        s->stop = true;
        s->paused = false;
        (void)pthread_cond_signal(&s->wake);
        (void)pthread_mutex_unlock(&s->mutex);
        (void)pthread_join(s->thread, NULL);
        rc = atomic_load(&s->fatal);
        if (rc != FR_OK) {
            *err = s->fatal_err;
            release_range(&s->work, s->work_at, s->work.size);
            release_range(&s->ready, 0, s->ready.size);
        } else {
            rc = tidy_up(s, err);
        }
    }
    destroy(s);
    return rc;
}
