// Wake-up sockets: an empty datagram that says "look" (engine.md A2). Paths of unix sockets
// end at 107 bytes, so they are bound and reached through /proc/self/fd/<folder>.

#include "core/base/sys.h"
#include "core/engine/store_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int runs_folder(const fr_store *s)
{
    char path[FR_STORE_PATH];
    fr_store_path(s, path, "runs");
    return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static struct sockaddr_un address(int folder, uint64_t id)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    (void)snprintf(a.sun_path, sizeof a.sun_path, "/proc/self/fd/%d/%llu.sock", folder,
                   (unsigned long long)id);
    return a;
}

int fr_wake_open(const fr_store *s, uint64_t id, int *fd, fr_err *err)
{
    *fd = -1;
    int folder = runs_folder(s);
    int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int rc = FR_OK;
    if (folder < 0 || sock < 0) {
        rc = fr_fail_errno(err, FR_EIO, "making the wake-up socket of run %llu",
                           (unsigned long long)id);
    } else {
        struct sockaddr_un a = address(folder, id);
        (void)unlink(a.sun_path);              // of a dead process: we hold the run's lock
        if (bind(sock, (const struct sockaddr *)&a, sizeof a) != 0) {
            rc = fr_fail_errno(err, FR_EIO, "binding the wake-up socket of run %llu",
                               (unsigned long long)id);
        }
    }
    fr_sys_close(folder);
    if (rc != FR_OK) {
        fr_sys_close(sock);
        return rc;
    }
    *fd = sock;
    return FR_OK;
}

void fr_wake_close(const fr_store *s, uint64_t id, int fd)
{
    if (fd >= 0) {
        char path[FR_STORE_PATH];
        fr_store_path(s, path, "runs/%llu.sock", (unsigned long long)id);
        (void)!fr_sys_unlink(path, NULL);
        fr_sys_close(fd);
    }
}

// Best effort: with no process the row waits for the next start; a full socket already says
// what this one would.
void fr_wake_send(const fr_store *s, uint64_t id)
{
    int folder = runs_folder(s);
    int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (folder >= 0 && sock >= 0) {
        struct sockaddr_un a = address(folder, id);
        (void)sendto(sock, "", 0, 0, (const struct sockaddr *)&a, sizeof a);
    }
    fr_sys_close(folder);
    fr_sys_close(sock);
}

void fr_wake_drain(int fd)
{
    char byte;
    while (fd >= 0 && recv(fd, &byte, 1, 0) >= 0) {
    }
}
