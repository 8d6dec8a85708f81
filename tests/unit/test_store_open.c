// Homes and database files that are not as they should be.
#include "core/engine/store_priv.h"
#include "tests/unit/store_util.h"

#include <fcntl.h>
#include <sqlite3.h>

static fr_err err;

static void database_of(const home *h, char out[128])
{
    (void)snprintf(out, 128, "%s/flowrun.db", h->path);
}

static int open_again(home *h, bool read_only)
{
    fr_store_env env = home_env(h);
    env.read_only = read_only;
    fr_store *s;
    err = (fr_err)FR_ERR_INIT;
    int rc = fr_store_open(&env, &s, &err);
    if (rc == FR_OK) {
        rc = fr_store_close(s, &err);
    }
    return rc;
}

// A store with one run of n tasks, whose WAL is empty.
static void make_store(home *h, uint64_t n)
{
    home_init(h);
    fr_store *s = home_open(h);
    fr_store_run *r = home_begin(s);
    for (uint64_t seq = 1; seq <= n; seq++) {
        append_task(r, seq);
    }
    fr_run_info end = {.state = FR_SUCCESS, .ended = 7};
    fr_store_run_update(r, &end);
    fr_store_run_close(r);
    CHECK_INT(fr_store_close(s, NULL), FR_OK);
}

static void patch(const char *path, off_t at, const void *bytes, size_t n)
{
    int fd = open(path, O_WRONLY);
    CHECK(fd >= 0 && pwrite(fd, bytes, n, at) == (ssize_t)n);
    (void)close(fd);
}

static void shared_file_systems_are_refused(void)
{
    CHECK_INT(fr_store_home_check("/h", 0x6969, &err), FR_EUNSUPPORTED);
    CHECK(strstr(err.text, "NFS") != NULL && strstr(err.text, "--home") != NULL);
    CHECK_INT(fr_store_home_check("/h", (long)0xff534d42, &err), FR_EUNSUPPORTED);
    CHECK_INT(fr_store_home_check("/h", 0xef53, &err), FR_OK);
}

static void a_newer_store_is_refused_in_one_sentence(void)
{
    home h;
    make_store(&h, 20000);
    char path[128];
    database_of(&h, path);
    patch(path, 60, "\0\0\0\x63", 4);          // user_version
    for (int look = 0; look < 2; look++) {
        CHECK_INT(open_again(&h, look == 1), FR_EVERSION);
        CHECK(strstr(err.text, "newer flowrun (format 99, this one knows 4)") != NULL);
        CHECK(strstr(err.text, "--home") != NULL);
    }
    home_fini(&h);
}

