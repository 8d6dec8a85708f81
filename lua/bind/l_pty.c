// flowrun.core.pty -- a program on a terminal of its own, for tests of what people type.
//
// Belongs to the thread of its state. Collecting or closing it kills the program.

#include "core/base/clock.h"
#include "lua/bind/bind.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define PTY "flowrun.Pty"

typedef struct pty {
    int fd;             // our end, -1 when closed
    pid_t pid;          // 0 when it was waited for
} pty;

static pty *check_pty(lua_State *L)
{
    pty *p = luaL_checkudata(L, 1, PTY);
    if (p->fd < 0) {
        (void)bind_fail(L, FR_ESTATE, "the terminal is closed");
    }
    return p;
}

// The waiting status of the program, which is gone afterwards.
static int reap(pty *p)
{
    int status = 0;
    while (p->pid > 0 && waitpid(p->pid, &status, 0) < 0 && errno == EINTR) {
    }
    p->pid = 0;
    return status;
}

static int pty_close(lua_State *L)
{
    pty *p = luaL_checkudata(L, 1, PTY);
    if (p->pid > 0) {
        (void)kill(p->pid, SIGKILL);
        (void)reap(p);
    }
    if (p->fd >= 0) {
        (void)close(p->fd);
        p->fd = -1;
    }
    return 0;
}

// The program's session starts without a terminal, and the first one that it opens is its own.
static int start(pty *p, char *const *argv, const char *name)
{
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_t actions;
    (void)posix_spawnattr_init(&attributes);
    (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawn_file_actions_addopen(&actions, 0, name, O_RDWR, 0);
    (void)posix_spawn_file_actions_adddup2(&actions, 0, 1);
    (void)posix_spawn_file_actions_adddup2(&actions, 0, 2);
    int rc = posix_spawnp(&p->pid, argv[0], &actions, &attributes, argv, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)posix_spawnattr_destroy(&attributes);
    return rc;
}

// open{program, argument …}: starts it on a terminal of 100 columns and 40 rows.
static int pty_open(lua_State *L)
{
    enum { MOST = 64 };
    luaL_checktype(L, 1, LUA_TTABLE);
    char *argv[MOST + 1];
    int n = (int)FR_MIN(luaL_len(L, 1), (lua_Integer)MOST);
    luaL_checkstack(L, n + 2, "too many arguments");
    luaL_argcheck(L, n > 0, 1, "expected {program, argument ...}");
    for (int i = 0; i < n; i++) {
        lua_geti(L, 1, i + 1);
        argv[i] = (char *)(uintptr_t)luaL_checkstring(L, -1);
    }
    argv[n] = NULL;
    pty *p = lua_newuserdatauv(L, sizeof *p, 0);
    *p = (pty){.fd = -1};
    luaL_setmetatable(L, PTY);
    char name[64];
    p->fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (p->fd < 0 || grantpt(p->fd) != 0 || unlockpt(p->fd) != 0 ||
        ptsname_r(p->fd, name, sizeof name) != 0) {
        return bind_fail(L, FR_EIO, "opening a terminal: %s", strerror(errno));
    }
    struct winsize size = {.ws_row = 40, .ws_col = 100};
    (void)ioctl(p->fd, TIOCSWINSZ, &size);
    int rc = start(p, argv, name);
    if (rc != 0) {
        p->pid = 0;
        return bind_fail(L, FR_EIO, "cannot start %s: %s", argv[0], strerror(rc));
    }
    return 1;
}

static int pty_write(lua_State *L)
{
    pty *p = check_pty(L);
    size_t n;
    const char *s = luaL_checklstring(L, 2, &n);
    while (n > 0) {
        ssize_t k = write(p->fd, s, n);
        if (k < 0 && errno != EINTR) {
            return bind_fail(L, FR_EIO, "typing: %s", strerror(errno));
        }
        s += k > 0 ? k : 0;
        n -= k > 0 ? (size_t)k : 0;
    }
    return 0;
}

// read(seconds): what it printed since the last call, waiting for something at most so long
// ("" then); nil when the program ended.
static int pty_read(lua_State *L)
{
    pty *p = check_pty(L);
    int64_t until = fr_clock_mono_ns() + (int64_t)(luaL_checknumber(L, 2) * 1e9);
    struct pollfd wait = {.fd = p->fd, .events = POLLIN};
    char text[4096];
    for (;;) {
        int64_t left = until - fr_clock_mono_ns();
        int n = poll(&wait, 1, left > 0 ? (int)(left / 1000000 + 1) : 0);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n == 0) {
            lua_pushliteral(L, "");
            return 1;
        }
        ssize_t got = read(p->fd, text, sizeof text);
        if (got <= 0) {               // EIO: the last one who had it open is gone
            lua_pushnil(L);
        } else {
            lua_pushlstring(L, text, (size_t)got);
        }
        return 1;
    }
}

// wait(): the exit code, or 128 + the signal that killed it.
static int pty_wait(lua_State *L)
{
    pty *p = check_pty(L);
    if (p->pid == 0) {
        return bind_fail(L, FR_ESTATE, "the program was waited for before");
    }
    int status = reap(p);
    lua_pushinteger(L, WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    return 1;
}

static const luaL_Reg methods[] = {
    {"write", pty_write}, {"read", pty_read},   {"wait", pty_wait},
    {"close", pty_close}, {NULL, NULL},
};
static const luaL_Reg no_meta[] = {{NULL, NULL}};
static const luaL_Reg functions[] = {{"open", pty_open}, {NULL, NULL}};

int luaopen_flowrun_core_pty(lua_State *L)
{
    bind_class(L, PTY, methods, no_meta, pty_close);
    luaL_newlib(L, functions);
    return 1;
}
