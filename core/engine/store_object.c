// Content-addressed files of large values and of objects (frames, models …), engine.md E6.
//
// A file is written under a temporary name, synced, renamed and its folder synced before the
// row that names it is committed: helpers do that while the engine goes on, and the entry in
// the queue is held back until they are done. Whether a job failed does not matter to them:
// the committer touches each file under the store's lock and writes again what is not there.

#include "core/base/mem.h"
#include "core/base/sys.h"
#include "core/engine/store_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HELPERS = 2 };

struct fr_files_job {
    fr_files_job *next;
    const fr_value *values[2];
    atomic_bool ready;
};

struct fr_files {
    fr_store *store;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    fr_files_job *head, **tail;
    pthread_t threads[HELPERS];
    unsigned started, idle;
    bool stop;
    atomic_ulong serial;                       // of temporary names
};

void fr_store_object_path(const fr_store *s, uint8_t kind, fr_hash hash, char out[FR_STORE_PATH])
{
    char hex[FR_HASH_TEXT];
    fr_hash_text(hash, hex);
    const fr_object_ops *ops = kind != 0 ? fr_object_kind(s->env.kinds, kind) : NULL;
    char number[16];
    (void)snprintf(number, sizeof number, "kind%u", kind);
    fr_store_path(s, out, "objects/%.2s/%s.%s", hex, hex,
                  kind == 0 ? "value" : ops != NULL ? ops->name : number);
}

uint8_t fr_files_how(const fr_value *v)
{
    return (uint8_t)((v->size > FR_STORE_INLINE ? FR_STORED_FILE : 0) |
                     (v->objects > 0 ? FR_STORED_OBJECTS : 0));
}

// --- one file ---

static int write_value(const char *path, const fr_value *v, fr_err *err)
{
    int fd;
    int rc = fr_sys_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600, &fd, err);
    if (rc == FR_OK) {
        rc = fr_sys_write(fd, v->bytes, v->size, path, err);
    }
    if (rc == FR_OK) {
        rc = fr_sys_sync(fd, path, err);
    }
    fr_sys_close(fd);
    return rc;
}

static int write_object(const char *path, const fr_object *o, fr_err *err)
{
    int rc = o->ops->save(o, path, err);
    int fd = -1;
    if (rc == FR_OK) {
        rc = fr_sys_open(path, O_RDONLY, 0, &fd, err);
    }
    if (rc == FR_OK) {
        rc = fr_sys_sync(fd, path, err);
    }
    fr_sys_close(fd);
    return rc;
}

// Writes one file at `path` (objects/aa/…); exactly one of v and o is given.
static int publish(fr_files *f, const char *path, const fr_value *v, const fr_object *o,
                   fr_err *err)
{
    char folder[FR_STORE_PATH], temporary[FR_STORE_PATH + 48], parent[FR_STORE_PATH];
    (void)snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(path, '/') - path), path);
    struct stat st;
    if (stat(path, &st) == 0) {                // another process may not have synced it yet
        return fr_sys_sync_dir(folder, err);
    }
    int rc = FR_OK;
    if (stat(folder, &st) != 0) {
        fr_store_path(f->store, parent, "objects");
        rc = fr_sys_mkdirs(folder, 0700, err);
        if (rc == FR_OK) {
            rc = fr_sys_sync_dir(parent, err);
        }
    }
    (void)snprintf(temporary, sizeof temporary, "%s.%d-%lu.tmp", path, (int)getpid(),
                   atomic_fetch_add(&f->serial, 1));
    if (rc == FR_OK) {
        rc = v != NULL ? write_value(temporary, v, err) : write_object(temporary, o, err);
    }
    if (rc == FR_OK) {
        rc = fr_sys_rename(temporary, path, err);
    }
    if (rc != FR_OK) {
        (void)unlink(temporary);
        return rc;
    }
    return fr_sys_sync_dir(folder, err);
}

