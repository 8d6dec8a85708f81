// The reaper process: see reaper.h. One thread, no Lua, no store.
#include "core/base/buf.h"
#include "core/base/mem.h"
#include "core/base/sys.h"
#include "core/engine/reaper.h"
#include "core/engine/reaper_int.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_CHANNELS = 512, MOST_STRINGS = 1 << 20, RETRY_MS = 20, SETTLE_MS = 200,
       CLOSED = -1, UNKILLABLE = -2 };

typedef struct child {
    struct child *next;
    pid_t pid;
    int channel; // CLOSED, UNKILLABLE: it was closed
    uint32_t id;
} child;

typedef struct reaper {
    struct pollfd poll[2 + MOST_CHANNELS]; // control, signals, channels
    nfds_t n;
    child *children;
} reaper;

// --- starting ---

typedef struct spec {
    char *text; // the file's bytes
    char **argv, **envp;
    const char *dir;
} spec;

// Reads a list of strings; NULL when the file is damaged. An empty list has only the
// NULL.
static char **read_list(fr_reader *r)
{
    uint32_t n = fr_read_u32(r);
    if (r->failed || n > MOST_STRINGS) {
        return NULL;
    }
    char **list = fr_zalloc((n + 1) * sizeof *list);
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *end = memchr(r->at, '\0', (size_t)(r->end - r->at));
        if (end == NULL) {
            fr_free(list);
            return NULL;
        }
        list[i] = (char *)(uintptr_t)r->at;
        r->at = end + 1;
    }
    return list;
}

static void free_spec(spec *s)
{
    fr_free(s->argv);
    fr_free(s->envp);
    fr_free(s->text);
}

static int read_spec(int fd, spec *out)
{
    *out = (spec){0};
    struct stat st;
    if (fstat(fd, &st) != 0 || st.st_size <= 0 || st.st_size > (64 << 20)) {
        return EINVAL;
    }
    size_t size = (size_t)st.st_size;
    out->text = fr_alloc(size);
    if (pread(fd, out->text, size, 0) != (ssize_t)size) {
        return EINVAL;
    }
    fr_reader r = fr_reader_of(out->text, size);
    out->argv = read_list(&r);
    out->envp = out->argv != NULL ? read_list(&r) : NULL;
    char **dir = out->envp != NULL ? read_list(&r) : NULL;
    out->dir = dir != NULL ? dir[0] : NULL;
    fr_free(dir);
    return dir != NULL && out->argv[0] != NULL ? 0 : EINVAL;
}

static int spawn(const spec *s, const int *fds, size_t n, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t all, none;
    (void)sigfillset(&all);
    (void)sigemptyset(&none);
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawnattr_init(&attr);
    int e = n > 3
                ? posix_spawn_file_actions_adddup2(&actions, fds[3], 0)
                : posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    e = e != 0 ? e : posix_spawn_file_actions_adddup2(&actions, fds[1], 1);
    e = e != 0 ? e : posix_spawn_file_actions_adddup2(&actions, fds[2], 2);
    if (e == 0 && s->dir != NULL) {
        e = posix_spawn_file_actions_addchdir_np(&actions, s->dir);
    }
    e = e != 0 ? e : posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    short flags = POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK;
    e = e != 0 ? e : posix_spawnattr_setflags(&attr, flags);
    e = e != 0 ? e : posix_spawnattr_setpgroup(&attr, 0);
    e = e != 0 ? e : posix_spawnattr_setsigdefault(&attr, &all);
    e = e != 0 ? e : posix_spawnattr_setsigmask(&attr, &none);
    if (e == 0) {
        char **envp = s->envp[0] != NULL ? s->envp : NULL;
        e = fr_sys_spawn(pid, s->argv, envp, &actions, &attr, NULL) == FR_OK ? 0 : errno;
    }
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)posix_spawnattr_destroy(&attr);
    return e;
}

static void reply(int channel, fr_reaper_news news, uint32_t id, int value)
{
    fr_reaper_reply m = {.news = news, .id = id, .value = value};
    (void)fr_reaper_send(channel, &m, sizeof m, NULL, 0);
}

