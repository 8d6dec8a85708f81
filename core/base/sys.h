#pragma once
// sys -- system calls that change something, each with fault points before and after.
//
// All retry EINTR and finish short writes. Failures name the path; ENOSPC and EDQUOT become
// FR_EFULL. Descriptors are close-on-exec. Any thread.

#include "core/base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

FR_NODISCARD int fr_sys_open(const char *path, int flags, mode_t mode, int *fd, fr_err *err);
FR_NODISCARD int fr_sys_write(int fd, const void *bytes, size_t n, const char *path, fr_err *err);
FR_NODISCARD int fr_sys_pwrite(int fd, const void *bytes, size_t n, int64_t at, const char *path,
                               fr_err *err);
FR_NODISCARD int fr_sys_sync(int fd, const char *path, fr_err *err);       // fdatasync
FR_NODISCARD int fr_sys_sync_dir(const char *path, fr_err *err);
FR_NODISCARD int fr_sys_rename(const char *from, const char *to, fr_err *err);
FR_NODISCARD int fr_sys_unlink(const char *path, fr_err *err);             // fine when absent
FR_NODISCARD int fr_sys_mkdir(const char *path, mode_t mode, fr_err *err); // fine when there
FR_NODISCARD int fr_sys_mkdirs(const char *path, mode_t mode, fr_err *err);// with its parents
FR_NODISCARD int fr_sys_truncate(int fd, int64_t size, const char *path, fr_err *err);
void fr_sys_close(int fd);                       // -1 is fine; for descriptors synced or read

// Open-file-description locks on the whole file: owned by the open file, not the process,
// so that two openers in one process exclude each other and closing another descriptor of
// the file drops nothing.
typedef enum fr_sys_lock_mode { FR_SYS_UNLOCK, FR_SYS_SHARED, FR_SYS_EXCLUSIVE } fr_sys_lock_mode;
// FR_EBUSY (without a message of its own kind) when !wait and another holds it.
FR_NODISCARD int fr_sys_lock(int fd, fr_sys_lock_mode mode, bool wait, const char *path,
                             fr_err *err);
bool fr_sys_locked(int fd);                      // another open file holds a lock

// posix_spawnp: argv[0] without a slash is looked for in $PATH. envp NULL: the current
// environment. The child has only the descriptors that are not close-on-exec. actions is a
// posix_spawn_file_actions_t, attr a posix_spawnattr_t, or NULL. errno of a failure stays.
FR_NODISCARD int fr_sys_spawn(pid_t *pid, char *const argv[], char *const envp[],
                              const void *actions, const void *attr, fr_err *err);
// Replaces the process; returns only on failure.
int fr_sys_exec(char *const argv[], fr_err *err);
