#include "core/data/outfile.h"

#include "core/base/mem.h"
#include "core/base/sys.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TRIES = 100 };

int fr_outfile_open(const char *path, fr_outfile *out, fr_err *err)
{
    *out = (fr_outfile){.path = path, .fd = -1};
    struct stat s;
    // A file without a name (memfd) cannot be replaced either.
    if (stat(path, &s) == 0 && (!S_ISREG(s.st_mode) || s.st_nlink == 0)) {
        return fr_sys_open(path, O_WRONLY, 0, &out->fd, err);
    }
    size_t room = strlen(path) + 40;
    char *name = fr_alloc(room);
    int rc = FR_EEXIST;
    for (int i = 0; i < TRIES && rc == FR_EEXIST; i++) {
        (void)snprintf(name, room, "%s.%ld-%d.part", path, (long)getpid(), i);
        rc = fr_sys_open(name, O_WRONLY | O_CREAT | O_EXCL, 0666, &out->fd, err);
    }
    if (rc != FR_OK) {
        fr_free(name);
        return rc;
    }
    out->part = name;
    return FR_OK;
}

int fr_outfile_close(fr_outfile *o, int rc, fr_err *err)
{
    if (o->fd >= 0 && close(o->fd) != 0 && rc == FR_OK) {
        rc = fr_fail_errno(err, FR_EIO, "writing %s", o->path);
    }
    if (o->part != NULL && rc == FR_OK) {
        rc = fr_sys_rename(o->part, o->path, err);
    }
    if (o->part != NULL && rc != FR_OK) {
        (void)unlink(o->part); // the first failure is the one to tell
    }
    fr_free(o->part);
    *o = (fr_outfile){.fd = -1};
    return rc;
}