static void start(reaper *x, int channel, uint32_t id, const int *fds, size_t n)
{
    spec s = {0};
    pid_t pid = 0;
    int e = n >= 3 ? read_spec(fds[0], &s) : EINVAL;
    if (e == 0) {
        e = spawn(&s, fds, n, &pid);
    }
    free_spec(&s);
    if (e != 0) {
        reply(channel, FR_REAPER_FAILED, id, e);
        return;
    }
    child *c = fr_alloc(sizeof *c);
    *c = (child){.next = x->children, .pid = pid, .channel = channel, .id = id};
    x->children = c;
    reply(channel, FR_REAPER_STARTED, id, pid);
}

// --- ending ---

static void close_channel(reaper *x, nfds_t i)
{
    int fd = x->poll[i].fd;
    for (child *c = x->children; c != NULL; c = c->next) {
        if (c->channel == fd) {
            (void)kill(-c->pid, SIGKILL);
            c->channel = CLOSED;
        }
    }
    (void)close(fd);
    x->poll[i] = x->poll[--x->n];
}

// When a worker process has ended, what it started is ended before its engine hears of it:
// its channel closed before it became a zombie.
static void settle(reaper *x)
{
    (void)poll(x->poll, x->n, 0);
    for (nfds_t i = x->n; i-- > 2;) {
        char byte;
        bool hung_up = (x->poll[i].revents & (POLLHUP | POLLERR)) != 0;
        if (hung_up && recv(x->poll[i].fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0) {
            close_channel(x, i);
        }
    }
    for (child *c = x->children; c != NULL; c = c->next) {
        siginfo_t info = {.si_pid = 0};
        for (int ms = 0; c->channel == CLOSED && info.si_pid == 0 && ms < SETTLE_MS; ms++) {
            if (waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0) {
                break;
            }
            if (info.si_pid == 0) {
                (void)poll(NULL, 0, 1);
            }
        }
        c->channel = c->channel == CLOSED ? UNKILLABLE : c->channel; // waited for once
    }
}

// The child `info` tells of has ended and is still a zombie, so that its group's number
// is not reused: what it left in its group is killed before it is reaped.
static void reap(reaper *x, pid_t pid)
{
    (void)kill(-pid, SIGKILL);
    int status = 0;
    struct rusage use = {0};
    (void)wait4(pid, &status, 0, &use);
    for (child **p = &x->children; *p != NULL; p = &(*p)->next) {
        child *c = *p;
        if (c->pid != pid) {
            continue;
        }
        fr_reaper_reply m = {.news = FR_REAPER_ENDED, .id = c->id, .value = status};
        m.max_rss_kib = (int32_t)use.ru_maxrss;
        m.cpu_ns = (int64_t)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1000000000 +
                   (int64_t)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1000;
        if (c->channel >= 0) {
            settle(x);
        }
        if (c->channel >= 0) {
            (void)fr_reaper_send(c->channel, &m, sizeof m, NULL, 0);
        }
        *p = c->next;
        fr_free(c);
        return;
    }
}

// Reaps what has ended. False: there are no children at all.
static bool reap_all(reaper *x)
{
    for (;;) {
        siginfo_t info = {.si_pid = 0};
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0) {
            return errno != ECHILD;
        }
        if (info.si_pid == 0) {
            return true;
        }
        reap(x, info.si_pid);
    }
}

static void kill_children(void) // also those that came to a subreaper
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    FILE *f = fopen(path, "re");
    int pid;
    while (f != NULL && fscanf(f, "%d", &pid) == 1) {
        (void)kill(pid, SIGKILL);
    }
    if (f != NULL) {
        (void)fclose(f);
    }
}

static void kill_everything(reaper *x)
{
    for (const child *c = x->children; c != NULL; c = c->next) {
        (void)kill(-c->pid, SIGKILL);
    }
    while (reap_all(x)) {
        kill_children(); // those killed leave others to us: again
        struct pollfd p = {.fd = x->poll[1].fd, .events = POLLIN};
        (void)poll(&p, 1, RETRY_MS);
    }
}

