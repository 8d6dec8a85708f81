// LD_PRELOAD: appends a byte to the file $SYNC_SHIM for every fsync and fdatasync of the program.
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int fsync(int fd);
int fdatasync(int fd);

static void count(void)
{
    const char *path = getenv("SYNC_SHIM");
    int fd = path != NULL ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (fd >= 0) {
        ssize_t n = write(fd, "s", 1);
        (void)n;
        (void)close(fd);
    }
}

int fsync(int fd)
{
    count();
    return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    count();
    return (int)syscall(SYS_fdatasync, fd);
}
