// The run's side of the reaper. The process itself: reaper_main.c.
#include "core/engine/reaper.h"

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/sys.h"
#include "core/engine/reaper_int.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CONTROL_FD = 3, MOST_ARGS = 16, WAIT_NS = 2000000000, WAIT_STEP_NS = 1000000 };

struct fr_reaper {
    pthread_mutex_t lock;
    char *lock_path;
    pid_t pid;   // 0: not started
    int control; // -1
    int adopted; // a channel to give out; -1
};

fr_reaper *fr_reaper_new(const char *lock)
{
    fr_reaper *r = fr_zalloc(sizeof *r);
    (void)pthread_mutex_init(&r->lock, NULL);
    r->lock_path = lock != NULL ? fr_strdup(lock) : NULL;
    r->control = r->adopted = -1;
    return r;
}

fr_reaper *fr_reaper_adopt(int fd)
{
    fr_reaper *r = fr_reaper_new(NULL);
    r->adopted = fd;
    return r;
}

// In stopped or unkillable children it may take long: then the process is left to init.
static void wait_for(pid_t pid)
{
    int64_t until = fr_clock_mono_ns() + WAIT_NS;
    while (waitpid(pid, NULL, WNOHANG) == 0 && fr_clock_mono_ns() < until) {
        (void)nanosleep(&(struct timespec){.tv_nsec = WAIT_STEP_NS}, NULL);
    }
}

static void stop(fr_reaper *r)
{
    if (r->control >= 0) {
        (void)close(r->control);
        wait_for(r->pid);
    }
    r->control = -1;
    r->pid = 0;
}

void fr_reaper_free(fr_reaper *r)
{
    if (r != NULL) {
        stop(r);
        fr_sys_close(r->adopted);
        (void)pthread_mutex_destroy(&r->lock);
        fr_free(r->lock_path);
        fr_free(r);
    }
}

static int spawn(fr_reaper *r, char *argv[], int fd, fr_err *err)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t all, none;
    (void)sigfillset(&all);
    (void)sigemptyset(&none);
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawnattr_init(&attr);
    int e = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    e = e != 0 ? e
               : posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    e = e != 0 ? e : posix_spawn_file_actions_adddup2(&actions, fd, CONTROL_FD);
    e = e != 0 ? e : posix_spawn_file_actions_addclosefrom_np(&actions, CONTROL_FD + 1);
    short flags = POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK;
    e = e != 0 ? e : posix_spawnattr_setflags(&attr, flags);
    e = e != 0 ? e : posix_spawnattr_setsigdefault(&attr, &all);
    e = e != 0 ? e : posix_spawnattr_setsigmask(&attr, &none);
    int rc = e != 0 ? fr_fail(err, FR_EIO, "preparing the reaper: %s", strerror(e))
                    : fr_sys_spawn(&r->pid, argv, NULL, &actions, &attr, err);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)posix_spawnattr_destroy(&attr);
    return rc;
}

static int start(fr_reaper *r, const char *const words[], fr_err *err)
{
    char *argv[MOST_ARGS + 2];
    size_t n = 0;
    for (; words[n] != NULL && n < MOST_ARGS; n++) {
        argv[n] = fr_strdup(words[n]);
        char *at = strstr(argv[n], "%d");
        if (at != NULL) {
            *at = '0' + CONTROL_FD;
            memmove(at + 1, at + 2, strlen(at + 2) + 1);
        }
    }
    argv[n++] = fr_strdup(r->lock_path != NULL ? r->lock_path : "");
    argv[n] = NULL;
    int pair[2];
    int rc = FR_OK;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        rc = fr_fail_errno(err, FR_EIO, "a socket for the reaper");
    } else {
        rc = spawn(r, argv, pair[1], err);
        (void)close(pair[1]);
        if (rc == FR_OK) {
            r->control = pair[0];
        } else {
            (void)close(pair[0]);
            r->pid = 0;
        }
    }
    for (size_t i = 0; i < n; i++) {
        fr_free(argv[i]);
    }
    return rc;
}

int fr_reaper_send(int socket, const void *bytes, size_t size, const int *fds, size_t n)
{
    union {
        char bytes[CMSG_SPACE(4 * sizeof(int))];
        struct cmsghdr align;
    } control = {.bytes = {0}};
    struct iovec part = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = size};
    struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1};
    if (n > 0) {
        m.msg_control = control.bytes;
        m.msg_controllen = CMSG_SPACE(n * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(n * sizeof(int));
        memcpy(CMSG_DATA(c), fds, n * sizeof(int));
    }
    ssize_t sent;
    do {
        sent = sendmsg(socket, &m, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)size ? 0 : errno;
}

int fr_reaper_channel(fr_reaper *r, const char *const argv[], int *fd, fr_err *err)
{
    (void)pthread_mutex_lock(&r->lock);
    *fd = r->adopted;
    r->adopted = -1;
    (void)pthread_mutex_unlock(&r->lock);
    if (*fd >= 0) {
        return FR_OK;
    }
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        return fr_fail_errno(err, FR_EIO, "a socket to the reaper");
    }
    (void)pthread_mutex_lock(&r->lock);
    int rc = FR_OK;
    for (int attempt = 0; attempt < 2; attempt++) {
        if (r->control < 0) {
            rc = start(r, argv, err);
        }
        if (rc != FR_OK || fr_reaper_send(r->control, "C", 1, &pair[1], 1) == 0) {
            break;
        }
        stop(r); // somebody killed it: once more
        rc = attempt == 0 ? FR_OK : fr_fail(err, FR_EIO, "the reaper process is gone");
    }
    (void)pthread_mutex_unlock(&r->lock);
    (void)close(pair[1]);
    if (rc != FR_OK) {
        (void)close(pair[0]);
        return rc;
    }
    *fd = pair[0];
    return FR_OK;
}
