// Lock files of the store (engine.md A2, E1, E2).
//
// A plain lock starves: the holder takes it again before a sleeper wakes. So everybody takes
// turn.lock first, then store.lock, and lets go of turn.lock: whoever waits for store.lock
// holds the turn, and the last holder has to queue behind it.

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/sys.h"
#include "core/engine/store_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <time.h>
#include <unistd.h>

enum { REAPER_POLL_MS = 20, REAPER_S = 60 };

typedef struct lock_file {
    int fd;
    char path[FR_STORE_PATH];
} lock_file;

struct fr_store_lock {
    lock_file turn, store, readers_turn, readers;
    char pid[16];                              // of this process, as written into store.lock
    fr_lock_slow_fn slow;
    int slow_ms;
    void *ctx;
    // The watcher names the holder when a wait is long; started at the first wait.
    pthread_t watcher;
    bool watching, stop;
    int64_t waiting_since;                     // 0 = not
    pthread_mutex_t mutex;
    pthread_cond_t changed;
};

static int open_lock(lock_file *f, const char *home, const char *name, fr_err *err)
{
    (void)snprintf(f->path, sizeof f->path, "%s/%s", home, name);
    return fr_sys_open(f->path, O_RDWR | O_CREAT, 0600, &f->fd, err);
}

int fr_store_lock_open(const char *home, fr_lock_slow_fn slow, int slow_ms, void *ctx,
                       fr_store_lock **out, fr_err *err)
{
    fr_store_lock *l = fr_zalloc(sizeof *l);
    l->turn.fd = l->store.fd = l->readers_turn.fd = l->readers.fd = -1;
    l->slow = slow;
    l->slow_ms = slow_ms;
    l->ctx = ctx;
    (void)snprintf(l->pid, sizeof l->pid, "%-14d\n", (int)getpid());
    (void)pthread_mutex_init(&l->mutex, NULL);
    pthread_condattr_t attr;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&l->changed, &attr);
    (void)pthread_condattr_destroy(&attr);
    int rc = open_lock(&l->turn, home, "turn.lock", err);
    if (rc == FR_OK) {
        rc = open_lock(&l->store, home, "store.lock", err);
    }
    if (rc == FR_OK) {
        rc = open_lock(&l->readers_turn, home, "readers.turn.lock", err);
    }
    if (rc == FR_OK) {
        rc = open_lock(&l->readers, home, "readers.lock", err);
    }
    if (rc != FR_OK) {
        fr_store_lock_close(l);
        l = NULL;
    }
    *out = l;
    return rc;
}

void fr_store_lock_close(fr_store_lock *l)
{
    if (l == NULL) {
        return;
    }
    if (l->watching) {
        (void)pthread_mutex_lock(&l->mutex);
        l->stop = true;
        (void)pthread_cond_signal(&l->changed);
        (void)pthread_mutex_unlock(&l->mutex);
        (void)pthread_join(l->watcher, NULL);
    }
    fr_sys_close(l->turn.fd);
    fr_sys_close(l->store.fd);
    fr_sys_close(l->readers_turn.fd);
    fr_sys_close(l->readers.fd);
    (void)pthread_cond_destroy(&l->changed);
    (void)pthread_mutex_destroy(&l->mutex);
    fr_free(l);
}

static int read_pid(int fd)
{
    char text[16] = "";
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    return n > 0 ? (int)strtol(text, NULL, 10) : 0;
}

// One word for the state of a process, from /proc/<pid>/stat: "pid (name) S ...".
static const char *process_state(int pid)
{
    char path[64], text[512] = "";
    (void)snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    fr_sys_close(fd);
    const char *end = n > 0 ? strrchr(text, ')') : NULL;
    char state = '\0';
    if (end != NULL && end[1] == ' ') {
        state = end[2];
    }
    switch (state) {
    case 'T':
    case 't':
        return "stopped";
    case 'D':
        return "waiting for the disk";
    case 'R':
    case 'S':
        return "running";
    case '\0':
        return "gone";
    default:
        return "ending";
    }
}