// --- messages ---

static ssize_t receive(int socket, void *bytes, size_t size, int *fds, size_t *n)
{
    union {
        char bytes[CMSG_SPACE(4 * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec part = {.iov_base = bytes, .iov_len = size};
    struct msghdr m = {.msg_iov = &part,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof control.bytes};
    *n = 0;
    ssize_t got = recvmsg(socket, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    struct cmsghdr *c = got >= 0 ? CMSG_FIRSTHDR(&m) : NULL;
    if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
        *n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(fds, CMSG_DATA(c), *n * sizeof(int));
    }
    return got;
}

static void signal_group(const reaper *x, int channel, uint32_t id, int signal)
{
    for (const child *c = x->children; c != NULL; c = c->next) {
        if (c->channel == channel && c->id == id) {
            (void)kill(-c->pid, signal);
        }
    }
}

// False: the channel is closed.
static bool serve_channel(reaper *x, int channel)
{
    fr_reaper_request m;
    int fds[4];
    size_t n;
    ssize_t got = receive(channel, &m, sizeof m, fds, &n);
    bool open = got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
    if (got == (ssize_t)sizeof m && m.op == FR_REAPER_START) {
        start(x, channel, m.id, fds, n);
    } else if (got == (ssize_t)sizeof m && m.op == FR_REAPER_KILL) {
        signal_group(x, channel, m.id, m.value);
    }
    for (size_t i = 0; i < n; i++) {
        (void)close(fds[i]);
    }
    return open;
}

static bool serve_control(reaper *x, int control)
{
    char byte;
    int fds[4];
    size_t n;
    ssize_t got = receive(control, &byte, 1, fds, &n);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 && x->n < FR_COUNT(x->poll)) {
            x->poll[x->n++] = (struct pollfd){.fd = fds[0], .events = POLLIN};
        } else {
            (void)close(fds[i]);
        }
    }
    return got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
}

static int prepare(int fd, const char *lock)
{
    (void)prctl(PR_SET_NAME, "flowrun-reaper");
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    sigset_t all;
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, NULL); // it ends when its socket closes
    int lock_fd = -1;
    if (*lock != '\0' &&
        (fr_sys_open(lock, O_RDWR | O_CREAT, 0600, &lock_fd, NULL) != FR_OK ||
         fr_sys_lock(lock_fd, FR_SYS_EXCLUSIVE, true, lock, NULL) != FR_OK)) {
        return -1;
    }
    sigset_t child_ended;
    (void)sigemptyset(&child_ended);
    (void)sigaddset(&child_ended, SIGCHLD);
    return signalfd(-1, &child_ended, SFD_CLOEXEC | SFD_NONBLOCK);
}

int fr_reaper_main(int fd, const char *lock)
{
    int signals = prepare(fd, lock);
    if (signals < 0) {
        return EXIT_FAILURE;
    }
    static const struct signalfd_siginfo none;
    reaper *x = fr_zalloc(sizeof *x);
    x->poll[0] = (struct pollfd){.fd = fd, .events = POLLIN};
    x->poll[1] = (struct pollfd){.fd = signals, .events = POLLIN};
    x->n = 2;
    for (bool open = true; open;) {
        if (poll(x->poll, x->n, -1) < 0) {
            continue;
        }
        struct signalfd_siginfo news = none;
        while (read(signals, &news, sizeof news) > 0) {
        }
        (void)reap_all(x);
        for (nfds_t i = x->n; i-- > 2;) {
            if (x->poll[i].revents != 0 && !serve_channel(x, x->poll[i].fd)) {
                close_channel(x, i);
            }
        }
        open = x->poll[0].revents == 0 || serve_control(x, fd);
    }
    kill_everything(x);
    if (*lock != '\0') {
        (void)!fr_sys_unlink(lock, NULL); // who waits for it has the file open
    }
    while (x->n > 2) {
        (void)close(x->poll[--x->n].fd);
    }
    fr_free(x);
    return EXIT_SUCCESS;
}
