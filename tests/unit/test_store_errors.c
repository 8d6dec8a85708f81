// Every call the store makes is made to fail, once and for good: at each fault point, and at
// each operation of SQLite's file system. What was acknowledged stays, nothing hangs, the
// database is sound, and the run can be finished afterwards.
#include "tests/unit/store_util.h"
#include "tests/unit/vfs_util.h"

#include <errno.h>

enum { TASKS = 120 };

static fr_err err;
static atomic_ullong acknowledged;
static atomic_int troubles, fatal;
static atomic_bool closing;

// --- a file system that fails ---

static struct {
    atomic_uint which;                         // operations that count
    atomic_int left;                           // operations until the failure
    atomic_bool sticky;
    int code, system;
    atomic_int failed;
} bad;

static int fail(vfs_file *f, vfs_operation op, const void *p, int n, sqlite3_int64 at)
{
    if ((atomic_load(&bad.which) & op) == 0) {
        return SQLITE_OK;
    }
    int left = atomic_fetch_sub(&bad.left, 1);
    if (left != 1 && !(left < 1 && atomic_load(&bad.sticky))) {
        return SQLITE_OK;
    }
    (void)atomic_fetch_add(&bad.failed, 1);
    if (op == VFS_WRITE) {                     // half of it gets there
        (void)f->real->pMethods->xWrite(f->real, p, n / 2, at);
    }
    errno = bad.system;
    return bad.code;
}

static void heal(void)
{
    atomic_store(&bad.which, 0);
    CHECK_INT(fr_fault_set(NULL, NULL), FR_OK);
}

// --- a run ---

static void acknowledge(void *ctx, fr_store_run *run, uint64_t seq)
{
    (void)ctx;
    (void)run;
    atomic_store(&acknowledged, seq);
}

static void note_trouble(void *ctx, int code, const fr_err *e)
{
    (void)ctx;
    CHECK(code == FR_OK || e->text[0] != '\0');
    if (code != FR_OK && code != FR_EFULL && code != FR_EBUSY) {
        (void)atomic_fetch_add(&fatal, 1);
    }
    (void)atomic_fetch_add(&troubles, code != FR_OK);
    if (atomic_load(&closing)) {
        heal();                                // closing waits until there is space
    }
}

static int work(const home *h, bool resume)
{
    fr_store_env env = {.home = h->path, .durable = acknowledge, .trouble = note_trouble};
    fr_store *s;
    fr_store_run *r;
    int rc = fr_store_open(&env, &s, &err);
    if (rc != FR_OK) {
        return rc;
    }
    fr_run_info info = {.flow = "storm"};
    rc = resume ? fr_store_run_resume(s, 1, &r, &err) : fr_store_run_begin(s, &info, &r, &err);
    if (rc == FR_OK) {
        for (uint64_t seq = fr_store_durable(r) + 1; seq <= TASKS; seq++) {
            append_task(r, seq);
            if (seq % 40 != 0) {
                continue;
            }
            (void)fr_store_log(r, 1, 0, 1, 2, "a line", 6);
            fr_store_flush(s);
            while (fr_store_durable(r) < seq && atomic_load(&troubles) == 0) {
                (void)usleep(50);
            }
        }
        if (atomic_load(&troubles) > 0 && atomic_load(&fatal) == 0) {
            fr_store_pause(s, true);           // a full disk does not make that hang
            fr_store_pause(s, false);
        }
        atomic_store(&closing, true);
        if (atomic_load(&troubles) > 0) {
            heal();
        }
        fr_run_info end = {.state = FR_SUCCESS, .ended = 5};
        fr_store_run_update(r, &end);
        fr_store_run_close(r);
        rc = atomic_load(&fatal) > 0 ? FR_EIO : FR_OK;
    }
    int close = fr_store_close(s, &err);
    return rc == FR_OK ? close : rc;
}