// Runs over the files a value needs. With `touch`, those that are there only get a new time.
static int each_file(fr_files *f, const fr_value *v, bool touch, fr_err *err)
{
    int rc = FR_OK;
    for (uint32_t i = 0; i <= v->objects && rc == FR_OK; i++) {
        const fr_object *o = i < v->objects ? v->object[i] : NULL;
        if (o == NULL ? v->size <= FR_STORE_INLINE : o->ops->save == NULL) {
            continue;
        }
        char path[FR_STORE_PATH];
        fr_store_object_path(f->store, o != NULL ? o->ops->kind : 0,
                             o != NULL ? o->ops->hash(o) : v->hash, path);
        if (!touch || utimensat(AT_FDCWD, path, NULL, 0) != 0) {
            rc = publish(f, path, o != NULL ? NULL : v, o, err);
        }
    }
    return rc;
}

int fr_files_save(fr_files *f, const fr_value *v, uint8_t *how, fr_err *err)
{
    *how = v != NULL ? fr_files_how(v) : 0;
    return *how != 0 ? each_file(f, v, true, err) : FR_OK;
}

// --- helpers ---

static void *help(void *arg)
{
    fr_files *f = arg;
    (void)pthread_mutex_lock(&f->mutex);
    for (;;) {
        fr_files_job *job = f->head;
        if (job == NULL) {
            if (f->stop) {
                break;
            }
            f->idle++;
            (void)pthread_cond_wait(&f->wake, &f->mutex);
            f->idle--;
            continue;
        }
        f->head = job->next;
        f->tail = f->head == NULL ? &f->head : f->tail;
        (void)pthread_mutex_unlock(&f->mutex);
        for (int i = 0; i < 2; i++) {
            if (job->values[i] != NULL) {
                (void)!each_file(f, job->values[i], false, NULL);
            }
        }
        fr_store *s = f->store;
        atomic_store_explicit(&job->ready, true, memory_order_release);
        fr_store_wake(s);                      // the job may be gone from here on
        (void)pthread_mutex_lock(&f->mutex);
    }
    (void)pthread_mutex_unlock(&f->mutex);
    return NULL;
}

fr_files *fr_files_new(fr_store *s)
{
    fr_files *f = fr_zalloc(sizeof *f);
    f->store = s;
    f->tail = &f->head;
    (void)pthread_mutex_init(&f->mutex, NULL);
    (void)pthread_cond_init(&f->wake, NULL);
    return f;
}

void fr_files_free(fr_files *f)
{
    if (f == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&f->mutex);
    f->stop = true;
    (void)pthread_cond_broadcast(&f->wake);
    (void)pthread_mutex_unlock(&f->mutex);
    for (unsigned i = 0; i < f->started; i++) {
        (void)pthread_join(f->threads[i], NULL);
    }
    (void)pthread_cond_destroy(&f->wake);
    (void)pthread_mutex_destroy(&f->mutex);
    fr_free(f);
}

fr_files_job *fr_files_start(fr_files *f, const fr_value *result, const fr_value *error)
{
    fr_files_job *job = fr_zalloc(sizeof *job);
    job->values[0] = result != NULL ? fr_value_ref(result) : NULL;
    job->values[1] = error != NULL ? fr_value_ref(error) : NULL;
    atomic_init(&job->ready, false);
    (void)pthread_mutex_lock(&f->mutex);
    if (f->idle == 0 && f->started < HELPERS &&
        pthread_create(&f->threads[f->started], NULL, help, f) == 0) {
        f->started++;
    }
    if (f->started == 0) {                     // no thread to be had: the committer writes
        atomic_store(&job->ready, true);
    } else {
        *f->tail = job;
        f->tail = &job->next;
        (void)pthread_cond_signal(&f->wake);
    }
    (void)pthread_mutex_unlock(&f->mutex);
    return job;
}

bool fr_files_ready(const fr_files_job *job)
{
    return atomic_load_explicit(&job->ready, memory_order_acquire);
}

int fr_files_touch(fr_files *f, fr_files_job *job, fr_err *err)
{
    int rc = FR_OK;
    for (int i = 0; i < 2 && rc == FR_OK; i++) {
        if (job->values[i] != NULL) {
            rc = each_file(f, job->values[i], true, err);
        }
    }
    return rc;
}

void fr_files_done(fr_files_job *job)
{
    fr_value_unref(job->values[0]);
    fr_value_unref(job->values[1]);
    fr_free(job);
}