// What version `to` of the format had, made from one of today.
static void make_older(home *h, int to)
{
    static const char *const undo[] = {
        "", "DROP TABLE limits;DROP TABLE slot;DROP TABLE slot_run;", "DROP TABLE cache;",
        "DROP TABLE outbox;",
    };
    _Static_assert(FR_COUNT(undo) == FR_STORE_SCHEMA, "what each migration made");
    char path[128], text[256];
    database_of(h, path);
    sqlite3 *db;
    CHECK_INT(sqlite3_open(path, &db), SQLITE_OK);
    for (int v = FR_COUNT(undo); v > to; v--) {
        CHECK_INT(sqlite3_exec(db, undo[v - 1], NULL, NULL, NULL), SQLITE_OK);
    }
    (void)snprintf(text, sizeof text, "PRAGMA user_version=%d", to);
    CHECK_INT(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    CHECK_INT(sqlite3_close(db), SQLITE_OK);
}

// Also for looking only: `resume` and `show` look before anything else of this version runs.
static void an_older_store_is_brought_up_to_date(void)
{
    for (int v = 1; v < FR_STORE_SCHEMA; v++) {
        for (int look = 0; look < 2; look++) {
            home h;
            make_store(&h, 300);
            make_older(&h, v);
            fr_store_env env = home_env(&h);
            env.read_only = look == 1;
            fr_store *s;
            CHECK_INT(fr_store_open(&env, &s, &err), FR_OK);
            counted c = {0};
            CHECK_INT(fr_store_records(s, 1, count_tasks, &c, &err), FR_OK);
            CHECK(c.n == 300 && c.wrong == 0);
            CHECK_INT(fr_store_cache_rows(s, 1, NULL, 0, 10, NULL, NULL, &err), FR_OK);
            CHECK_INT(fr_store_close(s, NULL), FR_OK);
            s = home_open(&h);                 // and it can be written
            fr_store_run *r = home_begin(s);
            append_task(r, 1);
            fr_store_run_close(r);
            CHECK_INT(fr_store_close(s, NULL), FR_OK);
            home_fini(&h);
        }
    }
}

static void another_programs_database_is_refused(void)
{
    home h;
    make_store(&h, 20000);
    char path[128];
    database_of(&h, path);
    patch(path, 68, "\0\0\0\1", 4);            // application_id
    CHECK_INT(open_again(&h, false), FR_ECORRUPT);
    CHECK(strstr(err.text, "another program") != NULL);
    home_fini(&h);
}

static void a_file_that_is_no_database_says_so(void)
{
    home h;
    make_store(&h, 20000);
    char path[128], page[4096];
    database_of(&h, path);
    memset(page, 'x', sizeof page);
    patch(path, 0, page, sizeof page);
    CHECK_INT(open_again(&h, false), FR_ECORRUPT);
    CHECK(strstr(err.text, "damaged") != NULL && strstr(err.text, path) != NULL);
    home_fini(&h);
}

static void a_database_that_was_cut_off_says_so(void)
{
    home h;
    make_store(&h, 20000);
    char path[128], wal[140];
    database_of(&h, path);
    (void)snprintf(wal, sizeof wal, "%s-wal", path);
    struct stat st;
    CHECK_INT(stat(path, &st), 0);
    CHECK(st.st_size > 100 * 4096);
    (void)unlink(wal);
    const off_t sizes[] = {st.st_size - 4096, st.st_size / 2, 4096, 100, 0};
    for (size_t i = 0; i < FR_COUNT(sizes); i++) {
        CHECK_INT(truncate(path, sizes[i]), 0);
        int rc = open_again(&h, false);
        counted c = {0};
        if (rc == FR_OK) {                     // then at least reading all of it notices
            fr_store *s = home_open(&h);
            rc = fr_store_records(s, 1, count_tasks, &c, &err);
            CHECK_INT(c.wrong, 0);
            (void)!fr_store_close(s, NULL);
        }
        CHECK_INT(rc, FR_ECORRUPT);
        CHECK(strstr(err.text, "damaged") != NULL);
    }
    home_fini(&h);
}

// Every record that is delivered is right, or there is an error: never a wrong record.
static void flipped_bits_are_never_delivered(void)
{
    home h;
    make_store(&h, 20000);
    char path[128];
    database_of(&h, path);
    struct stat st;
    CHECK_INT(stat(path, &st), 0);
    int noticed = 0, unharmed = 0;
    uint64_t random = 88172645463325252ULL;
    for (int i = 0; i < 60; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        off_t at = (off_t)(random % (uint64_t)st.st_size);
        unsigned char was = 0, is;
        int fd = open(path, O_RDWR);
        CHECK(fd >= 0 && pread(fd, &was, 1, at) == 1);
        is = was ^ (unsigned char)(1u << (random >> 60 & 7));
        CHECK(pwrite(fd, &is, 1, at) == 1);
        fr_store_env env = home_env(&h);
        env.read_only = true;
        fr_store *s;
        counted c = {0};
        int rc = fr_store_open(&env, &s, &err);
        if (rc == FR_OK) {
            rc = fr_store_records(s, 1, count_tasks, &c, &err);
            CHECK_INT(fr_store_close(s, NULL), FR_OK);
        }
        CHECK_INT(c.wrong, 0);
        noticed += rc != FR_OK;
        unharmed += rc == FR_OK && c.n == 20000;
        CHECK(rc != FR_OK || c.n == 20000 || c.n == 0);
        CHECK(pwrite(fd, &was, 1, at) == 1);
        (void)close(fd);
    }
    CHECK(noticed > 20);                       // most of the file is rows
    CHECK(noticed + unharmed > 50);
    home_fini(&h);
}

static void a_home_that_is_a_file_is_refused(void)
{
    home h;
    home_init(&h);
    fr_store_env env = home_env(&h);
    fr_store *s;
    env.home = "/dev/null/x";
    CHECK(fr_store_open(&env, &s, &err) != FR_OK);
    char deep[2000];
    memset(deep, 'a', sizeof deep);
    deep[0] = '/';
    deep[sizeof deep - 1] = '\0';
    env.home = deep;
    CHECK_INT(fr_store_open(&env, &s, &err), FR_ELIMIT);
    home_fini(&h);
}

int main(void)
{
    CASE(shared_file_systems_are_refused);
    CASE(a_newer_store_is_refused_in_one_sentence);
    CASE(an_older_store_is_brought_up_to_date);
    CASE(another_programs_database_is_refused);
    CASE(a_file_that_is_no_database_says_so);
    CASE(a_database_that_was_cut_off_says_so);
    CASE(flipped_bits_are_never_delivered);
    CASE(a_home_that_is_a_file_is_refused);
    return check_end();
}