static void *watch(void *arg)
{
    fr_store_lock *l = arg;
    (void)pthread_mutex_lock(&l->mutex);
    while (!l->stop) {
        if (l->waiting_since == 0) {
            (void)pthread_cond_wait(&l->changed, &l->mutex);
            continue;
        }
        int64_t since = l->waiting_since;
        struct timespec until;
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += l->slow_ms / 1000;
        until.tv_nsec += l->slow_ms % 1000 * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        int e = 0;
        while (!l->stop && l->waiting_since == since && e == 0) {
            e = pthread_cond_timedwait(&l->changed, &l->mutex, &until);
        }
        if (e == ETIMEDOUT && l->waiting_since == since && l->slow != NULL) {
            int pid = read_pid(l->store.fd);
            (void)pthread_mutex_unlock(&l->mutex);
            l->slow(l->ctx, pid, process_state(pid));
            (void)pthread_mutex_lock(&l->mutex);
            while (!l->stop && l->waiting_since == since) {   // said once per wait
                (void)pthread_cond_wait(&l->changed, &l->mutex);
            }
        }
    }
    (void)pthread_mutex_unlock(&l->mutex);
    return NULL;
}

static void set_waiting(fr_store_lock *l, int64_t since)
{
    (void)pthread_mutex_lock(&l->mutex);
    l->waiting_since = since;
    if (since != 0 && !l->watching) {
        l->watching = pthread_create(&l->watcher, NULL, watch, l) == 0;
    }
    (void)pthread_cond_signal(&l->changed);
    (void)pthread_mutex_unlock(&l->mutex);
}

// Tries; when somebody holds it, waits with the watcher set.
static int take(fr_store_lock *l, lock_file *f, bool *slow, fr_err *err)
{
    int rc = fr_sys_lock(f->fd, FR_SYS_EXCLUSIVE, false, f->path, NULL);
    if (rc == FR_OK) {
        return FR_OK;
    }
    if (rc == FR_EBUSY && !*slow) {
        *slow = true;
        set_waiting(l, fr_clock_mono_ns());
    }
    return fr_sys_lock(f->fd, FR_SYS_EXCLUSIVE, true, f->path, err);
}

static void unlock(lock_file *f)
{
    fr_err err = FR_ERR_INIT;
    if (fr_sys_lock(f->fd, FR_SYS_UNLOCK, false, f->path, &err) != FR_OK) {
        // Only an injected fault gets here; closing and opening lets go of it for certain.
        int fd = open(f->path, O_RDWR | O_CLOEXEC);
        if (fd >= 0) {
            (void)dup3(fd, f->fd, O_CLOEXEC);
            (void)close(fd);
        }
    }
}

int fr_store_lock_take(fr_store_lock *l, fr_err *err)
{
    bool slow = false;
    int rc = take(l, &l->turn, &slow, err);
    if (rc == FR_OK) {
        rc = take(l, &l->store, &slow, err);
        unlock(&l->turn);
    }
    if (slow) {
        set_waiting(l, 0);
    }
    if (rc == FR_OK) {
        // Advice for waiters; a full disk must not matter here.
        (void)!fr_sys_pwrite(l->store.fd, l->pid, strlen(l->pid), 0, l->store.path, NULL);
    }
    return rc;
}

bool fr_store_lock_wanted(fr_store_lock *l)
{
    return fr_sys_locked(l->turn.fd);
}

void fr_store_lock_release(fr_store_lock *l)
{
    unlock(&l->store);
}

int fr_store_lock_readers(fr_store_lock *l, bool exclusive, fr_err *err)
{
    if (l == NULL) {
        return FR_OK;
    }
    int rc = fr_sys_lock(l->readers_turn.fd, FR_SYS_EXCLUSIVE, true, l->readers_turn.path, err);
    if (rc == FR_OK) {
        rc = fr_sys_lock(l->readers.fd, exclusive ? FR_SYS_EXCLUSIVE : FR_SYS_SHARED, true,
                         l->readers.path, err);
        unlock(&l->readers_turn);
    }
    return rc;
}

void fr_store_lock_readers_release(fr_store_lock *l)
{
    if (l != NULL) {
        unlock(&l->readers);
    }
}

// --- homes ---