// One life with faults, then one without; returns how the first ended.
static int live(const char *what, int k)
{
    home h;
    home_init(&h);
    atomic_store(&acknowledged, 0);
    atomic_store(&troubles, 0);
    atomic_store(&fatal, 0);
    atomic_store(&closing, false);
    err = (fr_err)FR_ERR_INIT;
    int before = check_failures;
    int first = work(&h, false);
    CHECK(first == FR_OK || err.text[0] != '\0');
    uint64_t known = atomic_load(&acknowledged);
    heal();
    atomic_store(&troubles, 0);
    atomic_store(&fatal, 0);
    CHECK(first != FR_OK || known == TASKS);
    fr_store *s = home_open(&h);
    counted c = {0};
    fr_store_stats stats = {0};
    CHECK_INT(fr_store_records(s, 1, count_tasks, &c, &err), FR_OK);
    CHECK_INT(fr_store_stat(s, &stats, &err), FR_OK);
    CHECK_INT(fr_store_close(s, NULL), FR_OK);
    CHECK(c.n >= known && c.wrong == 0 && stats.runs <= 1);
    CHECK(vfs_is_sound(h.path));
    if (first != FR_OK || known < TASKS) {
        CHECK_INT(work(&h, stats.runs == 1), FR_OK);
    }
    s = home_open(&h);
    c = (counted){0};
    CHECK_INT(fr_store_records(s, 1, count_tasks, &c, &err), FR_OK);
    CHECK_INT(fr_store_close(s, NULL), FR_OK);
    CHECK(c.n == TASKS && c.wrong == 0);
    if (check_failures != before) {
        (void)fprintf(stderr, "  with %s, %d\n", what, k);
    }
    home_fini(&h);
    return first;
}

static void at_every_fault_point(void)
{
    static const char *const errors[] = {"error=EIO", "error=ENOSPC"};
    size_t n;
    const char *const *names = fr_fault_names(&n);
    int lived = 0, died = 0;
    for (size_t i = 0; i < n; i++) {
        for (int k = 0; k < 8; k++) {
            char plan[80];
            (void)snprintf(plan, sizeof plan, "%s:%d%s=%s", names[i], 1 + (k >> 2) * 3,
                           (k & 2) != 0 ? "+" : "", errors[k & 1]);
            CHECK_INT(fr_fault_set(plan, NULL), FR_OK);
            int rc = live(plan, 0);
            lived += rc == FR_OK;
            died += rc != FR_OK;
        }
    }
    (void)printf("     %d went on, %d ended\n", lived, died);
    CHECK(lived > 50 && died > 30);
}

static void at_every_operation_of_the_file_system(void)
{
    static const struct {
        const char *name;
        vfs_operation which;
        int code, system;
    } cases[] = {
        {"a failing write", VFS_WRITE, SQLITE_IOERR_WRITE, EIO},
        {"a full disk", VFS_WRITE, SQLITE_FULL, ENOSPC},
        {"a failing sync", VFS_SYNC, SQLITE_IOERR_FSYNC, EIO},
        {"a failing read", VFS_READ, SQLITE_IOERR_READ, EIO},
        {"a failing truncate", VFS_TRUNCATE, SQLITE_IOERR_TRUNCATE, EIO},
        {"a failing open", VFS_OPEN, SQLITE_CANTOPEN, EMFILE},
    };
    int lived = 0, died = 0;
    for (size_t i = 0; i < FR_COUNT(cases); i++) {
        for (int k = 1; k < 60; k += k < 16 ? 1 : 7) {
            int failed = 0;
            for (int sticky = 0; sticky < 2; sticky++) {
                bad.code = cases[i].code;
                bad.system = cases[i].system;
                atomic_store(&bad.failed, 0);
                atomic_store(&bad.left, k);
                atomic_store(&bad.sticky, sticky == 1);
                atomic_store(&bad.which, cases[i].which);
                int rc = live(cases[i].name, sticky == 1 ? -k : k);
                failed += atomic_load(&bad.failed) > 0;
                lived += rc == FR_OK && atomic_load(&bad.failed) > 0;
                died += rc != FR_OK;
            }
            if (failed == 0) {
                break;                         // there are not so many
            }
        }
    }
    (void)printf("     %d went on, %d ended\n", lived, died);
    CHECK(lived > 5 && died > 30);
}

int main(void)
{
    vfs_install(fail);
    CASE(at_every_fault_point);
    CASE(at_every_operation_of_the_file_system);
    return check_end();
}
