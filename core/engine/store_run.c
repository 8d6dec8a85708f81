// Runs of a store: beginning, resuming, ending; what a run holds besides its rows.

#include "core/base/mem.h"
#include "core/engine/store_sqlite.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { FULL_WAIT_NS = 50000000 };

typedef struct run_call {
    fr_store_run *run;
    const fr_run_info *info;
    uint64_t id;
    const char *kind, *json;
} run_call;

static fr_store_run *new_run(fr_store *s, uint64_t id)
{
    fr_store_run *r = fr_zalloc(sizeof *r);
    r->store = s;
    r->id = id;
    r->lock_fd = r->wake_fd = -1;
    fr_map_init(&r->running);
    return r;
}

static void drop_run(fr_store_run *r)
{
    if (r->logging) {
        fr_log_close(&r->log);
    }
    fr_wake_close(r->store, r->id, r->wake_fd);
    fr_run_lock_release(r->store, r->id, r->lock_fd);
    fr_map_fini(&r->running);
    fr_free(r);
}

// What a run holds besides rows: its lock, its socket, its log.
static int hold(fr_store *s, fr_store_run *r, bool fresh, fr_err *err)
{
    int rc = fr_run_lock_take(s, r->id, &r->lock_fd, err);
    if (rc == FR_OK) {
        rc = fr_wake_open(s, r->id, &r->wake_fd, err);
    }
    if (rc == FR_OK) {
        r->logging = true;
        rc = fr_log_open(&r->log, s, r->id, fresh, err);
    }
    return rc;
}

static void add_run(fr_store *s, fr_store_job *job)
{
    fr_store_run *r = ((run_call *)job->ctx)->run;
    r->next = s->runs;
    s->runs = r;
}

static int do_begin(fr_store *s, fr_store_job *job, fr_err *err)
{
    run_call *c = job->ctx;
    int rc = fr_write_run_begin(s, c->info, c->run, err);
    return rc == FR_OK ? hold(s, c->run, true, err) : rc;
}

int fr_store_run_begin(fr_store *s, const fr_run_info *info, fr_store_run **out, fr_err *err)
{
    *out = NULL;
    run_call c = {.run = new_run(s, 0), .info = info};
    fr_store_job job = {.run = do_begin, .committed = add_run, .transact = true, .ctx = &c};
    int rc = fr_store_call(s, &job, err);
    if (rc != FR_OK) {
        drop_run(c.run);
        return rc;
    }
    *out = c.run;
    return FR_OK;
}

static int do_resume(fr_store *s, fr_store_job *job, fr_err *err)
{
    return fr_write_run_resume(s, ((run_call *)job->ctx)->run, err);
}

int fr_store_run_resume(fr_store *s, uint64_t id, fr_store_run **out, fr_err *err)
{
    fr_err local = FR_ERR_INIT;
    err = err != NULL ? err : &local;
    *out = NULL;
    if (id == 0 || id > INT32_MAX) {
        return fr_fail(err, FR_ENOTFOUND, "there is no run %llu in %s", (unsigned long long)id,
                       s->home);
    }
    if (!s->threaded) {
        return fr_fail(err, FR_ESTATE, "the store is open for looking only");
    }
    run_call c = {.run = new_run(s, id), .id = id};
    int rc = hold(s, c.run, false, err);
    if (rc == FR_OK) {
        rc = fr_run_reaper_wait(s, id, err);
    }
    if (rc == FR_OK) {
        fr_store_job job = {.run = do_resume, .committed = add_run, .transact = true, .ctx = &c};
        rc = fr_store_call(s, &job, err);
    }
    if (rc != FR_OK) {
        drop_run(c.run);
        return rc;
    }
    c.run->appended = c.run->disk_seq;
    atomic_store(&c.run->durable, c.run->disk_seq);
    *out = c.run;
    return FR_OK;
}

uint64_t fr_store_run_id(const fr_store_run *r) { return r->id; }

void fr_store_run_reaper(const fr_store_run *r, char *out, size_t size)
{
    char path[FR_STORE_PATH];
    fr_store_path(r->store, path, "runs/%llu.reaper", (unsigned long long)r->id);
    (void)snprintf(out, size, "%s", path);
}

uint64_t fr_store_durable(const fr_store_run *r)
{
    return atomic_load_explicit(&r->durable, memory_order_acquire);
}

int fr_store_run_wakeup_fd(const fr_store_run *r) { return r->wake_fd; }

bool fr_store_run_alive(fr_store *s, uint64_t run, int *pid)
{
    return fr_run_lock_probe(s, run, pid);
}

static void forget_run(fr_store *s, fr_store_run *r)
{
    for (fr_store_run **at = &s->runs; *at != NULL; at = &(*at)->next) {
        if (*at == r) {
            *at = r->next;
            break;
        }
    }
}

static int do_forget(fr_store *s, fr_store_job *job, fr_err *err)
{
    fr_store_run *r = ((run_call *)job->ctx)->run;
    int rc = fr_log_write(&r->log, s, r->id, err);
    if (rc == FR_OK) {                         // what came while the disk was full
        rc = fr_log_write(&r->log, s, r->id, err);
    }
    if (rc != FR_EFULL) {
        forget_run(s, r);
    }
    return rc;
}

void fr_store_run_close(fr_store_run *r)
{
    if (r == NULL) {
        return;
    }
    fr_store *s = r->store;
    run_call c = {.run = r};
    // Jobs wait for all that was queued before them.
    fr_store_job job = {.run = do_forget, .ctx = &c};
    int rc = fr_store_call(s, &job, NULL);
    while (rc == FR_EFULL) {                   // its log is not complete; that was told
        (void)nanosleep(&(struct timespec){.tv_nsec = FULL_WAIT_NS}, NULL);
        job = (fr_store_job){.run = do_forget, .ctx = &c};
        rc = fr_store_call(s, &job, NULL);
    }
    if (rc != FR_OK) {
        fr_store_pause(s, true);               // the thread stands still: nothing uses the list
        forget_run(s, r);
        fr_store_pause(s, false);
    }
    drop_run(r);
}

static int do_request(fr_store *s, fr_store_job *job, fr_err *err)
{
    run_call *c = job->ctx;
    return fr_write_request(s, c->id, c->kind, c->json, err);
}

int fr_store_request_put(fr_store *s, uint64_t run, const char *kind, const char *json,
                         fr_err *err)
{
    run_call c = {.id = run, .kind = kind, .json = json};
    fr_store_job job = {.run = do_request, .transact = true, .ctx = &c};
    int rc = fr_store_call(s, &job, err);
    if (rc == FR_OK) {
        fr_wake_send(s, run);
    }
    return rc;
}
