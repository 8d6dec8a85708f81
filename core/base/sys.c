#include "core/base/sys.h"

#include "core/base/fault.h"
#include "core/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// Runs `call` unless the point before it fails it, then the point after it. The result is
// an errno or 0. EINTR is retried, except the injected one of the point before.
#define CALL(point, call)                                                                \
    do {                                                                                 \
        e = FR_FAULT(point ".before");                                                   \
        if (e == 0) {                                                                    \
            do {                                                                         \
                e = (call) < 0 ? errno : 0;                                              \
            } while (e == EINTR);                                                        \
        }                                                                                \
        if (e == 0) {                                                                    \
            e = FR_FAULT(point ".after");                                                \
        }                                                                                \
    } while (0)

static int failed(int e, fr_err *err, const char *what, const char *path)
{
    if (e == 0) {
        return FR_OK;
    }
    errno = e;
    return fr_fail_errno(err, FR_EIO, "%s %s", what, path);
}

int fr_sys_open(const char *path, int flags, mode_t mode, int *fd, fr_err *err)
{
    int e, got = -1;
    *fd = -1;
    CALL("sys.open", got = open(path, flags | O_CLOEXEC, mode));
    if (e != 0) {
        fr_sys_close(got);
        int rc = failed(e, err, "opening", path);
        if (e == ENOENT || e == EEXIST) {
            rc = e == ENOENT ? FR_ENOTFOUND : FR_EEXIST;
            if (err != NULL) {
                err->code = rc;
            }
        }
        return rc;
    }
    *fd = got;
    return FR_OK;
}

static int write_all(int fd, const uint8_t *p, size_t n, int64_t at)
{
    int e = 0;
    while (n > 0 && e == 0) {
        ssize_t k = -1;
        CALL("sys.write", k = at < 0 ? write(fd, p, n) : pwrite(fd, p, n, at));
        if (e == 0) {
            p += k;
            n -= (size_t)k;
            at += at < 0 ? 0 : k;
        }
    }
    return e;
}

int fr_sys_write(int fd, const void *bytes, size_t n, const char *path, fr_err *err)
{
    return failed(write_all(fd, bytes, n, -1), err, "writing", path);
}

int fr_sys_pwrite(int fd, const void *bytes, size_t n, int64_t at, const char *path, fr_err *err)
{
    return failed(write_all(fd, bytes, n, at), err, "writing", path);
}

int fr_sys_sync(int fd, const char *path, fr_err *err)
{
    int e;
    CALL("sys.sync", fdatasync(fd));
    return failed(e, err, "syncing", path);
}

int fr_sys_sync_dir(const char *path, fr_err *err)
{
    int fd;
    int rc = fr_sys_open(path, O_RDONLY | O_DIRECTORY, 0, &fd, err);
    if (rc == FR_OK) {
        int e;
        CALL("sys.sync", fsync(fd));
        rc = failed(e, err, "syncing", path);
    }
    fr_sys_close(fd);
    return rc;
}

int fr_sys_rename(const char *from, const char *to, fr_err *err)
{
    int e;
    CALL("sys.rename", rename(from, to));
    return failed(e, err, "renaming to", to);
}

int fr_sys_unlink(const char *path, fr_err *err)
{
    int e;
    CALL("sys.unlink", unlink(path));
    return failed(e == ENOENT ? 0 : e, err, "removing", path);
}

int fr_sys_mkdir(const char *path, mode_t mode, fr_err *err)
{
    int e;
    CALL("sys.mkdir", mkdir(path, mode));
    return failed(e == EEXIST ? 0 : e, err, "making the folder", path);
}

int fr_sys_mkdirs(const char *path, mode_t mode, fr_err *err)
{
    struct stat st;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        return FR_OK;
    }
    char *part = fr_strdup(path);
    int rc = FR_OK;
    for (char *p = part + 1; rc == FR_OK && *part != '\0' && *p != '\0'; p++) {
        if (*p == '/') {
            *p = '\0';
            rc = stat(part, &st) == 0 ? FR_OK : fr_sys_mkdir(part, mode, err);
            *p = '/';
        }
    }
    fr_free(part);
    if (rc != FR_OK) {
        return rc;
    }
    rc = fr_sys_mkdir(path, mode, err);
    if (rc == FR_OK && (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))) {
        return fr_fail(err, FR_EIO, "%s is not a folder", path);
    }
    return rc;
}

int fr_sys_truncate(int fd, int64_t size, const char *path, fr_err *err)
{
    int e;
    CALL("sys.truncate", ftruncate(fd, size));
    return failed(e, err, "truncating", path);
}

void fr_sys_close(int fd)
{
    if (fd >= 0) {
        (void)close(fd);
    }
}

int fr_sys_lock(int fd, fr_sys_lock_mode mode, bool wait, const char *path, fr_err *err)
{
    static const short types[] = {F_UNLCK, F_RDLCK, F_WRLCK};
    struct flock l = {.l_type = types[mode], .l_whence = SEEK_SET};
    int e;
    CALL("sys.lock", fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &l));
    if (e == EAGAIN || e == EACCES) {
        return fr_fail(err, FR_EBUSY, "%s is locked by another process", path);
    }
    return failed(e, err, "locking", path);
}

bool fr_sys_locked(int fd)
{
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(fd, F_OFD_GETLK, &l) == 0 && l.l_type != F_UNLCK;
}

extern char **environ;

int fr_sys_spawn(pid_t *pid, char *const argv[], char *const envp[], const void *actions,
                 const void *attr, fr_err *err)
{
    int e = FR_FAULT("sys.spawn.before");
    if (e == 0) {
        e = posix_spawnp(pid, argv[0], actions, attr, argv, envp != NULL ? envp : environ);
    }
    if (e == 0) {
        e = FR_FAULT("sys.spawn.after");
    }
    int rc = failed(e, err, "starting", argv[0]);
    errno = e;
    return rc;
}

int fr_sys_exec(char *const argv[], fr_err *err)
{
    int e = FR_FAULT("sys.exec.before");
    if (e == 0) {
        (void)execv(argv[0], argv);
        e = errno;
    }
    return failed(e, err, "executing", argv[0]);
}