int fr_store_home_check(const char *home, long filesystem, fr_err *err)
{
    static const struct {
        long magic;
        const char *name;
    } shared[] = {
        {0x6969, "NFS"}, {(long)0xff534d42, "CIFS"}, {0x517b, "SMB"}, {(long)0xfe534d42, "SMB"},
        {0x5346414f, "AFS"}, {0x01021997, "9P"},
    };
    for (size_t i = 0; i < FR_COUNT(shared); i++) {
        if (filesystem == shared[i].magic) {
            return fr_fail(err, FR_EUNSUPPORTED,
                           "%s is on %s, whose locks and memory maps cannot keep a store "
                           "safe: name a folder on a local disk with --home DIR",
                           home, shared[i].name);
        }
    }
    return FR_OK;
}

// --- runs ---

// The lock of a run is held for the whole life of its process. The file goes away with it;
// so after locking we make sure that the path still names the file that we locked.
int fr_run_lock_take(const fr_store *s, uint64_t id, int *fd, fr_err *err)
{
    char path[FR_STORE_PATH];
    fr_store_path(s, path, "runs/%llu.lock", (unsigned long long)id);
    for (;;) {
        int rc = fr_sys_open(path, O_RDWR | O_CREAT, 0600, fd, err);
        if (rc != FR_OK) {
            return rc;
        }
        rc = fr_sys_lock(*fd, FR_SYS_EXCLUSIVE, false, path, err);
        struct stat st;
        if (rc == FR_OK && fstat(*fd, &st) == 0 && st.st_nlink == 0) {
            fr_sys_close(*fd);
            continue;
        }
        if (rc == FR_EBUSY) {
            int pid = read_pid(*fd);
            rc = fr_fail(err, FR_EBUSY, "run %llu is alive in process %d (%s)",
                         (unsigned long long)id, pid, process_state(pid));
        }
        char text[16];
        int n = snprintf(text, sizeof text, "%-14d\n", (int)getpid());
        if (rc == FR_OK) {
            rc = fr_sys_pwrite(*fd, text, (size_t)n, 0, path, err);
        }
        if (rc != FR_OK) {
            fr_sys_close(*fd);
            *fd = -1;
        }
        return rc;
    }
}

bool fr_run_lock_probe(const fr_store *s, uint64_t id, int *pid)
{
    char path[FR_STORE_PATH];
    fr_store_path(s, path, "runs/%llu.lock", (unsigned long long)id);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    bool alive = fr_sys_locked(fd);
    if (alive && pid != NULL) {
        *pid = read_pid(fd);
    }
    (void)close(fd);
    return alive;
}

bool fr_run_reaper_probe(const fr_store *s, uint64_t id)
{
    char path[FR_STORE_PATH];
    fr_store_path(s, path, "runs/%llu.reaper", (unsigned long long)id);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool alive = fd >= 0 && fr_sys_locked(fd);
    fr_sys_close(fd);
    return alive;
}

void fr_run_lock_release(const fr_store *s, uint64_t id, int fd)
{
    if (fd >= 0) {
        char path[FR_STORE_PATH];
        fr_store_path(s, path, "runs/%llu.lock", (unsigned long long)id);
        (void)!fr_sys_unlink(path, NULL);
        fr_sys_close(fd);
    }
}

// The reaper of a dead process may still be killing its children.
int fr_run_reaper_wait(const fr_store *s, uint64_t id, fr_err *err)
{
    char path[FR_STORE_PATH];
    fr_store_path(s, path, "runs/%llu.reaper", (unsigned long long)id);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return FR_OK;
    }
    int64_t until = fr_clock_mono_ns() + REAPER_S * INT64_C(1000000000);
    int rc = FR_OK;
    while (fr_sys_locked(fd)) {
        if (fr_clock_mono_ns() > until) {
            rc = fr_fail(err, FR_EBUSY,
                         "processes that run %llu started are still being killed (see %s)",
                         (unsigned long long)id, path);
            break;
        }
        struct timespec wait = {.tv_nsec = REAPER_POLL_MS * 1000000L};
        (void)nanosleep(&wait, NULL);
    }
    (void)close(fd);
    return rc;
}
