// Hard cancel (engine.md D3) and the marker file (D4): the part of exec_thread that lives
// in signal handlers.
#include "core/base/mem.h"
#include "core/base/sys.h"
#include "core/engine/exec_thread.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

// Ignored by default and unused by libuv and Lua: a stray one does no harm.
enum { STOP_SIGNAL = SIGURG, ALT_STACK_BYTES = 64 * 1024 };

#if defined(__SANITIZE_THREAD__)
#define STOP_DIRECTLY 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define STOP_DIRECTLY 1
#endif
#endif
#ifndef STOP_DIRECTLY
#define STOP_DIRECTLY 0 // 1: signals do not reach CPU-bound code under TSan
#endif

static const int fatal_signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};

static _Thread_local exec_worker *self;
static _Thread_local void *alt_stack;

// Signal handlers are the process's, so the actions found at the first open and the
// number of executors are too. Listed in tests/tidy as allowed writable state.
static struct {
    pthread_mutex_t lock;
    unsigned users, fatal_users;
    struct sigaction stop, fatal[FR_COUNT(fatal_signals)];
} before = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void on_stop(int signal)
{
    (void)signal;
    int saved = errno;
    exec_worker *w = self;
    if (w != NULL && w->body != NULL && fr_cancel_code() != 0) {
        w->x->env.bodies->interrupt(w->body, atomic_load(&w->interrupt));
    }
    errno = saved;
}

static void on_fatal(int signal, siginfo_t *info, void *context)
{
    (void)context;
    exec_worker *w = self;
    if (w != NULL && w->marker != NULL) {
        w->marker->signal = signal;
    }
    for (size_t i = 0; i < FR_COUNT(fatal_signals); i++) {
        if (fatal_signals[i] == signal) {
            (void)sigaction(signal, &before.fatal[i], NULL);
        }
    }
    if (info->si_code <= 0) {
        (void)raise(signal); // sent, not caused: returning would not repeat it
    }
}

static void install(bool fatal)
{
    (void)pthread_mutex_lock(&before.lock);
    if (before.users++ == 0) {
        // Without SA_RESTART: a body that waits in read() is to notice.
        struct sigaction act = {.sa_handler = on_stop, .sa_flags = SA_ONSTACK};
        (void)sigemptyset(&act.sa_mask);
        (void)sigaction(STOP_SIGNAL, &act, &before.stop);
    }
    if (fatal && before.fatal_users++ == 0) {
        struct sigaction act = {.sa_sigaction = on_fatal,
                                .sa_flags = SA_SIGINFO | SA_ONSTACK};
        (void)sigemptyset(&act.sa_mask);
        for (size_t i = 0; i < FR_COUNT(fatal_signals); i++) {
            (void)sigaction(fatal_signals[i], &act, &before.fatal[i]);
        }
    }
    (void)pthread_mutex_unlock(&before.lock);
}

static void uninstall(bool fatal)
{
    (void)pthread_mutex_lock(&before.lock);
    if (--before.users == 0) {
        (void)sigaction(STOP_SIGNAL, &before.stop, NULL);
    }
    if (fatal && --before.fatal_users == 0) {
        for (size_t i = 0; i < FR_COUNT(fatal_signals); i++) {
            (void)sigaction(fatal_signals[i], &before.fatal[i], NULL);
        }
    }
    (void)pthread_mutex_unlock(&before.lock);
}

static int map_markers(thread_exec *x, fr_err *err)
{
    size_t size = x->most * sizeof(fr_marker);
    int fd = -1;
    // A new file: runs that died may hold a link to one of this name.
    int rc = fr_sys_unlink(x->env.marker, err);
    if (rc == FR_OK) {
        rc = fr_sys_open(x->env.marker, O_RDWR | O_CREAT | O_EXCL, 0600, &fd, err);
    }
    if (rc == FR_OK) {
        rc = fr_sys_truncate(fd, (int64_t)size, x->env.marker, err);
    }
    if (rc == FR_OK) {
        void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (p == MAP_FAILED) {
            rc = fr_fail_errno(err, FR_EIO, "marker file %s", x->env.marker);
        } else {
            x->markers = p;
        }
    }
    fr_sys_close(fd);
    return rc;
}

int fr_exec_stop_open(thread_exec *x, fr_err *err)
{
    return x->env.marker != NULL ? map_markers(x, err) : FR_OK;
}

void fr_exec_stop_watch(thread_exec *x, bool on)
{
    if (on != x->watching) {
        x->watching = on;
        (on ? install : uninstall)(x->markers != NULL);
    }
}

void fr_exec_stop_close(thread_exec *x, bool stuck)
{
    fr_exec_stop_watch(x, false);
    if (x->markers != NULL && !stuck) {
        (void)munmap(x->markers, x->most * sizeof(fr_marker));
        (void)unlink(x->env.marker); // a clean end leaves no suspects
        x->markers = NULL;
    }
}

void fr_exec_stop_enroll(exec_worker *w)
{
    self = w;
    // Signals of the process are the main thread's. SIGPIPE too: children may close
    // pipes.
    sigset_t mask;
    (void)sigfillset(&mask);
    (void)sigdelset(&mask, STOP_SIGNAL);
    (void)sigdelset(&mask, SIGPROF);
    for (size_t i = 0; i < FR_COUNT(fatal_signals); i++) {
        (void)sigdelset(&mask, fatal_signals[i]);
    }
    (void)pthread_sigmask(SIG_SETMASK, &mask, NULL);
    alt_stack = fr_alloc(ALT_STACK_BYTES);
    stack_t stack = {.ss_sp = alt_stack, .ss_size = ALT_STACK_BYTES};
    (void)sigaltstack(&stack, NULL); // a C stack overflow must reach its handler
}

void fr_exec_stop_leave(void)
{
    self = NULL;
    stack_t none = {.ss_flags = SS_DISABLE};
    (void)sigaltstack(&none, NULL);
    fr_free(alt_stack);
    alt_stack = NULL;
}

void fr_exec_stop_clear(exec_worker *w)
{
    if (STOP_DIRECTLY) {
        (void)pthread_mutex_lock(&w->lock);
    }
    atomic_store(&w->current, NULL);
    if (STOP_DIRECTLY) {
        (void)pthread_mutex_unlock(&w->lock);
    }
}

// The canceller calls interrupt itself; the lock keeps the body there meanwhile.
static bool interrupt_directly(exec_worker *w, const fr_attempt *a, int how)
{
    (void)pthread_mutex_lock(&w->lock);
    bool runs = atomic_load(&w->current) == a;
    if (runs) {
        w->x->env.bodies->interrupt(w->body, how);
    }
    (void)pthread_mutex_unlock(&w->lock);
    return runs;
}

bool fr_exec_stop_kick(thread_exec *x, const fr_attempt *a, int how)
{
    bool any = false;
    for (uint32_t i = 0; i < x->workers; i++) {
        exec_worker *w = x->worker[i];
        if (atomic_load(&w->current) != a) {
            continue;
        }
        if (STOP_DIRECTLY) {
            any = interrupt_directly(w, a, how) || any;
        } else {
            any = true;
            atomic_store(&w->interrupt, how);
            (void)pthread_kill(w->thread, STOP_SIGNAL);
        }
    }
    return any;
}

uint32_t fr_marker_read(const char *path, fr_marker *out, uint32_t most)
{
    uint32_t n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    fr_marker m;
    while (fd >= 0 && n < most && read(fd, &m, sizeof m) == (ssize_t)sizeof m) {
        if (m.busy == 1) {
            out[n++] = m;
        }
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return n;
}
