#include "core/base/fault.h"
#include "core/base/sys.h"
#include "tests/unit/check.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];

static const char *at(const char *name)
{
    static char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void files_are_written_and_renamed(void)
{
    int fd;
    char from[256];
    (void)snprintf(from, sizeof from, "%s", at("a"));
    CHECK_INT(fr_sys_open(from, O_RDWR | O_CREAT, 0600, &fd, NULL), FR_OK);
    CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    CHECK_INT(fr_sys_write(fd, "hello", 5, from, NULL), FR_OK);
    CHECK_INT(fr_sys_pwrite(fd, "J", 1, 0, from, NULL), FR_OK);
    CHECK_INT(fr_sys_truncate(fd, 4, from, NULL), FR_OK);
    CHECK_INT(fr_sys_sync(fd, from, NULL), FR_OK);
    CHECK_INT(fr_sys_rename(from, at("b"), NULL), FR_OK);
    CHECK_INT(fr_sys_sync_dir(dir, NULL), FR_OK);
    char text[8] = "";
    CHECK_INT(pread(fd, text, sizeof text, 0), 4);
    CHECK_STR(text, "Jell");
    fr_sys_close(fd);
    CHECK_INT(fr_sys_unlink(at("b"), NULL), FR_OK);
    CHECK_INT(fr_sys_unlink(at("b"), NULL), FR_OK);
    CHECK_INT(access(at("b"), F_OK), -1);
}

static void folders_are_made_with_their_parents(void)
{
    struct stat st;
    CHECK_INT(fr_sys_mkdirs(at("x/y/z"), 0700, NULL), FR_OK);
    CHECK_INT(fr_sys_mkdirs(at("x/y/z"), 0700, NULL), FR_OK);
    CHECK(stat(at("x/y/z"), &st) == 0 && S_ISDIR(st.st_mode));
    CHECK_INT(st.st_mode & 0777, 0700);
    int fd;
    fr_err err = FR_ERR_INIT;
    CHECK_INT(fr_sys_open(at("x/f"), O_WRONLY | O_CREAT, 0600, &fd, NULL), FR_OK);
    fr_sys_close(fd);
    CHECK_INT(fr_sys_mkdirs(at("x/f"), 0700, &err), FR_EIO);
    CHECK(strstr(err.text, "not a folder") != NULL);
}

static void a_missing_file_is_not_found(void)
{
    int fd;
    fr_err err = FR_ERR_INIT;
    CHECK_INT(fr_sys_open(at("nothing"), O_RDONLY, 0, &fd, &err), FR_ENOTFOUND);
    CHECK(strstr(err.text, "nothing") != NULL);
    CHECK_INT(fd, -1);
}

static void two_openers_in_one_process_exclude_each_other(void)
{
    int a, b;
    CHECK_INT(fr_sys_open(at("lock"), O_RDWR | O_CREAT, 0600, &a, NULL), FR_OK);
    CHECK_INT(fr_sys_open(at("lock"), O_RDWR | O_CREAT, 0600, &b, NULL), FR_OK);
    CHECK_INT(fr_sys_lock(a, FR_SYS_SHARED, false, "lock", NULL), FR_OK);
    CHECK_INT(fr_sys_lock(b, FR_SYS_SHARED, false, "lock", NULL), FR_OK);
    CHECK_INT(fr_sys_lock(a, FR_SYS_EXCLUSIVE, false, "lock", NULL), FR_EBUSY);
    CHECK_INT(fr_sys_lock(b, FR_SYS_UNLOCK, false, "lock", NULL), FR_OK);
    CHECK_INT(fr_sys_lock(a, FR_SYS_EXCLUSIVE, true, "lock", NULL), FR_OK);
    CHECK(fr_sys_locked(b));
    CHECK(!fr_sys_locked(a));
    CHECK_INT(fr_sys_lock(b, FR_SYS_SHARED, false, "lock", NULL), FR_EBUSY);
    fr_sys_close(a);
    CHECK(!fr_sys_locked(b));
    fr_sys_close(b);
}

// Each wrapper reports an error injected before and after its call, and a full disk as such.
static void every_call_can_be_made_to_fail(void)
{
    static const char *const calls[] = {"open", "write", "sync", "rename", "unlink", "mkdir",
                                        "truncate", "lock"};
    int fd;
    CHECK_INT(fr_sys_open(at("w"), O_RDWR | O_CREAT, 0600, &fd, NULL), FR_OK);
    for (size_t i = 0; i < 2 * FR_COUNT(calls); i++) {
        char plan[64];
        (void)snprintf(plan, sizeof plan, "sys.%s.%s=error=ENOSPC", calls[i / 2],
                       i % 2 == 0 ? "before" : "after");
        CHECK_INT(fr_fault_set(plan, NULL), FR_OK);
        fr_err err = FR_ERR_INIT;
        int other = -1, rc = FR_OK;
        switch (i / 2) {
        case 0: rc = fr_sys_open(at("o"), O_RDWR | O_CREAT, 0600, &other, &err); break;
        case 1: rc = fr_sys_write(fd, "x", 1, "w", &err); break;
        case 2: rc = fr_sys_sync(fd, "w", &err); break;
        case 3: rc = fr_sys_rename(at("o"), dir, &err); break;
        case 4: rc = fr_sys_unlink(at(i % 2 == 0 ? "p" : "w"), &err); break;
        case 5: rc = fr_sys_mkdir(at("m"), 0700, &err); break;
        case 6: rc = fr_sys_truncate(fd, 0, "w", &err); break;
        default: rc = fr_sys_lock(fd, FR_SYS_EXCLUSIVE, false, "w", &err); break;
        }
        if (i / 2 == 3 && i % 2 == 1) {
            CHECK(rc != FR_OK);              // onto a folder: fails by itself
        } else {
            CHECK_INT(rc, FR_EFULL);
        }
        CHECK_INT(other, -1);
    }
    CHECK_INT(fr_fault_set(NULL, NULL), FR_OK);
    fr_sys_close(fd);
}

int main(void)
{
    (void)snprintf(dir, sizeof dir, "/tmp/fr-sys-XXXXXX");
    if (mkdtemp(dir) == NULL) {
        return 1;
    }
    CASE(files_are_written_and_renamed);
    CASE(folders_are_made_with_their_parents);
    CASE(a_missing_file_is_not_found);
    CASE(two_openers_in_one_process_exclude_each_other);
    CASE(every_call_can_be_made_to_fail);
    return check_end();
}
